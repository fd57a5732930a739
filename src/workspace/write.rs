//! Writes files whole or not at all: a temporary name in the same directory, sync, rename.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Why a file was not written. What stood there before still does.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {reason}", .path.display())]
pub struct WriteError {
    path: PathBuf,
    reason: String,
}

impl WriteError {
    fn new(path: &Path, error: &std::io::Error) -> Self {
        Self { path: path.to_path_buf(), reason: reason(error) }
    }
}

/// Who may read a file that is new; one that is replaced keeps its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Whoever the maker's umask lets.
    Usual,
    /// Its owner alone: it holds a secret.
    Owner,
}

/// Replaces or makes a file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_for(Readers::Usual, path, bytes)
}

/// Replaces or makes a file for these readers.
pub fn write_for(readers: Readers, path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    replace(readers, path, bytes).map_err(|error| WriteError::new(path, &error))
}

/// New files that belong together: if one of them cannot be written, those before it go again, with the directories that were made
/// for them.
#[derive(Debug, Default)]
pub struct NewFiles {
    made: Vec<PathBuf>,
}

impl NewFiles {
    /// Writes a file where none was, and the directories that it needs.
    pub fn write(&mut self, path: &Path, bytes: &[u8], executable: bool) -> Result<(), WriteError> {
        self.directories(path.parent().unwrap_or(Path::new("")))?;
        write_atomically(path, bytes)?;
        self.made.push(path.to_path_buf());
        #[cfg(unix)]
        if executable {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))
                .map_err(|error| WriteError::new(path, &error))?;
        }
        #[cfg(not(unix))]
        let _ = executable;
        Ok(())
    }

    /// All is written: it stays.
    pub fn keep(mut self) {
        self.made.clear();
    }

    fn directories(&mut self, directory: &Path) -> Result<(), WriteError> {
        let missing: Vec<&Path> = directory
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && path.symlink_metadata().is_err())
            .collect();
        for path in missing.into_iter().rev() {
            fs::create_dir(path).map_err(|error| WriteError::new(path, &error))?;
            self.made.push(path.to_path_buf());
        }
        Ok(())
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            // What somebody else has put into a directory in the meantime stays, and the directory with it.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}

/// Why the system refused, without the temporary name that nobody asked for.
fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "its directory does not exist".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        ErrorKind::NotADirectory => "a part of its path is no directory".to_owned(),
        ErrorKind::StorageFull => "no space left on device".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "its file system is read-only".to_owned(),
        kind if error.raw_os_error().is_none() => kind.to_string(),
        _ => error.to_string(),
    }
}

fn replace(readers: Readers, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // What is no regular file (/dev/stdout, a pipe) cannot be replaced by one: it is written to.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        return file.write_all(bytes).and_then(|()| file.flush());
    }
    // A link stays a link: the file behind it is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mkimg-").suffix(".part");
    let permissions = fs::metadata(&path).ok().map(|metadata| metadata.permissions());
    #[cfg(not(unix))]
    let _ = readers;
    #[cfg(unix)]
    if permissions.is_none() {
        use std::os::unix::fs::PermissionsExt;
        // The umask applies, as for any new file.
        let mode = if readers == Readers::Owner { 0o600 } else { 0o666 };
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    let mut file = builder.tempfile_in(directory)?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    // The new name is on the disk when its directory is.
    #[cfg(unix)]
    fs::File::open(directory)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("taken");
        fs::create_dir(&target).unwrap();
        assert!(write_atomically(&target, b"x").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let nowhere = directory.path().join("no/such");
        let said = write_atomically(&nowhere, b"x").unwrap_err().to_string();
        assert_eq!(said, format!("cannot write {}: its directory does not exist", nowhere.display()));
    }

    #[test]
    fn new_files_come_all_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("old")).unwrap();
        fs::write(root.join("old/file"), "mine").unwrap();
        let mut files = NewFiles::default();
        files.write(&root.join("a/b/first"), b"1", false).unwrap();
        files.write(&root.join("old/second"), b"2", true).unwrap();
        // A directory cannot stand in the place of a file.
        assert!(files.write(&root.join("old/file/third"), b"3", false).is_err());
        drop(files);
        assert!(!root.join("a").exists() && !root.join("old/second").exists());
        assert_eq!(fs::read(root.join("old/file")).unwrap(), b"mine");

        let mut files = NewFiles::default();
        files.write(&root.join("a/b/first"), b"1", false).unwrap();
        files.keep();
        assert_eq!(fs::read(root.join("a/b/first")).unwrap(), b"1");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_with_a_secret_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let secret = directory.path().join("secret");
        write_for(Readers::Owner, &secret, b"x").unwrap();
        assert_eq!(mode(&secret), 0o600);
        let usual = directory.path().join("usual");
        write_for(Readers::Usual, &usual, b"x").unwrap();
        assert_eq!(mode(&usual) & 0o600, 0o600);
        fs::set_permissions(&usual, fs::Permissions::from_mode(0o640)).unwrap();
        write_for(Readers::Owner, &usual, b"x").unwrap();
        assert_eq!(mode(&usual), 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn the_mode_of_the_replaced_file_stays() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("f");
        fs::write(&target, "a").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        write_atomically(&target, b"b").unwrap();
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&target).unwrap(), b"b");
    }
}
