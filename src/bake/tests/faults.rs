//! Fails every request of a successful bake in every way, presses Ctrl-C at every request, and
//! resumes from every journal entry.

use std::sync::atomic::Ordering;

use super::support::{Fake, Fault, World, spec};
use crate::bake::journal::JournalEntry;
use crate::bake::ports::ProviderErrorKind as Kind;
use crate::bake::{BakeState, Outcome, RemainingResource};

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

/// Checks that the bake made exactly one snapshot (verified, if requested), or named everything
/// that remains. A resource whose id is in the journal must be named by its id. "Something with
/// this tag may be there" is enough only for the rest.
pub(super) fn check_outcome(fake: &Fake, outcome: &Outcome, case: &str) {
    let existing = fake.existing_resources();
    match outcome {
        Outcome::Done(product) => {
            assert_eq!(existing, [format!("snapshot {}", product.snapshot.id)], "{case}");
            assert_eq!(product.verified, fake.verifies.load(Ordering::Relaxed), "{case}");
        }
        Outcome::Failed { remaining, .. } | Outcome::Interrupted { remaining } => {
            let journal = fake.journal.lock().unwrap();
            let recorded: Vec<String> = journal
                .iter()
                .filter_map(|entry| match entry {
                    JournalEntry::Created { droplet, .. } => Some(format!("droplet {droplet}")),
                    JournalEntry::Snapshot { id } => Some(format!("snapshot {id}")),
                    _ => None,
                })
                .collect();
            let tag = spec().tag().to_string();
            let by_tag =
                |one: &RemainingResource| matches!(one, RemainingResource::Unknown { tag: own, .. } if *own == tag);
            let is_tag_named = remaining.iter().any(by_tag);
            for thing in &existing {
                let is_named = remaining.iter().any(|resource| resource.name() == *thing);
                assert!(
                    is_named || (is_tag_named && !recorded.contains(thing)),
                    "{case}: {thing} remains and is not named: {outcome:?}\n{:?}",
                    fake.state.lock().unwrap().requests
                );
            }
        }
    }
}

/// The requests of a successful bake, by number. Of a run of identical requests (polling), only the
/// first two and the last: a fault in the middle has the same effect as one at the second.
async fn requests_without_faults() -> Vec<u64> {
    let fake = Fake::new(World::default());
    assert_eq!(fake.bake(&spec()).await.exit_status(), 0);
    let requests = &fake.state.lock().unwrap().requests;
    let repeated = |at: usize, by: usize| at >= by && (1..=by).all(|back| requests[at - back] == requests[at]);
    let counts = |at: &usize| !repeated(*at, 2) || requests.get(at + 1) != Some(&requests[*at]);
    let numbers: Vec<u64> = (0..requests.len()).filter(counts).map(|at| at as u64 + 1).collect();
    assert!(numbers.len() > 30, "{numbers:?}");
    numbers
}

/// Whether a bake may fail when this request fails once in this way. `is_complete`: whether the
/// snapshot was complete at that point.
fn may_fail(request: &str, fault: Fault, is_complete: bool) -> bool {
    let is_refused = matches!(fault, Fault::Before(Kind::Unauthorized | Kind::Forbidden | Kind::Refused));
    let is_missing = fault == Fault::Before(Kind::NotFound);
    if is_complete {
        // The last steps are tried twice, unless the image is not found, which means that the
        // snapshot may be gone.
        return request == "create" && is_missing;
    }
    match request {
        // Never repeated by the machine, unless the answer was lost.
        "create" => !matches!(fault, Fault::After | Fault::Before(Kind::Unanswered)),
        request if request.contains("Snapshot(") => !matches!(fault, Fault::After | Fault::Before(Kind::Unanswered)),
        "transfer" => is_refused || is_missing,
        "droplet" | "droplet snapshots" | "action" | "tag" => is_refused,
        _ => false,
    }
}

#[tokio::test]
async fn one_fault_at_every_request() {
    let happy = Fake::new(World::default());
    assert_eq!(happy.bake(&spec()).await.exit_status(), 0);
    let names = happy.state.lock().unwrap().requests.clone();
    let complete = names.iter().position(|name| name == "delete droplet").unwrap() + 1;
    let mut failed = 0;
    for at in requests_without_faults().await {
        for fault in FAULTS {
            let fake = Fake::new(World { faults: [(at, fault)].into(), ..World::default() });
            let outcome = fake.bake(&spec()).await;
            let (index, case) = (usize::try_from(at).unwrap(), format!("request {at}: {fault:?}"));
            check_outcome(&fake, &outcome, &case);
            match outcome.exit_status() {
                0 => {}
                3 => {
                    failed += 1;
                    assert!(may_fail(&names[index - 1], fault, index >= complete), "{case}: {outcome:?}");
                    assert_eq!(fake.existing_resources(), [""; 0], "{case}");
                }
                other => panic!("{case}: {other}: {outcome:?}"),
            }
        }
    }
    assert!(failed > 20, "some faults make success impossible: {failed}");
}

