//! Which requests for droplets and images are accepted, and when. Accepted requests become actions.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::account::{Cloud, Refusal, add_action};
use super::actions::{self, disk_source};
use super::state::{Action, ActionStatus, Droplet, Image, ImageKind, Operation, ResourceKind, State, Status};
use crate::catalog::{self, PRIVATE_NETMASK, PRIVATE_NETWORK, Size};
use crate::support::timestamp;

/// Droplets to be created. The API has checked names and tags already.
#[derive(Debug, Clone)]
pub(crate) struct NewDroplet {
    pub names: Vec<String>,
    /// Without a region the service chooses one.
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

/// How many droplets an account may have.
pub(crate) const DROPLET_LIMIT: usize = 25;

/// The region that is chosen when none is asked for. It is not the usual one, since clients must
/// not rely on it.
const CHOSEN_REGION: &str = "sfo3";

impl Cloud {
    /// Accepts droplets: each is `new`, with a `create` action in progress. Returns pairs of
    /// droplet and action.
    pub(crate) async fn create_droplets(self: &Arc<Self>, new: NewDroplet) -> Result<Vec<(u64, u64)>, Refusal> {
        // Without the lock, because the backend reads files.
        let (image, disk) = self.read(|state| {
            let (image, _, size) = resolve(state, &new)?;
            Ok::<_, Refusal>((image, size.disk))
        })?;
        self.backend.check_source(&disk_source(&image), disk).await?;
        let created = self.change(|state| {
            let (image, region, size) = resolve(state, &new)?;
            if state.droplets.len() + new.names.len() > DROPLET_LIMIT {
                return Err(Refusal::because("creating this/these droplet(s) will exceed your droplet limit"));
            }
            let mut public_keys = Vec::new();
            for wanted in &new.keys {
                let invalid = || format!("{wanted} are invalid key identifiers for Droplet creation.");
                public_keys.push(state.find_key(wanted).ok_or_else(|| Refusal::because(invalid()))?.text.clone());
            }
            state.tags.extend(new.tags.iter().cloned());
            let mut created = Vec::new();
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
                    created_at: timestamp(),
                    tags: new.tags.clone(),
                    features: new.features.clone(),
                    vpc: new.vpc.clone().unwrap_or_else(|| default_vpc(&state.account, region)),
                    public_keys: public_keys.clone(),
                    user_data: new.user_data.clone(),
                    address: None,
                    private_address: free_private_address(state),
                    boot: None,
                    failure: None,
                    hides_address: false,
                };
                state.droplets.insert(id, droplet);
                let action = add_action(state, Operation::Create, ResourceKind::Droplet, id, region.to_owned());
                created.push((id, action));
            }
            Ok(created)
        })?;
        for (_, action) in &created {
            self.start_action(*action);
        }
        Ok(created)
    }

    /// Starts an event on a droplet; returns the action.
    pub(crate) async fn act_on_droplet(self: &Arc<Self>, id: u64, mut operation: Operation) -> Result<u64, Refusal> {
        if let Operation::Rebuild { image } | Operation::Restore { image } = &operation {
            let (image, disk) = self.read(|state| {
                let disk = state.droplets.get(&id).ok_or(Refusal::NotFound)?.disk;
                let image = state.find_image(*image);
                Ok::<_, Refusal>((
                    image.ok_or_else(|| Refusal::because("The image you specified does not exist."))?,
                    disk,
                ))
            })?;
            self.backend.check_source(&disk_source(&image), disk).await?;
        }
        let action = self.change(|state| {
            if let Operation::Snapshot { image, .. } = &mut operation {
                *image = state.new_id();
            }
            let droplet = state.droplets.get(&id).ok_or(Refusal::NotFound)?;
            if state.is_busy(ResourceKind::Droplet, id) {
                return Err(pending_event());
            }
            check_event(state, droplet, &operation)?;
            let region = droplet.region.clone();
            Ok(add_action(state, operation, ResourceKind::Droplet, id, region))
        })?;
        self.start_action(action);
        Ok(action)
    }

    /// Destroys a droplet; returns when it is gone.
    pub(crate) async fn destroy_droplet(self: &Arc<Self>, id: u64) -> Result<(), Refusal> {
        let action = self.change(|state| {
            let droplet = state.droplets.get(&id).ok_or(Refusal::NotFound)?;
            if state.is_held(id) {
                return Err(pending_event());
            }
            let region = droplet.region.clone();
            Ok(add_action(state, Operation::Destroy, ResourceKind::Droplet, id, region))
        })?;
        self.run_action(action).await
    }

    /// Starts an event on a snapshot; returns the action.
    pub(crate) fn act_on_image(self: &Arc<Self>, id: u64, operation: Operation) -> Result<u64, Refusal> {
        let action = self.change(|state| {
            let image = own_image(state, id)?;
            let region = first_region(image);
            if let Operation::Transfer { region } = &operation {
                let same = |action: &Action| action.status == ActionStatus::InProgress && action.operation == operation;
                if !catalog::region_by_slug(region).is_some_and(|region| region.available) {
                    return Err(Refusal::because("The region you specified is invalid or unavailable."));
                }
                if image.regions.contains(region) {
                    return Err(Refusal::because("The image is already available in this region."));
                }
                if state.actions_on(ResourceKind::Image, id).any(same) {
                    return Err(Refusal::because("The image is already being transferred to this region."));
                }
            }
            Ok(add_action(state, operation, ResourceKind::Image, id, region))
        })?;
        self.start_action(action);
        Ok(action)
    }

    /// Renames a snapshot, or changes its description.
    pub(crate) fn update_image(
        &self,
        id: u64,
        name: Option<String>,
        description: Option<String>,
    ) -> Result<Image, Refusal> {
        self.change(|state| {
            own_image(state, id)?;
            let image = state.images.get_mut(&id).ok_or(Refusal::NotFound)?;
            image.name = name.unwrap_or_else(|| image.name.clone());
            image.description = description.unwrap_or_else(|| image.description.clone());
            Ok(image.clone())
        })
    }

    /// Deletes a snapshot; returns when it is gone.
    pub(crate) async fn destroy_image(self: &Arc<Self>, id: u64) -> Result<(), Refusal> {
        let action = self.change(|state| {
            let region = first_region(own_image(state, id)?);
            if state.is_busy(ResourceKind::Image, id) {
                return Err(Refusal::because("The image already has a pending event."));
            }
            Ok(add_action(state, Operation::Destroy, ResourceKind::Image, id, region))
        })?;
        self.run_action(action).await
    }

    /// Works on a recorded action in a task.
    fn start_action(self: &Arc<Self>, action: u64) {
        self.spawn(actions::perform(Arc::clone(self), action));
    }

    /// Works on a recorded action and waits for its end. It ends even if the client goes away.
    async fn run_action(self: &Arc<Self>, action: u64) -> Result<(), Refusal> {
        let (sender, ended) = tokio::sync::oneshot::channel();
        let cloud = Arc::clone(self);
        self.spawn(async move {
            actions::perform(cloud, action).await;
            let _ = sender.send(());
        });
        if ended.await.is_err() {
            return Err(Refusal::Internal("The emulator is being stopped.".into()));
        }
        let reason = self.read(|state| state.actions.get(&action).and_then(|action| action.reason.clone()));
        reason.map_or(Ok(()), |reason| Err(Refusal::Internal(reason)))
    }
}

