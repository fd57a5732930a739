//! Everything that can be known before anything is created: the account and its limit, region, size, image, network, keys,
//! the snapshot's name. One look serves all bakes of a command, and its requests are sent at the same time.
//!
//! A read that the token may not do, or that the API does not know (one that only resembles DigitalOcean's), is a warning:
//! the bake itself tells. What such a read does say counts.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde::Serialize;

use super::failure::{Failure, FailureKind};
use super::ports::{Account, Image, Provider, ProviderError, ProviderErrorKind, Region, Size, Snapshot};
use super::spec::{Spec, Stage};

/// The status of an account that could not be read.
const UNKNOWN: &str = "unknown";

/// What the looks gave for one bake.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preflight {
    /// The account's name.
    pub account: String,
    /// US dollars an hour of the build droplet.
    pub price_hourly: Option<f64>,
    /// US dollars a month of the build droplet.
    pub price_monthly: Option<f64>,
    /// Disk of the build droplet, GiB.
    pub disk_gib: Option<u64>,
    /// What is odd and does not stop the bake.
    pub warnings: Vec<String>,
}

/// The account, first of all: it is shown before anything else is done.
pub async fn account(provider: &dyn Provider) -> Result<Account, Failure> {
    match provider.account().await {
        Ok(account) => Ok(account),
        Err(error) => {
            unseen("the account", error)?;
            Ok(Account {
                name: format!("({UNKNOWN})"),
                status: UNKNOWN.to_owned(),
                status_message: String::new(),
                droplet_limit: 0,
            })
        }
    }
}

/// What is known of an account and of what it is offered. `None`: it could not be read.
struct Known {
    droplets: Option<u64>,
    regions: Option<Vec<Region>>,
    sizes: Option<Vec<Size>>,
    snapshots: Option<Vec<Snapshot>>,
    images: BTreeMap<String, Option<Image>>,
    vpcs: BTreeMap<String, Option<String>>,
    keys: BTreeMap<String, bool>,
}

/// Looks at everything for these bakes, of which `together` run at the same time; all that is wrong is said at once.
pub async fn look(
    provider: &dyn Provider,
    specs: &[&Spec],
    account: &Account,
    together: usize,
) -> Result<Vec<Preflight>, Failure> {
    let mut wrong = Vec::new();
    let mut warnings = Vec::new();
    match account.status.as_str() {
        "active" => {}
        UNKNOWN => warnings.push("the account cannot be read: neither its state nor its limit is checked".to_owned()),
        "warning" => warnings.push(format!("the account has a warning: {}", account.status_message)),
        other => wrong.push(format!("the account is {other}: {}", account.status_message)),
    }
    let known = known(provider, specs, &mut warnings).await?;
    if let Some(count) = known.droplets.filter(|_| account.droplet_limit > 0) {
        let free = account.droplet_limit.saturating_sub(count);
        let wanted = together as u64;
        if free == 0 {
            wrong.push(format!(
                "the account has {count} droplets and may have {}: destroy one (`mkimg gc` finds leftovers of bakes), or ask for a higher limit",
                account.droplet_limit
            ));
        } else if free < wanted {
            wrong.push(format!(
                "the account may have {free} more droplets, and {wanted} bakes run at a time: --parallel {free}"
            ));
        }
    }
    let mut looked = Vec::new();
    for (number, spec) in specs.iter().enumerate() {
        let size = known.judge(spec, &mut wrong);
        if let Some(other) = specs[..number].iter().find(|other| other.snapshot.name == spec.snapshot.name) {
            wrong.push(format!(
                "two bakes would make a snapshot named `{}` (from {} in {}, and from {} in {}): put what tells them apart into its name",
                spec.snapshot.name, other.droplet.image, other.droplet.region, spec.droplet.image, spec.droplet.region
            ));
        }
        looked.push(Preflight {
            account: account.name.clone(),
            price_hourly: size.and_then(|size| size.price_hourly),
            price_monthly: size.and_then(|size| size.price_monthly),
            disk_gib: size.map(|size| size.disk_gib).filter(|gib| *gib > 0),
            // Said once, whatever the number of bakes.
            warnings: if number == 0 { std::mem::take(&mut warnings) } else { Vec::new() },
        });
    }
    if !wrong.is_empty() {
        let mut said = BTreeSet::new();
        wrong.retain(|text| said.insert(text.clone()));
        return Err(Failure::new(Stage::Preflight, FailureKind::Preflight(wrong)));
    }
    Ok(looked)
}

