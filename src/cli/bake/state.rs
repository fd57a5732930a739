//! The bake's folder: `$XDG_STATE_HOME/mkimg/bakes/<id>/`, mode 0700, with `journal.jsonl` and the droplet's logs (0600),
//! and, while the bake is at work, `secrets.json` (0600): what another process needs to go on with it.
//!
//! The journal is locked by the process that is at work on the bake; the system frees it however the process ends. Who
//! only reads it holds it for a moment, so whoever wants it for work asks for a while before it believes that it is taken.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use etcetera::BaseStrategy as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::super::redaction::Redaction;
use super::Failure;
use crate::bake::BakeId;
use crate::bake::foreign::Foreign as _;
use crate::bake::journal::{self, Entry, Journal, JournalError, Line};

const JOURNAL: &str = "journal.jsonl";
const SECRETS: &str = "secrets.json";

/// What the journal says of a bake whose leftovers were removed.
const REMOVED: &str = "removed by `mkimg gc`";

/// `$XDG_STATE_HOME/mkimg`.
pub(in crate::cli) fn state_home() -> Result<PathBuf, Failure> {
    let base = etcetera::choose_base_strategy().map_err(|error| {
        Failure::usage(format!("the home directory is not known: {error}")).with_help("set HOME, or XDG_STATE_HOME")
    })?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(state.join("mkimg"))
}

/// The folder of a bake.
pub(in crate::cli) fn folder(bake: &BakeId) -> Result<PathBuf, Failure> {
    Ok(state_home()?.join("bakes").join(bake.as_str()))
}

/// Readable by this user only, where files have modes.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    options.mode(0o600);
    options
}

/// Makes a folder (and those above it) that only this user may enter.
pub(in crate::cli) fn private_folder(path: &Path) -> Result<(), Failure> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(path).map_err(|error| {
        Failure::usage(format!("cannot make {}: {error}", path.display()))
            .with_help("set XDG_STATE_HOME to a folder that you may write to")
    })
}

/// A bake of which there is a folder here.
pub(in crate::cli) struct Known {
    pub(in crate::cli) bake: BakeId,
    /// Its journal, or why it cannot be read.
    pub(in crate::cli) lines: Result<Vec<Line>, String>,
    /// Whether a process is at work on it.
    pub(in crate::cli) at_work: bool,
}

/// All bakes that were started from here, the oldest first.
pub(in crate::cli) fn known() -> Result<Vec<Known>, Failure> {
    let home = state_home()?.join("bakes");
    let unreadable = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", home.display()));
    let entries = match std::fs::read_dir(&home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut known = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        // Foreign names are no bakes.
        let Some(bake) = entry.file_name().to_str().and_then(|name| BakeId::parse(name).ok()) else { continue };
        let path = entry.path().join(JOURNAL);
        let (lines, at_work) = match File::open(&path) {
            Ok(mut file) => {
                let at_work = is_at_work(&file);
                (read(&mut file), at_work)
            }
            // Killed before its first line.
            Err(error) if error.kind() == ErrorKind::NotFound => (Ok(Vec::new()), false),
            Err(error) => (Err(error.to_string()), false),
        };
        if !at_work && lines.as_ref().is_ok_and(|lines| has_ended(lines)) {
            // Killed after its last line: what it kept for another process is of no use to anybody.
            let _ = std::fs::remove_file(entry.path().join(SECRETS));
        }
        known.push(Known { bake, lines, at_work });
    }
    known.sort_by(|a, b| a.bake.cmp(&b.bake));
    Ok(known)
}

