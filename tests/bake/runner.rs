//! The tests of the first-boot runner (`tests/runner/*.py`), run on the joined program that droplets get.
//!
//! They need `python3` and `openssl`, use only the loopback network, and write only to a temporary folder.
//! While working on a module, `cd tests/runner && python3 -B -m unittest` runs them against the sources.

use std::io::Write as _;
use std::path::Path;
use std::process::Output;

use crate::harness::{python, tests};
use mkimg::render::runner::{EmbeddedFile, MODULES, program, program_with_files};

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
    assert!(ran.is_some_and(|count: usize| count >= 154), "fewer tests than there are ran: {report}");
}

#[test]
fn the_program_is_python_3_8() {
    let (_folder, path) = written();
    let check = "\
import ast, sys
program = open(sys.argv[1]).read()
def parse(source, name):
    return ast.parse(source, name, feature_version=(3, 8))
sources = [node.value for node in ast.walk(parse(program, 'runner.py'))
           if isinstance(node, ast.Constant) and isinstance(node.value, str) and '\\n' in node.value]
for source in sources:
    parse(source, source[:40])
print(len(sources))
";
    let output = run(&["-B", "-c", check, &path.to_string_lossy()], &path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), MODULES.len().to_string());
}

#[test]
fn no_module_hides_one_of_pythons_own() {
    let (_folder, path) = written();
    let names: Vec<String> = MODULES.iter().map(|(name, _)| format!("'{name}'")).collect();
    let check =
        format!("import sys; print([name for name in ({},) if name in sys.stdlib_module_names])", names.join(","));
    let output = run(&["-B", "-c", &check], &path);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[]", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_program_takes_a_quarter_of_the_document_at_most() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(program().as_bytes()).expect("memory");
    let bytes = encoder.finish().expect("memory").len();
    assert!(bytes < 17_000, "{bytes} bytes gzipped");
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
    let (writer, _) = program.split_once("\nmodule('").expect("modules come after the files");
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
