//! Droplets: what may be asked of them, and when.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::model::{Droplet, Image, ImageKind, Operation, Resource, State, Status};
use super::{Cloud, Refusal, addresses, images, now, record, work};
use crate::catalog;

/// A droplet to be created; names and tags are checked already (`api/droplets.rs`).
#[derive(Debug, Clone)]
pub(crate) struct NewDroplet {
    pub names: Vec<String>,
    /// Without one the service chooses.
    pub region: Option<String>,
    pub size: String,
    pub image: ImageRef,
    /// Ids or fingerprints of keys of the account.
    pub keys: Vec<String>,
    pub user_data: Option<String>,
    pub tags: BTreeSet<String>,
    pub features: BTreeSet<String>,
    pub vpc: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum ImageRef {
    Id(u64),
    Slug(String),
}

/// How many droplets an account may have. The service says so in `droplet_limit`.
pub(crate) const DROPLET_LIMIT: usize = 25;

/// The region that is chosen when none is asked for: not the usual one, since the service promises none.
const ANY_REGION: &str = "sfo3";

impl Cloud {
    /// Accepts droplets; each is `new`, with a `create` action in progress. Returns pairs of droplet and action.
    pub(crate) async fn create_droplets(self: &Arc<Self>, new: NewDroplet) -> Result<Vec<(u64, u64)>, Refusal> {
        // Whether the backend could do it is asked first, without the lock: it looks at files.
        let (image, disk) = self.look(|state| {
            let (image, _, size) = fits(state, &new)?;
            Ok::<_, Refusal>((image, size.disk))
        })?;
        self.backend.admit(&work::source(&image), disk).await?;
        let made = self.change(|state| {
            let (image, region, size) = fits(state, &new)?;
            if state.droplets.len() + new.names.len() > DROPLET_LIMIT {
                return Err(Refusal::because("creating this/these droplet(s) will exceed your droplet limit"));
            }
            let public_keys = new.keys.iter().map(|key| find_key(state, key)).collect::<Result<Vec<_>, _>>()?;
            state.tags.extend(new.tags.iter().cloned());
            let mut made = Vec::new();
            for name in &new.names {
                let id = state.new_id();
                let droplet = Droplet {
                    id,
                    name: name.clone(),
                    region: region.to_owned(),
                    size: size.slug.to_owned(),
                    disk: size.disk,
                    status: Status::New,
                    image: image.clone(),
                    created_at: now(),
                    tags: new.tags.clone(),
                    features: new.features.clone(),
                    vpc: new.vpc.clone().unwrap_or_else(|| default_vpc(&state.account, region)),
                    public_keys: public_keys.clone(),
                    user_data: new.user_data.clone(),
                    address: None,
                    private: addresses::free(state),
                    boot: None,
                    fault: None,
                    unaddressed: false,
                };
                state.droplets.insert(id, droplet);
                made.push((id, record(state, Operation::Create, Resource::Droplet, id, region)));
            }
            Ok(made)
        })?;
        for (_, action) in &made {
            self.launch(*action);
        }
        Ok(made)
    }

    /// Starts an event on a droplet; returns the action.
    pub(crate) async fn act_on_droplet(self: &Arc<Self>, id: u64, mut operation: Operation) -> Result<u64, Refusal> {
        if let Operation::Rebuild { image } | Operation::Restore { image } = &operation {
            let (image, disk) = self.look(|state| {
                let disk = state.droplets.get(&id).ok_or(Refusal::NotFound)?.disk;
                let image = images::find(state, *image)
                    .ok_or_else(|| Refusal::because("The image you specified does not exist."))?;
                Ok::<_, Refusal>((image, disk))
            })?;
            self.backend.admit(&work::source(&image), disk).await?;
        }
        let action = self.change(|state| {
            if let Operation::Snapshot { image, .. } = &mut operation {
                *image = state.new_id();
            }
            let droplet = state.droplets.get(&id).ok_or(Refusal::NotFound)?;
            if state.is_busy(id) {
                return Err(pending());
            }
            allowed(state, droplet, &operation)?;
            let region = droplet.region.clone();
            Ok(record(state, operation, Resource::Droplet, id, &region))
        })?;
        self.launch(action);
        Ok(action)
    }

    /// Destroys a droplet; returns when it is gone.
    pub(crate) async fn destroy_droplet(self: &Arc<Self>, id: u64) -> Result<(), Refusal> {
        let action = self.change(|state| {
            let droplet = state.droplets.get(&id).ok_or(Refusal::NotFound)?;
            if state.is_held(id) {
                return Err(pending());
            }
            let region = droplet.region.clone();
            Ok(record(state, Operation::Destroy, Resource::Droplet, id, &region))
        })?;
        self.see_through(action).await
    }

