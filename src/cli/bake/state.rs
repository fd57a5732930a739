//! The bake's folder: `$XDG_STATE_HOME/mkimg/bakes/<id>/`, mode 0700, with `journal.jsonl` and the droplet's logs (0600).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use etcetera::BaseStrategy as _;

use super::Failure;
use crate::bake::journal::{Entry, Line};
use crate::bake::ports::{Journal, JournalError};

/// `$XDG_STATE_HOME/mkimg`.
pub(in crate::cli) fn state_home() -> Result<PathBuf, Failure> {
    let base = etcetera::choose_base_strategy().map_err(|error| {
        Failure::usage(format!("the home directory is not known: {error}")).with_help("set HOME, or XDG_STATE_HOME")
    })?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(state.join("mkimg"))
}

/// Makes a folder (and those above it) that only this user may enter.
pub(in crate::cli) fn private_folder(path: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        Failure::usage(format!("cannot make {}: {error}", path.display()))
            .with_help("set XDG_STATE_HOME to a folder that you may write to")
    })
}

/// A journal on the disk.
pub(in crate::cli) struct FileJournal {
    folder: PathBuf,
    file: Mutex<File>,
}

impl FileJournal {
    /// The journal of a new bake.
    pub(in crate::cli) fn create(folder: &Path) -> Result<Self, Failure> {
        private_folder(folder)?;
        let path = folder.join("journal.jsonl");
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
        // The name must survive a power cut as well as the contents.
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| Failure::usage(format!("cannot write {}: {error}", folder.display())))?;
        Ok(Self { folder: folder.to_owned(), file: Mutex::new(file) })
    }

    fn error(&self, name: &str, error: &std::io::Error) -> JournalError {
        JournalError { path: self.folder.join(name).display().to_string(), reason: error.to_string() }
    }
}

impl Journal for FileJournal {
    fn append(&self, at: u64, entry: &Entry) -> Result<(), JournalError> {
        let failed = |error: std::io::Error| self.error("journal.jsonl", &error);
        let line = Line { at, entry: entry.clone() };
        let mut text = serde_json::to_string(&line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(failed)
    }

    fn save(&self, name: &str, contents: &[u8]) -> Result<String, JournalError> {
        let path = self.folder.join(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(contents)).map_err(|error| self.error(name, &error))?;
        Ok(path.display().to_string())
    }
}
