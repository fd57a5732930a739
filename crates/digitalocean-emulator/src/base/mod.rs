//! Base images: the disks that droplets start from, by DigitalOcean's slug, in a cache.
//!
//! `<cache>/<slug>/` holds `disk.qcow2`, `base.json` and, for images that boot without a loader, `vmlinuz` and `initrd`.
//! A folder appears there whole or not at all.
//!
//! [`build`] makes Debian from its packages; [`pull`] downloads what a publisher offers. To add a Debian release: one
//! line in [`build::RELEASES`]; to add a published image: one line in [`pull::PUBLISHED`].

pub mod build;
pub mod pull;
mod rootfs;
mod sources;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cloud::store::make_private;

/// How a disk is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Boot {
    /// QEMU loads `vmlinuz` and `initrd`, which lie beside the disk, with this command line.
    Kernel { append: String },
    /// The disk has a boot loader of its own.
    Loader,
}

/// What `base.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub version: u32,
    pub slug: String,
    pub boot: Boot,
    /// The disk's size as the guest sees it, in bytes.
    pub virtual_size: u64,
    /// Where it comes from: a mirror's or a publisher's address.
    pub origin: String,
    /// RFC 3339, UTC.
    pub made_at: String,
}

/// A base image in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    #[serde(flatten)]
    pub base: Base,
    pub path: PathBuf,
    /// Bytes that the disk takes.
    pub bytes: u64,
}

/// The version of `base.json`.
pub const VERSION: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{slug} can't be {verb}; known are: {}", known.join(", "))]
    Unknown { slug: String, verb: &'static str, known: Vec<&'static str> },
    #[error("{} not installed; install with: apt-get install {}", are(programs), packages.join(" "))]
    MissingPrograms { programs: Vec<&'static str>, packages: Vec<&'static str> },
    #[error(
        "building a base image needs root: it makes a file system with other owners' files; use sudo (and --cache, to keep the image in your own cache)"
    )]
    NotRoot,
    #[error("no Debian mirror was found in /etc/apt; name one with --mirror https://mirror.example/debian")]
    NoMirror,
    #[error("{0} is not an address of a mirror: expected http:// or https://")]
    BadMirror(String),
    #[error("{program} failed ({status}):\n{tail}")]
    Program { program: &'static str, status: String, tail: String },
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the disk that holds {} is full; a base image needs about 3 GiB while it is made", path.display())]
    DiskFull { path: PathBuf },
    #[error("another mkimg makes a base image in {} right now; wait for it, then look with: mkimg base list", path.display())]
    Busy { path: PathBuf },
    #[error("something is still mounted at {}, where an interrupted mkimg left it; unmount it, then try again: umount --recursive {0}", path.display())]
    Mounted { path: PathBuf },
    #[error("{url}: {reason}")]
    Download { url: String, reason: String },
    #[error("{url} has the sha256 {found}, its publisher's list says {expected}; it was not kept")]
    Sum { url: String, expected: String, found: String },
    #[error("no home directory, and so no cache; give one with --cache DIR")]
    NoCache,
}

fn are(programs: &[&str]) -> String {
    format!("{} {}", programs.join(", "), if programs.len() == 1 { "is" } else { "are" })
}

impl Error {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::DiskFull { path: path.to_path_buf() };
        }
        Self::Io { what, path: path.to_path_buf(), source }
    }
}

/// Where base images are kept if nothing else is said: `$XDG_CACHE_HOME/mkimg/base`.
pub fn default_cache() -> Result<PathBuf, Error> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy().map_err(|_| Error::NoCache)?;
    Ok(strategy.cache_dir().join("mkimg").join("base"))
}

