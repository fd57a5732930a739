//! Holds `src/` to the table in `docs/design/architecture.md`: who may import whom, and how long a file may be.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "edge: the test reads the sources")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longer files are two subjects in one.
const MOST_LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Room → rooms that it may import; `None` for every room.
fn table() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let page = fs::read_to_string(root().join("docs/design/architecture.md")).unwrap();
    let names = |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let may = (cells[2] != "everything").then(|| names(cells[2]));
        (names(cells[0]).into_iter().next().unwrap(), may)
    })
    .collect()
}

fn sources() -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(root().join("src")).sort_by_file_name();
    let files = files.into_iter().map(|entry| entry.unwrap().into_path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect()
}

/// The room of a file, by the first part of its path.
fn room(path: &Path) -> String {
    let first = path.strip_prefix(root().join("src")).unwrap().components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The rooms that a line of code names through `crate::`.
fn named(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let after = code.split("crate::").skip(1);
    after.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

#[test]
fn imports_follow_the_table() {
    let table = table();
    assert!(table.len() >= 12, "the table of rooms was not found in docs/design/architecture.md");
    let mut faults = Vec::new();
    for path in sources() {
        let from = room(&path);
        if from == "lib" || from == "main" {
            continue;
        }
        let Some(may) = table.get(&from) else {
            faults.push(format!("{}: the room `{from}` is not in the table", path.display()));
            continue;
        };
        let Some(may) = may else { continue };
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            for to in named(line) {
                if to != from && !may.contains(&to) {
                    faults.push(format!("{}:{}: `{from}` may not import `{to}`", path.display(), index + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_import_of_another_room_is_seen() {
    assert_eq!(named("use crate::model::{Plan, Value};"), ["model"]);
    assert_eq!(named("    let x = crate::yaml::parse(&crate::source::Source::new(a, b));"), ["yaml", "source"]);
    assert_eq!(named("// crate::model is not used"), Vec::<String>::new());
}

#[test]
fn files_are_short() {
    let long: Vec<String> = sources()
        .iter()
        .map(|path| (path, fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
