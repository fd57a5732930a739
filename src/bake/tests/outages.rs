//! A service that fails permanently, for all requests or for one kind, and a service with a
//! temporary outage. The bakes use the default limits, which are hours.

use std::collections::BTreeSet;
use std::time::Duration;

use super::faults::check_outcome;
use super::kills::collector;
use super::support::{Fake, Fault, World, spec};
use crate::bake::orphans::Collector;
use crate::bake::ports::{ProviderErrorKind as Kind, RunnerState};
use crate::bake::state::DropletState;
use crate::bake::{BakeState, FailureKind, Limits, MarkerKind, Outcome, Spec};

const LASTING: [Fault; 8] = [
    Fault::After,
    Fault::Before(Kind::Unanswered),
    Fault::Before(Kind::Unreachable),
    Fault::Before(Kind::RateLimited),
    Fault::Before(Kind::Pending),
    Fault::Before(Kind::NotFound),
    Fault::Before(Kind::Unauthorized),
    Fault::Before(Kind::Refused),
];

fn spec_with_default_limits(marker: MarkerKind) -> Spec {
    Spec { limits: Limits::default(), marker, verify: false, ..spec() }
}

fn world() -> World {
    // With powering off as the marker, the droplet powers off by itself.
    World { crash_after: Some(30), ..World::default() }
}

/// The distinct requests of an undisturbed bake, and how many seconds it takes.
async fn bake_without_faults(spec: &Spec) -> (BTreeSet<String>, u64) {
    let fake = Fake::new(world());
    assert_eq!(fake.bake(spec).await.exit_status(), 0);
    let seconds = fake.seconds();
    (fake.state.lock().unwrap().requests.iter().cloned().collect(), seconds)
}

#[tokio::test]
async fn one_request_that_fails_for_good_does_not_hold_a_bake_for_hours() {
    let spec = spec_with_default_limits(MarkerKind::Poweroff);
    let (requests, happy) = bake_without_faults(&spec).await;
    let mut longest = (0, String::new());
    for request in &requests {
        for from in [1, 2] {
            for fault in LASTING {
                let case = format!("{request}, from {from} on: {fault:?}");
                let fake = Fake::new(World { permanent_failure: Some((request.clone(), from, fault)), ..world() });
                let outcome = fake.bake(&spec).await;
                check_outcome(&fake, &outcome, &case);
                longest = longest.max((fake.seconds(), case));
            }
        }
    }
    // One budget on the way forward, one for the clean-up, and the lookups for as long as lists
    // lag.
    let most = happy + 2 * spec.limits.unreachable.as_secs() + 120;
    assert!(longest.0 <= most, "{longest:?}, more than {most}");
}

#[tokio::test]
async fn a_service_that_goes_away_is_given_up_and_remaining_resources_are_named() {
    let spec = spec_with_default_limits(MarkerKind::Poweroff);
    let happy = Fake::new(world());
    assert_eq!(happy.bake(&spec).await.exit_status(), 0);
    let requests = happy.state.lock().unwrap().requests.len() as u64;
    for at in 1..=requests {
        let fake = Fake::new(World { outage: Some((at, u64::MAX / 2)), ..world() });
        let outcome = fake.bake(&spec).await;
        check_outcome(&fake, &outcome, &format!("away from {at} on"));
        let most = happy.seconds() + 2 * spec.limits.unreachable.as_secs() + 120;
        assert!(fake.seconds() <= most, "away from {at} on: {} s, more than {most}: {outcome:?}", fake.seconds());
        if let Outcome::Failed { failure, remaining, .. } = &outcome
            && matches!(failure.kind, FailureKind::Unavailable { .. })
        {
            assert!(!remaining.is_empty() || fake.existing_resources().is_empty(), "{outcome:?}");
        }
    }
}

