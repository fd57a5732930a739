//! What actions do while they are in progress. Each can be repeated from the start, which happens
//! when an emulator is killed in the middle of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::account::{Cloud, Refusal};
use super::state::{Action, ActionStatus, Droplet, Image, ImageKind, Operation, ResourceKind, State, Status};
use crate::backend::{DiskSource, Machine};
use crate::catalog;
use crate::faults::EventFault;
use crate::support::timestamp;

/// The change that is made together with the end of the action.
type Finish = Box<dyn FnOnce(&mut State) + Send>;

/// Works on an action until it is completed or errored.
pub(super) async fn perform(cloud: Arc<Cloud>, id: u64) {
    let Some(action) = cloud.read(|state| state.actions.get(&id).cloned()) else { return };
    let outcome = match cloud.faults.for_event(action.operation.name()) {
        Some(fault) => work_with_fault(&cloud, &action, fault).await,
        None => work(&cloud, &action).await,
    };
    let changed = cloud.change(|state| {
        end_action(state, id, outcome.as_ref().err());
        if let Ok(finish) = outcome {
            finish(state);
        }
        Ok(())
    });
    if let Err(error) = changed {
        // The disk is full: record the failure at least in memory.
        end_action(&mut cloud.lock(), id, Some(&error));
    }
}

/// Starts a machine that was on when the last emulator died.
pub(super) async fn restart(cloud: Arc<Cloud>, id: u64) {
    let Ok(droplet) = find_droplet(&cloud, id) else { return };
    let started = match machine(&droplet) {
        Ok(machine) => boot(&cloud, &machine).await,
        Err(error) => Err(error),
    };
    let _ = cloud.change_droplet(id, |droplet| {
        if started.is_err() || droplet.boot.is_none() {
            droplet.status = Status::Off;
            droplet.failure = started.err().map(|error| error.to_string());
        }
    });
}

async fn work(cloud: &Arc<Cloud>, action: &Action) -> Result<Finish, Refusal> {
    match action.resource {
        ResourceKind::Droplet => work_on_droplet(cloud, action).await,
        ResourceKind::Image => work_on_image(cloud, action).await,
    }
}

async fn work_with_fault(cloud: &Arc<Cloud>, action: &Action, fault: EventFault) -> Result<Finish, Refusal> {
    match fault {
        EventFault::Errored => {
            cloud.timing.pause(cloud.timing.power).await;
            Err(Refusal::Internal("The action ended with `errored`, as a fault demanded.".into()))
        }
        EventFault::Stuck => {
            cloud.change(|state| {
                if let Some(action) = state.actions.get_mut(&action.id) {
                    action.stuck = true;
                }
                Ok(())
            })?;
            std::future::pending().await
        }
        EventFault::Held(time) => {
            let finish = work(cloud, action).await?;
            tokio::time::sleep(time).await;
            Ok(finish)
        }
        EventFault::Ignored => {
            cloud.timing.pause(cloud.timing.power).await;
            Ok(Box::new(|_| ()))
        }
        EventFault::NoAddress => {
            cloud.change_droplet(action.resource_id, |droplet| droplet.hides_address = true)?;
            work(cloud, action).await
        }
    }
}

fn end_action(state: &mut State, id: u64, error: Option<&Refusal>) {
    let Some(action) = state.actions.get_mut(&id) else { return };
    action.status = if error.is_some() { ActionStatus::Errored } else { ActionStatus::Completed };
    action.completed_at = Some(timestamp());
    action.reason = error.map(ToString::to_string);
    if action.operation == Operation::Create
        && let Some(error) = error
        && let Some(droplet) = state.droplets.get_mut(&action.resource_id)
    {
        droplet.status = Status::Off;
        droplet.failure = Some(error.to_string());
    }
}

