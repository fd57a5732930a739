//! An emulator whose disk is full: its answers, and that destroying a droplet frees space again.

use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Emulator, MKIMG, TOKEN};

fn create(emulator: &Emulator) -> (u16, Value) {
    let body = json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64",
        "user_data": "x".repeat(60_000), "tags": ["a"]});
    emulator.send(Method::POST, "/v2/droplets", Some(body))
}

#[test]
fn on_a_full_disk_nothing_is_made_and_destroying_still_works() {
    let mounted = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this test mounts a file system, and this user may not");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o size=3m none \"$0\"; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script]).arg(folder.path());
    command.args([MKIMG, "emulate", "--backend", "none", "--token", TOKEN, "--state"]);
    let emulator = Emulator::start_command(command.arg(folder.path().join("cloud")), Stdio::null());

    let mut made = 0;
    let refused = loop {
        match create(&emulator) {
            (202, _) => made += 1,
            refused => break refused,
        }
        assert!(made < 25, "the disk is never full");
    };
    assert_eq!((refused.0, &refused.1["id"]), (500, &json!("server_error")));
    let message = refused.1["message"].as_str().expect("a message");
    assert!(message.contains("No space left on device") && message.contains("destroy"), "{message}");
    // A droplet cannot be destroyed while an event is under way.
    emulator.account();

    let (status, answer) = emulator.send(Method::DELETE, "/v2/droplets?tag_name=a", None);
    assert_eq!(status, 204, "{answer}");
    assert_eq!(emulator.get("/v2/droplets")["meta"]["total"], 0);
    assert_eq!(create(&emulator).0, 202);
}