const CURRENTLY_ON: &str = "Droplet is currently on. Please power it off to run this event.";

fn pending_event() -> Refusal {
    Refusal::because("Droplet already has a pending event.")
}

/// The image, region and size of new droplets, if they exist and go together.
fn resolve<'a>(state: &State, new: &'a NewDroplet) -> Result<(Image, &'a str, &'static Size), Refusal> {
    let invalid = |what: &str| Refusal::because(format!("You specified an invalid {what} for Droplet creation."));
    let size = catalog::size_by_slug(&new.size).ok_or_else(|| invalid("size"))?;
    let slug = new.region.as_deref().unwrap_or(CHOSEN_REGION);
    let region = catalog::region_by_slug(slug).ok_or_else(|| invalid("region"))?;
    if !region.available {
        return Err(Refusal::because("The region you specified is currently unavailable."));
    }
    if !size.is_in(region) {
        return Err(Refusal::because("Size is not available in this region."));
    }
    let image = match &new.image {
        ImageRef::Id(id) => state.find_image(*id),
        ImageRef::Slug(slug) => catalog::image_by_slug(slug).map(Image::from),
    };
    let image = image.ok_or_else(|| invalid("image"))?;
    if image.kind == ImageKind::Snapshot && !image.regions.contains(slug) {
        return Err(Refusal::because(if state.is_busy(ResourceKind::Image, image.id) {
            "The image is still being transferred to the region you specified."
        } else {
            "The image you specified is not available in the selected region, you must transfer it first."
        }));
    }
    if image.min_disk > size.disk {
        return Err(Refusal::because("This image requires a larger disk than the size you specified has."));
    }
    Ok((image, slug, size))
}

