//! Droplets that are QEMU virtual machines.
//!
//! A droplet's folder, `<state>/droplets/<id>/`, holds its disk (an overlay on its image), its config drive, the serial
//! console's log, QEMU's own output and the monitor's socket. Each droplet has a loopback address of its own; ports of
//! it lead into the guest. The guest reaches the outside by NAT, and this machine's loopback as `10.0.2.2`.
//!
//! `machine.rs` is one machine's command line; `process.rs` sees that none is left behind.

mod accelerator;
mod address;
mod config_drive;
mod disk;
mod iso9660;
mod machine;
mod monitor;
mod private_network;
mod process;
mod programs;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

use self::accelerator::Accelerator;
use self::address::Addresses;
use self::disk::Disks;
use self::private_network::PrivateNetwork;
use self::process::Process;
pub(crate) use self::programs::{SEARCH_PATH, program};
use crate::Config;
use crate::backend::{Backend, Copied, Error, Event, Machine, Source};
use crate::base::{self, Boot};
use crate::cloud::store::{make_private, replace};

/// Prefix of folders that are being made.
const MAKING: &str = ".making-";

/// How long a machine may take to end once it was told to.
const GRACE: Duration = Duration::from_secs(5);

/// A machine that runs, or ran.
struct Instance {
    boot: u64,
    process: Process,
}

pub(super) struct Qemu {
    system: PathBuf,
    disks: Disks,
    state: PathBuf,
    cache: PathBuf,
    addresses: Addresses,
    /// None where this host carries none.
    private: Option<PrivateNetwork>,
    events: UnboundedSender<Event>,
    boots: AtomicU64,
    accelerator: tokio::sync::OnceCell<Accelerator>,
    running: Mutex<HashMap<u64, Arc<Instance>>>,
}

impl Qemu {
    pub(super) async fn open(config: &Config, events: UnboundedSender<Event>) -> Result<(Self, Vec<String>), Error> {
        let missing = |program: &str, package| Error::MissingProgram { program: program.to_owned(), package };
        let qemu = program("qemu-system-x86_64").ok_or_else(|| missing("qemu-system-x86_64", "qemu-system-x86"))?;
        let qemu_img = program("qemu-img").ok_or_else(|| missing("qemu-img", "qemu-utils"))?;
        let (addresses, mut warnings) = Addresses::open(&config.forward, &config.forward_if_free)?;
        if program("setpriv").is_none() {
            warnings.push(
                "setpriv (of util-linux) is not installed: should mkimg be killed, its virtual machines live on until \
                 an emulator is started on the same state directory"
                    .to_owned(),
            );
        }
        let private = PrivateNetwork::open();
        if let Err(error) = &private {
            warnings.push(format!(
                "droplets have no private network: this host's loopback interface carries no multicast ({error})"
            ));
        }
        let state = config.state.clone();
        // Machines are started in their own folders: a relative path would mean another place there.
        let cache = std::path::absolute(&config.cache)
            .map_err(|error| Error::io("can't find the cache", &config.cache, error))?;
        for folder in ["droplets", "snapshots"] {
            let folder = state.join(folder);
            make_private(&folder).map_err(|error| Error::io("can't make", &folder, error))?;
            clear(&folder);
        }
        let this = Self {
            system: qemu,
            disks: Disks { qemu_img },
            state,
            cache,
            addresses,
            private: private.ok(),
            events,
            boots: AtomicU64::new(0),
            accelerator: tokio::sync::OnceCell::new(),
            running: Mutex::default(),
        };
        let accelerator = this.accelerator().await;
        if !accelerator.kvm {
            warnings.push(format!(
                "no hardware virtualisation ({}): droplets are emulated in software, slowly",
                accelerator.reason
            ));
        }
        Ok((this, warnings))
    }

