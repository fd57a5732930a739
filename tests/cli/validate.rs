//! `mkimg validate` as a user calls it: directories, standard input, projects with suppressions, secrets, colour, complete
//! outputs, valid documents, SARIF, rules about templates, and the limits of providers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use diagnostics::Verdict;
use userdata_lint::rules::REGISTRY;
use userdata_lint::{Options, Version, lint_bytes, tables};

use crate::harness::{MKIMG, compare_with_file, mkimg, python, run_python, tests};

fn json(directory: &Path, arguments: &[&str]) -> serde_json::Value {
    mkimg(directory).args(["validate", "--format", "json"]).args(arguments).run().json()
}

#[test]
fn other_files_in_a_directory_are_skipped() {
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
    write("e.yml", b"packages: [no header]\n");
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
        ("d/e.yml", "invalid"),
        ("d/logo.bin", "skipped"),
        ("d/notes.md", "invalid"),
    ];
    assert_eq!(shown, expected);
    let report = json(folder.path(), &["d/README.md"]);
    assert_eq!(report["documents"][0]["verdict"], "invalid");
    // A directory without files is not a valid one.
    fs::create_dir(folder.path().join("empty")).unwrap();
    let run = mkimg(folder.path()).args(["validate", "d/a.yaml", "empty"]).run().exits(2);
    run.stderr_has("error: cannot read empty: the directory contains no files\nnote: 1 document: 1 valid\n");
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
            mkimg(project.path()).args([&["render"], arguments].concat()).envs(TOKEN).run().into_parts();
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
        let mut command = python();
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

// --- complete outputs
//
// Each directory under `tests/cases/validate/` holds documents, the arguments (`args`, one a line; without it, every document
// there), and the expected `stdout`, `stderr` and `status`. `make bless` rewrites the last three.

fn outputs(case: &Path) -> [(&'static str, String); 3] {
    let arguments: Vec<String> = if let Ok(arguments) = fs::read_to_string(case.join("args")) {
        arguments.lines().map(str::to_owned).collect()
    } else {
        let mut names: Vec<_> = fs::read_dir(case)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["args", "stdout", "stderr", "status"].contains(&name.as_str()))
            .collect();
        names.sort();
        names
    };
    let run = mkimg(case).arg("validate").args(arguments).run();
    [("stdout", run.stdout), ("stderr", run.stderr), ("status", format!("{}\n", run.exit))]
}

