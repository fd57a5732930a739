//! A full disk, a journal that is cut, broken, newer, gone or unreadable, a state folder that cannot be written.

use std::path::Path;
use std::process::{Command, Stdio};

use mkimg::bake::journal::VERSION;

use crate::harness::{Emulator, Home, MKIMG, Process, run_cases};

/// A bake that was killed while its droplet ran.
fn killed(emulator: &Emulator) -> Home {
    let home = Home::new();
    let mut baking = home.start(emulator, &[]);
    baking.until_printed("provision: waiting");
    baking.kill();
    home
}

#[test]
fn an_unusable_journal_is_named_and_gc_uses_tags() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil, &str); 6] = [
        ("cut to nothing", |p| std::fs::write(p, "").unwrap(), "ended before its first request"),
        ("gone", |p| std::fs::remove_file(p).unwrap(), "was started from here"),
        (
            "broken",
            |p| change(p, |t| t.replacen("\"entry\":\"created\"", "\"entry\":\"cre", 1)),
            "line 3 of the journal cannot be read",
        ),
        ("headless", |p| change(p, |t| t.split_once('\n').unwrap().1.to_owned()), "the journal's start is missing"),
        ("newer", |p| change(p, |t| t.replacen(&version(0), &version(1), 1)), "a newer mkimg wrote this journal"),
        (
            "a folder",
            |p| {
                std::fs::remove_file(p).unwrap();
                std::fs::create_dir(p).unwrap();
            },
            "cannot open",
        ),
    ];
    for (case, spoil, expected) in cases {
        let emulator = Emulator::without_machines(&[]);
        let home = killed(&emulator);
        let bake = home.bake();
        spoil(&home.folder().unwrap().join("journal.jsonl"));
        let (exit, _, printed) = home.run(&["resume", &bake]).into_parts();
        assert!(exit == 2 && printed.contains(expected), "{case}: {exit}: {printed}");
        let (exit, list, printed) = home.run(&["bakes", "--api-url", &emulator.url]).into_parts();
        assert_eq!(exit, 0, "{case}: {printed}");
        let state = if matches!(case, "cut to nothing" | "gone") { "interrupted" } else { "unreadable" };
        assert!(list.contains(state) && list.contains("remaining in the account"), "{case}: {list}");
        let (exit, printed, more) = home.run(&["gc", "--api-url", &emulator.url, &bake]).into_parts();
        assert!(exit == 0 && printed.contains("destroyed droplet"), "{case}: {printed}{more}");
        emulator.holds(0, 0, case);
        // It does not prevent a new bake.
        let (exit, _, printed) = home.run(&["bake", "--dry-run", "--api-url", &emulator.url]).into_parts();
        assert_eq!(exit, 0, "{case}: {printed}");
    }
}

/// The format version in the first line, or a newer one.
fn version(newer: u32) -> String {
    format!("\"version\":{}", VERSION + newer)
}

/// Changes the journal. An unchanged journal would be resumed, which waits for its droplet.
fn change(path: &Path, edit: fn(&str) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = edit(&text);
    assert_ne!(changed, text);
    std::fs::write(path, changed).unwrap();
}

#[test]
fn a_truncated_last_line_is_ignored() {
    let emulator = Emulator::that_waits();
    let home = Home::new();
    let mut baking = home.start(&emulator, &[]);
    baking.until_printed("provision: waiting");
    baking.kill();
    let path = home.folder().unwrap().join("journal.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(b"{\"at\":1795361648,\"entry\":\"pas\xc3");
    std::fs::write(&path, bytes).unwrap();
    emulator.turn_off();
    let (exit, printed) = home.resume().end();
    assert_eq!(exit, 0, "{printed}");
    emulator.holds_the_product("a torn line");
    assert_eq!(home.entries().last().map(String::as_str), Some("ended"));
}

#[test]
fn without_a_writable_journal_nothing_is_created() {
    let emulator = Emulator::without_machines(&[]);
    let home = Home::new();
    std::fs::write(home.path().join("a file"), "").unwrap();
    for place in ["/proc/none".into(), home.path().join("a file")] {
        let output = home.command(&Home::arguments(&emulator, &[])).env("XDG_STATE_HOME", &place).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{printed}");
        assert!(printed.contains("cannot create") && printed.contains("XDG_STATE_HOME"), "{printed}");
        emulator.holds(0, 0, &printed);
    }
}

/// Runs a shell script in a new mount namespace; `None` if this user may not create one.
fn alone(home: &Home, script: &str, arguments: &[&str]) -> Option<(i32, String)> {
    let usable = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !usable.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this user may not have a mount namespace, so no disk is filled");
        return None;
    }
    let mut command = Command::new("unshare");
    home.set_environment(&mut command);
    command.args(["-rm", "sh", "-euc", script, "sh", MKIMG, "-C", home.path().to_str().unwrap()]).args(arguments);
    let output = command.stdin(Stdio::null()).output().expect("unshare runs");
    Some((
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
    ))
}

