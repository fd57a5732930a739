//! Disks of droplets (overlays on base images and snapshots) and of snapshots (independent copies),
//! made by `qemu-img`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backend::port::BackendError;
use crate::base::Boot;
use crate::support::{timestamp, tool};

/// Prefix of folders that are not complete yet.
pub(super) const INCOMPLETE_PREFIX: &str = ".making-";

/// The content of `snapshot.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SnapshotInfo {
    version: u32,
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) droplet: u64,
    pub(super) boot: Boot,
    /// The disk's size as the guest sees it, in bytes.
    pub(super) virtual_size: u64,
    /// Bytes that `disk.qcow2` takes.
    pub(super) bytes: u64,
    /// RFC 3339, UTC.
    pub(super) created_at: String,
}

/// The version of `snapshot.json`.
const VERSION: u32 = 1;

/// Files beside a disk that has no boot loader.
const KERNEL_FILES: [&str; 2] = ["vmlinuz", "initrd"];

impl SnapshotInfo {
    pub(super) fn new(id: u64, name: &str, droplet: u64, boot: Boot, virtual_size: u64) -> Self {
        let name = name.to_owned();
        Self { version: VERSION, id, name, droplet, boot, virtual_size, bytes: 0, created_at: timestamp() }
    }

    /// Reads `snapshot.json` in a snapshot's folder.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(folder.join("snapshot.json")).map_err(|error| format!("snapshot.json: {error}"))?;
        let info: Self = serde_json::from_slice(&bytes).map_err(|error| format!("snapshot.json: {error}"))?;
        if info.version != VERSION {
            let found = info.version;
            return Err(format!("snapshot.json has version {found}, but this emulator reads version {VERSION}"));
        }
        Ok(info)
    }
}

/// Checks whether an image has all its files.
pub(super) fn check_files(folder: &Path, boot: &Boot) -> Result<(), String> {
    let kernel: &[&str] = if matches!(boot, Boot::Kernel { .. }) { &KERNEL_FILES } else { &[] };
    match ["disk.qcow2"].iter().chain(kernel).find(|name| !folder.join(name).is_file()) {
        Some(name) => Err(format!("{name} is missing")),
        None => Ok(()),
    }
}

/// The program qemu-img.
pub(super) struct QemuImg(pub(super) PathBuf);

