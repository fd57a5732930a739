//! Ctrl-C, SIGTERM and SIGHUP: the first one has the bake clean up, the second one ends it at once.

use tokio::sync::watch;

use super::super::interrupted::Interrupted;
use super::{Failure, Global};

/// A task that ends with its owner.
pub(in crate::cli) struct AbortOnDrop(pub(super) tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How often the person has said stop.
pub(in crate::cli) struct Stops {
    pub(super) count: watch::Receiver<u32>,
    _task: AbortOnDrop,
}

/// Counts what asks to stop, from the moment on that this returns.
pub(in crate::cli) fn stops(global: &Global) -> Result<Stops, Failure> {
    let (sender, count) = watch::channel(0);
    let quiet = global.terminal.is_quiet();
    let terminal = global.terminal.of_task();
    let mut interrupted = Interrupted::watch().map_err(Failure::usage)?;
    let task = tokio::spawn(async move {
        loop {
            interrupted.again().await;
            sender.send_modify(|count| *count += 1);
            if *sender.borrow() == 1 && !quiet {
                terminal.note("stopping: destroying what this bake made; a second Ctrl-C stops at once");
            }
        }
    });
    Ok(Stops { count, _task: AbortOnDrop(task) })
}
