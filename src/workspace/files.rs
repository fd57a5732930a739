//! Reads and writes files: regular ones, within limits, all or nothing.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use super::directory::{Directory, Entry, WalkError};

/// Limit of a text file. A larger file was probably named by mistake.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// What to do about a link that is not followed.
pub const LINK_HELP: &str = "replace the link by the file or directory itself";

/// A file, and how far its path is trusted.
///
/// Links are followed in what the user typed. They are not followed inside a project, which may be
/// a stranger's: a link there could replace or show any file of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath {
    path: PathBuf,
    /// A directory that the user named, and the path below it.
    inside: Option<(PathBuf, PathBuf)>,
}

impl FilePath {
    /// A path that the user typed.
    pub fn typed(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), inside: None }
    }

    /// A path in a project.
    pub fn inside(root: &Path, path: impl AsRef<Path>) -> Self {
        Self { path: root.join(&path), inside: Some((root.to_path_buf(), path.as_ref().to_path_buf())) }
    }

    /// A path that the user typed. If it is in the project, links below the project's directory are
    /// not followed.
    pub fn typed_for_project(root: &Path, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let relative = || {
            let (path, root) = (std::path::absolute(&path).ok()?, std::path::absolute(root.join(".")).ok()?);
            path.strip_prefix(root).ok().map(Path::to_path_buf)
        };
        let is_plain = |path: &PathBuf| {
            path.file_name().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
        };
        let inside = relative().filter(is_plain).map(|relative| (root.to_path_buf(), relative));
        Self { path, inside }
    }

    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn display(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Whether there is anything at this path, be it a broken link.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }
}

/// Why a file cannot be read. The caller names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("it does not exist")]
    Missing,
    #[error("{0}")]
    Unreadable(String),
    /// A part of its path, relative to the project.
    #[error("{0} is a symbolic link, and links inside a project are not followed")]
    Link(String),
    #[error("it is {0}, not a regular file")]
    Special(&'static str),
    #[error("it is larger than {} MiB", .limit >> 20)]
    TooLarge { limit: u64, bytes: u64 },
    #[error("byte {at} is not UTF-8")]
    NotUtf8 { at: usize },
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Unreadable(read_error_reason(&error)),
        }
    }
}

impl From<WalkError> for ReadError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Link(path) => Self::Link(path.display().to_string()),
            WalkError::Io(error) => error.into(),
        }
    }
}

/// Opens a regular file. Anything else is refused, and never waited for, with one exception: the
/// user may type a path below `/dev` or `/proc`, such as `/dev/stdin`.
///
/// # Errors
///
/// Fails if the path leads to anything but a regular file, or through a link inside a project.
pub fn open_regular(path: &FilePath) -> Result<(File, Metadata), ReadError> {
    let file = match &path.inside {
        None if ["/dev", "/proc"].iter().any(|streams| path.path.starts_with(streams)) => {
            let file = File::open(&path.path)?;
            let metadata = file.metadata()?;
            return Ok((file, metadata));
        }
        None => {
            // Before it is opened, because opening a device may have an effect.
            require_regular(&fs::metadata(&path.path)?)?;
            super::directory::open_file(&path.path)?
        }
        Some((root, inside)) => {
            let (directory, name) = Directory::open_parent(root, inside)?;
            match directory.entry(name)? {
                Entry::Link => return Err(ReadError::Link(inside.display().to_string())),
                Entry::Special(kind) => return Err(ReadError::Special(kind)),
                Entry::Missing | Entry::Directory | Entry::File(_) => directory.open_file(name)?,
            }
        }
    };
    let metadata = file.metadata()?;
    require_regular(&metadata)?;
    Ok((file, metadata))
}

fn require_regular(metadata: &Metadata) -> Result<(), ReadError> {
    match describe_kind(metadata) {
        None => Ok(()),
        Some(kind) => Err(ReadError::Special(kind)),
    }
}

