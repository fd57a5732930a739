//! The account behind the API: what exists, what is in progress, and what happens next. It knows
//! nothing about HTTP.
//!
//! Every change goes through [`Cloud::change`]: it is made on a copy, written to disk, and only
//! then visible. Whatever takes time is an action: it is first recorded as `in-progress`, then a
//! task works on it. A killed emulator repeats such actions when it is started again on the same
//! state directory.
//!
//! To add an event: a variant of [`state::Operation`], its conditions in `requests.rs`, its work in
//! `actions.rs`.

mod account;
mod actions;
mod requests;
pub(crate) mod state;
mod store;

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub(crate) use self::account::{Cloud, Refusal};
pub(crate) use self::requests::{DROPLET_LIMIT, ImageRef, NewDroplet};
use self::state::{ActionStatus, History, ResourceKind, State, Status};
use self::store::Store;
pub use self::store::remove_abandoned;
use crate::backend::{BackendOptions, MachineEvent, OpenBackend};
use crate::config::{Config, Error};
use crate::faults::FaultPlan;
use crate::support::random_uuid;

/// Opens the account in the state directory and resumes what its last emulator was doing, however
/// it ended. Also returns warnings for the user.
pub(crate) async fn open(config: Config, url: String) -> Result<(Arc<Cloud>, Vec<String>), Error> {
    let (store, found) = Store::open(&config.state)?;
    let state = found.unwrap_or_else(|| State::empty(random_uuid()));
    store.write(&state)?;
    let options = BackendOptions {
        state: store.directory().to_path_buf(),
        cache: config.cache,
        base_hint: config.base_hint,
        host_ports: config.host_ports,
        forward: config.forward,
        forward_if_free: config.forward_if_free,
        off_after: config.off_after,
        scenarios: config.scenarios,
    };
    let (sender, events) = unbounded_channel();
    let OpenBackend { backend, warnings } = config.backend.open(options, sender).await?;
    let cloud = Arc::new(Cloud {
        state: Mutex::new(state),
        history: Mutex::new(History::new(config.list_lag)),
        store,
        backend,
        timing: config.timing,
        faults: FaultPlan::new(config.faults),
        token: config.token,
        url,
        tasks: Mutex::default(),
    });
    cloud.spawn(follow_machines(Arc::clone(&cloud), events));
    resume(&cloud);
    Ok((cloud, warnings))
}

/// Repeats the actions that were in progress, and starts the machines that were on.
fn resume(cloud: &Arc<Cloud>) {
    let (interrupted, powered_on) = cloud.read(|state| {
        let actions = state.actions.values().filter(|action| action.status == ActionStatus::InProgress);
        let droplets = state
            .droplets
            .values()
            .filter(|droplet| droplet.status == Status::Active && !state.is_busy(ResourceKind::Droplet, droplet.id));
        let actions: Vec<u64> = actions.map(|action| action.id).collect();
        let droplets: Vec<u64> = droplets.map(|droplet| droplet.id).collect();
        (actions, droplets)
    });
    for action in interrupted {
        cloud.spawn(actions::perform(Arc::clone(cloud), action));
    }
    for droplet in powered_on {
        cloud.spawn(actions::restart(Arc::clone(cloud), droplet));
    }
}

/// Records what machines do by themselves.
async fn follow_machines(cloud: Arc<Cloud>, mut events: UnboundedReceiver<MachineEvent>) {
    while let Some(MachineEvent::Off { id, boot, unexpected }) = events.recv().await {
        let recorded = cloud.change(|state| {
            if let Some(droplet) = state.droplets.get_mut(&id)
                && droplet.boot == Some(boot)
            {
                droplet.boot = None;
                droplet.failure = unexpected;
                if droplet.status == Status::Active {
                    droplet.status = Status::Off;
                }
            }
            Ok(())
        });
        if recorded.is_err() {
            // The disk is full: the state in memory must still follow the machine.
            if let Some(droplet) = cloud.lock().droplets.get_mut(&id) {
                droplet.boot = None;
                droplet.status = Status::Off;
            }
        }
    }
}