async fn known(provider: &dyn Provider, specs: &[&Spec], warnings: &mut Vec<String>) -> Result<Known, Failure> {
    let images: BTreeSet<&str> = specs.iter().map(|spec| spec.droplet.image.as_str()).collect();
    let vpcs: BTreeSet<&str> = specs.iter().filter_map(|spec| spec.droplet.vpc_uuid.as_deref()).collect();
    let keys: BTreeSet<&str> = specs.iter().flat_map(|spec| spec.droplet.ssh_keys.iter().map(String::as_str)).collect();
    let (droplets, regions, sizes, snapshots, found_images, found_vpcs, found_keys) = tokio::join!(
        provider.droplet_count(),
        provider.regions(),
        provider.sizes(),
        provider.snapshots(),
        join_all(images.iter().map(|image| provider.image(image))),
        join_all(vpcs.iter().map(|vpc| provider.vpc_region(vpc))),
        join_all(keys.iter().map(|key| provider.has_ssh_key(key))),
    );
    let named = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    Ok(Known {
        droplets: seen("droplets", droplets, warnings)?,
        // A list of nothing says nothing: no account is offered no region.
        regions: seen("regions", regions, warnings)?.filter(|all| !all.is_empty()),
        sizes: seen("sizes", sizes, warnings)?.filter(|all| !all.is_empty()),
        snapshots: seen("snapshots", snapshots, warnings)?,
        images: each("images", named(images), found_images, warnings)?,
        vpcs: each("VPCs", named(vpcs), found_vpcs, warnings)?,
        keys: each("SSH keys", named(keys), found_keys, warnings)?,
    })
}

fn each<T>(
    what: &str,
    names: Vec<String>,
    results: Vec<Result<T, ProviderError>>,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, T>, Failure> {
    let mut found = BTreeMap::new();
    for (name, result) in names.into_iter().zip(results) {
        if let Some(value) = seen(what, result, warnings)? {
            found.insert(name, value);
        }
    }
    Ok(found)
}

fn seen<T>(what: &str, result: Result<T, ProviderError>, warnings: &mut Vec<String>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            let warning = unseen(what, error)?;
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
            Ok(None)
        }
    }
}

/// A token may do without some reads, and an API without some routes: that is a warning. Anything else (a token that is
/// not valid, no connection, no answer) stops the bake before it begins.
fn unseen(what: &str, error: ProviderError) -> Result<String, Failure> {
    match (error.kind, error.status) {
        (ProviderErrorKind::Forbidden, _) => Ok(format!("the token may not read {what}: not checked")),
        (ProviderErrorKind::NotFound | ProviderErrorKind::Refused, _)
        | (ProviderErrorKind::Unanswered, Some(501 | 200..=299)) => {
            Ok(format!("this API does not say anything of {what} ({error}): not checked"))
        }
        _ => Err(Failure::provider(Stage::Preflight, error)),
    }
}