    /// Found out once, with a kernel of the cache where there is one.
    async fn accelerator(&self) -> &Accelerator {
        self.accelerator
            .get_or_init(|| async {
                let bases = base::list(&self.cache).unwrap_or_default();
                let kernel = bases.iter().map(|base| base.path.join("vmlinuz")).find(|path| path.exists());
                accelerator::probe(&self.system, &self.cache.join(".accelerator.json"), kernel).await
            })
            .await
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, Arc<Instance>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instance(&self, id: u64) -> Option<Arc<Instance>> {
        self.running().get(&id).cloned()
    }

    fn folder(&self, id: u64) -> PathBuf {
        self.state.join("droplets").join(id.to_string())
    }

    /// The folder of an image, how it is booted, and how large its disk is, in bytes.
    fn image(&self, source: &Source) -> Result<(PathBuf, Boot, u64), Error> {
        match source {
            Source::Base(slug) => {
                let path = self.cache.join(slug);
                if !path.join("base.json").exists() {
                    return Err(Error::NoBase { slug: slug.clone(), path: self.cache.clone() });
                }
                let bad = |reason| Error::BadBase { slug: slug.clone(), path: path.clone(), reason };
                let base = base::read(&path).map_err(bad)?;
                whole(&path, &base.boot).map_err(bad)?;
                Ok((path.clone(), base.boot, base.virtual_size))
            }
            Source::Snapshot(id) => {
                let snapshots = self.state.join("snapshots");
                let path = self.snapshot_dir(*id).ok_or(Error::NoSnapshot { id: *id, path: snapshots })?;
                let bad = |reason| Error::BadSnapshot { path: path.clone(), reason };
                let snapshot = disk::read_snapshot(&path).map_err(bad)?;
                whole(&path, &snapshot.boot).map_err(bad)?;
                Ok((path.clone(), snapshot.boot, snapshot.virtual_size))
            }
        }
    }

    /// How the droplet's disk is booted: kept in its folder, since its image may be gone.
    fn boot_of(&self, id: u64) -> Result<Boot, Error> {
        let path = self.folder(id).join("boot.json");
        let bytes = std::fs::read(&path).map_err(|error| Error::io("can't read", &path, error))?;
        serde_json::from_slice(&bytes).map_err(|error| Error::io("can't read", &path, error.into()))
    }

    /// Waits until the machine is set up; if it ended instead, says why.
    async fn settle(&self, id: u64, machine: &Machine, instance: &Instance) -> Result<(), Error> {
        let folder = self.folder(id);
        for _ in 0..600 {
            if let Some(ended) = instance.process.has_ended() {
                return Err(self.why(id, machine, &ended.text));
            }
            if monitor::is_up(&folder).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        instance.process.kill();
        Err(Error::Monitor { id, what: "QEMU did not answer on its monitor within 15 s".to_owned() })
    }

    /// Why QEMU ended, from what it wrote.
    fn why(&self, id: u64, machine: &Machine, ended: &str) -> Error {
        let log = std::fs::read(self.folder(id).join("qemu.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).trim().to_owned();
        if log.contains("Could not set up host forwarding rule") {
            for port in self.addresses.ports() {
                if let Err(source) = address::try_port(machine.address, *port) {
                    return Error::Port { address: machine.address, port: *port, source };
                }
            }
        }
        if log.contains("No space left on device") {
            return Error::DiskFull { path: self.state.clone() };
        }
        Error::Died { id, reason: format!("{ended}; {log}") }
    }

    /// Tells when the machine ends.
    fn watch(&self, id: u64, instance: Arc<Instance>) {
        let (events, log) = (self.events.clone(), self.folder(id).join("qemu.log"));
        tokio::spawn(async move {
            let ended = instance.process.ended().await;
            let unexpected = (!ended.good && !instance.process.was_asked()).then(|| {
                let log = std::fs::read(log).unwrap_or_default();
                let text =
                    format!("its virtual machine ended by itself: {}\n{}", ended.text, String::from_utf8_lossy(&log));
                text.trim_end().to_owned()
            });
            let _ = events.send(Event::Off { id, boot: instance.boot, unexpected });
        });
    }

    async fn end(&self, id: u64) {
        let Some(instance) = self.instance(id) else { return };
        if instance.process.has_ended().is_none() {
            instance.process.ask();
            let _ = monitor::execute(&self.folder(id), "quit").await;
            if tokio::time::timeout(GRACE, instance.process.ended()).await.is_err() {
                instance.process.kill();
                instance.process.ended().await;
            }
        }
        self.running().remove(&id);
    }

    async fn tell(&self, id: u64, command: &str) -> Result<(), Error> {
        match self.instance(id) {
            Some(instance) if instance.process.has_ended().is_none() => {
                let told = monitor::execute(&self.folder(id), command).await;
                // It may have ended under way: then there is nothing to tell any more.
                match told {
                    Err(_) if instance.process.has_ended().is_some() => Ok(()),
                    told => told.map_err(|error| Error::Monitor { id, what: error.to_string() }),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Whether an image of this many bytes fits a disk of this many GiB.
fn fits(size: u64, disk: u32) -> Result<(), Error> {
    let (needed, disk) = (size.div_ceil(1 << 30), u64::from(disk));
    if needed > disk { Err(Error::DiskTooSmall { needed, disk }) } else { Ok(()) }
}

/// Whether an image has all its files.
fn whole(folder: &Path, boot: &Boot) -> Result<(), String> {
    let kernel: &[&str] = if matches!(boot, Boot::Kernel { .. }) { &["vmlinuz", "initrd"] } else { &[] };
    match ["disk.qcow2"].iter().chain(kernel).find(|name| !folder.join(name).is_file()) {
        Some(name) => Err(format!("{name} is missing")),
        None => Ok(()),
    }
}

/// Ends what a killed emulator may have left, and removes what it had half made.
fn clear(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(MAKING) {
            let _ = std::fs::remove_dir_all(entry.path());
        } else {
            process::reap(&entry.path());
        }
    }
}

/// A snapshot's name as part of a folder's name.
fn file_name(name: &str) -> String {
    let safe = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    name.chars().take(100).map(|character| if safe(character) { character } else { '-' }).collect()
}

#[async_trait]
impl Backend for Qemu {
    async fn admit(&self, source: &Source, disk: u32) -> Result<(), Error> {
        let (_, _, size) = self.image(source)?;
        fits(size, disk)
    }

    async fn allocate(&self) -> Result<Ipv4Addr, Error> {
        self.addresses.take()
    }

    async fn create(&self, machine: &Machine) -> Result<(), Error> {
        self.end(machine.id).await;
        let (image, boot, _) = self.image(&machine.source)?;
        let folder = self.folder(machine.id);
        make_private(&folder).map_err(|error| Error::io("can't make", &folder, error))?;
        self.disks.overlay(&image, &folder, machine.disk).await?;
        let put = |name: &str, bytes: &[u8]| {
            replace(&folder.join(name), bytes).map_err(|error| Error::io("can't write", folder.join(name), error))
        };
        let drive = config_drive::write(machine).map_err(|error| {
            Error::io("can't write", folder.join(machine::CONFIG_DRIVE), std::io::Error::other(error))
        })?;
        put(machine::CONFIG_DRIVE, &drive)?;
        let boot = serde_json::to_vec(&boot).map_err(|error| Error::io("can't write", &folder, error.into()))?;
        put("boot.json", &boot)
    }

    async fn start(&self, machine: &Machine) -> Result<u64, Error> {
        let id = machine.id;
        self.end(id).await;
        let folder = self.folder(id);
        process::reap(&folder);
        let _ = std::fs::remove_file(folder.join(monitor::SOCKET));
        let (boot, accelerator) = (self.boot_of(id)?, self.accelerator().await);
        let arguments = machine::arguments(machine, &boot, accelerator, self.addresses.ports(), self.private);
        let process = Process::start(&self.system, arguments, &folder)
            .await
            .map_err(|error| Error::io("can't start", &self.system, error))?;
        let boot = self.boots.fetch_add(1, Ordering::Relaxed) + 1;
        let instance = Arc::new(Instance { boot, process });
        self.running().insert(id, Arc::clone(&instance));
        self.settle(id, machine, &instance).await?;
        self.watch(id, instance);
        Ok(boot)
    }

    async fn shutdown(&self, id: u64) -> Result<(), Error> {
        self.tell(id, "system_powerdown").await
    }

    async fn reset(&self, id: u64) -> Result<(), Error> {
        self.tell(id, "system_reset").await
    }

    async fn power_off(&self, id: u64) -> Result<(), Error> {
        self.end(id).await;
        Ok(())
    }

    async fn grow(&self, id: u64, disk: u32) -> Result<(), Error> {
        self.disks.grow(&self.folder(id).join("disk.qcow2"), disk).await
    }

    async fn snapshot(&self, id: u64, snapshot: u64, name: &str) -> Result<Copied, Error> {
        let place = self.state.join("snapshots").join(format!("{snapshot}-{}", file_name(name)));
        let boot = self.boot_of(id)?;
        let folder = self.folder(id);
        let disk = folder.join("disk.qcow2");
        let size = machine::virtual_size(&disk).map_err(|error| Error::io("can't read", &disk, error))?;
        let made = self.disks.snapshot(&folder, &place, (snapshot, name, id), boot, size.div_ceil(1 << 30)).await?;
        Ok(Copied { bytes: made.bytes })
    }

    async fn delete_snapshot(&self, snapshot: u64) -> Result<(), Error> {
        match self.snapshot_dir(snapshot) {
            Some(path) => std::fs::remove_dir_all(&path).map_err(|error| Error::io("can't remove", path, error)),
            None => Ok(()),
        }
    }

    async fn destroy(&self, id: u64) -> Result<(), Error> {
        self.end(id).await;
        let folder = self.folder(id);
        process::reap(&folder);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("can't remove", folder, error)),
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
        let entries = std::fs::read_dir(self.state.join("snapshots")).ok()?;
        entries
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
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
        assert!(fits(7 << 30, 7).is_ok());
        assert!(matches!(fits((7 << 30) + 1, 7), Err(Error::DiskTooSmall { needed: 8, disk: 7 })));
    }

    #[test]
    fn names_of_snapshots_become_names_of_folders() {
        assert_eq!(file_name("web 1/ä.x_y-z"), "web-1--.x_y-z");
        assert_eq!(file_name(&"a".repeat(101)).len(), 100);
    }
}