#[tokio::test]
async fn a_lost_answer_and_a_second_fault() {
    let requests = requests_without_faults().await;
    for first in requests {
        for gap in 1..=4 {
            for fault in FAULTS {
                let fake = Fake::new(World {
                    faults: [(first, Fault::After), (first + gap, fault)].into(),
                    ..World::default()
                });
                let outcome = fake.bake(&spec()).await;
                check_outcome(&fake, &outcome, &format!("requests {first}: lost, {}: {fault:?}", first + gap));
            }
        }
    }
}

#[tokio::test]
async fn stopped_at_every_request_nothing_is_left() {
    let requests = requests_without_faults().await;
    for at in requests {
        for lost in [false, true] {
            let faults = if lost { [(at, Fault::After)].into() } else { [].into() };
            let fake = Fake::new(World { stop_at: Some(at), faults, ..World::default() });
            let outcome = fake.bake(&spec()).await;
            check_outcome(&fake, &outcome, &format!("stopped at {at}, lost: {lost}"));
            if outcome.exit_status() != 0 {
                assert_eq!(
                    (outcome.exit_status(), fake.existing_resources().len(), outcome.remaining().len()),
                    (130, 0, 0),
                    "stopped at {at}: {outcome:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_second_stop_ends_at_once_and_names_remaining_resources() {
    let requests = requests_without_faults().await;
    for at in requests {
        let fake = Fake::new(World { stop_at: Some(at), stop_again_at: Some(at + 1), ..World::default() });
        let outcome = fake.bake(&spec()).await;
        check_outcome(&fake, &outcome, &format!("stopped twice at {at}"));
    }
}

/// Runs a bake until it has written entry `cut`, as if its process died there.
pub(super) async fn run_until_entry(fake: &Fake, cut: usize) -> BakeState {
    let spec = spec();
    let bake = fake.bake(&spec);
    tokio::select! {
        biased;
        () = async { while fake.journal.lock().unwrap().len() <= cut { fake.written.notified().await; } } => {}
        _ = bake => {}
    }
    BakeState::replay(fake.journal.lock().unwrap().iter())
}

#[tokio::test]
async fn a_clean_up_goes_on_from_every_entry_of_its_journal() {
    let world = World::failing_after_snapshot;
    let first = Fake::new(world());
    assert_eq!(first.bake(&spec()).await.exit_status(), 3);
    let journal = first.journal.lock().unwrap().clone();
    let begins =
        journal.iter().position(|entry| matches!(entry, JournalEntry::CleaningUp { .. })).expect("it cleans up");
    assert!(journal.len() - begins >= 5, "{journal:?}");
    for cut in begins..journal.len() - 1 {
        let fake = Fake::new(world());
        let state = run_until_entry(&fake, cut).await;
        assert!(state.clean_up_reason().is_some_and(|why| why.starts_with("tag: ")), "{state:?}");
        let created = fake.state.lock().unwrap().created;
        let outcome = fake.resume(&spec(), state).await;
        assert_eq!((outcome.exit_status(), fake.existing_resources().len()), (3, 0), "cut at {cut}: {outcome:?}");
        assert_eq!(fake.state.lock().unwrap().created, created, "nothing new is made");
    }
}

#[tokio::test]
async fn a_bake_goes_on_from_every_entry_of_its_journal() {
    let first = Fake::new(World::default());
    assert_eq!(first.bake(&spec()).await.exit_status(), 0);
    let entries = first.journal.lock().unwrap().len();
    for cut in 0..entries {
        // Simulates a process that dies after it has written entry `cut`: nothing takes effect
        // after it.
        let fake = Fake::new(World::default());
        let state = run_until_entry(&fake, cut).await;
        let outcome = fake.resume(&spec(), state).await;
        check_outcome(&fake, &outcome, &format!("cut at {cut}"));
        assert_eq!(outcome.exit_status(), 0, "cut at {cut}: {outcome:?}");
    }
}
