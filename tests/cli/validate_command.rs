//! `mkimg validate` as a user calls it: directories, standard input, projects with things that are allowed, secrets, colour.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{MKIMG, mkimg};

fn json(directory: &Path, arguments: &[&str]) -> serde_json::Value {
    mkimg(directory).args(["validate", "--format", "json"]).args(arguments).run().json()
}

#[test]
fn what_stands_beside_documents_is_skipped_in_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join("d").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("a.yaml", b"#cloud-config\nruncmd: [ls]\n");
    write("below/b.txt", b"no header\n");
    write("README.md", b"# Documents\n");
    write("LICENSE", b"Do what you like\n");
    write("logo.bin", b"\x89PNG\r\n\x1a\n\0\0");
    write(".git/config", b"[core]\n");
    write("c.yaml", b"\0");
    write("notes.md", b"#cloud-config\nnope: 1\n");
    let report = json(folder.path(), &["d"]);
    let documents = report["documents"].as_array().unwrap();
    let shown: Vec<_> = documents
        .iter()
        .map(|document| (document["file"].as_str().unwrap(), document["verdict"].as_str().unwrap()))
        .collect();
    let expected = [
        ("d/LICENSE", "skipped"),
        ("d/README.md", "skipped"),
        ("d/a.yaml", "valid"),
        ("d/below/b.txt", "invalid"),
        ("d/c.yaml", "invalid"),
        ("d/logo.bin", "skipped"),
        ("d/notes.md", "invalid"),
    ];
    assert_eq!(shown, expected);
    let report = json(folder.path(), &["d/README.md"]);
    assert_eq!(report["documents"][0]["verdict"], "invalid");
}

#[test]
fn many_documents_are_reported_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..200 {
        let key = if number % 3 == 0 { "packges" } else { "packages" };
        fs::write(folder.path().join(format!("{number:03}.yaml")), format!("#cloud-config\n{key}: [a{number}]\n"))
            .unwrap();
    }
    let once = mkimg(folder.path()).args(["validate", "."]).run().into_parts();
    assert_eq!(once.0, 1);
    assert!(once.2.contains("200 documents: 133 valid, 67 invalid; 67 errors"), "{}", once.2);
    let places: Vec<&str> = once.1.lines().filter(|line| line.trim_start().starts_with("-->")).collect();
    assert!(places.len() == 67 && places.is_sorted(), "{places:?}");
    for _ in 0..3 {
        assert_eq!(mkimg(folder.path()).args(["validate", "."]).run().into_parts(), once);
    }
}

#[test]
fn standard_input_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let text = "#cloud-config\npackges: [a]\n";
    mkimg(folder.path()).args(["validate", "-"]).stdin(text).run().exits(1).stdout_has("--> -:2:1");
    mkimg(folder.path())
        .args(["validate", "-", "--stdin-name", "cloud/a.yaml"])
        .stdin(text)
        .run()
        .stdout_has("--> cloud/a.yaml:2:1");
}

/// A project whose document has a finding: an executable text without an interpreter.
fn project(more: &str) -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    fs::create_dir_all(project.path().join("templates")).unwrap();
    let template = format!(
        "variables:\n  greeting: hello\n  token: {{sensitive: true}}\nsnapshot: {{name: x}}\nupgrade: true\n\
         droplet: {{image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}}\ncloud_config:\n  write_files:\n    \
         - {{path: /usr/local/bin/tool, permissions: '0755', content: \"{{{{ greeting }}}} {{{{ token }}}}\"}}\n{more}"
    );
    fs::write(project.path().join("templates/image.yaml"), template).unwrap();
    project
}

const TOKEN: &[(&str, &str)] = &[("MKIMG_VAR_TOKEN", "s3cr3t-value")];

#[test]
fn secrets_are_in_no_excerpt() {
    let project = project("");
    for format in ["human", "json", "sarif", "github"] {
        let (_, stdout, stderr) =
            mkimg(project.path()).args(["validate", "-v", "--format", format]).envs(TOKEN).run().into_parts();
        assert!(stdout.contains("MK208"), "{stdout}{stderr}");
        assert!(!stdout.contains("s3cr3t") && !stderr.contains("s3cr3t"), "{format}: {stdout}{stderr}");
    }
}