/// After `mkimg gc` at an API: nobody goes on with this bake, and its secrets go. A bake of another machine or another
/// API, and one that is at work, is left as it is. `committed`: its snapshot stands, and only the last line is missing.
pub(in crate::cli) fn close(
    bake: &BakeId,
    at: u64,
    api: &str,
    committed: bool,
    redaction: &Redaction,
) -> Result<(), JournalError> {
    let folder = folder(bake).unwrap_or_default();
    let failed = |path: &Path, error: &std::io::Error| JournalError {
        path: path.display().to_string(),
        reason: error.to_string(),
    };
    let path = folder.join(JOURNAL);
    let mut file = match OpenOptions::new().read(true).append(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(&path, &error)),
    };
    if !take(&file).map_err(|error| failed(&path, &error))? {
        return Ok(());
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| failed(&path, &error))?;
    let parsed = journal::read(&bytes);
    let journal = FileJournal { folder, file: Mutex::new(file), redaction: redaction.clone() };
    // What cannot be read stays as it is, to be looked at; what is beside it is of no use to anybody.
    let Ok((lines, whole)) = parsed else { return journal.remove_secrets() };
    if matches!(lines.first(), Some(Line { entry: Entry::Began { api_url, .. }, .. }) if api_url != api) {
        return Ok(());
    }
    let ended = lines.iter().rev().find_map(|line| match &line.entry {
        Entry::Ended { failure, left, .. } => Some((failure.clone(), left.is_empty())),
        _ => None,
    });
    match ended {
        None if lines.is_empty() => {}
        None if committed => {
            journal.cut(whole)?;
            journal.append(at, &Entry::Committed)?;
            journal.append(at, &Entry::Ended { exit: 0, failure: None, left: Vec::new() })?;
        }
        None => {
            journal.cut(whole)?;
            journal.append(at, &Entry::Ended { exit: 3, failure: Some(REMOVED.to_owned()), left: Vec::new() })?;
        }
        // It had ended, and what it had left is gone now.
        Some((failure, false)) => {
            journal.cut(whole)?;
            let failure =
                failure.map_or_else(|| REMOVED.to_owned(), |failure| format!("{failure}; what was left is {REMOVED}"));
            journal.append(at, &Entry::Ended { exit: 3, failure: Some(failure), left: Vec::new() })?;
        }
        Some((_, true)) => {}
    }
    journal.remove_secrets()
}

/// Whether a process holds the journal for work. Asked without holding it: somebody else may want to begin.
fn is_at_work(file: &File) -> bool {
    match file.try_lock_shared() {
        Ok(()) => {
            let _ = file.unlock();
            false
        }
        Err(error) => matches!(error, TryLockError::WouldBlock),
    }
}

