//! All that a bake prints, for people and for programs. The droplets are scripted: everything has happened when they are asked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::TEMPLATE;
use crate::harness::{Emulator, Home};

const PASSES: &str = "steps:\n  - {name: packages, log: \"12 packages installed\\n\"}\n  \
                      - {name: script 01-a.sh, log: \"one\\ntwo\\n\"}\ncheck: {passed: 9, warnings: [no swap]}\n";
const FAILS: &str = "steps:\n  - {name: packages}\n  \
                     - {name: script 01-a.sh, log: \"one\\n\", fails: exit status 3, exit: 3}\n  \
                     - {name: script 02-b.sh}\ncheck: {passed: 9}\n";

/// A home with a project whose snapshot has a tag and a second region, and an emulator whose droplets follow the scenario.
fn home(scenario: &str) -> (Home, Emulator) {
    let regions = TEMPLATE.replace("{name: 'tested'}", "{name: tested, tags: [release], regions: [fra1]}");
    let home = Home::with_template(&regions);
    let file = home.path().join("scenario.yaml");
    std::fs::write(&file, scenario).unwrap();
    let latency = "create=10ms,power=10ms,snapshot=10ms,transfer=10ms";
    let options = ["--backend", "scripted", "--scenario", file.to_str().unwrap(), "--latency", latency];
    let emulator = Emulator::start(&options);
    (home, emulator)
}

fn bake(home: &Home, emulator: &Emulator, more: &[&str]) -> (i32, String, String) {
    let words = [&["bake", "--api-url", &emulator.url, "--poll-interval", "20ms"], more].concat();
    let (exit, stdout, stderr) = home.run(&words).into_parts();
    // Numbers in JSON need not be strings.
    let stdout = if more.contains(&"json") { stdout } else { plain(home, emulator, &stdout) };
    (exit, stdout, plain(home, emulator, &stderr))
}

/// Replaces what differs from run to run: times, the home, the bake, addresses, and the numbers of the API's resources by
/// their order.
fn plain(home: &Home, emulator: &Emulator, text: &str) -> String {
    let mut text = text.replace(home.path().to_str().unwrap(), "HOME").replace(&emulator.url, "API");
    for bake in std::fs::read_dir(home.bakes()).unwrap() {
        text = text.replace(bake.unwrap().file_name().to_str().unwrap(), "BAKE");
    }
    let mut numbers = BTreeMap::new();
    let mut out = String::new();
    for line in text.lines() {
        // "   0.1s ", "  1m05s "
        let time = line.get(..8).filter(|time| time.trim_start().starts_with(|c: char| c.is_ascii_digit()));
        let mut rest = if time.is_some_and(|time| time.ends_with("s ")) { &line[8..] } else { line };
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let number: String = rest[at..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            out.push_str(&rest[..at]);
            rest = &rest[at + number.len()..];
            if number.starts_with("127.") {
                out.push_str("ADDRESS");
            } else if number.len() == 9 && !number.contains('.') {
                let next = numbers.len() + 1;
                out.push_str(&format!("#{}", numbers.entry(number).or_insert(next)));
            } else {
                out.push_str(&number);
            }
        }
        out.push_str(rest);
        out.push('\n');
    }
    out
}

fn of_last_line(home: &Home, emulator: &Emulator, stdout: &str) -> Value {
    serde_json::from_str(&plain(home, emulator, stdout.lines().last().unwrap())).unwrap()
}

const BEGIN: &str = "note: account emulator@example.invalid (team DigitalOcean emulator), token from DIGITALOCEAN_API_TOKEN\n\
                     note: bake BAKE, journal in HOME/state/mkimg/bakes/BAKE\n";

#[test]
fn people_see_each_stage_step_and_line_of_the_log() {
    let (home, emulator) = home(PASSES);
    let (exit, stdout, stderr) = bake(&home, &emulator, &["--verify"]);
    let steps = "  packages: passed (0.0s)\n  script 01-a.sh: passed (0.0s)\n  check 99-img-check.sh: passed (0.0s)\n  \
                 | packages: 12 packages installed\n  | script 01-a.sh: one\n  | script 01-a.sh: two\n  \
                 | check 99-img-check.sh: [WARN] no swap\n  \
                 image check: 9 passed, 1 warnings, 0 failed\n    warn: no swap\n";
    let expected = format!(
        "{BEGIN}create: build droplet: nyc3, s-1vcpu-1gb, image debian-12-x64\n\
         boot: waiting until build droplet #1 is active\n  build droplet #1 at ADDRESS\n\
         provision: following build droplet #1 at ADDRESS\n{steps}\
         power off: waiting until droplet #1 is off\n\
         snapshot: snapshot `tested` of droplet #1\n\
         tag: tagging snapshot #2\n\
         transfer: to fra1\n  snapshot #2 is in fra1\n\
         destroy: destroying droplet #1\n\
         verify: a new droplet from snapshot #2\n\
         verify: verification droplet: nyc3, s-1vcpu-1gb, image #2\n\
         verify: waiting until verification droplet #3 is active\n  verification droplet #3 at ADDRESS\n\
         verify: following verification droplet #3 at ADDRESS\n{steps}\
         verify: destroying droplet #3\n\
         commit: snapshot #2 stays\n"
    );
    assert_eq!((exit, stderr), (0, expected));
    let (result, cost) = stdout.split_at(stdout.find("  baked in ").unwrap());
    assert_eq!(
        result,
        "snapshot tested (#1), 0.15 GB, in fra1, nyc3\n  image check: 9 passed, 1 warnings, 0 failed\n    warn: no swap\n  \
         verified: an instance of it was started and checked\n"
    );
    assert!(cost.contains("s, ") && cost.ends_with(" API requests\n"), "{cost}");
}