#[test]
fn a_template_allows_what_is_found_in_its_document() {
    let deny = &["validate", "-v", "--deny", "warnings"];
    let line = |line: &str| project(&format!("allow:\n  - {line}\n"));
    for good in [
        "{code: missing-interpreter, path: /usr/local/bin/tool, reason: read by a program}",
        "{code: MK208, path: write_files, reason: read by a program}",
        "{code: MK208, reason: read by a program}",
    ] {
        let (status, stdout, stderr) = mkimg(line(good).path()).args(deny).envs(TOKEN).run().into_parts();
        assert_eq!(status, 0, "{good}: {stdout}{stderr}");
        assert!(
            stderr.contains("missing-interpreter: read by a program") && stderr.contains("1 finding allowed"),
            "{stderr}"
        );
    }
    for (wrong, code) in [
        ("{code: MK208, path: /usr/local/bin/tol, reason: x y}", "MK230"),
        ("{code: MK209, reason: x y}", "MK230"),
        ("{code: mising-interpreter, reason: x y}", "MK232"),
        ("{code: unknown-key, reason: x y}", "MK233"),
        ("{code: MK208, reason: ''}", "MK231"),
    ] {
        let (status, stdout, _) = mkimg(line(wrong).path()).args(deny).envs(TOKEN).run().into_parts();
        assert!(status == 1 && stdout.contains(code) && stdout.contains("MK208"), "{wrong}: {stdout}");
        assert!(stdout.contains("templates/image.yaml:11:5"), "{wrong}: {stdout}");
    }
    mkimg(line("{code: MK208}").path()).args(deny).envs(TOKEN).run().exits(1).stdout_has("MK903");
}

#[test]
fn the_last_value_of_a_variable_wins() {
    let project = project("");
    for (name, value) in [("one.yaml", "one"), ("two.json", "two")] {
        fs::write(project.path().join(name), format!("{{\"greeting\": \"{value}\"}}")).unwrap();
    }
    let greeting = |arguments: &[&str]| {
        let (status, stdout, stderr) =
            mkimg(project.path()).args(&[&["render"], arguments].concat()).envs(TOKEN).run().into_parts();
        assert_eq!(status, 0, "{stderr}");
        let found =
            ["hello", "one", "two", "three", "four"].iter().find(|word| stdout.contains(&format!("{word} s3cr3t")));
        (*found.unwrap()).to_owned()
    };
    assert_eq!(greeting(&[]), "hello");
    assert_eq!(greeting(&["--var-file", "one.yaml"]), "one");
    assert_eq!(greeting(&["--var-file", "one.yaml", "--var-file", "two.json"]), "two");
    assert_eq!(greeting(&["--var-file", "two.json", "--var-file", "one.yaml"]), "one");
    assert_eq!(greeting(&["--var", "greeting=three", "--var", "greeting=four"]), "four");
    // The position on the command line makes no difference.
    assert_eq!(greeting(&["--var", "greeting=three", "--var-file", "one.yaml"]), "three");
}

/// Runs a program with a terminal as its output, and prints its output.
const TERMINAL: &str = r"
import os, pty, sys
pty.spawn(sys.argv[1:])
";

#[test]
fn colour_is_for_terminals_that_want_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), "#cloud-config\npackges: [a]\n").unwrap();
    let on_terminal = |color: &str, environment: &[(&str, &str)]| {
        let mut command = Command::new("python3");
        command.args(["-c", TERMINAL, MKIMG, "validate", "--color", color, "a.yaml"]);
        command.current_dir(folder.path()).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env_remove("CI");
        command.env("TERM", "xterm").envs(environment.iter().copied()).stdin(Stdio::null());
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(output.contains("MK101"), "{output}");
        output.contains('\u{1b}')
    };
    assert!(on_terminal("auto", &[]));
    assert!(!on_terminal("never", &[]));
    assert!(!on_terminal("auto", &[("NO_COLOR", "1")]));
    assert!(on_terminal("always", &[("NO_COLOR", "1")]));
    assert!(!on_terminal("auto", &[("TERM", "dumb")]));
    let piped = |color: &str| {
        mkimg(folder.path()).args(["validate", "--color", color, "a.yaml"]).run().stdout.contains('\u{1b}')
    };
    assert!(!piped("auto") && piped("always"));
}
