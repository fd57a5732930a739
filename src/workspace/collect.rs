//! Reads the files and scripts that a template names.
//!
//! The mode of a file is 0755 if its owner may execute it, and 0644 otherwise: version control
//! records only that bit, and the umask of a checkout must not change the image. `attributes:` sets
//! other modes.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::error::{TreeError, TreeFault};
use super::files::{FilePath, ReadError, is_temporary, open_regular, read_error_reason, read_regular};
use super::names;
use crate::model::{Content, FileTree, FilesSpec, ImageSpec, Mode, Owner, PlannedFile, Script, destination_fault};

/// Limit of a script, and of a file that is imported.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// Limit of all files of a template. The smallest droplet has a disk of 10 GiB.
const MAX_UPLOAD_BYTES: u64 = 64 << 30;

/// Limit of all files that are loaded. No document has room for more, so the others can only be
/// uploaded.
const MAX_LOADED_BYTES: u64 = 10 << 20;

/// The files and scripts of a template, and warnings about them.
#[derive(Debug, Default)]
pub struct Collected {
    pub tree: FileTree,
    pub warnings: Vec<TreeFault>,
}

/// Reads everything that a template names.
///
/// # Errors
///
/// Returns all faults, not only the first.
pub fn collect(root: &Path, spec: &ImageSpec) -> Result<Collected, Vec<TreeFault>> {
    let mut faults = Vec::new();
    let mut collected = Collected::default();
    collected.tree.files = read_files(root, spec, &mut faults, &mut collected.warnings);
    read_scripts(root, spec, &mut collected.tree, &mut faults);
    if faults.is_empty() {
        names::check(spec, &mut collected.tree, &mut faults, &mut collected.warnings);
        names::find_not_named(root, spec, &collected.tree, &mut collected.warnings);
    }
    if faults.is_empty() { Ok(collected) } else { Err(faults) }
}

/// Reads every tree; the result is sorted by path on the machine.
fn read_files(
    root: &Path,
    spec: &ImageSpec,
    faults: &mut Vec<TreeFault>,
    warnings: &mut Vec<TreeFault>,
) -> Vec<PlannedFile> {
    let mut found: BTreeMap<String, PlannedFile> = BTreeMap::new();
    let (mut bytes, mut loaded_bytes) = (0_u64, 0);
    for (index, files) in spec.files.iter().enumerate() {
        let key = format!("files.{index}.source");
        let mut fault = |error| faults.push(TreeFault { key: key.clone(), error });
        let before = found.len();
        let start = match resolve_source(root, &files.source) {
            Ok(start) => start,
            Err(error) => {
                fault(error);
                continue;
            }
        };
        let mut failed = false;
        let mut entries = WalkDir::new(&start).follow_links(false).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            if let Some(entry) = entry.as_ref().ok().filter(|entry| is_temporary(entry.file_name())) {
                if entry.file_type().is_dir() {
                    entries.skip_current_dir();
                }
                let path = relative(root, entry.path());
                warnings.push(TreeFault { key: key.clone(), error: TreeError::Temporary { path } });
                continue;
            }
            let loaded = entry
                .map_err(|error| walk_error(root, &files.source, &error))
                .and_then(|entry| load_file(root, &start, &entry, files, MAX_LOADED_BYTES - loaded_bytes));
            match loaded {
                Ok(None) => {}
                Ok(Some(file)) => {
                    bytes = bytes.saturating_add(file.content.size());
                    loaded_bytes += file.content.loaded().map_or(0, |content| content.len() as u64);
                    if bytes > MAX_UPLOAD_BYTES {
                        fault(TreeError::TreeTooLarge { path: file.source });
                        return Vec::new();
                    }
                    let warning = check_file(&file);
                    if let Some(other) = found.get(&file.path) {
                        fault(TreeError::TwoSources {
                            destination: file.path,
                            first: other.source.clone(),
                            second: file.source,
                        });
                        failed = true;
                        continue;
                    }
                    let file = PlannedFile { after: files.after.clone(), ..file };
                    warnings.extend(warning.map(|error| TreeFault { key: key.clone(), error }));
                    found.insert(file.path.clone(), file);
                }
                Err(error) => {
                    fault(error);
                    failed = true;
                }
            }
        }
        if found.len() == before && !failed {
            fault(TreeError::EmptyTree { path: files.source.clone() });
        }
    }
    for (path, file) in &found {
        let parents = path.match_indices('/').skip(1).map(|(at, _)| &path[..at]);
        if let Some(parent) = parents.into_iter().find_map(|parent| found.get(parent)) {
            faults.push(TreeFault {
                key: "files".to_owned(),
                error: TreeError::FileAndDirectory {
                    destination: parent.path.clone(),
                    file: parent.source.clone(),
                    inside: file.source.clone(),
                },
            });
        }
    }
    found.into_values().collect()
}

