//! The bake's directory: `$XDG_STATE_HOME/mkimg/bakes/<id>/`, mode 0700, with `journal.jsonl` and
//! the droplet's logs (0600), and, while the bake is at work, what another process needs to continue
//! it: `secrets.json`, and the contents of uploaded files in `upload` (both 0600).
//!
//! The process that works on a bake locks its journal; the system releases the lock however the
//! process ends. Readers hold the lock for a moment only, so a process that wants it for work tries
//! for a while before it gives up.

use std::borrow::Cow;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use etcetera::BaseStrategy as _;
use secrecy::{ExposeSecret as _, SecretString};

use crate::bake::BakeId;
use crate::bake::journal::{self, Journal, JournalEntry, JournalError, JournalLine};
use crate::bake::untrusted::UntrustedText as _;
use crate::cli::error::{ErrorKind, ExpectedError, Failure, FileError};
use crate::cli::redaction::Redaction;

const JOURNAL: &str = "journal.jsonl";
const SECRETS: &str = "secrets.json";
const UPLOAD: &str = "upload";

/// The failure in the journal of a bake whose resources `mkimg gc` destroyed.
const REMOVED: &str = "removed by `mkimg gc`";

#[derive(Debug, thiserror::Error)]
enum StateError {
    #[error("the home directory is not known: {0}")]
    NoHome(etcetera::HomeDirError),
    #[error("no bake {0} was started from here")]
    UnknownBake(BakeId),
    #[error("a process is working on bake {0}")]
    Running(BakeId),
    #[error("{} {reason}", .path.display())]
    NotPrivate { path: PathBuf, reason: String },
    #[error("{path}: {reason}")]
    Malformed { path: String, reason: String, bake: BakeId },
}

impl ExpectedError for StateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoHome(_) | Self::NotPrivate { .. } => ErrorKind::System,
            Self::UnknownBake(_) | Self::Running(_) => ErrorKind::Usage,
            Self::Malformed { .. } => ErrorKind::Input,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NoHome(_) => "set HOME, or XDG_STATE_HOME".into(),
            Self::NotPrivate { path, .. } => format!(
                "it holds tokens and decides what is destroyed: if all of it is yours, chmod 700 {0}; otherwise set \
                 XDG_STATE_HOME to a directory of your own",
                path.display()
            )
            .into(),
            Self::UnknownBake(_) => {
                "`mkimg bakes` lists the bakes started from here; `mkimg gc` works without a journal".into()
            }
            Self::Running(_) => "let it finish, or stop it with Ctrl-C".into(),
            Self::Malformed { bake, .. } => format!("destroy its resources: mkimg gc {bake}").into(),
        })
    }
}

/// `$XDG_STATE_HOME/mkimg`.
pub(crate) fn state_home() -> Result<PathBuf, Failure> {
    Ok(private_state_home()?)
}

fn private_state_home() -> Result<PathBuf, StateError> {
    let base = etcetera::choose_base_strategy().map_err(StateError::NoHome)?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    require_private(state.join("mkimg"))
}

fn bakes_directory() -> Result<PathBuf, StateError> {
    require_private(private_state_home()?.join("bakes"))
}

/// The directory of a bake.
pub(crate) fn bake_directory(bake: &BakeId) -> Result<PathBuf, Failure> {
    Ok(private_bake_directory(bake)?)
}

fn private_bake_directory(bake: &BakeId) -> Result<PathBuf, StateError> {
    require_private(bakes_directory()?.join(bake.as_str()))
}

/// Refuses a directory whose journals and secrets another user may have written, or may exchange.
fn require_private(path: PathBuf) -> Result<PathBuf, StateError> {
    #[cfg(unix)]
    if let Some(reason) = exposure(&path) {
        return Err(StateError::NotPrivate { path, reason });
    }
    Ok(path)
}

/// How other users can change a directory. What does not exist is created for this user only.
#[cfg(unix)]
fn exposure(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).ok()?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Some("belongs to another user".to_owned());
    }
    let mode = found.mode() & 0o7777;
    (mode & 0o022 != 0).then(|| format!("can be written by other users (mode {mode:04o})"))
}

/// Readable by this user only, where files have modes.
fn private_mode(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    options.mode(0o600);
    options
}

