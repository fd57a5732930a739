//! Finds a project and reads its template.
//!
//! The project's directory is `-C DIR`; without it, the one that holds the template's `templates/` directory; without a
//! TEMPLATE, the working directory, with the only `templates/*.yaml` in it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::text::{TextError, read_text};
use super::tree::{reason, relative};
use crate::source::Source;

/// A project on disk.
#[derive(Debug, Clone)]
pub struct Project {
    pub root: PathBuf,
    /// The template's text, named as people find it from where they are.
    pub template: Source,
    /// The template's file relative to the project, or its name alone where it is outside: the same on every machine.
    pub origin: String,
}

/// Why there is no project to work on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectError {
    #[error("there is no template: {} {reason}", .templates.display())]
    NoTemplate {
        templates: PathBuf,
        reason: &'static str,
        /// A project's directory above the one that was looked at, seen from there.
        above: Option<PathBuf>,
    },
    #[error("{} {reason}", .directory.display())]
    NoDirectory { directory: PathBuf, reason: &'static str },
    #[error("there are several templates: {}", .0.join(", "))]
    SeveralTemplates(Vec<String>),
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable { path: PathBuf, reason: TextError },
}

impl ProjectError {
    /// What to do next.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoTemplate { above: Some(above), .. } => {
                format!("the project is in {0}: call mkimg there, or with -C {0}", above.display())
            }
            Self::NoTemplate { above: None, .. } => {
                "`mkimg init` writes an example project; -C DIR works on one elsewhere".to_owned()
            }
            Self::NoDirectory { .. } => "-C takes a project's directory, the one with templates/ in it".to_owned(),
            Self::SeveralTemplates(_) => "name the one that you mean".to_owned(),
            Self::Unreadable { reason: TextError::NotUtf8 { .. }, .. } => "save it as UTF-8".to_owned(),
            Self::Unreadable { .. } => {
                "name a template, such as templates/image.yaml, or the project with -C DIR".to_owned()
            }
        }
    }
}

impl Project {
    /// Opens the project in `directory` (default: see the module), with `template` relative to the working directory.
    pub fn open(directory: Option<&Path>, template: Option<&Path>) -> Result<Self, ProjectError> {
        let template_path = match template {
            Some(path) => path.to_path_buf(),
            None => only_template(directory.unwrap_or(Path::new("")))?,
        };
        let root = match directory {
            Some(directory) => directory.to_path_buf(),
            None => root_of(&template_path),
        };
        let text = read_text(&template_path)
            .map_err(|reason| ProjectError::Unreadable { path: template_path.clone(), reason })?;
        let name = relative(&root, &template_path);
        let origin = origin(&root, &template_path);
        Ok(Self { root, template: Source::new(name, text), origin })
    }

    /// Where the lock stands.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.root.join("mkimg.lock")
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

fn only_template(directory: &Path) -> Result<PathBuf, ProjectError> {
    let templates = directory.join("templates");
    let mut found = match templates_in(&templates) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let wrong = match fs::metadata(directory.join(".")) {
                Err(error) if error.kind() == ErrorKind::NotFound => Some("does not exist"),
                Err(error) if error.kind() == ErrorKind::NotADirectory => Some("is no directory"),
                _ => None,
            };
            if let Some(reason) = wrong {
                return Err(ProjectError::NoDirectory { directory: directory.to_path_buf(), reason });
            }
            let above = above(directory);
            return Err(ProjectError::NoTemplate { templates, reason: "does not exist", above });
        }
        Err(error) => {
            let reason = TextError::Unreadable(reason(&error));
            return Err(ProjectError::Unreadable { path: templates, reason });
        }
    };
    match found.len() {
        0 => Err(ProjectError::NoTemplate { templates, reason: "holds no .yaml file", above: None }),
        1 => Ok(found.remove(0)),
        _ => Err(ProjectError::SeveralTemplates(found.iter().map(|path| path.display().to_string()).collect())),
    }
}

/// The templates in a directory, by name.
fn templates_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory)?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    found.retain(|path| {
        path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
            && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    });
    found.sort();
    Ok(found)
}

/// The nearest directory above this one that holds a project: people call programs in subdirectories.
fn above(directory: &Path) -> Option<PathBuf> {
    let start = fs::canonicalize(directory.join(".")).ok()?;
    let (levels, _) = start
        .ancestors()
        .enumerate()
        .skip(1)
        .find(|(_, candidate)| templates_in(&candidate.join("templates")).is_ok_and(|found| !found.is_empty()))?;
    Some((0..levels).fold(directory.to_path_buf(), |path, _| path.join("..")))
}
