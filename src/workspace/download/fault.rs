//! Why something cannot be pinned. To add a fault: a variant, its help, and whether another attempt may pass.

use std::time::Duration;

/// Why something cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("cannot download {url}: {reason}")]
    Transport { url: String, reason: String },
    #[error("{url}: the server answers {status}")]
    Status {
        url: String,
        status: u16,
        /// What the server asks to wait.
        pause: Option<Duration>,
    },
    #[error("{url} ends early: {found} of {expected} bytes")]
    Short { url: String, expected: u64, found: u64 },
    #[error("{url} is not complete after {}: {found} bytes came", humantime::format_duration(*.limit))]
    Slow { url: String, limit: Duration, found: u64 },
    #[error("{url} is larger than {limit} bytes")]
    TooLarge { url: String, limit: u64 },
    #[error("{url} changes again and again while it is downloaded")]
    Changing { url: String },
    #[error("{url} holds no sha256 for {name}")]
    NoSum { url: String, name: String },
    #[error("{url} has the sha256 {found}, but its publisher's {checksum} says {expected}")]
    Mismatch { url: String, checksum: String, expected: String, found: String },
}

impl DownloadError {
    /// What to do next.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Transport { .. } | Self::Short { .. } | Self::Changing { .. } => {
                "see whether this machine reaches the server, and try again: what came is not asked for again where the server allows that"
            }
            Self::Slow { .. } => {
                "try again: what came is not asked for again where the server allows that; --timeout-download gives more time"
            }
            Self::Status { .. } => "see whether the address and the version in it are right",
            Self::TooLarge { .. } => "see whether the address is right: droplets refuse a download of this size too",
            Self::NoSum { .. } => {
                "see whether `checksum:` names the right file; without it, mkimg pins what it downloads"
            }
            Self::Mismatch { .. } => "do not use this file: ask its publisher",
        }
    }

    /// Whether another attempt may pass.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Short { .. } => true,
            Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            _ => false,
        }
    }

    /// What the server asks to wait before another attempt.
    pub(super) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Status { pause, .. } => *pause,
            _ => None,
        }
    }
}

/// reqwest says the useful part last.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
