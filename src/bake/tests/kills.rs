//! A process that is killed while any of its requests is under way, before or after its effect, and what another one
//! makes of it: `resume` and `gc`. A process that is stopped for an hour at any request.

use std::time::Duration;

use super::fake::{Fake, Fault, World, spec};
use crate::bake::journal::Ledger;
use crate::bake::leftovers;
use crate::bake::ports::ProviderErrorKind;
use crate::bake::silence::Patience;
use crate::bake::{Outcome, Spec};

async fn happy_requests(world: World, spec: &Spec) -> u64 {
    let fake = Fake::new(world);
    assert_eq!(fake.bake(spec).await.exit_status(), 0);
    fake.state.lock().unwrap().requests.len() as u64
}

pub(super) fn ledger(fake: &Fake) -> Ledger {
    Ledger::replay(fake.journal.lock().unwrap().iter())
}

/// Bakes until the process dies; `None`, or how it ended before that.
async fn until_it_dies(fake: &Fake, spec: &Spec) -> Option<Outcome> {
    let outcome = tokio::select! {
        biased;
        () = fake.died.notified() => None,
        outcome = fake.go_on(spec, ledger(fake)) => Some(outcome),
    };
    // It died at its very end: the notice of that, which nobody waited for, must not be taken for the next one's.
    if outcome.is_some() && fake.is_dead() {
        fake.died.notified().await;
    }
    // What it did after its death has had no effect.
    outcome.filter(|_| !fake.is_dead())
}

/// One snapshot, with nothing of the bake on it, and nothing else.
pub(super) fn one_snapshot(fake: &Fake, case: &str) {
    let there = fake.there();
    assert!(there.len() == 1 && there[0].starts_with("snapshot "), "{case}: {there:?}");
    let state = fake.state.lock().unwrap();
    for (snapshot, _) in state.snapshots.values() {
        assert_eq!(
            (snapshot.tags.join(" "), snapshot.regions.join(" ")),
            ("release".into(), "nyc3 fra1".into()),
            "{case}"
        );
    }
    assert_eq!(state.created, 2, "{case}: {:?}", state.requests);
}

fn deaths(requests: u64) -> impl Iterator<Item = (u64, bool)> {
    (1..=requests).flat_map(|at| [(at, false), (at, true)])
}

#[tokio::test]
async fn killed_at_every_request_and_resumed_there_is_one_snapshot() {
    for lag in [0, 5] {
        let world = || World { lag, ..World::default() };
        for dies_at in deaths(happy_requests(world(), &spec()).await) {
            let case = format!("lag {lag}, killed at {dies_at:?}");
            let fake = Fake::new(World { dies_at: Some(dies_at), ..world() });
            assert_eq!(until_it_dies(&fake, &spec()).await, None, "{case}");
            let outcome = fake.go_on(&spec(), ledger(&fake)).await;
            assert_eq!(outcome.exit_status(), 0, "{case}: {outcome:?}");
            one_snapshot(&fake, &case);
        }
    }
}

/// What `mkimg gc BAKE` does, with the journal or (as from another machine) without.
pub(super) async fn gc(fake: &Fake, journal: bool) {
    let tag = spec().tag();
    fake.rise();
    let found = if journal {
        leftovers::find_of(fake, fake, &tag, &ledger(fake)).await.unwrap()
    } else {
        leftovers::find(fake).await.unwrap()
    };
    let patience = Patience::new(fake, Duration::from_secs(180));
    for leftover in found {
        leftovers::remove(fake, &patience, &leftover, Duration::from_secs(300)).await.unwrap();
    }
}

