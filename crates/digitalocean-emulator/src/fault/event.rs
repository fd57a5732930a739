//! Faults of an event: what becomes of an action that was accepted. What each does is in `cloud/work.rs`.

use std::time::Duration;

/// What goes wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It ends with `errored`, and nothing has changed.
    Errored,
    /// It never ends, and holds its resource; destroying a droplet ends it.
    Stuck,
    /// It takes this much longer, and holds its resource for as long: deleting it is refused.
    Held(Duration),
    /// It is `completed`, and has no effect: a guest that does not heed a shutdown.
    Ignored,
    /// `create` only: the droplet is active, and has no address.
    NoAddress,
}

/// How much longer `held` takes, when the spec does not say.
const HELD: Duration = Duration::from_secs(5);

/// Name as it is written in a spec, and what it does.
pub(super) const TABLE: [(&str, &str, Trouble); 5] = [
    ("errored", "the action ends with `errored`, nothing has changed", Trouble::Errored),
    ("stuck", "the action never ends (create: the droplet stays `new`)", Trouble::Stuck),
    ("held", "the action takes longer (held=10s; 5s) and holds its resource: DELETE is refused", Trouble::Held(HELD)),
    ("ignored", "the action is completed without effect: a guest that ignores a shutdown", Trouble::Ignored),
    ("no-address", "create only: the droplet never gets an address", Trouble::NoAddress),
];

/// The events that there are, as the API names them.
pub(super) const EVENTS: [&str; 18] = [
    "create",
    "power_on",
    "power_off",
    "power_cycle",
    "shutdown",
    "reboot",
    "snapshot",
    "rename",
    "resize",
    "rebuild",
    "restore",
    "enable_ipv6",
    "enable_backups",
    "disable_backups",
    "destroy",
    "transfer",
    "convert",
    "*",
];

impl Trouble {
    /// With the duration that the spec gives; `None` where the fault takes none.
    pub(super) fn lasting(self, time: Duration) -> Option<Self> {
        matches!(self, Self::Held(_)).then_some(Self::Held(time))
    }
}
