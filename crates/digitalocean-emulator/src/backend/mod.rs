//! Machine backends: what droplets run on.
//!
//! To add a backend: a file or folder with an implementation of [`Backend`] and a [`BackendEntry`],
//! and its line in `REGISTRY`. The command line takes names and descriptions from there.

mod port;
#[cfg(feature = "qemu")]
mod qemu;
mod scenario;
mod scripted;
mod simulated;

use std::fmt;
use std::str::FromStr;

pub use self::port::{
    Backend, BackendEntry, BackendError, BackendOptions, DiskSource, EventSender, GATEWAY, HostPorts, Machine,
    MachineEvent, OpenBackend, OpenFuture,
};
pub use self::scenario::{ParseScenarioError, Scenario};

/// All backends. The first one is the default.
static REGISTRY: &[&BackendEntry] = &[
    #[cfg(feature = "qemu")]
    &qemu::ENTRY,
    &simulated::ENTRY,
    &scripted::ENTRY,
];

/// One of the registered backends.
#[derive(Clone, Copy)]
pub struct BackendKind(&'static BackendEntry);

impl BackendKind {
    /// Droplets without machines: only their states change.
    pub const NONE: Self = Self(&simulated::ENTRY);
    /// Droplets without machines whose status channel plays a scenario.
    pub const SCRIPTED: Self = Self(&scripted::ENTRY);

    /// All backends, the default one first.
    pub fn all() -> impl Iterator<Item = Self> {
        REGISTRY.iter().map(|entry| Self(entry))
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What a droplet is with it, for `--help`.
    pub fn description(self) -> &'static str {
        self.0.description
    }

    /// Checks whether this host has what the backend needs.
    pub fn probe(self) -> Result<(), BackendError> {
        (self.0.probe)()
    }

    /// Opens the backend, if this host has what it needs.
    pub async fn open(self, options: BackendOptions, events: EventSender) -> Result<OpenBackend, BackendError> {
        self.probe()?;
        (self.0.open)(options, events).await
    }
}

impl Default for BackendKind {
    fn default() -> Self {
        Self(REGISTRY[0])
    }
}

impl fmt::Debug for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no backend has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no backend `{0}`; the backends are {names}", names = BackendKind::all().map(BackendKind::name).collect::<Vec<_>>().join(", "))]
pub struct UnknownBackend(String);

impl FromStr for BackendKind {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        Self::all().find(|kind| kind.name() == name).ok_or_else(|| UnknownBackend(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_found_by_their_names() {
        for kind in BackendKind::all() {
            assert_eq!(kind.name().parse::<BackendKind>().unwrap().name(), kind.name());
            assert!(!kind.description().is_empty());
        }
        let error = "vmware".parse::<BackendKind>().unwrap_err().to_string();
        assert!(
            error.starts_with("there is no backend `vmware`; the backends are ") && error.contains("none"),
            "{error}"
        );
    }
}