/// A client gives up a hanging request after about twenty seconds, retries included, so every
/// unneeded request counts.
#[tokio::test]
async fn a_service_that_hangs_gets_one_more_request_for_each_resource() {
    let spec = spec_with_default_limits(MarkerKind::Poweroff);
    let happy = Fake::new(world());
    assert_eq!(happy.bake(&spec).await.exit_status(), 0);
    let requests = happy.state.lock().unwrap().requests.len() as u64;
    let mut longest = (0, 0);
    for at in 1..=requests {
        let fake = Fake::new(World { outage: Some((at, u64::MAX / 2)), seconds_per_lost_request: 20, ..world() });
        let outcome = fake.bake(&spec).await;
        check_outcome(&fake, &outcome, &format!("hangs from {at} on"));
        longest = longest.max((fake.seconds(), at));
    }
    // Both limits, each exceeded by a lookup of two requests. Then for a snapshot and a droplet:
    // list it, destroy it, check that it is gone.
    let most = happy.seconds() + 2 * spec.limits.unreachable.as_secs() + (2 * 2 + 2 * 3) * 20;
    assert!(longest.0 <= most, "{longest:?}, more than {most}");
}

#[tokio::test]
async fn a_service_that_is_away_for_a_while_is_waited_for() {
    let spec = spec_with_default_limits(MarkerKind::Poweroff);
    let (.., happy) = bake_without_faults(&spec).await;
    let requests = happy;
    for at in 1..=requests {
        let fake = Fake::new(World { outage: Some((at, 20)), ..world() });
        let outcome = fake.bake(&spec).await;
        check_outcome(&fake, &outcome, &format!("away at {at}"));
    }
}

#[tokio::test]
async fn a_snapshot_is_requested_again_only_if_none_exists() {
    let spec = spec_with_default_limits(MarkerKind::Poweroff);
    let happy = Fake::new(world());
    assert_eq!(happy.bake(&spec).await.exit_status(), 0);
    let asked =
        happy.state.lock().unwrap().requests.iter().position(|one| one.contains("Snapshot(")).unwrap() as u64 + 1;
    // The answer is lost, and the outage that follows is longer than the list lag and the snapshot.
    let fake = Fake::new(World { faults: [(asked, Fault::After)].into(), outage: Some((asked + 1, 40)), ..world() });
    let outcome = fake.bake(&spec).await;
    check_outcome(&fake, &outcome, "a lost answer before an outage");
    let state = fake.state.lock().unwrap();
    let times = state.requests.iter().filter(|one| one.contains("Snapshot(")).count();
    assert_eq!((outcome.exit_status(), times), (0, 1), "{:?}", state.requests);
}

