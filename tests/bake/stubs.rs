//! The image and its stubs. These tests are Python, as the stubs are: `tests/stubs/test_*.py`.
//!
//! Each file is one test here, so that the files run side by side. To add a file, add its line below; `every_file_is_run` fails
//! when one is missing.

use std::path::Path;

use crate::harness::{python, tests};

const FILES: [&str; 13] = [
    "test_backup.py", "test_build.py", "test_cleanup.py", "test_cockroach.py", "test_database.py", "test_image.py",
    "test_join.py", "test_nakama.py", "test_onboot.py", "test_partner_check.py", "test_setup.py", "test_tls.py",
    "test_upgrade.py",
];

/// Runs one file, and prints its output if it fails.
fn run(file: &str) {
    let run = python().arg("-B").arg(tests("stubs").join(file)).output();
    let run = run.unwrap_or_else(|error| panic!("python3 cannot be started: {error}"));
    let printed = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{file}: {}\n{}{printed}", run.status, String::from_utf8_lossy(&run.stdout));
    // unittest passes without any tests, and with tests that skip themselves. This must not.
    let last = printed.lines().last().unwrap_or_default();
    assert!(last == "OK" && !printed.contains("Ran 0 tests"), "{file}: {printed}");
}

#[test]
fn archives_are_reproducible_and_pinned() {
    run("test_build.py");
}

#[test]
fn the_cleanup_leaves_nothing_of_the_build() {
    run("test_cleanup.py");
}

#[test]
fn the_partners_check_is_read_and_passed() {
    run("test_partner_check.py");
}

#[test]
fn the_stub_database_keeps_and_refuses() {
    run("test_cockroach.py");
}

#[test]
fn machines_share_a_database() {
    run("test_database.py");
}

#[test]
fn units_scripts_and_check() {
    run("test_image.py");
}

#[test]
fn the_stub_server_answers_and_refuses() {
    run("test_nakama.py");
}

#[test]
fn the_first_boot_survives_interruption() {
    run("test_onboot.py");
}

#[test]
fn backups_are_taken_and_put_back() {
    run("test_backup.py");
}

#[test]
fn the_api_goes_behind_https_and_back() {
    run("test_tls.py");
}

#[test]
fn programs_are_replaced_and_come_back() {
    run("test_upgrade.py");
}

#[test]
fn machines_become_a_cluster() {
    run("test_join.py");
}

#[test]
fn the_operators_command() {
    run("test_setup.py");
}

#[test]
fn every_file_is_run() {
    let mut found: Vec<String> = std::fs::read_dir(tests("stubs"))
        .expect("the folder of the tests")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("test_") && Path::new(name).extension().is_some_and(|end| end == "py"))
        .collect();
    found.sort();
    assert_eq!(found, FILES);
}
