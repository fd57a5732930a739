//! How a command fails: each error has a kind, which gives the exit status, and a next step.
//! [`super::main`] prints it.
//!
//! An error type is defined next to the code that raises it and implements [`ExpectedError`]; `?`
//! turns it into a [`Failure`]. Errors of other modules implement it here.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::path::Path;

use super::Terminal;
use super::project::how_to_set_sensitive;
use crate::bake::id::InvalidBakeId;
use crate::bake::journal::JournalError;
use crate::causes::with_causes;
use crate::marker::CredentialsError;
use crate::model::{BadAssignment, PlanError};
use crate::providers::ConnectError;
use crate::render::{BakeEntryError, RenderError};
use crate::workspace::{DownloadError, LockError, ProjectError, WriteError};

/// Exit statuses, as in the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// An invalid document, a difference, a failed check.
    Finding = 1,
    /// Wrong usage, an input that cannot be read, or a failure before anything was changed.
    Error = 2,
    /// A bake failed, and nothing remains that costs money.
    FailedClean = 3,
    /// A bake failed, and resources remain that cost money.
    FailedRemaining = 4,
    /// Interrupted, and cleaned up.
    Interrupted = 130,
}

/// What is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input was read, and something in it is wrong.
    Finding,
    /// The command line, or a combination of its options.
    Usage,
    /// A template, a variable, a document or another input is missing, unreadable or malformed.
    Input,
    /// This machine: its file system, randomness, TLS, signals.
    System,
    /// A service on the network: it refused, or did not answer.
    Service,
    /// mkimg itself.
    Internal,
    /// Resources remain that cost money.
    Remaining,
    /// The user stopped the command.
    Interrupted,
}

impl ErrorKind {
    /// The exit status of a command that fails with such an error.
    #[must_use]
    pub const fn exit_status(self) -> ExitStatus {
        match self {
            Self::Finding => ExitStatus::Finding,
            Self::Usage | Self::Input | Self::System | Self::Service | Self::Internal => ExitStatus::Error,
            Self::Remaining => ExitStatus::FailedRemaining,
            Self::Interrupted => ExitStatus::Interrupted,
        }
    }
}

/// An error that a command may end with.
pub trait ExpectedError: Error + Send + Sync + 'static {
    /// What is at fault; gives the exit status.
    fn kind(&self) -> ErrorKind;

    /// The next step.
    fn help(&self) -> Option<Cow<'static, str>> {
        None
    }
}

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    Error(Box<dyn ExpectedError>),
    /// Everything has been printed already; only the exit status remains.
    Reported(ExitStatus),
}

impl<E: ExpectedError> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(Box::new(error))
    }
}

impl Failure {
    #[must_use]
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Error(error) => error.kind().exit_status(),
            Self::Reported(status) => *status,
        }
    }

    /// Prints the error with its causes, then the next step.
    pub(super) fn print(&self, terminal: &Terminal) {
        let Self::Error(error) = self else { return };
        terminal.error(&with_causes(error.to_string(), error.as_ref()));
        if let Some(help) = error.help() {
            terminal.help(&help);
        }
    }
}

/// An operation on a file or directory that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {reason}")]
pub(super) struct FileError {
    /// A verb: `read`, `create`.
    action: &'static str,
    path: String,
    reason: String,
    help: Option<Cow<'static, str>>,
}

impl FileError {
    pub(super) fn new(action: &'static str, path: &Path, error: &io::Error) -> Self {
        Self { action, path: path.display().to_string(), reason: error.to_string(), help: None }
    }

    /// A file that cannot be read, named as on the command line.
    pub(super) fn unreadable(path: &Path, reason: &impl ToString) -> Self {
        Self { action: "read", path: path.display().to_string(), reason: reason.to_string(), help: None }
    }

    #[must_use]
    pub(super) fn with_help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl ExpectedError for FileError {
    fn kind(&self) -> ErrorKind {
        if self.action == "read" { ErrorKind::Input } else { ErrorKind::System }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        self.help.clone()
    }
}

/// The system has no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub(super) struct NoRandomness(pub(super) getrandom::Error);

impl ExpectedError for NoRandomness {
    fn kind(&self) -> ErrorKind {
        ErrorKind::System
    }
}

/// A file that cannot be written, with the step that helps here.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct CannotWrite {
    error: WriteError,
    help: &'static str,
}

impl CannotWrite {
    pub(super) fn new(help: &'static str) -> impl Fn(WriteError) -> Self {
        move |error| Self { error, help }
    }
}

impl ExpectedError for CannotWrite {
    fn kind(&self) -> ErrorKind {
        ErrorKind::System
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(self.error.help.unwrap_or(self.help).into())
    }
}

impl ExpectedError for ProjectError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(self.help().into())
    }
}

impl ExpectedError for BadAssignment {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::SensitiveOnCommandLine(_) => ErrorKind::Usage,
            _ => ErrorKind::Input,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        let help = match self {
            Self::Unknown { meant: Some(meant), .. } => format!("did you mean `{meant}`?"),
            Self::Unknown { name, .. } => format!("add `{name}:` to `variables:` of the template"),
            Self::SensitiveOnCommandLine(name) => how_to_set_sensitive(name),
            Self::NotAMapping(_) | Self::NotAScalar { .. } => "write one `name: value` on each line".to_owned(),
        };
        Some(help.into())
    }
}

