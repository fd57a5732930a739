//! What is found before anything is created, and what a read that cannot be done means.

use super::support::{Fake, Fault, World, spec};
use crate::bake::outcome::PreflightRemedy;
use crate::bake::ports::ProviderErrorKind as Kind;
use crate::bake::preflight::{self, Preflight};
use crate::bake::{Failure, FailureKind, Spec};

async fn look(world: World, specs: &[&Spec], together: usize) -> Result<Vec<Preflight>, Failure> {
    let fake = Fake::new(world);
    let account = preflight::account(&fake).await?;
    let looked = preflight::check(&fake, specs, &account, together).await;
    assert_eq!(fake.there(), [""; 0], "nothing is created");
    looked
}

fn with(change: impl FnOnce(&mut Spec)) -> Spec {
    let mut spec = spec();
    change(&mut spec);
    spec
}

#[tokio::test]
async fn what_is_right_passes_and_has_a_price() {
    let looked = look(World::default(), &[&spec()], 1).await.unwrap();
    assert_eq!(
        (looked[0].price_hourly, looked[0].price_monthly, looked[0].disk_gib),
        (Some(0.009), Some(6.0), Some(25))
    );
    assert_eq!(looked[0].warnings, [""; 0]);
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let cases = [
        (with(|s| s.droplet.region = "mars1".into()), "there is no region `mars1`; there are nyc3, fra1, ams3"),
        (with(|s| s.droplet.region = "sfo1".into()), "region `sfo1` takes no new droplets now"),
        (with(|s| s.snapshot.regions = vec!["mars1".into()]), "no region `mars1` to transfer the snapshot to"),
        (with(|s| s.droplet.size = "s-1vpcu-1gb".into()), "no size `s-1vpcu-1gb`; did you mean `s-1vcpu-1gb`?"),
        (with(|s| s.droplet.size = "s-ams".into()), "size `s-ams` is not available in region `nyc3`; it is in ams3"),
        (with(|s| s.droplet.size = "s-old".into()), "size `s-old` is not available in region `nyc3`"),
        (with(|s| s.droplet.image = "none".into()), "there is no image `none`"),
        (with(|s| s.droplet.vpc_uuid = Some("none".into())), "there is no VPC `none`"),
        (with(|s| s.droplet.vpc_uuid = Some("v".into())), "VPC `v` is in region `ams3`, the droplet in `nyc3`"),
        (with(|s| s.droplet.ssh_keys = vec!["18".into()]), "the account has no SSH key `18`"),
    ];
    for (spec, text) in &cases {
        let failure = look(World::default(), &[spec], 1).await.unwrap_err().to_string();
        assert!(failure.contains(text), "{failure}");
    }
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
async fn several_bakes_are_judged_together() {
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
async fn a_problem_has_its_remedy() {
    let remedy = |failure: Failure| match failure.kind {
        FailureKind::Preflight(problems) => problems.into_iter().map(|problem| problem.remedy).collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    let no_key = with(|s| s.droplet.ssh_keys = vec!["18".into()]);
    let failure = look(World::default(), &[&no_key], 1).await.unwrap_err();
    assert_eq!(remedy(failure), [Some(PreflightRemedy::NameSshKey)]);
    let (first, second) = (spec(), with(|s| s.snapshot.name = "other".into()));
    let failure = look(World { account: ("active", 1), ..World::default() }, &[&first, &second], 2).await.unwrap_err();
    assert_eq!(remedy(failure), [Some(PreflightRemedy::FewerBakes(1))]);
}

/// Requests are 1 account, 2 count, 3 regions, 4 sizes, 5 snapshots, 6 image.
#[tokio::test]
async fn a_read_that_cannot_be_done_stops_nothing_and_a_fault_does() {
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
