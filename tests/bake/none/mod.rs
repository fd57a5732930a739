//! `mkimg bake` against `mkimg emulate --backend none`: exit statuses and messages.

mod interrupted;
mod prepared;
mod printed;
mod several;
mod token;

use crate::harness::{Emulator, Home, TOKEN};

/// A project whose snapshot has no tags and no second region.
const TEMPLATE: &str = "droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\nscripts: [scripts/*.sh]\nsnapshot: {name: 'tested'}\nallow: [{code: MK383, reason: this base is upgraded by nobody}]\n";

fn project() -> Home {
    Home::with_template(TEMPLATE)
}

#[test]
fn a_bake_ends_with_a_snapshot_a_report_and_no_secret_on_disk() {
    let home = project();
    let emulator = Emulator::without_machines(&["--off-after", "1s"]);
    let arguments = Home::arguments(&emulator, &["--format", "json", "--report", "bake.html"]);
    let (exit, stdout, stderr) = home.run(&arguments).into_parts();
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
    home.run(&arguments).exits(2).stderr_has("there is a snapshot named `tested` already");
}

#[test]
fn without_a_token_both_ways_are_named() {
    let home = project();
    home.run_without_token(&["bake"]).exits(2).stderr_has("DIGITALOCEAN_API_TOKEN").stderr_has("--local");
}

#[test]
fn a_missing_template_comes_before_a_missing_token() {
    let home = project();
    std::fs::remove_dir_all(home.path().join("templates")).unwrap();
    let (exit, _, stderr) = home.run_without_token(&["bake", "--dry-run"]).into_parts();
    assert!(exit == 2 && stderr.contains("template") && !stderr.contains("TOKEN"), "{stderr}");
}

#[test]
fn a_token_is_not_sent_in_the_clear() {
    let home = project();
    let (exit, _, stderr) = home.run(&["bake", "--api-url", "http://api.example"]).into_parts();
    assert_eq!(exit, 2);
    assert!(stderr.contains("https://") && !stderr.contains(TOKEN), "{stderr}");
}

#[test]
fn a_droplet_that_never_answers_is_given_up_and_destroyed() {
    let home = project();
    let emulator = Emulator::without_machines(&[]);
    home.run(&[
        "bake", "--api-url", &emulator.url, "--timeout-provision", "2s", "--poll-interval", "100ms", "--no-verify",
    ])
    .exits(3)
    .stderr_has("marker took longer than 2s")
    .stderr_has("--timeout-provision")
    .stderr_has("no resources remain");
    home.run(&["gc", "--api-url", &emulator.url, "--dry-run"]).success().stdout_is("");
}

#[test]
fn kept_resources_are_named_and_removed_by_gc() {
    let home = project();
    let emulator = Emulator::without_machines(&[]);
    let arguments = [
        "bake", "--api-url", &emulator.url, "--timeout-provision", "1s", "--poll-interval", "100ms", "--no-verify",
        "--on-error", "keep",
    ];
    let (exit, _, stderr) = home.run(&arguments).into_parts();
    assert_eq!(exit, 4, "{stderr}");
    let command = stderr
        .lines()
        .find_map(|line| line.strip_prefix("help: remove it: mkimg "))
        .expect("the command that removes it");
    // Another machine may be using it: unless gc names the bake, the droplet stays until its deadline.
    home.run(&["gc", "--api-url", &emulator.url]).success().stdout_is("");
    let words: Vec<&str> = command.split_whitespace().collect();
    home.run(&words).success().stdout_has("destroyed droplet");
}

#[test]
fn artifacts_of_a_folder_are_checked_before_anything_is_created() {
    let home = project();
    let emulator = Emulator::without_machines(&[]);
    let template = "droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\nartifacts: [{url: 'https://downloads.example/tool', to: /usr/local/bin/tool}]\nsnapshot: {name: tested}\n";
    std::fs::write(home.path().join("templates/image.yaml"), template).unwrap();
    let lock = format!(
        "version: 1\nartifacts:\n  - url: \"https://downloads.example/tool\"\n    sha256: \"{}\"\n    size: 4\n",
        "a".repeat(64)
    );
    std::fs::write(home.path().join("mkimg.lock"), lock).unwrap();
    std::fs::create_dir(home.path().join("downloads")).unwrap();
    let bake = ["bake", "--api-url", &emulator.url, "--artifacts", "downloads"];
    home.run(&bake).exits(2).stderr_has("has no file with the sha256 aaaa");
    std::fs::write(home.path().join("downloads/tool"), "tool").unwrap();
    home.run(&bake).exits(2).stderr_has("tool has the wrong sha256: expected aaaa");
}

#[test]
fn a_wrong_token_is_explained() {
    let home = project();
    let emulator = Emulator::without_machines(&[]);
    std::fs::create_dir_all(home.path().join("config/doctl")).unwrap();
    std::fs::write(home.path().join("config/doctl/config.yaml"), "access-token: wrong-token-1\ncontext: default\n")
        .unwrap();
    let (exit, _, stderr) = home.run_without_token(&["bake", "--api-url", &emulator.url]).into_parts();
    assert_eq!(exit, 2, "{stderr}");
    assert!(stderr.contains("401") && stderr.contains("not valid") && !stderr.contains("wrong-token-1"), "{stderr}");
}
