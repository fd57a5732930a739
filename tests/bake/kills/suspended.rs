//! A process that is stopped for longer than its limits and its requests may take (SIGSTOP; a laptop that sleeps).

use std::time::Duration;

use super::support::{Emulator, Home, play, until};

#[test]
fn a_pause_longer_than_every_limit_fails_nothing() {
    let entries =
        ["creating", "created", "active", "snapshotting", "snapshot-started", "transferring", "deleting-droplet"];
    play(entries.to_vec(), |entry| {
        let (home, emulator) = (Home::new(), Emulator::quick(&[]));
        // Many times what a quick emulator needs, so that a busy machine alone does not exceed them.
        let limits = ["--timeout-request", "3s", "--timeout-create", "5s", "--timeout-provision", "5s"];
        let more = ["--timeout-snapshot", "5s", "--timeout-transfer", "5s", "--timeout-power-off", "5s"];
        let baking = home.start(&emulator, &[&limits[..], &more[..]].concat());
        until(entry, || home.entries().iter().any(|name| name == entry).then_some(()));
        baking.signal("STOP");
        std::thread::sleep(Duration::from_secs(7));
        baking.signal("CONT");
        let (exit, said) = baking.end();
        assert_eq!(exit, 0, "stopped at {entry}: {said}");
        emulator.holds_the_product(&format!("stopped at {entry}"));
    });
}

#[test]
fn a_stopped_process_is_at_work() {
    let (home, emulator) = (Home::new(), Emulator::start(&["--backend", "none"]));
    let mut baking = home.start(&emulator, &[]);
    baking.until_said("provision: waiting");
    baking.signal("STOP");
    let bake = home.bake();
    let (exit, _, said) = home.mkimg(&["resume", &bake]);
    assert!(exit == 2 && said.contains("a process is working on bake"), "{said}");
    let (exit, _, said) = home.mkimg(&["gc", "--api-url", &emulator.url, &bake]);
    assert!(exit == 2 && said.contains("at work on bake") && said.contains("Ctrl-C"), "{said}");
    baking.signal("INT");
    baking.signal("CONT");
    let (exit, said) = baking.end();
    assert_eq!(exit, 130, "{said}");
    emulator.holds(0, 0, "stopped, interrupted, continued");
}
