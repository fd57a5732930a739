//! A bake at a real terminal: Ctrl-C once and twice, and the question of `--on-error ask`.

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

use crate::harness::{Emulator, Home};

fn at_terminal(home: &Home, emulator: &Emulator, more: &[&str]) -> PtySession {
    let arguments = Home::arguments(emulator, more);
    let mut command = home.command(&arguments);
    command.env("TERM", "dumb");
    spawn_command(command, Some(180_000)).expect("mkimg runs at a terminal")
}

/// Reads to the end. Returns the exit status and the output.
fn end(mut session: PtySession) -> (i32, String) {
    let printed = session.exp_eof().expect("it ends");
    match session.process().wait().expect("it ended") {
        WaitStatus::Exited(_, exit) => (exit, printed),
        other => panic!("{other:?}: {printed}"),
    }
}

#[test]
fn one_ctrl_c_cleans_up() {
    let (home, emulator) = (Home::new(), Emulator::without_machines(&[]));
    let mut session = at_terminal(&home, &emulator, &[]);
    session.exp_string("provision: waiting").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("a second Ctrl-C stops at once").unwrap();
    let (exit, printed) = end(session);
    assert_eq!(exit, 130, "{printed}");
    assert!(printed.contains("no resources remain that cost money"), "{printed}");
    emulator.holds(0, 0, "Ctrl-C");
}

#[test]
fn a_second_ctrl_c_stops_at_once_and_names_remaining_resources() {
    // The clean-up cannot finish: the deletion of the droplet is never answered.
    let (home, emulator) = (Home::new(), Emulator::without_machines(&["--fault", "DELETE /v2/droplets/*:hang"]));
    let mut session = at_terminal(&home, &emulator, &["--timeout-request", "60s"]);
    session.exp_string("provision: waiting").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("clean up: destroying droplet").unwrap();
    session.send_control('c').unwrap();
    let (exit, printed) = end(session);
    assert_eq!(exit, 130, "{printed}");
    assert!(
        printed.contains("still exists: droplet ") && printed.contains("interrupted before it was seen to be gone"),
        "{printed}"
    );
    let command =
        printed.lines().find_map(|line| line.split_once("remove it: mkimg ")).expect("the command that removes it").1;
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!((words[0], words.last().copied()), ("gc", Some(home.bake().as_str())), "{printed}");
    home.run(&["bakes", "--api-url", &emulator.url]).stdout_has("left");
}

fn asked(answer: impl FnOnce(&mut PtySession)) -> (i32, String, Emulator, Home) {
    let (home, emulator) = (Home::new(), Emulator::without_machines(&[]));
    let mut session = at_terminal(&home, &emulator, &["--on-error", "ask", "--timeout-provision", "300ms"]);
    session.exp_string("[y/N]").unwrap();
    answer(&mut session);
    let (exit, printed) = end(session);
    (exit, printed, emulator, home)
}

#[test]
fn the_answer_yes_keeps_the_droplet_and_says_how_to_remove_it() {
    let (exit, printed, emulator, home) = asked(|session| {
        let _ = session.send_line("y").unwrap();
    });
    assert_eq!(exit, 4, "{printed}");
    assert!(printed.contains("still exists: droplet") && printed.contains("remove it: mkimg gc"), "{printed}");
    emulator.holds(1, 0, "kept");
    home.run(&["gc", "--api-url", &emulator.url, &home.bake()]).success().stdout_has("destroyed droplet");
    emulator.holds(0, 0, "kept, then removed");
}

#[test]
fn any_answer_but_yes_destroys() {
    let answers: [fn(&mut PtySession); 4] = [
        |session| {
            let _ = session.send_line("n").unwrap();
        },
        |session| {
            let _ = session.send_line("").unwrap();
        },
        |session| session.send_control('d').unwrap(),
        |session| session.send_control('c').unwrap(),
    ];
    for (nth, answer) in answers.into_iter().enumerate() {
        let (exit, printed, emulator, _home) = asked(answer);
        assert_eq!(exit, 3, "answer {nth}: {printed}");
        assert!(printed.contains("no resources remain that cost money"), "answer {nth}: {printed}");
        emulator.holds(0, 0, "destroyed");
    }
}

/// What a terminal or a CI system would obey: the clipboard, the cursor, reordering, commands of a workflow.
const HOSTILE: &str = "a\u{1b}]52;c;aGk=\u{7}b\u{1b}[9Ac\u{202e}d\n::error file=x,line=1::forged\n##[error]forged";

#[track_caller]
fn commands_nothing(printed: &str, what: &str) {
    for forbidden in ["\u{1b}]", "\u{7}", "\u{1b}[9A", "\u{202e}", "##["] {
        assert!(!printed.contains(forbidden), "{what}: {forbidden:?} in {printed:?}");
    }
    let command = printed.split(['\n', '\r']).find(|line| line.trim_start().starts_with("::"));
    assert_eq!(command, None, "{what}: {printed}");
}

#[test]
fn a_droplets_texts_command_neither_a_terminal_nor_a_ci_system() {
    let text = serde_json::Value::from(HOSTILE);
    let home = Home::new();
    let scenario = home.path().join("scenario.yaml");
    let steps = format!("steps:\n  - {{name: {text}, takes: 100ms, log: {text}, fails: {text}}}\n");
    std::fs::write(&scenario, steps).unwrap();
    let emulator = Emulator::start(&["--backend", "scripted", "--scenario", scenario.to_str().unwrap()]);

    let bake = ["bake", "--api-url", &emulator.url, "--poll-interval", "50ms", "-v"];

    let plain = home.run(&bake).exits(3).stderr_has("step `a\\u{1b}]52;c;aGk=\\u{7}b").into_parts().2;
    commands_nothing(&plain, "a log");

    let json = home.run(&[&bake[..], &["--format", "json"]].concat()).exits(3).into_parts().1;
    commands_nothing(&json, "JSON");
    let last = json.lines().last().expect("an event");
    let last: serde_json::Value = serde_json::from_str(last).expect("one JSON object a line");
    assert_eq!(last["step"], HOSTILE, "the value stays the same");

    let mut command = home.command(&bake);
    command.env("TERM", "xterm");
    let (exit, progress) = end(spawn_command(command, Some(180_000)).expect("mkimg runs at a terminal"));
    assert_eq!(exit, 3, "{progress}");
    commands_nothing(&progress, "a progress line");

    let bakes = home.run(&["bakes", "--api-url", &emulator.url]);
    commands_nothing(&bakes.success().into_parts().1, "a list");
}
