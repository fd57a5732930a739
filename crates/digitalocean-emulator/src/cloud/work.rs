//! What actions do while they are in progress. Each is written so that it can be done again from the start: an emulator
//! that was killed in the middle does just that.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::model::{Action, Droplet, Image, ImageKind, Operation, Progress, Resource, State, Status};
use super::{Cloud, Refusal, now};
use crate::backend::{Machine, Source};
use crate::catalog;
use crate::fault::event::Trouble;

/// What is still to be changed when the work is done, together with the action itself.
type Finish = Box<dyn FnOnce(&mut State) + Send>;

/// Works on one action until it is completed or errored.
pub(super) async fn perform(cloud: Arc<Cloud>, id: u64) {
    let Some(action) = cloud.look(|state| state.actions.get(&id).cloned()) else { return };
    let outcome = match cloud.faults.of_event(action.operation.name()) {
        Some(trouble) => troubled(&cloud, &action, trouble).await,
        None => work(&cloud, &action).await,
    };
    let changed = cloud.change(|state| {
        settle(state, id, outcome.as_ref().err());
        if let Ok(finish) = outcome {
            finish(state);
        }
        Ok(())
    });
    if let Err(error) = changed {
        // The state could not be written (a full disk): the action has failed, and memory at least says so.
        settle(&mut cloud.lock(), id, Some(&error));
    }
}

async fn work(cloud: &Arc<Cloud>, action: &Action) -> Result<Finish, Refusal> {
    match action.resource {
        Resource::Droplet => on_droplet(cloud, action).await,
        Resource::Image => on_image(cloud, action).await,
    }
}

/// The work of an action with which something goes wrong.
async fn troubled(cloud: &Arc<Cloud>, action: &Action, trouble: Trouble) -> Result<Finish, Refusal> {
    match trouble {
        Trouble::Errored => {
            cloud.timing.pause(cloud.timing.power).await;
            Err(Refusal::Internal("It was to end with `errored`: a fault was asked for.".into()))
        }
        Trouble::Stuck => {
            cloud.change(|state| {
                if let Some(action) = state.actions.get_mut(&action.id) {
                    action.stuck = true;
                }
                Ok(())
            })?;
            std::future::pending().await
        }
        Trouble::Held(time) => {
            let finish = work(cloud, action).await?;
            tokio::time::sleep(time).await;
            Ok(finish)
        }
        Trouble::Ignored => {
            cloud.timing.pause(cloud.timing.power).await;
            Ok(Box::new(|_| ()))
        }
        Trouble::NoAddress => {
            let id = action.resource_id;
            cloud.change(|state| with_droplet(state, id, |droplet| droplet.unaddressed = true))?;
            work(cloud, action).await
        }
    }
}

fn settle(state: &mut State, id: u64, error: Option<&Refusal>) {
    if let Some(action) = state.actions.get_mut(&id) {
        action.progress = if error.is_some() { Progress::Errored } else { Progress::Completed };
        action.completed_at = Some(now());
        action.reason = error.map(ToString::to_string);
        let (operation, droplet) = (action.operation.clone(), action.resource_id);
        if let (Some(error), Operation::Create) = (error, operation)
            && let Some(droplet) = state.droplets.get_mut(&droplet)
        {
            droplet.status = Status::Off;
            droplet.fault = Some(error.to_string());
        }
    }
}

/// Turns a machine on that was on when the last emulator died.
pub(super) async fn turn_on_again(cloud: Arc<Cloud>, id: u64) {
    let Some(droplet) = cloud.look(|state| state.droplets.get(&id).cloned()) else { return };
    let started = match machine(&droplet) {
        Ok(machine) => boot(&cloud, &machine).await,
        Err(error) => Err(error),
    };
    let _ = cloud.change(|state| {
        if let Some(droplet) = state.droplets.get_mut(&id)
            && (started.is_err() || droplet.boot.is_none())
        {
            droplet.status = Status::Off;
            droplet.fault = started.err().map(|error| error.to_string());
        }
        Ok(())
    });
}

