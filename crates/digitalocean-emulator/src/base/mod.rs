//! Base images: the disks that droplets start from, in a cache by DigitalOcean's slug.
//!
//! `<cache>/<slug>/` has `disk.qcow2`, `base.json` and, for images without a boot loader, `vmlinuz`
//! and `initrd`. A folder appears there complete or not at all. [`build()`](build::build) makes
//! Debian from its packages; [`pull()`](pull::pull) downloads published images. To add a Debian
//! release: one line in [`build::RELEASES`]; to add a published image: one line in
//! [`pull::PUBLISHED`].

pub mod build;
mod debian;
pub mod pull;

use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::support::{create_private_dir, timestamp, try_lock};

/// How a disk boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Boot {
    /// QEMU loads `vmlinuz` and `initrd` from the disk's folder.
    Kernel {
        /// The kernel's command line.
        append: String,
    },
    /// The disk has a boot loader.
    Loader,
}

/// The content of `base.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseInfo {
    /// The version of this format.
    pub version: u32,
    /// DigitalOcean's slug.
    pub slug: String,
    /// How the disk boots.
    pub boot: Boot,
    /// The disk's size as the guest sees it, in bytes.
    pub virtual_size: u64,
    /// The URL of the mirror or publisher.
    pub origin: String,
    /// RFC 3339, UTC.
    pub made_at: String,
}

impl BaseInfo {
    fn new(slug: &str, boot: Boot, virtual_size: u64, origin: String) -> Self {
        Self { version: VERSION, slug: slug.to_owned(), boot, virtual_size, origin, made_at: timestamp() }
    }
}

/// A base image in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseImage {
    /// What `base.json` says.
    #[serde(flatten)]
    pub base: BaseInfo,
    /// Its folder.
    pub path: PathBuf,
    /// Bytes that the disk takes.
    pub bytes: u64,
}

/// The version of `base.json`.
const VERSION: u32 = 1;

/// A header and its extensions are in the first cluster, which has at most this size.
const MAX_HEADER_BYTES: u64 = 2 << 20;

/// Prefix of folders that are not complete yet.
const INCOMPLETE_PREFIX: &str = ".making-";

/// Why a base image could not be made, or the cache not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("{slug} can't be {verb}; the known slugs are {}", known.join(", "))]
    Unknown { slug: String, verb: &'static str, known: Vec<&'static str> },
    #[error("{} not installed; install with: apt-get install {}", with_verb(programs), packages.join(" "))]
    MissingPrograms { programs: Vec<&'static str>, packages: Vec<&'static str> },
    #[error(
        "building a base image needs root, because it makes a file system with files of other owners; use sudo (and --cache, to keep the image in your own cache)"
    )]
    NotRoot,
    #[error("no Debian mirror was found in /etc/apt; name one with --mirror https://mirror.example/debian")]
    NoMirror,
    #[error("{0} is not the address of a mirror: it must begin with http:// or https://")]
    BadMirror(String),
    #[error("{program} failed ({status}):\n{tail}")]
    Program { program: &'static str, status: String, tail: String },
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the disk that holds {} is full; making a base image needs about 3 GiB", path.display())]
    DiskFull { path: PathBuf },
    #[error("another program is making a base image in {}; wait until it is done", path.display())]
    Busy { path: PathBuf },
    #[error("an interrupted build left a file system mounted at {}; unmount it and try again: umount --recursive {0}", path.display())]
    Mounted { path: PathBuf },
    #[error("{url}: {reason}")]
    Download { url: String, reason: String },
    #[error("{url} has the sha256 {found}, but its publisher's list says {expected}; it was not kept")]
    Checksum { url: String, expected: String, found: String },
    #[error("{url} is not complete after {}: {received} bytes were received; allow more time with --timeout-download", humantime::format_duration(*limit))]
    Slow { url: String, limit: std::time::Duration, received: u64 },
    #[error("{list} does not have its publisher's signature ({signature}); nothing was kept:\n{reason}")]
    Signature { list: String, signature: String, reason: String },
    #[error("there is no home directory, and so no cache; name one with --cache DIR")]
    NoCache,
}