impl Known {
    /// Judges one bake; gives its size.
    fn judge(&self, spec: &Spec, wrong: &mut Vec<String>) -> Option<&Size> {
        let droplet = &spec.droplet;
        if let Some(regions) = &self.regions {
            let names = || regions.iter().filter(|region| region.available).map(|region| region.slug.as_str());
            match regions.iter().find(|region| region.slug == droplet.region) {
                None => wrong.push(format!("there is no region `{}`{}", droplet.region, one_of(names()))),
                Some(region) if !region.available => {
                    wrong.push(format!("region `{}` takes no new droplets now{}", droplet.region, one_of(names())));
                }
                Some(_) => {}
            }
            for region in &spec.snapshot.regions {
                if !regions.iter().any(|known| known.slug == *region) {
                    wrong.push(format!("there is no region `{region}` to transfer the snapshot to{}", one_of(names())));
                }
            }
        }
        let size = self.size(spec, wrong);
        if let Some(image) = self.images.get(&droplet.image) {
            judge_image(spec, image.as_ref(), size, wrong);
        }
        if let Some((uuid, vpc)) = droplet.vpc_uuid.as_ref().and_then(|uuid| self.vpcs.get_key_value(uuid)) {
            match vpc {
                None => wrong.push(format!("there is no VPC `{uuid}`")),
                Some(region) if !region.is_empty() && *region != droplet.region => {
                    wrong.push(format!("VPC `{uuid}` is in region `{region}`, the droplet in `{}`", droplet.region));
                }
                Some(_) => {}
            }
        }
        for key in droplet.ssh_keys.iter().filter(|key| self.keys.get(*key) == Some(&false)) {
            wrong.push(format!("the account has no SSH key `{key}`: --ssh-key takes its number or fingerprint"));
        }
        if let Some(taken) = self.snapshots.iter().flatten().find(|taken| taken.name == spec.snapshot.name) {
            wrong.push(format!(
                "there is a snapshot named `{}` already ({}); put {{{{ timestamp }}}} into the name, or delete it",
                spec.snapshot.name, taken.id
            ));
        }
        size
    }

    fn size(&self, spec: &Spec, wrong: &mut Vec<String>) -> Option<&Size> {
        let sizes = self.sizes.as_ref()?;
        let (slug, region) = (&spec.droplet.size, &spec.droplet.region);
        let offered = |size: &&Size| {
            size.available && size.regions.as_ref().is_none_or(|regions| regions.iter().any(|known| known == region))
        };
        let found = sizes.iter().find(|size| size.slug == *slug);
        let Some(size) = found else {
            let near = sizes.iter().filter(offered).map(|size| size.slug.as_str());
            let near = near.max_by(|a, b| strsim::jaro_winkler(a, slug).total_cmp(&strsim::jaro_winkler(b, slug)));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            wrong.push(format!("there is no size `{slug}`{near}"));
            return None;
        };
        if !offered(&size) {
            let elsewhere = match &size.regions {
                Some(regions) if size.available && !regions.is_empty() => format!("; it is in {}", regions.join(", ")),
                _ => String::new(),
            };
            wrong.push(format!("size `{slug}` is not available in region `{region}`{elsewhere}"));
        }
        Some(size)
    }
}

fn judge_image(spec: &Spec, image: Option<&Image>, size: Option<&Size>, wrong: &mut Vec<String>) {
    let droplet = &spec.droplet;
    let Some(image) = image else {
        wrong.push(format!("there is no image `{}`", droplet.image));
        return;
    };
    if image.status == "retired" || image.status == "deleted" {
        wrong.push(format!("image `{}` is {}", droplet.image, image.status));
    } else if !image.regions.is_empty() && !image.regions.contains(&droplet.region) {
        wrong.push(format!(
            "image `{}` is not in region `{}`; it is in {}",
            droplet.image,
            droplet.region,
            image.regions.join(", ")
        ));
    }
    if let (Some(min), Some(size)) = (image.min_disk_gib, size)
        && size.disk_gib > 0
        && size.disk_gib < min
    {
        wrong.push(format!(
            "image `{}` needs a disk of {min} GiB, size `{}` has {}",
            droplet.image, droplet.size, size.disk_gib
        ));
    }
}

fn one_of<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) }
}
