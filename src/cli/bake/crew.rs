//! What the bakes of one command share on the terminal.

use std::sync::Arc;

use indicatif::MultiProgress;

/// One terminal for all of them.
#[derive(Clone, Default)]
pub(in crate::cli) struct Crew {
    /// All progress lines.
    pub(super) lines: MultiProgress,
    /// One question at a time.
    pub(super) asking: Arc<tokio::sync::Mutex<()>>,
}
