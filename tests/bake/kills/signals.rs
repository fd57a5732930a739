//! SIGINT, SIGTERM, SIGHUP and SIGKILL at every entry of the journal; SIGKILL inside a request, before and after its effect;
//! `resume` and clean-ups that are killed, too; SIGSTOP for longer than every time limit.

use std::time::Duration;

use crate::harness::{Emulator, Home, run_cases, sweep_includes, until};

/// The number of journal entries of an undisturbed bake.
fn happy() -> usize {
    let (home, emulator) = (Home::new(), Emulator::quick(&[]));
    let (exit, printed) = home.start(&emulator, &["--verify"]).end();
    assert_eq!(exit, 0, "{printed}");
    emulator.holds_the_product("undisturbed");
    let entries = home.entries();
    assert!(entries.len() > 20 && entries.last().is_some_and(|last| last == "ended"), "{entries:?}");
    entries.len()
}

/// The numbers of all entries, or of every n-th one.
fn entries(every: usize) -> Vec<usize> {
    (1..=happy()).step_by(if sweep_includes("kills") { 1 } else { every }).collect()
}

#[test]
fn killed_at_an_entry_and_resumed_there_is_one_snapshot() {
    run_cases(entries(5), |at| {
        let (home, emulator) = (Home::new(), Emulator::quick(&[]));
        let mut baking = home.start(&emulator, &["--verify"]);
        baking.until_entry(&home, *at);
        baking.kill();
        let (exit, printed) = home.resume().end();
        // If the last line has been written, there is nothing to resume.
        assert!(exit == 0 || (exit == 2 && printed.contains("is done: snapshot")), "killed at {at}: {exit}: {printed}");
        emulator.holds_the_product(&format!("killed at {at}: {:?}\n{printed}", home.entries()));
        assert!(!home.folder().unwrap().join("secrets.json").exists(), "killed at {at}");
    });
}

#[test]
fn killed_at_an_entry_and_collected_there_is_nothing() {
    run_cases(entries(6), |at| {
        let (home, emulator) = (Home::new(), Emulator::quick(&[]));
        let mut baking = home.start(&emulator, &["--verify"]);
        baking.until_entry(&home, *at);
        baking.kill();
        let entries = home.entries();
        let bake = home.bake();
        let (exit, printed, more) = home.run(&["gc", "--api-url", &emulator.url, &bake]).into_parts();
        assert_eq!(exit, 0, "killed at {at}: {printed}{more}");
        let (droplets, snapshots) = emulator.account();
        let product = entries.iter().any(|entry| entry == "committing") && snapshots.len() == 1;
        assert!(droplets.is_empty() && (snapshots.is_empty() || product), "killed at {at}: {droplets:?} {snapshots:?}");
        let (_, list, _) = home.run(&["bakes", "--api-url", &emulator.url]).into_parts();
        assert!(list.contains(if product { "done" } else { "failed" }) || entries.is_empty(), "killed at {at}: {list}");
        assert!(!home.folder().unwrap().join("secrets.json").exists(), "killed at {at}");
    });
}

#[test]
fn a_signal_at_an_entry_cleans_up() {
    let signals = ["INT", "TERM", "HUP"];
    let entries = entries(4);
    let cases: Vec<(usize, &str)> = if sweep_includes("kills") {
        entries.iter().flat_map(|at| signals.map(|signal| (*at, signal))).collect()
    } else {
        entries.iter().enumerate().map(|(nth, at)| (*at, signals[nth % 3])).collect()
    };
    run_cases(cases, |(at, signal)| {
        let case = format!("SIG{signal} at {at}");
        let (home, emulator) = (Home::new(), Emulator::quick(&[]));
        let mut baking = home.start(&emulator, &["--verify"]);
        baking.until_entry(&home, *at);
        baking.signal(signal);
        let (exit, printed) = baking.end();
        match exit {
            // The signal came after the snapshot was committed.
            0 => emulator.holds_the_product(&case),
            130 => {
                assert!(printed.contains("no resources remain that cost money"), "{case}: {printed}");
                emulator.holds(0, 0, &case);
            }
            _ => panic!("{case}: {exit}: {printed}"),
        }
        assert!(!home.folder().unwrap().join("secrets.json").exists(), "{case}");
    });
}