#[test]
fn programs_get_an_event_a_line() {
    let (home, emulator) = home(PASSES);
    let (exit, stdout, _) = bake(&home, &emulator, &["--format", "json"]);
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(exit == 0 && lines.iter().all(|line| line["bake"] == home.bake()), "{stdout}");
    let shown: Vec<String> = lines
        .iter()
        .map(|line| {
            let detail = ["stage", "role", "name", "line", "message", "passed"].map(|key| match &line[key] {
                Value::Null => String::new(),
                Value::String(text) => format!(" {text}"),
                other => format!(" {other}"),
            });
            format!("{}{}", line["event"].as_str().unwrap(), detail.concat())
        })
        .collect();
    let expected = [
        "stage create",
        "droplet build",
        "stage boot",
        "droplet build",
        "stage provision",
        "step packages",
        "step script 01-a.sh",
        "step check 99-img-check.sh",
        "log packages: 12 packages installed",
        "log script 01-a.sh: one",
        "log script 01-a.sh: two",
        "log check 99-img-check.sh: [WARN] no swap",
        "checked 9",
        "stage power-off",
        "stage snapshot",
        "stage tag",
        "stage transfer",
        "note snapshot #1 is in fra1",
        "stage destroy",
        "stage commit",
        "done",
    ];
    let shown = plain(&home, &emulator, &shown.join("\n"));
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    assert_eq!(
        lines[5],
        json!({"event": "step", "name": "packages", "state": "passed", "seconds": 0.0, "exit": 0, "bake": home.bake()})
    );
    let mut last = of_last_line(&home, &emulator, &stdout);
    for key in ["requests", "seconds"] {
        assert!(last.as_object_mut().unwrap().remove(key).unwrap().as_f64().unwrap() > 0.0, "{key}");
    }
    let finding = json!({"level": "warn", "text": "no swap"});
    let expected = json!({
        "event": "done", "bake": "BAKE", "verified": false, "stand_ins": false,
        "snapshot": {"id": "#1", "name": "tested", "regions": ["fra1", "nyc3"], "tags": ["release"], "path": null},
        "check": {"exit": 0, "passed": 9, "warnings": 1, "failed": 0, "findings": [finding]},
    });
    assert_eq!(last, expected);
}

#[test]
fn a_failure_says_what_remains_and_how_to_look_inside() {
    let (home, emulator) = home(FAILS);
    let failed = "error: provision: on the droplet, step `script 01-a.sh` failed: exit status 3\n  | one\n\
                  help: the droplet's whole log: HOME/state/mkimg/bakes/BAKE/build.log; `--on-error keep` keeps the droplet to look inside\n";
    let (exit, stdout, stderr) = bake(&home, &emulator, &["-q"]);
    assert_eq!((exit, stdout.as_str(), stderr.as_str()), (3, "", failed));
    let key = json!({"name": "k", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"});
    let key = emulator.post("/v2/account/keys", key)["ssh_key"]["fingerprint"].as_str().unwrap().to_owned();
    for (more, login) in [
        (&[][..], "use --ssh-key next time to log in with ssh; now there is its console:"),
        (&["--ssh-key", &key], "log in: ssh root@ADDRESS"),
    ] {
        let (exit, _, stderr) = bake(&home, &emulator, &[&["-q", "--on-error", "keep"], more].concat());
        let expected = format!(
            "{failed}error: still exists: droplet #1 (build droplet, kept)\nhelp: remove it: mkimg gc --api-url API BAKE\n\
             help: {login}\nhelp: its console: https://cloud.digitalocean.com/droplets/#1/console\n\
             help: what it is doing: doctl compute droplet get #1; doctl compute droplet actions #1\n"
        );
        assert_eq!((exit, stderr), (4, expected));
    }
    let (exit, stdout, stderr) = bake(&home, &emulator, &["--format", "json"]);
    assert!(exit == 3 && stderr.ends_with("note: no resources remain that cost money\n"), "{stderr}");
    let last = of_last_line(&home, &emulator, &stdout);
    for (key, expected) in [
        ("event", json!("failed")),
        ("exit", json!(3)),
        ("failure", json!("provision: on the droplet, step `script 01-a.sh` failed: exit status 3")),
        ("stage", json!("provision")),
        ("step", json!("script 01-a.sh")),
        ("tail", json!("one")),
        ("check", json!(null)),
        ("log", json!("HOME/state/mkimg/bakes/BAKE/build.log")),
        ("left", json!([])),
        ("remove", json!(null)),
        ("resume", json!(null)),
    ] {
        assert_eq!(last[key], expected, "{key}: {last}");
    }
    // Both kept droplets are listed, with what to do about them.
    let (exit, stdout, stderr) = home.run(&["bakes", "--api-url", &emulator.url]).into_parts();
    let (bakes, account) = stdout.split_at(stdout.find("remaining in the account:\n").unwrap());
    let mut states: Vec<&str> = bakes.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    // Bakes of the same second are in any order.
    states.sort_unstable();
    assert_eq!((exit, states), (0, vec!["failed", "failed", "left", "left"]), "{bakes}");
    assert_eq!(account.matches(" (left; its deadline is in 3h ").count(), 2, "{account}");
    assert_eq!(
        plain(&home, &emulator, &stderr),
        "help: remove the resources of one bake: mkimg gc --api-url API BAKE; everything past its deadline: mkimg gc --api-url API\n"
    );
}