/// A request that had no effect is not confused with an earlier one that failed.
#[tokio::test]
async fn an_earlier_snapshot_that_failed_is_not_taken_for_this_one() {
    let spec = spec_with_default_limits(MarkerKind::Poweroff);
    let world = World { earlier_snapshot_failed: true, ..world() };
    let happy = Fake::new(world.clone());
    assert_eq!(happy.bake(&spec).await.exit_status(), 0);
    let asked =
        happy.state.lock().unwrap().requests.iter().position(|one| one.contains("Snapshot(")).unwrap() as u64 + 1;
    for fault in [Fault::Before(Kind::Unanswered), Fault::After] {
        let fake = Fake::new(World { faults: [(asked, fault)].into(), ..world.clone() });
        let outcome = fake.bake(&spec).await;
        check_outcome(&fake, &outcome, "a lost request after a failed snapshot");
        assert_eq!(outcome.exit_status(), 0, "{fault:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_droplet_is_requested_again_only_if_none_exists() {
    let spec = spec_with_default_limits(MarkerKind::Poweroff);
    let happy = Fake::new(world());
    assert_eq!(happy.bake(&spec).await.exit_status(), 0);
    let asked = happy.state.lock().unwrap().requests.iter().position(|one| one == "create").unwrap() as u64 + 1;
    // The answer is lost and the list lags. Then an outage begins that is longer than the lag.
    for seconds in [20, 60] {
        let outage = Some((asked + 2, seconds));
        let fake = Fake::new(World { lag: 5, faults: [(asked, Fault::After)].into(), outage, ..world() });
        let outcome = fake.bake(&spec).await;
        check_outcome(&fake, &outcome, "a lost answer before an outage");
        let state = fake.state.lock().unwrap();
        assert_eq!((outcome.exit_status(), state.created), (0, 1), "{outcome:?}: {:?}", state.requests);
    }
}

#[tokio::test]
async fn a_snapshot_with_an_unreported_droplet_is_named_not_deleted() {
    let fake = Fake::new(World { omits_droplets: true, ..world() });
    let outcome = fake.bake(&spec_with_default_limits(MarkerKind::Poweroff)).await;
    check_outcome(&fake, &outcome, "no droplets said");
    assert_eq!((outcome.exit_status(), fake.existing_resources().len()), (4, 1), "{outcome:?}");
    let left: Vec<String> = outcome.remaining().iter().map(ToString::to_string).collect();
    assert!(left.len() == 1 && left[0].starts_with(&fake.existing_resources()[0]), "{left:?}");
    // One of another name, or with a tag, is not named.
    for (name, tags) in [("other", vec![]), ("product", vec!["forensics".to_owned()])] {
        let other = Fake::new(World { omits_droplets: true, ..world() });
        let snapshot = crate::bake::ports::Snapshot {
            id: "901".into(),
            name: name.into(),
            regions: vec![],
            tags,
            droplet: None,
            size_gb: 1.0,
        };
        other.state.lock().unwrap().snapshots.insert("901".into(), (snapshot, 0));
        let outcome = other.bake(&spec_with_default_limits(MarkerKind::Poweroff)).await;
        assert!(!outcome.remaining().iter().any(|left| left.name() == "snapshot 901"), "{name}: {outcome:?}");
    }
    // The printed command removes it.
    let state = BakeState::replay(fake.journal.lock().unwrap().iter());
    let collector = collector(&fake, Duration::from_secs(30));
    let found = collector.find_bake(&spec_with_default_limits(MarkerKind::Poweroff).tag(), &state).await.unwrap();
    for orphan in &found {
        collector.remove(orphan, Duration::from_secs(300)).await.unwrap();
    }
    assert_eq!((found.len(), fake.existing_resources()), (1, Vec::new()));
}

/// On the way forward one usable answer restores the whole outage budget: outages that are each shorter than it never
/// end a bake, however many there are.
#[tokio::test]
async fn an_outage_shorter_than_its_budget_may_come_again_and_again() {
    let spec = spec_with_default_limits(MarkerKind::Poweroff);
    let budget = spec.limits.unreachable.as_secs();
    let (up, down) = (10, budget - 40);
    let fake = Fake::new(World {
        crash_after: Some(5 * budget),
        intermittent_failure: Some(("droplet", up, down)),
        ..World::default()
    });
    let outcome = fake.bake(&spec).await;
    check_outcome(&fake, &outcome, "flickers");
    assert_eq!(outcome.exit_status(), 0, "{outcome:?}");
    assert!(fake.seconds() > 5 * budget, "there was more than one outage");
    // A longer outage ends it.
    let world = World {
        crash_after: Some(5 * budget),
        intermittent_failure: Some(("droplet", up, budget + 40)),
        ..World::default()
    };
    let fake = Fake::new(world);
    let Outcome::Failed { failure, .. } = fake.bake(&spec).await else { panic!() };
    assert!(matches!(failure.kind, FailureKind::Unavailable { .. }), "{failure}");
}

/// While cleaning up, all waits share one budget: short outages between usable answers add up.
#[tokio::test]
async fn outages_of_a_clean_up_add_up() {
    let spec = spec_with_default_limits(MarkerKind::Poweroff);
    let budget = spec.limits.unreachable.as_secs();
    let world = World {
        final_state: RunnerState::Failed,
        crash_after: Some(30),
        snapshot_errors: true,
        intermittent_failure: Some(("list tagged", 1, budget / 2)),
        permanent_failure: Some(("delete droplet".into(), 1, Fault::Before(Kind::Unreachable))),
        ..World::default()
    };
    let fake = Fake::new(world);
    let outcome = fake.bake(&spec).await;
    check_outcome(&fake, &outcome, "flickers while cleaning up");
    assert_eq!(outcome.exit_status(), 4, "{outcome:?}");
    assert!(fake.seconds() < 3 * budget, "{}", fake.seconds());
}

/// Every interval between two attempts is at most `poll_interval`, in a bake, in its clean-up and in a collection; and long
/// waits use all of it.
#[tokio::test]
async fn every_wait_honours_the_poll_interval() {
    for interval in [Duration::from_millis(200), Duration::from_secs(7)] {
        let bases = [
            World { crash_after: Some(400), ..World::default() },
            World { crash_after: Some(30), snapshot_errors: true, lag: 5, ..World::default() },
            World { crash_after: Some(30), transfer_errors: true, one_transfer_at_a_time: true, ..World::default() },
        ];
        for (number, world) in bases.into_iter().enumerate() {
            for marker in [MarkerKind::Poweroff, MarkerKind::Https] {
                let fake = Fake::new(World { provision: 350, ..world.clone() });
                let spec = Spec { poll_interval: interval, ..spec_with_default_limits(marker) };
                fake.bake(&spec).await;
                let longest = fake.sleeps.lock().unwrap().iter().max().copied().unwrap();
                assert!(longest <= interval, "{number} {marker:?} {interval:?}: {longest:?}");
                if number == 0 {
                    assert_eq!(longest, interval, "{number} {marker:?}");
                }
            }
        }
        // A collection: the droplet is held, its snapshot is not listed yet, and the journal names more than lists show.
        let fake = Fake::new(World { final_state: RunnerState::Failed, lag: 300, ..World::default() });
        let spec = Spec { poll_interval: interval, on_error: crate::bake::OnError::Keep, ..spec() };
        assert_eq!(fake.bake(&spec).await.exit_status(), 4);
        fake.state.lock().unwrap().hold_droplets_until(fake.seconds() + 250);
        let collector = Collector::new(&fake, &fake, interval, Duration::from_secs(30));
        let state = BakeState::replay(fake.journal.lock().unwrap().iter());
        for wait in ["find", "remove"] {
            fake.sleeps.lock().unwrap().clear();
            if wait == "find" {
                let lost = BakeState { verification: DropletState::Requested, ..state.clone() };
                collector.find_bake(&spec.tag(), &lost).await.unwrap();
            } else {
                let found = collector.find_bake(&spec.tag(), &state).await.unwrap();
                assert_eq!(found.len(), 1);
                collector.remove(&found[0], Duration::from_secs(400)).await.unwrap();
            }
            let longest = fake.sleeps.lock().unwrap().iter().max().copied().unwrap();
            assert!(longest <= interval, "{wait} {interval:?}: {longest:?}");
            if wait == "remove" {
                assert_eq!(longest, interval, "{wait}");
            }
        }
    }
}

/// A droplet that one lookup does not find exists, if the request to delete it had no effect.
#[tokio::test]
async fn a_collection_does_not_believe_one_404() {
    let spec = Spec { on_error: crate::bake::OnError::Keep, ..spec() };
    let mut fake = Fake::new(World { final_state: RunnerState::Failed, ..World::default() });
    assert_eq!(fake.bake(&spec).await.exit_status(), 4);
    let state = BakeState::replay(fake.journal.lock().unwrap().iter());
    let found = collector(&fake, Duration::from_secs(30)).find_bake(&spec.tag(), &state).await.unwrap();
    // The droplet's actions and its snapshots are read first.
    let deletes = fake.state.lock().unwrap().requests.len() as u64 + 3;
    fake.world.faults = [(deletes, Kind::Unreachable), (deletes + 1, Kind::NotFound)]
        .map(|(number, kind)| (number, Fault::Before(kind)))
        .into();
    collector(&fake, Duration::from_secs(30)).remove(&found[0], Duration::from_secs(300)).await.unwrap();
    assert_eq!(fake.existing_resources(), [""; 0]);
}

#[tokio::test]
async fn a_service_without_a_list_of_all_snapshots_is_cleaned_up() {
    // The clean-up can list only the droplet's snapshots, and nothing once the droplet is gone.
    let permanent_failure = Some(("tag".into(), 2, Fault::Before(Kind::Refused)));
    let fake = Fake::new(World { has_no_snapshot_list: true, permanent_failure, ..world() });
    let outcome = fake.bake(&spec_with_default_limits(MarkerKind::Poweroff)).await;
    check_outcome(&fake, &outcome, "no list");
    assert_eq!((outcome.exit_status(), fake.existing_resources().len()), (3, 0), "{outcome:?}");
    // Its droplet is gone, and the user asks to stop.
    let spec = spec_with_default_limits(MarkerKind::Poweroff);
    let happy = Fake::new(World { has_no_snapshot_list: true, ..world() });
    assert_eq!(happy.bake(&spec).await.exit_status(), 0);
    let stop_at = happy.state.lock().unwrap().requests.iter().position(|one| one == "untag").map(|at| at as u64 + 1);
    let fake = Fake::new(World { has_no_snapshot_list: true, stop_at, ..world() });
    let outcome = fake.bake(&spec).await;
    check_outcome(&fake, &outcome, "no list, no droplet");
    assert_eq!((outcome.exit_status(), fake.existing_resources().len()), (130, 0), "{outcome:?}");
}
