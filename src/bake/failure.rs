//! Why a bake fails, and what to do about it.

use super::journal::JournalError;
use super::ports::{Check, ProviderError, RunnerError};
use super::spec::Stage;

/// A bake that failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{stage}: {kind}")]
pub struct Failure {
    /// The step.
    pub stage: Stage,
    /// Why.
    pub kind: FailureKind,
}

/// Why a bake failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FailureKind {
    /// A request to the provider failed for good.
    #[error("{0}")]
    Provider(ProviderError),
    /// A wait came to its limit.
    #[error("{what} took longer than {limit}{}", last.as_ref().map(|l| format!("; last: {l}")).unwrap_or_default())]
    Timeout {
        /// What was awaited.
        what: String,
        /// The limit, as it is written on the command line.
        limit: String,
        /// The option that moves the limit.
        option: &'static str,
        /// What the last look gave.
        last: Option<String>,
        /// Where the droplet's log so far was saved.
        log: Option<Box<str>>,
    },
    /// Nothing of use was heard from the provider for too long.
    #[error("the API gave no usable answer for {limit} while mkimg waited for {what}; last: {last}")]
    Silent {
        /// What was awaited.
        what: String,
        /// The limit, as it is written on the command line.
        limit: String,
        /// The last answer.
        last: Box<ProviderError>,
    },
    /// An action of the provider ended with `errored`.
    #[error("the provider's action {action} ({what}) ended with `errored`")]
    Errored {
        /// Its number.
        action: u64,
        /// What it should have done.
        what: String,
    },
    /// A step on the droplet failed.
    #[error("on the droplet, step `{}` failed: {}", .0.error.step, .0.error.message)]
    Runner(Box<RunnerFailure>),
    /// The droplet went off, or away, by itself.
    #[error("{0}")]
    Droplet(String),
    /// The snapshot is not as it must be.
    #[error("{0}")]
    Snapshot(String),
    /// A create whose answer was lost, and no droplet was found.
    #[error(
        "no droplet with the tag of this bake came up after {attempts} requests that were not answered; last: {last}"
    )]
    CreateLost {
        /// How many.
        attempts: u32,
        /// The last answer.
        last: Box<ProviderError>,
    },
    /// It had failed before, and its process ended while it cleaned up.
    #[error("{0} (said before the bake was taken up again)")]
    Earlier(String),
    /// The journal cannot be written.
    #[error("{0}")]
    Journal(JournalError),
    /// Before anything was created: the bake cannot work.
    #[error("{}", .0.join("; "))]
    Preflight(Vec<String>),
}

/// What the droplet said of its failure.
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
        Self::new(stage, FailureKind::Provider(error))
    }

    /// Where the droplet's log was saved.
    pub fn log(&self) -> Option<&str> {
        match &self.kind {
            FailureKind::Runner(runner) => runner.log.as_deref(),
            FailureKind::Timeout { log, .. } => log.as_deref(),
            _ => None,
        }
    }

    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match &self.kind {
            FailureKind::Provider(error) => error.help(),
            FailureKind::Silent { .. } => Some(
                "a longer patience: --timeout-unreachable; https://status.digitalocean.com says how the service is"
                    .to_owned(),
            ),
            FailureKind::Timeout { option, log: Some(log), .. } => {
                Some(format!("the droplet's log so far: {log}; a longer limit: {option}"))
            }
            FailureKind::Timeout { option, .. } if !option.is_empty() => Some(format!("a longer limit: {option}")),
            FailureKind::Runner(runner) => match &runner.log {
                Some(log) => {
                    Some(format!("the droplet's whole log: {log}; `--on-error keep` keeps the droplet to look inside"))
                }
                None => Some("`--on-error keep` keeps the droplet to look inside".to_owned()),
            },
            FailureKind::Droplet(_) => Some("`--on-error keep` keeps the droplet to look at its console".to_owned()),
            FailureKind::Journal(_) => Some("free some space, or set XDG_STATE_HOME to another disk".to_owned()),
            FailureKind::Errored { .. } | FailureKind::CreateLost { .. } => {
                Some("try again; if it repeats, DigitalOcean's support can look it up by these numbers".to_owned())
            }
            _ => None,
        }
    }
}
