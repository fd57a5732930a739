//! Every request of a happy bake, failing in every way; Ctrl-C at every request; a bake taken up at every entry.

use super::fake::{Fake, Fault, World, spec};
use crate::bake::Outcome;
use crate::bake::journal::{Entry, Ledger};
use crate::bake::ports::ProviderErrorKind as Kind;

const FAULTS: [Fault; 8] = [
    Fault::After,
    Fault::Before(Kind::Unanswered),
    Fault::Before(Kind::Unreachable),
    Fault::Before(Kind::RateLimited),
    Fault::Before(Kind::NotFound),
    Fault::Before(Kind::Unauthorized),
    Fault::Before(Kind::Forbidden),
    Fault::Before(Kind::Refused),
];

/// Success with exactly one snapshot; or nothing left; or everything that is left is named.
pub(super) fn judge(fake: &Fake, outcome: &Outcome, case: &str) {
    let there = fake.there();
    match outcome {
        Outcome::Done(product) => assert_eq!(there, [format!("snapshot {}", product.snapshot.id)], "{case}"),
        Outcome::Failed { left, .. } | Outcome::Interrupted { left } => {
            let named: Vec<String> = left.iter().map(ToString::to_string).collect();
            for thing in &there {
                let known =
                    named.iter().any(|n| n.starts_with(thing.as_str()) || n.starts_with("possibly something tagged"));
                assert!(
                    known,
                    "{case}: {thing} is left and not named: {outcome:?}\n{:?}",
                    fake.state.lock().unwrap().requests
                );
            }
        }
    }
}

/// The requests of a happy bake, by number. Of a row of the same request (looking again and again) the first two and the
/// last: a fault in the middle meets what one at the second meets.
async fn happy_requests() -> Vec<u64> {
    let fake = Fake::new(World::default());
    assert_eq!(fake.bake(&spec()).await.exit_status(), 0);
    let requests = &fake.state.lock().unwrap().requests;
    let repeated = |at: usize, by: usize| at >= by && (1..=by).all(|back| requests[at - back] == requests[at]);
    let counts = |at: &usize| !repeated(*at, 2) || requests.get(at + 1) != Some(&requests[*at]);
    let numbers: Vec<u64> = (0..requests.len()).filter(counts).map(|at| at as u64 + 1).collect();
    assert!(numbers.len() > 30, "{numbers:?}");
    numbers
}

#[tokio::test]
async fn one_fault_at_every_request() {
    let requests = happy_requests().await;
    let mut done = 0;
    for at in requests {
        for fault in FAULTS {
            let fake = Fake::new(World { faults: [(at, fault)].into(), ..World::default() });
            let outcome = fake.bake(&spec()).await;
            let case = format!("request {at}: {fault:?}");
            judge(&fake, &outcome, &case);
            assert!(matches!(outcome.exit_status(), 0 | 3), "{case}: {outcome:?}");
            let transient =
                matches!(fault, Fault::After | Fault::Before(Kind::Unanswered | Kind::Unreachable | Kind::RateLimited));
            if transient && !matches!(fault, Fault::Before(Kind::Unreachable | Kind::RateLimited)) {
                assert_eq!(outcome.exit_status(), 0, "{case} can be survived: {outcome:?}");
            }
            done += u32::from(outcome.exit_status() == 0);
        }
    }
    assert!(done > 0);
}

#[tokio::test]
async fn a_lost_answer_and_a_second_fault() {
    let requests = happy_requests().await;
    for first in requests {
        for gap in 1..=4 {
            for fault in FAULTS {
                let fake = Fake::new(World {
                    faults: [(first, Fault::After), (first + gap, fault)].into(),
                    ..World::default()
                });
                let outcome = fake.bake(&spec()).await;
                judge(&fake, &outcome, &format!("requests {first}: lost, {}: {fault:?}", first + gap));
            }
        }
    }
}

#[tokio::test]
async fn stopped_at_every_request_nothing_is_left() {
    let requests = happy_requests().await;
    for at in requests {
        for lost in [false, true] {
            let faults = if lost { [(at, Fault::After)].into() } else { [].into() };
            let fake = Fake::new(World { stop_at: Some(at), faults, ..World::default() });
            let outcome = fake.bake(&spec()).await;
            judge(&fake, &outcome, &format!("stopped at {at}, lost: {lost}"));
            if outcome.exit_status() != 0 {
                assert_eq!(
                    (outcome.exit_status(), fake.there().len(), outcome.left().len()),
                    (130, 0, 0),
                    "stopped at {at}: {outcome:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_second_stop_ends_at_once_and_names_what_is_left() {
    let requests = happy_requests().await;
    for at in requests {
        let fake = Fake::new(World { stop_at: Some(at), stop_again_at: Some(at + 1), ..World::default() });
        let outcome = fake.bake(&spec()).await;
        judge(&fake, &outcome, &format!("stopped twice at {at}"));
    }
}

/// Lets a bake run until it has written entry `cut`, as if its process died there.
async fn cut_at(fake: &Fake, cut: usize) -> Ledger {
    let spec = spec();
    let bake = fake.bake(&spec);
    tokio::select! {
        biased;
        () = async { while fake.journal.lock().unwrap().len() <= cut { fake.written.notified().await; } } => {}
        _ = bake => {}
    }
    Ledger::replay(fake.journal.lock().unwrap().iter())
}

#[tokio::test]
async fn a_clean_up_goes_on_from_every_entry_of_its_journal() {
    let world = || World { transfer_errors: true, ..World::default() };
    let first = Fake::new(world());
    assert_eq!(first.bake(&spec()).await.exit_status(), 3);
    let journal = first.journal.lock().unwrap().clone();
    let begins = journal.iter().position(|entry| matches!(entry, Entry::CleaningUp { .. })).expect("it cleans up");
    assert!(journal.len() - begins >= 5, "{journal:?}");
    for cut in begins..journal.len() - 1 {
        let fake = Fake::new(world());
        let ledger = cut_at(&fake, cut).await;
        assert!(ledger.failing.as_deref().is_some_and(|why| why.contains("`errored`")), "{ledger:?}");
        let created = fake.state.lock().unwrap().created;
        let outcome = fake.go_on(&spec(), ledger).await;
        assert_eq!((outcome.exit_status(), fake.there().len()), (3, 0), "cut at {cut}: {outcome:?}");
        assert_eq!(fake.state.lock().unwrap().created, created, "nothing new is made");
    }
}

#[tokio::test]
async fn a_bake_goes_on_from_every_entry_of_its_journal() {
    let first = Fake::new(World::default());
    assert_eq!(first.bake(&spec()).await.exit_status(), 0);
    let entries = first.journal.lock().unwrap().len();
    for cut in 0..entries {
        // The process dies when it has written entry `cut`, or rather: nothing after it is done.
        let fake = Fake::new(World::default());
        let ledger = cut_at(&fake, cut).await;
        let outcome = fake.go_on(&spec(), ledger).await;
        judge(&fake, &outcome, &format!("cut at {cut}"));
        assert_eq!(outcome.exit_status(), 0, "cut at {cut}: {outcome:?}");
    }
}
