//! DigitalOcean's v2 API in this process, with droplets that are real virtual machines.
//!
//! The layers, from the outside in: [`api`] speaks HTTP and DigitalOcean's JSON; [`cloud`] holds the account (droplets,
//! images, actions, keys, tags), moves it through its states and keeps it on disk; [`backend`] is the port behind which
//! droplets run; `qemu` runs them as virtual machines and `base` makes the disks that they start from (both only with
//! the cargo feature `qemu`).
//!
//! To add a route: one function in `api/` and one line in its router. To add a backend: implement
//! [`backend::Backend`] and name it in [`BackendKind`].

#![allow(clippy::disallowed_methods, reason = "edge: files, network, processes and clock of the emulated cloud")]

mod api;
pub mod backend;
#[cfg(feature = "qemu")]
pub mod base;
mod catalog;
mod cloud;
pub mod fault;
#[cfg(feature = "qemu")]
mod qemu;
mod timing;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

pub use self::api::RateLimit;
pub use self::backend::{BadScenario, Scenario};
pub use self::timing::{BadTiming, Timing};
use crate::cloud::Cloud;

/// The address under which a droplet reaches the loopback of the machine that the emulator runs on.
pub const GATEWAY: &str = "10.0.2.2";

/// The ports that are forwarded from a droplet's address when they are free, if nothing else is said.
pub const USUAL_PORTS: [u16; 4] = [22, 80, 443, 8443];

/// What an emulator is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the API listens. Port 0 takes any free one; [`Running::url`] says which.
    pub listen: SocketAddr,
    /// The bearer token that every request must show.
    pub token: SecretString,
    /// Where the account, the droplets' disks and logs and the snapshots are kept. Made when it is not there.
    pub state: PathBuf,
    /// Where base images are kept, by slug: `<cache>/<slug>/disk.qcow2`. See `base::default_cache`.
    pub cache: PathBuf,
    /// What droplets are.
    pub backend: BackendKind,
    /// TCP ports that must be reachable at every droplet's address. One that can't be had is an error.
    pub forward: Vec<u16>,
    /// TCP ports that are forwarded where they are free and may be bound; others are left out with a warning.
    pub forward_if_free: Vec<u16>,
    /// How long the service takes for things that are instantaneous here.
    pub timing: Timing,
    /// What goes wrong, and when.
    pub faults: Vec<fault::Spec>,
    /// How far lists, and look-ups by tag, lag behind what was done.
    pub list_lag: Duration,
    /// The rate limit that is enforced; without one it is only reported.
    pub rate_limit: Option<RateLimit>,
}

impl Config {
    /// An emulator with QEMU droplets on a free loopback port, with the usual ports forwarded.
    pub fn new(token: SecretString, state: PathBuf, cache: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token,
            state,
            cache,
            backend: BackendKind::default(),
            forward: Vec::new(),
            forward_if_free: USUAL_PORTS.to_vec(),
            timing: Timing::default(),
            faults: Vec::new(),
            list_lag: Duration::ZERO,
            rate_limit: None,
        }
    }
}

/// What a droplet is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "qemu", derive(Default))]
pub enum BackendKind {
    /// A QEMU virtual machine.
    #[cfg(feature = "qemu")]
    #[default]
    Qemu,
    /// Nothing: the state machine alone. A droplet turns itself `off` this long after it was started, or never.
    None { off_after: Option<Duration> },
    /// No machine, but what a bake's controller sees of one: a status channel that plays a scenario. The first droplet
    /// plays the first one, and so on; the last is played by all that follow.
    Scripted { scenarios: Vec<Scenario> },
}

#[cfg(not(feature = "qemu"))]
impl Default for BackendKind {
    fn default() -> Self {
        Self::None { off_after: None }
    }
}

/// Why an emulator could not be started, or stopped working.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the emulator can't listen on {address}: {source}; choose another with --listen, or 127.0.0.1:0 for any free port"
    )]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(
        "the emulator listens on loopback addresses only, not on {address}: its droplets would be open to the network"
    )]
    NotLoopback { address: SocketAddr },
    #[error("the state directory {}: {what}: {source}", path.display())]
    State { path: PathBuf, what: &'static str, source: std::io::Error },
    #[error("the disk with the state {} is full: {source}; make room there, or destroy droplets or snapshots", path.display())]
    Full { path: PathBuf, source: std::io::Error },
    #[error("the state in {} can't be read: {reason}; move it away, or choose another --state", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("the state directory {} is in use by another emulator (process {pid})", path.display())]
    InUse { path: PathBuf, pid: u32 },
    #[error(transparent)]
    Backend(#[from] backend::Error),
}

/// An emulator that runs in this process. Dropping it ends its droplets too, without waiting for them.
pub struct Running {
    address: SocketAddr,
    cloud: Arc<Cloud>,
    server: tokio::task::JoinHandle<()>,
    warnings: Vec<String>,
}

/// Starts an emulator: takes the state directory, goes on with what it finds there, and serves the API.
pub async fn start(config: Config) -> Result<Running, Error> {
    if !config.listen.ip().is_loopback() {
        return Err(Error::NotLoopback { address: config.listen });
    }
    let refused = |source| Error::Listen { address: config.listen, source };
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let (cloud, warnings) = Cloud::open(&config, format!("http://{address}")).await?;
    let serve = api::serve(listener, Arc::clone(&cloud), config.rate_limit);
    let server = tokio::spawn(serve);
    Ok(Running { address, cloud, server, warnings })
}

/// Removes what killed emulators left below `folder`, in state directories whose names begin with `prefix`; how many there were.
pub fn remove_abandoned(folder: &Path, prefix: &str) -> usize {
    cloud::store::remove_abandoned(folder, prefix)
}

impl Running {
    /// The API's base URL, without a path: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address under which a droplet reaches this machine's loopback.
    pub fn gateway(&self) -> &'static str {
        GATEWAY
    }

    /// What a person should know: ports that are left out, hardware virtualisation that is not to be had.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Where a snapshot lies: a folder with `disk.qcow2`, `snapshot.json` and, for images that boot that way, `vmlinuz`
    /// and `initrd`. `None` when there is no such snapshot, or the backend has no disks.
    pub fn snapshot_dir(&self, id: u64) -> Option<PathBuf> {
        self.cloud.snapshot_dir(id)
    }

    /// A droplet's serial console, as it grows. `None` when the backend has none.
    pub fn console_log(&self, droplet: u64) -> Option<PathBuf> {
        self.cloud.console_log(droplet)
    }

    /// What went wrong with a droplet, also with one that is gone, which the API does not say: why its machine ended when
    /// nobody asked it to, why an action ended with `errored`.
    pub fn mishaps(&self, droplet: u64) -> Vec<String> {
        self.cloud.look(|state| state.mishaps(droplet))
    }

    /// Where the state is kept.
    pub fn state(&self) -> &Path {
        self.cloud.directory()
    }

    /// Ends every droplet (as if the power went), writes the state and closes the API.
    pub async fn stop(self) -> Result<(), Error> {
        self.server.abort();
        self.cloud.close().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
        self.cloud.abandon();
    }
}
