//! How an emulator is configured, and why it cannot start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::backend::{BackendError, BackendKind, HostPorts, Scenario};
use crate::faults::FaultSpec;
use crate::rate_limit::RateLimit;
use crate::timing::Timing;

/// Ports of a droplet's address that [`Config::new`] forwards if they are free.
pub const USUAL_PORTS: [u16; 4] = [22, 80, 443, 8443];

/// Settings of an emulator.
#[derive(Debug, Clone)]
pub struct Config {
    /// The loopback address of the API. Port 0 takes any free port; `Emulator::url` has the real
    /// one.
    pub listen: SocketAddr,
    /// The bearer token that every request must carry.
    pub token: SecretString,
    /// The folder of the account, the droplets' disks and logs, and the snapshots. Created if it is
    /// missing.
    pub state: PathBuf,
    /// The folder of base images, by slug: `<cache>/<slug>/disk.qcow2`. See `base::default_cache`.
    pub cache: PathBuf,
    /// What droplets run on.
    pub backend: BackendKind,
    /// With [`BackendKind::NONE`]: how long after its start a droplet powers off. Without it, it
    /// stays on.
    pub off_after: Option<Duration>,
    /// With [`BackendKind::SCRIPTED`]: what each droplet does, in the order of creation. The last
    /// one repeats.
    pub scenarios: Vec<Scenario>,
    /// TCP ports that must be reachable at every droplet's address. It is an error if one is not
    /// available.
    pub forward: Vec<u16>,
    /// TCP ports that are forwarded if they are free; for others there is a warning.
    pub forward_if_free: Vec<u16>,
    /// What droplets may reach on this machine, at the address [`GATEWAY`](crate::GATEWAY): nothing
    /// by default.
    pub host_ports: HostPorts,
    /// Ends the error message about a missing base image: from its slug to how to get it.
    pub base_hint: Option<fn(&str) -> String>,
    /// How long actions and answers take.
    pub timing: Timing,
    /// What goes wrong, and when.
    pub faults: Vec<FaultSpec>,
    /// How far lists and look-ups by tag lag behind.
    pub list_lag: Duration,
    /// The rate limit to enforce. Without one, the service's usual limit is only reported.
    pub rate_limit: Option<RateLimit>,
}

impl Config {
    /// An emulator with the default backend on a free loopback port, with the usual ports
    /// forwarded.
    pub fn new(token: SecretString, state: PathBuf, cache: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token,
            state,
            cache,
            backend: BackendKind::default(),
            off_after: None,
            scenarios: Vec::new(),
            forward: Vec::new(),
            forward_if_free: USUAL_PORTS.to_vec(),
            host_ports: HostPorts::default(),
            base_hint: None,
            timing: Timing::default(),
            faults: Vec::new(),
            list_lag: Duration::ZERO,
            rate_limit: None,
        }
    }
}

/// Why an emulator could not be started, or could not write its state.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
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
    #[error("the disk with the state {} is full: {source}; free space there, or destroy droplets or snapshots", path.display())]
    DiskFull { path: PathBuf, source: std::io::Error },
    #[error("the state in {} can't be read: {reason}; move it away, or choose another --state", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("the state directory {} is in use by another emulator (process {pid})", path.display())]
    InUse { path: PathBuf, pid: u32 },
    #[error(transparent)]
    Backend(#[from] BackendError),
}
