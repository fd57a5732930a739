//! The port behind which droplets run.
//!
//! A backend knows machines, disks and addresses, and nothing of HTTP, accounts or actions. What happens to a machine
//! by itself (it powers off, it crashes) comes back as an [`Event`].
//!
//! To add a backend: implement [`Backend`], name it in [`super::BackendKind`] and open it in [`open`].

mod addresses;
mod none;
mod running;
mod scripted;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

pub use self::scripted::{BadScenario, Scenario};
use crate::{BackendKind, Config};

/// What a machine starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A base image, by DigitalOcean's slug.
    Base(String),
    /// A snapshot, by its image id.
    Snapshot(u64),
}

/// A machine to be made.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The droplet's id; names the machine from here on.
    pub id: u64,
    pub name: String,
    pub region: String,
    pub vcpus: u32,
    /// In MiB.
    pub memory: u32,
    /// In GiB.
    pub disk: u32,
    pub source: Source,
    pub public_keys: Vec<String>,
    pub user_data: Option<String>,
    pub tags: Vec<String>,
    pub address: Ipv4Addr,
    /// In the network that all machines share; without one it is not on it.
    pub private: Option<Ipv4Addr>,
}

/// What became of a machine's disk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Copied {
    /// Bytes that the snapshot takes.
    pub bytes: u64,
}

/// What a machine did by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It powered off, or ended in any other way. `boot` is what [`Backend::start`] returned.
    Off { id: u64, boot: u64, unexpected: Option<String> },
}

/// Why a backend could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{program} is not installed; install {package} (on Debian: apt-get install {package})")]
    MissingProgram { program: String, package: &'static str },
    #[error("there is no base image {slug} in {}; make one with: mkimg base {}", path.display(), how(slug))]
    NoBase { slug: String, path: PathBuf },
    #[error("the base image in {} can't be used: {reason}; make it again with: mkimg base {}", path.display(), how(slug))]
    BadBase { slug: String, path: PathBuf, reason: String },
    #[error("snapshot {id} is not in {}", path.display())]
    NoSnapshot { id: u64, path: PathBuf },
    #[error("the snapshot in {} can't be used: {reason}", path.display())]
    BadSnapshot { path: PathBuf, reason: String },
    #[error(
        "port {port} can't be forwarded from the droplet's address {address}: {source}; stop what listens on it (ss -ltnp 'sport = :{port}')"
    )]
    Port { address: Ipv4Addr, port: u16, source: std::io::Error },
    #[error("no loopback address is left for a droplet")]
    NoAddress,
    #[error("the image needs a disk of {needed} GiB, the droplet's size has {disk} GiB")]
    DiskTooSmall { needed: u64, disk: u64 },
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{program} failed ({status}): {stderr}")]
    Program { program: String, status: String, stderr: String },
    #[error("the disk that holds {} is full", path.display())]
    DiskFull { path: PathBuf },
    #[error("droplet {id}: the virtual machine ended at once: {reason}")]
    Died { id: u64, reason: String },
    #[error("droplet {id}: {what}")]
    Monitor { id: u64, what: String },
}

/// Which sub-command makes the base image of this slug.
fn how(slug: &str) -> String {
    let verb = if slug.starts_with("debian-") { "build" } else { "pull" };
    format!("{verb} {slug}")
}

impl Error {
    /// Whether the person who asked can do something about it with another request (422), or not (500).
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::NoBase { .. } | Self::BadBase { .. } | Self::NoSnapshot { .. } | Self::DiskTooSmall { .. })
    }

    /// An I/O error with what was being done; a full disk is told apart.
    pub fn io(what: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        let path = path.into();
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::DiskFull { path };
        }
        Self::Io { what, path, source }
    }
}

/// Where droplets run. Every method may be called at any time and again; ids are those of [`Machine::id`].
#[async_trait]
pub trait Backend: Send + Sync {
    /// Asked before a droplet is accepted: would a machine from this source, with a disk of this many GiB, be possible?
    async fn admit(&self, source: &Source, disk: u32) -> Result<(), Error>;
    /// An address that no machine has yet.
    async fn allocate(&self) -> Result<Ipv4Addr, Error>;
    /// Makes the machine's disks. Does not start it.
    async fn create(&self, machine: &Machine) -> Result<(), Error>;
    /// Starts it; the number names this boot in [`Event::Off`].
    async fn start(&self, machine: &Machine) -> Result<u64, Error>;
    /// Presses the power button. The guest may ignore it.
    async fn shutdown(&self, id: u64) -> Result<(), Error>;
    /// Presses the reset button.
    async fn reset(&self, id: u64) -> Result<(), Error>;
    /// Pulls the plug and waits until it is off.
    async fn power_off(&self, id: u64) -> Result<(), Error>;
    /// Grows the machine's disk to this many GiB. It is off.
    async fn grow(&self, id: u64, disk: u32) -> Result<(), Error>;
    /// Copies the disk of a machine that is off into a snapshot of its own.
    async fn snapshot(&self, id: u64, snapshot: u64, name: &str) -> Result<Copied, Error>;
    async fn delete_snapshot(&self, snapshot: u64) -> Result<(), Error>;
    /// Ends the machine and removes its disks.
    async fn destroy(&self, id: u64) -> Result<(), Error>;
    /// Ends every machine and waits for it.
    async fn stop_all(&self);
    /// Ends every machine at once, without waiting: for a drop.
    fn kill_all(&self);
    fn snapshot_dir(&self, _snapshot: u64) -> Option<PathBuf> {
        None
    }
    fn console_log(&self, _id: u64) -> Option<PathBuf> {
        None
    }
}

/// Opens the backend that the configuration names; the strings are warnings for a person.
#[cfg_attr(not(feature = "qemu"), allow(clippy::unused_async, reason = "QEMU is probed for"))]
pub async fn open(config: &Config, events: UnboundedSender<Event>) -> Result<(Arc<dyn Backend>, Vec<String>), Error> {
    match &config.backend {
        BackendKind::None { off_after } => Ok((Arc::new(none::Nothing::new(*off_after, events)), Vec::new())),
        BackendKind::Scripted { scenarios } => {
            Ok((Arc::new(scripted::Scripted::new(scenarios.clone(), events)), Vec::new()))
        }
        #[cfg(feature = "qemu")]
        BackendKind::Qemu => {
            let (backend, warnings) = crate::qemu::Qemu::open(config, events).await?;
            Ok((Arc::new(backend), warnings))
        }
    }
}
