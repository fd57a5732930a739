//! Kills the process during every request, before or after its effect, and continues in another
//! process with `resume` or `gc`. Also stops a process for an hour at every request.

use std::time::Duration;

use super::support::{Fake, Fault, PERSONS_SNAPSHOT, World, spec};
use crate::bake::journal::JournalEntry;
use crate::bake::orphans::{self, Collector};
use crate::bake::ports::{ProviderErrorKind, RunnerState};
use crate::bake::state::SnapshotProgress;
use crate::bake::{BakeState, Outcome, ResourceId, Spec};

async fn requests_without_faults(world: World, spec: &Spec) -> u64 {
    let fake = Fake::new(world);
    assert_eq!(fake.bake(spec).await.exit_status(), 0);
    fake.state.lock().unwrap().requests.len() as u64
}

pub(super) fn journaled_state(fake: &Fake) -> BakeState {
    BakeState::replay(fake.journal.lock().unwrap().iter())
}

/// Bakes until the process dies. Returns `None`, or the outcome if the bake ended before that.
pub(super) async fn run_until_killed(fake: &Fake, spec: &Spec) -> Option<Outcome> {
    let outcome = tokio::select! {
        biased;
        () = fake.killed.notified() => None,
        outcome = fake.resume(spec, journaled_state(fake)) => Some(outcome),
    };
    // The process died at the very end. Its unread notification must not be taken for the next
    // one's.
    if outcome.is_some() && fake.is_killed() {
        fake.killed.notified().await;
    }
    // Nothing that it did after its death had an effect.
    outcome.filter(|_| !fake.is_killed())
}

/// Checks that there is one snapshot without the bake's tag, and nothing else.
pub(super) fn assert_one_snapshot(fake: &Fake, case: &str) {
    let existing = fake.existing_resources();
    assert!(existing.len() == 1 && existing[0].starts_with("snapshot "), "{case}: {existing:?}");
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

fn kill_points(requests: u64) -> impl Iterator<Item = (u64, bool)> {
    (1..=requests).flat_map(|at| [(at, false), (at, true)])
}

#[tokio::test]
async fn killed_at_every_request_and_resumed_there_is_one_snapshot() {
    for lag in [0, 5] {
        let world = || World { lag, ..World::default() };
        for killed_at in kill_points(requests_without_faults(world(), &spec()).await) {
            let case = format!("lag {lag}, killed at {killed_at:?}");
            let fake = Fake::new(World { killed_at: Some(killed_at), ..world() });
            assert_eq!(run_until_killed(&fake, &spec()).await, None, "{case}");
            let outcome = fake.resume(&spec(), journaled_state(&fake)).await;
            assert_eq!(outcome.exit_status(), 0, "{case}: {outcome:?}");
            assert_one_snapshot(&fake, &case);
        }
    }
}

/// What `mkimg gc BAKE` does, with the journal or (as from another machine) without.
pub(super) async fn gc(fake: &Fake, journal: bool) {
    let tag = spec().tag();
    fake.restart_process();
    let collector = collector(fake, Duration::from_secs(180));
    let found = if journal {
        collector.find_bake(&tag, &journaled_state(fake)).await.unwrap()
    } else {
        orphans::find(fake).await.unwrap()
    };
    for orphan in found {
        collector.remove(&orphan, Duration::from_secs(300)).await.unwrap();
    }
}

pub(super) fn collector(fake: &Fake, outage_budget: Duration) -> Collector<'_> {
    Collector::new(fake, fake, Duration::from_secs(2), outage_budget)
}

#[tokio::test]
async fn killed_at_every_request_and_collected_there_is_nothing() {
    for (lag, journal) in [(0, true), (5, true), (0, false)] {
        let world = || World { lag, ..World::default() };
        for killed_at in kill_points(requests_without_faults(world(), &spec()).await) {
            let case = format!("lag {lag}, journal {journal}, killed at {killed_at:?}");
            let fake = Fake::new(World { killed_at: Some(killed_at), ..world() });
            assert_eq!(run_until_killed(&fake, &spec()).await, None, "{case}");
            gc(&fake, journal).await;
            let existing = fake.existing_resources();
            let untagged = {
                let state = fake.state.lock().unwrap();
                state.snapshots.values().all(|(snapshot, _)| snapshot.tags == ["release"])
            };
            // Once the bake's tag is removed, the snapshot is the result, and nothing may delete
            // it.
            let product = journaled_state(&fake).snapshot.has_reached(SnapshotProgress::Committing)
                && untagged
                && existing.len() == 1;
            assert!(existing.is_empty() || product, "{case}: {existing:?}");
        }
    }
}

