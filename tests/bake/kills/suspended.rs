//! Suspended bakes: the snapshot is complete, and the last steps were refused. What is printed, the list of `mkimg bakes`, and
//! both ways to continue.

use serde_json::Value;

use crate::harness::{Emulator, Home, TOKEN};

/// Refused for as many attempts as the bake makes, so that a later command succeeds.
fn refused(what: &str, times: u32) -> Emulator {
    let faults: Vec<String> = (1..=times).map(|nth| format!("{what}#{nth}:403")).collect();
    let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
    Emulator::quick(&faults)
}

const DROPLET: (&str, u32) = ("DELETE /v2/droplets/*", 4);
/// The refusal is final, so each attempt sends one request.
const COMMIT: (&str, u32) = ("DELETE /v2/tags/mkimg*/resources", 2);

#[test]
fn resume_finishes_a_suspended_bake() {
    for ((what, times), droplets) in [(DROPLET, 1), (COMMIT, 0)] {
        let (home, emulator) = (Home::new(), refused(what, times));
        let (exit, printed) = home.start(&emulator, &[]).end();
        assert_eq!(exit, 4, "{what}: {printed}");
        emulator.holds(droplets, 1, what);
        let bake = home.bake();
        let resume = format!("help: finish the bake: mkimg resume {bake}");
        for text in [
            "still exists: snapshot ",
            "the snapshot is finished, so nothing was destroyed",
            &resume,
            "help: remove it: mkimg gc --api-url ",
        ] {
            assert!(printed.contains(text), "{what}: no `{text}`: {printed}");
        }
        assert_eq!(home.entries().last().unwrap(), "halted");
        assert!(home.folder().unwrap().join("secrets.json").exists(), "{what}: nobody could go on");
        let bakes = home.mkimg(&["bakes", "--api-url", &emulator.url]).1;
        let line = bakes.lines().next().unwrap();
        assert!(line.contains("  left  ") && line.contains(&format!("mkimg resume {bake}")), "{bakes}");
        let (exit, stdout, printed) = home.run(&["resume", &bake]).into_parts();
        assert_eq!(exit, 0, "{what}: {stdout}{printed}");
        emulator.holds_the_product(what);
        assert!(!home.folder().unwrap().join("secrets.json").exists(), "{what}: it has ended");
        // The finished snapshot has no tag of its bake, so gc leaves it alone.
        home.run(&["gc", "--api-url", &emulator.url, &bake])
            .success()
            .stdout_is("")
            .stderr_has(": it is finished, and nothing else remains");
        emulator.holds_the_product(what);
    }
}

#[test]
fn gc_removes_a_suspended_bake() {
    for (what, times) in [DROPLET, COMMIT] {
        let (home, emulator) = (Home::new(), refused(what, times));
        assert_eq!(home.start(&emulator, &[]).end().0, 4);
        let bake = home.bake();
        let (exit, stdout, printed) = home.run(&["gc", "--api-url", &emulator.url, &bake]).into_parts();
        assert!(exit == 0 && stdout.contains("destroyed snapshot"), "{what}: {stdout}{printed}");
        emulator.holds(0, 0, what);
        assert!(!home.folder().unwrap().join("secrets.json").exists(), "{what}");
        let (exit, _, printed) = home.run(&["resume", &bake]).into_parts();
        assert!(exit == 2 && printed.contains("has ended with exit status 3"), "{what}: {printed}");
    }
}

#[test]
fn programs_are_told_how_to_go_on() {
    let (home, emulator) = (Home::new(), refused(DROPLET.0, DROPLET.1));
    let report = home.path().join("report.json");
    let words = ["--format", "json", "--report", report.to_str().unwrap()];
    let (exit, stdout, printed) = home.run(&Home::arguments(&emulator, &words)).into_parts();
    assert_eq!(exit, 4, "{printed}");
    let last: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    for told in [&last, &report] {
        assert_eq!(told["resume"], format!("mkimg resume {}", home.bake()), "{told}");
        assert!(told["remove"].as_str().unwrap().starts_with("mkimg gc --api-url "), "{told}");
        assert!(!told.to_string().contains(TOKEN), "{told}");
    }
    assert_eq!((&last["stage"], &last["exit"]), (&Value::from("destroy"), &Value::from(4)));
}
