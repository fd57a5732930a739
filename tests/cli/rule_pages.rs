//! The pages under `docs/rules/` are those that the registry makes: `SNAPSHOTS=overwrite` writes them.

use std::collections::BTreeMap;
use std::path::Path;

use mkimg::validate::rules::{REGISTRY, index, page};

#[test]
fn rule_pages_are_up_to_date() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules");
    let mut wanted: BTreeMap<String, String> =
        REGISTRY.iter().map(|rule| (format!("{}.md", rule.code), page(rule))).collect();
    wanted.insert("README.md".into(), index());
    if std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "overwrite") {
        std::fs::create_dir_all(&directory).unwrap();
        for (name, text) in &wanted {
            std::fs::write(directory.join(name), text).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        found.insert(entry.file_name().into_string().unwrap(), text);
    }
    let stale: Vec<_> =
        wanted.iter().filter(|(name, text)| found.get(*name) != Some(text)).map(|(name, _)| name).collect();
    assert!(stale.is_empty(), "stale pages (SNAPSHOTS=overwrite writes them): {stale:?}");
    let left: Vec<_> = found.keys().filter(|name| !wanted.contains_key(*name)).collect();
    assert!(left.is_empty(), "pages of rules that are gone: {left:?}");
}