    /// Works on an action to its end, even if the client that waits for it goes away.
    pub(super) async fn see_through(self: &Arc<Self>, action: u64) -> Result<(), Refusal> {
        let (done, wait) = tokio::sync::oneshot::channel();
        let cloud = Arc::clone(self);
        self.spawn(async move {
            work::perform(cloud, action).await;
            let _ = done.send(());
        });
        if wait.await.is_err() {
            return Err(Refusal::Internal("The emulator is being stopped.".into()));
        }
        let reason = self.look(|state| state.actions.get(&action).and_then(|action| action.reason.clone()));
        reason.map_or(Ok(()), |reason| Err(Refusal::Internal(reason)))
    }
}

fn pending() -> Refusal {
    Refusal::because("Droplet already has a pending event.")
}

/// What the droplet is made of, if all of it exists and goes together.
fn fits<'a>(state: &State, new: &'a NewDroplet) -> Result<(Image, &'a str, &'static catalog::Size), Refusal> {
    let size = catalog::size_by_slug(&new.size)
        .ok_or_else(|| Refusal::because("You specified an invalid size for Droplet creation."))?;
    let slug = new.region.as_deref().unwrap_or(ANY_REGION);
    let region = catalog::region_by_slug(slug)
        .ok_or_else(|| Refusal::because("You specified an invalid region for Droplet creation."))?;
    if !region.available {
        return Err(Refusal::because("The region you specified is currently unavailable."));
    }
    if !size.is_in(region) {
        return Err(Refusal::because("Size is not available in this region."));
    }
    let image = match &new.image {
        ImageRef::Id(id) => images::find(state, *id),
        ImageRef::Slug(slug) => catalog::image_by_slug(slug).map(images::from_catalog),
    };
    let image = image.ok_or_else(|| Refusal::because("You specified an invalid image for Droplet creation."))?;
    if image.kind == ImageKind::Snapshot {
        if state.under_way(Resource::Image, image.id) && !image.regions.contains(slug) {
            return Err(Refusal::because("The image is still being transferred to the region you specified."));
        }
        if !image.regions.contains(slug) {
            return Err(Refusal::because(
                "The image you specified is not available in the selected region, you must transfer it first.",
            ));
        }
    }
    if image.min_disk > size.disk {
        return Err(Refusal::because("This image requires a larger disk than the size you specified has."));
    }
    Ok((image, slug, size))
}

/// Whether the event can be done on a droplet that has none pending.
fn allowed(state: &State, droplet: &Droplet, operation: &Operation) -> Result<(), Refusal> {
    let on = droplet.status == Status::Active;
    let refuse = |text: &str| Err(Refusal::because(text));
    match operation {
        Operation::PowerOn if on => refuse("Droplet is already powered on."),
        Operation::PowerOff | Operation::Shutdown if !on => refuse("Droplet is already powered off."),
        Operation::Reboot | Operation::PowerCycle if !on => {
            refuse("Droplet is currently off. Please power it on to run this event.")
        }
        Operation::Snapshot { .. } if on => refuse("Droplet is currently on. Please power it off to run this event."),
        Operation::PowerOn | Operation::Snapshot { .. } if droplet.address.is_none() => {
            refuse("Droplet was never active. Please destroy it.")
        }
        Operation::Resize { size, disk } => {
            let Some(wanted) = catalog::size_by_slug(size) else {
                return refuse("The size you specified is invalid.");
            };
            let region = catalog::region_by_slug(&droplet.region);
            if !region.is_some_and(|region| wanted.is_in(region)) {
                refuse("Size is not available in this region.")
            } else if on {
                refuse("Droplet is currently on. Please power it off to run this event.")
            } else if wanted.slug == droplet.size {
                refuse("Droplet is already this size.")
            } else if wanted.disk < droplet.disk {
                refuse("This size is not available because it has a smaller disk.")
            } else if *disk && wanted.disk == droplet.disk {
                refuse("This size has the same disk. Resize without the disk.")
            } else {
                Ok(())
            }
        }
        Operation::Restore { image }
            if images::find(state, *image).is_none_or(|image| image.droplet != Some(droplet.id)) =>
        {
            refuse("The image you specified is not a backup or snapshot of this Droplet.")
        }
        Operation::EnableIpv6 if droplet.features.contains("ipv6") => refuse("IPv6 is already enabled."),
        Operation::EnableBackups if droplet.features.contains("backups") => refuse("Backups are already enabled."),
        Operation::DisableBackups if !droplet.features.contains("backups") => refuse("Backups are not enabled."),
        _ => Ok(()),
    }
}

fn find_key(state: &State, wanted: &str) -> Result<String, Refusal> {
    let id = wanted.parse().ok();
    let found = state.keys.values().find(|key| Some(key.id) == id || key.fingerprint == wanted);
    found
        .map(|key| key.text.clone())
        .ok_or_else(|| Refusal::because(format!("{wanted} are invalid key identifiers for Droplet creation.")))
}

/// Each region has a default VPC; its id must only be stable.
fn default_vpc(account: &str, region: &str) -> String {
    let tail = super::hex(region.as_bytes());
    format!("{}-{tail:0>12.12}", account.get(..23).unwrap_or("00000000-0000-4000-8000"))
}