fn with_verb(programs: &[&str]) -> String {
    format!("{} {}", programs.join(", "), if programs.len() == 1 { "is" } else { "are" })
}

impl Error {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            std::io::ErrorKind::StorageFull => Self::DiskFull { path },
            _ => Self::Io { what, path, source },
        }
    }
}

/// The usual cache of a program: `$XDG_CACHE_HOME/<program>/base`.
pub fn default_cache(program: &str) -> Result<PathBuf, Error> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy().map_err(|_| Error::NoCache)?;
    Ok(strategy.cache_dir().join(program).join("base"))
}

/// The base images in the cache, by slug. Other folders and broken images are skipped.
pub fn list(cache: &Path) -> Result<Vec<BaseImage>, Error> {
    let entries = match std::fs::read_dir(cache) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("can't read the cache", cache, error)),
    };
    let visible = entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let mut found: Vec<BaseImage> = visible
        .filter_map(|entry| {
            let path = entry.path();
            let bytes = std::fs::metadata(path.join("disk.qcow2")).ok()?.len();
            Some(BaseImage { base: read(&path).ok()?, path, bytes })
        })
        .collect();
    found.sort_by(|a, b| a.base.slug.cmp(&b.base.slug));
    Ok(found)
}

/// Reads the `base.json` in a folder.
pub(crate) fn read(folder: &Path) -> Result<BaseInfo, String> {
    let bytes = std::fs::read(folder.join("base.json")).map_err(|error| format!("base.json: {error}"))?;
    let base: BaseInfo = serde_json::from_slice(&bytes).map_err(|error| format!("base.json: {error}"))?;
    if base.version != VERSION {
        return Err(format!("base.json has version {}, but this emulator reads version {VERSION}", base.version));
    }
    Ok(base)
}

/// What the header of a qcow2 disk says.
pub(crate) struct DiskHeader {
    /// The size as the guest sees it, in bytes.
    pub(crate) virtual_size: u64,
    /// What another file is to this disk: QEMU would open it, wherever it is on this machine.
    pub(crate) other_file: Option<&'static str>,
}

/// In the incompatible features of a qcow2 disk: the data is in another file.
const EXTERNAL_DATA_FILE: u64 = 1 << 2;
/// The extension of the header that names this file.
const DATA_FILE_NAME: u32 = 0x4441_5441;

