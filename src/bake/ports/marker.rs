//! The droplet's status channel, and what a droplet reports on it.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::bake::duration::reported_seconds;

/// A droplet's report; `docs/design/first-boot.md` has the contract.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Status {
    /// The bake that the droplet was made for.
    pub bake: String,
    /// The state of its runner.
    pub state: RunnerState,
    /// Its steps, in order.
    #[serde(default)]
    pub steps: Vec<RunnerStep>,
    /// A part of its log.
    #[serde(default)]
    pub log: LogChunk,
    /// The check script's result.
    #[serde(default)]
    pub check: Option<Check>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<RunnerError>,
}

/// The state of the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunnerState {
    /// It is working.
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
    #[serde(rename = "seconds", default, with = "reported_seconds")]
    pub elapsed: Option<Duration>,
    /// Its exit status.
    #[serde(default)]
    pub exit: Option<i64>,
}

/// A part of the droplet's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LogChunk {
    /// The offset of the byte after this part.
    pub next: u64,
    /// The text.
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
    /// What did not pass.
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

/// Why there is no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// Nothing answers there yet: the connection was refused, or accepted without an answer.
    #[error("nothing answers at {0} yet")]
    NotUp(String),
    /// The server is not our droplet: another certificate, or no TLS at all.
    #[error("what answers at {address} is not this bake's droplet: {reason}")]
    WrongServer {
        /// The address.
        address: String,
        /// What shows it.
        reason: String,
    },
    /// The server holds our key and breaks the contract: a body too large, not JSON, another bake's status.
    #[error("the droplet at {address} sent an unexpected answer: {reason}")]
    BadAnswer {
        /// The address.
        address: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// A droplet's status channel. Each droplet has its own credentials.
#[async_trait]
pub trait Marker: Send + Sync {
    /// The status, with the log from byte `log_offset`.
    async fn status(&self, address: IpAddr, log_offset: u64) -> Result<Status, MarkerError>;
    /// Tells a droplet that has passed that its result was received; it then powers off.
    async fn acknowledge(&self, address: IpAddr) -> Result<(), MarkerError>;
    /// The whole log.
    async fn log(&self, address: IpAddr) -> Result<String, MarkerError>;
}
