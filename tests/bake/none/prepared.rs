//! What a bake decides before its first request: whether the document is valid, and where its artifacts come from.

use std::fs;

use serde_json::{Value, json};

use super::TEMPLATE;
use crate::harness::{Emulator, Home, Server, sha256};

const TOOL: &[u8] = b"a tool\n";

fn with_artifact(url: &str) -> Home {
    Home::with_template(&format!("{TEMPLATE}artifacts: [{{url: '{url}', to: /usr/local/bin/tool}}]\n"))
}

fn lock(url: &str, bytes: &[u8]) -> String {
    let (sum, size) = (sha256(bytes), bytes.len());
    format!("version: 1\nartifacts:\n  - url: \"{url}\"\n    sha256: \"{sum}\"\n    size: {size}\n")
}

/// cloud-init would refuse the document, or a script of it: the bake ends before a droplet costs money.
#[test]
fn an_invalid_document_is_not_baked() {
    let emulator = Emulator::quick(&[]);
    for (name, more, script, exit, printed) in [
        ("a", "cloud_config: {final_mesage: x}\n", "true", 1, "error[MK101]"),
        ("b", "", "if true; then", 1, "scripts/01-nothing.sh:"),
        (
            "c",
            "cloud_config: {write_files: [{path: /usr/local/bin/x, permissions: '0755', content: x}]}\n",
            "true",
            0,
            "warning[MK208]",
        ),
        ("d", "", "true", 0, ""),
    ] {
        let home = Home::with_template(&format!("{TEMPLATE}{more}").replace("tested", name));
        fs::write(home.path().join("scripts/01-nothing.sh"), format!("#!/bin/sh\n{script}\n")).unwrap();
        let run = home.run(&Home::arguments(&emulator, &[])).exits(exit).stderr_has(printed);
        let refused =
            "error: the rendered document is not valid; nothing was created\nhelp: `mkimg validate` shows where";
        assert_eq!(run.stderr.contains(refused), exit == 1, "{run:?}");
        assert_eq!(home.count_bakes(), usize::from(exit == 0), "{run:?}");
    }
    emulator.holds(0, 2, "the valid ones");
}

/// A bake pins what the lock lacks, if the server can be reached; the droplet may reach it even if this machine cannot.
#[test]
fn a_lock_is_completed_before_the_bake() {
    let server = Server::with_files(&[("/tool", TOOL)]);
    let emulator = Emulator::quick(&[]);
    let home = with_artifact(&server.url("/tool"));
    let run = home.run(&Home::arguments(&emulator, &[])).success();
    assert!(run.stderr.contains("mkimg.lock was completed; commit it\n"), "{run:?}");
    let written = fs::read_to_string(home.path().join("mkimg.lock")).unwrap();
    assert!(written.contains(&sha256(TOOL)), "{written}");
    let again = home.run(&["bake", "--dry-run", "--api-url", &emulator.url]).exits(2);
    assert!(again.stderr.contains("already") && !again.stderr.contains("completed"), "{again:?}");
    assert_eq!(server.paths(), ["/tool"]);

    let home = with_artifact("http://127.0.0.1:9/tool");
    home.write_template(
        &fs::read_to_string(home.path().join("templates/image.yaml")).unwrap().replace("tested", "other"),
    );
    home.run(&Home::arguments(&emulator, &[]))
        .success()
        .stderr_has("warning: the lock could not be completed:\nerror: cannot download http://127.0.0.1:9/tool")
        .stderr_has("mkimg.lock does not pin http://127.0.0.1:9/tool");
    assert!(!home.path().join("mkimg.lock").exists());
}

