//! Finds a project and reads its template and lock.
//!
//! The project's directory is `-C DIR`, else the parent of the template's `templates/` directory.
//! Without a template, it is the working directory, which must contain exactly one
//! `templates/*.yaml`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use diagnostics::source::Source;

use super::collect::relative;
use super::files::{FilePath, LINK_HELP, ReadError, Readers, WriteError, read_error_reason, read_text, write_for};
use crate::model::{BadLock, Lock};

/// A project on disk.
#[derive(Debug, Clone)]
pub struct Project {
    pub root: PathBuf,
    /// The template, named by its path from the working directory.
    pub template: Source,
    /// The template's path relative to the project, or its name if it is outside: the same on every
    /// machine.
    pub origin: String,
}

/// Why there is no project to work on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectError {
    #[error("there is no template: {} {reason}", .templates.display())]
    NoTemplate {
        templates: PathBuf,
        reason: &'static str,
        /// A parent directory that contains a project.
        above: Option<PathBuf>,
    },
    #[error("{} {reason}", .directory.display())]
    NoDirectory { directory: PathBuf, reason: &'static str },
    #[error("there are several templates: {}", .0.join(", "))]
    SeveralTemplates(Vec<String>),
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable { path: PathBuf, reason: ReadError },
}

impl ProjectError {
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoTemplate { above: Some(above), .. } => {
                format!("the project is in {0}: run mkimg there, or with -C {0}", above.display())
            }
            Self::NoTemplate { above: None, .. } => {
                "`mkimg init` writes an example project; -C DIR works on one elsewhere".to_owned()
            }
            Self::NoDirectory { .. } => "-C takes a project's directory, the one with templates/ in it".to_owned(),
            Self::SeveralTemplates(_) => "name one of them".to_owned(),
            Self::Unreadable { reason: ReadError::NotUtf8 { .. }, .. } => "save it as UTF-8".to_owned(),
            Self::Unreadable { reason: ReadError::Link(_), .. } => LINK_HELP.to_owned(),
            Self::Unreadable { .. } => {
                "name a template, such as templates/image.yaml, or the project with -C DIR".to_owned()
            }
        }
    }
}

impl Project {
    /// Opens the project in `directory`; `template` is relative to the working directory.
    pub fn open(directory: Option<&Path>, template: Option<&Path>) -> Result<Self, ProjectError> {
        let file = match template {
            Some(path) => FilePath::typed(path),
            None => only_template(directory.unwrap_or(Path::new("")))?,
        };
        let path = file.as_path();
        let root = match directory {
            Some(directory) => directory.to_path_buf(),
            None => root_of(path),
        };
        let unreadable = |reason| ProjectError::Unreadable { path: path.to_path_buf(), reason };
        let text = read_text(&file).map_err(unreadable)?;
        let (name, origin) = (relative(&root, path), origin(&root, path));
        Ok(Self { root, template: Source::new(name, text), origin })
    }

    #[must_use]
    pub fn lock_path(&self) -> FilePath {
        FilePath::inside(&self.root, "mkimg.lock")
    }
}

fn origin(root: &Path, template: &Path) -> String {
    let inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    let real = || {
        fs::canonicalize(template)
            .ok()?
            .strip_prefix(fs::canonicalize(root.join(".")).ok()?)
            .map(Path::to_path_buf)
            .ok()
    };
    let path = match template.strip_prefix(root) {
        Ok(path) if inside(path) => Some(path.to_path_buf()),
        _ => real(),
    };
    let path = path.or_else(|| template.file_name().map(PathBuf::from)).unwrap_or_default();
    relative(Path::new(""), &path)
}

fn root_of(template: &Path) -> PathBuf {
    let parent = template.parent().unwrap_or(Path::new(""));
    if parent.file_name().is_some_and(|name| name == "templates") {
        parent.parent().unwrap_or(Path::new("")).to_path_buf()
    } else {
        parent.to_path_buf()
    }
}

fn only_template(directory: &Path) -> Result<FilePath, ProjectError> {
    let templates = directory.join("templates");
    let mut found = match templates_in(&templates) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let wrong = match fs::metadata(directory.join(".")) {
                Err(error) if error.kind() == ErrorKind::NotFound => Some("does not exist"),
                Err(error) if error.kind() == ErrorKind::NotADirectory => Some("is not a directory"),
                _ => None,
            };
            if let Some(reason) = wrong {
                return Err(ProjectError::NoDirectory { directory: directory.to_path_buf(), reason });
            }
            return Err(ProjectError::NoTemplate {
                templates,
                reason: "does not exist",
                above: parent_project(directory),
            });
        }
        Err(error) => {
            let reason = ReadError::Unreadable(read_error_reason(&error));
            return Err(ProjectError::Unreadable { path: templates, reason });
        }
    };
    match found.len() {
        0 => Err(ProjectError::NoTemplate { templates, reason: "contains no .yaml file", above: None }),
        1 => {
            let name = found.remove(0).file_name().unwrap_or_default().to_owned();
            Ok(FilePath::inside(directory, Path::new("templates").join(name)))
        }
        _ => Err(ProjectError::SeveralTemplates(found.iter().map(|path| path.display().to_string()).collect())),
    }
}

/// Returns the templates in a directory, sorted by name.
pub(super) fn templates_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory)?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    found.retain(|path| {
        path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
            && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    });
    found.sort();
    Ok(found)
}

/// Returns the nearest parent directory that contains a project.
fn parent_project(directory: &Path) -> Option<PathBuf> {
    let start = fs::canonicalize(directory.join(".")).ok()?;
    let (levels, _) = start
        .ancestors()
        .enumerate()
        .skip(1)
        .find(|(_, candidate)| templates_in(&candidate.join("templates")).is_ok_and(|found| !found.is_empty()))?;
    Some((0..levels).fold(directory.to_path_buf(), |path, _| path.join("..")))
}

/// Why a lock cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable { path: PathBuf, reason: ReadError },
    #[error("{file} is not YAML: {what}")]
    NotYaml { file: String, what: String },
    #[error(transparent)]
    Bad(#[from] BadLock),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl LockError {
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreadable { reason: ReadError::Link(_), .. } => LINK_HELP,
            Self::Unreadable { .. } => "make the file readable and writable",
            Self::Write(error) => error.help.unwrap_or("make the file readable and writable"),
            Self::NotYaml { .. } | Self::Bad(_) => {
                "restore the file from version control, or remove it and run `mkimg lock`"
            }
        }
    }
}

/// Reads a lock. A missing file is an empty lock.
pub fn read_lock(path: &FilePath) -> Result<Lock, LockError> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(ReadError::Missing) => return Ok(Lock::default()),
        Err(reason) => return Err(LockError::Unreadable { path: path.as_path().to_path_buf(), reason }),
    };
    let source = Source::new(path.display().to_string(), text);
    let tree = yaml11::parse(source.text())
        .map_err(|error| LockError::NotYaml { file: source.name().to_owned(), what: error.to_string() })?;
    Ok(Lock::from_tree(&source, &tree)?)
}

/// Writes a lock atomically.
pub fn write_lock(path: &FilePath, lock: &Lock) -> Result<(), LockError> {
    Ok(write_for(Readers::Usual, path, lock.to_text().as_bytes())?)
}
