//! Disks: overlays on base images and snapshots, and the flat copies that snapshots are. All by `qemu-img`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use crate::backend::Error;
use crate::base::Boot;
use crate::cloud::now;

/// What `snapshot.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) version: u32,
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

/// Files beside a disk that is booted without a loader.
const KERNEL: [&str; 2] = ["vmlinuz", "initrd"];

/// The qemu-img program, with what it is asked for.
pub(super) struct Disks {
    pub(super) qemu_img: PathBuf,
}

impl Disks {
    async fn run(&self, arguments: &[&std::ffi::OsStr], product: &Path) -> Result<Vec<u8>, Error> {
        let output = tokio::process::Command::new(&self.qemu_img)
            .args(arguments)
            .env_clear()
            .env("PATH", super::SEARCH_PATH)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| Error::io("can't start", &self.qemu_img, error))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if stderr.contains("No space left on device") {
            return Err(Error::DiskFull { path: product.to_path_buf() });
        }
        Err(Error::Program { program: "qemu-img".to_owned(), status: output.status.to_string(), stderr })
    }

    /// Makes the disk of a droplet: an overlay on the image in `source`, of `disk` GiB. The image's files are linked
    /// into the droplet's folder where that is possible: they may then be replaced or deleted under way.
    pub(super) async fn overlay(&self, source: &Path, folder: &Path, disk: u32) -> Result<(), Error> {
        let backing = folder.join("backing.qcow2");
        let image = source.join("disk.qcow2");
        let backing = match link(&image, &backing) {
            // Relative to the overlay: the state directory may be moved.
            Ok(()) => PathBuf::from("backing.qcow2"),
            Err(_) => image.canonicalize().map_err(|error| Error::io("can't find", &image, error))?,
        };
        for name in KERNEL {
            let from = source.join(name);
            let to = folder.join(name);
            let _ = std::fs::remove_file(&to);
            if from.exists() && link(&from, &to).is_err() {
                std::fs::copy(&from, &to).map_err(|error| Error::io("can't copy", &from, error))?;
            }
        }
        let overlay = folder.join("disk.qcow2");
        let _ = std::fs::remove_file(&overlay);
        let size = format!("{disk}G");
        let mut option = std::ffi::OsString::from("backing_file=");
        // A comma ends an option's value; two are one.
        option.push(backing.as_os_str().to_string_lossy().replace(',', ",,"));
        option.push(",backing_fmt=qcow2");
        let create = ["create", "-q", "-f", "qcow2", "-o"].map(std::ffi::OsStr::new);
        let mut arguments = create.to_vec();
        arguments.extend([option.as_os_str(), overlay.as_os_str(), size.as_ref()]);
        self.run(&arguments, folder).await.map(drop)
    }

    pub(super) async fn grow(&self, disk: &Path, gib: u32) -> Result<(), Error> {
        let size = format!("{gib}G");
        self.run(&["resize".as_ref(), "-q".as_ref(), disk.as_os_str(), size.as_ref()], disk).await.map(drop)
    }

    /// Copies a droplet's disk to `place` as a snapshot, flat and compressed; it is there whole or not at all.
    pub(super) async fn snapshot(
        &self,
        folder: &Path,
        place: &Path,
        (id, name, droplet): (u64, &str, u64),
        boot: Boot,
        gib: u64,
    ) -> Result<Snapshot, Error> {
        let parent = place.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(|error| Error::io("can't make", parent, error))?;
        let making = tempfile::Builder::new()
            .prefix(super::MAKING)
            .tempdir_in(parent)
            .map_err(|error| Error::io("can't write in", parent, error))?;
        let disk = making.path().join("disk.qcow2");
        let from = folder.join("disk.qcow2");
        let convert = ["convert", "-f", "qcow2", "-O", "qcow2", "-c", "-o", "compression_type=zstd"];
        let mut arguments: Vec<&std::ffi::OsStr> = convert.iter().map(std::ffi::OsStr::new).collect();
        arguments.extend([from.as_os_str(), disk.as_os_str()]);
        self.run(&arguments, place).await?;
        if matches!(boot, Boot::Kernel { .. }) {
            for name in KERNEL {
                let from = folder.join(name);
                std::fs::copy(&from, making.path().join(name))
                    .map_err(|error| Error::io("can't copy", &from, error))?;
            }
        }
        let bytes = std::fs::metadata(&disk).map_err(|error| Error::io("can't read", &disk, error))?.len();
        let snapshot = Snapshot {
            version: VERSION,
            id,
            name: name.to_owned(),
            droplet,
            boot,
            virtual_size: gib << 30,
            bytes,
            created_at: now(),
        };
        finish(making, place, &snapshot).map_err(|error| Error::io("can't write", place, error))?;
        Ok(snapshot)
    }
}

/// Writes `snapshot.json`, syncs all and gives the folder its name.
fn finish(making: tempfile::TempDir, place: &Path, snapshot: &Snapshot) -> std::io::Result<()> {
    std::fs::write(making.path().join("snapshot.json"), serde_json::to_vec_pretty(snapshot)?)?;
    for entry in std::fs::read_dir(making.path())? {
        std::fs::File::open(entry?.path())?.sync_all()?;
    }
    if place.exists() {
        std::fs::remove_dir_all(place)?;
    }
    std::fs::rename(making.path(), place)?;
    // It is no longer where the guard looks for it.
    let _ = making.keep();
    Ok(())
}

/// A hard link in the place of what was there.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::hard_link(from, to)
}

/// Reads a snapshot's `snapshot.json`.
pub(super) fn read_snapshot(folder: &Path) -> Result<Snapshot, String> {
    let bytes = std::fs::read(folder.join("snapshot.json")).map_err(|error| format!("snapshot.json: {error}"))?;
    let snapshot: Snapshot = serde_json::from_slice(&bytes).map_err(|error| format!("snapshot.json: {error}"))?;
    if snapshot.version != VERSION {
        return Err(format!("snapshot.json is of version {}, this emulator reads version {VERSION}", snapshot.version));
    }
    Ok(snapshot)
}