#[test]
fn a_disk_that_fills_up_ends_the_bake_with_nothing_left() {
    let page = 4096;
    let secrets = {
        let emulator = Emulator::without_machines(&[]);
        let home = killed(&emulator);
        std::fs::metadata(home.folder().unwrap().join("secrets.json")).unwrap().len().div_ceil(page)
    };
    // The disk holds one page of the journal. The longer its first line, the sooner it is full.
    let seen = std::sync::Mutex::new(Vec::new());
    run_cases((0..10).collect(), |padding: &usize| {
        let (home, emulator) = (Home::new(), Emulator::quick(&[]));
        let tags: Vec<String> = (0..*padding).map(|n| format!("{}{n}", "x".repeat(200))).collect();
        let path = home.path().join("templates/image.yaml");
        let template = std::fs::read_to_string(&path).unwrap();
        std::fs::write(
            path,
            template.replace(
                "tags: [release]",
                &format!("tags: [{}]", [&["release".into()][..], &tags].concat().join(", ")),
            ),
        )
        .unwrap();
        std::fs::create_dir(home.path().join("state")).unwrap();
        let script = format!("mount -t tmpfs -o size={} none \"$XDG_STATE_HOME\"; exec \"$@\"", (secrets + 1) * page);
        let Some((exit, printed)) = alone(&home, &script, &Home::arguments(&emulator, &[])) else { return };
        match exit {
            2 => emulator.holds(0, 0, &printed),
            3 => {
                assert!(
                    printed.contains("No space left on device")
                        && printed.contains("no resources remain that cost money"),
                    "{printed}"
                );
                assert_eq!(printed.matches("continuing without the journal").count(), 1, "{printed}");
                emulator.holds(0, 0, &printed);
            }
            0 => emulator.holds(0, 1, &printed),
            _ => panic!("{exit}: {printed}"),
        }
        seen.lock().unwrap().push(exit);
    });
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_empty() || seen.contains(&3), "{seen:?}");
}

#[test]
fn a_full_standard_output_does_not_change_how_a_bake_ended() {
    let (home, emulator) = (Home::new(), Emulator::quick(&[]));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = home.command(&Home::arguments(&emulator, &[])).stdout(full).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(printed.contains("cannot write to standard output") && printed.contains("tested"), "{printed}");
    emulator.holds_the_product("a full standard output");
}

#[test]
fn two_concurrent_resumes_do_not_conflict() {
    let emulator = Emulator::that_waits();
    let home = Home::new();
    let mut baking = home.start(&emulator, &[]);
    baking.until_printed("provision: waiting");
    baking.kill();
    let both = [home.resume(), home.resume(), home.resume()];
    emulator.turn_off();
    let ends: Vec<(i32, String)> = both.into_iter().map(Process::end).collect();
    assert_eq!(ends.iter().filter(|(exit, _)| *exit == 0).count(), 1, "{ends:?}");
    for (_, printed) in ends.iter().filter(|(exit, _)| *exit != 0) {
        assert!(printed.contains("a process is working on bake") || printed.contains("is done"), "{printed}");
    }
    emulator.holds_the_product("two resumed at once");
}

#[test]
fn two_bakes_at_once_in_one_project_do_not_disturb_each_other() {
    let (home, emulator) = (Home::new(), Emulator::that_waits());
    let mut both = ["name=one", "name=two"].map(|name| home.start(&emulator, &["--var", name]));
    for bake in &mut both {
        bake.until_printed("provision: waiting");
    }
    // Listing the bakes does not delay them.
    let (exit, list, printed) = home.run(&["bakes", "--api-url", &emulator.url]).into_parts();
    assert_eq!(exit, 0, "{printed}");
    assert_eq!(list.lines().filter(|line| line.contains("at stage")).count(), 2, "{list}");
    emulator.turn_off();
    for bake in both {
        let (exit, printed) = bake.end();
        assert_eq!(exit, 0, "{printed}");
    }
    emulator.holds(0, 2, "two bakes");
}
