//! README.md and docs/ are true: their commands and options exist, their links have targets, and the program prints the example
//! of a finding.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::harness::{mkimg, repository};

/// README.md and the hand-written pages of docs/, with their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec![repository().join("README.md")];
    for folder in ["docs", "docs/design"] {
        let entries = fs::read_dir(repository().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        paths.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    assert!(paths.len() >= 10, "{paths:?}");
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// All code of a page: lines of indented blocks, and spans between backticks.
fn code(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(block) => found.push(block),
            None => found.extend(line.split('`').skip(1).step_by(2)),
        }
    }
    found
}

/// The calls of mkimg in a piece of code, split into words. `|`, `&&` and `;` end a command.
fn commands(code: &str) -> Vec<Vec<&str>> {
    let code = code.split(" #").next().unwrap_or_default();
    let parts = code.split("&&").flat_map(|part| part.split(" | ")).flat_map(|part| part.split(';'));
    parts
        .filter_map(|part| {
            let words: Vec<&str> = part
                .split_whitespace()
                .skip_while(|word| *word == "$" || word.contains('=') || *word == "sudo")
                .collect();
            (words.first() == Some(&"mkimg")).then(|| words[1..].to_vec())
        })
        .collect()
}

fn option(word: &str) -> Option<&str> {
    let word = word.trim_start_matches(['(', '[', '\'']);
    let name = word.strip_prefix("--")?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(name.len());
    (end > 0).then(|| &word[..end + 2])
}

/// The help of each command, subcommands included.
fn helps() -> BTreeMap<String, String> {
    let listed = mkimg(repository()).arg("--help").run().stdout;
    let listed = listed.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<String> = listed
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect();
    assert!(!names.is_empty());
    let mut helps: BTreeMap<String, String> = names
        .into_iter()
        .map(|name| (name.clone(), mkimg(repository()).args([&name, "--help"]).run().stdout))
        .collect();
    for inner in ["build", "pull", "list"] {
        let help = mkimg(repository()).args(["base", inner, "--help"]).run().stdout;
        helps.get_mut("base").unwrap().push_str(&help);
    }
    helps
}

#[test]
fn every_command_in_the_documentation_exists() {
    let helps = helps();
    let mut looked_at = 0;
    for (path, text) in pages() {
        for piece in code(&text) {
            for words in commands(piece) {
                let Some(first) = words.iter().find(|word| word.starts_with(|c: char| c.is_ascii_lowercase())) else {
                    continue;
                };
                let place = format!("{}: {piece}", path.display());
                if *first == "help" {
                    continue;
                }
                let help = helps.get(first.trim_end_matches(',')).unwrap_or_else(|| panic!("{place}: no such command"));
                for option in words.iter().filter_map(|word| option(word)) {
                    let known = help.split(|c: char| c.is_whitespace() || "=[,".contains(c)).any(|word| word == option);
                    assert!(known, "{place}: {option} is no option of `mkimg {first}`");
                }
                looked_at += 1;
            }
        }
    }
    assert!(looked_at >= 80, "{looked_at}");
}

/// An option that is mentioned alone belongs to a command of mkimg, or to a program that is named here.
#[test]
fn every_option_in_the_documentation_exists() {
    // cargo's, and the program's own beside its commands.
    let of_others: BTreeSet<&str> = ["--no-default-features", "--version"].into();
    let known: BTreeSet<String> = helps()
        .values()
        .flat_map(|help| help.split(|c: char| c.is_whitespace() || "=[,".contains(c)))
        .filter(|word| word.starts_with("--"))
        .map(str::to_owned)
        .collect();
    for (path, text) in pages() {
        // The page about the image describes the programs of the image.
        if path.ends_with("docs/image.md") || path.starts_with(repository().join("docs/design")) {
            continue;
        }
        for piece in code(&text).into_iter().filter(|piece| piece.starts_with("--") && !piece.starts_with("---")) {
            let option = option(piece).unwrap_or(piece);
            assert!(known.contains(option) || of_others.contains(option), "{}: {piece}", path.display());
        }
    }
}

#[test]
fn the_readme_names_every_command() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let pieces: BTreeSet<&str> = code(&readme).into_iter().flat_map(str::split_whitespace).collect();
    for command in helps().keys() {
        assert!(pieces.contains(command.as_str()), "{command}");
    }
}

#[test]
fn links_lead_somewhere() {
    let mut followed = 0;
    for (path, text) in pages() {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let file = target.split('#').next().unwrap_or_default();
            let place = path.parent().unwrap().join(file);
            assert!(file.is_empty() || place.exists(), "{}: {target}", path.display());
            followed += 1;
        }
    }
    assert!(followed >= 20, "{followed}");
}

/// The document whose finding the README shows.
const DOCUMENT: &str = "#cloud-config
packages: [curl]
write_files:
  - path: /etc/app.conf
    content: port = 80
    owner: app:app
users:
  - default
  - name: app
";

#[test]
fn the_readmes_finding_is_what_the_program_prints() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, after) = readme.split_once("    $ mkimg validate user-data.yaml\n").unwrap();
    let shown: Vec<&str> = after.lines().map_while(|line| line.strip_prefix("    ")).map(str::trim_end).collect();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("user-data.yaml"), DOCUMENT).unwrap();
    let printed = mkimg(folder.path()).args(["validate", "user-data.yaml"]).run().stdout;
    let printed: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
    assert_eq!(shown, printed);
}
