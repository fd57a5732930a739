//! What a bake needs from outside: the provider's API, the status channel, the clock, an observer. (The journal's port is
//! in `journal`, with its entries.)
//!
//! To add a provider, implement [`Provider`] in a folder of `providers/`. Its errors must say whether the request may have
//! taken effect: that decides whether the machine looks first or requests again.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::duration::reported_seconds;
use super::resources::{RemainingResource, ResourceId};
use super::spec::{DropletSpec, Stage};

#[async_trait]
pub trait Clock: Send + Sync {
    /// Seconds since 1970. For tags and the journal only: it may jump.
    fn unix(&self) -> u64;
    /// Time since some moment. It never goes back.
    fn now(&self) -> Duration;
    async fn sleep(&self, duration: Duration);
}

/// What a bake reports while it works.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    Stage {
        stage: Stage,
        /// What it does.
        detail: String,
    },
    Droplet {
        id: u64,
        /// `build` or `verification`.
        role: String,
        address: Option<IpAddr>,
    },
    Step(RunnerStep),
    Log {
        line: String,
    },
    Complete,
    Checked(Check),
    /// Something unexpected that does not stop the bake.
    Warning {
        message: String,
    },
    /// Something worth knowing.
    Note {
        message: String,
    },
}

#[async_trait]
pub trait Observer: Send + Sync {
    fn event(&self, event: &Event);
    /// Asks whether to keep what a failed bake made.
    async fn keep(&self, why: &str, remaining: &[RemainingResource]) -> bool {
        let _ = (why, remaining);
        false
    }
}

/// A droplet's report; `docs/design/first-boot.md` has the contract.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Status {
    /// The bake that the droplet was made for.
    pub bake: String,
    pub state: RunnerState,
    /// Its steps, in order.
    #[serde(default)]
    pub steps: Vec<RunnerStep>,
    /// A part of its log.
    #[serde(default)]
    pub log: LogChunk,
    #[serde(default)]
    pub check: Option<Check>,
    #[serde(default)]
    pub error: Option<RunnerError>,
    /// The offset of the byte that it waits for, while files are uploaded.
    #[serde(default)]
    pub upload: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunnerState {
    Running,
    /// Everything is installed and cleaned up; the check runs. The completion marker.
    Complete,
    /// Final: the check passed.
    Passed,
    /// Final: a step failed.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunnerStep {
    /// Such as `script 01-users.sh`.
    pub name: String,
    /// `pending`, `running`, `passed`, `failed` or `skipped`.
    pub state: String,
    /// How long it took or has taken.
    #[serde(rename = "seconds", default, with = "reported_seconds")]
    pub elapsed: Option<Duration>,
    #[serde(default)]
    pub exit: Option<i64>,
}

/// A part of the droplet's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LogChunk {
    /// The offset of the byte after this part.
    pub next: u64,
    pub text: String,
}

/// What the check script found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
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
    #[serde(default)]
    pub findings: Vec<CheckFinding>,
}

/// One finding of the check script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFinding {
    /// `fail` or `warn`.
    pub level: String,
    pub text: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerError {
    pub step: String,
    pub message: String,
    #[serde(default)]
    pub exit: Option<i64>,
    /// The last lines of its log.
    #[serde(default)]
    pub tail: String,
}

/// Why the status could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// Nothing answers there yet: the connection was refused, or accepted without an answer.
    #[error("nothing answers at {0} yet")]
    NotUp(String),
    /// The server is not our droplet: another certificate, or no TLS at all.
    #[error("what answers at {address} is not this bake's droplet: {reason}")]
    WrongServer {
        address: String,
        /// What shows it.
        reason: String,
    },
    /// The server holds our key and breaks the contract: a body too large, not JSON, another bake's status.
    #[error("the droplet at {address} sent an unexpected answer: {reason}")]
    BadAnswer {
        address: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// What should be uploaded cannot be read on this machine.
    #[error("cannot read {path}, which is to be uploaded: {reason}")]
    Upload { path: String, reason: String },
}

/// A droplet's status channel. Each droplet has its own credentials.
#[async_trait]
pub trait Marker: Send + Sync {
    /// The status, with the log from byte `log_offset`.
    async fn status(&self, address: IpAddr, log_offset: u64) -> Result<Status, MarkerError>;
    /// Tells a droplet that has passed that its result was received; it then powers off.
    async fn acknowledge(&self, address: IpAddr) -> Result<(), MarkerError>;
    async fn log(&self, address: IpAddr) -> Result<String, MarkerError>;
    /// Sends a chunk of the upload, from byte `offset` on. Returns the offset of the byte that the droplet waits for then,
    /// or `None` if it has all.
    async fn upload(&self, address: IpAddr, offset: u64) -> Result<Option<u64>, MarkerError>;
}

