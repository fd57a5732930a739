//! Where the token comes from: the order of the environment, then doctl's configuration; and where it goes.

use std::path::Path;
use std::process::Output;

use super::{Emulator, TOKEN, command, project};

const VARIABLES: [&str; 3] = ["DIGITALOCEAN_API_TOKEN", "DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"];

/// A dry run with these variables; its exit status and what it says on standard error.
fn dry_run(home: &Path, url: &str, variables: &[(&str, &str)]) -> (i32, String) {
    let mut bake = command(home, false, &["bake", "--dry-run", "--api-url", url]);
    let Output { status, stderr, .. } = bake.envs(variables.iter().copied()).output().expect("mkimg runs");
    (status.code().expect("an exit status"), String::from_utf8(stderr).expect("UTF-8"))
}

fn doctl(home: &Path, text: &str) {
    let folder = home.join("config/doctl");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.yaml"), text).unwrap();
}

#[test]
fn the_first_variable_that_is_set_counts() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    doctl(home.path(), "access-token: wrong-token-0\ncontext: default\n");
    let emulator = Emulator::start(None);
    for (number, name) in VARIABLES.iter().enumerate() {
        let mut variables: Vec<(&str, &str)> =
            VARIABLES[number + 1..].iter().map(|&later| (later, "wrong-token-1")).collect();
        variables.push((name, TOKEN));
        // What is empty is not set.
        variables.extend(VARIABLES[..number].iter().map(|&earlier| (earlier, " ")));
        let (exit, stderr) = dry_run(home.path(), &emulator.url, &variables);
        assert_eq!(exit, 0, "{name}: {stderr}");
        assert!(stderr.contains(&format!("token from {name}\n")), "{stderr}");
        assert!(stderr.starts_with("note: account "), "the account comes first: {stderr}");
        assert!(!stderr.contains(TOKEN) && !stderr.contains("wrong-token"), "{stderr}");
    }
    // The last line of a file that was read into the variable is no part of the token.
    let (exit, stderr) = dry_run(home.path(), &emulator.url, &[("DIGITALOCEAN_TOKEN", &format!("{TOKEN}\n"))]);
    assert_eq!(exit, 0, "{stderr}");
}

#[test]
fn doctl_is_asked_last_with_the_context_that_it_uses() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let emulator = Emulator::start(None);
    let config =
        format!("access-token: wrong-token-0\nauth-contexts:\n  team: {TOKEN}\n  old: wrong-token-1\ncontext: team\n");
    doctl(home.path(), &config);
    let (exit, stderr) = dry_run(home.path(), &emulator.url, &[]);
    assert_eq!(exit, 0, "{stderr}");
    assert!(stderr.contains("token from doctl's context `team` in "), "{stderr}");
    // doctl's own variable names another context.
    let (exit, stderr) = dry_run(home.path(), &emulator.url, &[("DIGITALOCEAN_CONTEXT", "old")]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("401"), "{stderr}");
    doctl(home.path(), &format!("access-token: {TOKEN}\ncontext: default\n"));
    assert_eq!(dry_run(home.path(), &emulator.url, &[]).0, 0);
    // A context without a token, a broken file: there is no token, and both ways are named.
    for text in ["context: nobody\naccess-token: x\n", "access-token: [", "access-token: ''\n", "17"] {
        doctl(home.path(), text);
        let (exit, stderr) = dry_run(home.path(), &emulator.url, &[]);
        assert_eq!(exit, 2, "{text}");
        assert!(stderr.contains("DIGITALOCEAN_API_TOKEN") && stderr.contains("--local"), "{text}: {stderr}");
    }
}

#[test]
fn a_token_goes_to_https_or_this_machine_only() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    for url in ["http://192.0.2.1", "http://api.example", "ftp://127.0.0.1", "api.example"] {
        let (exit, stderr) = dry_run(home.path(), url, &[("DIGITALOCEAN_TOKEN", TOKEN)]);
        assert_eq!(exit, 2, "{url}");
        assert!(stderr.contains("https://") && !stderr.contains(TOKEN), "{url}: {stderr}");
    }
}
