//! Droplets that are QEMU virtual machines.
//!
//! A droplet's folder, `<state>/droplets/<id>/`, has its disk (an overlay on its image), config
//! drive, console log, QEMU's output and the monitor's socket. Each droplet has its own loopback
//! address, whose ports lead into the guest. The guest reaches the internet by NAT, but not this
//! machine: see [`firewall`].

mod accelerator;
mod disk;
mod firewall;
mod iso9660;
mod machine;
mod network;
mod process;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::accelerator::Accelerator;
use self::disk::{QemuImg, SnapshotInfo};
use self::network::{PrivateNetwork, PublicAddresses};
use self::process::Process;
use super::port::{
    Backend, BackendEntry, BackendError, BackendOptions, DiskSource, EventSender, Machine, MachineEvent, OpenBackend,
};
use crate::base::{self, Boot};
use crate::support::{create_private_dir, find_program, write_atomically};

/// The backend `qemu`.
pub(super) static ENTRY: BackendEntry = BackendEntry {
    name: "qemu",
    description: "Virtual machines",
    probe: || find_programs().map(drop),
    open: |options, events| Box::pin(Qemu::open(options, events)),
};

/// How long a machine may take to be set up after its start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a machine may take to end after it was told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A machine that is running, or was.
struct Instance {
    boot: u64,
    process: Process,
}

struct Qemu {
    system: PathBuf,
    disks: QemuImg,
    options: BackendOptions,
    addresses: PublicAddresses,
    /// `None` if the host's loopback interface carries no multicast.
    private: Option<PrivateNetwork>,
    events: EventSender,
    boots: AtomicU64,
    accelerator: OnceCell<Accelerator>,
    running: Mutex<HashMap<u64, Arc<Instance>>>,
}

/// Finds qemu-system-x86_64 and qemu-img.
fn find_programs() -> Result<(PathBuf, PathBuf), BackendError> {
    let find = |program, package| find_program(program).ok_or(BackendError::MissingProgram { program, package });
    Ok((find("qemu-system-x86_64", "qemu-system-x86")?, find("qemu-img", "qemu-utils")?))
}

impl Qemu {
    async fn open(mut options: BackendOptions, events: EventSender) -> Result<OpenBackend, BackendError> {
        let (system, qemu_img) = find_programs()?;
        let (addresses, mut warnings) = PublicAddresses::open(&options.forward, &options.forward_if_free)?;
        if find_program("setpriv").is_none() {
            warnings.push(
                "setpriv (of util-linux) is not installed: if this program is killed, its virtual machines live on \
                 until an emulator is started on the same state directory"
                    .to_owned(),
            );
        }
        let private = PrivateNetwork::open();
        if let Err(error) = &private {
            warnings.push(format!(
                "droplets have no private network: this host's loopback interface carries no multicast ({error})"
            ));
        }
        // Machines are started in their own folders, where a relative path would lead elsewhere.
        options.cache = std::path::absolute(&options.cache)
            .map_err(|error| BackendError::io("can't find the cache", &options.cache, error))?;
        for folder in ["droplets", "snapshots"] {
            let folder = options.state.join(folder);
            create_private_dir(&folder).map_err(|error| BackendError::io("can't create", &folder, error))?;
            clean_up(&folder);
        }
        let backend = Self {
            system,
            disks: QemuImg(qemu_img),
            options,
            addresses,
            private: private.ok(),
            events,
            boots: AtomicU64::new(0),
            accelerator: OnceCell::new(),
            running: Mutex::default(),
        };
        let accelerator = backend.accelerator().await;
        if !accelerator.kvm {
            let reason = &accelerator.reason;
            warnings.push(format!("no hardware virtualisation ({reason}): droplets are emulated in software, slowly"));
        }
        Ok(OpenBackend { backend: Arc::new(backend), warnings })
    }

