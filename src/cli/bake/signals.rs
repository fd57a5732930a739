//! Ctrl-C and SIGTERM: the first one has the bake clean up, the second one ends it at once.

use tokio::sync::watch;

use super::super::emulate::Interrupted;
use super::super::{Color, Terminal};
use super::{Failure, Global};

/// A task that ends with its owner.
pub(in crate::cli) struct AbortOnDrop(pub(super) tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts Ctrl-C and SIGTERM, from the moment on that this returns.
pub(super) fn stops(global: &Global) -> Result<(watch::Receiver<u32>, AbortOnDrop), Failure> {
    let (sender, receiver) = watch::channel(0);
    let quiet = global.terminal.is_quiet();
    let mut interrupted = Interrupted::watch().map_err(Failure::usage)?;
    let task = tokio::spawn(async move {
        loop {
            interrupted.again().await;
            sender.send_modify(|count| *count += 1);
            if *sender.borrow() == 1 && !quiet {
                Terminal::new(Color::Never, false, 0)
                    .note("stopping: destroying what this bake made; a second Ctrl-C stops at once");
            }
        }
    });
    Ok((receiver, AbortOnDrop(task)))
}
