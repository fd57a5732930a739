//! Checks before anything is created: the account and its droplet limit, region, size, image, network, SSH keys, the
//! snapshot's name. One preflight serves all bakes of a command, and sends its requests at the same time.
//!
//! A read that the token may not do, or that the API does not support, is only a warning.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde::Serialize;

use super::outcome::{Failure, FailureKind, PreflightProblem, PreflightRemedy};
use super::ports::{Account, Image, Provider, ProviderError, ProviderErrorKind, Region, Size, Snapshot};
use super::spec::{Spec, Stage};

/// The status of an account that could not be read.
const UNKNOWN: &str = "unknown";

/// What the preflight found for one bake.
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
    /// What is unexpected and does not stop the bake.
    pub warnings: Vec<String>,
}

/// Reads the account, which is shown before anything else is done.
pub async fn account(provider: &dyn Provider) -> Result<Account, Failure> {
    match provider.account().await {
        Ok(account) => Ok(account),
        Err(error) => {
            warning_of("the account", error)?;
            Ok(Account {
                name: format!("({UNKNOWN})"),
                status: UNKNOWN.to_owned(),
                status_message: String::new(),
                droplet_limit: 0,
            })
        }
    }
}

/// What is wrong, each problem once.
#[derive(Default)]
struct Problems(Vec<PreflightProblem>);

impl Problems {
    fn add(&mut self, message: String) {
        self.push(PreflightProblem { message, remedy: None });
    }

    fn add_with(&mut self, message: String, remedy: PreflightRemedy) {
        self.push(PreflightProblem { message, remedy: Some(remedy) });
    }

    fn push(&mut self, problem: PreflightProblem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }
}

/// What an account may use. `None`: it could not be read.
struct Offer {
    droplets: Option<u64>,
    regions: Option<Vec<Region>>,
    sizes: Option<Vec<Size>>,
    snapshots: Option<Vec<Snapshot>>,
    images: BTreeMap<String, Option<Image>>,
    vpcs: BTreeMap<String, Option<String>>,
    keys: BTreeMap<String, bool>,
}

/// Checks these bakes, of which `parallel` run at the same time; reports all problems at once.
pub async fn check(
    provider: &dyn Provider,
    specs: &[&Spec],
    account: &Account,
    parallel: usize,
) -> Result<Vec<Preflight>, Failure> {
    let mut problems = Problems::default();
    let mut warnings = Vec::new();
    match account.status.as_str() {
        "active" => {}
        UNKNOWN => warnings.push("the account cannot be read: neither its state nor its limit is checked".to_owned()),
        "warning" => warnings.push(format!("the account has a warning: {}", account.status_message)),
        other => problems.add(format!("the account is {other}: {}", account.status_message)),
    }
    let offer = read_offer(provider, specs, &mut warnings).await?;
    if let Some(count) = offer.droplets.filter(|_| account.droplet_limit > 0) {
        let free = account.droplet_limit.saturating_sub(count);
        let wanted = parallel as u64;
        if free == 0 {
            let message = format!("the account has {count} droplets and may have {}", account.droplet_limit);
            problems.add_with(message, PreflightRemedy::FreeDroplets);
        } else if free < wanted {
            let message = format!("the account may have {free} more droplets, and {wanted} bakes run at a time");
            problems.add_with(message, PreflightRemedy::FewerBakes(free));
        }
    }
    let mut checked = Vec::new();
    for (number, spec) in specs.iter().enumerate() {
        let size = offer.check(spec, &mut problems);
        if let Some(other) = specs[..number].iter().find(|other| other.snapshot.name == spec.snapshot.name) {
            problems.add(format!(
                "two bakes would make a snapshot named `{}` (from {} in {}, and from {} in {}): put what distinguishes them into its name",
                spec.snapshot.name, other.droplet.image, other.droplet.region, spec.droplet.image, spec.droplet.region
            ));
        }
        checked.push(Preflight {
            account: account.name.clone(),
            price_hourly: size.and_then(|size| size.price_hourly),
            price_monthly: size.and_then(|size| size.price_monthly),
            disk_gib: size.map(|size| size.disk_gib).filter(|gib| *gib > 0),
            // Reported once, whatever the number of bakes.
            warnings: if number == 0 { std::mem::take(&mut warnings) } else { Vec::new() },
        });
    }
    if !problems.0.is_empty() {
        return Err(Failure::new(Stage::Preflight, FailureKind::Preflight(problems.0)));
    }
    Ok(checked)
}