    /// Probed once, with a kernel of the cache if there is one.
    async fn accelerator(&self) -> &Accelerator {
        let cache = &self.options.cache;
        let probe = || async {
            let bases = base::list(cache).unwrap_or_default();
            let kernel = bases.iter().map(|base| base.path.join("vmlinuz")).find(|path| path.exists());
            accelerator::probe(&self.system, &cache.join(".accelerator.json"), kernel).await
        };
        self.accelerator.get_or_init(probe).await
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, Arc<Instance>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instance(&self, id: u64) -> Option<Arc<Instance>> {
        self.running().get(&id).cloned()
    }

    fn folder(&self, id: u64) -> PathBuf {
        self.options.state.join("droplets").join(id.to_string())
    }

    /// The folder of an image, how it boots, and the size of its disk in bytes.
    fn find_image(&self, source: &DiskSource) -> Result<(PathBuf, Boot, u64), BackendError> {
        match source {
            DiskSource::Base(slug) => {
                let path = self.options.cache.join(slug);
                let hint = self.options.base_hint.map(|hint| hint(slug));
                if !path.join("base.json").exists() {
                    return Err(BackendError::NoBase { slug: slug.clone(), path: self.options.cache.clone(), hint });
                }
                let base = base::read(&path)
                    .and_then(|base| disk::check_files(&path, &base.boot).map(|()| base))
                    .map_err(|reason| BackendError::BadBase { path: path.clone(), reason, hint })?;
                Ok((path, base.boot, base.virtual_size))
            }
            DiskSource::Snapshot(id) => {
                let none = || BackendError::NoSnapshot { id: *id, path: self.options.state.join("snapshots") };
                let path = self.snapshot_dir(*id).ok_or_else(none)?;
                let info = SnapshotInfo::read(&path)
                    .and_then(|info| disk::check_files(&path, &info.boot).map(|()| info))
                    .map_err(|reason| BackendError::BadSnapshot { path: path.clone(), reason })?;
                Ok((path, info.boot, info.virtual_size))
            }
        }
    }

    /// How the droplet's disk boots: recorded in its folder, since its image may be gone.
    fn boot_of(&self, id: u64) -> Result<Boot, BackendError> {
        let path = self.folder(id).join("boot.json");
        let bytes = std::fs::read(&path).map_err(|error| BackendError::io("can't read", &path, error))?;
        serde_json::from_slice(&bytes).map_err(|error| BackendError::io("can't read", &path, error.into()))
    }

    /// Waits until the machine is set up; if it ended instead, returns why.
    async fn wait_until_up(&self, machine: &Machine, instance: &Instance) -> Result<(), BackendError> {
        let folder = self.folder(machine.id);
        let up_or_ended = async {
            while !process::is_up(&folder).await {
                if let Some(exit) = instance.process.exit() {
                    return Err(self.explain_exit(machine, &exit.description));
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            Ok(())
        };
        tokio::time::timeout(START_TIMEOUT, up_or_ended).await.unwrap_or_else(|_| {
            instance.process.kill();
            let what = format!("QEMU did not answer on its monitor within {} s", START_TIMEOUT.as_secs());
            Err(BackendError::Monitor { id: machine.id, what })
        })
    }

    /// Why QEMU ended at once, from its output.
    fn explain_exit(&self, machine: &Machine, exit: &str) -> BackendError {
        let log = std::fs::read(self.folder(machine.id).join(process::LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).trim().to_owned();
        if log.contains("Could not set up host forwarding rule")
            && let Some(error) = self.addresses.find_taken_port(machine.address)
        {
            return error;
        }
        if log.contains("No space left on device") {
            return BackendError::DiskFull { path: self.options.state.clone() };
        }
        BackendError::Died { id: machine.id, reason: format!("{exit}; {log}") }
    }

    /// Sends an event when the machine ends.
    fn watch(&self, id: u64, instance: Arc<Instance>) {
        let (events, log) = (self.events.clone(), self.folder(id).join(process::LOG));
        tokio::spawn(async move {
            let exit = instance.process.wait().await;
            let unexpected = (!exit.success && !instance.process.is_end_requested()).then(|| {
                let log = std::fs::read(log).unwrap_or_default();
                let log = String::from_utf8_lossy(&log);
                format!("its virtual machine ended by itself: {}\n{log}", exit.description).trim_end().to_owned()
            });
            let _ = events.send(MachineEvent::Off { id, boot: instance.boot, unexpected });
        });
    }

    async fn end(&self, id: u64) {
        let Some(instance) = self.instance(id) else { return };
        if instance.process.exit().is_none() {
            instance.process.request_end();
            let _ = process::execute(&self.folder(id), "quit").await;
            if tokio::time::timeout(STOP_TIMEOUT, instance.process.wait()).await.is_err() {
                instance.process.kill();
                instance.process.wait().await;
            }
        }
        self.running().remove(&id);
    }

    /// Sends a command to the machine's monitor, if it is running.
    async fn execute(&self, id: u64, command: &str) -> Result<(), BackendError> {
        let Some(instance) = self.instance(id).filter(|instance| instance.process.exit().is_none()) else {
            return Ok(());
        };
        match process::execute(&self.folder(id), command).await {
            // It may have ended meanwhile, which is not an error.
            Err(error) if instance.process.exit().is_none() => {
                Err(BackendError::Monitor { id, what: error.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// Checks whether an image of this many bytes fits a disk of this many GiB.
fn check_size(bytes: u64, disk: u32) -> Result<(), BackendError> {
    let (needed, disk) = (bytes.div_ceil(1 << 30), u64::from(disk));
    if needed > disk { Err(BackendError::DiskTooSmall { needed, disk }) } else { Ok(()) }
}

/// Ends machines that a killed emulator may have left behind, and removes its incomplete folders.
fn clean_up(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(disk::INCOMPLETE_PREFIX) {
            let _ = std::fs::remove_dir_all(entry.path());
        } else {
            process::reap(&entry.path());
        }
    }
}

/// A snapshot's name as part of a folder's name.
fn folder_name(name: &str) -> String {
    let is_safe = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    name.chars().take(100).map(|character| if is_safe(character) { character } else { '-' }).collect()
}

#[async_trait]
impl Backend for Qemu {
    async fn check_source(&self, source: &DiskSource, disk: u32) -> Result<(), BackendError> {
        let (_, _, bytes) = self.find_image(source)?;
        check_size(bytes, disk)
    }

    async fn allocate_address(&self) -> Result<Ipv4Addr, BackendError> {
        self.addresses.allocate()
    }

    async fn create(&self, machine: &Machine) -> Result<(), BackendError> {
        self.end(machine.id).await;
        let (image, boot, _) = self.find_image(&machine.source)?;
        let folder = self.folder(machine.id);
        create_private_dir(&folder).map_err(|error| BackendError::io("can't create", &folder, error))?;
        self.disks.create_overlay(&image, &folder, machine.disk).await?;
        let write = |name: &str, bytes: std::io::Result<Vec<u8>>| {
            let path = folder.join(name);
            let written = bytes.and_then(|bytes| write_atomically(&path, &bytes));
            written.map_err(|error| BackendError::io("can't write", path, error))
        };
        write(machine::CONFIG_DRIVE, machine::config_drive(machine).map_err(std::io::Error::other))?;
        write("boot.json", serde_json::to_vec(&boot).map_err(Into::into))
    }

    async fn start(&self, machine: &Machine) -> Result<u64, BackendError> {
        let id = machine.id;
        self.end(id).await;
        let folder = self.folder(id);
        process::reap(&folder);
        let _ = std::fs::remove_file(folder.join(process::MONITOR_SOCKET));
        let (boot, accelerator) = (self.boot_of(id)?, self.accelerator().await);
        let arguments = machine::arguments(machine, &boot, accelerator, self.addresses.ports(), self.private);
        let process = Process::start(&self.system, arguments, &folder)
            .await
            .map_err(|error| BackendError::io("can't start", &self.system, error))?;
        let boot = self.boots.fetch_add(1, Ordering::Relaxed) + 1;
        let instance = Arc::new(Instance { boot, process });
        self.running().insert(id, Arc::clone(&instance));
        self.wait_until_up(machine, &instance).await?;
        if let Err(error) = firewall::start(&folder, self.options.host_ports.clone()).await {
            instance.process.kill();
            return Err(BackendError::Monitor { id, what: format!("its network is not filtered: {error}") });
        }
        self.watch(id, instance);
        Ok(boot)
    }

    async fn shutdown(&self, id: u64) -> Result<(), BackendError> {
        self.execute(id, "system_powerdown").await
    }

    async fn reset(&self, id: u64) -> Result<(), BackendError> {
        self.execute(id, "system_reset").await
    }

    async fn power_off(&self, id: u64) -> Result<(), BackendError> {
        self.end(id).await;
        Ok(())
    }

    async fn grow_disk(&self, id: u64, disk: u32) -> Result<(), BackendError> {
        self.disks.grow(&self.folder(id).join("disk.qcow2"), disk).await
    }

    async fn snapshot(&self, id: u64, snapshot: u64, name: &str) -> Result<u64, BackendError> {
        let folder = self.folder(id);
        let disk = folder.join("disk.qcow2");
        let size = base::read_disk_header(&disk)
            .map_err(|reason| BackendError::io("can't read", &disk, std::io::Error::other(reason)))?
            .virtual_size;
        let info = SnapshotInfo::new(snapshot, name, id, self.boot_of(id)?, size.next_multiple_of(1 << 30));
        let place = self.options.state.join("snapshots").join(format!("{snapshot}-{}", folder_name(name)));
        self.disks.copy_snapshot(&folder, &place, info).await
    }

    async fn delete_snapshot(&self, snapshot: u64) -> Result<(), BackendError> {
        match self.snapshot_dir(snapshot) {
            Some(path) => std::fs::remove_dir_all(&path).map_err(|error| BackendError::io("can't remove", path, error)),
            None => Ok(()),
        }
    }

    async fn destroy(&self, id: u64) -> Result<(), BackendError> {
        self.end(id).await;
        let folder = self.folder(id);
        process::reap(&folder);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(BackendError::io("can't remove", folder, error))
            }
            _ => Ok(()),
        }
    }

    async fn stop_all(&self) {
        let ids: Vec<u64> = self.running().keys().copied().collect();
        for id in ids {
            self.end(id).await;
        }
    }

    fn kill_all(&self) {
        for (_, instance) in self.running().drain() {
            instance.process.kill();
        }
    }

    fn snapshot_dir(&self, snapshot: u64) -> Option<PathBuf> {
        let prefix = format!("{snapshot}-");
        let entries = std::fs::read_dir(self.options.state.join("snapshots")).ok()?;
        let mut paths = entries.flatten().map(|entry| entry.path());
        paths.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
    }

    fn console_log(&self, id: u64) -> Option<PathBuf> {
        Some(self.folder(id).join(machine::CONSOLE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_fits_a_disk_of_exactly_its_size() {
        assert!(check_size(7 << 30, 7).is_ok());
        let error = check_size((7 << 30) + 1, 7);
        assert!(matches!(error, Err(BackendError::DiskTooSmall { needed: 8, disk: 7 })));
    }

    #[test]
    fn names_of_snapshots_become_names_of_folders() {
        assert_eq!(folder_name("web 1/ä.x_y-z"), "web-1--.x_y-z");
        assert_eq!(folder_name(&"a".repeat(101)).len(), 100);
    }
}
