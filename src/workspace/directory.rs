//! A directory that is open, and what one can do in it by name.
//!
//! Paths are walked one component at a time from the open directory, and links are not followed.
//! What was checked is what is used, even if another process replaces a directory by a link in
//! between.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

pub(super) use system::{Directory, ModeBits, open_file};

/// What a name in a directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Missing,
    /// With its permissions.
    File(ModeBits),
    Directory,
    Link,
    /// Its kind, with an article.
    Special(&'static str),
}

/// Why a path below a directory cannot be used.
#[derive(Debug)]
pub(super) enum WalkError {
    /// This part of the path is a link.
    Link(PathBuf),
    Io(std::io::Error),
}

impl From<std::io::Error> for WalkError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl Directory {
    /// Opens the directory of `path`, which is relative to `root`. Links are followed in `root`
    /// only. Returns the directory and the last component.
    pub(super) fn open_parent<'p>(root: &Path, path: &'p Path) -> Result<(Self, &'p OsStr), WalkError> {
        let mut directory = Self::open(root)?;
        let mut walked = PathBuf::new();
        let mut parts = path.components().filter(|part| *part != Component::CurDir).peekable();
        while let Some(Component::Normal(part)) = parts.next() {
            if parts.peek().is_none() {
                return Ok((directory, part));
            }
            walked.push(part);
            directory = match directory.enter(part) {
                Ok(next) => next,
                Err(_) if directory.entry(part)? == Entry::Link => return Err(WalkError::Link(walked)),
                Err(error) => return Err(error.into()),
            };
        }
        Err(std::io::Error::other("it is not below the project's directory").into())
    }
}

#[cfg(unix)]
mod system {
    use std::ffi::OsStr;
    use std::fs::File;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, openat, renameat, statat, unlinkat};

    use super::Entry;

    pub(in crate::workspace) use rustix::fs::RawMode as ModeBits;

    /// Opening waits for no other process, and a terminal does not become the controlling one.
    const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
    const CREATE: OFlags = OFlags::WRONLY.union(OFlags::CLOEXEC).union(OFlags::CREATE).union(OFlags::EXCL);

    /// Opens a file; links in its path are followed.
    pub(in crate::workspace) fn open_file(path: &Path) -> io::Result<File> {
        Ok(rustix::fs::open(path, READ, Mode::empty())?.into())
    }

    #[derive(Debug)]
    pub(in crate::workspace) struct Directory(OwnedFd);

    impl Directory {
        /// Opens a directory; links in its path are followed.
        pub(in crate::workspace) fn open(path: &Path) -> io::Result<Self> {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            Ok(Self(rustix::fs::open(path, READ | OFlags::DIRECTORY, Mode::empty())?))
        }

        pub(in crate::workspace) fn enter(&self, name: &OsStr) -> io::Result<Self> {
            Ok(Self(openat(&self.0, name, READ | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?))
        }

        pub(in crate::workspace) fn entry(&self, name: &OsStr) -> io::Result<Entry> {
            match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => Ok(match FileType::from_raw_mode(found.st_mode) {
                    FileType::RegularFile => Entry::File(found.st_mode & 0o7777),
                    FileType::Directory => Entry::Directory,
                    FileType::Symlink => Entry::Link,
                    FileType::Fifo => Entry::Special("a named pipe"),
                    FileType::Socket => Entry::Special("a socket"),
                    FileType::BlockDevice | FileType::CharacterDevice => Entry::Special("a device"),
                    FileType::Unknown => Entry::Special("something else"),
                }),
                Err(rustix::io::Errno::NOENT) => Ok(Entry::Missing),
                Err(error) => Err(error.into()),
            }
        }

        pub(in crate::workspace) fn open_file(&self, name: &OsStr) -> io::Result<File> {
            Ok(openat(&self.0, name, READ | OFlags::NOFOLLOW, Mode::empty())?.into())
        }

        /// Creates a file, which must not exist, with these permissions; `None`: as the umask says.
        pub(in crate::workspace) fn create_file(&self, name: &OsStr, mode: Option<ModeBits>) -> io::Result<File> {
            let first = Mode::from_raw_mode(if mode.is_some() { 0o600 } else { 0o666 });
            let file = openat(&self.0, name, CREATE, first)?;
            if let Some(mode) = mode {
                fchmod(&file, Mode::from_raw_mode(mode))?;
            }
            Ok(file.into())
        }

        /// Moves `name` to `new` in another directory on the same file system.
        pub(in crate::workspace) fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
            Ok(renameat(&self.0, name, &to.0, new)?)
        }

        pub(in crate::workspace) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
            Ok(unlinkat(&self.0, name, AtFlags::empty())?)
        }

        /// Makes renames durable.
        pub(in crate::workspace) fn sync(&self) -> io::Result<()> {
            Ok(rustix::fs::fsync(&self.0)?)
        }
    }
}

/// Without `openat`: checks names right before it uses them.
#[cfg(not(unix))]
mod system {
    use std::ffi::OsStr;
    use std::fs::{self, File};
    use std::io;
    use std::path::{Path, PathBuf};

    use super::Entry;

    pub(in crate::workspace) type ModeBits = u32;

    pub(in crate::workspace) fn open_file(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    #[derive(Debug)]
    pub(in crate::workspace) struct Directory(PathBuf);

    impl Directory {
        pub(in crate::workspace) fn open(path: &Path) -> io::Result<Self> {
            fs::read_dir(path.join(".")).map(|_| Self(path.join(".")))
        }

        pub(in crate::workspace) fn enter(&self, name: &OsStr) -> io::Result<Self> {
            match self.entry(name)? {
                Entry::Directory => Ok(Self(self.0.join(name))),
                Entry::Missing => Err(io::ErrorKind::NotFound.into()),
                _ => Err(io::ErrorKind::NotADirectory.into()),
            }
        }

        pub(in crate::workspace) fn entry(&self, name: &OsStr) -> io::Result<Entry> {
            match fs::symlink_metadata(self.0.join(name)) {
                Ok(found) if found.is_file() => Ok(Entry::File(0)),
                Ok(found) if found.is_dir() => Ok(Entry::Directory),
                Ok(found) if found.is_symlink() => Ok(Entry::Link),
                Ok(_) => Ok(Entry::Special("something else")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entry::Missing),
                Err(error) => Err(error),
            }
        }

        pub(in crate::workspace) fn open_file(&self, name: &OsStr) -> io::Result<File> {
            File::open(self.0.join(name))
        }

        pub(in crate::workspace) fn create_file(&self, name: &OsStr, _: Option<ModeBits>) -> io::Result<File> {
            File::create_new(self.0.join(name))
        }

        pub(in crate::workspace) fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
            fs::rename(self.0.join(name), to.0.join(new))
        }

        pub(in crate::workspace) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
            fs::remove_file(self.0.join(name))
        }

        pub(in crate::workspace) fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }
}
