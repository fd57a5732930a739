//! The state on disk: one JSON file, replaced whole, in a folder that one emulator holds at a time.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::model::{State, VERSION};
use crate::Error;

/// Bytes that are kept back for the day on which the disk is full, so that things can still be destroyed: the state is written anew
/// beside the old one.
const SPARE: usize = 1 << 20;
/// By so much the state may grow at the expense of what is kept back: by actions, not by droplets.
const GROWTH: u64 = 4 << 10;

/// The state directory, held by this process.
pub(crate) struct Store {
    directory: PathBuf,
    /// Locked while it is open; the system frees it when the process dies, however it dies.
    _lock: File,
}

impl Store {
    /// Makes the directory if need be, takes it, and reads what is in it.
    pub(crate) fn open(directory: &Path) -> Result<(Self, Option<State>), Error> {
        make_private(directory).map_err(|source| failed(directory, "can't be made", source))?;
        let directory = directory.canonicalize().map_err(|source| failed(directory, "can't be reached", source))?;
        let lock = take(&directory)?;
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
            Err(source) => return Err(failed(&path, "can't be read", source)),
        };
        let corrupt = |reason| Error::Corrupt { path: path.clone(), reason };
        let state: State = serde_json::from_str(&text).map_err(|error| corrupt(error.to_string()))?;
        if state.version != VERSION {
            return Err(corrupt(format!("it is of version {}, this emulator reads version {VERSION}", state.version)));
        }
        Ok(Some(state))
    }

    /// Replaces the state on disk. After a crash there is the old one or the new one, never a part.
    pub(crate) fn write(&self, state: &State) -> Result<(), Error> {
        let path = self.file();
        let bytes = serde_json::to_vec(state).map_err(|error| failed(&path, "can't be written", error.into()))?;
        let spare = self.directory.join("spare");
        let written = match replace(&path, &bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                let before = std::fs::metadata(&path).map_or(0, |found| found.len());
                if bytes.len() as u64 <= before + GROWTH && std::fs::remove_file(&spare).is_ok() {
                    replace(&path, &bytes)
                } else {
                    Err(error)
                }
            }
            written => written,
        };
        written.map_err(|source| failed(&path, "can't be written", source))?;
        // Where there is no room for it, there will be after a deletion.
        if !spare.exists() {
            let _ = replace(&spare, &vec![0; SPARE]);
        }
        Ok(())
    }
}

fn failed(path: &Path, what: &'static str, source: std::io::Error) -> Error {
    if source.kind() == std::io::ErrorKind::StorageFull {
        return Error::Full { path: path.to_path_buf(), source };
    }
    Error::State { path: path.to_path_buf(), what, source }
}

/// Makes a directory that only its owner can enter: user-data holds secrets.
pub(crate) fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Writes a file whole: temporary name in the same folder (readable by its owner only), sync, rename.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_data()?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes the state directories below `folder` whose names begin so, and whose emulators were killed; how many there were. An
/// emulator holds its directory's lock as long as it lives, and writes its number into it once it holds it.
#[cfg(feature = "qemu")]
pub(crate) fn remove_abandoned(folder: &Path, prefix: &str) -> usize {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let abandoned = entries.filter(|entry| {
        let ours = entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == own);
        if !ours || !entry.file_name().to_string_lossy().starts_with(prefix) {
            return false;
        }
        let held = OpenOptions::new().read(true).write(true).open(entry.path().join("lock"));
        held.is_ok_and(|file| {
            let begun = file.metadata().is_ok_and(|found| found.len() > 0);
            // Held until it is removed, so that no other emulator takes it in between.
            begun && lock(&file).unwrap_or(false) && std::fs::remove_dir_all(entry.path()).is_ok()
        })
    });
    abandoned.count()
}

/// Without locks nobody knows whether a directory is in use.
#[cfg(not(feature = "qemu"))]
pub(crate) fn remove_abandoned(_folder: &Path, _prefix: &str) -> usize {
    0
}

fn take(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(|source| failed(&path, "can't be opened", source))?;
    match lock(&file) {
        Ok(true) => {}
        Ok(false) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            let pid = text.trim().parse().unwrap_or(0);
            return Err(Error::InUse { path: directory.to_path_buf(), pid });
        }
        Err(source) => return Err(failed(&path, "can't be locked", source)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()));
    written.map_err(|source| failed(&path, "can't be written", source))?;
    Ok(file)
}

#[cfg(feature = "qemu")]
fn lock(file: &File) -> std::io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Without the feature `qemu` nothing but the state machine is shared, and the directory is not locked.
#[cfg(not(feature = "qemu"))]
#[allow(clippy::unnecessary_wraps, reason = "the same shape as its twin")]
fn lock(_file: &File) -> std::io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for what `look` finds. A lock that was let go may be held a moment longer: by the child of another test of this
    /// process, between its fork and its exec.
    fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
        for _ in 0..6000 {
            if let Some(found) = look() {
                return found;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("it is held for ever");
    }

    fn reopened(directory: &Path) -> (Store, Option<State>) {
        until(|| match Store::open(directory) {
            Err(Error::InUse { .. }) => None,
            opened => Some(opened.unwrap()),
        })
    }

    #[test]
    fn a_state_is_read_back_and_one_emulator_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("state");
        let (store, none) = Store::open(&directory).unwrap();
        assert!(none.is_none());
        store.write(&State::empty("account".into())).unwrap();
        assert!(matches!(Store::open(&directory), Err(Error::InUse { pid, .. }) if pid == std::process::id()));
        drop(store);
        let (_, state) = reopened(&directory);
        assert_eq!(state.unwrap().account, "account");
    }

    #[cfg(feature = "qemu")]
    #[test]
    fn what_killed_emulators_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let left = |name: &str| {
            let directory = folder.path().join(name);
            drop(Store::open(&directory).unwrap());
            directory
        };
        let (gone, other) = (left("cloud-a"), left("other"));
        let (_alive, _) = Store::open(&folder.path().join("cloud-b")).unwrap();
        // Its emulator has not come to its lock yet.
        let young = left("cloud-c");
        std::fs::write(young.join("lock"), "").unwrap();
        std::fs::write(folder.path().join("cloud-d"), "a file").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("cloud-e")).unwrap();
        assert_eq!(until(|| Some(remove_abandoned(folder.path(), "cloud-")).filter(|removed| *removed > 0)), 1);
        assert!(!gone.exists() && other.exists() && young.exists() && folder.path().join("cloud-b").exists());
        assert_eq!(remove_abandoned(folder.path(), "cloud-"), 0);
    }

    #[test]
    fn a_broken_state_is_refused_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("state.json"), "{\"version\": 1").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(Error::Corrupt { .. })));
        std::fs::write(
            folder.path().join("state.json"),
            serde_json::to_vec(&State { version: 9, ..State::empty(String::new()) }).unwrap(),
        )
        .unwrap();
        assert!(
            matches!(Store::open(folder.path()), Err(Error::Corrupt { reason, .. }) if reason.contains("version 9"))
        );
    }
}
