//! The account behind the API: what exists, what is under way, and what happens next. It knows nothing of HTTP.
//!
//! Every change goes through [`Cloud::change`]: it is made on a copy, written to disk, and only then seen. What takes
//! time is an action: it is recorded as `in-progress` first and worked on by a task (`work.rs`), so that an emulator
//! that was killed goes on with it when it is started again on the same state directory.
//!
//! To add an event: a variant of [`model::Operation`], its conditions in `droplets.rs` or `images.rs`, its work in `work.rs`.

pub(crate) mod addresses;
mod droplets;
mod history;
pub(crate) mod images;
pub(crate) mod model;
pub(crate) mod store;
mod work;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use secrecy::SecretString;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

pub(crate) use self::droplets::{DROPLET_LIMIT, ImageRef, NewDroplet};
use self::history::History;
use self::model::{Progress, Resource, State, Status};
use self::store::Store;
use crate::backend::{self, Backend, Event};
use crate::fault::Faults;
use crate::{Config, Error, Timing};

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The resource you were accessing could not be found.")]
    NotFound,
    #[error("{0}")]
    Unprocessable(String),
    #[error("{0}")]
    Internal(String),
}

impl Refusal {
    pub(crate) fn because(text: impl Into<String>) -> Self {
        Self::Unprocessable(text.into())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<backend::Error> for Refusal {
    fn from(error: backend::Error) -> Self {
        if error.is_refusal() { Self::Unprocessable(error.to_string()) } else { Self::Internal(error.to_string()) }
    }
}

/// The emulated account.
pub(crate) struct Cloud {
    state: Mutex<State>,
    history: Mutex<History>,
    store: Store,
    backend: Arc<dyn Backend>,
    timing: Timing,
    faults: Faults,
    token: SecretString,
    url: String,
    /// Actions under way, and the listener for events.
    tasks: Mutex<JoinSet<()>>,
}

impl Cloud {
    /// Takes the state directory and goes on where its last emulator ended, however it ended.
    pub(crate) async fn open(config: &Config, url: String) -> Result<(Arc<Self>, Vec<String>), Error> {
        let (store, found) = Store::open(&config.state)?;
        let state = found.unwrap_or_else(|| State::empty(random_uuid()));
        store.write(&state)?;
        let (sender, events) = unbounded_channel();
        let config = Config { state: store.directory().to_path_buf(), ..config.clone() };
        let (backend, warnings) = backend::open(&config, sender).await?;
        let cloud = Arc::new(Self {
            state: Mutex::new(state),
            history: Mutex::new(History::new(config.list_lag)),
            store,
            backend,
            timing: config.timing.clone(),
            faults: Faults::new(&config.faults),
            token: config.token.clone(),
            url,
            tasks: Mutex::default(),
        });
        cloud.spawn(Arc::clone(&cloud).listen(events));
        cloud.go_on();
        Ok((cloud, warnings))
    }

    pub(crate) fn token(&self) -> &SecretString {
        &self.token
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn directory(&self) -> &Path {
        self.store.directory()
    }

    pub(crate) fn snapshot_dir(&self, id: u64) -> Option<PathBuf> {
        self.backend.snapshot_dir(id)
    }

    pub(crate) fn console_log(&self, id: u64) -> Option<PathBuf> {
        self.backend.console_log(id)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state.
    pub(crate) fn look<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        with(&self.lock())
    }

    /// Looks at the state as lists and look-ups by tag show it: behind by the lag.
    pub(crate) fn look_listed<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        let state = self.lock();
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        with(history.listed(Instant::now()).unwrap_or(&state))
    }

    /// Changes the state: all of it and on disk, or not at all.
    pub(crate) fn change<T>(&self, with: impl FnOnce(&mut State) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut state = self.lock();
        let mut next = state.clone();
        let result = with(&mut next)?;
        self.store.write(&next)?;
        let was = std::mem::replace(&mut *state, next);
        self.history.lock().unwrap_or_else(PoisonError::into_inner).replaced(Instant::now(), was);
        Ok(result)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Works on an action that is recorded as in progress.
    fn launch(self: &Arc<Self>, action: u64) {
        self.spawn(work::perform(Arc::clone(self), action));
    }

    /// After a restart: what was under way is taken up again, what was on is turned on again.
    fn go_on(self: &Arc<Self>) {
        let (actions, droplets) = self.look(|state| {
            let actions: Vec<u64> = state
                .actions
                .values()
                .filter(|action| action.progress == Progress::Running)
                .map(|action| action.id)
                .collect();
            let droplets: Vec<u64> = state
                .droplets
                .values()
                .filter(|droplet| droplet.status == Status::Active && !state.is_busy(droplet.id))
                .map(|droplet| droplet.id)
                .collect();
            (actions, droplets)
        });
        for action in actions {
            self.launch(action);
        }
        for droplet in droplets {
            self.spawn(work::turn_on_again(Arc::clone(self), droplet));
        }
    }

    async fn listen(self: Arc<Self>, mut events: UnboundedReceiver<Event>) {
        while let Some(Event::Off { id, boot, unexpected }) = events.recv().await {
            let seen = self.change(|state| {
                if let Some(droplet) = state.droplets.get_mut(&id)
                    && droplet.boot == Some(boot)
                {
                    droplet.boot = None;
                    droplet.fault = unexpected;
                    if droplet.status == Status::Active {
                        droplet.status = Status::Off;
                    }
                }
                Ok(())
            });
            if seen.is_err() {
                // The disk is full: the state in memory must still follow the machine.
                if let Some(droplet) = self.lock().droplets.get_mut(&id) {
                    droplet.boot = None;
                    droplet.status = Status::Off;
                }
            }
        }
    }

    /// Ends everything in good order. Machines that were on are off afterwards.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.tasks().abort_all();
        self.backend.stop_all().await;
        let mut state = self.lock();
        for droplet in state.droplets.values_mut() {
            droplet.boot = None;
            if droplet.status == Status::Active {
                droplet.status = Status::Off;
            }
        }
        self.store.write(&state)
    }

    /// Ends everything at once, without waiting.
    pub(crate) fn abandon(&self) {
        self.tasks().abort_all();
        self.backend.kill_all();
    }
}

/// Records an action as in progress; the caller launches it once the change is on disk.
fn record(state: &mut State, operation: model::Operation, resource: Resource, resource_id: u64, region: &str) -> u64 {
    let id = state.new_id();
    let action = model::Action {
        id,
        operation,
        progress: Progress::Running,
        started_at: now(),
        completed_at: None,
        resource,
        resource_id,
        region: region.to_owned(),
        reason: None,
        stuck: false,
    };
    state.actions.insert(id, action);
    id
}

/// The time as the service writes it: RFC 3339, UTC, whole seconds.
pub(crate) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}

/// A random (version 4) UUID. Without randomness from the system, one that is all the same: it only names things.
pub(crate) fn random_uuid() -> String {
    let mut bytes = [0x5a; 16];
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