/// Reads a file within the limit; of a larger one only the size. Returns `None` for a directory.
fn load_file(
    root: &Path,
    start: &Path,
    entry: &DirEntry,
    files: &FilesSpec,
    limit: u64,
) -> Result<Option<PlannedFile>, TreeError> {
    if entry.file_type().is_dir() {
        return Ok(None);
    }
    let path = entry.path();
    let source = relative(root, path);
    let rest = path.strip_prefix(start).unwrap_or(path);
    let rest = rest.to_str().filter(|rest| !rest.chars().any(char::is_control));
    let Some(rest) = rest else { return Err(TreeError::Name { path: source.escape_debug().to_string() }) };
    let destination = match rest {
        "" => files.to.clone(),
        rest => format!("{}/{rest}", files.to.trim_end_matches('/')),
    };
    if let Some(reason) = destination_fault(&destination) {
        return Err(TreeError::Destination { path: source, destination, reason });
    }
    let (content, metadata) = read_content(root, &source, path, limit)?;
    let tree_mode = if is_executable(&metadata) { Mode(0o755) } else { Mode(0o644) };
    Ok(Some(PlannedFile {
        path: destination,
        source,
        owner: files.owner.clone().unwrap_or_else(Owner::root),
        mode: files.mode.unwrap_or(tree_mode),
        after: None,
        bundle: None,
        content,
    }))
}

/// Returns a warning about a file that is legal, but probably a mistake.
fn check_file(file: &PlannedFile) -> Option<TreeError> {
    let name = file.source.rsplit('/').next().unwrap_or_default();
    let endings = [".swp", ".swo", ".orig", ".rej", ".bak", ".tmp", ".pyc", "~"];
    let names = [".DS_Store", "Thumbs.db", ".gitkeep", ".gitignore", ".keep"];
    let is_emacs = (name.starts_with('#') && name.ends_with('#')) || name.starts_with(".#");
    if endings.iter().any(|ending| name.ends_with(ending)) || names.contains(&name) || is_emacs {
        return Some(TreeError::Leftover { path: file.source.clone() });
    }
    if file.runs_on_boot() && file.mode.0 & 0o100 == 0 {
        let directory = file.path.rsplit_once('/').map_or("", |(directory, _)| directory);
        return Some(TreeError::NotExecutable { path: file.source.clone(), directory: directory.to_owned() });
    }
    None
}

/// Returns the path of something that the template names. It must be inside the project and not
/// behind a link.
fn resolve_source(root: &Path, source: &str) -> Result<PathBuf, TreeError> {
    let mut path = root.to_path_buf();
    let mut shown = String::new();
    for component in Path::new(source).components() {
        let Component::Normal(part) = component else {
            if component == Component::CurDir {
                continue;
            }
            return Err(TreeError::Outside {
                path: source.to_owned(),
                target: "not below the project's directory".to_owned(),
            });
        };
        path.push(part);
        if !shown.is_empty() {
            shown.push('/');
        }
        shown.push_str(&part.to_string_lossy());
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => {
                return Err(match (fs::canonicalize(&path), fs::canonicalize(root.join("."))) {
                    (Ok(target), Ok(root)) if !target.starts_with(&root) => {
                        TreeError::Outside { path: shown, target: "a link to another directory".to_owned() }
                    }
                    _ => TreeError::Link { path: shown },
                });
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Err(TreeError::Missing { path: source.to_owned(), meant: similar_path(root, &path, source) });
            }
            Err(error) => return Err(TreeError::Unreadable { path: shown, reason: read_error_reason(&error) }),
        }
    }
    Ok(path)
}

