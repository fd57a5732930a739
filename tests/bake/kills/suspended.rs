//! A process that is suspended for longer than its time limits (SIGSTOP, or a laptop that sleeps).

use std::time::Duration;

use crate::harness::{Emulator, Home, run_cases, until};

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
    home.run(&["gc", "--api-url", &emulator.url, &bake]).exits(2).stderr_has("at work on bake").stderr_has("Ctrl-C");
    baking.signal("INT");
    baking.signal("CONT");
    let (exit, printed) = baking.end();
    assert_eq!(exit, 130, "{printed}");
    emulator.holds(0, 0, "stopped, interrupted, continued");
}
