//! Where the token comes from (variables in order, then doctl's configuration), and where it is sent.

use std::process::{Command, Stdio};

use super::project;
use crate::harness::{Emulator, Home, MKIMG, Run, TOKEN};

const VARIABLES: [&str; 3] = ["DIGITALOCEAN_API_TOKEN", "DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"];

/// A dry run with these variables: its exit status and standard error.
fn dry_run(home: &Home, url: &str, variables: &[(&str, &str)]) -> (i32, String) {
    let mut bake = home.command_without_token(&["bake", "--dry-run", "--api-url", url]);
    let run = Run::of(bake.envs(variables.iter().copied()));
    (run.exit, run.stderr)
}

fn doctl(home: &Home, text: &str) {
    let folder = home.path().join("config/doctl");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.yaml"), text).unwrap();
}

#[test]
fn the_first_variable_that_is_set_counts() {
    let home = project();
    doctl(&home, "access-token: wrong-token-0\ncontext: default\n");
    let emulator = Emulator::without_machines(&[]);
    for (number, name) in VARIABLES.iter().enumerate() {
        let mut variables: Vec<(&str, &str)> =
            VARIABLES[number + 1..].iter().map(|&later| (later, "wrong-token-1")).collect();
        variables.push((name, TOKEN));
        // An empty variable counts as not set.
        variables.extend(VARIABLES[..number].iter().map(|&earlier| (earlier, " ")));
        let (exit, stderr) = dry_run(&home, &emulator.url, &variables);
        assert_eq!(exit, 0, "{name}: {stderr}");
        assert!(stderr.contains(&format!("token from {name}\n")), "{stderr}");
        assert!(stderr.starts_with("note: account "), "the account comes first: {stderr}");
        assert!(!stderr.contains(TOKEN) && !stderr.contains("wrong-token"), "{stderr}");
    }
    // A newline at the end, as from a file, is not part of the token.
    let (exit, stderr) = dry_run(&home, &emulator.url, &[("DIGITALOCEAN_TOKEN", &format!("{TOKEN}\n"))]);
    assert_eq!(exit, 0, "{stderr}");
}

#[test]
fn doctls_current_context_is_the_last_source() {
    let home = project();
    let emulator = Emulator::without_machines(&[]);
    let config =
        format!("access-token: wrong-token-0\nauth-contexts:\n  team: {TOKEN}\n  old: wrong-token-1\ncontext: team\n");
    doctl(&home, &config);
    let (exit, stderr) = dry_run(&home, &emulator.url, &[]);
    assert_eq!(exit, 0, "{stderr}");
    assert!(stderr.contains("token from doctl's context `team` in "), "{stderr}");
    // doctl's own variable names another context.
    let (exit, stderr) = dry_run(&home, &emulator.url, &[("DIGITALOCEAN_CONTEXT", "old")]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("401"), "{stderr}");
    doctl(&home, &format!("access-token: {TOKEN}\ncontext: default\n"));
    assert_eq!(dry_run(&home, &emulator.url, &[]).0, 0);
    // With a context without a token or a broken file there is no token, and the message names both ways to give one.
    for text in ["context: nobody\naccess-token: x\n", "access-token: [", "access-token: ''\n", "17"] {
        doctl(&home, text);
        let (exit, stderr) = dry_run(&home, &emulator.url, &[]);
        assert_eq!(exit, 2, "{text}");
        assert!(stderr.contains("DIGITALOCEAN_API_TOKEN") && stderr.contains("--local"), "{text}: {stderr}");
    }
}

#[test]
fn a_token_goes_to_https_or_this_machine_only() {
    let home = project();
    for url in ["http://192.0.2.1", "http://api.example", "ftp://127.0.0.1", "api.example"] {
        let (exit, stderr) = dry_run(&home, url, &[("DIGITALOCEAN_TOKEN", TOKEN)]);
        assert_eq!(exit, 2, "{url}");
        assert!(stderr.contains("https://") && !stderr.contains(TOKEN), "{url}: {stderr}");
    }
}

#[test]
fn a_url_with_a_password_is_refused_without_showing_it() {
    let home = project();
    for url in ["https://me:hunter22@127.0.0.1:1", "http://me:hunter22@api.example", "htps://me:hunter22@api.example"] {
        let (exit, stderr) = dry_run(&home, url, &[("DIGITALOCEAN_TOKEN", TOKEN)]);
        assert_eq!(exit, 2, "{stderr}");
        assert!(stderr.contains("[redacted]@") && !stderr.contains("hunter22"), "{stderr}");
    }
}

#[test]
fn an_emulators_token_is_neither_an_argument_nor_in_a_core_dump() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    for from_file in [true, false] {
        let mut command = Command::new(MKIMG);
        command.args(["emulate", "--backend", "none"]);
        // The file comes first.
        command.env("MKIMG_EMULATE_TOKEN", if from_file { "another" } else { TOKEN });
        if from_file {
            command.arg("--token-file").arg(&file);
        }
        let emulator = Emulator::start_command(&mut command, Stdio::null());
        assert_eq!(emulator.send(reqwest::Method::GET, "/v2/account", None).0, 200);
        assert!(!emulator.process_file("cmdline").contains(TOKEN));
        let limits = emulator.process_file("limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
        assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    }
}
