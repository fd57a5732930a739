//! A bake at a real terminal: Ctrl-C once and twice, and the question of `--on-error ask`.

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

use super::support::{Emulator, Home};

fn at_terminal(home: &Home, emulator: &Emulator, more: &[&str]) -> PtySession {
    let arguments = Home::arguments(emulator, more);
    let mut command = home.command(&arguments);
    command.env("TERM", "dumb");
    spawn_command(command, Some(180_000)).expect("mkimg runs at a terminal")
}

/// Reads to the end; exit status and what was said.
fn end(mut session: PtySession) -> (i32, String) {
    let said = session.exp_eof().expect("it ends");
    match session.process().wait().expect("it ended") {
        WaitStatus::Exited(_, exit) => (exit, said),
        other => panic!("{other:?}: {said}"),
    }
}

#[test]
fn one_ctrl_c_cleans_up() {
    let (home, emulator) = (Home::new(), Emulator::start(&["--backend", "none"]));
    let mut session = at_terminal(&home, &emulator, &[]);
    session.exp_string("provision: waiting").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("a second Ctrl-C stops at once").unwrap();
    let (exit, said) = end(session);
    assert_eq!(exit, 130, "{said}");
    assert!(said.contains("no resources remain that cost money"), "{said}");
    emulator.holds(0, 0, "Ctrl-C");
}

#[test]
fn a_second_ctrl_c_stops_at_once_and_names_what_is_left() {
    // The clean-up cannot come to its end: the droplet's deletion is never answered.
    let (home, emulator) =
        (Home::new(), Emulator::start(&["--backend", "none", "--fault", "DELETE /v2/droplets/*:hang"]));
    let mut session = at_terminal(&home, &emulator, &["--timeout-request", "60s"]);
    session.exp_string("provision: waiting").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("clean up: destroying droplet").unwrap();
    session.send_control('c').unwrap();
    let (exit, said) = end(session);
    assert_eq!(exit, 130, "{said}");
    assert!(
        said.contains("still exists: droplet ") && said.contains("stopped before it was seen to be gone"),
        "{said}"
    );
    let command =
        said.lines().find_map(|line| line.split_once("remove it: mkimg ")).expect("the command that removes it").1;
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!((words[0], words.last().copied()), ("gc", Some(home.bake().as_str())), "{said}");
    let (_, list, _) = home.mkimg(&["bakes", "--api-url", &emulator.url]);
    assert!(list.contains("left"), "{list}");
}

fn asked(answer: impl FnOnce(&mut PtySession)) -> (i32, String, Emulator, Home) {
    let (home, emulator) = (Home::new(), Emulator::start(&["--backend", "none"]));
    let mut session = at_terminal(&home, &emulator, &["--on-error", "ask", "--timeout-provision", "300ms"]);
    session.exp_string("[y/N]").unwrap();
    answer(&mut session);
    let (exit, said) = end(session);
    (exit, said, emulator, home)
}

#[test]
fn yes_keeps_and_says_how_to_remove() {
    let (exit, said, emulator, home) = asked(|session| {
        let _ = session.send_line("y").unwrap();
    });
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("still exists: droplet") && said.contains("remove it: mkimg gc"), "{said}");
    emulator.holds(1, 0, "kept");
    let (exit, said, _) = home.mkimg(&["gc", "--api-url", &emulator.url, &home.bake()]);
    assert!(exit == 0 && said.contains("destroyed droplet"), "{said}");
    emulator.holds(0, 0, "kept, then removed");
}

#[test]
fn no_an_empty_line_the_end_of_input_and_ctrl_c_destroy() {
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
        let (exit, said, emulator, _home) = asked(answer);
        assert_eq!(exit, 3, "answer {nth}: {said}");
        assert!(said.contains("no resources remain that cost money"), "answer {nth}: {said}");
        emulator.holds(0, 0, "destroyed");
    }
}
