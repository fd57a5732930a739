//! The state on disk: one JSON file, replaced atomically, in a directory that one emulator locks.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::state::{State, VERSION};
use crate::config::Error;
use crate::support::{create_private_dir, try_lock, write_atomically};

/// Size of a file that reserves space: when the disk is full, it is deleted, so that the state can
/// still be written and droplets destroyed.
const RESERVED_BYTES: usize = 1 << 20;
/// How much the state may grow by using the reserve: enough for actions, not for droplets.
const MAX_RESERVED_GROWTH: u64 = 4 << 10;

/// The state directory, locked by this process.
pub(crate) struct Store {
    directory: PathBuf,
    /// Locked while it is open. The system unlocks it when the process dies.
    _lock: File,
}

impl Store {
    /// Creates the directory if necessary, locks it and reads its state.
    pub(crate) fn open(directory: &Path) -> Result<(Self, Option<State>), Error> {
        create_private_dir(directory).map_err(|source| io_error(directory, "can't be created", source))?;
        let directory = directory.canonicalize().map_err(|source| io_error(directory, "can't be reached", source))?;
        let lock = lock(&directory)?;
        let store = Self { directory, _lock: lock };
        let state = store.read()?;
        Ok((store, state))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn file(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    fn read(&self) -> Result<Option<State>, Error> {
        let path = self.file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error(&path, "can't be read", source)),
        };
        let corrupt = |reason| Error::Corrupt { path: path.clone(), reason };
        let state: State = serde_json::from_str(&text).map_err(|error| corrupt(error.to_string()))?;
        if state.version != VERSION {
            return Err(corrupt(format!(
                "it has version {}, but this emulator reads version {VERSION}",
                state.version
            )));
        }
        Ok(Some(state))
    }

    /// Replaces the state on disk.
    pub(crate) fn write(&self, state: &State) -> Result<(), Error> {
        let path = self.file();
        let bytes = serde_json::to_vec(state).map_err(|error| io_error(&path, "can't be written", error.into()))?;
        let reserve = self.directory.join("spare");
        let written = match write_atomically(&path, &bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                let before = std::fs::metadata(&path).map_or(0, |found| found.len());
                if bytes.len() as u64 <= before + MAX_RESERVED_GROWTH && std::fs::remove_file(&reserve).is_ok() {
                    write_atomically(&path, &bytes)
                } else {
                    Err(error)
                }
            }
            written => written,
        };
        written.map_err(|source| io_error(&path, "can't be written", source))?;
        // If the disk is full now, the next write after a deletion creates the reserve.
        if !reserve.exists() {
            let _ = write_atomically(&reserve, &vec![0; RESERVED_BYTES]);
        }
        Ok(())
    }
}

fn io_error(path: &Path, what: &'static str, source: std::io::Error) -> Error {
    let path = path.to_path_buf();
    match source.kind() {
        std::io::ErrorKind::StorageFull => Error::DiskFull { path, source },
        _ => Error::State { path, what, source },
    }
}

/// Locks the directory and writes this process's id into the lock file.
fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(|source| io_error(&path, "can't be opened", source))?;
    if !try_lock(&file).map_err(|source| io_error(&path, "can't be locked", source))? {
        let mut text = String::new();
        let _ = file.read_to_string(&mut text);
        return Err(Error::InUse { path: directory.to_path_buf(), pid: text.trim().parse().unwrap_or(0) });
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()));
    written.map_err(|source| io_error(&path, "can't be written", source))?;
    Ok(file)
}

/// Removes the state directories of killed emulators: those of this user below `folder` whose names
/// begin with `prefix`. Returns how many there were.
///
/// An emulator locks its directory while it lives. The lock file is empty until then, so that a
/// directory whose emulator is just starting is not removed.
#[cfg(feature = "qemu")]
pub fn remove_abandoned(folder: &Path, prefix: &str) -> usize {
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::geteuid().as_raw();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let abandoned = entries.filter(|entry| {
        let is_own = entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == user);
        if !is_own || !entry.file_name().to_string_lossy().starts_with(prefix) {
            return false;
        }
        let lock = OpenOptions::new().read(true).write(true).open(entry.path().join("lock"));
        lock.is_ok_and(|file| {
            let was_locked = file.metadata().is_ok_and(|found| found.len() > 0);
            // Locked until it is removed, so that no other emulator takes it meanwhile.
            was_locked && try_lock(&file).unwrap_or(false) && std::fs::remove_dir_all(entry.path()).is_ok()
        })
    });
    abandoned.count()
}

/// Without the feature `qemu` there is no portable way to know the owner of a directory: nothing is
/// removed.
#[cfg(not(feature = "qemu"))]
pub fn remove_abandoned(_folder: &Path, _prefix: &str) -> usize {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Retries until there is a result. A lock that was released may still be held for a moment by
    /// the child of another test, between its fork and its exec.
    fn retry<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
        for _ in 0..6000 {
            if let Some(found) = attempt() {
                return found;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the lock is never released");
    }

    #[test]
    fn a_state_is_read_back_and_one_emulator_locks_it() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("state");
        let (store, none) = Store::open(&directory).unwrap();
        assert!(none.is_none());
        store.write(&State::empty("account".into())).unwrap();
        assert!(matches!(Store::open(&directory), Err(Error::InUse { pid, .. }) if pid == std::process::id()));
        drop(store);
        let (_, state) = retry(|| match Store::open(&directory) {
            Err(Error::InUse { .. }) => None,
            opened => Some(opened.unwrap()),
        });
        assert_eq!(state.unwrap().account, "account");
    }

    #[cfg(feature = "qemu")]
    #[test]
    fn only_directories_of_killed_emulators_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let abandon = |name: &str| {
            let directory = folder.path().join(name);
            drop(Store::open(&directory).unwrap());
            directory
        };
        let (gone, other) = (abandon("cloud-a"), abandon("other"));
        let (_alive, _) = Store::open(&folder.path().join("cloud-b")).unwrap();
        // Its emulator has not locked it yet.
        let young = abandon("cloud-c");
        std::fs::write(young.join("lock"), "").unwrap();
        std::fs::write(folder.path().join("cloud-d"), "a file").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("cloud-e")).unwrap();
        assert_eq!(retry(|| Some(remove_abandoned(folder.path(), "cloud-")).filter(|removed| *removed > 0)), 1);
        assert!(!gone.exists() && other.exists() && young.exists() && folder.path().join("cloud-b").exists());
        assert_eq!(remove_abandoned(folder.path(), "cloud-"), 0);
    }

    #[test]
    fn a_broken_state_is_refused_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        std::fs::write(&file, "{\"version\": 1").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(Error::Corrupt { .. })));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"version\": 1");
        let other = State { version: 9, ..State::empty(String::new()) };
        std::fs::write(&file, serde_json::to_vec(&other).unwrap()).unwrap();
        let Err(Error::Corrupt { reason, .. }) = Store::open(folder.path()) else { panic!("it was not refused") };
        assert!(reason.contains("version 9"), "{reason}");
    }
}
