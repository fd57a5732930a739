//! The asynchronous runtime of a command, its clock, random tokens, and the signals that ask it to
//! stop: Ctrl-C, SIGTERM, and SIGHUP (the terminal went away) unless `nohup` has it ignored.

use std::future::Future;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use tokio::runtime::Builder;
use tokio::sync::watch;

use super::Global;
use super::error::{ErrorKind, ExpectedError, Failure, NoRandomness};
use crate::bake::ports::Clock;

#[derive(Debug, thiserror::Error)]
enum RuntimeError {
    #[error("cannot start the asynchronous runtime")]
    Start(#[source] io::Error),
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
}

impl ExpectedError for RuntimeError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::System
    }
}

/// Runs a command's asynchronous part.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(RuntimeError::Start)?;
    let result = runtime.block_on(future);
    // An unanswered question may still be reading from the terminal.
    runtime.shutdown_background();
    result
}

/// Seconds since 1970.
pub(super) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A clock that never goes back, even when the date is changed.
pub(super) struct SystemClock(std::time::Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn unix(&self) -> u64 {
        unix_time()
    }
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A crash must not write the memory, with its tokens and keys, to a file. Programs that are started inherit this.
pub(super) fn forbid_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        // Lowering a limit is always allowed.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
}

/// A token for an emulator.
pub(super) fn random_token() -> Result<SecretString, NoRandomness> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

/// A task that ends with its owner.
pub(super) struct AbortOnDrop(pub(super) tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts the requests to stop. The first one makes a bake clean up, the second one ends it at
/// once.
pub(super) struct StopRequests {
    pub(super) count: watch::Receiver<u32>,
    _task: AbortOnDrop,
}

impl StopRequests {
    /// Counts from now on.
    pub(super) fn watch(global: &Global) -> Result<Self, Failure> {
        let (sender, count) = watch::channel(0);
        let quiet = global.terminal.is_quiet();
        let terminal = global.terminal.for_task();
        let mut signals = StopSignals::watch()?;
        let task = tokio::spawn(async move {
            loop {
                signals.next().await;
                sender.send_modify(|count| *count += 1);
                if *sender.borrow() == 1 && !quiet {
                    terminal.note("stopping: destroying what this bake created; a second Ctrl-C stops at once");
                }
            }
        });
        Ok(Self { count, _task: AbortOnDrop(task) })
    }
}

/// The signals that ask to stop, caught from `watch` on.
pub(super) struct StopSignals(Signals);

impl StopSignals {
    pub(super) fn watch() -> Result<Self, Failure> {
        Ok(Self(Signals::watch().map_err(RuntimeError::Signals)?))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        self.0.next().await;
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// `None` if the command must outlive the terminal (`nohup`).
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn watch() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // Read before anything is caught: a caught signal is no longer ignored.
        let ignored = hangup_is_ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: if ignored { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    async fn next(&mut self) {
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

/// Whether SIGHUP, the first bit of `SigIgn`, is ignored. Only Linux has this file; elsewhere it
/// counts as not ignored.
#[cfg(unix)]
fn hangup_is_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn watch() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::hangup_is_ignored;

    #[test]
    fn nohup_is_detected() {
        assert!(hangup_is_ignored("Name:\tmkimg\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!hangup_is_ignored("SigIgn:\t0000000000001000\n"));
        assert!(!hangup_is_ignored(""));
    }
}