#[tokio::test]
async fn killed_at_every_request_and_collected_there_is_nothing() {
    for (lag, journal) in [(0, true), (5, true), (0, false)] {
        let world = || World { lag, ..World::default() };
        for dies_at in deaths(happy_requests(world(), &spec()).await) {
            let case = format!("lag {lag}, journal {journal}, killed at {dies_at:?}");
            let fake = Fake::new(World { dies_at: Some(dies_at), ..world() });
            assert_eq!(until_it_dies(&fake, &spec()).await, None, "{case}");
            gc(&fake, journal).await;
            let there = fake.there();
            let untagged = {
                let state = fake.state.lock().unwrap();
                state.snapshots.values().all(|(snapshot, _)| snapshot.tags == ["release"])
            };
            // Once the bake's tag is off, the snapshot is the product: nothing takes it away.
            let product = ledger(&fake).committing && untagged && there.len() == 1;
            assert!(there.is_empty() || product, "{case}: {there:?}");
        }
    }
}

#[tokio::test]
async fn a_resume_that_is_killed_too_is_resumed_again() {
    let requests = happy_requests(World::default(), &spec()).await;
    // Every pair takes half a minute: `make test-long`.
    let (step, next) = if swept() { (1, 1) } else { (17, 7) };
    for first in deaths(requests).step_by(step) {
        for more in (1..=requests).step_by(next) {
            let case = format!("killed at {first:?}, then {more} requests later");
            let mut fake = Fake::new(World { dies_at: Some(first), ..World::default() });
            assert_eq!(until_it_dies(&fake, &spec()).await, None, "{case}");
            fake.world.dies_at = Some((first.0 + more, more % 2 == 0));
            let outcome = match until_it_dies(&fake, &spec()).await {
                // It had less to do than that.
                Some(outcome) => outcome,
                None => fake.go_on(&spec(), ledger(&fake)).await,
            };
            assert_eq!(outcome.exit_status(), 0, "{case}: {outcome:?}");
            one_snapshot(&fake, &case);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a test reads whether it is to be the long one")]
fn swept() -> bool {
    std::env::var("MKIMG_SWEEP").is_ok_and(|what| what.split(',').any(|what| what == "kills" || what == "all"))
}

#[tokio::test]
async fn a_clean_up_that_is_killed_at_every_request_is_finished() {
    let world = || World { transfer_errors: true, ..World::default() };
    let first = Fake::new(world());
    assert_eq!(first.bake(&spec()).await.exit_status(), 3);
    let requests = first.state.lock().unwrap().requests.len() as u64;
    for dies_at in deaths(requests) {
        let fake = Fake::new(World { dies_at: Some(dies_at), ..world() });
        assert_eq!(until_it_dies(&fake, &spec()).await, None, "{dies_at:?}");
        let outcome = fake.go_on(&spec(), ledger(&fake)).await;
        assert_eq!((outcome.exit_status(), fake.there()), (3, Vec::new()), "killed at {dies_at:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn stopped_at_every_request_while_lists_lag_nothing_is_left() {
    let world = || World { lag: 5, ..World::default() };
    for at in 1..=happy_requests(world(), &spec()).await {
        for lost in [false, true] {
            let faults = if lost { [(at, Fault::After)].into() } else { [].into() };
            let fake = Fake::new(World { stop_at: Some(at), faults, ..world() });
            let outcome = fake.bake(&spec()).await;
            if outcome.exit_status() == 0 {
                one_snapshot(&fake, &format!("stopped at {at}, lost: {lost}"));
            } else {
                assert_eq!(
                    (outcome.exit_status(), fake.there()),
                    (130, Vec::new()),
                    "stopped at {at}, lost: {lost}: {outcome:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_hour_asleep_at_any_request_fails_nothing() {
    let requests = happy_requests(World::default(), &spec()).await;
    for at in 1..=requests {
        let fake = Fake::new(World { sleeps_at: Some(at), ..World::default() });
        let outcome = fake.bake(&spec()).await;
        assert_eq!(outcome.exit_status(), 0, "asleep at {at}: {outcome:?}");
        one_snapshot(&fake, &format!("asleep at {at}"));
    }
}

/// The request that was being sent when the lid was closed never arrived.
#[tokio::test]
async fn an_hour_asleep_that_cuts_off_any_request_fails_nothing() {
    let requests = happy_requests(World::default(), &spec()).await;
    let mut done = 0;
    for at in 1..=requests {
        let faults = [(at, Fault::Before(ProviderErrorKind::Unanswered))].into();
        let fake = Fake::new(World { sleeps_at: Some(at), faults, ..World::default() });
        let outcome = fake.bake(&spec()).await;
        if outcome.exit_status() == 2 {
            assert_eq!(fake.there(), Vec::<String>::new(), "asleep at {at}: {outcome:?}");
            continue;
        }
        assert_eq!(outcome.exit_status(), 0, "asleep at {at}: {outcome:?}");
        one_snapshot(&fake, &format!("asleep at {at}"));
        done += 1;
    }
    assert!(done > 20, "only {done} of {requests} came to anything");
}

#[tokio::test]
async fn a_date_that_jumps_changes_nothing() {
    let requests = happy_requests(World::default(), &spec()).await;
    let century = 3_155_760_000;
    for at in (1..=requests).step_by(3) {
        // Forward by a hundred years, back by an hour and to 1970.
        for by in [century, -3_600, -century] {
            let case = format!("at {at} by {by} s");
            let world = || World { clock_jumps: Some((at, by)), ..World::default() };
            let fake = Fake::new(world());
            let outcome = fake.bake(&spec()).await;
            assert_eq!(outcome.exit_status(), 0, "{case}: {outcome:?}");
            one_snapshot(&fake, &case);
            // Killed, and resumed under the other date.
            let fake = Fake::new(World { dies_at: Some((at, true)), ..world() });
            assert_eq!(until_it_dies(&fake, &spec()).await, None, "{case}");
            let outcome = fake.go_on(&spec(), ledger(&fake)).await;
            assert_eq!(outcome.exit_status(), 0, "{case}, resumed: {outcome:?}");
            one_snapshot(&fake, &case);
        }
    }
}

#[tokio::test]
async fn a_persons_snapshot_of_a_kept_droplet_stays() {
    let fake = Fake::new(World { transfer_errors: true, ..World::default() });
    let spec = Spec { on_error: crate::bake::OnError::Keep, ..spec() };
    assert_eq!(fake.bake(&spec).await.exit_status(), 4);
    {
        let mut state = fake.state.lock().unwrap();
        let (mut own, at) = state.snapshots.values().next().unwrap().clone();
        own.id = "77".into();
        own.tags = vec!["forensics".into()];
        state.snapshots.insert("77".into(), (own, at));
    }
    gc(&fake, false).await;
    assert_eq!(fake.there(), ["snapshot 77"]);
}

#[tokio::test]
async fn requests_that_are_not_answered_are_given_up_though_looks_are_answered() {
    let away = Fault::Before(ProviderErrorKind::Unanswered);
    let fake = Fake::new(World { outage: Some(("delete droplet".into(), 1, away)), ..World::default() });
    let outcome = fake.bake(&Spec { on_error: crate::bake::OnError::Keep, ..spec() }).await;
    assert!(!fake.there().is_empty(), "{outcome:?}");
    let patience = Patience::new(&fake, Duration::from_secs(30));
    let droplets: Vec<_> = leftovers::find(&fake).await.unwrap();
    let droplet = droplets.iter().find(|left| matches!(left.what, leftovers::Thing::Droplet(_))).expect("a droplet");
    let mut spent = Vec::new();
    for _ in 0..2 {
        let began = fake.seconds();
        let left = leftovers::remove(&fake, &patience, droplet, Duration::from_secs(300)).await.unwrap_err();
        assert!(left.to_string().contains("no usable answer for 30s; last: delete droplet"), "{left}");
        spent.push(fake.seconds() - began);
    }
    // It waits for a snapshot that the lists may not show yet, and asks once.
    assert!(spent[0] <= 35 && spent[1] <= 12, "{spent:?}");
    assert_eq!(patience.over(), None, "looks are answered: other things are still asked for");
}