#[test]
fn directories_of_artifacts_need_local_droplets() {
    let home = with_artifact("https://downloads.example/tool");
    fs::create_dir(home.path().join("downloads")).unwrap();
    fs::write(home.path().join("downloads/tool"), TOOL).unwrap();
    for option in [&["--artifacts", "downloads"][..], &["--stand-ins"]] {
        home.run(&[&["bake", "--api-url", "https://api.example"], option].concat())
            .exits(2)
            .stderr_has("error: --artifacts and --stand-ins work with local droplets only")
            .stderr_has("help: use --local, or put the files on a web server");
    }
    let emulator = Emulator::quick(&[]);
    // Without a pin, the file with the artifact's name is taken.
    let bake = Home::arguments(&emulator, &["--artifacts", "downloads"]);
    home.run(&bake).success().stderr_has("mkimg.lock does not pin tool: using the file in the directory");
    // With `--locked`, it is not.
    home.run(&[&bake[..], &["--locked"]].concat())
        .exits(2)
        .stderr_has("has no file named tool, and mkimg.lock does not pin");
    fs::write(home.path().join("mkimg.lock"), lock("https://downloads.example/tool", b"another")).unwrap();
    home.run(&bake).exits(2).stderr_has("downloads/tool has the wrong sha256: expected ");
    assert_eq!(home.count_bakes(), 1);
}

/// Whatever a bake with stubs prints or makes says that it is not for production.
#[test]
fn stubs_are_named_everywhere() {
    let home = with_artifact("https://downloads.example/tool");
    let emulator = Emulator::quick(&[]);
    let bake = Home::arguments(&emulator, &["--stand-ins", "--report", "report.json"]);
    let missing = "error: there are no stubs in ";
    home.run(&bake).exits(2).stderr_has(missing).stderr_has("help: this project has no fixtures/stand-ins/build");
    fs::create_dir_all(home.path().join("fixtures/stand-ins")).unwrap();
    fs::write(home.path().join("fixtures/stand-ins/build"), "").unwrap();
    home.run(&bake).exits(2).stderr_has(missing).stderr_has("help: build them in the project's directory: fixtures/");
    let stubs = home.path().join("target/stand-ins");
    fs::create_dir_all(&stubs).unwrap();
    fs::write(stubs.join("tool"), TOOL).unwrap();
    fs::write(stubs.join("mkimg.lock"), lock("https://downloads.example/tool", TOOL)).unwrap();
    home.run(&bake)
        .success()
        .stderr_has("warning: STUBS: this bake installs test programs instead of the real ones")
        .stdout_has("  STUBS: test programs instead of the real ones; not for production\n");
    assert_eq!(emulator.get("/v2/snapshots")["snapshots"][0]["tags"], json!(["mkimg:stand-ins"]));
    let report: Value = serde_json::from_str(&fs::read_to_string(home.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["stand_ins"], json!(true));
    // `mkimg resume` reads it from here.
    let bakes = home.path().join("state/mkimg/bakes");
    let journal = fs::read_dir(&bakes).unwrap().next().unwrap().unwrap().path().join("journal.jsonl");
    assert!(
        fs::read_to_string(&journal).unwrap().lines().next().unwrap().contains("\"stand_ins\":true"),
        "{journal:?}"
    );
    assert!(!home.path().join("mkimg.lock").exists(), "the project's own lock is not touched");
}

/// A bake goes on at the address that `--api-url` names, and `gc` at another API leaves its journal alone.
#[test]
fn a_bake_may_move_with_its_api() {
    let (home, state) = (Home::new(), tempfile::tempdir().unwrap());
    let options =
        ["--state", state.path().to_str().unwrap(), "--off-after", "200ms", "--latency", "create=10ms,power=10ms"];
    let fault = ["--fault", "DELETE /v2/tags/mkimg*/resources:403"];
    let mut emulator = Emulator::without_machines(&[&options[..], &fault].concat());
    assert_eq!(home.start(&emulator, &[]).end().0, 4);
    let bake = home.bake();
    let began_at = emulator.url.clone();
    emulator.kill();
    let other = Emulator::without_machines(&[]);
    home.run(&["gc", "--api-url", &other.url, &bake]).success().stdout_is("").stderr_has("nothing to destroy");
    assert_eq!(home.entries().last().unwrap(), "halted");
    let emulator = Emulator::without_machines(&options);
    let run = home.run(&["resume", &bake, "--api-url", &emulator.url]).success();
    let moved = format!("warning: the bake began at {began_at} and continues at {}\n", emulator.url);
    assert!(run.stderr.contains(&moved), "{run:?}");
    emulator.holds_the_product("resumed elsewhere");
    home.run(&["resume", &bake, "--local"]).exits(2).stderr_has("is done: snapshot");
}
