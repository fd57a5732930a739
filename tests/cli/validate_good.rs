//! Documents that are right, one for each module and form that cloud-init's documentation shows: nothing at all is found.
//!
//! `tests/cases/good/` holds them; a new module or form gets a file there. That cloud-init calls them valid, too, is asked of
//! 26.2 when `MKIMG_DIFFERENTIAL` is set (`validate_differential.rs` unpacks it).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mkimg::diag::Verdict;
use mkimg::validate::{Options, Version, tables, validate_bytes};

fn documents() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/good");
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

/// Every top-level key that is not going away stands in a good document.
#[test]
fn good_documents_have_every_key() {
    let mut seen = BTreeSet::new();
    for path in documents() {
        let text = std::fs::read_to_string(path).unwrap();
        seen.extend(text.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key.to_string()));
    }
    let known = tables(Version::LATEST);
    // `version` and `migrate` are accepted, and mean nothing.
    // `version` and `migrate` are accepted, and mean nothing.
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