async fn work_on_droplet(cloud: &Arc<Cloud>, action: &Action) -> Result<Finish, Refusal> {
    let id = action.resource_id;
    let droplet = find_droplet(cloud, id)?;
    let (backend, timing) = (&cloud.backend, &cloud.timing);
    match &action.operation {
        Operation::Create => {
            if droplet.address.is_none() {
                let address = backend.allocate_address().await?;
                cloud.change_droplet(id, |droplet| droplet.address = Some(address))?;
            }
            let machine = machine(&find_droplet(cloud, id)?)?;
            backend.create(&machine).await?;
            timing.pause(timing.create).await;
            boot(cloud, &machine).await?;
            Ok(finish_droplet(id, set_on))
        }
        Operation::PowerOn => {
            timing.pause(timing.power).await;
            boot(cloud, &machine(&droplet)?).await?;
            Ok(finish_droplet(id, set_on))
        }
        Operation::PowerOff => {
            timing.pause(timing.power).await;
            backend.power_off(id).await?;
            Ok(finish_droplet(id, |droplet| {
                droplet.status = Status::Off;
                droplet.boot = None;
            }))
        }
        Operation::PowerCycle => {
            timing.pause(timing.power).await;
            backend.power_off(id).await?;
            boot(cloud, &machine(&droplet)?).await?;
            Ok(finish_droplet(id, set_on))
        }
        Operation::Shutdown => {
            timing.pause(timing.power).await;
            backend.shutdown(id).await?;
            Ok(Box::new(|_| ()))
        }
        Operation::Reboot => {
            timing.pause(timing.power).await;
            backend.reset(id).await?;
            Ok(Box::new(|_| ()))
        }
        Operation::Snapshot { name, image } => {
            timing.pause(timing.snapshot).await;
            let image = Image {
                id: *image,
                name: name.clone(),
                kind: ImageKind::Snapshot,
                distribution: droplet.image.distribution,
                slug: None,
                regions: [droplet.region].into(),
                bytes: backend.snapshot(id, *image, name).await?,
                created_at: timestamp(),
                min_disk: droplet.disk,
                tags: BTreeSet::new(),
                description: String::new(),
                droplet: Some(id),
            };
            Ok(Box::new(move |state| {
                state.images.insert(image.id, image);
            }))
        }
        Operation::Rename { name } => {
            timing.pause(timing.power).await;
            let name = name.clone();
            Ok(finish_droplet(id, |droplet| droplet.name = name))
        }
        Operation::Resize { size, disk } => {
            timing.pause(timing.power).await;
            let grown = catalog::size_by_slug(size).filter(|_| *disk).map(|size| size.disk);
            if let Some(grown) = grown {
                backend.grow_disk(id, grown).await?;
            }
            let size = size.clone();
            Ok(finish_droplet(id, move |droplet| {
                droplet.size = size;
                droplet.disk = grown.unwrap_or(droplet.disk);
            }))
        }
        Operation::Rebuild { image } | Operation::Restore { image } => {
            let image = cloud.read(|state| state.find_image(*image)).ok_or(Refusal::NotFound)?;
            let machine = machine(&Droplet { image: image.clone(), ..droplet })?;
            backend.power_off(id).await?;
            backend.create(&machine).await?;
            timing.pause(timing.create).await;
            boot(cloud, &machine).await?;
            Ok(finish_droplet(id, |droplet| {
                droplet.image = image;
                set_on(droplet);
            }))
        }
        Operation::EnableIpv6 => Ok(finish_droplet(id, |droplet| {
            droplet.features.insert("ipv6".to_owned());
        })),
        Operation::EnableBackups => Ok(finish_droplet(id, |droplet| {
            droplet.features.insert("backups".to_owned());
        })),
        Operation::DisableBackups => Ok(finish_droplet(id, |droplet| {
            droplet.features.remove("backups");
        })),
        Operation::Destroy => {
            timing.pause(timing.destroy).await;
            backend.destroy(id).await?;
            Ok(Box::new(move |state| {
                if let Some(failure) = state.droplets.remove(&id).and_then(|droplet| droplet.failure) {
                    state.failures_of_destroyed.insert(id, failure);
                }
                let is_stuck = |action: &&mut Action| action.stuck && action.resource_id == id;
                for action in state.actions.values_mut().filter(is_stuck) {
                    action.stuck = false;
                    action.status = ActionStatus::Errored;
                    action.completed_at = Some(timestamp());
                }
            }))
        }
        Operation::Transfer { .. } | Operation::Convert => {
            Err(Refusal::Internal(format!("{} is not an event of droplets", action.operation.name())))
        }
    }
}

async fn work_on_image(cloud: &Arc<Cloud>, action: &Action) -> Result<Finish, Refusal> {
    let (id, timing) = (action.resource_id, &cloud.timing);
    match &action.operation {
        Operation::Transfer { region } => {
            timing.pause(timing.transfer).await;
            let region = region.clone();
            Ok(Box::new(move |state| {
                if let Some(image) = state.images.get_mut(&id) {
                    image.regions.insert(region);
                }
            }))
        }
        Operation::Destroy => {
            timing.pause(timing.destroy).await;
            cloud.backend.delete_snapshot(id).await?;
            Ok(Box::new(move |state| {
                state.images.remove(&id);
            }))
        }
        // The service converts backups; there are only snapshots here.
        Operation::Convert => {
            timing.pause(timing.power).await;
            Ok(Box::new(|_| ()))
        }
        other => Err(Refusal::Internal(format!("{} is not an event of images", other.name()))),
    }
}

fn find_droplet(cloud: &Cloud, id: u64) -> Result<Droplet, Refusal> {
    cloud.read(|state| state.droplets.get(&id).cloned()).ok_or(Refusal::NotFound)
}

fn finish_droplet(id: u64, change: impl FnOnce(&mut Droplet) + Send + 'static) -> Finish {
    Box::new(move |state| {
        if let Some(droplet) = state.droplets.get_mut(&id) {
            change(droplet);
        }
    })
}

/// On, unless its machine has ended meanwhile.
fn set_on(droplet: &mut Droplet) {
    droplet.status = if droplet.boot.is_some() { Status::Active } else { Status::Off };
}

/// Starts the machine and records the boot at once, since the machine may end before the action
/// does.
async fn boot(cloud: &Cloud, machine: &Machine) -> Result<(), Refusal> {
    let boot = cloud.backend.start(machine).await?;
    cloud.change_droplet(machine.id, |droplet| {
        droplet.boot = Some(boot);
        droplet.failure = None;
    })
}

/// The machine of a droplet.
fn machine(droplet: &Droplet) -> Result<Machine, Refusal> {
    let size = catalog::size_by_slug(&droplet.size)
        .ok_or_else(|| Refusal::Internal(format!("droplet {} has the unknown size {}", droplet.id, droplet.size)))?;
    let address = droplet
        .address
        .ok_or_else(|| Refusal::Internal(format!("droplet {} has no address: it was never started", droplet.id)))?;
    Ok(Machine {
        id: droplet.id,
        name: droplet.name.clone(),
        region: droplet.region.clone(),
        vcpus: size.vcpus,
        memory: size.memory,
        disk: droplet.disk,
        source: disk_source(&droplet.image),
        public_keys: droplet.public_keys.clone(),
        user_data: droplet.user_data.clone(),
        tags: droplet.tags.iter().cloned().collect(),
        address,
        private_address: droplet.private_address,
    })
}

/// What a disk made from this image starts from.
pub(super) fn disk_source(image: &Image) -> DiskSource {
    match (&image.kind, &image.slug) {
        (ImageKind::Base, Some(slug)) => DiskSource::Base(slug.clone()),
        _ => DiskSource::Snapshot(image.id),
    }
}
