//! Which machines are on, in backends without real ones. Each plays something: when that has ended, it is off by itself.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use super::Event;

/// A machine that is on.
struct On {
    boot: u64,
    play: AbortHandle,
}

#[derive(Default)]
struct State {
    boots: u64,
    on: HashMap<u64, On>,
}

pub(super) struct Running {
    events: UnboundedSender<Event>,
    state: Arc<Mutex<State>>,
}

impl Running {
    pub(super) fn new(events: UnboundedSender<Event>) -> Self {
        Self { events, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns a machine on; returns its boot. With an error at the end of the play, being off is unexpected.
    pub(super) fn start(&self, id: u64, play: impl Future<Output = Result<(), String>> + Send + 'static) -> u64 {
        let mut held = self.state();
        held.boots += 1;
        let boot = held.boots;
        let (state, events) = (Arc::clone(&self.state), self.events.clone());
        let play = tokio::spawn(async move {
            let ended = play.await;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.on.get(&id).is_some_and(|on| on.boot == boot) {
                state.on.remove(&id);
                let _ = events.send(Event::Off { id, boot, unexpected: ended.err() });
            }
        });
        if let Some(before) = held.on.insert(id, On { boot, play: play.abort_handle() }) {
            before.play.abort();
        }
        boot
    }

    /// Turns a machine off, which is an event.
    pub(super) fn turn_off(&self, id: u64) {
        if let Some(boot) = self.end(id) {
            let _ = self.events.send(Event::Off { id, boot, unexpected: None });
        }
    }

    /// Ends a machine that nobody waits for; returns its boot if it was on.
    pub(super) fn end(&self, id: u64) -> Option<u64> {
        let on = self.state().on.remove(&id)?;
        on.play.abort();
        Some(on.boot)
    }

    /// Ends all of them.
    pub(super) fn end_all(&self) {
        for (_, on) in self.state().on.drain() {
            on.play.abort();
        }
    }
}