async fn read_offer(provider: &dyn Provider, specs: &[&Spec], warnings: &mut Vec<String>) -> Result<Offer, Failure> {
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
    Ok(Offer {
        droplets: seen("droplets", droplets, warnings)?,
        // Every account is offered some region and size: an empty list says nothing.
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
            let warning = warning_of(what, error)?;
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
            Ok(None)
        }
    }
}

/// The warning about a read that the token may not do or the API does not support. Any other error (an invalid token, no
/// connection, no answer) stops the bake before it begins.
fn warning_of(what: &str, error: ProviderError) -> Result<String, Failure> {
    match (error.kind, error.status) {
        (ProviderErrorKind::Forbidden, _) => Ok(format!("the token may not read {what}: not checked")),
        (ProviderErrorKind::NotFound | ProviderErrorKind::Refused, _)
        | (ProviderErrorKind::Unanswered, Some(501 | 200..=299)) => {
            Ok(format!("this API does not list {what} ({error}): not checked"))
        }
        _ => Err(Failure::provider(Stage::Preflight, error)),
    }
}

impl Offer {
    /// Checks one bake; returns its size.
    fn check(&self, spec: &Spec, problems: &mut Problems) -> Option<&Size> {
        let droplet = &spec.droplet;
        if let Some(regions) = &self.regions {
            let names = || regions.iter().filter(|region| region.available).map(|region| region.slug.as_str());
            match regions.iter().find(|region| region.slug == droplet.region) {
                None => problems.add(format!("there is no region `{}`{}", droplet.region, list_of(names()))),
                Some(region) if !region.available => {
                    problems.add(format!("region `{}` takes no new droplets now{}", droplet.region, list_of(names())));
                }
                Some(_) => {}
            }
            for region in &spec.snapshot.regions {
                if !regions.iter().any(|known| known.slug == *region) {
                    problems
                        .add(format!("there is no region `{region}` to transfer the snapshot to{}", list_of(names())));
                }
            }
        }
        let size = self.check_size(spec, problems);
        if let Some(image) = self.images.get(&droplet.image) {
            check_image(spec, image.as_ref(), size, problems);
        }
        if let Some((uuid, vpc)) = droplet.vpc_uuid.as_ref().and_then(|uuid| self.vpcs.get_key_value(uuid)) {
            match vpc {
                None => problems.add(format!("there is no VPC `{uuid}`")),
                Some(region) if !region.is_empty() && *region != droplet.region => {
                    problems.add(format!("VPC `{uuid}` is in region `{region}`, the droplet in `{}`", droplet.region));
                }
                Some(_) => {}
            }
        }
        for key in droplet.ssh_keys.iter().filter(|key| self.keys.get(*key) == Some(&false)) {
            problems.add_with(format!("the account has no SSH key `{key}`"), PreflightRemedy::NameSshKey);
        }
        if let Some(existing) = self.snapshots.iter().flatten().find(|existing| existing.name == spec.snapshot.name) {
            problems.add(format!(
                "there is a snapshot named `{}` already ({}); put {{{{ timestamp }}}} into the name, or delete it",
                spec.snapshot.name, existing.id
            ));
        }
        size
    }

    fn check_size(&self, spec: &Spec, problems: &mut Problems) -> Option<&Size> {
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
            problems.add(format!("there is no size `{slug}`{near}"));
            return None;
        };
        if !offered(&size) {
            let elsewhere = match &size.regions {
                Some(regions) if size.available && !regions.is_empty() => format!("; it is in {}", regions.join(", ")),
                _ => String::new(),
            };
            problems.add(format!("size `{slug}` is not available in region `{region}`{elsewhere}"));
        }
        Some(size)
    }
}

fn check_image(spec: &Spec, image: Option<&Image>, size: Option<&Size>, problems: &mut Problems) {
    let droplet = &spec.droplet;
    let Some(image) = image else {
        problems.add(format!("there is no image `{}`", droplet.image));
        return;
    };
    if image.status == "retired" || image.status == "deleted" {
        problems.add(format!("image `{}` is {}", droplet.image, image.status));
    } else if !image.regions.is_empty() && !image.regions.contains(&droplet.region) {
        problems.add(format!(
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
        problems.add(format!(
            "image `{}` needs a disk of {min} GiB, size `{}` has {}",
            droplet.image, droplet.size, size.disk_gib
        ));
    }
}

fn list_of<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) }
}
