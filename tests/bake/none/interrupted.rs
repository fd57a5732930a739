//! Bakes that are interrupted (Ctrl-C, SIGTERM), killed at some point, and resumed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use super::project;
use crate::harness::{Emulator, Home, Process, TOKEN};

/// Starts a bake.
fn start(home: &Home, emulator: &Emulator, more: &[&str]) -> Process {
    let arguments = ["bake", "--api-url", &emulator.url, "--poll-interval", "50ms"];
    Process::spawn(&mut home.command(&[&arguments, more].concat()))
}

#[test]
fn a_signal_cleans_up_and_exits_with_130() {
    for signal in ["INT", "TERM"] {
        let home = project();
        let emulator = Emulator::without_machines(&[]);
        let mut baking = start(&home, &emulator, &[]);
        baking.until_printed("provision: following build droplet");
        emulator.holds(1, 0, "afterwards");
        baking.signal(signal);
        let (exit, printed) = baking.end();
        assert_eq!(exit, 130, "SIG{signal}: {printed}");
        assert!(
            printed.contains("interrupted") && printed.contains("no resources remain that cost money"),
            "{printed}"
        );
        emulator.holds(0, 0, &format!("SIG{signal}"));
        let folder = home.folder().unwrap();
        assert!(!folder.join("secrets.json").exists(), "the secrets of a bake that has ended stay");
    }
}

#[test]
fn without_a_terminal_ask_destroys() {
    let home = project();
    let emulator = Emulator::without_machines(&[]);
    let baking = start(&home, &emulator, &["--on-error", "ask", "--timeout-provision", "1s"]);
    let (exit, printed) = baking.end();
    assert_eq!(exit, 3, "{printed}");
    assert!(printed.contains("--on-error ask: there is no terminal to ask on; destroying"), "{printed}");
    emulator.holds(0, 0, "afterwards");
}

/// Kills a bake when it has printed `at` and resumes it. Then there must be one snapshot and nothing else.
fn killed_and_resumed(at: &str) {
    let home = project();
    // Little is left to do after the commit, so a request hangs there until the kill. After the other points a droplet must still
    // boot and power off.
    let hangs = ["--off-after", "1s", "--fault", "DELETE /v2/tags/*/resources#1:hang"];
    let emulator = Emulator::without_machines(if at.starts_with("commit") { &hangs } else { &hangs[..2] });
    let options = ["--marker", "poweroff", "--verify"];
    let mut baking = start(&home, &emulator, &options);
    baking.until_printed(at);
    baking.kill();
    let bake = home.bake();
    let folder = home.bakes().join(&bake);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("secrets.json"))), (0o700, 0o600));
    home.run(&["bakes", "--api-url", &emulator.url]).success().stdout_has(&format!("continue: mkimg resume {bake}"));
    let (exit, stdout, stderr) = home.run(&["resume", &bake]).into_parts();
    assert_eq!(exit, 0, "killed at `{at}`: {stderr}");
    assert!(stdout.contains("snapshot tested"), "{stdout}");
    emulator.holds(0, 1, &format!("killed at `{at}`: {stderr}"));
    assert!(!folder.join("secrets.json").exists());
    let journal = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    for text in [&stdout, &stderr, &journal] {
        assert!(!text.contains(TOKEN));
    }
    // A finished bake is not resumed, and the list shows it as done.
    home.run(&["resume", &bake]).exits(2).stderr_has("is done: snapshot");
    home.run(&["bakes", "--api-url", &emulator.url])
        .stdout_has("done         snapshot tested")
        .stderr_has("no resources of bakes remain");
}

#[test]
fn a_bake_that_was_killed_goes_on_to_one_snapshot() {
    let points = [
        "create: build droplet", "boot: waiting", "provision: waiting", "power off: waiting", "snapshot: snapshot",
        "destroy: destroying", "verify: verification droplet", "commit: snapshot",
    ];
    std::thread::scope(|scope| {
        let threads: Vec<_> = points.iter().map(|at| scope.spawn(|| killed_and_resumed(at))).collect();
        for (thread, at) in threads.into_iter().zip(points) {
            thread.join().unwrap_or_else(|_| panic!("killed at `{at}`"));
        }
    });
}

#[test]
fn a_clean_up_that_was_killed_goes_on() {
    let home = project();
    // The deletion hangs until the kill, so that the kill never comes too late.
    let emulator = Emulator::without_machines(&["--fault", "DELETE /v2/droplets/*#1:hang"]);
    let mut baking = start(&home, &emulator, &["--timeout-provision", "1s"]);
    baking.until_printed("clean up: destroying droplet");
    baking.kill();
    let bake = home.bake();
    // A token of another account would find none of its resources.
    let journal = home.bakes().join(&bake).join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replace("emulator@example.invalid", "other@example.invalid")).unwrap();
    home.run(&["resume", &bake]).exits(2).stderr_has("the bake began in account other@example.invalid");
    std::fs::write(&journal, text).unwrap();
    home.run(&["resume", &bake]).exits(3).stderr_has("marker took longer than 1s").stderr_has("no resources remain");
    emulator.holds(0, 0, "afterwards");
}

#[test]
fn a_bake_at_work_is_not_taken_up_and_one_that_was_removed_has_no_secrets() {
    let home = project();
    let emulator = Emulator::without_machines(&[]);
    let mut baking = start(&home, &emulator, &[]);
    baking.until_printed("provision: following build droplet");
    let bake = home.bake();
    home.run(&["resume", &bake]).exits(2).stderr_has("a process is working on bake");
    home.run_without_token(&["bakes"]).stdout_has("at-work").stdout_has("at stage `provision` of snapshot tested");
    // It is not collected either, not even past its deadline.
    let (droplets, _) = emulator.account();
    let tag = format!("mkimg:bake:{bake}:1");
    emulator.post("/v2/tags", json!({"name": tag}));
    let droplet = json!({"resource_id": droplets[0]["id"].to_string(), "resource_type": "droplet"});
    let path = format!("/v2/tags/{tag}/resources");
    assert_eq!(emulator.send(reqwest::Method::POST, &path, Some(json!({"resources": [droplet]}))).0, 204);
    let gc = home.run(&["gc", "--api-url", &emulator.url]);
    gc.success().stderr_has(&format!("of bake {bake}: a process on this machine is working on it"));
    emulator.holds(1, 0, "the bake is at work");
    baking.kill();

    let (exit, stdout, stderr) = home.run(&["bakes", "--api-url", &emulator.url, "--format", "json"]).into_parts();
    assert_eq!(exit, 0, "{stderr}");
    let list: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&list["bakes"][0]["state"], &list["left"][0]["bake"]), (&"interrupted".into(), &bake.clone().into()));

    let secrets = home.bakes().join(&bake).join("secrets.json");
    assert!(secrets.exists());
    home.run(&["gc", "--api-url", &emulator.url, &bake]).success().stdout_has("destroyed droplet");
    assert!(!secrets.exists(), "nobody goes on with it");
    home.run(&["resume", &bake]).exits(2).stderr_has("has ended");
    home.run(&["resume", "20200101-000000-aaaaaa"])
        .exits(2)
        .stderr_has("no bake 20200101-000000-aaaaaa was started from here");
}
