//! A bake whose snapshot is complete and whose last steps fail is suspended. Another process
//! resumes or removes it.

use super::faults::check_outcome;
use super::kills::{assert_one_snapshot, gc, journaled_state};
use super::support::{Fake, Fault, World, spec};
use crate::bake::journal::JournalEntry;
use crate::bake::ports::ProviderErrorKind as Kind;
use crate::bake::{OnError, Outcome, RemainingResource, Spec, Stage};

/// What fails permanently, from which request of its kind on, and the stage that reports it.
const LAST_STEPS: [(&str, usize, Fault, Stage); 9] = [
    ("delete droplet", 1, Fault::Before(Kind::Forbidden), Stage::Destroy),
    ("delete droplet", 1, Fault::Before(Kind::Unanswered), Stage::Destroy),
    ("delete droplet", 1, Fault::Before(Kind::Pending), Stage::Destroy),
    ("delete droplet", 2, Fault::Before(Kind::Forbidden), Stage::Verify),
    ("delete droplet", 2, Fault::Before(Kind::Unreachable), Stage::Verify),
    ("create", 2, Fault::Before(Kind::Refused), Stage::Verify),
    ("untag", 1, Fault::Before(Kind::Forbidden), Stage::Commit),
    ("untag", 1, Fault::Before(Kind::Unreachable), Stage::Commit),
    ("untag", 1, Fault::After, Stage::Commit),
];

/// A bake that could not finish its last steps.
async fn bake_with_failing_last_step(what: &str, from: usize, fault: Fault, spec: &Spec) -> (Fake, Outcome) {
    let fake = Fake::new(World { permanent_failure: Some((what.to_owned(), from, fault)), ..World::default() });
    let outcome = fake.bake(spec).await;
    check_outcome(&fake, &outcome, what);
    (fake, outcome)
}

/// Checks that the verified snapshot exists, and nothing else.
fn assert_verified_snapshot(fake: &Fake, outcome: &Outcome, case: &str) {
    let Outcome::Done(product) = outcome else { panic!("{case}: {outcome:?}") };
    assert!(product.verified, "{case}");
    assert_eq!(fake.existing_resources(), [format!("snapshot {}", product.snapshot.id)], "{case}");
    assert_one_snapshot(fake, case);
}

#[tokio::test]
async fn a_complete_snapshot_survives_later_failures() {
    for (what, from, fault, stage) in LAST_STEPS {
        let case = format!("{what} from {from} on: {fault:?}");
        let (mut fake, outcome) = bake_with_failing_last_step(what, from, fault, &spec()).await;
        let Outcome::Failed { failure, remaining, resumable: true } = &outcome else { panic!("{case}: {outcome:?}") };
        assert_eq!((failure.stage, outcome.exit_status()), (stage, 4), "{case}: {failure}");
        assert!(remaining.iter().any(|one| matches!(one, RemainingResource::Snapshot { .. })), "{case}: {remaining:?}");
        assert!(fake.has_event("trying once more"), "{case}");
        assert!(matches!(fake.journal.lock().unwrap().last(), Some(JournalEntry::Suspended { .. })), "{case}");
        // The service works again.
        fake.world.permanent_failure = None;
        let outcome = fake.resume(&spec(), journaled_state(&fake)).await;
        assert_verified_snapshot(&fake, &outcome, &case);
    }
}

#[tokio::test]
async fn a_suspended_bake_is_suspended_again_if_nothing_changes() {
    for (what, from, fault, stage) in LAST_STEPS.into_iter().filter(|(.., fault, _)| *fault != Fault::After) {
        let (fake, _) = bake_with_failing_last_step(what, from, fault, &spec()).await;
        let again = fake.resume(&spec(), journaled_state(&fake)).await;
        let Outcome::Failed { failure, resumable: true, .. } = &again else { panic!("{what}: {again:?}") };
        assert_eq!(failure.stage, stage, "{what} from {from} on");
    }
}

#[tokio::test]
async fn the_last_steps_are_tried_twice() {
    // Each attempt takes one refusal: the first delete request of the bake, then that of the second
    // attempt.
    let faults = |requests: &[String]| -> Vec<u64> {
        let deletes = |(_, request): &(u64, &String)| request.starts_with("delete droplet");
        (1..).zip(requests).filter(deletes).map(|(number, _)| number).collect()
    };
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let first = faults(&happy.state.lock().unwrap().requests)[0];
    let world = World { faults: [(first, Fault::Before(Kind::Refused))].into(), ..World::default() };
    let once = Fake::new(world);
    assert_eq!(once.bake(&spec()).await.exit_status(), 0);
    let second = faults(&once.state.lock().unwrap().requests)[1];
    let refused = |number| (number, Fault::Before(Kind::Refused));
    let twice = Fake::new(World { faults: [refused(first), refused(second)].into(), ..World::default() });
    let outcome = twice.bake(&spec()).await;
    assert!(twice.has_event("trying once more"));
    assert_verified_snapshot(&twice, &outcome, "refused twice");
}