#[test]
fn killed_inside_a_request_there_is_one_snapshot() {
    // The request hangs after its intent is in the journal: before it takes effect, and after.
    let inside = [
        ("POST /v2/droplets#1", "creating"),
        ("POST /v2/droplets/*/actions#1", "snapshotting"),
        ("POST /v2/tags/*/resources#1", "tagging"),
        ("POST /v2/images/*/actions#1", "transferring"),
        ("DELETE /v2/droplets/*#1", "deleting-droplet"),
        ("POST /v2/droplets#2", "creating"),
        ("DELETE /v2/droplets/*#2", "deleting-droplet"),
        ("DELETE /v2/tags/*/resources#1", "committing"),
    ];
    let cases: Vec<_> = inside
        .iter()
        .flat_map(|(request, entry)| ["hang", "handled-hang"].map(|how| (*request, *entry, how)))
        .collect();
    run_cases(cases, |(request, entry, how)| {
        let case = format!("{request}:{how}");
        let (home, emulator) = (Home::new(), Emulator::quick(&[&case]));
        let mut baking = home.start(&emulator, &["--verify"]);
        let nth = if request.ends_with("#2") { 2 } else { 1 };
        until(&case, || {
            let entries = home.entries();
            (entries.iter().filter(|name| name == entry).count() >= nth).then_some(())
        });
        // Whether the request has arrived or not, it is never answered.
        std::thread::sleep(Duration::from_millis(200));
        assert!(home.entries().last().is_some_and(|last| last == entry), "{case}: {:?}", home.entries());
        baking.until_entry(&home, 1);
        baking.kill();
        let (exit, printed) = home.resume().end();
        assert_eq!(exit, 0, "{case}: {printed}");
        emulator.holds_the_product(&case);
    });
}

#[test]
fn a_resume_that_is_killed_at_an_entry_goes_on() {
    run_cases(entries(9), |at| {
        let (home, emulator) = (Home::new(), Emulator::quick(&[]));
        let mut process = home.start(&emulator, &["--verify"]);
        // Killed repeatedly, each time a few entries later.
        let mut next = *at;
        while process.until_entry(&home, next) && home.entries().last().is_none_or(|last| last != "ended") {
            process.kill();
            next = home.entries().len() + 3;
            process = home.resume();
        }
        let (exit, printed) = process.end();
        assert!(exit == 0 || (exit == 2 && printed.contains("is done")), "from {at}: {exit}: {printed}");
        emulator.holds_the_product(&format!("from {at}"));
    });
}

#[test]
fn a_clean_up_that_is_killed_at_an_entry_is_finished() {
    let steps = if sweep_includes("kills") { 0..8 } else { 0..3 };
    run_cases(steps.collect(), |more| {
        let (home, emulator) = (Home::new(), Emulator::quick(&["snapshot#1:errored"]));
        let mut baking = home.start(&emulator, &[]);
        until("the clean-up", || home.entries().iter().position(|entry| entry == "cleaning-up"));
        let begins = home.entries().iter().position(|entry| entry == "cleaning-up").unwrap();
        baking.until_entry(&home, begins + 1 + more);
        baking.kill();
        let (exit, printed) = home.resume().end();
        assert!(
            exit == 3 || (exit == 2 && printed.contains("has ended with exit status 3")),
            "{more}: {exit}: {printed}"
        );
        emulator.holds(0, 0, &format!("killed {more} entries into the clean-up"));
    });
}

