//! The faults that exist, and the texts that `--fault` has for them.

use std::time::Duration;

/// What happens to a request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFault {
    /// 500, not handled.
    ServerError,
    /// 502 with an HTML page as load balancers send it, not handled.
    BadGateway,
    /// 503, not handled.
    Unavailable,
    /// 429 with `retry-after`, not handled.
    TooManyRequests(Duration),
    /// The connection is closed before the request is handled.
    Closed,
    /// Handled, but the connection is closed instead of an answer.
    Lost,
    /// Handled, but answered with 500.
    HandledError,
    /// Neither handled nor answered.
    Hang,
    /// Handled, but never answered.
    HandledHang,
    /// Handled, but only half of the answer's body arrives.
    Truncated,
    /// Handled, but the answer's body is not JSON.
    Garbage,
    /// 404, not handled.
    NotFound,
    /// 401, not handled.
    Unauthorized,
    /// 403, not handled.
    Forbidden,
    /// 422, not handled.
    Unprocessable,
    /// 422 because of a pending event, not handled.
    PendingEvent,
    /// Handled after this time.
    Slow(Duration),
}

impl RequestFault {
    /// The names of faults that every client should survive, as a [`FaultSpec`](super::FaultSpec)
    /// has them.
    pub const USUAL: [&'static str; 13] = [
        "500", "502", "503", "429", "closed", "lost", "handled-500", "hang", "truncated", "garbage", "404", "401",
        "422",
    ];

    /// With another duration; `None` if the fault has none.
    pub(super) fn with_duration(self, time: Duration) -> Option<Self> {
        match self {
            Self::TooManyRequests(_) => Some(Self::TooManyRequests(time)),
            Self::Slow(_) => Some(Self::Slow(time)),
            _ => None,
        }
    }
}

/// What happens to an action that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFault {
    /// It ends with `errored` and changes nothing.
    Errored,
    /// It never ends and locks its resource; destroying the droplet ends it.
    Stuck,
    /// It takes this much longer, and its resource cannot be deleted meanwhile.
    Held(Duration),
    /// It is `completed` without effect, as when a guest ignores a shutdown.
    Ignored,
    /// `create` only: the droplet is active but has no address.
    NoAddress,
}

impl EventFault {
    /// With another duration; `None` if the fault has none.
    pub(super) fn with_duration(self, time: Duration) -> Option<Self> {
        matches!(self, Self::Held(_)).then_some(Self::Held(time))
    }
}

const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
const DEFAULT_DELAY: Duration = Duration::from_secs(5);

/// Faults of requests: name, description, and the fault with its default duration.
pub(super) const REQUEST_FAULTS: [(&str, &str, RequestFault); 17] = [
    ("500", "500, not handled", RequestFault::ServerError),
    ("502", "502 with HTML, not handled", RequestFault::BadGateway),
    ("503", "503, not handled", RequestFault::Unavailable),
    (
        "429",
        "429 with retry-after (429=5s; default 1s), not handled",
        RequestFault::TooManyRequests(DEFAULT_RETRY_AFTER),
    ),
    ("closed", "the connection is closed, not handled", RequestFault::Closed),
    ("lost", "handled, the connection is closed instead of an answer", RequestFault::Lost),
    ("handled-500", "handled, answered with 500", RequestFault::HandledError),
    ("hang", "not handled, never answered", RequestFault::Hang),
    ("handled-hang", "handled, never answered", RequestFault::HandledHang),
    ("truncated", "handled, half of the answer arrives", RequestFault::Truncated),
    ("garbage", "handled, the answer's body is not JSON", RequestFault::Garbage),
    ("404", "404, not handled", RequestFault::NotFound),
    ("401", "401, not handled", RequestFault::Unauthorized),
    ("403", "403, not handled", RequestFault::Forbidden),
    ("422", "422, not handled", RequestFault::Unprocessable),
    ("pending", "422 for a pending event, not handled", RequestFault::PendingEvent),
    ("slow", "handled after a delay (slow=2s; default 5s)", RequestFault::Slow(DEFAULT_DELAY)),
];

/// Faults of events: name, description, and the fault with its default duration.
pub(super) const EVENT_FAULTS: [(&str, &str, EventFault); 5] = [
    ("errored", "the action ends with `errored` and changes nothing", EventFault::Errored),
    ("stuck", "the action never ends (create: the droplet stays `new`)", EventFault::Stuck),
    (
        "held",
        "the action takes longer (held=10s; default 5s) and locks its resource: DELETE is refused",
        EventFault::Held(DEFAULT_DELAY),
    ),
    ("ignored", "the action is completed without effect: a guest that ignores a shutdown", EventFault::Ignored),
    ("no-address", "create only: the droplet never gets an address", EventFault::NoAddress),
];

/// The events, as the API names them.
pub(super) const EVENTS: [&str; 17] = [
    "create", "power_on", "power_off", "power_cycle", "shutdown", "reboot", "snapshot", "rename", "resize", "rebuild",
    "restore", "enable_ipv6", "enable_backups", "disable_backups", "destroy", "transfer", "convert",
];
