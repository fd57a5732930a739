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
        // Every account has some regions and sizes, so an empty list proves nothing.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bake::ports::ProviderErrorKind as Kind;
    use crate::bake::tests::support::{Fake, Fault, World, spec};

    async fn look(world: World, specs: &[&Spec], together: usize) -> Result<Vec<Preflight>, Failure> {
        let fake = Fake::new(world);
        let account = account(&fake).await?;
        let looked = check(&fake, specs, &account, together).await;
        assert_eq!(fake.existing_resources(), [""; 0], "nothing is created");
        looked
    }

    fn with(change: impl FnOnce(&mut Spec)) -> Spec {
        let mut spec = spec();
        change(&mut spec);
        spec
    }

    #[tokio::test]
    async fn a_valid_bake_passes_and_has_a_price() {
        let looked = look(World::default(), &[&spec()], 1).await.unwrap();
        assert_eq!(
            (looked[0].price_hourly, looked[0].price_monthly, looked[0].disk_gib),
            (Some(0.009), Some(6.0), Some(25))
        );
        assert_eq!(looked[0].warnings, [""; 0]);
    }

    #[tokio::test]
    async fn all_problems_are_reported_at_once() {
        let cases = [
            (with(|s| s.droplet.region = "mars1".into()), "there is no region `mars1`; there are nyc3, fra1, ams3"),
            (with(|s| s.droplet.region = "sfo1".into()), "region `sfo1` takes no new droplets now"),
            (with(|s| s.snapshot.regions = vec!["mars1".into()]), "no region `mars1` to transfer the snapshot to"),
            (with(|s| s.droplet.size = "s-1vpcu-1gb".into()), "no size `s-1vpcu-1gb`; did you mean `s-1vcpu-1gb`?"),
            (
                with(|s| s.droplet.size = "s-ams".into()),
                "size `s-ams` is not available in region `nyc3`; it is in ams3",
            ),
            (with(|s| s.droplet.size = "s-old".into()), "size `s-old` is not available in region `nyc3`"),
            (with(|s| s.droplet.image = "none".into()), "there is no image `none`"),
            (with(|s| s.droplet.image = "retired".into()), "image `retired` is retired"),
            (with(|s| s.droplet.image = "deleted".into()), "image `deleted` is deleted"),
            (
                with(|s| s.droplet.region = "fra1".into()),
                "image `debian-12-x64` is not in region `fra1`; it is in nyc3",
            ),
            (with(|s| s.droplet.vpc_uuid = Some("none".into())), "there is no VPC `none`"),
            (with(|s| s.droplet.vpc_uuid = Some("v".into())), "VPC `v` is in region `ams3`, the droplet in `nyc3`"),
            (with(|s| s.droplet.ssh_keys = vec!["17".into(), "18".into()]), "the account has no SSH key `18`"),
        ];
        for (spec, text) in &cases {
            let failure = look(World::default(), &[spec], 1).await.unwrap_err().to_string();
            assert!(failure.contains(text), "{failure}");
        }
        // A service that does not say where an image or a network is.
        let anywhere = with(|s| {
            s.droplet.image = "anywhere".into();
            s.droplet.vpc_uuid = Some("anywhere".into());
        });
        assert!(look(World::default(), &[&anywhere], 1).await.is_ok());
        for (account, text) in [(("locked", 10), "the account is locked: unpaid"), (("active", 1), "")] {
            let looked = look(World { account, ..World::default() }, &[&spec()], 1).await;
            assert_eq!(looked.is_err(), !text.is_empty());
            assert!(looked.is_ok() || looked.unwrap_err().to_string().contains(text));
        }
        let both = with(|s| {
            s.droplet.region = "mars1".into();
            s.droplet.image = "none".into();
        });
        let failure =
            look(World { account: ("locked", 10), ..World::default() }, &[&both], 1).await.unwrap_err().to_string();
        assert!(["locked", "mars1", "image `none`"].iter().all(|part| failure.contains(part)), "{failure}");
    }

    #[tokio::test]
    async fn several_bakes_are_checked_together() {
        let (first, second) = (spec(), with(|s| s.droplet.image = "ubuntu-24-04-x64".into()));
        let failure = look(World::default(), &[&first, &second], 2).await.unwrap_err().to_string();
        assert!(failure.contains("two bakes would make a snapshot named `product`"), "{failure}");
        let second = with(|s| s.snapshot.name = "other".into());
        assert_eq!(look(World::default(), &[&first, &second], 2).await.unwrap().len(), 2);
        let narrow = World { account: ("active", 1), ..World::default() };
        let failure = look(narrow, &[&first, &second], 2).await.unwrap_err().to_string();
        assert!(failure.contains("1 more droplets, and 2 bakes run at a time"), "{failure}");
    }

    #[tokio::test]
    async fn an_account_may_be_full_or_have_a_warning() {
        let fake = Fake::new(World { account: ("warning", 1), ..World::default() });
        let account = account(&fake).await.unwrap();
        let looked = check(&fake, &[&spec()], &account, 1).await.unwrap();
        assert_eq!(looked[0].warnings, ["the account has a warning: unpaid"]);
        assert_eq!(
            fake.bake(&Spec { on_error: crate::bake::OnError::Keep, limits: short(), ..spec() }).await.exit_status(),
            4
        );
        let failure = check(&fake, &[&with(|s| s.snapshot.name = "b".into())], &account, 1).await.unwrap_err();
        assert_eq!(failure.to_string(), "preflight: the account has 1 droplets and may have 1");
        let FailureKind::Preflight(problems) = failure.kind else { panic!() };
        assert_eq!(problems[0].remedy, Some(PreflightRemedy::FreeDroplets));
    }

    fn short() -> crate::bake::Limits {
        crate::bake::Limits { provision: std::time::Duration::from_secs(1), ..spec().limits }
    }

    #[tokio::test]
    async fn a_disk_as_large_as_the_image_needs_is_enough() {
        // The size has 25 GiB.
        for (minimum, fits) in [(24, true), (25, true), (26, false)] {
            let checked = look(World { image_min_disk: minimum, ..World::default() }, &[&spec()], 1).await;
            assert_eq!(checked.is_ok(), fits, "{minimum}: {checked:?}");
            if let Err(failure) = checked {
                assert!(failure.to_string().contains("needs a disk of 26 GiB, size `s-1vcpu-1gb` has 25"), "{failure}");
            }
        }
    }

    #[tokio::test]
    async fn a_snapshot_with_the_same_name_is_seen() {
        let fake = Fake::new(World::default());
        assert_eq!(fake.bake(&spec()).await.exit_status(), 0);
        let account = account(&fake).await.unwrap();
        let failure = check(&fake, &[&spec()], &account, 1).await.unwrap_err().to_string();
        assert!(failure.contains("there is a snapshot named `product` already"), "{failure}");
    }

    #[tokio::test]
    async fn a_problem_has_its_remedy() {
        let remedy = |failure: Failure| match failure.kind {
            FailureKind::Preflight(problems) => problems.into_iter().map(|problem| problem.remedy).collect::<Vec<_>>(),
            other => panic!("{other}"),
        };
        let no_key = with(|s| s.droplet.ssh_keys = vec!["18".into()]);
        let failure = look(World::default(), &[&no_key], 1).await.unwrap_err();
        assert_eq!(remedy(failure), [Some(PreflightRemedy::NameSshKey)]);
        let (first, second) = (spec(), with(|s| s.snapshot.name = "other".into()));
        let failure =
            look(World { account: ("active", 1), ..World::default() }, &[&first, &second], 2).await.unwrap_err();
        assert_eq!(remedy(failure), [Some(PreflightRemedy::FewerBakes(1))]);
    }

    /// What a service does not say is not held against a bake.
    #[tokio::test]
    async fn an_unknown_catalogue_stops_nothing() {
        let elsewhere = with(|s| {
            s.droplet.region = "mars1".into();
            s.droplet.size = "s-9".into();
            s.droplet.image = "anywhere".into();
        });
        let empty = World { empty_catalogue: true, ..World::default() };
        let looked = look(empty, &[&elsewhere], 1).await.unwrap();
        assert_eq!((looked[0].price_hourly, looked[0].disk_gib, looked[0].warnings.len()), (None, None, 0));
        // A size without a disk: neither its price nor the image's needs can be told.
        let free = with(|s| s.droplet.size = "s-free".into());
        let looked = look(World { image_min_disk: 100, ..World::default() }, &[&free], 1).await.unwrap();
        assert_eq!((looked[0].price_hourly, looked[0].disk_gib), (Some(0.009), None));
    }

    /// What is wrong with several bakes in the same way is said once, and each warning, too.
    #[tokio::test]
    async fn nothing_is_said_twice() {
        let [first, second] = ["a", "b"].map(|name| {
            with(|s| {
                s.droplet.region = "mars1".into();
                s.snapshot.name = name.into();
            })
        });
        let failure = look(World::default(), &[&first, &second], 2).await.unwrap_err().to_string();
        assert_eq!(failure.matches("there is no region `mars1`;").count(), 1, "{failure}");
        let keys = with(|s| s.droplet.ssh_keys = vec!["17".into(), "18".into()]);
        let lost = Some(("ssh key".to_owned(), 1, Fault::Before(Kind::Forbidden)));
        let looked = look(World { permanent_failure: lost, ..World::default() }, &[&keys], 1).await.unwrap();
        assert_eq!(looked[0].warnings, ["the token may not read SSH keys: not checked"]);
        // A snapshot of another name is in nobody's way.
        let fake = Fake::new(World::default());
        assert_eq!(fake.bake(&spec()).await.exit_status(), 0);
        let account = account(&fake).await.unwrap();
        assert!(check(&fake, &[&with(|s| s.snapshot.name = "produc".into())], &account, 1).await.is_ok());
    }

    /// Requests are 1 account, 2 count, 3 regions, 4 sizes, 5 snapshots, 6 image.
    #[tokio::test]
    async fn a_refused_read_is_a_warning_and_other_errors_stop_the_bake() {
        for number in 1..=6 {
            for (kind, stops) in [
                (Kind::Forbidden, false),
                (Kind::NotFound, false),
                (Kind::Refused, false),
                (Kind::Unauthorized, true),
                (Kind::Unreachable, true),
                (Kind::Unanswered, true),
            ] {
                let world = World { faults: [(number, Fault::Before(kind))].into(), ..World::default() };
                match look(world, &[&spec()], 1).await {
                    Ok(looked) => {
                        assert!(!stops, "request {number}: {kind:?}");
                        assert_eq!(looked[0].warnings.len(), 1, "request {number}: {kind:?}: {:?}", looked[0].warnings);
                    }
                    Err(failure) => assert!(stops, "request {number}: {kind:?}: {failure}"),
                }
            }
        }
    }
}
