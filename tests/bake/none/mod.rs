//! `mkimg bake` as a process against `mkimg emulate --backend none` as another: exit statuses and what is said.

mod interrupted;
mod several;
mod token;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const MKIMG: &str = env!("CARGO_BIN_EXE_mkimg");
const TOKEN: &str = "secret-token-0123456789";

/// An emulator that ends with the test.
struct Emulator {
    process: Child,
    url: String,
    /// What it makes for itself; it is killed and cannot take it away.
    _temporary: tempfile::TempDir,
}

impl Emulator {
    fn start(off_after: Option<&str>) -> Self {
        Self::with_faults(off_after, &[])
    }

    fn with_faults(off_after: Option<&str>, faults: &[&str]) -> Self {
        let mut command = Command::new(MKIMG);
        let temporary = tempfile::tempdir().expect("a folder");
        command.args(["emulate", "--backend", "none", "--token", TOKEN]).env("TMPDIR", temporary.path());
        if let Some(after) = off_after {
            command.args(["--off-after", after]);
        }
        command.args(faults.iter().flat_map(|fault| ["--fault", fault]));
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the emulator starts");
        let mut url = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut url).expect("a line");
        Self { process, url: url.trim().to_owned(), _temporary: temporary }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn project(directory: &Path) {
    for folder in ["templates", "scripts"] {
        std::fs::create_dir(directory.join(folder)).unwrap();
    }
    let template = "droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\nscripts: [scripts/*.sh]\nsnapshot: {name: 'tested'}\nallow: [{code: MK383, reason: this base is upgraded by nobody}]\n";
    std::fs::write(directory.join("templates/image.yaml"), template).unwrap();
    std::fs::write(directory.join("scripts/01-nothing.sh"), "#!/bin/sh\ntrue\n").unwrap();
}

fn command(home: &Path, token: bool, arguments: &[&str]) -> Command {
    let mut command = Command::new(MKIMG);
    command.args(["-C", home.to_str().unwrap()]).args(arguments);
    for name in ["DIGITALOCEAN_API_TOKEN", "DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN", "DIGITALOCEAN_API_URL"] {
        command.env_remove(name);
    }
    command.env("HOME", home).env("XDG_STATE_HOME", home.join("state")).env("XDG_CONFIG_HOME", home.join("config"));
    if token {
        command.env("DIGITALOCEAN_API_TOKEN", TOKEN);
    }
    command
}

fn mkimg(home: &Path, token: bool, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(home, token, arguments).output().expect("mkimg runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("an exit status"), text(stdout), text(stderr))
}

#[test]
fn a_bake_ends_with_a_snapshot_a_report_and_no_secret_on_disk() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let emulator = Emulator::start(Some("1s"));
    let arguments = [
        "bake",
        "--marker",
        "poweroff",
        "--api-url",
        &emulator.url,
        "--poll-interval",
        "50ms",
        "--format",
        "json",
        "--report",
        "bake.html",
    ];
    let (exit, stdout, stderr) = mkimg(home.path(), true, &arguments);
    assert_eq!(exit, 0, "{stderr}");
    let done: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!((done["event"].as_str(), done["snapshot"]["name"].as_str()), (Some("done"), Some("tested")));
    assert!(stderr.contains("token from DIGITALOCEAN_API_TOKEN"), "{stderr}");
    let journal = home.path().join("state/mkimg/bakes").join(done["bake"].as_str().unwrap()).join("journal.jsonl");
    let journal = std::fs::read_to_string(journal).unwrap();
    assert!(journal.contains("\"entry\":\"committed\""), "{journal}");
    let page = std::fs::read_to_string(home.path().join("bake.html")).unwrap();
    assert!(page.contains("<h1>tested</h1>"));
    for (text, what) in [(&stdout, "stdout"), (&stderr, "stderr"), (&journal, "journal"), (&page, "report")] {
        assert!(!text.contains(TOKEN), "the token is in {what}");
    }
    // The name is taken now: the next bake stops before it creates anything.
    let (exit, _, stderr) = mkimg(home.path(), true, &arguments);
    assert_eq!(exit, 2);
    assert!(stderr.contains("there is a snapshot named `tested` already"), "{stderr}");
}

#[test]
fn without_a_token_both_ways_are_named() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let (exit, _, stderr) = mkimg(home.path(), false, &["bake"]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("DIGITALOCEAN_API_TOKEN") && stderr.contains("--local"), "{stderr}");
}