impl QemuImg {
    async fn run<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a OsStr>,
        product: &Path,
    ) -> Result<(), BackendError> {
        let output = tool(&self.0)
            .args(arguments)
            .output()
            .await
            .map_err(|error| BackendError::io("can't start", &self.0, error))?;
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() {
            Ok(())
        } else if stderr.contains("No space left on device") {
            Err(BackendError::DiskFull { path: product.to_path_buf() })
        } else {
            Err(BackendError::Program { program: "qemu-img", status: output.status.to_string(), stderr })
        }
    }

    /// Creates the disk of a droplet: an overlay of `disk` GiB on the image in `source`. The
    /// image's files are linked into the droplet's folder if possible, so that the image may be
    /// replaced or deleted meanwhile.
    pub(super) async fn create_overlay(&self, source: &Path, folder: &Path, disk: u32) -> Result<(), BackendError> {
        let image = source.join("disk.qcow2");
        let backing = match replace_with_link(&image, &folder.join("backing.qcow2")) {
            // Relative to the overlay, so that the state directory may be moved.
            Ok(()) => PathBuf::from("backing.qcow2"),
            Err(_) => image.canonicalize().map_err(|error| BackendError::io("can't find", &image, error))?,
        };
        for name in KERNEL_FILES {
            let (from, to) = (source.join(name), folder.join(name));
            let _ = std::fs::remove_file(&to);
            if from.exists() && replace_with_link(&from, &to).is_err() {
                std::fs::copy(&from, &to).map_err(|error| BackendError::io("can't copy", &from, error))?;
            }
        }
        let overlay = folder.join("disk.qcow2");
        let _ = std::fs::remove_file(&overlay);
        // A comma ends an option's value, unless it is doubled.
        let backing = backing.to_string_lossy().replace(',', ",,");
        let options = format!("backing_file={backing},backing_fmt=qcow2");
        let size = OsString::from(format!("{disk}G"));
        let arguments = ["create", "-q", "-f", "qcow2", "-o", &options].map(OsStr::new);
        self.run(arguments.into_iter().chain([overlay.as_os_str(), &size]), folder).await
    }

    /// Grows a disk to this many GiB.
    pub(super) async fn grow(&self, disk: &Path, gib: u32) -> Result<(), BackendError> {
        let size = OsString::from(format!("{gib}G"));
        self.run([OsStr::new("resize"), OsStr::new("-q"), disk.as_os_str(), &size], disk).await
    }

    /// Copies a droplet's disk to `place` as an independent, compressed snapshot, atomically.
    /// Returns how many bytes the disk takes.
    pub(super) async fn copy_snapshot(
        &self,
        folder: &Path,
        place: &Path,
        mut info: SnapshotInfo,
    ) -> Result<u64, BackendError> {
        let parent = place.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(|error| BackendError::io("can't create", parent, error))?;
        let incomplete = tempfile::Builder::new()
            .prefix(INCOMPLETE_PREFIX)
            .tempdir_in(parent)
            .map_err(|error| BackendError::io("can't write in", parent, error))?;
        let (from, disk) = (folder.join("disk.qcow2"), incomplete.path().join("disk.qcow2"));
        let arguments = ["convert", "-f", "qcow2", "-O", "qcow2", "-c", "-o", "compression_type=zstd"].map(OsStr::new);
        self.run(arguments.into_iter().chain([from.as_os_str(), disk.as_os_str()]), place).await?;
        if matches!(info.boot, Boot::Kernel { .. }) {
            for name in KERNEL_FILES {
                let from = folder.join(name);
                std::fs::copy(&from, incomplete.path().join(name))
                    .map_err(|error| BackendError::io("can't copy", &from, error))?;
            }
        }
        info.bytes = std::fs::metadata(&disk).map_err(|error| BackendError::io("can't read", &disk, error))?.len();
        complete_snapshot(incomplete, place, &info).map_err(|error| BackendError::io("can't write", place, error))?;
        Ok(info.bytes)
    }
}

/// Writes `snapshot.json`, syncs everything and gives the folder its final name.
fn complete_snapshot(incomplete: tempfile::TempDir, place: &Path, info: &SnapshotInfo) -> std::io::Result<()> {
    std::fs::write(incomplete.path().join("snapshot.json"), serde_json::to_vec_pretty(info)?)?;
    for entry in std::fs::read_dir(incomplete.path())? {
        std::fs::File::open(entry?.path())?.sync_all()?;
    }
    if place.exists() {
        std::fs::remove_dir_all(place)?;
    }
    std::fs::rename(incomplete.path(), place)?;
    // The folder has moved: there is nothing left to remove.
    let _ = incomplete.keep();
    Ok(())
}

fn replace_with_link(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::hard_link(from, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_told_apart_from_other_failures() {
        // The shell plays qemu-img.
        let shell = QemuImg(PathBuf::from("/bin/sh"));
        for (script, expected) in [
            ("exit 0", None),
            ("echo 'error while writing: No space left on device' >&2; exit 1", Some("no space left")),
            ("echo 'Could not open' >&2; exit 1", Some("Could not open")),
        ] {
            let result = shell.run(["-c", script].map(OsStr::new), Path::new("/x/disk.qcow2")).await;
            assert_eq!(result.is_err(), expected.is_some(), "{script}");
            match result {
                Err(BackendError::DiskFull { path }) => {
                    assert_eq!((path.as_path(), script.contains("space")), (Path::new("/x/disk.qcow2"), true));
                }
                Err(BackendError::Program { program, stderr, .. }) => {
                    assert_eq!((program, stderr.as_str()), ("qemu-img", "Could not open"));
                }
                other => assert!(other.is_ok(), "{script}: {other:?}"),
            }
        }
    }
}