/// What a file is, with an article, if it is not a regular one.
pub fn describe_kind(metadata: &Metadata) -> Option<&'static str> {
    #[cfg(unix)]
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a directory"),
        #[cfg(unix)]
        () if kind.is_socket() => Some("a socket"),
        #[cfg(unix)]
        () if kind.is_fifo() => Some("a named pipe"),
        #[cfg(unix)]
        () if kind.is_block_device() || kind.is_char_device() => Some("a device"),
        () => Some("something else"),
    }
}

/// Reads a regular file (see [`open_regular`]) up to a size limit.
///
/// # Errors
///
/// Fails if the file cannot be opened or read, or is larger.
pub fn read_regular(path: &FilePath, limit: u64) -> Result<(Vec<u8>, Metadata), ReadError> {
    let (file, metadata) = open_regular(path)?;
    if metadata.is_file() && metadata.len() > limit {
        return Err(ReadError::TooLarge { limit, bytes: metadata.len() });
    }
    Ok((read_limited(file, limit)?, metadata))
}

/// Reads a text file up to the size limit.
pub fn read_text(path: &FilePath) -> Result<String, ReadError> {
    to_text(read_regular(path, MAX_TEXT_BYTES)?.0)
}

/// Reads a user-data document up to the size limit: from a file, or from standard input. A gzip is
/// decompressed, as cloud-init does.
pub fn read_document(path: Option<&FilePath>) -> Result<String, ReadError> {
    let bytes = match path {
        Some(path) => read_regular(path, MAX_TEXT_BYTES)?.0,
        None => read_limited(io::stdin().lock(), MAX_TEXT_BYTES)?,
    };
    if bytes.starts_with(b"\x1f\x8b") {
        to_text(read_limited(flate2::read::MultiGzDecoder::new(bytes.as_slice()), MAX_TEXT_BYTES)?)
    } else {
        to_text(bytes)
    }
}

/// Reads to the end, which may never come.
fn read_limited(from: impl Read, limit: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    let found = bytes.len() as u64;
    if found > limit { Err(ReadError::TooLarge { limit, bytes: found }) } else { Ok(bytes) }
}

fn to_text(bytes: Vec<u8>) -> Result<String, ReadError> {
    String::from_utf8(bytes).map_err(|error| ReadError::NotUtf8 { at: error.utf8_error().valid_up_to() })
}

/// Describes a read error. Common errors have a text without a number, because numbers differ
/// between systems.
#[must_use]
pub fn read_error_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// Why a file was not written. The previous file is unchanged.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {reason}", .path.display())]
pub struct WriteError {
    path: PathBuf,
    reason: String,
    /// What to do next, if the caller cannot know it.
    pub help: Option<&'static str>,
}

impl WriteError {
    pub(super) fn new(path: &Path, error: WalkError) -> Self {
        let (reason, help) = match error {
            WalkError::Link(link) => (ReadError::Link(link.display().to_string()).to_string(), Some(LINK_HELP)),
            WalkError::Io(error) => (write_error_reason(&error), None),
        };
        Self { path: path.to_path_buf(), reason, help }
    }

    /// The same error with another path.
    pub(super) fn at(self, path: &Path) -> Self {
        Self { path: path.to_path_buf(), ..self }
    }
}

/// Who may read a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// As the umask says; a replaced file keeps its mode.
    Usual,
    /// As [`Readers::Usual`], and everybody may execute it.
    UsualExecutable,
    /// The owner only, because the file contains a secret.
    Owner,
}

/// Creates or replaces a file that the user named: writes a temporary file in the same directory,
/// syncs and renames it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_for(Readers::Usual, &FilePath::typed(path), bytes)
}

/// Creates or replaces a file, as [`write_atomically`] does.
pub fn write_for(readers: Readers, path: &FilePath, bytes: &[u8]) -> Result<(), WriteError> {
    replace(readers, path, bytes).map_err(|error| WriteError::new(&path.path, error))
}