/// Returns the path that was probably meant if one component is misspelled. `missing` ends with
/// that component.
fn similar_path(root: &Path, missing: &Path, source: &str) -> Option<String> {
    let wanted = missing.file_name()?.to_str()?;
    let parent = missing.parent()?;
    let near = |name: &str| {
        let distance = strsim::damerau_levenshtein(name, wanted);
        (distance <= 3 && distance * 2 <= wanted.chars().count()).then_some(distance)
    };
    // `.` because an empty path cannot be read.
    let names = fs::read_dir(parent.join(".")).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let (_, nearest) = names.filter_map(|name| Some((near(&name)?, name))).min()?;
    let written = root.join(source.trim_start_matches("./"));
    let meant = parent.join(nearest).join(written.strip_prefix(missing).ok()?);
    // Joining an empty path adds a slash.
    let meant: PathBuf = meant.components().collect();
    meant.exists().then(|| relative(root, &meant))
}

/// Reads a regular file below the project's directory.
fn read_file(root: &Path, source: &str, path: &Path) -> Result<(Vec<u8>, Metadata), TreeError> {
    let place = FilePath::inside(root, path.strip_prefix(root).unwrap_or(path));
    read_regular(&place, MAX_FILE_BYTES).map_err(|error| tree_error(source, error))
}

/// Reads a regular file, or only its size if it is larger than the limit.
fn read_content(root: &Path, source: &str, path: &Path, limit: u64) -> Result<(Content, Metadata), TreeError> {
    let place = FilePath::inside(root, path.strip_prefix(root).unwrap_or(path));
    let failed = |error| tree_error(source, error);
    let (_, metadata) = open_regular(&place).map_err(failed)?;
    if metadata.len() > limit {
        return Ok((Content::OnDisk { bytes: metadata.len() }, metadata));
    }
    let (content, metadata) = read_regular(&place, limit).map_err(failed)?;
    Ok((Content::Loaded(content), metadata))
}

fn tree_error(source: &str, error: ReadError) -> TreeError {
    let path = source.to_owned();
    match error {
        ReadError::Link(path) => TreeError::Link { path },
        ReadError::Special(kind) => TreeError::Special { path, kind },
        ReadError::TooLarge { bytes, .. } => TreeError::TooLarge { path, bytes },
        error => TreeError::Unreadable { path, reason: error.to_string() },
    }
}

/// Returns a path relative to the project, with `/` as separator.
pub(super) fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
}

fn walk_error(root: &Path, source: &str, error: &walkdir::Error) -> TreeError {
    let path = error.path().map_or_else(|| source.to_owned(), |path| relative(root, path));
    let reason = error.io_error().map_or_else(|| error.to_string(), read_error_reason);
    TreeError::Unreadable { path, reason }
}

/// Reads the scripts, and refuses those that cannot run.
fn read_scripts(root: &Path, spec: &ImageSpec, tree: &mut FileTree, faults: &mut Vec<TreeFault>) {
    let special: Vec<&str> = spec.cleanup.iter().chain(&spec.check).map(|path| without_dot(path)).collect();
    let mut listed: Vec<(String, String)> = Vec::new();
    for (index, pattern) in spec.scripts.iter().enumerate() {
        let key = format!("scripts.{index}");
        match expand_glob(root, without_dot(pattern)) {
            Ok(paths) => {
                for path in paths {
                    let is_known = listed.iter().any(|(_, listed)| *listed == path);
                    // A glob does not match cleanup and check, which run separately.
                    let is_special = is_glob(pattern) && special.contains(&path.as_str());
                    if !is_known && !is_special {
                        listed.push((key.clone(), path));
                    }
                }
            }
            Err(error) => faults.push(TreeFault { key, error }),
        }
    }
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut read = |key: &str, path: &str| {
        let script =
            load_script(root, path).and_then(|script| match names.insert(script.name.clone(), path.to_owned()) {
                Some(first) if first != path => {
                    Err(TreeError::TwoScripts { name: script.name, first, second: path.to_owned() })
                }
                _ => Ok(script),
            });
        script.map_err(|error| faults.push(TreeFault { key: key.to_owned(), error })).ok()
    };
    tree.scripts = listed.iter().filter_map(|(key, path)| read(key, path)).collect();
    tree.cleanup = spec.cleanup.as_ref().and_then(|path| read("cleanup", without_dot(path)));
    tree.check = spec.check.as_ref().and_then(|path| read("check", without_dot(path)));
}

