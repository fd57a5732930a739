//! Valid documents, one for each module and form in cloud-init's documentation. They must have no finding.
//!
//! They are in `tests/cases/good/`; a new module or form gets a file there. `differential/validate.rs` checks that cloud-init
//! accepts them, too.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mkimg::diag::Verdict;
use mkimg::validate::{Options, Version, tables, validate_bytes};

use crate::harness::tests;

fn documents() -> Vec<PathBuf> {
    let folder = tests("cases/good");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn nothing_is_found_in_good_documents() {
    let mut wrong = Vec::new();
    let all = documents();
    for path in &all {
        let report = validate_bytes("good.yaml", std::fs::read(path).unwrap(), &Options::default());
        let document = &report.documents[0];
        let found: Vec<_> = document.findings.diagnostics.iter().map(|found| (found.code, &found.message)).collect();
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
        let text = std::fs::read_to_string(path).unwrap();
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