#[tokio::test]
async fn a_suspended_bake_can_be_removed() {
    for (what, from, fault, _) in LAST_STEPS {
        for journal in [true, false] {
            let case = format!("{what} from {from} on: {fault:?}, journal {journal}");
            let (mut fake, _) = bake_with_failing_last_step(what, from, fault, &spec()).await;
            fake.world.permanent_failure = None;
            gc(&fake, journal).await;
            // Without the journal, a snapshot without the bake's tag looks like a finished one.
            let off = fault == Fault::After && !journal;
            assert_eq!(fake.existing_resources().len(), usize::from(off), "{case}: {:?}", fake.existing_resources());
        }
    }
}

#[tokio::test]
async fn a_service_that_goes_away_at_the_end_costs_no_snapshot() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let requests = happy.state.lock().unwrap().requests.clone();
    let first = requests.iter().position(|one| one.starts_with("delete droplet")).unwrap() + 1;
    let mut halts = 0;
    let away = |at| World { outage: Some((at as u64, u64::MAX / 2)), ..World::default() };
    // The token is revoked.
    let revoked = |at| World {
        permanent_failure: Some((String::new(), at, Fault::Before(Kind::Unauthorized))),
        ..World::default()
    };
    let worlds = (first..=requests.len()).flat_map(|at| [(at, away(at)), (at, revoked(at))]);
    for (at, world) in worlds {
        let mut fake = Fake::new(world);
        let outcome = fake.bake(&spec()).await;
        check_outcome(&fake, &outcome, &format!("away from {at} on"));
        if outcome.exit_status() == 0 {
            // The remaining requests did not matter.
            continue;
        }
        assert!(outcome.is_resumable(), "away from {at} on: {outcome:?}");
        halts += 1;
        (fake.world.outage, fake.world.permanent_failure) = (None, None);
        // The outage is longer than the verification droplet waits for an acknowledgement, so that
        // droplet is useless.
        let outcome = fake.resume(&spec(), journaled_state(&fake)).await;
        assert_verified_snapshot(&fake, &outcome, &format!("away from {at} on, and back"));
    }
    assert!(halts > 10, "{halts}");
}

#[tokio::test]
async fn a_bad_snapshot_is_cleaned_up() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let requests = happy.state.lock().unwrap().requests.clone();
    let first = requests.iter().position(|one| one.starts_with("delete droplet")).unwrap();
    let looks = requests[..first].iter().filter(|one| one.starts_with("snapshot")).count();
    let worlds = [
        // It does not take a tag.
        (3, World { ignored_tag: Some(("release", usize::MAX)), ..World::default() }),
        // The snapshot was deleted by somebody else.
        (
            3,
            World {
                permanent_failure: Some(("snapshot".to_owned(), looks + 1, Fault::Before(Kind::NotFound))),
                ..World::default()
            },
        ),
        // Ctrl-C.
        (130, World { stop_at: Some(first as u64 + 1), ..World::default() }),
    ];
    for (exit, world) in worlds {
        let fake = Fake::new(world);
        let outcome = fake.bake(&spec()).await;
        assert_eq!((outcome.exit_status(), fake.existing_resources()), (exit, Vec::new()), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_suspended_bake_ignores_on_error() {
    for on_error in [OnError::Keep, OnError::Ask] {
        let spec = Spec { on_error, ..spec() };
        let (_, outcome) =
            bake_with_failing_last_step("delete droplet", 1, Fault::Before(Kind::Forbidden), &spec).await;
        assert!(outcome.is_resumable(), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_full_disk_does_not_suspend_the_bake() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let deleting = |entry: &JournalEntry| matches!(entry, JournalEntry::DeletingDroplet { .. });
    let full = happy.journal.lock().unwrap().iter().position(deleting).unwrap();
    let fake = Fake::new(World { journal_full_after: Some(full), ..World::default() });
    let outcome = fake.bake(&spec()).await;
    assert_eq!((outcome.exit_status(), fake.existing_resources()), (3, Vec::new()), "{outcome:?}");
}
