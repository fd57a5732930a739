//! The interface between the cloud and the backend that its droplets run on.
//!
//! A backend knows machines, disks and addresses; it knows nothing about HTTP, accounts or actions.
//! What a machine does by itself (power off, crash) is reported as a [`MachineEvent`].

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

use super::scenario::Scenario;

/// The address at which a droplet reaches the allowed ports of the host's loopback interface.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// TCP ports of this machine's loopback interface that guests may reach, at [`GATEWAY`]. Clones share
/// them: a port can be added while the emulator runs.
#[derive(Debug, Clone, Default)]
pub struct HostPorts(Arc<RwLock<BTreeSet<u16>>>);

impl HostPorts {
    /// Allows one more port.
    pub fn allow(&self, port: u16) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(port);
    }

    /// Whether guests may reach this port.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&port)
    }
}

/// What a machine's disk starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskSource {
    /// A base image, by DigitalOcean's slug.
    Base(String),
    /// A snapshot, by its image id.
    Snapshot(u64),
}

/// A machine to be created.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The droplet's id, which also names the machine in every other call.
    pub id: u64,
    /// The droplet's name; becomes the host name.
    pub name: String,
    /// The slug of its region.
    pub region: String,
    /// Number of virtual processors.
    pub vcpus: u32,
    /// In MiB.
    pub memory: u32,
    /// In GiB.
    pub disk: u32,
    /// What its disk starts from.
    pub source: DiskSource,
    /// SSH keys of root.
    pub public_keys: Vec<String>,
    /// The user-data document.
    pub user_data: Option<String>,
    /// The droplet's tags.
    pub tags: Vec<String>,
    /// Its public address, from [`Backend::allocate_address`].
    pub address: Ipv4Addr,
    /// Its address in the private network, if it is on it.
    pub private_address: Option<Ipv4Addr>,
}

/// Something that a machine did by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineEvent {
    /// It powered off or ended in another way.
    Off {
        /// The machine's id.
        id: u64,
        /// What [`Backend::start`] returned: events of earlier boots are ignored.
        boot: u64,
        /// Why it ended, if that was unexpected.
        unexpected: Option<String>,
    },
}

/// Where a backend sends its events.
pub type EventSender = UnboundedSender<MachineEvent>;

/// Why a backend could not carry out a request.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BackendError {
    #[error("{program} is not installed; install {package} (on Debian: apt-get install {package})")]
    MissingProgram { program: &'static str, package: &'static str },
    #[error("there is no base image {slug} in {}{}", path.display(), with_hint(hint.as_deref()))]
    NoBase { slug: String, path: PathBuf, hint: Option<String> },
    #[error("the base image in {} cannot be used: {reason}{}", path.display(), with_hint(hint.as_deref()))]
    BadBase { path: PathBuf, reason: String, hint: Option<String> },
    #[error("snapshot {id} is not in {}", path.display())]
    NoSnapshot { id: u64, path: PathBuf },
    #[error("the snapshot in {} cannot be used: {reason}", path.display())]
    BadSnapshot { path: PathBuf, reason: String },
    #[error(
        "port {port} can't be forwarded from the droplet's address {address}: {source}; stop the program that listens on it (ss -ltnp 'sport = :{port}')"
    )]
    Port { address: Ipv4Addr, port: u16, source: std::io::Error },
    #[error("no loopback address is left for a droplet")]
    NoAddress,
    #[error("the image needs a disk of {needed} GiB, but the droplet's size has {disk} GiB")]
    DiskTooSmall { needed: u64, disk: u64 },
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{program} failed ({status}): {stderr}")]
    Program { program: &'static str, status: String, stderr: String },
    #[error("the disk that holds {} is full", path.display())]
    DiskFull { path: PathBuf },
    #[error("droplet {id}: the virtual machine ended at once: {reason}")]
    Died { id: u64, reason: String },
    #[error("droplet {id}: {what}")]
    Monitor { id: u64, what: String },
}

fn with_hint(hint: Option<&str>) -> String {
    hint.map_or(String::new(), |hint| format!("; {hint}"))
}

