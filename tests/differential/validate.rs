//! mkimg's tables, verdicts, key paths and lines of YAML errors, compared with those of cloud-init itself.
//!
//! By default, some hundred documents are compared with the oldest cloud-init that mkimg offers. With
//! `MKIMG_DIFFERENTIAL=20000` that many are compared with each version that mkimg offers. `MKIMG_DIFFERENTIAL_SEED` generates
//! other documents, and `MKIMG_DIFFERENTIAL_VERSIONS="25.1 26.2"` chooses the versions.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use userdata_lint::{Version, tables};

use crate::harness::{MKIMG, mkimg, repository, tests};
use crate::packages;

const DOCUMENTS: usize = 500;
/// How many documents one run of Python and mkimg compares.
const BATCH: usize = 2_000;
/// The most differences that a failure prints.
const MAX_SHOWN: usize = 10;

/// The versions to compare with: the oldest one that mkimg offers, or all of them in a long run.
fn versions() -> Vec<Version> {
    if let Ok(chosen) = std::env::var("MKIMG_DIFFERENTIAL_VERSIONS") {
        return chosen
            .split_whitespace()
            .map(|version| version.parse().expect("a version that mkimg offers"))
            .collect();
    }
    if is_long_run() { Version::PROVEN.to_vec() } else { vec![Version::PROVEN[0]] }
}

fn is_long_run() -> bool {
    std::env::var_os("MKIMG_DIFFERENTIAL").is_some()
}

/// Each cloud-init's Python modules with its version, without those that cannot be had.
fn cloud_inits() -> Vec<(PathBuf, Version)> {
    let versions = versions().into_iter();
    versions
        .filter_map(|version| Some((packages::cloud_init(&version.to_string(), is_long_run())?, version)))
        .inspect(|(modules, version)| assert_eq!(version_of(modules), *version))
        .collect()
}

fn script(name: &str, modules: &Path) -> Command {
    let mut command = packages::python(modules);
    command.arg(tests("differential").join(name));
    command
}

/// The version that Python finds.
fn version_of(modules: &Path) -> Version {
    let program = "from cloudinit import version; print(version.version_string())";
    let output = packages::python(modules).args(["-c", program]).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a version that mkimg offers")
}

#[test]
fn tables_say_what_the_schema_says() {
    for (cloud_init, version) in cloud_inits() {
        let mut child =
            script("compare_tables.py", &cloud_init).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(tables(version).to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let differences = String::from_utf8_lossy(&output.stdout).trim().to_string();
        assert!(differences.is_empty(), "cloud-init {version}:\n{differences}");
    }
}

#[test]
fn cloud_init_accepts_the_good_documents() {
    for (cloud_init, _) in cloud_inits().into_iter().filter(|(_, version)| *version == Version::LATEST) {
        let folder = std::fs::read_dir(tests("cases/good")).unwrap();
        let paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        let output = script("verdict.py", &cloud_init).args(&paths).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed.lines().count(), paths.len());
        let refused: Vec<_> = printed.lines().filter(|line| !line.contains("\"verdict\": \"valid\"")).collect();
        assert!(refused.is_empty(), "{}", refused.join("\n"));
    }
}

#[test]
fn cloud_init_accepts_a_rendered_document_without_a_warning() {
    for (modules, version) in cloud_inits() {
        let folder = tempfile::tempdir().unwrap();
        let document = mkimg(tests("cases/render/base")).arg("render").run().success().stdout;
        std::fs::write(folder.path().join("out.yaml"), document).unwrap();
        let output = packages::python(&modules)
            .args(["-m", "cloudinit.cmd.main", "schema", "--config-file", "out.yaml"])
            .current_dir(folder.path())
            .output()
            .expect("python3 runs");
        let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cloud-init {version}: {printed}");
        // 22.4 says the one, later versions the other; a warning would be one more line.
        let valid = ["Valid cloud-config: out.yaml", "Valid schema out.yaml"];
        assert!(valid.contains(&printed.trim()), "cloud-init {version}: {printed}");
    }
}

