//! Several bakes of one command: one summary, the worst exit status, a journal each, one Ctrl-C.

use std::path::Path;

use super::{Emulator, command, mkimg, project};

/// A template whose image, region and snapshot's name are variables.
fn variable_project(home: &Path) {
    project(home);
    let template = "variables: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\n\
                    droplet: {image: '{{ image }}', region: '{{ region }}', size: '{{ size }}'}\n\
                    scripts: [scripts/*.sh]\n\
                    snapshot: {name: 'made-{{ image }}-{{ region }}'}\n";
    std::fs::write(home.join("templates/image.yaml"), template).unwrap();
}

fn bakes(home: &Path) -> usize {
    std::fs::read_dir(home.join("state/mkimg/bakes")).map_or(0, Iterator::count)
}

#[test]
fn each_combination_is_baked_and_there_is_one_summary() {
    let home = tempfile::tempdir().unwrap();
    variable_project(home.path());
    let emulator = Emulator::start(Some("300ms"));
    let common = ["--marker", "poweroff", "--api-url", &emulator.url, "--poll-interval", "100ms"];
    let matrix = ["--matrix", "image=debian-12-x64,ubuntu-24-04-x64", "--matrix", "region=nyc3,fra1"];
    let mut words = vec!["bake", "--parallel", "2", "--format", "json", "--report", "all.html"];
    words.extend(common.iter().chain(&matrix));
    let (exit, stdout, stderr) = mkimg(home.path(), true, &words);
    assert_eq!(exit, 0, "{stderr}");
    let lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, events) = lines.split_last().unwrap();
    assert_eq!((summary["event"].as_str(), summary["exit"].as_u64()), (Some("summary"), Some(0)));
    let labels: Vec<&str> = summary["bakes"].as_array().unwrap().iter().map(|b| b["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["debian-12-x64 nyc3", "debian-12-x64 fra1", "ubuntu-24-04-x64 nyc3", "ubuntu-24-04-x64 fra1"]);
    assert!(events.iter().all(|event| event["bake"].is_string()), "every event says whose it is: {stdout}");
    assert_eq!(events.iter().filter(|event| event["event"] == "done").count(), 4);
    assert_eq!(bakes(home.path()), 4);
    let page = std::fs::read_to_string(home.path().join("all.html")).unwrap();
    assert!(page.contains("<h1>4 bakes</h1>") && page.contains("<h1>made-ubuntu-24-04-x64-fra1</h1>"), "{page}");
    // Again: all four names are taken, which is said before anything is created.
    let (exit, _, stderr) = mkimg(home.path(), true, &words);
    assert_eq!((exit, bakes(home.path())), (2, 4), "{stderr}");
    assert_eq!(stderr.matches("already").count(), 4, "{stderr}");
}

#[test]
fn several_templates_and_the_worst_exit_status() {
    let home = tempfile::tempdir().unwrap();
    variable_project(home.path());
    let emulator = Emulator::start(Some("2s"));
    let other = "droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\nsnapshot: {name: other}\n";
    std::fs::write(home.path().join("templates/other.yaml"), other).unwrap();
    let templates = ["templates/image.yaml", "templates/other.yaml"];
    let common = ["--marker", "poweroff", "--api-url", &emulator.url, "--poll-interval", "100ms"];
    let mut words = vec!["bake", "--report", "all.json"];
    words.extend(templates.iter().chain(&common));
    let (exit, stdout, stderr) = mkimg(home.path(), true, &words);
    assert_eq!(exit, 0, "{stderr}");
    assert!(stdout.contains("2 of 2 done") && stdout.contains("snapshot other ("), "{stdout}");
    assert!(stderr.contains("[other] provision:") && stderr.contains("[image] provision:"), "{stderr}");
    let report = std::fs::read_to_string(home.path().join("all.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["bakes"].as_array().unwrap().len(), 2);
    // A template that cannot be read: nothing is created for the other one either.
    std::fs::write(home.path().join("templates/other.yaml"), "droplet: {").unwrap();
    let (exit, ..) = mkimg(home.path(), true, &words);
    assert_eq!((exit, bakes(home.path())), (2, 2));
}

#[test]
fn what_fails_is_in_the_summary_and_in_the_exit_status() {
    let home = tempfile::tempdir().unwrap();
    variable_project(home.path());
    let emulator = Emulator::start(None);
    let words = [
        "bake",
        "--marker",
        "poweroff",
        "--api-url",
        &emulator.url,
        "--poll-interval",
        "100ms",
        "--timeout-provision",
        "1s",
        "--matrix",
        "region=nyc3,fra1",
    ];
    let (exit, stdout, stderr) = mkimg(home.path(), true, &words);
    assert_eq!(exit, 3, "{stderr}");
    assert!(stdout.contains("0 of 2 done") && stdout.contains("fra1  failed       provision:"), "{stdout}");
    let kept: Vec<&str> = words.into_iter().chain(["--on-error", "keep"]).collect();
    let (exit, stdout, stderr) = mkimg(home.path(), true, &kept);
    assert_eq!(exit, 4, "{stderr}");
    assert!(stdout.contains("RESOURCES REMAIN") && stderr.contains("[nyc3] still exists: droplet"), "{stdout}{stderr}");
    assert_eq!(stderr.matches("remove it: mkimg gc").count(), 2, "{stderr}");
    assert_eq!(stderr.matches("https://cloud.digitalocean.com/droplets/").count(), 2, "{stderr}");
}

#[test]
fn names_that_clash_are_seen_before_anything_is_created() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let emulator = Emulator::start(None);
    std::fs::copy(home.path().join("templates/image.yaml"), home.path().join("templates/again.yaml")).unwrap();
    let words = ["bake", "--api-url", &emulator.url, "templates/image.yaml", "templates/again.yaml", "--dry-run"];
    let (exit, _, stderr) = mkimg(home.path(), true, &words);
    assert_eq!(exit, 2);
    assert!(stderr.contains("two bakes would make a snapshot named `tested`"), "{stderr}");
}

#[test]
fn a_dry_run_shows_each_plan_with_its_price() {
    let home = tempfile::tempdir().unwrap();
    variable_project(home.path());
    let emulator = Emulator::start(None);
    let words = ["bake", "--api-url", &emulator.url, "--dry-run", "--matrix", "region=nyc3,fra1"];
    let (exit, stdout, stderr) = mkimg(home.path(), true, &words);
    assert_eq!((exit, bakes(home.path())), (0, 0), "{stderr}");
    assert!(stdout.contains("[nyc3]\n") && stdout.contains("[fra1]\n"), "{stdout}");
    assert_eq!(
        stdout.matches("an hour ($6.00 a month); snapshot $0.06 a GB and month, at most $1.50").count(),
        2,
        "{stdout}"
    );
    assert_eq!(stdout.matches("(estimate)").count(), 2);
}

#[cfg(unix)]
#[test]
fn one_stop_cleans_up_all_of_them() {
    let home = tempfile::tempdir().unwrap();
    variable_project(home.path());
    let emulator = Emulator::start(None);
    let words = [
        "bake",
        "--marker",
        "poweroff",
        "--api-url",
        &emulator.url,
        "--poll-interval",
        "100ms",
        "--parallel",
        "2",
        "--matrix",
        "size=s-1vcpu-1gb",
        "--matrix",
        "region=nyc3,fra1,ams3",
    ];
    let mut bake = command(home.path(), true, &words);
    let (out, err) = (home.path().join("out"), home.path().join("err"));
    let file = |path: &Path| std::fs::File::create(path).unwrap();
    let mut bake = bake.stdout(file(&out)).stderr(file(&err)).spawn().unwrap();
    let said = || std::fs::read_to_string(&err).unwrap();
    for _ in 0..600 {
        if said().matches("provision:").count() == 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(said().matches("provision:").count(), 2, "two at a time: {}", said());
    let pid = rustix::process::Pid::from_child(&bake);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = bake.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{}", said());
    let stdout = std::fs::read_to_string(&out).unwrap();
    assert_eq!(stdout.matches("interrupted  nothing remains").count(), 2, "{stdout}");
    assert!(stdout.contains("ams3  interrupted  before it began"), "{stdout}");
    let (_, left, _) = mkimg(home.path(), true, &["bakes", "--api-url", &emulator.url, "--format", "json"]);
    let left: serde_json::Value = serde_json::from_str(&left).unwrap();
    assert_eq!(left["left"].as_array().map(Vec::len), Some(0), "{left}");
}
