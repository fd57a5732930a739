//! What asks a command to stop: Ctrl-C, SIGTERM, and SIGHUP (the terminal went away) unless `nohup` made it ignored.
//!
//! To heed another signal: a field of the Unix `Interrupted` and a line in `again`.

/// Caught from `watch` on.
#[cfg(unix)]
pub(super) struct Interrupted {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// `None`: whoever started this wants it to outlive the terminal.
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Interrupted {
    pub(super) fn watch() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // Before anything is caught: catching a signal ends its being ignored.
        let keeps_on = hangup_is_ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: if keeps_on { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// Waits for the next one.
    pub(super) async fn again(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether SIGHUP, the first bit of `SigIgn`, is ignored. Where the system has no such file (it is Linux's), it is taken
/// for not ignored.
#[cfg(unix)]
fn hangup_is_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(windows)]
pub(super) struct Interrupted(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Interrupted {
    pub(super) fn watch() -> std::io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    /// Waits for the next one.
    pub(super) async fn again(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::hangup_is_ignored;

    #[test]
    fn nohup_is_seen() {
        assert!(hangup_is_ignored("Name:\tmkimg\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!hangup_is_ignored("SigIgn:\t0000000000001000\n"));
        assert!(!hangup_is_ignored(""));
    }
}
