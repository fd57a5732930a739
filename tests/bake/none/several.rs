//! Several bakes with one command: one summary, the worst exit status, a journal for each, one Ctrl-C for all.

use super::project;
use crate::harness::{Emulator, Home, Process, until};

/// A template with variables for the image, the region and the name of the snapshot.
fn variable_project() -> Home {
    let template = "variables: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\n\
                    droplet: {image: '{{ image }}', region: '{{ region }}', size: '{{ size }}'}\n\
                    scripts: [scripts/*.sh]\n\
                    snapshot: {name: 'made-{{ image }}-{{ region }}'}\n";
    Home::with_template(template)
}

#[test]
fn each_combination_is_baked_and_there_is_one_summary() {
    let home = variable_project();
    let emulator = Emulator::without_machines(&["--off-after", "300ms"]);
    let matrix = ["--matrix", "image=debian-12-x64,ubuntu-24-04-x64", "--matrix", "region=nyc3,fra1"];
    let more = ["--parallel", "2", "--format", "json", "--report", "all.html"];
    let words = Home::arguments(&emulator, &[&more[..], &matrix].concat());
    let (exit, stdout, stderr) = home.run(&words).into_parts();
    assert_eq!(exit, 0, "{stderr}");
    let lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, events) = lines.split_last().unwrap();
    assert_eq!((summary["event"].as_str(), summary["exit"].as_u64()), (Some("summary"), Some(0)));
    let labels: Vec<&str> = summary["bakes"].as_array().unwrap().iter().map(|b| b["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["debian-12-x64 nyc3", "debian-12-x64 fra1", "ubuntu-24-04-x64 nyc3", "ubuntu-24-04-x64 fra1"]);
    assert!(events.iter().all(|event| event["bake"].is_string()), "every event says whose it is: {stdout}");
    assert_eq!(events.iter().filter(|event| event["event"] == "done").count(), 4);
    assert_eq!(home.count_bakes(), 4);
    let page = std::fs::read_to_string(home.path().join("all.html")).unwrap();
    assert!(page.contains("<h1>4 bakes</h1>") && page.contains("<h1>made-ubuntu-24-04-x64-fra1</h1>"), "{page}");
    // The second time all four names are taken, which is reported before anything is created.
    let (exit, _, stderr) = home.run(&words).into_parts();
    assert_eq!((exit, home.count_bakes()), (2, 4), "{stderr}");
    assert_eq!(stderr.matches("already").count(), 4, "{stderr}");
}

#[test]
fn several_templates_and_the_worst_exit_status() {
    let home = variable_project();
    let emulator = Emulator::without_machines(&["--off-after", "2s"]);
    let other = "droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\nsnapshot: {name: other}\n";
    std::fs::write(home.path().join("templates/other.yaml"), other).unwrap();
    let templates = ["templates/image.yaml", "templates/other.yaml"];
    let words = Home::arguments(&emulator, &[&["--report", "all.json"][..], &templates].concat());
    home.run(&words)
        .success()
        .stdout_has("2 of 2 done")
        .stdout_has("snapshot other (")
        .stderr_has("[other] provision:")
        .stderr_has("[image] provision:");
    let report = std::fs::read_to_string(home.path().join("all.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["bakes"].as_array().unwrap().len(), 2);
    // A template that cannot be read: nothing is created for the other one either.
    std::fs::write(home.path().join("templates/other.yaml"), "droplet: {").unwrap();
    let (exit, ..) = home.run(&words).into_parts();
    assert_eq!((exit, home.count_bakes()), (2, 2));
}

#[test]
fn failures_are_in_the_summary_and_in_the_exit_status() {
    let home = variable_project();
    let emulator = Emulator::without_machines(&[]);
    let words = Home::arguments(&emulator, &["--timeout-provision", "1s", "--matrix", "region=nyc3,fra1"]);
    home.run(&words).exits(3).stdout_has("0 of 2 done").stdout_has("fra1  failed       provision:");
    let kept: Vec<&str> = words.into_iter().chain(["--on-error", "keep"]).collect();
    let (exit, stdout, stderr) = home.run(&kept).into_parts();
    assert_eq!(exit, 4, "{stderr}");
    assert!(stdout.contains("RESOURCES REMAIN") && stderr.contains("[nyc3] still exists: droplet"), "{stdout}{stderr}");
    assert_eq!(stderr.matches("remove it: mkimg gc").count(), 2, "{stderr}");
    assert_eq!(stderr.matches("https://cloud.digitalocean.com/droplets/").count(), 2, "{stderr}");
}

#[test]
fn names_that_clash_are_seen_before_anything_is_created() {
    let home = project();
    let emulator = Emulator::without_machines(&[]);
    std::fs::copy(home.path().join("templates/image.yaml"), home.path().join("templates/again.yaml")).unwrap();
    let words = ["bake", "--api-url", &emulator.url, "templates/image.yaml", "templates/again.yaml", "--dry-run"];
    home.run(&words).exits(2).stderr_has("two bakes would make a snapshot named `tested`");
}

#[test]
fn a_dry_run_shows_each_plan_with_its_price() {
    let home = variable_project();
    let emulator = Emulator::without_machines(&[]);
    let words = ["bake", "--api-url", &emulator.url, "--dry-run", "--matrix", "region=nyc3,fra1"];
    let (exit, stdout, stderr) = home.run(&words).into_parts();
    assert_eq!((exit, home.count_bakes()), (0, 0), "{stderr}");
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
    let home = variable_project();
    let emulator = Emulator::without_machines(&[]);
    let words = Home::arguments(
        &emulator,
        &["--parallel", "2", "--matrix", "size=s-1vcpu-1gb", "--matrix", "region=nyc3,fra1,ams3"],
    );
    let bake = Process::spawn(&mut home.command(&words));
    until("two bakes at a time", || (bake.output().matches("provision:").count() == 2).then_some(()));
    bake.signal("TERM");
    let (exit, output) = bake.end();
    assert_eq!(exit, 130, "{output}");
    assert_eq!(output.matches("interrupted  nothing remains").count(), 2, "{output}");
    assert!(output.contains("ams3  interrupted  before it began"), "{output}");
    let (_, left, _) = home.run(&["bakes", "--api-url", &emulator.url, "--format", "json"]).into_parts();
    let left: serde_json::Value = serde_json::from_str(&left).unwrap();
    assert_eq!(left["left"].as_array().map(Vec::len), Some(0), "{left}");
}
