//! The verdicts and key paths of mkimg against those of the cloud-init that is installed (Debian's package).
//!
//! `MKIMG_DIFFERENTIAL=20000` compares more documents, `MKIMG_DIFFERENTIAL_SEED` others, and PYTHONPATH chooses another
//! cloud-init. A machine without one (or with a version that mkimg does not offer) has nothing to compare with: the test
//! says so and passes, unless `MKIMG_DIFFERENTIAL` is set.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "edge: a test reads the environment and starts programs")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

const DOCUMENTS: &str = "400";

#[test]
fn verdicts_and_paths_are_those_of_cloud_init() {
    let asked = std::env::var("MKIMG_DIFFERENTIAL").ok();
    let seed = std::env::var("MKIMG_DIFFERENTIAL_SEED").unwrap_or_else(|_| "1".into());
    let directory = tempfile::tempdir().unwrap();
    let generator = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/generate.py");
    let generated = Command::new("/usr/bin/python3")
        .arg(generator)
        .arg(directory.path())
        .arg(asked.as_deref().unwrap_or(DOCUMENTS))
        .arg(&seed)
        .output();
    let nothing = |reason: &str| {
        assert!(asked.is_none(), "{reason}");
        eprintln!("nothing compared: {reason}");
    };
    let generated = match generated {
        Ok(output) if output.status.success() => output,
        Ok(output) => return nothing(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => return nothing(&format!("no /usr/bin/python3: {error}")),
    };
    let generated: Value = serde_json::from_slice(&generated.stdout).unwrap();
    let version = generated["version"].as_str().unwrap();
    let version = match version.split(['.', '-']).take(2).collect::<Vec<_>>().join(".").as_str() {
        "22.4" => "22.4",
        "26.2" => "26.2",
        other => return nothing(&format!("cloud-init {other} is not one of those that are proven")),
    };
    let judged = Command::new(env!("CARGO_BIN_EXE_mkimg"))
        .args(["validate", "--format", "json", "--limit", "none", "--cloud-init", version])
        .arg(directory.path())
        .output()
        .unwrap();
    let judged: Value = serde_json::from_slice(&judged.stdout).unwrap();
    let documents = judged["documents"].as_array().unwrap();
    let expected = generated["expected"].as_array().unwrap();
    assert_eq!(documents.len(), expected.len());
    let mut differences = Vec::new();
    let mut compared = 0;
    for (document, expected) in documents.iter().zip(expected) {
        // Where cloud-init dies of a document, there is no verdict to compare with.
        let Some(expected) = expected.as_array() else { continue };
        compared += 1;
        let paths = |severity: &str| -> BTreeSet<&str> {
            let found = document["diagnostics"].as_array().unwrap().iter();
            let found = found.filter(|found| found["origin"] == "cloud-init" && found["severity"] == severity);
            found.map(|found| found["path"].as_str().unwrap()).collect()
        };
        let expected_paths = |index: usize| -> BTreeSet<&str> {
            expected[index].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect()
        };
        let same = document["verdict"] == expected[0]
            && paths("error") == expected_paths(1)
            && paths("deprecated") == expected_paths(2);
        if !same {
            let text = std::fs::read_to_string(document["file"].as_str().unwrap()).unwrap();
            differences.push(format!(
                "{text}cloud-init: {expected:?}\nmkimg: {} {:?} {:?}\n",
                document["verdict"],
                paths("error"),
                paths("deprecated")
            ));
        }
    }
    assert!(compared * 100 >= expected.len() * 95, "cloud-init judged only {compared} of {}", expected.len());
    assert!(
        differences.is_empty(),
        "{} of {compared} differ:\n{}",
        differences.len(),
        differences[..differences.len().min(10)].join("\n")
    );
}