/// Reads the header of a qcow2 disk: big-endian numbers. The backing file is at byte 8, the size at
/// byte 24; from version 3 on, the incompatible features at byte 72, and the header's length at byte
/// 100. Extensions follow the header: type, length, and data up to a multiple of 8 bytes.
pub(crate) fn read_disk_header(disk: &Path) -> Result<DiskHeader, String> {
    let mut header = Vec::new();
    let read = std::fs::File::open(disk).and_then(|file| file.take(MAX_HEADER_BYTES).read_to_end(&mut header));
    read.map_err(|error| error.to_string())?;
    let number = |at: usize, bytes: usize| {
        let bytes = header.get(at..at + bytes).ok_or("the header of the disk is cut short")?;
        Ok::<u64, &str>(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    if !header.starts_with(b"QFI\xfb") {
        return Err("it is not a qcow2 disk".to_owned());
    }
    let is_version_2 = number(4, 4)? == 2;
    let has_data_file = if is_version_2 { false } else { number(72, 8)? & EXTERNAL_DATA_FILE != 0 };
    let mut at = if is_version_2 { 72 } else { usize::try_from(number(100, 4)?).unwrap_or(usize::MAX / 2) };
    let mut names_data_file = false;
    // The list ends with an extension of type 0, or with the header's cluster.
    while let (Ok(kind @ 1..), Ok(length)) = (number(at, 4), number(at + 4, 4)) {
        names_data_file |= kind == u64::from(DATA_FILE_NAME);
        at += 8 + usize::try_from(length.next_multiple_of(8)).unwrap_or(usize::MAX / 4);
    }
    let other_file = match (number(8, 8)?, has_data_file || names_data_file) {
        (0, false) => None,
        (0, true) => Some("data file"),
        _ => Some("backing file"),
    };
    Ok(DiskHeader { virtual_size: number(24, 8)?, other_file })
}

/// A file system that is mounted somewhere below a folder, and must not be cleared.
fn find_mount_below(folder: &Path) -> Option<PathBuf> {
    let device = std::fs::symlink_metadata(folder).ok()?.dev();
    let mut entries = walkdir::WalkDir::new(folder).same_file_system(true).into_iter().flatten();
    let is_mount = |entry: &walkdir::DirEntry| entry.metadata().is_ok_and(|found| found.dev() != device);
    entries.find(is_mount).map(walkdir::DirEntry::into_path)
}

/// A folder in the cache in which an image is made, with a lock that excludes other programs. It is
/// removed at the end or, after a crash, when the next one is opened.
struct WorkDir {
    folder: tempfile::TempDir,
    cache: PathBuf,
    _lock: std::fs::File,
}

impl WorkDir {
    fn open(cache: &Path) -> Result<Self, Error> {
        let write_error = |error| Error::io("can't write in the cache", cache, error);
        create_private_dir(cache).map_err(|error| Error::io("can't create the cache", cache, error))?;
        let lock = std::fs::File::create(cache.join(".lock")).map_err(write_error)?;
        if !try_lock(&lock).map_err(|error| Error::io("can't lock the cache", cache, error))? {
            return Err(Error::Busy { path: cache.to_path_buf() });
        }
        for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(INCOMPLETE_PREFIX) {
                if let Some(path) = find_mount_below(&entry.path()) {
                    return Err(Error::Mounted { path });
                }
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let folder = tempfile::Builder::new().prefix(INCOMPLETE_PREFIX).tempdir_in(cache).map_err(write_error)?;
        let work = Self { folder, cache: cache.to_path_buf(), _lock: lock };
        let image = work.image();
        std::fs::create_dir(&image).map_err(|error| Error::io("can't create", &image, error))?;
        Ok(work)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the image's files.
    fn image(&self) -> PathBuf {
        self.path().join("image")
    }

    /// Moves the image into the cache and replaces an older one there.
    fn publish(&self, base: BaseInfo) -> Result<BaseImage, Error> {
        let image = self.image();
        let info = image.join("base.json");
        let written = serde_json::to_vec_pretty(&base).map_err(Into::into).and_then(|json| std::fs::write(&info, json));
        written.map_err(|error| Error::io("can't write", &info, error))?;
        for entry in std::fs::read_dir(&image).map_err(|error| Error::io("can't read", &image, error))?.flatten() {
            std::fs::File::open(entry.path())
                .and_then(|file| file.sync_all())
                .map_err(|error| Error::io("can't write", &entry.path(), error))?;
        }
        let path = self.cache.join(&base.slug);
        let moved = if path.exists() {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            // Atomic: there is always an image. The old one is removed with this folder.
            renameat_with(CWD, &image, CWD, &path, RenameFlags::EXCHANGE).map_err(std::io::Error::from)
        } else {
            std::fs::rename(&image, &path)
        };
        moved.map_err(|error| Error::io("can't move the image to", &path, error))?;
        let _ = std::fs::File::open(&self.cache).and_then(|folder| folder.sync_all());
        let disk = path.join("disk.qcow2");
        let bytes = std::fs::metadata(&disk).map_err(|error| Error::io("can't read", &disk, error))?.len();
        Ok(BaseImage { base, path, bytes })
    }
}
