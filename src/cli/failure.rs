//! Why a command did not succeed: a typed error of some room, the exit status it means, and what to do next.
//!
//! A room's error becomes a `Failure` in one place (`impl From`, or `map_err(Failure::usage)`); it is shown once, by
//! [`super::main`].

use std::error::Error;

use super::Terminal;

/// Exit statuses, as the manual gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// An invalid document, a difference, a failed check.
    Finding = 1,
    /// Wrong usage, or an input that cannot be read.
    Usage = 2,
    /// A bake failed, and nothing is left that costs money.
    FailedClean = 3,
    /// A bake failed, and something is left that costs money.
    FailedLeft = 4,
    /// Interrupted, and cleaned up.
    Interrupted = 130,
}

/// Why a command did not succeed.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    error: Option<Box<dyn Error + Send + Sync>>,
    help: Option<String>,
}

impl Failure {
    /// An error with its exit status.
    pub fn new(status: Status, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { status, error: Some(error.into()), help: None }
    }

    /// Exit status 1.
    pub fn finding(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Status::Finding, error)
    }

    /// Exit status 2.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Status::Usage, error)
    }

    /// Everything has been said already: only the status is left.
    #[must_use]
    pub const fn said(status: Status) -> Self {
        Self { status, error: None, help: None }
    }

    /// What to do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Says it on standard error: the error with its causes, then what to do.
    pub(super) fn show(&self, terminal: &Terminal) {
        let Some(error) = &self.error else { return };
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let said = error.to_string();
            // Some errors repeat their cause in their own words: once is enough.
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        terminal.error(&text);
        if let Some(help) = &self.help {
            terminal.help(help);
        }
    }
}
