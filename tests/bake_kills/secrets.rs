//! No secret of a bake is in anything that it says, writes, or hands to another process: after a bake that is done, one
//! that failed and one that was interrupted.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::ground::{Emulator, Home, TOKEN, until};

const PASSWORD: &str = "pass/word+of<the>\"database&";

/// What is looked for: the secret itself, escaped, and in base64 wherever it begins there.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    forms.extend(secret.lines().filter(|line| line.len() > 20 && !line.starts_with("---")).map(str::to_owned));
    let json = Value::from(secret).to_string();
    forms.push(json[1..json.len() - 1].to_owned());
    let percent =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    forms.push(secret.bytes().map(percent).collect());
    forms.push(secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"));
    for before in 0..3 {
        let bytes = [&b"xy"[..before], secret.as_bytes()].concat();
        for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            forms.push(text[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned());
        }
    }
    forms
}

fn clean(text: &str, secrets: &[(String, String)], place: &str) {
    for (name, secret) in secrets {
        for form in forms(secret) {
            assert!(!text.contains(&form), "the {name} is in {place}, as {form}:\n{text}");
        }
    }
}

fn clean_folder(folder: &Path, secrets: &[(String, String)]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            clean_folder(&path, secrets);
        } else {
            clean(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()), secrets, &path.display().to_string());
        }
    }
}

/// The secrets that only this bake has: its status channel's token and key.
fn own_secrets(home: &Home) -> Vec<(String, String)> {
    let text = until("secrets.json", || {
        let path = home.folder()?.join("secrets.json");
        assert_eq!(std::fs::metadata(&path).ok()?.permissions().mode() & 0o777, 0o600);
        std::fs::read_to_string(path).ok().filter(|text| text.ends_with('}'))
    });
    let disk: Value = serde_json::from_str(&text).unwrap();
    let made: Value = serde_json::from_str(disk["build"]["credentials"].as_str().unwrap()).unwrap();
    let named = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    assert!(named("key").len() > 40 && named("token").len() > 20);
    vec![("channel's token".into(), named("token")), ("channel's key".into(), named("key"))]
}

fn bake(scenario: &str, more: &[&str], interrupted: bool, expected: i32) -> String {
    let home = Home::new();
    let path = home.path().join("scenario.yaml");
    std::fs::write(&path, scenario).unwrap();
    let emulator = Emulator::start(&["--backend", "scripted", "--scenario", path.to_str().unwrap()]);
    let mut arguments = vec!["-vv", "bake", "--api-url", &emulator.url, "--poll-interval", "50ms"];
    arguments.extend(more);
    let mut command = home.command(&arguments);
    command.env("MKIMG_VAR_PASSWORD", PASSWORD);
    let mut baking = home.spawn(&mut command);
    let mut secrets = own_secrets(&home);
    secrets.extend([("API token".into(), TOKEN.into()), ("sensitive variable".into(), PASSWORD.into())]);
    let arguments = std::fs::read(format!("/proc/{}/cmdline", baking.id())).unwrap();
    clean(&String::from_utf8_lossy(&arguments), &secrets, "its arguments");
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", baking.id())).unwrap_or_default();
    assert_eq!(children.trim(), "", "a bake at an API starts no programs");
    if interrupted {
        baking.until_said("provision: following");
        baking.signal("INT");
    }
    let (exit, said) = baking.end();
    assert_eq!(exit, expected, "{said}");
    clean(&said, &secrets, "what is said");
    clean_folder(&home.path().join("state"), &secrets);
    for report in ["bake.html", "bake.json"] {
        if let Ok(text) = std::fs::read_to_string(home.path().join(report)) {
            clean(&text, &secrets, report);
        }
    }
    assert!(!home.folder().unwrap().join("secrets.json").exists());
    said
}

/// A script that prints the password in its log, its name, its message and the check: as it is, and in base64.
fn telltale(end: &str) -> String {
    let told =
        Value::from(format!("connecting with {PASSWORD} ({})\n", STANDARD_NO_PAD.encode(format!("app:{PASSWORD}"))));
    let finding = Value::from(format!("the password is {PASSWORD}"));
    format!(
        "boot: 50ms\nsteps:\n  - {{name: one, takes: 300ms, log: {told}}}\n  - {{name: two, takes: 100ms, log: {told}{end}}}\ncheck: {{passed: 1, warnings: [{finding}]}}\n"
    )
}

#[test]
fn a_bake_that_is_done_tells_no_secret() {
    for more in [&["--report", "bake.html"][..], &["--report", "bake.json", "--format", "json"]] {
        let said = bake(&telltale(""), more, false, 0);
        assert!(said.contains("[redacted]"), "the droplet did tell it: {said}");
    }
}

#[test]
fn a_bake_that_fails_tells_no_secret() {
    let message = Value::from(format!("no access with {PASSWORD}"));
    for more in [&["--report", "bake.html"][..], &["--report", "bake.json", "--format", "json"]] {
        let said = bake(&telltale(&format!(", fails: {message}, exit: 3")), more, false, 3);
        assert!(said.contains("no access with [redacted]"), "{said}");
    }
}

#[test]
fn a_bake_that_is_interrupted_tells_no_secret() {
    bake(&telltale("").replace("300ms", "60s"), &["--report", "bake.html"], true, 130);
}