#[test]
fn a_missing_template_comes_before_a_missing_token() {
    let home = tempfile::tempdir().unwrap();
    let (exit, _, stderr) = mkimg(home.path(), false, &["bake", "--dry-run"]);
    assert!(exit == 2 && stderr.contains("template") && !stderr.contains("TOKEN"), "{stderr}");
}

#[test]
fn a_token_is_not_sent_in_the_clear() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let (exit, _, stderr) = mkimg(home.path(), true, &["bake", "--api-url", "http://api.example"]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("https://") && !stderr.contains(TOKEN), "{stderr}");
}

#[test]
fn a_droplet_that_never_answers_is_given_up_and_destroyed() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let emulator = Emulator::start(None);
    let (exit, _, stderr) = mkimg(
        home.path(),
        true,
        &["bake", "--api-url", &emulator.url, "--timeout-provision", "2s", "--poll-interval", "100ms", "--no-verify"],
    );
    assert_eq!(exit, 3, "{stderr}");
    assert!(stderr.contains("marker took longer than 2s") && stderr.contains("--timeout-provision"), "{stderr}");
    assert!(stderr.contains("no resources remain"), "{stderr}");
    let (exit, stdout, stderr) = mkimg(home.path(), true, &["gc", "--api-url", &emulator.url, "--dry-run"]);
    assert_eq!((exit, stdout.as_str()), (0, ""), "{stderr}");
}

#[test]
fn what_is_kept_is_named_and_gc_removes_it() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let emulator = Emulator::start(None);
    let arguments = [
        "bake",
        "--api-url",
        &emulator.url,
        "--timeout-provision",
        "1s",
        "--poll-interval",
        "100ms",
        "--no-verify",
        "--on-error",
        "keep",
    ];
    let (exit, _, stderr) = mkimg(home.path(), true, &arguments);
    assert_eq!(exit, 4, "{stderr}");
    let command = stderr
        .lines()
        .find_map(|line| line.strip_prefix("help: remove it: mkimg "))
        .expect("the command that removes it");
    // Others may be at work: unnamed, it stays until its deadline.
    let (exit, stdout, _) = mkimg(home.path(), true, &["gc", "--api-url", &emulator.url]);
    assert_eq!((exit, stdout.as_str()), (0, ""));
    let words: Vec<&str> = command.split_whitespace().collect();
    let (exit, stdout, stderr) = mkimg(home.path(), true, &words);
    assert_eq!(exit, 0, "{stderr}");
    assert!(stdout.contains("destroyed droplet"), "{stdout}");
}

#[test]
fn artifacts_of_a_folder_are_checked_before_anything_is_created() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let emulator = Emulator::start(None);
    let template = "droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\nartifacts: [{url: 'https://downloads.example/tool', to: /usr/local/bin/tool}]\nsnapshot: {name: tested}\n";
    std::fs::write(home.path().join("templates/image.yaml"), template).unwrap();
    let lock = format!(
        "version: 1\nartifacts:\n  - url: \"https://downloads.example/tool\"\n    sha256: \"{}\"\n    size: 4\n",
        "a".repeat(64)
    );
    std::fs::write(home.path().join("mkimg.lock"), lock).unwrap();
    std::fs::create_dir(home.path().join("downloads")).unwrap();
    let bake = ["bake", "--api-url", &emulator.url, "--artifacts", "downloads"];
    let (exit, _, stderr) = mkimg(home.path(), true, &bake);
    assert_eq!(exit, 2, "{stderr}");
    assert!(stderr.contains("has no file with the sha256 aaaa"), "{stderr}");
    std::fs::write(home.path().join("downloads/tool"), "tool").unwrap();
    let (exit, _, stderr) = mkimg(home.path(), true, &bake);
    assert_eq!(exit, 2, "{stderr}");
    assert!(stderr.contains("tool has the wrong sha256: expected aaaa"), "{stderr}");
}

#[test]
fn a_wrong_token_is_explained() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let emulator = Emulator::start(None);
    std::fs::create_dir_all(home.path().join("config/doctl")).unwrap();
    std::fs::write(home.path().join("config/doctl/config.yaml"), "access-token: wrong-token-1\ncontext: default\n")
        .unwrap();
    let (exit, _, stderr) = mkimg(home.path(), false, &["bake", "--api-url", &emulator.url]);
    assert_eq!(exit, 2, "{stderr}");
    assert!(stderr.contains("401") && stderr.contains("not valid") && !stderr.contains("wrong-token-1"), "{stderr}");
}