/// The account that the token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// E-mail address, or the team's name.
    pub name: String,
    /// `active`, `warning` or `locked`.
    pub status: String,
    /// Why, where it is not active.
    pub status_message: String,
    /// How many droplets it may have at once.
    pub droplet_limit: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// Such as `s-1vcpu-1gb`.
    pub slug: String,
    /// Whether new droplets may have it.
    pub available: bool,
    /// Where, if the provider says so.
    pub regions: Option<Vec<String>>,
    /// US dollars an hour, if the provider says so.
    pub price_hourly: Option<f64>,
    /// US dollars a month, if the provider says so.
    pub price_monthly: Option<f64>,
    /// Disk in GiB; no snapshot of it is larger.
    pub disk_gib: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Such as `nyc3`.
    pub slug: String,
    /// Whether it takes new droplets.
    pub available: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Slug or number.
    pub name: String,
    /// Where it can be used.
    pub regions: Vec<String>,
    /// `available`, `new`, `retired` …
    pub status: String,
    /// The smallest disk that it fits on, GiB.
    pub min_disk_gib: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropletStatus {
    /// Being created.
    New,
    Active,
    Off,
    Archive,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Droplet {
    pub id: u64,
    pub name: String,
    pub status: DropletStatus,
    /// Whether an event holds it.
    pub locked: bool,
    /// Its public IPv4 address, once it has one.
    pub address: Option<IpAddr>,
    pub tags: Vec<String>,
}

/// A request for a droplet.
#[derive(Debug)]
pub struct CreateDroplet<'a> {
    /// What the template asks for.
    pub spec: &'a DropletSpec,
    /// The name, where it differs from the template's.
    pub name: &'a str,
    /// The image, where it differs from the template's.
    pub image: &'a str,
    pub tags: Vec<String>,
    /// The user-data document, with the bake's own entry: secret.
    pub user_data: &'a SecretString,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropletAction<'a> {
    /// Asks the guest to shut down.
    Shutdown,
    PowerOff,
    /// Makes a snapshot of this name.
    Snapshot(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionStatus {
    InProgress,
    Completed,
    Errored,
}

/// Something that the provider does in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub id: u64,
    /// Its kind, such as `snapshot`.
    pub kind: String,
    pub status: ActionStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// A string, although the same image has an integer as its number.
    pub id: String,
    pub name: String,
    pub regions: Vec<String>,
    pub tags: Vec<String>,
    /// The droplet that it was made from.
    pub droplet: Option<u64>,
    /// Compressed size in GB, as the provider bills it.
    pub size_gb: f64,
}

/// The provider's API. Implementations retry reads and deletes, but never a create.
#[async_trait]
pub trait Provider: Send + Sync {
    async fn account(&self) -> Result<Account, ProviderError>;
    async fn droplet_count(&self) -> Result<u64, ProviderError>;
    async fn sizes(&self) -> Result<Vec<Size>, ProviderError>;
    async fn regions(&self) -> Result<Vec<Region>, ProviderError>;
    /// An image by its slug or number. `None`: there is none. `NotFound`: this API does not tell.
    async fn image(&self, name: &str) -> Result<Option<Image>, ProviderError>;
    /// The region of a private network, or an empty string; `None` and `NotFound` as with an image.
    async fn vpc_region(&self, uuid: &str) -> Result<Option<String>, ProviderError>;
    /// Whether the account has this SSH key (number or fingerprint). `NotFound`: this API does not tell.
    async fn has_ssh_key(&self, key: &str) -> Result<bool, ProviderError>;
    /// All snapshots of droplets.
    async fn snapshots(&self) -> Result<Vec<Snapshot>, ProviderError>;
    async fn snapshot(&self, id: &str) -> Result<Snapshot, ProviderError>;
    /// Requests a droplet; the answer means only that the request was accepted.
    async fn create_droplet(&self, request: &CreateDroplet<'_>) -> Result<Droplet, ProviderError>;
    async fn droplet(&self, id: u64) -> Result<Droplet, ProviderError>;
    async fn droplets_tagged(&self, tag: &str) -> Result<Vec<Droplet>, ProviderError>;
    async fn droplet_action(&self, id: u64, action: DropletAction<'_>) -> Result<Action, ProviderError>;
    /// A droplet's actions, newest first.
    async fn droplet_actions(&self, id: u64) -> Result<Vec<Action>, ProviderError>;
    /// One action of a droplet or a snapshot.
    async fn action(&self, id: u64, of: &ResourceId) -> Result<Action, ProviderError>;
    /// The snapshots made from a droplet.
    async fn droplet_snapshots(&self, id: u64) -> Result<Vec<Snapshot>, ProviderError>;
    /// Puts a tag on a snapshot; creates the tag if there is none.
    async fn tag_snapshot(&self, id: &str, tag: &str) -> Result<(), ProviderError>;
    async fn untag_snapshot(&self, id: &str, tag: &str) -> Result<(), ProviderError>;
    /// Deletes a tag that nothing carries any more.
    async fn delete_tag(&self, tag: &str) -> Result<(), ProviderError>;
    async fn transfer(&self, snapshot: &str, region: &str) -> Result<Action, ProviderError>;
    async fn delete_droplet(&self, id: u64) -> Result<(), ProviderError>;
    async fn delete_snapshot(&self, id: &str) -> Result<(), ProviderError>;
    /// How many requests were sent, retries included.
    fn requests_sent(&self) -> u64;
}

/// Why a request failed, as far as it decides what the machine does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderErrorKind {
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 422 because another event holds the resource: wait, then request it again.
    Pending,
    /// Another 4xx: a second request gives the same.
    Refused,
    /// 429, after all retries.
    RateLimited,
    /// The request was never sent: no connection.
    Unreachable,
    /// 5xx, no answer, or an answer that cannot be read: the request may have taken effect.
    Unanswered,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ProviderError {
    /// Why, for the machine.
    pub kind: ProviderErrorKind,
    /// Method and path.
    pub request: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// The provider's id of the request, for its support.
    pub request_id: Option<String>,
    /// What went wrong, in a sentence.
    pub message: String,
    /// What to do about it, if the provider's client knows.
    pub advice: Option<String>,
    /// How long the provider asked us to wait.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.request)?;
        if let Some(status) = self.status {
            write!(f, "{status}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl ProviderError {
    /// Whether a later request may succeed.
    pub fn is_transient(&self) -> bool {
        use ProviderErrorKind as K;
        matches!(self.kind, K::Pending | K::RateLimited | K::Unreachable | K::Unanswered)
    }

    /// Whether the request may have taken effect.
    pub fn is_ambiguous(&self) -> bool {
        self.kind == ProviderErrorKind::Unanswered
    }
}