async fn on_droplet(cloud: &Arc<Cloud>, action: &Action) -> Result<Finish, Refusal> {
    let id = action.resource_id;
    let droplet = cloud.look(|state| state.droplets.get(&id).cloned()).ok_or(Refusal::NotFound)?;
    let backend = &cloud.backend;
    match &action.operation {
        Operation::Create => {
            if droplet.address.is_none() {
                let address = backend.allocate().await?;
                cloud.change(|state| with_droplet(state, id, |droplet| droplet.address = Some(address)))?;
            }
            let droplet = cloud.look(|state| state.droplets.get(&id).cloned()).ok_or(Refusal::NotFound)?;
            let machine = machine(&droplet)?;
            backend.create(&machine).await?;
            cloud.timing.pause(cloud.timing.create).await;
            boot(cloud, &machine).await?;
            Ok(Box::new(move |state| is_on(state, id)))
        }
        Operation::PowerOn => {
            cloud.timing.pause(cloud.timing.power).await;
            boot(cloud, &machine(&droplet)?).await?;
            Ok(Box::new(move |state| is_on(state, id)))
        }
        Operation::PowerOff => {
            cloud.timing.pause(cloud.timing.power).await;
            backend.power_off(id).await?;
            Ok(Box::new(move |state| is_off(state, id)))
        }
        Operation::PowerCycle => {
            cloud.timing.pause(cloud.timing.power).await;
            backend.power_off(id).await?;
            boot(cloud, &machine(&droplet)?).await?;
            Ok(Box::new(move |state| is_on(state, id)))
        }
        Operation::Shutdown => {
            cloud.timing.pause(cloud.timing.power).await;
            backend.shutdown(id).await?;
            Ok(Box::new(|_| ()))
        }
        Operation::Reboot => {
            cloud.timing.pause(cloud.timing.power).await;
            backend.reset(id).await?;
            Ok(Box::new(|_| ()))
        }
        Operation::Snapshot { name, image } => {
            cloud.timing.pause(cloud.timing.snapshot).await;
            let copied = backend.snapshot(id, *image, name).await?;
            let image = Image {
                id: *image,
                name: name.clone(),
                kind: ImageKind::Snapshot,
                distribution: droplet.image.distribution.clone(),
                slug: None,
                regions: [droplet.region.clone()].into(),
                created_at: now(),
                min_disk: droplet.disk,
                bytes: copied.bytes,
                tags: BTreeSet::new(),
                description: String::new(),
                droplet: Some(id),
            };
            Ok(Box::new(move |state| {
                state.images.insert(image.id, image);
            }))
        }
        Operation::Rename { name } => {
            cloud.timing.pause(cloud.timing.power).await;
            let name = name.clone();
            Ok(Box::new(move |state| {
                let _ = with_droplet(state, id, |droplet| droplet.name = name);
            }))
        }
        Operation::Resize { size, disk } => {
            cloud.timing.pause(cloud.timing.power).await;
            let grown = catalog::size_by_slug(size).filter(|_| *disk).map(|size| size.disk);
            if let Some(grown) = grown {
                backend.grow(id, grown).await?;
            }
            let size = size.clone();
            Ok(Box::new(move |state| {
                let _ = with_droplet(state, id, |droplet| {
                    droplet.size = size;
                    droplet.disk = grown.unwrap_or(droplet.disk);
                });
            }))
        }
        Operation::Rebuild { image } | Operation::Restore { image } => {
            let image = cloud.look(|state| super::images::find(state, *image)).ok_or(Refusal::NotFound)?;
            let rebuilt = Droplet { image, ..droplet };
            let machine = machine(&rebuilt)?;
            backend.power_off(id).await?;
            backend.create(&machine).await?;
            cloud.timing.pause(cloud.timing.create).await;
            boot(cloud, &machine).await?;
            Ok(Box::new(move |state| {
                let _ = with_droplet(state, id, |droplet| droplet.image = rebuilt.image);
                is_on(state, id);
            }))
        }
        Operation::EnableIpv6 => Ok(feature(id, "ipv6", true)),
        Operation::EnableBackups => Ok(feature(id, "backups", true)),
        Operation::DisableBackups => Ok(feature(id, "backups", false)),
        Operation::Destroy => {
            cloud.timing.pause(cloud.timing.destroy).await;
            backend.destroy(id).await?;
            Ok(Box::new(move |state| {
                if let Some(fault) = state.droplets.remove(&id).and_then(|droplet| droplet.fault) {
                    state.ended.insert(id, fault);
                }
                let stuck = |action: &&mut Action| action.stuck && action.resource_id == id;
                for action in state.actions.values_mut().filter(stuck) {
                    action.stuck = false;
                    action.progress = Progress::Errored;
                    action.completed_at = Some(now());
                }
            }))
        }
        Operation::Transfer { .. } | Operation::Convert => {
            Err(Refusal::Internal(format!("{} is not an event of droplets", action.operation.name())))
        }
    }
}

