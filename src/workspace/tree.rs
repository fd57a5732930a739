//! Reads `files:` trees.
//!
//! A file's mode is 0755 when its owner may execute it and 0644 otherwise: version control keeps nothing else of a mode, and
//! the umask of whoever checked the tree out must not decide what a machine looks like. `attributes:` sets other modes.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::fault::{TreeError, TreeFault};
use crate::model::{FilesSpec, ImageSpec, Mode, Owner, PlannedFile, destination_fault};

/// Files beyond this cannot be in a document of 64 KiB, however well they compress.
const LARGEST: u64 = 64 << 20;

/// Reads every tree; sorted by place on the machine.
pub(super) fn files(
    root: &Path,
    spec: &ImageSpec,
    faults: &mut Vec<TreeFault>,
    warnings: &mut Vec<TreeFault>,
) -> Vec<PlannedFile> {
    let mut found: BTreeMap<String, PlannedFile> = BTreeMap::new();
    for (index, files) in spec.files.iter().enumerate() {
        let key = format!("files.{index}.source");
        let mut fault = |error| faults.push(TreeFault { key: key.clone(), error });
        let before = found.len();
        let start = match entrance(root, &files.source) {
            Ok(start) => start,
            Err(error) => {
                fault(error);
                continue;
            }
        };
        let mut failed = false;
        for entry in WalkDir::new(&start).follow_links(false).sort_by_file_name() {
            let loaded = entry
                .map_err(|error| {
                    let path = error.path().map_or_else(|| files.source.clone(), |path| relative(root, path));
                    let reason = error.io_error().map_or_else(|| error.to_string(), reason);
                    TreeError::Unreadable { path, reason }
                })
                .and_then(|entry| load(root, &start, entry.path(), files));
            match loaded {
                Ok(None) => {}
                Ok(Some(file)) => {
                    let warning = warning(&file);
                    if let Some(other) = found.get(&file.path) {
                        fault(TreeError::TwoSources {
                            destination: file.path,
                            first: other.source.clone(),
                            second: file.source,
                        });
                        failed = true;
                        continue;
                    }
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

/// One file; `None` for a directory.
fn load(root: &Path, start: &Path, path: &Path, files: &FilesSpec) -> Result<Option<PlannedFile>, TreeError> {
    let source = relative(root, path);
    let metadata = fs::symlink_metadata(path)
        .map_err(|error| TreeError::Unreadable { path: source.clone(), reason: reason(&error) })?;
    if metadata.is_dir() {
        return Ok(None);
    }
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
    let content = read(path, &source, &metadata)?;
    let tree_mode = if executable(&metadata) { Mode(0o755) } else { Mode(0o644) };
    Ok(Some(PlannedFile {
        path: destination,
        source,
        owner: files.owner.clone().unwrap_or_else(Owner::root),
        mode: files.mode.unwrap_or(tree_mode),
        content,
    }))
}

/// What deserves a look, though it is legal.
fn warning(file: &PlannedFile) -> Option<TreeError> {
    let name = file.source.rsplit('/').next().unwrap_or_default();
    let ends = [".swp", ".swo", ".orig", ".rej", ".bak", ".tmp", ".pyc", "~"];
    let whole = [".DS_Store", "Thumbs.db", ".gitkeep", ".gitignore", ".keep"];
    let emacs = (name.starts_with('#') && name.ends_with('#')) || name.starts_with(".#");
    if ends.iter().any(|end| name.ends_with(end)) || whole.contains(&name) || emacs {
        return Some(TreeError::Leftover { path: file.source.clone() });
    }
    if file.is_held_back() && file.mode.0 & 0o100 == 0 {
        let directory = file.path.rsplit_once('/').map_or("", |(directory, _)| directory);
        return Some(TreeError::NotExecutable { path: file.source.clone(), directory: directory.to_owned() });
    }
    None
}

/// The path of something that the template names: inside the project, and reached without a link.
pub(super) fn entrance(root: &Path, source: &str) -> Result<PathBuf, TreeError> {
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
                        TreeError::Outside { path: shown, target: "a link to another place".to_owned() }
                    }
                    _ => TreeError::Link { path: shown },
                });
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Err(TreeError::Missing { path: source.to_owned(), meant: neighbour(root, &path, source) });
            }
            Err(error) => return Err(TreeError::Unreadable { path: shown, reason: reason(&error) }),
        }
    }
    Ok(path)
}

/// A path of the project that was probably meant, where one part of it is written wrong. `missing` is the path up to that part.
fn neighbour(root: &Path, missing: &Path, source: &str) -> Option<String> {
    let wanted = missing.file_name()?.to_str()?;
    let parent = missing.parent()?;
    let near = |name: &str| {
        let distance = strsim::damerau_levenshtein(name, wanted);
        (distance <= 3 && distance * 2 <= wanted.chars().count()).then_some(distance)
    };
    // An empty path is the working directory.
    let names = fs::read_dir(parent.join(".")).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let (_, nearest) = names.filter_map(|name| Some((near(&name)?, name))).min()?;
    let written = root.join(source.trim_start_matches("./"));
    let meant = parent.join(nearest).join(written.strip_prefix(missing).ok()?);
    // Nothing to append is a slash at the end.
    let meant: PathBuf = meant.components().collect();
    meant.exists().then(|| relative(root, &meant))
}

/// Reads a regular file's bytes; says what anything else is.
pub(super) fn read(path: &Path, source: &str, metadata: &Metadata) -> Result<Vec<u8>, TreeError> {
    if metadata.is_symlink() {
        return Err(TreeError::Link { path: source.to_owned() });
    }
    if !metadata.is_file() {
        return Err(TreeError::Special { path: source.to_owned(), kind: kind(metadata) });
    }
    if metadata.len() > LARGEST {
        return Err(TreeError::TooLarge { path: source.to_owned(), bytes: metadata.len() });
    }
    let mut content = Vec::new();
    // It may grow while it is read.
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut content))
        .map_err(|error| TreeError::Unreadable { path: source.to_owned(), reason: reason(&error) })?;
    let bytes = content.len() as u64;
    if bytes > LARGEST { Err(TreeError::TooLarge { path: source.to_owned(), bytes }) } else { Ok(content) }
}

/// A path as people see it: relative to the project, with `/`.
pub(super) fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
}

/// An I/O error without its number, which differs between systems.
#[must_use]
pub fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(unix)]
fn executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn executable(_: &Metadata) -> bool {
    false
}

#[cfg(unix)]
fn kind(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_socket() => "a socket",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_block_device() || kind.is_char_device() => "a device",
        () => "something else",
    }
}

#[cfg(not(unix))]
fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a directory" } else { "something else" }
}