/// Creates a directory (and those above it) that only this user may enter.
pub(crate) fn create_private_directory(path: &Path) -> Result<(), FileError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder
        .create(path)
        .map_err(|error| FileError::new("create", path, &error).with_help("set XDG_STATE_HOME to a writable directory"))
}

/// A bake with a directory on this machine.
pub(crate) struct KnownBake {
    pub(crate) bake: BakeId,
    /// Its journal, or why it cannot be read.
    pub(crate) lines: Result<Vec<JournalLine>, String>,
    /// Whether a process is working on it.
    pub(crate) at_work: bool,
}

/// All bakes that were started from here, the oldest first.
pub(crate) fn known_bakes() -> Result<Vec<KnownBake>, Failure> {
    let home = bakes_directory()?;
    let unreadable = |error: io::Error| FileError::new("read", &home, &error);
    let entries = match std::fs::read_dir(&home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error).into()),
    };
    let mut known = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        // Other names are not bakes.
        let Some(bake) = entry.file_name().to_str().and_then(|name| BakeId::parse(name).ok()) else { continue };
        let path = entry.path().join(JOURNAL);
        let (lines, at_work) = match File::open(&path) {
            Ok(mut file) => {
                let at_work = is_at_work(&file);
                (read(&mut file), at_work)
            }
            // It was killed before its first line.
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Ok(Vec::new()), false),
            Err(error) => (Err(error.to_string()), false),
        };
        if !at_work && lines.as_ref().is_ok_and(|lines| has_ended(lines)) {
            // It was killed after its last line: no process will need its secrets.
            let _ = remove_files(&entry.path(), &[SECRETS, UPLOAD]);
        }
        known.push(KnownBake { bake, lines, at_work });
    }
    known.sort_by(|a, b| a.bake.cmp(&b.bake));
    Ok(known)
}

/// After `mkimg gc`: ends the journal of a bake, which cannot be resumed any more, and removes its
/// secrets. Skips a bake of another machine or API, and a running one. `committed`: its snapshot is
/// kept, and only the last line is missing.
pub(crate) fn close_journal(
    bake: &BakeId,
    at: u64,
    api: &str,
    committed: bool,
    redaction: &Redaction,
) -> Result<(), JournalError> {
    let folder = private_bake_directory(bake)
        .map_err(|error| JournalError { path: bake.to_string(), reason: error.to_string() })?;
    let failed =
        |path: &Path, error: &io::Error| JournalError { path: path.display().to_string(), reason: error.to_string() };
    let path = folder.join(JOURNAL);
    let mut file = match OpenOptions::new().read(true).append(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(&path, &error)),
    };
    if !lock_for_work(&file).map_err(|error| failed(&path, &error))? {
        return Ok(());
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| failed(&path, &error))?;
    let parsed = journal::read(&bytes);
    let journal = FileJournal { folder, file: Mutex::new(file), redaction: redaction.clone() };
    // Keep a malformed journal for inspection. Its secrets are not needed.
    let Ok((lines, complete)) = parsed else { return journal.remove_secrets() };
    if matches!(lines.first(), Some(JournalLine { entry: JournalEntry::Began { api_url, .. }, .. }) if api_url != api) {
        return Ok(());
    }
    let ended = lines.iter().rev().find_map(|line| match &line.entry {
        JournalEntry::Ended { failure, remaining: left, .. } => Some((failure.clone(), left.is_empty())),
        _ => None,
    });
    match ended {
        None if lines.is_empty() => {}
        None if committed => {
            journal.truncate(complete)?;
            journal.append(at, &JournalEntry::Committed)?;
            journal.append(at, &JournalEntry::Ended { exit: 0, failure: None, remaining: Vec::new() })?;
        }
        None => {
            journal.truncate(complete)?;
            journal.append(
                at,
                &JournalEntry::Ended { exit: 3, failure: Some(REMOVED.to_owned()), remaining: Vec::new() },
            )?;
        }
        // It had ended with remaining resources, which are destroyed now.
        Some((failure, false)) => {
            journal.truncate(complete)?;
            let failure = failure.map_or_else(
                || REMOVED.to_owned(),
                |failure| format!("{failure}; the remaining resources were {REMOVED}"),
            );
            journal.append(at, &JournalEntry::Ended { exit: 3, failure: Some(failure), remaining: Vec::new() })?;
        }
        Some((_, true)) => {}
    }
    journal.remove_secrets()
}