#[test]
fn nohup_is_heeded() {
    let (home, emulator) = (Home::new(), Emulator::quick(&[]));
    let mut command = std::process::Command::new("nohup");
    home.set_environment(&mut command);
    command.arg(crate::harness::MKIMG).args(["-C", home.path().to_str().unwrap()]);
    command.args(Home::arguments(&emulator, &[]));
    let mut baking = crate::harness::Process::spawn(&mut command);
    baking.until_entry(&home, 3);
    baking.signal("HUP");
    let (exit, printed) = baking.end();
    assert_eq!(exit, 0, "{printed}");
    emulator.holds_the_product("nohup");
}

#[test]
fn an_emulator_that_is_killed_and_comes_back_does_not_end_a_bake() {
    let (home, state) = (Home::new(), tempfile::tempdir().unwrap());
    // The next emulator repeats the event that was under way.
    for entry in ["creating", "active", "snapshot-started", "deleting-droplet"] {
        let _ = std::fs::remove_dir_all(home.bakes());
        let directory = state.path().join(entry);
        let options = ["--backend", "none", "--off-after", "300ms", "--state", directory.to_str().unwrap()];
        let mut emulator = Emulator::start(&options);
        let mut baking = home.start(&emulator, &["--verify"]);
        until(entry, || home.entries().iter().any(|name| name == entry).then_some(()));
        emulator.kill();
        let address = emulator.url.strip_prefix("http://").unwrap().to_owned();
        let again = Emulator::start(&[&options[..], &["--listen", &address]].concat());
        baking.until_entry(&home, 1);
        let (exit, printed) = baking.end();
        if exit == 0 {
            again.holds_the_product(entry);
        } else {
            // A bake whose create request could not be sent may fail, with nothing left.
            assert_eq!((exit, entry), (3, "creating"), "{printed}");
            again.holds(0, 0, entry);
        }
    }
}

#[test]
fn a_bake_that_was_killed_after_its_last_line_keeps_no_secrets() {
    let (home, emulator) = (Home::new(), Emulator::quick(&[]));
    let (exit, printed) = home.start(&emulator, &[]).end();
    assert_eq!(exit, 0, "{printed}");
    let secrets = home.folder().unwrap().join("secrets.json");
    std::fs::write(&secrets, "{}").unwrap();
    home.run(&["resume", &home.bake()]).exits(2).stderr_has("is done: snapshot");
    assert!(!secrets.exists());
}

#[test]
fn a_pause_longer_than_every_limit_fails_nothing() {
    let entries =
        ["creating", "created", "active", "snapshotting", "snapshot-started", "transferring", "deleting-droplet"];
    run_cases(entries.to_vec(), |entry| {
        let (home, emulator) = (Home::new(), Emulator::quick(&[]));
        // Many times what a quick emulator needs, so that a busy machine does not exceed them.
        let limits = ["--timeout-request", "3s", "--timeout-create", "5s", "--timeout-provision", "5s"];
        let more = ["--timeout-snapshot", "5s", "--timeout-transfer", "5s", "--timeout-power-off", "5s"];
        let baking = home.start(&emulator, &[&limits[..], &more[..]].concat());
        until(entry, || home.entries().iter().any(|name| name == entry).then_some(()));
        baking.signal("STOP");
        std::thread::sleep(Duration::from_secs(7));
        baking.signal("CONT");
        let (exit, printed) = baking.end();
        assert_eq!(exit, 0, "stopped at {entry}: {printed}");
        emulator.holds_the_product(&format!("stopped at {entry}"));
    });
}

#[test]
fn a_stopped_process_is_at_work() {
    let (home, emulator) = (Home::new(), Emulator::without_machines(&[]));
    let mut baking = home.start(&emulator, &[]);
    baking.until_printed("provision: waiting");
    baking.signal("STOP");
    let bake = home.bake();
    home.run(&["resume", &bake]).exits(2).stderr_has("a process is working on bake");
    home.run(&["gc", "--api-url", &emulator.url, &bake]).exits(2).stderr_has("is working on bake").stderr_has("Ctrl-C");
    baking.signal("INT");
    baking.signal("CONT");
    let (exit, printed) = baking.end();
    assert_eq!(exit, 130, "{printed}");
    emulator.holds(0, 0, "stopped, interrupted, continued");
}