#[tokio::test]
async fn a_resume_that_is_killed_too_is_resumed_again() {
    let requests = requests_without_faults(World::default(), &spec()).await;
    // All pairs take half a minute, so only `make test-long` runs them.
    let (step, next) = if is_long_sweep() { (1, 1) } else { (17, 7) };
    for first in kill_points(requests).step_by(step) {
        for more in (1..=requests).step_by(next) {
            let case = format!("killed at {first:?}, then {more} requests later");
            let mut fake = Fake::new(World { killed_at: Some(first), ..World::default() });
            assert_eq!(run_until_killed(&fake, &spec()).await, None, "{case}");
            fake.world.killed_at = Some((first.0 + more, more % 2 == 0));
            let outcome = match run_until_killed(&fake, &spec()).await {
                // This run sent fewer requests.
                Some(outcome) => outcome,
                None => fake.resume(&spec(), journaled_state(&fake)).await,
            };
            assert_eq!(outcome.exit_status(), 0, "{case}: {outcome:?}");
            assert_one_snapshot(&fake, &case);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a test reads whether it is to be the long one")]
fn is_long_sweep() -> bool {
    std::env::var("MKIMG_SWEEP").is_ok_and(|what| what.split(',').any(|what| what == "kills" || what == "all"))
}

#[tokio::test]
async fn a_clean_up_that_is_killed_at_every_request_is_finished() {
    let world = World::failing_after_snapshot;
    let first = Fake::new(world());
    assert_eq!(first.bake(&spec()).await.exit_status(), 3);
    let requests = first.state.lock().unwrap().requests.len() as u64;
    for killed_at in kill_points(requests) {
        let fake = Fake::new(World { killed_at: Some(killed_at), ..world() });
        assert_eq!(run_until_killed(&fake, &spec()).await, None, "{killed_at:?}");
        let outcome = fake.resume(&spec(), journaled_state(&fake)).await;
        assert_eq!(
            (outcome.exit_status(), fake.existing_resources()),
            (3, Vec::new()),
            "killed at {killed_at:?}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn stopped_at_every_request_while_lists_lag_nothing_is_left() {
    let world = || World { lag: 5, ..World::default() };
    for at in 1..=requests_without_faults(world(), &spec()).await {
        for lost in [false, true] {
            let faults = if lost { [(at, Fault::After)].into() } else { [].into() };
            let fake = Fake::new(World { stop_at: Some(at), faults, ..world() });
            let outcome = fake.bake(&spec()).await;
            if outcome.exit_status() == 0 {
                assert_one_snapshot(&fake, &format!("stopped at {at}, lost: {lost}"));
            } else {
                assert_eq!(
                    (outcome.exit_status(), fake.existing_resources()),
                    (130, Vec::new()),
                    "stopped at {at}, lost: {lost}: {outcome:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_hour_asleep_at_any_request_fails_nothing() {
    let requests = requests_without_faults(World::default(), &spec()).await;
    for at in 1..=requests {
        let fake = Fake::new(World { suspended_at: Some(at), ..World::default() });
        let outcome = fake.bake(&spec()).await;
        assert_eq!(outcome.exit_status(), 0, "asleep at {at}: {outcome:?}");
        assert_one_snapshot(&fake, &format!("asleep at {at}"));
    }
}

/// The computer went to sleep while a request was being sent, so the request never arrived.
#[tokio::test]
async fn an_hour_asleep_that_cuts_off_any_request_fails_nothing() {
    let requests = requests_without_faults(World::default(), &spec()).await;
    let mut done = 0;
    for at in 1..=requests {
        let faults = [(at, Fault::Before(ProviderErrorKind::Unanswered))].into();
        let fake = Fake::new(World { suspended_at: Some(at), faults, ..World::default() });
        let outcome = fake.bake(&spec()).await;
        if outcome.exit_status() == 2 {
            assert_eq!(fake.existing_resources(), Vec::<String>::new(), "asleep at {at}: {outcome:?}");
            continue;
        }
        assert_eq!(outcome.exit_status(), 0, "asleep at {at}: {outcome:?}");
        assert_one_snapshot(&fake, &format!("asleep at {at}"));
        done += 1;
    }
    assert!(done > 20, "only {done} of {requests} came to anything");
}

#[tokio::test]
async fn a_date_that_jumps_changes_nothing() {
    let requests = requests_without_faults(World::default(), &spec()).await;
    let century = 3_155_760_000;
    for at in (1..=requests).step_by(3) {
        // Forward by a hundred years, back by an hour and to 1970.
        for by in [century, -3_600, -century] {
            let case = format!("at {at} by {by} s");
            let world = || World { clock_jump: Some((at, by)), ..World::default() };
            let fake = Fake::new(world());
            let outcome = fake.bake(&spec()).await;
            assert_eq!(outcome.exit_status(), 0, "{case}: {outcome:?}");
            assert_one_snapshot(&fake, &case);
            // Killed, then resumed with the other date.
            let fake = Fake::new(World { killed_at: Some((at, true)), ..world() });
            assert_eq!(run_until_killed(&fake, &spec()).await, None, "{case}");
            let outcome = fake.resume(&spec(), journaled_state(&fake)).await;
            assert_eq!(outcome.exit_status(), 0, "{case}, resumed: {outcome:?}");
            assert_one_snapshot(&fake, &case);
        }
    }
}

#[tokio::test]
async fn a_persons_snapshot_of_a_kept_droplet_stays() {
    let fake = Fake::new(World::failing_after_snapshot());
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
    assert_eq!(fake.existing_resources(), ["snapshot 77"]);
}

#[tokio::test]
async fn unanswered_requests_are_given_up_although_reads_succeed() {
    let away = Fault::Before(ProviderErrorKind::Unanswered);
    let fake = Fake::new(World { permanent_failure: Some(("delete droplet".into(), 1, away)), ..World::default() });
    let outcome = fake.bake(&Spec { on_error: crate::bake::OnError::Keep, ..spec() }).await;
    assert!(!fake.existing_resources().is_empty(), "{outcome:?}");
    let collector = collector(&fake, Duration::from_secs(30));
    let found = orphans::find(&fake).await.unwrap();
    let droplet = found.iter().find(|orphan| matches!(orphan.resource, ResourceId::Droplet(_))).expect("a droplet");
    let mut spent = Vec::new();
    for _ in 0..2 {
        let began = fake.seconds();
        let remaining = collector.remove(droplet, Duration::from_secs(300)).await.unwrap_err();
        assert!(remaining.to_string().contains("no usable answer for 30s; last: delete droplet"), "{remaining}");
        spent.push(fake.seconds() - began);
    }
    // It waits for a snapshot that the lists may not show yet, and sends one request.
    assert!(spent[0] <= 35 && spent[1] <= 12, "{spent:?}");
    assert_eq!(collector.unavailable(), None, "reads are answered: other resources are still requested");
}

/// Each usable answer ends a collector's outage, no matter how often outages recur.
#[tokio::test]
async fn short_outages_do_not_end_a_collection() {
    let mut fake = Fake::new(World { final_state: RunnerState::Failed, ..World::default() });
    let spec = Spec { on_error: crate::bake::OnError::Keep, ..spec() };
    assert_eq!(fake.bake(&spec).await.exit_status(), 4);
    // The droplet is held for a long time, while reads fail for 20 s of every 25 s.
    fake.state.lock().unwrap().hold_droplets_until(fake.seconds() + 150);
    fake.world.intermittent_failure = Some(("droplet", 5, 20));
    gc_within(&fake, Duration::from_secs(30)).await;
    assert_eq!(fake.existing_resources(), [""; 0]);
}

async fn gc_within(fake: &Fake, outage_budget: Duration) {
    let found = orphans::find(fake).await.unwrap();
    assert!(!found.is_empty());
    for orphan in found {
        collector(fake, outage_budget).remove(&orphan, Duration::from_secs(300)).await.unwrap();
    }
}

/// Another machine's `mkimg gc` at any moment of a bake finds what the bake made, and leaves it
/// alone until the deadline.
#[tokio::test]
async fn a_collection_beside_a_bake_takes_nothing_before_the_deadline() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let entries = happy.journal.lock().unwrap().len();
    let deadline = spec().deadline;
    let mut seen = 0;
    for cut in 0..entries {
        let fake = Fake::new(World::default());
        super::faults::run_until_entry(&fake, cut).await;
        let before = fake.existing_resources();
        let found = orphans::find(&fake).await.unwrap();
        seen += found.len();
        let selection = |now| orphans::Selection { now, older_than: Duration::ZERO, named: Vec::new() };
        assert!(found.iter().all(|orphan| orphan.tag == spec().tag()), "cut at {cut}: {found:?}");
        assert!(!found.iter().any(|orphan| selection(deadline - 1).includes(&orphan.tag)), "cut at {cut}");
        assert!(found.iter().all(|orphan| selection(deadline).includes(&orphan.tag)), "cut at {cut}");
        // A snapshot that is being made is not listed yet: it is deleted with its droplet.
        let found: Vec<String> = found.iter().map(|orphan| orphan.resource.to_string()).collect();
        let is_found = |resource: &&String| resource.starts_with("snapshot") || found.contains(resource);
        assert!(before.iter().all(|resource| is_found(&resource)), "cut at {cut}: {found:?}, not {before:?}");
    }
    assert!(seen > 20, "{seen}");
}

/// A verification droplet that was destroyed before it had passed proves nothing: the resumed bake verifies again.
#[tokio::test]
async fn a_resume_after_an_unproved_verification_verifies_again() {
    for reached in ["Created { role: Verification", "Active { role: Verification"] {
        let full = Fake::new(World::default());
        assert_eq!(full.bake(&spec()).await.exit_status(), 0);
        let cut = {
            let journal = full.journal.lock().unwrap();
            journal.iter().position(|entry| format!("{entry:?}").starts_with(reached)).unwrap()
        };
        let fake = Fake::new(World::default());
        let mut state = super::faults::run_until_entry(&fake, cut).await;
        let droplet = state.verification.present_id().unwrap();
        // As `mkimg resume` does with a local droplet that ended with its process.
        fake.state.lock().unwrap().droplets.remove(&droplet);
        state.apply(&JournalEntry::DropletGone { droplet });
        assert!(!state.verification.has_passed());
        let outcome = fake.resume(&spec(), state).await;
        super::faults::check_outcome(&fake, &outcome, reached);
        let Outcome::Done(product) = outcome else { panic!("{reached}: {outcome:?}") };
        assert!(product.verified, "{reached}");
        assert_eq!(fake.state.lock().unwrap().created, 3, "{reached}: a new droplet");
    }
}

/// What a person made of the build droplet while the bake was running is not the bake's to delete.
#[tokio::test]
async fn a_persons_tagged_snapshot_survives_the_clean_up_of_a_bake() {
    let failing = World::failing_after_snapshot;
    let first = Fake::new(failing());
    assert_eq!(first.bake(&spec()).await.exit_status(), 3);
    let requests = first.state.lock().unwrap().requests.clone();
    let from = requests.iter().position(|request| request == "create").unwrap() + 2;
    for at in from..=requests.len() {
        let fake = Fake::new(World { persons_snapshot_at: Some(at as u64), ..failing() });
        let outcome = fake.bake(&spec()).await;
        let case = format!("a person's snapshot at request {at}");
        assert_eq!(fake.existing_resources(), [format!("snapshot {PERSONS_SNAPSHOT}")], "{case}: {outcome:?}");
        assert_eq!(outcome.exit_status(), 3, "{case}: {outcome:?}");
    }
    // While the bake's own snapshot is not known yet.
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let snapshot = {
        let state = happy.state.lock().unwrap();
        state.requests.iter().position(|request| request.contains("Snapshot(")).unwrap() as u64 + 1
    };
    for at in snapshot..snapshot + 4 {
        for lag in [0, 5] {
            let world = World { persons_snapshot_at: Some(snapshot), stop_at: Some(at), lag, ..World::default() };
            let fake = Fake::new(world);
            let outcome = fake.bake(&spec()).await;
            let case = format!("stopped at {at}, lag {lag}");
            assert_eq!(fake.existing_resources(), [format!("snapshot {PERSONS_SNAPSHOT}")], "{case}: {outcome:?}");
        }
    }
}

/// A snapshot without tags is seen as its droplet's bake's for as long as that droplet exists.
#[tokio::test]
async fn a_snapshot_that_was_never_tagged_is_its_droplets() {
    let failing = World {
        permanent_failure: Some(("tag".into(), 1, Fault::Before(ProviderErrorKind::Refused))),
        ..World::default()
    };
    let mut fake = Fake::new(failing);
    assert_eq!(fake.bake(&Spec { on_error: crate::bake::OnError::Keep, ..spec() }).await.exit_status(), 4);
    fake.world.permanent_failure = None;
    let found = async || {
        let found = orphans::find(&fake).await.unwrap();
        assert!(found.iter().all(|orphan| orphan.tag == spec().tag()), "{found:?}");
        found.iter().map(|orphan| format!("{} `{}`", orphan.resource, orphan.name)).collect::<Vec<_>>()
    };
    let id = fake.state.lock().unwrap().snapshots.keys().next().unwrap().clone();
    assert_eq!(found().await, ["droplet 1 `build`".to_owned(), format!("snapshot {id} `product`")]);
    // A person's tag makes it the person's.
    fake.state.lock().unwrap().snapshots.get_mut(&id).unwrap().0.tags = vec!["forensics".into()];
    assert_eq!(found().await, ["droplet 1 `build`"]);
    // So does the end of its droplet, also where a list still shows that.
    {
        let mut state = fake.state.lock().unwrap();
        state.snapshots.get_mut(&id).unwrap().0.tags.clear();
        state.droplets.clear();
    }
    assert_eq!(found().await, [""; 0]);
}

/// What may not be deleted is named with the refusal, and what only looks like the bake's is not touched.
#[tokio::test]
async fn a_collection_names_what_is_refused_and_takes_only_the_bakes() {
    let keep = Spec { on_error: crate::bake::OnError::Keep, ..spec() };
    let mut fake = Fake::new(World::failing_after_snapshot());
    let outcome = fake.bake(&keep).await;
    assert_eq!((outcome.exit_status(), outcome.remaining().len()), (4, 2), "{outcome:?}");
    fake.world.permanent_failure = Some(("delete".into(), 1, Fault::Before(ProviderErrorKind::Forbidden)));
    let found =
        collector(&fake, Duration::from_secs(30)).find_bake(&spec().tag(), &journaled_state(&fake)).await.unwrap();
    let began = fake.seconds();
    for orphan in &found {
        let refused = collector(&fake, Duration::from_secs(30)).remove(orphan, Duration::from_secs(300)).await;
        assert!(refused.unwrap_err().to_string().contains(": as told (request r-1)"));
    }
    assert!(found.len() == 2 && fake.seconds() < began + 30, "a refusal is final: {}", fake.seconds() - began);
    fake.world.permanent_failure = None;
    // Without the bake's tag, they are another's by now: the droplet, and the snapshot that the bake named.
    let id = fake.state.lock().unwrap().snapshots.keys().next().unwrap().clone();
    {
        let mut state = fake.state.lock().unwrap();
        state.droplets.values_mut().for_each(|droplet| droplet.tags.clear());
        state.snapshots.get_mut(&id).unwrap().0.tags = vec!["forensics".into()];
    }
    let named = BakeState { snapshot: crate::bake::state::SnapshotState::Absent, ..journaled_state(&fake) };
    let found = collector(&fake, Duration::from_secs(30)).find_bake(&spec().tag(), &named).await.unwrap();
    assert_eq!(found, []);
    // Nothing of another bake is found either.
    gc(&fake, false).await;
    assert_eq!(fake.existing_resources(), ["droplet 1".to_owned(), format!("snapshot {id}")]);
}
