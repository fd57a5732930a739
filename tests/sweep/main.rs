//! Every request of a bake fails in every way. The state machine, the provider's client, the client of the status channel and a
//! journal on disk run against an emulator in this process. What remains is read from the state file of the emulator, not from
//! its API.
//!
//! Single faults always run. `MKIMG_SWEEP=pairs` adds each lost answer together with a second fault, `outages` a fault that
//! lasts from some request on, and `all` both. `--nocapture` prints the tables for `docs/bake.md`.
//!
//! To add a case of another kind, add a line in `states.rs`.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "edge: tests read files and the environment, wait by the clock and start processes"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod bake;
mod case;
mod fake_api;
mod states;
mod table;

use std::sync::Mutex;

use case::{Case, Mode, Verdict};
use digitalocean_emulator::faults::RequestFault;
use table::Table;

/// How many bakes run at once. Most of the time they wait.
const AT_ONCE: usize = 48;

/// Runs one case on this thread.
fn block_on<T>(case: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case)
}

/// Plays all cases, [`AT_ONCE`] at a time, and fails with everything that was wrong.
fn play(title: &str, cases: Vec<(String, Case)>) -> Table {
    let total = cases.len();
    let start = std::time::Instant::now();
    let cases = Mutex::new(cases);
    let played = Mutex::new((Table::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((row, case)) = cases.lock().unwrap().pop() else { return };
                    let label = case.to_string();
                    let verdict = block_on(case.play());
                    let mut played = played.lock().unwrap();
                    played.0.count(&row, &verdict);
                    if let Verdict::Wrong(why) = verdict {
                        played.1.push(format!("{label}: {why}"));
                    }
                }
            });
        }
    });
    let (table, mut wrong) = played.into_inner().unwrap();
    println!("{title}: {total} bakes in {:.0} s\n{table}", start.elapsed().as_secs_f64());
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {total} cases:\n{}", wrong.len(), wrong.join("\n"));
    table
}

/// The requests of an undisturbed bake.
fn happy(mode: Mode) -> Vec<String> {
    let (verdict, requests) = block_on(Case::happy(mode).play_and_tell());
    assert!(matches!(verdict, Verdict::Done), "{mode:?}: {verdict:?}");
    assert!(requests.len() > 15, "{requests:?}");
    requests
}

fn singles(mode: Mode) {
    let requests = happy(mode);
    let mut cases = Vec::new();
    // Each request of the undisturbed bake with each fault.
    for number in 1..=requests.len() {
        for fault in RequestFault::USUAL {
            let case = Case::with(mode, &[format!("{number}:{}", quick(fault))]);
            cases.push((fault.to_owned(), Case { ends: is_transient(fault).then_some(0), is_single: true, ..case }));
        }
    }
    let table = play(&format!("single faults, {mode:?}, {} requests", requests.len()), cases);
    assert_eq!(table.left(), 0, "a single fault never leaves anything");
}

/// Whether a bake must succeed although one request failed like this, since the next attempt succeeds. Not among them: answers
/// that a client has to believe, and requests that hang, which on a busy machine may take longer than a time limit.
pub(crate) fn is_transient(fault: &str) -> bool {
    !["401", "403", "404", "422", "hang"].contains(&fault)
}

/// `retry-after` in whole seconds would make the sweep wait.
fn quick(fault: &str) -> String {
    if fault == "429" { "429=0s".to_owned() } else { fault.to_owned() }
}

#[test]
fn every_request_with_every_fault_and_power_off_as_the_marker() {
    singles(Mode::Poweroff);
}

#[test]
fn every_request_with_every_fault_and_the_status_channel() {
    singles(Mode::Https);
}

#[test]
fn the_service_and_the_guest_in_odd_states() {
    play("states", states::cases());
}

/// A lost answer of each request that changes something, and a second fault at each later request.
#[test]
fn a_lost_answer_and_a_second_fault() {
    if !harness::sweep_includes("pairs") {
        return;
    }
    for mode in [Mode::Poweroff, Mode::Https] {
        let requests = happy(mode);
        let mut cases = Vec::new();
        for (first, request) in (1..).zip(&requests) {
            if request.starts_with("GET") {
                continue;
            }
            for lost in ["lost", "handled-500", "handled-hang"] {
                for second in first + 1..=requests.len() + 4 {
                    for fault in RequestFault::USUAL {
                        let specs = [format!("{first}:{lost}"), format!("{second}:{}", quick(fault))];
                        cases.push((fault.to_owned(), Case::with(mode, &specs)));
                    }
                }
            }
        }
        play(&format!("a lost answer and a second fault, {mode:?}"), cases);
    }
}

/// A lasting fault: from a request on, all requests fail in the same way.
#[test]
fn an_outage_from_every_request_on() {
    let long = harness::sweep_includes("outages");
    let mut cases = Vec::new();
    for mode in [Mode::Poweroff, Mode::Https] {
        let requests = happy(mode);
        for number in (1..=requests.len()).filter(|number| long || number % 5 == 1) {
            for fault in RequestFault::USUAL {
                if long || ["401", "500", "closed", "garbage"].contains(&fault) {
                    cases.push((fault.to_owned(), Case::with(mode, &[format!("{number}-:{}", quick(fault))])));
                }
            }
        }
    }
    play("an outage that stays", cases);
}