#[test]
fn verdicts_and_paths_are_those_of_cloud_init() {
    let asked = std::env::var("MKIMG_DIFFERENTIAL").ok();
    let count: usize = asked.map_or(DOCUMENTS, |count| count.parse().unwrap());
    let seed = std::env::var("MKIMG_DIFFERENTIAL_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut wrong = Vec::new();
    for (cloud_init, version) in cloud_inits() {
        let mut totals = Totals::default();
        for (batch, start) in (0..count).step_by(BATCH).enumerate() {
            let size = BATCH.min(count - start);
            compare_batch(&cloud_init, version, size, seed * 1_000_000 + batch, &mut totals);
        }
        eprintln!(
            "cloud-init {version}: {count} documents, {:?}; cloud-init dies of {:?}, of which mkimg says {:?}; {} differ",
            totals.verdicts,
            totals.died.values().sum::<usize>(),
            totals.died,
            totals.differences.len()
        );
        let died: usize = totals.died.values().sum();
        assert!(died * 20 <= count, "cloud-init checked only {} of {count}", count - died);
        if !totals.differences.is_empty() {
            let shown = totals.differences[..totals.differences.len().min(MAX_SHOWN)].join("\n----\n");
            wrong.push(format!("cloud-init {version}: {} of {count} differ:\n{shown}", totals.differences.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n====\n"));
}

#[derive(Default)]
struct Totals {
    /// The verdicts of cloud-init, counted.
    verdicts: BTreeMap<String, usize>,
    /// The verdicts of mkimg on documents that crash cloud-init, counted.
    died: BTreeMap<String, usize>,
    differences: Vec<String>,
}

fn compare_batch(cloud_init: &Path, version: Version, count: usize, seed: usize, totals: &mut Totals) {
    let directory = tempfile::tempdir().unwrap();
    let good = |pattern: &str| repository().join(pattern).into_os_string();
    let generated = script("generate.py", cloud_init)
        .arg(directory.path())
        .args([count.to_string(), seed.to_string()])
        .args([good("tests/cases/good/*.yaml"), good("fixtures/*/user-data.yaml")])
        .output()
        .unwrap();
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    let generated: Value = serde_json::from_slice(&generated.stdout).unwrap();
    let linted = Command::new(MKIMG)
        .args(["validate", "--format", "json", "--limit", "none", "--cloud-init", &version.to_string()])
        .arg(directory.path())
        .output()
        .unwrap();
    let linted: Value = serde_json::from_slice(&linted.stdout).unwrap();
    let documents = linted["documents"].as_array().unwrap();
    let expected = generated["expected"].as_array().unwrap();
    assert_eq!(documents.len(), expected.len());
    for (document, expected) in documents.iter().zip(expected) {
        let verdict = document["verdict"].as_str().unwrap();
        // If cloud-init crashes on a document, there is no verdict to compare with.
        let Some(theirs) = expected["verdict"].as_str() else {
            *totals.died.entry(verdict.into()).or_default() += 1;
            continue;
        };
        *totals.verdicts.entry(theirs.into()).or_default() += 1;
        let found = document["diagnostics"].as_array().unwrap();
        // The command rejects every multi-part document, with any parts.
        if document["kind"] == "mime" && theirs == "invalid" && found.iter().any(|found| found["code"] == "MK008") {
            continue;
        }
        let found: Vec<_> = found.iter().filter(|found| found["origin"] == "cloud-init").collect();
        let paths = |severity: &str| -> Vec<&str> {
            let of = found.iter().filter(|found| found["severity"] == severity);
            let mut paths: Vec<_> = of.map(|found| found["path"].as_str().unwrap()).collect();
            paths.sort_unstable();
            paths.dedup();
            paths
        };
        // For kinds of user-data that the command refuses, it gives a verdict and no paths.
        if found.iter().any(|found| found["code"] == "MK008") && verdict == theirs {
            continue;
        }
        let lines: Vec<_> =
            found.iter().filter(|found| found["severity"] == "error").map(|found| &found["line"]).collect();
        let same = verdict == theirs
            && Value::from(paths("error")) == expected["errors"]
            && Value::from(paths("deprecated")) == expected["deprecated"]
            && (expected["line"].is_null() || lines.contains(&&expected["line"]));
        if !same {
            let text = std::fs::read(document["file"].as_str().unwrap()).unwrap();
            totals.differences.push(format!(
                "{}\ncloud-init: {expected}\nmkimg: {verdict} {:?} {:?} lines {lines:?}",
                String::from_utf8_lossy(&text[..text.len().min(600)]).escape_debug().to_string().replace("\\n", "\n"),
                paths("error"),
                paths("deprecated")
            ));
        }
    }
}