/// Whether a process holds the journal for work. Releases its own lock at once: another process may
/// want to begin.
fn is_at_work(file: &File) -> bool {
    match file.try_lock_shared() {
        Ok(()) => {
            let _ = file.unlock();
            false
        }
        Err(error) => matches!(error, TryLockError::WouldBlock),
    }
}

/// Locks the journal for work; `false` if another process holds it for longer than a reader would.
fn lock_for_work(file: &File) -> io::Result<bool> {
    for _ in 0..40 {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(25)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Removes files; fails with the name of the one that remains.
fn remove_files(folder: &Path, names: &[&'static str]) -> Result<(), (&'static str, io::Error)> {
    for name in names {
        match std::fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err((name, error)),
            _ => {}
        }
    }
    Ok(())
}

fn has_ended(lines: &[JournalLine]) -> bool {
    lines.iter().any(|line| matches!(line.entry, JournalEntry::Ended { .. }))
}

fn read(file: &mut File) -> Result<Vec<JournalLine>, String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    journal::read(&bytes).map(|(lines, _)| lines).map_err(|error| error.to_string())
}

/// A journal on disk, locked by this process.
pub(crate) struct FileJournal {
    folder: PathBuf,
    file: Mutex<File>,
    /// Text from an API or a droplet may contain secrets.
    redaction: Redaction,
}

impl FileJournal {
    /// The journal of a new bake.
    pub(crate) fn create(folder: &Path, redaction: &Redaction) -> Result<Self, Failure> {
        create_private_directory(folder)?;
        let path = folder.join(JOURNAL);
        let unwritable = |error: io::Error| FileError::new("write", &path, &error);
        let file = private_mode(OpenOptions::new().append(true).create_new(true)).open(&path).map_err(unwritable)?;
        if !lock_for_work(&file).map_err(unwritable)? {
            return Err(unwritable(io::ErrorKind::WouldBlock.into()).into());
        }
        // The directory entry must survive a power cut as well as the contents.
        #[cfg(unix)]
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        #[cfg(not(unix))]
        let synced = file.sync_all();
        synced.map_err(|error| FileError::new("write", folder, &error))?;
        Ok(Self { folder: folder.to_owned(), file: Mutex::new(file), redaction: redaction.clone() })
    }

    /// The journal of a bake whose process has ended, and what is in it.
    pub(crate) fn open(bake: &BakeId, redaction: &Redaction) -> Result<(Self, Vec<JournalLine>), Failure> {
        let folder = bake_directory(bake)?;
        let path = folder.join(JOURNAL);
        let failed = |error: io::Error| {
            FileError::new("open", &path, &error)
                .with_help(format!("its resources can be destroyed without the journal: mkimg gc {bake}"))
        };
        let mut file = match OpenOptions::new().read(true).append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StateError::UnknownBake(bake.clone()).into());
            }
            Err(error) => return Err(failed(error).into()),
        };
        if !lock_for_work(&file).map_err(failed)? {
            return Err(StateError::Running(bake.clone()).into());
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (lines, complete) = journal::read(&bytes).map_err(|error| StateError::Malformed {
            path: path.display().to_string(),
            reason: error.to_string(),
            bake: bake.clone(),
        })?;
        // An incomplete last line was never acted upon; the next line must not be appended to it.
        file.set_len(complete as u64).map_err(failed)?;
        Ok((Self { folder, file: Mutex::new(file), redaction: redaction.clone() }, lines))
    }

    /// Removes an incomplete last line: the next line must not be appended to it.
    fn truncate(&self, complete: usize) -> Result<(), JournalError> {
        let file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.set_len(complete as u64).map_err(|error| self.error(JOURNAL, &error))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes what another process needs to continue the bake.
    pub(crate) fn write_secrets(&self, text: &SecretString) -> Result<(), JournalError> {
        let path = self.folder.join(SECRETS);
        let file = private_mode(OpenOptions::new().write(true).create_new(true)).open(path);
        let written = file.and_then(|mut file| {
            file.write_all(text.expose_secret().as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| self.error(SECRETS, &error))
    }

    /// Reads what [`FileJournal::write_secrets`] wrote.
    pub(crate) fn read_secrets(&self) -> Result<SecretString, JournalError> {
        std::fs::read_to_string(self.folder.join(SECRETS)).map(Into::into).map_err(|error| JournalError {
            path: self.folder.join(SECRETS).display().to_string(),
            reason: error.to_string(),
        })
    }

    /// Removes the secrets: the bake cannot be resumed any more.
    pub(crate) fn remove_secrets(&self) -> Result<(), JournalError> {
        remove_files(&self.folder, &[SECRETS, UPLOAD]).map_err(|(name, error)| self.error(name, &error))
    }

    /// Where the contents of uploaded files are.
    pub(crate) fn upload_path(&self) -> PathBuf {
        self.folder.join(UPLOAD)
    }

    /// Writes the contents of uploaded files.
    pub(crate) fn write_upload<T>(&self, write: impl FnOnce(&File, &Path) -> Result<T, Failure>) -> Result<T, Failure> {
        let path = self.upload_path();
        let failed = |error: io::Error| FileError::new("write", &path, &error);
        let file = private_mode(OpenOptions::new().write(true).create_new(true)).open(&path).map_err(failed)?;
        let written = write(&file, &path)?;
        file.sync_all().map_err(failed)?;
        Ok(written)
    }

    /// Removes all traces of a bake that could not begin.
    pub(crate) fn discard(&self) {
        if remove_files(&self.folder, &[SECRETS, UPLOAD, JOURNAL]).is_ok() {
            let _ = std::fs::remove_dir(&self.folder);
        }
    }

    fn error(&self, name: &str, error: &io::Error) -> JournalError {
        JournalError { path: self.folder.join(name).display().to_string(), reason: error.to_string() }
    }
}

impl Journal for FileJournal {
    fn append(&self, at: u64, entry: &JournalEntry) -> Result<(), JournalError> {
        let failed = |error: io::Error| self.error(JOURNAL, &error);
        let mut line = JournalLine { at, entry: entry.clone() };
        line.entry.for_each_text(&mut |text| self.redaction.clean_in_place(text));
        let mut text = serde_json::to_string(&line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = file.metadata().map_err(failed)?.len();
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(|error| {
            // An incomplete line would spoil the next one. If even this fails, the next reader
            // reports it.
            let _ = file.set_len(before);
            failed(error)
        })
    }

    fn save(&self, name: &str, contents: &[u8]) -> Result<String, JournalError> {
        let path = self.folder.join(name);
        let file = private_mode(OpenOptions::new().write(true).create(true).truncate(true)).open(&path);
        let text = String::from_utf8_lossy(contents);
        let written = file.and_then(|mut file| file.write_all(self.redaction.clean(&text).as_bytes()));
        written.map_err(|error| self.error(name, &error))?;
        Ok(path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        let bake = || BakeId::new(0, [1, 2, 3]);
        assert_error(StateError::UnknownBake(bake()), 2, "`mkimg bakes` lists the bakes started from here");
        assert_error(StateError::Running(bake()), 2, "let it finish, or stop it with Ctrl-C");
        let shared = StateError::NotPrivate { path: "p".into(), reason: "r".into() };
        assert_error(shared, 2, "it holds tokens and decides what is destroyed: if all of it is yours, chmod 700 p");
        let malformed = StateError::Malformed { path: "p".into(), reason: "r".into(), bake: bake() };
        assert_error(malformed, 2, "destroy its resources: mkimg gc 19700101-000000-010203");
    }

    #[cfg(unix)]
    #[test]
    fn directories_that_others_can_write_are_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = || directory.path().to_path_buf();
        for (mode, is_private) in [(0o700, true), (0o755, true), (0o775, false), (0o777, false), (0o1777, false)] {
            std::fs::set_permissions(path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(require_private(path()).is_ok(), is_private, "{mode:o}");
        }
        std::fs::set_permissions(path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(require_private(path().join("missing")).is_ok());
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(path(), Some(65534), None).unwrap();
            let error = require_private(path()).unwrap_err().to_string();
            assert!(error.ends_with("belongs to another user"), "{error}");
        } else {
            assert!(require_private("/usr".into()).is_err());
        }
    }
}