impl BackendError {
    /// Whether the client could do something about it with another request (422 instead of 500).
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::NoBase { .. } | Self::BadBase { .. } | Self::NoSnapshot { .. } | Self::DiskTooSmall { .. })
    }

    /// An I/O error with what was being done.
    pub fn io(what: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            std::io::ErrorKind::StorageFull => Self::DiskFull { path },
            _ => Self::Io { what, path, source },
        }
    }
}

/// Settings for all backends; each one reads those that it needs.
#[derive(Debug, Clone)]
pub struct BackendOptions {
    /// The state directory. The caller holds its lock.
    pub state: PathBuf,
    /// The folder of base images.
    pub cache: PathBuf,
    /// How to get a missing base image: from its slug to a hint that ends the error message.
    pub base_hint: Option<fn(&str) -> String>,
    /// TCP ports that must be reachable at every droplet's address.
    pub forward: Vec<u16>,
    /// TCP ports that are forwarded if they are free.
    pub forward_if_free: Vec<u16>,
    /// What guests may reach on this machine.
    pub host_ports: HostPorts,
    /// How long after its start a droplet without a machine powers off.
    pub off_after: Option<Duration>,
    /// What scripted droplets do; the last one repeats.
    pub scenarios: Vec<Scenario>,
}

/// A backend that is ready, with warnings for the user.
pub struct OpenBackend {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Features that are missing on this host.
    pub warnings: Vec<String>,
}

/// A backend's line in the registry.
pub struct BackendEntry {
    /// Its name on the command line.
    pub name: &'static str,
    /// What a droplet is, in a few words for `--help`.
    pub description: &'static str,
    /// Checks whether this host has what the backend needs.
    pub probe: fn() -> Result<(), BackendError>,
    /// Opens the backend; events of its machines go to the sender.
    pub open: fn(BackendOptions, EventSender) -> OpenFuture,
}

/// The result of [`BackendEntry::open`].
pub type OpenFuture = Pin<Box<dyn Future<Output = Result<OpenBackend, BackendError>> + Send>>;

/// What droplets run on. Every method may be called at any time and repeatedly; ids are those of
/// [`Machine::id`].
#[async_trait]
pub trait Backend: Send + Sync {
    /// Checks, before a droplet is accepted, whether it can be created from this source with a disk
    /// of this many GiB.
    async fn check_source(&self, source: &DiskSource, disk: u32) -> Result<(), BackendError>;
    /// Returns an address that no machine has yet.
    async fn allocate_address(&self) -> Result<Ipv4Addr, BackendError>;
    /// Creates the machine's disks, without starting it.
    async fn create(&self, machine: &Machine) -> Result<(), BackendError>;
    /// Starts the machine; the number identifies this boot in [`MachineEvent::Off`].
    async fn start(&self, machine: &Machine) -> Result<u64, BackendError>;
    /// Presses the power button. The guest may ignore it.
    async fn shutdown(&self, id: u64) -> Result<(), BackendError>;
    /// Presses the reset button.
    async fn reset(&self, id: u64) -> Result<(), BackendError>;
    /// Cuts the power and waits until the machine is off.
    async fn power_off(&self, id: u64) -> Result<(), BackendError>;
    /// Grows the disk of a machine that is off to this many GiB.
    async fn grow_disk(&self, id: u64, disk: u32) -> Result<(), BackendError>;
    /// Copies the disk of a machine that is off into an independent snapshot; returns how many
    /// bytes it takes.
    async fn snapshot(&self, id: u64, snapshot: u64, name: &str) -> Result<u64, BackendError>;
    /// Deletes a snapshot's files.
    async fn delete_snapshot(&self, snapshot: u64) -> Result<(), BackendError>;
    /// Ends the machine and deletes its disks.
    async fn destroy(&self, id: u64) -> Result<(), BackendError>;
    /// Ends all machines and waits for them.
    async fn stop_all(&self);
    /// Ends all machines without waiting: for a drop.
    fn kill_all(&self);
    /// The folder of a snapshot's files, if this backend has files.
    fn snapshot_dir(&self, _snapshot: u64) -> Option<PathBuf> {
        None
    }
    /// The serial console's log, if this backend has one.
    fn console_log(&self, _id: u64) -> Option<PathBuf> {
        None
    }
}