/// The base images in the cache, by slug. What is not one is passed over.
pub fn list(cache: &Path) -> Result<Vec<Listed>, Error> {
    let entries = match std::fs::read_dir(cache) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("the cache can't be read:", cache, error)),
    };
    let mut found: Vec<Listed> = entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .filter_map(|entry| {
            let path = entry.path();
            let base = read(&path).ok()?;
            let bytes = std::fs::metadata(path.join("disk.qcow2")).ok()?.len();
            Some(Listed { base, path, bytes })
        })
        .collect();
    found.sort_by(|a, b| a.base.slug.cmp(&b.base.slug));
    Ok(found)
}

/// Reads a base image's `base.json`.
pub(crate) fn read(folder: &Path) -> Result<Base, String> {
    let bytes = std::fs::read(folder.join("base.json")).map_err(|error| format!("base.json: {error}"))?;
    let base: Base = serde_json::from_slice(&bytes).map_err(|error| format!("base.json: {error}"))?;
    if base.version != VERSION {
        return Err(format!("base.json is of version {}, this mkimg reads version {VERSION}", base.version));
    }
    Ok(base)
}

/// What is mounted somewhere below a folder: it is not ours to clear.
fn mounted_below(folder: &Path) -> Option<PathBuf> {
    let device = std::fs::symlink_metadata(folder).ok()?.dev();
    let below = walkdir::WalkDir::new(folder).same_file_system(true).into_iter().flatten();
    let foreign = |entry: &walkdir::DirEntry| entry.metadata().is_ok_and(|found| found.dev() != device);
    below.into_iter().find(foreign).map(walkdir::DirEntry::into_path)
}

/// A folder in the cache in which an image is made, and the lock that keeps others out. Whatever is left of it
/// disappears with it, or, after a power cut, with the next one.
struct Workshop {
    folder: tempfile::TempDir,
    cache: PathBuf,
    _lock: std::fs::File,
}

const PREFIX: &str = ".making-";

impl Workshop {
    fn open(cache: &Path) -> Result<Self, Error> {
        make_private(cache).map_err(|error| Error::io("can't make the cache", cache, error))?;
        let lock = std::fs::File::create(cache.join(".lock"))
            .map_err(|error| Error::io("can't write in the cache", cache, error))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Busy { path: cache.to_path_buf() }),
            Err(error) => return Err(Error::io("can't lock the cache", cache, error.into())),
        }
        for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                if let Some(path) = mounted_below(&entry.path()) {
                    return Err(Error::Mounted { path });
                }
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(cache)
            .map_err(|error| Error::io("can't write in the cache", cache, error))?;
        Ok(Self { folder, cache: cache.to_path_buf(), _lock: lock })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts `image/` of the workshop into the cache, in the place of what was there.
    fn deliver(&self, base: &Base) -> Result<Listed, Error> {
        let made = self.path().join("image");
        let json = serde_json::to_vec_pretty(base)
            .map_err(|error| Error::io("can't write", &made.join("base.json"), error.into()))?;
        std::fs::write(made.join("base.json"), json)
            .map_err(|error| Error::io("can't write", &made.join("base.json"), error))?;
        for entry in std::fs::read_dir(&made).map_err(|error| Error::io("can't read", &made, error))?.flatten() {
            std::fs::File::open(entry.path())
                .and_then(|file| file.sync_all())
                .map_err(|error| Error::io("can't write", &entry.path(), error))?;
        }
        let place = self.cache.join(&base.slug);
        let moved = if place.exists() {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            // One step: there is never no image. The old one goes with the workshop.
            renameat_with(CWD, &made, CWD, &place, RenameFlags::EXCHANGE).map_err(std::io::Error::from)
        } else {
            std::fs::rename(&made, &place)
        };
        moved.map_err(|error| Error::io("can't put the image into", &place, error))?;
        let _ = std::fs::File::open(&self.cache).and_then(|folder| folder.sync_all());
        let disk = place.join("disk.qcow2");
        let bytes = std::fs::metadata(&disk).map_err(|error| Error::io("can't read", &disk, error))?.len();
        Ok(Listed { base: base.clone(), path: place, bytes })
    }
}
