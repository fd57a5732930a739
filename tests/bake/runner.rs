//! The tests of the first-boot runner (`tests/runner/*.py`), run on the joined program that droplets get.
//!
//! They need `python3` and `openssl`, use only the loopback network, and write only to a temporary folder.
//! While working on a module, `cd tests/runner && python3 -B -m unittest` runs them against the sources.

use std::path::Path;
use std::process::Output;

use crate::harness::{python, tests};
use mkimg::render::runner::{
    BAKE, EmbeddedFile, INSTALL, Needs, bake_program, install_program, program, program_with_files,
};

fn run(arguments: &[&str], program: &Path) -> Output {
    python()
        .args(arguments)
        .current_dir(tests("runner"))
        .env("MKIMG_RUNNER_PROGRAM", program)
        .output()
        .expect("the runner's tests need python3")
}

fn written() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("runner.py");
    std::fs::write(&path, program()).expect("the program is written");
    (folder, path)
}

#[test]
fn the_joined_program_passes_the_runners_tests() {
    let (_folder, path) = written();
    let output = run(&["-B", "-m", "unittest", "--buffer", "--verbose"], &path);
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    // Visible with `--no-capture`: what this machine cannot try.
    for line in report.lines().filter(|line| line.contains("skipped")) {
        eprintln!("{line}");
    }
    let ran =
        report.split("\nRan ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|count| count.parse().ok());
    assert!(ran.is_some_and(|count: usize| count >= 150), "fewer tests than there are ran: {report}");
}

/// Runs Python code on both halves, and returns what it prints.
fn check(code: &str) -> String {
    let (folder, _) = written();
    let (install, bake) = (folder.path().join("install.py"), folder.path().join("bake.py"));
    std::fs::write(&install, install_program(Needs::ALL)).expect("the half is written");
    std::fs::write(&bake, bake_program()).expect("the half is written");
    let modules: Vec<&str> = INSTALL.iter().chain(BAKE).map(|(name, _)| *name).collect();
    let output = python()
        .args([
            "-B",
            "-c",
            &format!("import ast, sys\ninstall, bake = (open(path).read() for path in sys.argv[1:3])\n{code}"),
        ])
        .args([install, bake])
        .args(modules)
        .output()
        .expect("the runner's tests need python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn both_halves_are_python_3_8() {
    check("for half in (install, bake): ast.parse(half, feature_version=(3, 8))");
}

#[test]
fn no_module_hides_one_of_pythons_own() {
    assert_eq!(check("print([name for name in sys.argv[3:] if name in sys.stdlib_module_names])"), "[]");
}

#[test]
fn no_name_is_defined_twice_in_the_common_namespace() {
    let twice = "
import collections
names = collections.Counter()
for node in ast.parse(install + bake).body:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        names[node.name] += 1
    elif isinstance(node, ast.Assign):
        names.update(name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
print([name for name, count in names.items() if count > 1])";
    assert_eq!(check(twice), "[]");
}

#[test]
fn each_half_keeps_its_size() {
    let sizes = "
import lzma
for half in (install, bake):
    filters = [{'id': lzma.FILTER_LZMA1, 'preset': 9 | lzma.PRESET_EXTREME, 'lc': 4, 'lp': 0, 'pb': 0}]
    print(len(lzma.compress(half.encode(), lzma.FORMAT_ALONE, filters=filters)))";
    let sizes: Vec<usize> = check(sizes).lines().map(|line| line.parse().expect("a number")).collect();
    // Every byte is missing for the user's files.
    assert!(sizes[0] <= 6_300 && sizes[1] <= 8_900, "installing half and bake half take {sizes:?} bytes");
}

#[test]
fn embedded_files_are_written_unchanged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let texts =
        ["#!/bin/sh\necho 'a\\n'\n", "", "a\r\nb\rc", "it''' ends\\", "\0\x0c\u{85}é日🎮 \u{feff}\n'", "\"\"\"\\'\\'"];
    let paths: Vec<String> =
        (0..texts.len()).map(|index| folder.path().join(format!("below/{index}")).display().to_string()).collect();
    let files: Vec<EmbeddedFile<'_>> =
        paths.iter().zip(texts).map(|(path, text)| EmbeddedFile { path, mode: 0o640, text }).collect();
    let program = program_with_files(&files);
    let (writer, _) = program.split_once("\nimport array\n").expect("modules come after the files");
    let script = folder.path().join("writer.py");
    std::fs::write(&script, writer).expect("the first part is written");
    let output = python().arg("-BEs").arg(&script).output().expect("the runner's tests need python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (path, text) in paths.iter().zip(texts) {
        assert_eq!(std::fs::read_to_string(path).expect("the file is there"), text);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).expect("the file").permissions());
        assert_eq!(mode & 0o7777, 0o640);
    }
}
