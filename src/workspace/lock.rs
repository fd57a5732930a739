//! `mkimg.lock` on disk. A missing one is an empty one.

use std::path::{Path, PathBuf};

use super::text::{TextError, read_text};
use super::write::{WriteError, write_atomically};
use crate::model::{BadLock, Lock};
use crate::source::Source;

/// Why a lock cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable { path: PathBuf, reason: TextError },
    #[error("{file} is not YAML: {what}")]
    NotYaml { file: String, what: String },
    #[error(transparent)]
    Bad(#[from] BadLock),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl LockError {
    /// What to do next.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::Write(_) => "see to it that you may read and write the file",
            Self::NotYaml { .. } | Self::Bad(_) => {
                "take the file back from version control, or remove it and run `mkimg lock`"
            }
        }
    }
}

/// Reads a lock.
pub fn read_lock(path: &Path) -> Result<Lock, LockError> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(TextError::Missing) => return Ok(Lock::default()),
        Err(reason) => return Err(LockError::Unreadable { path: path.to_path_buf(), reason }),
    };
    let source = Source::new(path.display().to_string(), text);
    let tree = crate::yaml::parse(source.text())
        .map_err(|error| LockError::NotYaml { file: source.name().to_owned(), what: error.to_string() })?;
    Ok(Lock::from_tree(&source, &tree)?)
}

/// Writes a lock, whole or not at all.
pub fn write_lock(path: &Path, lock: &Lock) -> Result<(), LockError> {
    Ok(write_atomically(path, lock.to_text().as_bytes())?)
}