#[test]
fn every_case_prints_what_it_says() {
    let cases = tests("cases/validate");
    let mut count = 0;
    let mut wrong = Vec::new();
    for case in fs::read_dir(&cases).unwrap() {
        let case = case.unwrap().path();
        count += 1;
        for (name, text) in outputs(&case) {
            wrong.extend(compare_with_file(&case.join(name), &text));
        }
    }
    assert!(count >= 10, "only {count} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// --- valid documents
//
// `tests/cases/good/` has one for each module and form in cloud-init's documentation; a new module or form gets a file there.
// `differential/validate.rs` checks that cloud-init accepts them, too.

fn documents() -> Vec<PathBuf> {
    let folder = tests("cases/good");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn nothing_is_found_in_good_documents() {
    let mut wrong = Vec::new();
    let all = documents();
    for path in &all {
        let report = lint_bytes("good.yaml", fs::read(path).unwrap(), &Options::default());
        let document = &report.documents[0];
        let found: Vec<_> =
            document.findings.diagnostics.iter().map(|found| (found.rule.code, &found.message)).collect();
        if document.verdict != Verdict::Valid || !found.is_empty() {
            wrong.push(format!("{}: {:?} {found:?}", path.display(), document.verdict));
        }
    }
    assert!(all.len() >= 80, "only {} documents", all.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every top-level key that is not deprecated is used in a good document.
#[test]
fn good_documents_have_every_key() {
    let mut seen = BTreeSet::new();
    for path in documents() {
        let text = fs::read_to_string(path).unwrap();
        seen.extend(text.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key.to_string()));
    }
    let known = tables(Version::LATEST);
    // `version` and `migrate` are accepted, and have no effect.
    let is_current = |shape: &serde_json::Value| shape.get("deprecated").is_none();
    let missing: Vec<_> = known
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, shape)| {
            is_current(shape) && !seen.contains(*key) && !["version", "migrate"].contains(&key.as_str())
        })
        .map(|(key, _)| key)
        .collect();
    assert!(missing.is_empty(), "no good document has {missing:?}");
}

// --- SARIF
//
// `MKIMG_SARIF_SCHEMA` names SARIF's schema file (`sarif-schema-2.1.0.json`), which this repository may not include. Without it,
// only what GitHub's code scanning needs is checked.

/// Arguments: the schema, then logs. Each log conforms, and no longer does with a level that SARIF does not define.
const CONFORMS: &str = r#"
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
validator = jsonschema.validators.validator_for(schema)
validator.check_schema(schema)
validator = validator(schema, format_checker=validator.FORMAT_CHECKER)
for path in sys.argv[2:]:
    log = json.load(open(path))
    validator.validate(log)
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not validator.is_valid(log), path
"#;

#[test]
fn every_log_conforms() {
    let scratch = tempfile::tempdir().unwrap();
    let examples = scratch.path().join("examples");
    fs::create_dir(&examples).unwrap();
    for rule in REGISTRY {
        for bad in rule.bad {
            fs::write(examples.join(format!("{}, bad: 100%.yaml", rule.code)), bad).unwrap();
        }
    }
    let cases = tests("cases/validate");
    let mut folders: Vec<_> = fs::read_dir(cases).unwrap().map(|case| case.unwrap().path()).collect();
    folders.sort();
    folders.push(examples);
    let mut logs = Vec::new();
    for folder in &folders {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> =
            names.filter(|name| !["args", "stdout", "stderr", "status"].contains(&name.as_str())).collect();
        names.sort();
        if names.is_empty() {
            continue;
        }
        let log = mkimg(folder).args(["validate", "--format", "sarif"]).args(&names).run();
        let value = log.json();
        let run = &value["runs"][0];
        let results = run["results"].as_array().unwrap();
        for result in results {
            let location = &result["locations"][0]["physicalLocation"]["artifactLocation"];
            assert_eq!(location["uriBaseId"], "%SRCROOT%", "{result}");
            assert!(!result["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap().is_empty());
            let rule = &run["tool"]["driver"]["rules"][usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!(rule["id"], result["ruleId"]);
            assert!(rule["help"]["markdown"].as_str().unwrap().starts_with("# MK"), "{rule}");
        }
        let prints: BTreeSet<String> = results
            .iter()
            .map(|result| format!("{}{}{}", result["ruleId"], result["locations"], result["partialFingerprints"]))
            .collect();
        assert_eq!(prints.len(), results.len(), "two alerts would be one: {}", folder.display());
        if !results.is_empty() {
            let file = scratch.path().join(format!("{}.sarif", logs.len()));
            fs::write(&file, log.stdout).unwrap();
            logs.push(file);
        }
    }
    assert!(logs.len() > 15, "only {} logs have results", logs.len());
    let Some(schema) = std::env::var_os("MKIMG_SARIF_SCHEMA") else {
        eprintln!("SKIPPED: MKIMG_SARIF_SCHEMA names no schema of SARIF's to compare with");
        return;
    };
    run_python(CONFORMS, std::iter::once(schema).chain(logs.into_iter().map(Into::into)));
}

// --- rules about templates, and providers

/// The codes that a project with this template gives.
fn codes(template: &str) -> Vec<String> {
    let project = tempfile::tempdir().unwrap();
    fs::create_dir(project.path().join("templates")).unwrap();
    fs::create_dir(project.path().join("scripts")).unwrap();
    fs::write(project.path().join("scripts/firewall.sh"), "#!/bin/sh\nufw --force enable\n").unwrap();
    let template = format!("{template}scripts: [scripts/firewall.sh]\n");
    fs::write(project.path().join("templates/a.yaml"), template).unwrap();
    let report = mkimg(project.path()).args(["validate", "--format", "json"]).run().json();
    let documents = report["documents"].as_array().unwrap();
    let found = documents.iter().flat_map(|document| document["diagnostics"].as_array().unwrap());
    found.map(|found| found["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn template_examples_have_the_documented_findings() {
    let rules: Vec<_> = REGISTRY.iter().filter(|rule| rule.about_templates).collect();
    assert!(rules.len() >= 3);
    for rule in rules {
        for bad in rule.bad {
            let found = codes(std::str::from_utf8(bad).unwrap());
            assert!(found.contains(&rule.code.to_owned()), "{}: {found:?}", rule.code);
        }
        for good in rule.good {
            let found = codes(std::str::from_utf8(good).unwrap());
            assert!(found.is_empty(), "{}: {found:?}", rule.code);
        }
    }
}

#[test]
fn downloads_and_requests_of_a_template_are_reported_at_their_line() {
    let template = "variables: {version: \"24.3.1\"}\nartifacts:\n  - {url: 'https://binaries.cockroachdb.com/cockroach-v{{ version }}.linux-amd64.tgz', unpack: {cockroach: /usr/local/bin/cockroach}}\ndroplet: {image: ubuntu-24-04-x64, region: nyc3, size: s-1vcpu-1gb, monitoring: true}\nupgrade: true\nsnapshot: {name: a}\n";
    let mut found = codes(template);
    found.sort();
    // Reported once, at the template and not at the rendered document.
    assert_eq!(found, ["MK384", "MK390", "MK391"]);
    assert!(!codes(&template.replace("24.3.1", "24.1.6")).contains(&"MK390".to_owned()));
}

#[test]
fn providers_and_limits() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |name: &str, bytes: usize| format!("  - path: /{name}\n    content: {}\n", "a b ".repeat(bytes / 4));
    let text = format!("#cloud-config\nwrite_files:\n{}{}", entry("small", 100), entry("large", 50_000));
    fs::write(folder.path().join("a.yaml"), &text).unwrap();
    let run = |arguments: &[&str]| {
        let (exit, stdout, stderr) =
            mkimg(folder.path()).arg("validate").args(arguments).arg("a.yaml").run().into_parts();
        (exit, stdout + &stderr)
    };
    assert_eq!(run(&[]).0, 0);
    let (status, printed) = run(&["--provider", "ec2", "--provider", "hetzner", "--provider", "azure"]);
    assert_eq!(status, 1);
    let over = |limit: usize| format!("{} more than fit", text.len() - limit);
    assert!(
        printed.contains(&over(16_384)) && printed.contains("Amazon EC2") && printed.contains(&over(32_768)),
        "{printed}"
    );
    assert!(!printed.contains("Azure") && printed.contains("the largest are `/large`"), "{printed}");
    let (status, printed) = run(&["--provider", "ovh"]);
    assert_eq!(status, 1, "66,000 bytes of base64: {printed}");
    assert!(printed.contains("in base64"), "{printed}");
    assert_eq!(run(&["--limit", "none"]).0, 0);
    let (status, printed) = run(&["--limit", "40000"]);
    assert!(status == 1 && printed.contains("more than the limit of 40000"), "{printed}");
    let (status, printed) = run(&["--provider", "nobody"]);
    assert!(status == 2 && printed.contains("hetzner"), "{printed}");
}
