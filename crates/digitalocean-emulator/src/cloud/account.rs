//! The account in memory: reading it, changing it atomically, and the tasks that work on it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use secrecy::SecretString;
use tokio::task::JoinSet;

use super::state::{Action, ActionStatus, Droplet, History, Operation, ResourceKind, State, Status};
use super::store::Store;
use crate::backend::{Backend, BackendError};
use crate::config::Error;
use crate::faults::FaultPlan;
use crate::support::timestamp;
use crate::timing::Timing;

/// Why a request was refused or failed.
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

impl From<BackendError> for Refusal {
    fn from(error: BackendError) -> Self {
        if error.is_refusal() { Self::Unprocessable(error.to_string()) } else { Self::Internal(error.to_string()) }
    }
}

/// The emulated account.
pub(crate) struct Cloud {
    pub(super) state: Mutex<State>,
    pub(super) history: Mutex<History>,
    pub(super) store: Store,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) timing: Timing,
    pub(super) faults: FaultPlan,
    pub(super) token: SecretString,
    pub(super) url: String,
    /// Actions in progress, and the listener for machine events.
    pub(super) tasks: Mutex<JoinSet<()>>,
}

impl Cloud {
    pub(crate) fn token(&self) -> &SecretString {
        &self.token
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(crate) fn faults(&self) -> &FaultPlan {
        &self.faults
    }

    /// The API's base URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn state_dir(&self) -> &Path {
        self.store.directory()
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        self.backend.as_ref()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the current state.
    pub(crate) fn read<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        with(&self.lock())
    }

    /// Reads the state as lists and look-ups by tag show it, which lag behind.
    pub(crate) fn read_listed<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        let state = self.lock();
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        with(history.listed(Instant::now()).unwrap_or(&state))
    }

    /// Changes the state completely and on disk, or not at all.
    pub(crate) fn change<T>(&self, with: impl FnOnce(&mut State) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut state = self.lock();
        let mut next = state.clone();
        let result = with(&mut next)?;
        self.store.write(&next)?;
        let replaced = std::mem::replace(&mut *state, next);
        self.history.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now(), replaced);
        Ok(result)
    }

    /// Changes one droplet.
    pub(super) fn change_droplet(&self, id: u64, change: impl FnOnce(&mut Droplet)) -> Result<(), Refusal> {
        self.change(|state| state.droplets.get_mut(&id).map(change).ok_or(Refusal::NotFound))
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a task that ends with the emulator.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Ends everything properly. Machines that were on are off afterwards.
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

/// Adds an action in progress to the state. The caller starts it once the change is on disk.
pub(super) fn add_action(
    state: &mut State,
    operation: Operation,
    resource: ResourceKind,
    resource_id: u64,
    region: String,
) -> u64 {
    let id = state.new_id();
    let action = Action {
        id,
        operation,
        status: ActionStatus::InProgress,
        started_at: timestamp(),
        completed_at: None,
        resource,
        resource_id,
        region,
        reason: None,
        stuck: false,
    };
    state.actions.insert(id, action);
    id
}