/// Describes an error without the name of the temporary file.
fn write_error_reason(error: &io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "its directory does not exist".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        ErrorKind::NotADirectory => "a part of its path is not a directory".to_owned(),
        ErrorKind::StorageFull => "no space left on device".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "its file system is read-only".to_owned(),
        _ => error.to_string(),
    }
}

fn replace(readers: Readers, path: &FilePath, bytes: &[u8]) -> Result<(), WalkError> {
    if let Some((root, inside)) = &path.inside {
        let (directory, name) = Directory::open_parent(root, inside)?;
        return match directory.entry(name)? {
            Entry::Link => Err(WalkError::Link(inside.clone())),
            Entry::Special(kind) => Err(io::Error::other(format!("it is {kind}, not a regular file")).into()),
            entry => Ok(replace_in(&directory, name, entry, readers, bytes)?),
        };
    }
    // Devices and pipes such as /dev/stdout are written to, not replaced.
    let path = &path.path;
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        return Ok(file.write_all(bytes).and_then(|()| file.flush())?);
    }
    // A link stays a link: its target is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let directory = Directory::open(path.parent().unwrap_or(Path::new("")))?;
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory).map_err(io::Error::from)?;
    Ok(replace_in(&directory, name, directory.entry(name)?, readers, bytes)?)
}

/// Replaces what is at `name` in a directory.
fn replace_in(directory: &Directory, name: &OsStr, old: Entry, readers: Readers, bytes: &[u8]) -> io::Result<()> {
    let mode = match (readers, old) {
        (Readers::Owner, _) => Some(0o600),
        (Readers::UsualExecutable, _) => Some(0o755),
        (Readers::Usual, Entry::File(mode)) => Some(mode),
        (Readers::Usual, _) => None,
    };
    let temporary = format!("{TEMPORARY_PREFIX}{:016x}{TEMPORARY_SUFFIX}", getrandom::u64().map_err(io::Error::other)?);
    let temporary = OsStr::new(&temporary);
    let mut file = directory.create_file(temporary, mode)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| directory.rename(temporary, directory, name));
    if written.is_err() {
        let _ = directory.remove_file(temporary);
    }
    // The rename is durable once the directory is synced.
    written.and_then(|()| directory.sync())
}

pub(super) const TEMPORARY_PREFIX: &str = ".mkimg-";
pub(super) const TEMPORARY_SUFFIX: &str = ".part";

