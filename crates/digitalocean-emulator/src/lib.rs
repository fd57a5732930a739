//! DigitalOcean's v2 API for droplets, images and snapshots, in this process, with pluggable
//! machine backends.
//!
//! An [`Emulator`] serves the API on a loopback address. Any client of DigitalOcean that can be
//! given another base URL works with it. Droplets are QEMU virtual machines, or have no machine at
//! all, which is fast enough for unit tests. Faults, delays and rate limits can be injected.
//!
//! ```
//! use digitalocean_emulator::{BackendKind, Config, start};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let state = tempfile::tempdir()?;
//! let config = Config {
//!     backend: BackendKind::NONE,
//!     faults: vec!["POST /v2/droplets#1:503".parse()?],
//!     ..Config::new("secret".to_owned().into(), state.path().join("state"), state.path().join("cache"))
//! };
//! let emulator = start(config).await?;
//!
//! // Point any client at this URL, with the token "secret".
//! assert!(emulator.url().starts_with("http://127.0.0.1:"));
//! emulator.stop().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! The layers, from the outside in: `api` speaks HTTP and DigitalOcean's JSON; `cloud` holds the
//! account, moves it through its states and keeps it on disk; [`backend`] is the interface behind
//! which droplets run; `base` makes the disks that virtual machines start from (with the cargo
//! feature `qemu`).

#![warn(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "edge: files, network, processes and clock of the emulated cloud")]

mod api;
pub mod backend;
#[cfg(feature = "qemu")]
pub mod base;
mod catalog;
mod cloud;
mod config;
pub mod faults;
mod rate_limit;
mod support;
mod timing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::backend::{BackendKind, GATEWAY, HostPorts, ParseScenarioError, Scenario};
use self::cloud::Cloud;
pub use self::cloud::remove_abandoned;
pub use self::config::{Config, Error, USUAL_PORTS};
pub use self::faults::FaultSpec;
pub use self::rate_limit::{ParseRateLimitError, RateLimit};
pub use self::timing::{ParseTimingError, Timing};

/// An emulator that runs in this process. Dropping it ends its droplets too, without waiting for
/// them.
pub struct Emulator {
    url: String,
    cloud: Arc<Cloud>,
    server: tokio::task::JoinHandle<()>,
    warnings: Vec<String>,
}

/// Starts an emulator: locks the state directory, resumes what it finds there, and serves the API.
pub async fn start(config: Config) -> Result<Emulator, Error> {
    if !config.listen.ip().is_loopback() {
        return Err(Error::NotLoopback { address: config.listen });
    }
    let refused = |source| Error::Listen { address: config.listen, source };
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(refused)?;
    let url = format!("http://{}", listener.local_addr().map_err(refused)?);
    let rate_limit = config.rate_limit;
    let (cloud, warnings) = cloud::open(config, url.clone()).await?;
    let server = tokio::spawn(api::serve(listener, Arc::clone(&cloud), rate_limit));
    Ok(Emulator { url, cloud, server, warnings })
}

impl Emulator {
    /// The API's base URL, without a path: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Warnings for the user: ports that are not forwarded, missing hardware virtualisation.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The folder of a snapshot: `disk.qcow2`, `snapshot.json` and, for images without a boot
    /// loader, `vmlinuz` and `initrd`. `None` if there is no such snapshot, or the backend has no
    /// disks.
    pub fn snapshot_dir(&self, id: u64) -> Option<PathBuf> {
        self.cloud.backend().snapshot_dir(id)
    }

    /// The log of a droplet's serial console, which grows. `None` if the backend has none.
    pub fn console_log(&self, droplet: u64) -> Option<PathBuf> {
        self.cloud.backend().console_log(droplet)
    }

    /// What went wrong with a droplet, even if it is gone: why its machine ended unexpectedly, and
    /// why actions ended with `errored`. The API does not say that.
    pub fn failures(&self, droplet: u64) -> Vec<String> {
        self.cloud.read(|state| state.failures(droplet))
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        self.cloud.state_dir()
    }

    /// Ends all droplets as a power cut would, writes the state and closes the API.
    pub async fn stop(self) -> Result<(), Error> {
        self.server.abort();
        self.cloud.close().await
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.server.abort();
        self.cloud.abandon();
    }
}
