//! Reads text files and writes files atomically.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Limit of a text file. A larger file was probably named by mistake.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Why a text cannot be read. The caller names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("it does not exist")]
    Missing,
    #[error("{0}")]
    Unreadable(String),
    #[error("it is larger than {} MiB", MAX_TEXT_BYTES >> 20)]
    TooLarge,
    #[error("byte {at} is not UTF-8")]
    NotUtf8 { at: usize },
}

/// Reads a text file up to the size limit; the file may be an endless device.
pub fn read_text(path: &Path) -> Result<String, TextError> {
    File::open(path).map_err(|error| to_text_error(&error)).and_then(read_limited)
}

/// Reads standard input as text, up to the size limit.
pub fn read_standard_input() -> Result<String, TextError> {
    read_limited(std::io::stdin().lock())
}

fn read_limited(from: impl Read) -> Result<String, TextError> {
    let mut bytes = Vec::new();
    from.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| to_text_error(&error))?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(TextError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| TextError::NotUtf8 { at: error.utf8_error().valid_up_to() })
}

fn to_text_error(error: &std::io::Error) -> TextError {
    match error.kind() {
        std::io::ErrorKind::NotFound => TextError::Missing,
        _ => TextError::Unreadable(read_error_reason(error)),
    }
}

/// Describes a read error. Common errors have a text without a number, because numbers differ
/// between systems.
#[must_use]
pub fn read_error_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// Why a file was not written. The previous file is unchanged.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {reason}", .path.display())]
pub struct WriteError {
    path: PathBuf,
    reason: String,
}

impl WriteError {
    fn new(path: &Path, error: &std::io::Error) -> Self {
        Self { path: path.to_path_buf(), reason: write_error_reason(error) }
    }
}

/// Who may read a new file. A replaced file keeps its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// As the umask says.
    Usual,
    /// The owner only, because the file contains a secret.
    Owner,
}

/// Creates or replaces a file: writes a temporary file in the same directory, syncs and renames it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_for(Readers::Usual, path, bytes)
}

/// Creates or replaces a file, as [`write_atomically`] does.
pub fn write_for(readers: Readers, path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    replace(readers, path, bytes).map_err(|error| WriteError::new(path, &error))
}

/// New files that belong together. Unless [`NewFiles::keep`] is called, dropping it removes them,
/// with the directories that were created for them.
#[derive(Debug, Default)]
pub struct NewFiles {
    created: Vec<PathBuf>,
}

impl NewFiles {
    /// Writes a file that does not exist, and creates its directories.
    pub fn write(&mut self, path: &Path, bytes: &[u8], executable: bool) -> Result<(), WriteError> {
        self.create_directories(path.parent().unwrap_or(Path::new("")))?;
        write_atomically(path, bytes)?;
        self.created.push(path.to_path_buf());
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

    /// Keeps the files.
    pub fn keep(mut self) {
        self.created.clear();
    }

    fn create_directories(&mut self, directory: &Path) -> Result<(), WriteError> {
        let missing: Vec<&Path> = directory
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && path.symlink_metadata().is_err())
            .collect();
        for path in missing.into_iter().rev() {
            fs::create_dir(path).map_err(|error| WriteError::new(path, &error))?;
            self.created.push(path.to_path_buf());
        }
        Ok(())
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        for path in self.created.iter().rev() {
            // A directory that contains other files by now stays.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}

/// Describes an error without the name of the temporary file.
fn write_error_reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "its directory does not exist".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        ErrorKind::NotADirectory => "a part of its path is not a directory".to_owned(),
        ErrorKind::StorageFull => "no space left on device".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "its file system is read-only".to_owned(),
        kind if error.raw_os_error().is_none() => kind.to_string(),
        _ => error.to_string(),
    }
}

fn replace(readers: Readers, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Devices and pipes such as /dev/stdout are written to, not replaced.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        return file.write_all(bytes).and_then(|()| file.flush());
    }
    // A link stays a link: its target is replaced.
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
    // The rename is durable once the directory is synced.
    #[cfg(unix)]
    fs::File::open(directory)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_files_are_not_read_to_the_end() {
        assert_eq!(read_text(Path::new("/dev/zero")), Err(TextError::TooLarge));
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        assert_eq!(read_text(file.path()), Err(TextError::TooLarge));
    }

    #[test]
    fn read_errors_are_distinct() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(read_text(file.path()), Ok(String::new()));
        std::fs::write(file.path(), b"a\xffb").unwrap();
        assert_eq!(read_text(file.path()), Err(TextError::NotUtf8 { at: 1 }));
        assert_eq!(
            read_text(&file.path().join("x")),
            Err(TextError::Unreadable("Not a directory (os error 20)".into()))
        );
        assert_eq!(read_text(Path::new("/no/such/file")), Err(TextError::Missing));
    }

    #[test]
    fn failed_writes_leave_no_files() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("taken");
        fs::create_dir(&target).unwrap();
        assert!(write_atomically(&target, b"x").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let nowhere = directory.path().join("no/such");
        let message = write_atomically(&nowhere, b"x").unwrap_err().to_string();
        assert_eq!(message, format!("cannot write {}: its directory does not exist", nowhere.display()));
    }

    #[test]
    fn new_files_are_removed_unless_kept() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("old")).unwrap();
        fs::write(root.join("old/file"), "mine").unwrap();
        let mut files = NewFiles::default();
        files.write(&root.join("a/b/first"), b"1", false).unwrap();
        files.write(&root.join("old/second"), b"2", true).unwrap();
        // The parent is a file.
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
    fn files_with_secrets_are_readable_by_the_owner_only() {
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
    fn replaced_files_keep_their_mode() {
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
