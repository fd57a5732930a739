//! A bake whose snapshot is whole and whose last steps fail: it is not lost. Another process goes on with it, or removes it.

use super::faults::check_outcome;
use super::kills::{gc, one_snapshot, state_of};
use super::support::{Fake, Fault, World, spec};
use crate::bake::journal::JournalEntry;
use crate::bake::ports::ProviderErrorKind as Kind;
use crate::bake::{OnError, Outcome, RemainingResource, Spec, Stage};

/// What fails for good, from which request of its kind on, and the stage that says so.
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

/// A bake that could not do its last steps.
async fn halted(what: &str, from: usize, fault: Fault, spec: &Spec) -> (Fake, Outcome) {
    let fake = Fake::new(World { outage: Some((what.to_owned(), from, fault)), ..World::default() });
    let outcome = fake.bake(spec).await;
    check_outcome(&fake, &outcome, what);
    (fake, outcome)
}

/// The product, proved, and nothing else.
fn the_product(fake: &Fake, outcome: &Outcome, case: &str) {
    let Outcome::Done(product) = outcome else { panic!("{case}: {outcome:?}") };
    assert!(product.verified, "{case}");
    assert_eq!(fake.there(), [format!("snapshot {}", product.snapshot.id)], "{case}");
    one_snapshot(fake, case);
}

#[tokio::test]
async fn a_whole_snapshot_outlives_what_fails_after_it() {
    for (what, from, fault, stage) in LAST_STEPS {
        let case = format!("{what} from {from} on: {fault:?}");
        let (mut fake, outcome) = halted(what, from, fault, &spec()).await;
        let Outcome::Failed { failure, remaining, resumable: true } = &outcome else { panic!("{case}: {outcome:?}") };
        assert_eq!((failure.stage, outcome.exit_status()), (stage, 4), "{case}: {failure}");
        assert!(remaining.iter().any(|one| matches!(one, RemainingResource::Snapshot { .. })), "{case}: {remaining:?}");
        assert!(fake.said("trying once more"), "{case}");
        assert!(matches!(fake.journal.lock().unwrap().last(), Some(JournalEntry::Suspended { .. })), "{case}");
        // The service is well again.
        fake.world.outage = None;
        let outcome = fake.go_on(&spec(), state_of(&fake)).await;
        the_product(&fake, &outcome, &case);
    }
}

#[tokio::test]
async fn one_that_halted_halts_again_as_long_as_nothing_changes() {
    for (what, from, fault, stage) in LAST_STEPS.into_iter().filter(|(.., fault, _)| *fault != Fault::After) {
        let (fake, _) = halted(what, from, fault, &spec()).await;
        let again = fake.go_on(&spec(), state_of(&fake)).await;
        let Outcome::Failed { failure, resumable: true, .. } = &again else { panic!("{what}: {again:?}") };
        assert_eq!(failure.stage, stage, "{what} from {from} on");
    }
}

#[tokio::test]
async fn what_remains_is_tried_twice() {
    // Each way has two refusals in it: the third and the fourth request are the second way's.
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
    assert!(twice.said("trying once more"));
    the_product(&twice, &outcome, "refused twice");
}

#[tokio::test]
async fn one_that_halted_can_be_given_up() {
    for (what, from, fault, _) in LAST_STEPS {
        for journal in [true, false] {
            let case = format!("{what} from {from} on: {fault:?}, journal {journal}");
            let (mut fake, _) = halted(what, from, fault, &spec()).await;
            fake.world.outage = None;
            gc(&fake, journal).await;
            // Without its journal nothing tells a snapshot whose tag is off from one that is done.
            let off = fault == Fault::After && !journal;
            assert_eq!(fake.there().len(), usize::from(off), "{case}: {:?}", fake.there());
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
    let away = |at| World { away: Some((at as u64, u64::MAX / 2)), ..World::default() };
    // The token is revoked.
    let revoked =
        |at| World { outage: Some((String::new(), at, Fault::Before(Kind::Unauthorized))), ..World::default() };
    let worlds = (first..=requests.len()).flat_map(|at| [(at, away(at)), (at, revoked(at))]);
    for (at, world) in worlds {
        let mut fake = Fake::new(world);
        let outcome = fake.bake(&spec()).await;
        check_outcome(&fake, &outcome, &format!("away from {at} on"));
        if outcome.exit_status() == 0 {
            // All that was still to come was of no account.
            continue;
        }
        assert!(outcome.is_resumable(), "away from {at} on: {outcome:?}");
        halts += 1;
        (fake.world.away, fake.world.outage) = (None, None);
        // Away for longer than the verification droplet waits to be heard: that one is of no use any more.
        let outcome = fake.go_on(&spec(), state_of(&fake)).await;
        the_product(&fake, &outcome, &format!("away from {at} on, and back"));
    }
    assert!(halts > 10, "{halts}");
}

#[tokio::test]
async fn what_speaks_against_the_snapshot_is_cleaned_up_as_ever() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let requests = happy.state.lock().unwrap().requests.clone();
    let first = requests.iter().position(|one| one.starts_with("delete droplet")).unwrap();
    let looks = requests[..first].iter().filter(|one| one.starts_with("snapshot")).count();
    let worlds = [
        // It is not where it should be.
        (3, World { transfer_errors: true, ..World::default() }),
        // Somebody has deleted it.
        (
            3,
            World {
                outage: Some(("snapshot".to_owned(), looks + 1, Fault::Before(Kind::NotFound))),
                ..World::default()
            },
        ),
        // Ctrl-C.
        (130, World { stop_at: Some(first as u64 + 1), ..World::default() }),
    ];
    for (exit, world) in worlds {
        let fake = Fake::new(world);
        let outcome = fake.bake(&spec()).await;
        assert_eq!((outcome.exit_status(), fake.there()), (exit, Vec::new()), "{outcome:?}");
    }
}

#[tokio::test]
async fn keep_and_ask_are_not_asked_then() {
    for on_error in [OnError::Keep, OnError::Ask] {
        let spec = Spec { on_error, ..spec() };
        let (_, outcome) = halted("delete droplet", 1, Fault::Before(Kind::Forbidden), &spec).await;
        assert!(outcome.is_resumable(), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_full_disk_is_no_reason_to_halt() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let deleting = |entry: &JournalEntry| matches!(entry, JournalEntry::DeletingDroplet { .. });
    let full = happy.journal.lock().unwrap().iter().position(deleting).unwrap();
    let fake = Fake::new(World { journal_full_after: Some(full), ..World::default() });
    let outcome = fake.bake(&spec()).await;
    assert_eq!((outcome.exit_status(), fake.there()), (3, Vec::new()), "{outcome:?}");
}
