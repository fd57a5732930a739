//! The droplet's status channel, and what a droplet says of itself on it.

use std::net::IpAddr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// What the droplet says of itself; `docs/design/first-boot.md` has the contract.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Status {
    /// The bake that the droplet was made for.
    pub bake: String,
    /// Where its runner stands.
    pub state: RunnerState,
    /// Its steps, in order.
    #[serde(default)]
    pub steps: Vec<RunnerStep>,
    /// A piece of its log.
    #[serde(default)]
    pub log: LogPiece,
    /// The check script's result.
    #[serde(default)]
    pub check: Option<Check>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<RunnerError>,
}

/// Where the runner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunnerState {
    /// At work.
    Running,
    /// Everything is installed and cleaned up; the check runs. The completion marker.
    Complete,
    /// Final: the check passed.
    Passed,
    /// Final: a step failed.
    Failed,
}

/// One step of the runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunnerStep {
    /// Such as `script 01-users.sh`.
    pub name: String,
    /// `pending`, `running`, `passed`, `failed` or `skipped`.
    pub state: String,
    /// How long it took or has taken.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Its exit status.
    #[serde(default)]
    pub exit: Option<i64>,
}

/// A piece of the droplet's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LogPiece {
    /// The byte after this piece.
    pub next: u64,
    /// The piece.
    pub text: String,
}

/// What the check script found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its exit status.
    #[serde(default)]
    pub exit: Option<i64>,
    /// Lines with `[PASS]`.
    #[serde(default)]
    pub passed: u64,
    /// Lines with `[WARN]`.
    #[serde(default)]
    pub warnings: u64,
    /// Lines with `[FAIL]`.
    #[serde(default)]
    pub failed: u64,
    /// What was not passed.
    #[serde(default)]
    pub findings: Vec<CheckFinding>,
}

/// One finding of the check script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFinding {
    /// `fail` or `warn`.
    pub level: String,
    /// The line.
    pub text: String,
}

/// Why the runner failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerError {
    /// The step.
    pub step: String,
    /// Why.
    pub message: String,
    /// Its exit status.
    #[serde(default)]
    pub exit: Option<i64>,
    /// The last lines of its log.
    #[serde(default)]
    pub tail: String,
}

/// Why the status channel gave no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// Nothing answers there yet: refused, or accepted and silent.
    #[error("nothing answers at {0} yet")]
    NotUp(String),
    /// Somebody answers who is not our droplet: another certificate, or no TLS at all.
    #[error("what answers at {address} is not this bake's droplet: {reason}")]
    WrongServer {
        /// Where.
        address: String,
        /// How we know.
        reason: String,
    },
    /// It holds our key and breaks the contract: a body too large, no JSON, another bake's status.
    #[error("the droplet at {address} answers out of contract: {reason}")]
    Hostile {
        /// Where.
        address: String,
        /// How.
        reason: String,
    },
}

/// The droplet's status channel. One per droplet: each has credentials of its own.
#[async_trait]
pub trait Marker: Send + Sync {
    /// The status, with the log from byte `log_offset`.
    async fn status(&self, address: IpAddr, log_offset: u64) -> Result<Status, MarkerError>;
    /// Tells a droplet that has passed that its result was received: it powers off.
    async fn acknowledge(&self, address: IpAddr) -> Result<(), MarkerError>;
    /// The whole log.
    async fn log(&self, address: IpAddr) -> Result<String, MarkerError>;
}