async fn on_image(cloud: &Arc<Cloud>, action: &Action) -> Result<Finish, Refusal> {
    let id = action.resource_id;
    match &action.operation {
        Operation::Transfer { region } => {
            cloud.timing.pause(cloud.timing.transfer).await;
            let region = region.clone();
            Ok(Box::new(move |state| {
                if let Some(image) = state.images.get_mut(&id) {
                    image.regions.insert(region);
                }
            }))
        }
        Operation::Destroy => {
            cloud.timing.pause(cloud.timing.destroy).await;
            cloud.backend.delete_snapshot(id).await?;
            Ok(Box::new(move |state| {
                state.images.remove(&id);
            }))
        }
        // A snapshot of ours stays what it is; only backups are really converted.
        Operation::Convert => {
            cloud.timing.pause(cloud.timing.power).await;
            Ok(Box::new(|_| ()))
        }
        other => Err(Refusal::Internal(format!("{} is not an event of images", other.name()))),
    }
}

/// Starts the machine and remembers the boot at once: it may end before the action does.
async fn boot(cloud: &Arc<Cloud>, machine: &Machine) -> Result<(), Refusal> {
    let id = machine.id;
    let boot = cloud.backend.start(machine).await?;
    cloud.change(|state| {
        with_droplet(state, id, |droplet| {
            droplet.boot = Some(boot);
            droplet.fault = None;
        })
    })
}

fn feature(id: u64, name: &'static str, on: bool) -> Finish {
    Box::new(move |state| {
        let _ = with_droplet(state, id, |droplet| {
            if on {
                droplet.features.insert(name.to_owned());
            } else {
                droplet.features.remove(name);
            }
        });
    })
}

fn with_droplet(state: &mut State, id: u64, change: impl FnOnce(&mut Droplet)) -> Result<(), Refusal> {
    state.droplets.get_mut(&id).map(change).ok_or(Refusal::NotFound)
}

/// On, unless it turned itself off in the meantime.
fn is_on(state: &mut State, id: u64) {
    let _ = with_droplet(state, id, |droplet| {
        droplet.status = if droplet.boot.is_some() { Status::Active } else { Status::Off };
    });
}

fn is_off(state: &mut State, id: u64) {
    let _ = with_droplet(state, id, |droplet| {
        droplet.status = Status::Off;
        droplet.boot = None;
    });
}

/// The machine that the droplet is.
pub(super) fn machine(droplet: &Droplet) -> Result<Machine, Refusal> {
    let size = catalog::size_by_slug(&droplet.size)
        .ok_or_else(|| Refusal::Internal(format!("droplet {} has the unknown size {}", droplet.id, droplet.size)))?;
    let address = droplet
        .address
        .ok_or_else(|| Refusal::Internal(format!("droplet {} has no address, it was never started", droplet.id)))?;
    Ok(Machine {
        id: droplet.id,
        name: droplet.name.clone(),
        region: droplet.region.clone(),
        vcpus: size.vcpus,
        memory: size.memory,
        disk: droplet.disk,
        source: source(&droplet.image),
        public_keys: droplet.public_keys.clone(),
        user_data: droplet.user_data.clone(),
        tags: droplet.tags.iter().cloned().collect(),
        address,
        private: droplet.private,
    })
}

/// Where an image's disk comes from.
pub(super) fn source(image: &Image) -> Source {
    match (&image.kind, &image.slug) {
        (ImageKind::Base, Some(slug)) => Source::Base(slug.clone()),
        _ => Source::Snapshot(image.id),
    }
}