/// Whether this is the name of a file or directory that an interrupted command has left.
#[must_use]
pub fn is_temporary(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(TEMPORARY_PREFIX) && name.ends_with(TEMPORARY_SUFFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_files_are_not_read_to_the_end() {
        let limit = MAX_TEXT_BYTES;
        let read = |path: &Path| read_text(&FilePath::typed(path));
        assert_eq!(read(Path::new("/dev/zero")), Err(ReadError::TooLarge { limit, bytes: limit + 1 }));
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        assert_eq!(read(file.path()), Err(ReadError::TooLarge { limit, bytes: 1 << 40 }));
    }

    #[test]
    fn read_errors_are_distinct() {
        let read_text = |path: &Path| read_text(&FilePath::typed(path));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(read_text(file.path()), Ok(String::new()));
        std::fs::write(file.path(), b"a\xffb").unwrap();
        assert_eq!(read_text(file.path()), Err(ReadError::NotUtf8 { at: 1 }));
        assert_eq!(
            read_text(&file.path().join("x")),
            Err(ReadError::Unreadable("Not a directory (os error 20)".into()))
        );
        assert_eq!(read_text(Path::new("/no/such/file")), Err(ReadError::Missing));
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

    #[cfg(unix)]
    #[test]
    fn files_with_secrets_are_readable_by_the_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let secret = directory.path().join("secret");
        let write = |readers, path: &Path| write_for(readers, &FilePath::typed(path), b"x").unwrap();
        write(Readers::Owner, &secret);
        assert_eq!(mode(&secret), 0o600);
        let usual = directory.path().join("usual");
        write(Readers::Usual, &usual);
        assert_eq!(mode(&usual) & 0o600, 0o600);
        for readable in [0o644, 0o640, 0o777] {
            fs::set_permissions(&usual, fs::Permissions::from_mode(readable)).unwrap();
            write(Readers::Owner, &usual);
            assert_eq!(mode(&usual), 0o600);
        }
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

    #[cfg(unix)]
    #[test]
    fn links_inside_a_project_are_not_followed() {
        use std::os::unix::fs::symlink;
        let (project, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, outside) = (project.path(), outside.path());
        fs::write(outside.join("file"), "mine").unwrap();
        fs::create_dir(root.join("real")).unwrap();
        symlink(outside, root.join("directory")).unwrap();
        symlink(outside.join("file"), root.join("real/file")).unwrap();
        symlink(outside.join("new"), root.join("dangling")).unwrap();
        symlink(root.join("real"), root.join("inner")).unwrap();
        let cases = [
            ("directory/file", "directory"),
            ("directory/new", "directory"),
            ("real/file", "real/file"),
            ("dangling", "dangling"),
            ("inner/new", "inner"),
        ];
        for (path, link) in cases {
            for place in [FilePath::inside(root, path), FilePath::typed_for_project(root, root.join(path))] {
                assert_eq!(read_text(&place), Err(ReadError::Link(link.to_owned())));
                let error = write_for(Readers::Usual, &place, b"x").unwrap_err();
                let reason = format!("{link} is a symbolic link, and links inside a project are not followed");
                assert_eq!(error.to_string(), format!("cannot write {}: {reason}", root.join(path).display()));
                assert_eq!(error.help, Some(LINK_HELP));
            }
        }
        assert!(write_for(Readers::Usual, &FilePath::inside(root, "../file"), b"x").is_err());
        assert!(read_text(&FilePath::inside(root, outside.join("file"))).is_err());
        assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"mine");
        // What the user typed is followed: the link stays, its target is replaced.
        write_for(Readers::Usual, &FilePath::typed(root.join("real/file")), b"new").unwrap();
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"new");
        // So is the project's directory.
        write_for(Readers::Usual, &FilePath::inside(&root.join("inner"), "new"), b"new").unwrap();
        assert_eq!(fs::read(root.join("real/new")).unwrap(), b"new");
    }

    /// Another process repeatedly replaces a file or a directory with a link.
    #[cfg(unix)]
    #[test]
    fn links_that_appear_meanwhile_are_not_followed() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let (project, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, outside) = (project.path(), outside.path());
        for (directory, content) in [(root, "inside"), (outside, "outside")] {
            fs::create_dir(directory.join("d")).unwrap();
            fs::write(directory.join("d/file"), content).unwrap();
        }
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    fs::rename(root.join("d"), root.join("moved")).unwrap();
                    std::os::unix::fs::symlink(outside.join("d"), root.join("d")).unwrap();
                    fs::remove_file(root.join("d")).unwrap();
                    fs::rename(root.join("moved"), root.join("d")).unwrap();
                }
            });
            for _ in 0..2000 {
                let place = FilePath::inside(root, "d/file");
                assert_ne!(read_text(&place), Ok("outside".to_owned()));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(fs::read(outside.join("d/file")).unwrap(), b"outside");
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let made = std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", root.join("device")).unwrap();
        let typed = |name: &str| read_text(&FilePath::typed(root.join(name)));
        let inside = |name: &str| read_text(&FilePath::inside(root, name));
        for read in [&typed as &dyn Fn(&str) -> Result<String, ReadError>, &inside] {
            assert_eq!(read("pipe"), Err(ReadError::Special("a named pipe")));
            assert_eq!(read("socket"), Err(ReadError::Special("a socket")));
            assert_eq!(read("missing"), Err(ReadError::Missing));
        }
        assert_eq!(typed("device"), Err(ReadError::Special("a device")));
        assert_eq!(read_text(&FilePath::typed("/dev/null")), Ok(String::new()));
    }
}
