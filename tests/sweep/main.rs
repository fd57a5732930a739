//! Every request of a bake, failing in every way, through the real client: the machine, the provider's client, the status
//! channel's client and a journal on disk, against an emulator in this process. What is left is read from the emulator's
//! own state, not asked of its API.
//!
//! Single faults are always played. `MKIMG_SWEEP=pairs` adds each lost answer together with a second fault, `outages` a
//! fault that stays from some request on, `all` both. With `--nocapture` the tables for `docs/bake.md` are printed.
//!
//! To add a fault: its name in `FAULTS`. To add a case of another kind: a line in `states.rs`.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "edge: tests read files and the environment, wait by the clock and start processes"
)]

mod bake;
mod case;
mod fake_api;
mod states;
mod table;

use std::sync::Mutex;

use case::{Case, Mode, Verdict};
use mkimg::emulator::faults::RequestFault;
use table::Table;

/// How many bakes at once: most of their time they wait.
const AT_ONCE: usize = 48;

fn asked_for(what: &str) -> bool {
    std::env::var("MKIMG_SWEEP").is_ok_and(|asked| asked == what || asked == "all")
}

/// Runs one case on this thread.
fn block_on<T>(case: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case)
}

/// Plays all cases, so many at once; fails with everything that was wrong.
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

/// The requests of a bake that nothing disturbs.
fn happy(mode: Mode) -> Vec<String> {
    let (verdict, requests) = block_on(Case::happy(mode).play_and_tell());
    assert!(matches!(verdict, Verdict::Done), "{mode:?}: {verdict:?}");
    assert!(requests.len() > 15, "{requests:?}");
    requests
}

fn singles(mode: Mode) {
    let requests = happy(mode);
    let mut cases = Vec::new();
    // A poll or two more than in this run: another may be slower.
    for number in 1..=requests.len() {
        for fault in RequestFault::USUAL {
            cases.push((fault.to_owned(), Case::with(mode, &[format!("{number}:{}", quick(fault))])));
        }
    }
    let table = play(&format!("single faults, {mode:?}, {} requests", requests.len()), cases);
    assert_eq!(table.left(), 0, "a single fault never leaves anything");
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
    if !asked_for("pairs") {
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

/// A fault that stays: from each request on everything fails in the same way.
#[test]
fn an_outage_from_every_request_on() {
    let long = asked_for("outages");
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