pub(super) fn without_dot(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '{'])
}

/// Returns the files that a path or glob names, in the order of their names.
fn expand_glob(root: &Path, pattern: &str) -> Result<Vec<String>, TreeError> {
    if !is_glob(pattern) {
        return Ok(vec![pattern.to_owned()]);
    }
    let glob = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| TreeError::BadGlob { glob: pattern.to_owned(), reason: error.kind().to_string() })?;
    let matcher = glob.compile_matcher();
    let fixed = pattern.split('/').take_while(|part| !is_glob(part)).collect::<Vec<_>>().join("/");
    let start = resolve_source(root, &fixed)?;
    let mut paths = Vec::new();
    for entry in
        WalkDir::new(start).follow_links(false).into_iter().filter_entry(|entry| !is_temporary(entry.file_name()))
    {
        let entry = entry.map_err(|error| walk_error(root, &fixed, &error))?;
        let path = relative(root, entry.path());
        if !entry.file_type().is_dir() && matcher.is_match(&path) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(TreeError::EmptyGlob { glob: pattern.to_owned() });
    }
    // The file name comes first: 01-a.sh of one directory runs before 02-b.sh of another.
    paths.sort_by(|left, right| (file_name(left), left).cmp(&(file_name(right), right)));
    Ok(paths)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn load_script(root: &Path, source: &str) -> Result<Script, TreeError> {
    let path = resolve_source(root, source)?;
    let (content, _) = read_file(root, source, &path)?;
    let name = file_name(source);
    if name.chars().any(char::is_control) || name.contains(char::REPLACEMENT_CHARACTER) {
        return Err(TreeError::Name { path: source.escape_debug().to_string() });
    }
    check_script(source, &content)?;
    Ok(Script { name: name.to_owned(), source: source.to_owned(), content })
}

/// Refuses scripts that the kernel or the shell on the machine cannot run.
fn check_script(source: &str, content: &[u8]) -> Result<(), TreeError> {
    let path = source.to_owned();
    // A script may have binary data after its text, which is not checked.
    if let Some(at) = content.windows(2).position(|pair| pair == b"\r\n").filter(|at| !content[..*at].contains(&0)) {
        let line = content[..at].split(|byte| *byte == b'\n').count();
        return Err(TreeError::CrLf { path, line });
    }
    let Some(rest) = content.strip_prefix(b"#!") else {
        let has_mark = content.starts_with(b"\xef\xbb\xbf#!");
        return Err(if has_mark { TreeError::ByteOrderMark { path } } else { TreeError::NoInterpreter { path } });
    };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let written = String::from_utf8_lossy(line).trim().to_owned();
    if written.starts_with('/') { Ok(()) } else { Err(TreeError::RelativeInterpreter { path, written }) }
}

/// Whether the owner may execute a file.
#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_cannot_run_are_refused() {
        let fault = |content: &[u8]| check_script("s.sh", content).unwrap_err().to_string();
        assert_eq!(fault(b"echo\n"), "s.sh:1: the script does not begin with `#!`");
        assert_eq!(fault(b""), "s.sh:1: the script does not begin with `#!`");
        assert_eq!(fault(b"\xef\xbb\xbf#!/bin/sh\n"), "s.sh:1: there is a byte order mark before `#!`");
        assert_eq!(fault(b"\xef\xbb\xbfecho\n"), "s.sh:1: the script does not begin with `#!`");
        assert_eq!(fault(b"#!/bin/sh\necho\r\n"), "s.sh:2: the line ends with CR LF");
        assert_eq!(fault(b"#!bash\n"), "s.sh:1: the interpreter after `#!` is not an absolute path: `bash`");
        assert_eq!(check_script("s.sh", b"#! /usr/bin/env bash\n"), Ok(()));
        assert_eq!(check_script("s.sh", b"#!/bin/sh"), Ok(()));
    }
}
