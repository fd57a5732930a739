//! Faults of an exchange: what happens to a request and its answer. What each does is in `api/faults.rs`.

use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// 500, not handled.
    ServerError,
    /// 502 with a page of HTML, as load balancers answer.
    BadGateway,
    /// 503, not handled.
    Unavailable,
    /// 429 with `retry-after`.
    TooMany(Duration),
    /// The connection is closed before the request is handled.
    Closed,
    /// Handled; the connection is closed instead of an answer.
    Lost,
    /// Handled; answered 500.
    HandledError,
    /// Not handled and never answered.
    Hang,
    /// Handled and never answered.
    HandledHang,
    /// Handled; half of the answer's body arrives.
    Truncated,
    /// Handled; the answer's body is no JSON.
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
    Pending,
    /// Handled after this time.
    Slow(Duration),
}

/// How long a client is told to wait by `429`, when the spec does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long `slow` takes, when the spec does not say.
const SLOW: Duration = Duration::from_secs(5);

/// Name as it is written in a spec, what it does, and whether it takes a duration (`429=5s`).
pub(super) const TABLE: [(&str, &str, Http); 17] = [
    ("500", "500, not handled", Http::ServerError),
    ("502", "502 with HTML, not handled", Http::BadGateway),
    ("503", "503, not handled", Http::Unavailable),
    ("429", "429 with retry-after (429=5s; 1s), not handled", Http::TooMany(RETRY_AFTER)),
    ("closed", "the connection is closed, not handled", Http::Closed),
    ("lost", "handled, the connection is closed instead of an answer", Http::Lost),
    ("handled-500", "handled, answered 500", Http::HandledError),
    ("hang", "never answered, not handled", Http::Hang),
    ("handled-hang", "handled, never answered", Http::HandledHang),
    ("truncated", "handled, half of the answer arrives", Http::Truncated),
    ("garbage", "handled, the answer's body is no JSON", Http::Garbage),
    ("404", "404, not handled", Http::NotFound),
    ("401", "401, not handled", Http::Unauthorized),
    ("403", "403, not handled", Http::Forbidden),
    ("422", "422, not handled", Http::Unprocessable),
    ("pending", "422 for a pending event, not handled", Http::Pending),
    ("slow", "handled after a while (slow=2s; 5s)", Http::Slow(SLOW)),
];

impl Http {
    /// With the duration that the spec gives; `None` where the fault takes none.
    pub(super) fn lasting(self, time: Duration) -> Option<Self> {
        match self {
            Self::TooMany(_) => Some(Self::TooMany(time)),
            Self::Slow(_) => Some(Self::Slow(time)),
            _ => None,
        }
    }

    /// The thirteen that every client should survive, by the names that specs have for them.
    pub const USUAL: [&'static str; 13] = [
        "500",
        "502",
        "503",
        "429",
        "closed",
        "lost",
        "handled-500",
        "hang",
        "truncated",
        "garbage",
        "404",
        "401",
        "422",
    ];
}
