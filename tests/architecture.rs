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

/// Rooms that are large enough to have an order of their own.
const ORDERED: [&str; 2] = ["bake", "cli/bake"];

/// The file of a room that a path belongs to: `journal` for `journal.rs` and for all that is under `journal/`.
fn part(path: &Path, room: &str) -> Option<String> {
    let below = path.strip_prefix(root().join("src").join(room)).ok()?.components().next()?;
    let name = Path::new(below.as_os_str()).file_stem()?.to_str()?.to_owned();
    (name != "mod" && name != "tests").then_some(name)
}

/// Which files of a room a file imports.
fn parts_named(text: &str, room: &str, names: &BTreeSet<String>) -> BTreeSet<String> {
    let from_outside = format!("crate::{}::", room.replace('/', "::"));
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let uses = code.split(';').filter_map(|statement| statement.trim_start().rsplit_once("use ").map(|(_, path)| path));
    let paths = uses.filter_map(|path| path.strip_prefix("super::").or_else(|| path.strip_prefix(&from_outside)));
    let words_of = |path: &str| -> Vec<String> {
        let words =
            path.trim_start_matches('{').split(',').map(|one| one.trim().split("::").next().unwrap_or_default());
        words.map(|word| word.trim_matches(['{', '}']).to_owned()).collect()
    };
    paths.flat_map(words_of).filter(|name| names.contains(name)).collect()
}

#[test]
fn files_of_an_ordered_room_import_each_other_in_no_circle() {
    for room in ORDERED {
        let files: Vec<(String, PathBuf)> =
            sources().into_iter().filter_map(|path| Some((part(&path, room)?, path))).collect();
        let names: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, path) in &files {
            let mut others = parts_named(&fs::read_to_string(path).unwrap(), room, &names);
            others.remove(name);
            imports.entry(name.clone()).or_default().extend(others);
        }
        assert!(imports.len() > 10 && imports.values().map(BTreeSet::len).sum::<usize>() > 10, "{room}: {imports:?}");
        // Whoever imports nothing that still stands goes; a circle stays.
        while let Some(free) = imports.iter().find(|(_, named)| named.is_empty()).map(|(name, _)| name.clone()) {
            imports.remove(&free);
            for others in imports.values_mut() {
                others.remove(&free);
            }
        }
        assert!(imports.is_empty(), "src/{room}: a circle, and those that import it: {imports:#?}");
    }
}

#[test]
fn an_import_of_another_file_of_the_room_is_seen() {
    let names: BTreeSet<String> = ["ports", "spec", "ending"].map(str::to_owned).into();
    let seen = |text: &str| parts_named(text, "cli/bake", &names).into_iter().collect::<Vec<_>>();
    assert_eq!(seen("//! Says.\n\nuse std::fmt;\npub use super::ports::{A, B};\n"), ["ports"]);
    assert_eq!(seen("use super::{Api, ending, spec::C};\nuse crate::bake::ports::D;\n"), ["ending", "spec"]);
    assert_eq!(seen("#[cfg(test)]\nmod tests {\n    use super::ports;\n}\n"), Vec::<String>::new());
}