impl ExpectedError for PlanError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotLocked { .. } => ErrorKind::Finding,
            _ => ErrorKind::Input,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(self.help().into())
    }
}

impl ExpectedError for RenderError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::OverLimit { .. } | Self::BundleOverLimit { .. } | Self::OnlyUpload { .. } => ErrorKind::Finding,
            Self::ReadBack { .. } => ErrorKind::Internal,
            _ => ErrorKind::Input,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::OverLimit { .. } => {
                format!("{}; `mkimg render --limit none` prints the document anyway", self.help()).into()
            }
            _ => self.help().into(),
        })
    }
}

impl ExpectedError for BakeEntryError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("please report this, with the template".into())
    }
}

impl ExpectedError for LockError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Write(_) => ErrorKind::System,
            _ => ErrorKind::Input,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(self.help().into())
    }
}

impl ExpectedError for DownloadError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Service
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Slow { .. } => format!("{}, with a longer --timeout-download", self.help()).into(),
            _ => self.help().into(),
        })
    }
}

impl ExpectedError for ConnectError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Tls(_) => ErrorKind::System,
            _ => ErrorKind::Usage,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        let help = match self {
            Self::Unreadable(..) | Self::Insecure(_) => {
                "--api-url takes an https:// address, or an http:// address of this machine"
            }
            Self::Credentials(_) => "remove it from the address: the token is set separately",
            Self::BadToken => "copy the token again, without spaces or line breaks",
            Self::Tls(_) => "on Debian and Ubuntu: apt-get install ca-certificates",
        };
        Some(help.into())
    }
}

impl ExpectedError for InvalidBakeId {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("`mkimg bakes` lists the bakes that were started from here".into())
    }
}

impl ExpectedError for CredentialsError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::System
    }
}

impl ExpectedError for JournalError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::System
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("set XDG_STATE_HOME to a directory on another disk".into())
    }
}

impl ExpectedError for digitalocean_emulator::Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::System
    }
}

/// mkimg's own structures can always be written as JSON.
impl ExpectedError for serde_json::Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

#[cfg(feature = "qemu")]
impl ExpectedError for digitalocean_emulator::base::Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::System
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bake::BakeId;

    /// The exit status of a command that fails with this error, and the beginning of the next step
    /// ("" for none).
    #[track_caller]
    pub(in crate::cli) fn assert_error(error: impl Into<Failure>, status: u8, help: &str) {
        let failure = error.into();
        assert_eq!(failure.exit_status() as u8, status, "{failure:?}");
        let Failure::Error(error) = failure else { panic!("not an error") };
        let actual = error.help().unwrap_or_default();
        assert!(actual.starts_with(help) && actual.is_empty() == help.is_empty(), "{error}: {actual}");
    }

    #[test]
    fn errors_of_other_modules_have_a_status_and_a_next_step() {
        assert_error(ProjectError::SeveralTemplates(vec!["a".into()]), 2, "name one of them");
        assert_error(
            BadAssignment::SensitiveOnCommandLine("x".into()),
            2,
            "put it into the environment as MKIMG_VAR_X",
        );
        assert_error(PlanError::NotLocked { lock: "mkimg.lock".into(), urls: Vec::new() }, 1, "run `mkimg lock`");
        let entries = Vec::new;
        let over = RenderError::OverLimit { bytes: 2, is_estimate: false, limit: 1, entries: entries() };
        assert_error(over, 1, "make the largest files");
        let over = RenderError::BundleOverLimit { characters: 2, limit: 1, entries: entries() };
        assert_error(over, 1, "make the largest files");
        assert_error(RenderError::OnlyUpload { entries: entries() }, 1, "make the largest files");
        assert_error(RenderError::Conflict { key: "runcmd" }, 2, "remove it from `cloud_config:`");
        assert_error(DownloadError::TooLarge { url: "u".into(), limit: 1 }, 2, "check the address");
        assert_error(ConnectError::Insecure("http://x".into()), 2, "--api-url takes an https:// address");
        assert_error(ConnectError::Credentials("x".into()), 2, "remove it from the address");
        assert_error(ConnectError::BadToken, 2, "copy the token again");
        assert_error(ConnectError::Tls("x".into()), 2, "on Debian and Ubuntu: apt-get install ca-certificates");
        assert_error(BakeId::parse("No").unwrap_err(), 2, "`mkimg bakes` lists the bakes");
        assert_error(JournalError { path: "p".into(), reason: "r".into() }, 2, "set XDG_STATE_HOME");
        assert_error(CredentialsError::Random("x".into()), 2, "");
        assert_error(FileError::new("read", Path::new("x"), &io::Error::other("x")), 2, "");
        assert_error(FileError::unreadable(Path::new("x"), &"no").with_help("name a file"), 2, "name a file");
    }

    #[test]
    fn every_kind_has_its_documented_exit_status() {
        use ErrorKind as K;
        for kind in [K::Usage, K::Input, K::System, K::Service, K::Internal] {
            assert_eq!(kind.exit_status() as u8, 2, "{kind:?}");
        }
        for (kind, status) in [(K::Finding, 1), (K::Remaining, 4), (K::Interrupted, 130)] {
            assert_eq!(kind.exit_status() as u8, status, "{kind:?}");
        }
    }
}
