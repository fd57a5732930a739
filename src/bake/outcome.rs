//! How a bake ends: what it made, or why it failed, and what remains.

use std::time::Duration;

use serde::Serialize;

use super::duration;
use super::journal::JournalError;
use super::ports::{Check, ProviderError, RunnerError, Snapshot};
use super::resources::RemainingResource;
use super::spec::{LimitKind, Stage};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Product {
    pub snapshot: Snapshot,
    /// What the check script found.
    pub check: Option<Check>,
    /// Whether a droplet was started from it and passed.
    pub verified: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The snapshot exists, and nothing else.
    Done(Product),
    Failed {
        failure: Failure,
        /// What costs money and still exists.
        remaining: Vec<RemainingResource>,
        /// The snapshot is complete, and `mkimg resume` continues from here.
        resumable: bool,
    },
    Interrupted {
        /// What costs money and still exists.
        remaining: Vec<RemainingResource>,
    },
}

impl Outcome {
    /// The exit status of the command: 0 done, 3 failed and nothing remains, 4 failed and something remains, 130
    /// interrupted. A failed preflight has created nothing and is 2.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Done(_) => 0,
            Self::Failed { failure, remaining, .. } if failure.stage == Stage::Preflight && remaining.is_empty() => 2,
            Self::Failed { remaining, .. } if remaining.is_empty() => 3,
            Self::Failed { .. } => 4,
            Self::Interrupted { .. } => 130,
        }
    }

    /// What costs money and still exists.
    pub fn remaining(&self) -> &[RemainingResource] {
        match self {
            Self::Done(_) => &[],
            Self::Failed { remaining, .. } | Self::Interrupted { remaining } => remaining,
        }
    }

    /// Whether another process can continue it.
    pub fn is_resumable(&self) -> bool {
        matches!(self, Self::Failed { resumable: true, .. })
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{stage}: {kind}")]
pub struct Failure {
    pub stage: Stage,
    pub kind: FailureKind,
}

/// Why a bake failed. The command line adds what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FailureKind {
    /// A request to the provider failed for good.
    #[error("{0}")]
    Provider(Box<ProviderError>),
    /// The deadline of a wait has passed.
    #[error(
        "{what} took longer than {}{}",
        duration::exact(*limit),
        last.as_ref().map(|last| format!("; last: {last}")).unwrap_or_default()
    )]
    Timeout {
        /// What was awaited.
        what: String,
        kind: LimitKind,
        limit: Duration,
        /// What the last attempt saw.
        last: Option<String>,
        /// Where the droplet's log so far was saved.
        log: Option<Box<str>>,
    },
    /// The provider gave no usable answer for too long.
    #[error(
        "the API gave no usable answer for {} while mkimg waited for {what}; last: {last}",
        duration::exact(*budget)
    )]
    Unavailable {
        /// What was awaited.
        what: String,
        budget: Duration,
        last: Box<ProviderError>,
    },
    /// An action of the provider ended with `errored`.
    #[error("the provider's action {action} ({what}) ended with `errored`")]
    ActionErrored {
        action: u64,
        /// What it should have done.
        what: String,
    },
    /// A step on the droplet failed.
    #[error("on the droplet, step `{}` failed: {}", .0.error.step, .0.error.message)]
    Runner(Box<RunnerFailure>),
    /// The droplet powered off, or disappeared, by itself.
    #[error("{0}")]
    Droplet(String),
    /// What is to be uploaded to the droplet cannot be read.
    #[error("{0}")]
    Upload(String),
    /// The snapshot is not as it must be.
    #[error("{0}")]
    Snapshot(String),
    /// The answers to all create requests were lost, and no droplet was found.
    #[error(
        "no droplet with the tag of this bake came up after {attempts} requests that were not answered; last: {last}"
    )]
    CreateLost { attempts: u32, last: Box<ProviderError> },
    /// It had failed before, and its process ended while it cleaned up.
    #[error("{0} (said before the bake was resumed)")]
    Earlier(String),
    #[error("{0}")]
    Journal(JournalError),
    /// Nothing was created: the bake cannot work.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Preflight(Vec<PreflightProblem>),
}

/// Something that makes a bake impossible, found before it begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PreflightProblem {
    pub message: String,
    pub remedy: Option<PreflightRemedy>,
}

/// What helps against a [`PreflightProblem`]; the command line says how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreflightRemedy {
    /// Delete a droplet, or have the account's limit raised.
    FreeDroplets,
    /// Run no more than this number of bakes at a time.
    FewerBakes(u64),
    /// Name the SSH key by its number or fingerprint.
    NameSshKey,
}

/// What the droplet reported about its failure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunnerFailure {
    /// The step, its message, its last lines.
    pub error: RunnerError,
    /// The check's result, where it ran.
    pub check: Option<Check>,
    /// Where the whole log was saved.
    pub log: Option<String>,
}

impl Failure {
    pub(super) fn new(stage: Stage, kind: FailureKind) -> Self {
        Self { stage, kind }
    }

    pub(super) fn provider(stage: Stage, error: ProviderError) -> Self {
        Self::new(stage, FailureKind::Provider(Box::new(error)))
    }

    /// Where the droplet's log was saved.
    pub fn log(&self) -> Option<&str> {
        match &self.kind {
            FailureKind::Runner(runner) => runner.log.as_deref(),
            FailureKind::Timeout { log, .. } => log.as_deref(),
            _ => None,
        }
    }
}

/// Why a stage ended early.
#[derive(Debug)]
pub(super) enum Stop {
    Interrupted,
    Failed(Failure),
}

impl Stop {
    pub(super) fn failed(stage: Stage, kind: FailureKind) -> Self {
        Self::Failed(Failure::new(stage, kind))
    }

    pub(super) fn provider(stage: Stage, error: ProviderError) -> Self {
        Self::Failed(Failure::provider(stage, error))
    }
}