/// Takes the journal for work; `false` where another process has it, and keeps it for longer than a reader would.
fn take(file: &File) -> std::io::Result<bool> {
    for _ in 0..40 {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(25)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn has_ended(lines: &[Line]) -> bool {
    lines.iter().any(|line| matches!(line.entry, Entry::Ended { .. }))
}

fn read(file: &mut File) -> Result<Vec<Line>, String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    journal::read(&bytes).map(|(lines, _)| lines).map_err(|error| error.to_string())
}

/// A journal on the disk, held by this process.
pub(in crate::cli) struct FileJournal {
    folder: PathBuf,
    file: Mutex<File>,
    /// What an API or a droplet said may hold what must not be kept.
    redaction: Redaction,
}

impl FileJournal {
    /// The journal of a new bake.
    pub(in crate::cli) fn create(folder: &Path, redaction: &Redaction) -> Result<Self, Failure> {
        private_folder(folder)?;
        let path = folder.join(JOURNAL);
        let unwritable = |error: std::io::Error| Failure::usage(format!("cannot write {}: {error}", path.display()));
        let file = private(OpenOptions::new().append(true).create_new(true)).open(&path).map_err(unwritable)?;
        if !take(&file).map_err(unwritable)? {
            return Err(unwritable(std::io::ErrorKind::WouldBlock.into()));
        }
        // The name must survive a power cut as well as the contents.
        #[cfg(unix)]
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        #[cfg(not(unix))]
        let synced = file.sync_all();
        synced.map_err(|error| Failure::usage(format!("cannot write {}: {error}", folder.display())))?;
        Ok(Self { folder: folder.to_owned(), file: Mutex::new(file), redaction: redaction.clone() })
    }

    /// The journal of a bake whose process has ended, and what is in it.
    pub(in crate::cli) fn open(bake: &BakeId, redaction: &Redaction) -> Result<(Self, Vec<Line>), Failure> {
        let folder = folder(bake)?;
        let path = folder.join(JOURNAL);
        let failed = |error: std::io::Error| {
            Failure::usage(format!("cannot open {}: {error}", path.display()))
                .with_help(format!("what it left is removed without the journal too: mkimg gc {bake}"))
        };
        let mut file = match OpenOptions::new().read(true).append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Failure::usage(format!("no bake {bake} was started from here"))
                    .with_help("`mkimg bakes` lists those that were; `mkimg gc` works without a journal"));
            }
            Err(error) => return Err(failed(error)),
        };
        if !take(&file).map_err(failed)? {
            return Err(Failure::usage(format!("a process is at work on bake {bake}"))
                .with_help("let it finish, or end it with Ctrl-C"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (lines, whole) = journal::read(&bytes).map_err(|error| {
            Failure::usage(format!("{}: {error}", path.display()))
                .with_help(format!("remove what it left: mkimg gc {bake}"))
        })?;
        // What a crash cut short was never acted upon; the next line must not be glued to it.
        file.set_len(whole as u64).map_err(failed)?;
        Ok((Self { folder, file: Mutex::new(file), redaction: redaction.clone() }, lines))
    }

    /// Takes off what a crash cut short: the next line must not be glued to it.
    fn cut(&self, whole: usize) -> Result<(), JournalError> {
        let file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.set_len(whole as u64).map_err(|error| self.error(JOURNAL, &error))
    }

    /// Where it lies.
    pub(in crate::cli) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps what another process needs to go on.
    pub(in crate::cli) fn write_secrets(&self, text: &SecretString) -> Result<(), JournalError> {
        let path = self.folder.join(SECRETS);
        let file = private(OpenOptions::new().write(true).create_new(true)).open(path);
        let written = file.and_then(|mut file| {
            file.write_all(text.expose_secret().as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| self.error(SECRETS, &error))
    }

    /// What [`FileJournal::write_secrets`] kept.
    pub(in crate::cli) fn read_secrets(&self) -> Result<SecretString, JournalError> {
        std::fs::read_to_string(self.folder.join(SECRETS)).map(Into::into).map_err(|error| JournalError {
            path: self.folder.join(SECRETS).display().to_string(),
            reason: error.to_string(),
        })
    }

    /// Nobody goes on with this bake any more.
    pub(in crate::cli) fn remove_secrets(&self) -> Result<(), JournalError> {
        match std::fs::remove_file(self.folder.join(SECRETS)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.error(SECRETS, &error)),
            _ => Ok(()),
        }
    }

    fn error(&self, name: &str, error: &std::io::Error) -> JournalError {
        JournalError { path: self.folder.join(name).display().to_string(), reason: error.to_string() }
    }
}

impl Journal for FileJournal {
    fn append(&self, at: u64, entry: &Entry) -> Result<(), JournalError> {
        let failed = |error: std::io::Error| self.error(JOURNAL, &error);
        let mut line = Line { at, entry: entry.clone() };
        line.entry.each_text(&mut |text| self.redaction.clean_in_place(text));
        let mut text = serde_json::to_string(&line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = file.metadata().map_err(failed)?.len();
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(|error| {
            // Half a line would spoil the next one. Where even this fails, reading it back says so.
            let _ = file.set_len(before);
            failed(error)
        })
    }

    fn save(&self, name: &str, contents: &[u8]) -> Result<String, JournalError> {
        let path = self.folder.join(name);
        let file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&path);
        let text = String::from_utf8_lossy(contents);
        let written = file.and_then(|mut file| file.write_all(self.redaction.clean(&text).as_bytes()));
        written.map_err(|error| self.error(name, &error))?;
        Ok(path.display().to_string())
    }
}
