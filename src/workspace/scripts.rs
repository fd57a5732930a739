//! Finds and reads the scripts that a template names, and refuses those that cannot run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use super::fault::{TreeError, TreeFault};
use super::tree::{entrance, read, reason, relative};
use crate::model::{ImageSpec, Script};

#[derive(Debug, Default)]
pub(super) struct Scripts {
    pub ordered: Vec<Script>,
    pub cleanup: Option<Script>,
    pub check: Option<Script>,
}

pub(super) fn scripts(root: &Path, spec: &ImageSpec, faults: &mut Vec<TreeFault>) -> Scripts {
    let mut scripts = Scripts::default();
    let apart: Vec<&str> = spec.cleanup.iter().chain(&spec.check).map(|path| plain(path)).collect();
    let mut listed: Vec<(String, String)> = Vec::new();
    for (index, pattern) in spec.scripts.iter().enumerate() {
        let key = format!("scripts.{index}");
        match expand(root, plain(pattern)) {
            Ok(paths) => {
                let is_glob = is_glob(pattern);
                for path in paths {
                    let known = listed.iter().any(|(_, listed)| *listed == path);
                    let is_apart = is_glob && apart.contains(&path.as_str());
                    // Cleanup and check run in their own time, even where a glob matches them.
                    if !known && !is_apart {
                        listed.push((key.clone(), path));
                    }
                }
            }
            Err(error) => faults.push(TreeFault { key, error }),
        }
    }
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut take = |key: &str, path: &str| match load(root, path) {
        Ok(script) => match names.insert(script.name.clone(), path.to_owned()) {
            Some(first) if first != path => {
                let error = TreeError::TwoScripts { name: script.name, first, second: path.to_owned() };
                faults.push(TreeFault { key: key.to_owned(), error });
                None
            }
            _ => Some(script),
        },
        Err(error) => {
            faults.push(TreeFault { key: key.to_owned(), error });
            None
        }
    };
    scripts.ordered = listed.iter().filter_map(|(key, path)| take(key, path)).collect();
    scripts.cleanup = spec.cleanup.as_ref().and_then(|path| take("cleanup", plain(path)));
    scripts.check = spec.check.as_ref().and_then(|path| take("check", plain(path)));
    scripts
}

fn plain(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '{'])
}

/// The files that a path or glob names, in the order of their names.
fn expand(root: &Path, pattern: &str) -> Result<Vec<String>, TreeError> {
    if !is_glob(pattern) {
        return Ok(vec![pattern.to_owned()]);
    }
    let glob = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| TreeError::BadGlob { glob: pattern.to_owned(), reason: error.kind().to_string() })?;
    let matcher = glob.compile_matcher();
    let fixed = pattern.split('/').take_while(|part| !is_glob(part)).collect::<Vec<_>>().join("/");
    let start = entrance(root, &fixed)?;
    let mut paths = Vec::new();
    for entry in WalkDir::new(start).follow_links(false) {
        let entry = entry.map_err(|error| TreeError::Unreadable {
            path: error.path().map_or_else(|| fixed.clone(), |path| relative(root, path)),
            reason: error.io_error().map_or_else(|| error.to_string(), reason),
        })?;
        let path = relative(root, entry.path());
        if !entry.file_type().is_dir() && matcher.is_match(&path) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(TreeError::EmptyGlob { glob: pattern.to_owned() });
    }
    // By file name first: 01-a.sh of one directory runs before 02-b.sh of another.
    paths.sort_by(|left, right| (file_name(left), left).cmp(&(file_name(right), right)));
    Ok(paths)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn load(root: &Path, source: &str) -> Result<Script, TreeError> {
    let path = entrance(root, source)?;
    let metadata = fs::symlink_metadata(&path)
        .map_err(|error| TreeError::Unreadable { path: source.to_owned(), reason: reason(&error) })?;
    let content = read(&path, source, &metadata)?;
    let name = file_name(source);
    if name.chars().any(char::is_control) || name.contains(char::REPLACEMENT_CHARACTER) {
        return Err(TreeError::Name { path: source.escape_debug().to_string() });
    }
    runnable(source, &content)?;
    Ok(Script { name: name.to_owned(), source: source.to_owned(), content })
}

/// Refuses what the kernel or the shell would stumble over on the machine.
fn runnable(source: &str, content: &[u8]) -> Result<(), TreeError> {
    let path = source.to_owned();
    // Only text is looked at: a shell script may carry a binary tail.
    if let Some(at) = content.windows(2).position(|pair| pair == b"\r\n").filter(|at| !content[..*at].contains(&0)) {
        let line = content[..at].split(|byte| *byte == b'\n').count();
        return Err(TreeError::CrLf { path, line });
    }
    let Some(rest) = content.strip_prefix(b"#!") else {
        let is_marked = content.starts_with(b"\xef\xbb\xbf#!");
        return Err(if is_marked { TreeError::ByteOrderMark { path } } else { TreeError::NoInterpreter { path } });
    };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let written = String::from_utf8_lossy(line).trim().to_owned();
    if written.starts_with('/') { Ok(()) } else { Err(TreeError::RelativeInterpreter { path, written }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_cannot_run_are_refused() {
        let fault = |content: &[u8]| runnable("s.sh", content).unwrap_err().to_string();
        assert_eq!(fault(b"echo\n"), "s.sh:1: the script does not begin with `#!`");
        assert_eq!(fault(b""), "s.sh:1: the script does not begin with `#!`");
        assert_eq!(fault(b"\xef\xbb\xbf#!/bin/sh\n"), "s.sh:1: a byte order mark stands before `#!`");
        assert_eq!(fault(b"\xef\xbb\xbfecho\n"), "s.sh:1: the script does not begin with `#!`");
        assert_eq!(fault(b"#!/bin/sh\necho\r\n"), "s.sh:2: the line ends with CR LF");
        assert_eq!(fault(b"#!bash\n"), "s.sh:1: the interpreter after `#!` is not an absolute path: `bash`");
        assert_eq!(runnable("s.sh", b"#! /usr/bin/env bash\n"), Ok(()));
        assert_eq!(runnable("s.sh", b"#!/bin/sh"), Ok(()));
    }
}