/// Whether the event is possible on a droplet that has no other one pending.
fn check_event(state: &State, droplet: &Droplet, operation: &Operation) -> Result<(), Refusal> {
    let is_on = droplet.status == Status::Active;
    let refuse = |text: &str| Err(Refusal::because(text));
    match operation {
        Operation::PowerOn if is_on => refuse("Droplet is already powered on."),
        Operation::PowerOff | Operation::Shutdown if !is_on => refuse("Droplet is already powered off."),
        Operation::Reboot | Operation::PowerCycle if !is_on => {
            refuse("Droplet is currently off. Please power it on to run this event.")
        }
        Operation::Snapshot { .. } if is_on => refuse(CURRENTLY_ON),
        Operation::PowerOn | Operation::Snapshot { .. } if droplet.address.is_none() => {
            refuse("Droplet was never active. Please destroy it.")
        }
        Operation::Resize { size, disk } => check_resize(droplet, size, *disk),
        Operation::Restore { image }
            if state.find_image(*image).is_none_or(|image| image.droplet != Some(droplet.id)) =>
        {
            refuse("The image you specified is not a backup or snapshot of this Droplet.")
        }
        Operation::EnableIpv6 if droplet.features.contains("ipv6") => refuse("IPv6 is already enabled."),
        Operation::EnableBackups if droplet.features.contains("backups") => refuse("Backups are already enabled."),
        Operation::DisableBackups if !droplet.features.contains("backups") => refuse("Backups are not enabled."),
        _ => Ok(()),
    }
}

fn check_resize(droplet: &Droplet, size: &str, disk: bool) -> Result<(), Refusal> {
    let Some(wanted) = catalog::size_by_slug(size) else {
        return Err(Refusal::because("The size you specified is invalid."));
    };
    let region = catalog::region_by_slug(&droplet.region);
    let refusal = if !region.is_some_and(|region| wanted.is_in(region)) {
        "Size is not available in this region."
    } else if droplet.status == Status::Active {
        CURRENTLY_ON
    } else if wanted.slug == droplet.size {
        "Droplet is already this size."
    } else if wanted.disk < droplet.disk {
        "This size is not available because it has a smaller disk."
    } else if disk && wanted.disk == droplet.disk {
        "This size has the same disk. Resize without the disk."
    } else {
        return Ok(());
    };
    Err(Refusal::because(refusal))
}

/// The image, if the account may change it.
fn own_image(state: &State, id: u64) -> Result<&Image, Refusal> {
    match state.images.get(&id) {
        Some(image) => Ok(image),
        None if catalog::image_by_id(id).is_some() => {
            Err(Refusal::because("You do not have permission to change this image, it is a public one."))
        }
        None => Err(Refusal::NotFound),
    }
}

fn first_region(image: &Image) -> String {
    image.regions.first().cloned().unwrap_or_default()
}

/// The lowest private address that no droplet has; `None` if there is none.
fn free_private_address(state: &State) -> Option<Ipv4Addr> {
    let taken: BTreeSet<Ipv4Addr> = state.droplets.values().filter_map(|droplet| droplet.private_address).collect();
    let (network, broadcast) = (PRIVATE_NETWORK.to_bits(), PRIVATE_NETWORK.to_bits() | !PRIVATE_NETMASK.to_bits());
    // The first address is the gateway's.
    (network + 2..broadcast).map(Ipv4Addr::from_bits).find(|address| !taken.contains(address))
}

/// The UUID of a region's default VPC, which must be stable.
fn default_vpc(account: &str, region: &str) -> String {
    let number = region.bytes().fold(0_u64, |number, byte| number << 8 | u64::from(byte));
    format!("{}-{:012x}", account.get(..23).unwrap_or("00000000-0000-4000-8000"), number & 0xffff_ffff_ffff)
}
