//! Why a download failed. A new variant needs a help text, and `is_transient` decides about
//! retries.

use std::time::Duration;

use crate::causes::causes;

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("cannot download {url}: {reason}")]
    Transport { url: String, reason: String },
    #[error("{url}: the server answers {status}")]
    Status {
        url: String,
        status: u16,
        /// The server's `retry-after`.
        pause: Option<Duration>,
    },
    #[error("{url} ends early: {found} of {expected} bytes")]
    Short { url: String, expected: u64, found: u64 },
    #[error("{url} is not complete after {}: {found} bytes were received", humantime::format_duration(*.limit))]
    Slow { url: String, limit: Duration, found: u64 },
    #[error("{url} is larger than {limit} bytes")]
    TooLarge { url: String, limit: u64 },
    #[error("{url} changes repeatedly during the download")]
    Changing { url: String },
    #[error("{url} contains no sha256 for {name}")]
    NoSum { url: String, name: String },
    #[error("{url} has the sha256 {found}, but its publisher's {checksum} says {expected}")]
    Mismatch { url: String, checksum: String, expected: String, found: String },
}

impl DownloadError {
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Transport { .. } | Self::Short { .. } | Self::Changing { .. } => {
                "check the connection to the server and try again; the download resumes if the server supports it"
            }
            Self::Slow { .. } => "try again: the download resumes if the server supports it",
            Self::Status { .. } => "check the address and the version in it",
            Self::TooLarge { .. } => "check the address: droplets refuse a download of this size too",
            Self::NoSum { .. } => {
                "check that `checksum:` names the right file; without it, mkimg pins what it downloads"
            }
            Self::Mismatch { .. } => "do not use this file; ask its publisher",
        }
    }

    /// Returns whether another attempt may succeed.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Short { .. } => true,
            Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            _ => false,
        }
    }

    /// Returns the server's `retry-after`.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { pause, .. } => *pause,
            _ => None,
        }
    }
}

/// Returns the innermost cause, which is the useful part of a reqwest error.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}
