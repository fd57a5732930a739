//! Whether hardware virtualisation works on this host. `/dev/kvm` may open, and even create a
//! machine, without being able to boot (nested virtualisation). So a kernel, or a boot sector if
//! there is no kernel, is booted once as a probe.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::support::{SEARCH_PATH, write_atomically};

const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// The probe's result, which holds until the host reboots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Accelerator {
    pub(super) kvm: bool,
    /// Why it does not work, or how that was found out.
    pub(super) reason: String,
    /// The id of the host's boot.
    boot: String,
}

impl Accelerator {
    pub(super) fn new(kvm: bool, reason: String) -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        Self { kvm, reason, boot }
    }

    /// QEMU's arguments. With TCG, a second virtual processor makes a machine slower, and without
    /// `tb-size` the cache of translated code may take a GiB. The most modern processor model boots
    /// a quarter faster than the oldest one. Its fifth level of page tables is disabled, because
    /// every access would have to go through it.
    pub(super) fn arguments(&self, vcpus: u32) -> Vec<String> {
        let vcpus = vcpus.to_string();
        let arguments: &[&str] = if self.kvm {
            &["-accel", "kvm", "-cpu", "host", "-smp", &vcpus]
        } else {
            &["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,-svm,la57=off", "-smp", "1"]
        };
        arguments.iter().map(|&text| text.to_owned()).collect()
    }
}

/// The accelerator of this host: from `file` if that is still valid, otherwise from a probe.
/// `kernel` is any Linux kernel.
pub(super) async fn probe(qemu: &Path, file: &Path, kernel: Option<PathBuf>) -> Accelerator {
    let device = open_kvm();
    let cached: Option<Accelerator> = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(cached) = cached
        && cached.boot == Accelerator::new(false, String::new()).boot
        // The user may have joined a group since, so that the device opens now.
        && (cached.kvm || device.as_ref().err().is_none_or(|reason| *reason == cached.reason))
    {
        return cached;
    }
    let (kvm, reason) = match device {
        Err(reason) => (false, reason),
        Ok(()) => boot_probe(qemu, kernel, PROBE_TIMEOUT).await,
    };
    let accelerator = Accelerator::new(kvm, reason);
    if let Ok(bytes) = serde_json::to_vec(&accelerator) {
        // If it cannot be written, the next emulator probes again.
        let _ = file.parent().map(std::fs::create_dir_all);
        let _ = write_atomically(file, &bytes);
    }
    accelerator
}

fn open_kvm() -> Result<(), String> {
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("/dev/kvm does not exist".to_owned()),
        Err(error) => Err(format!("/dev/kvm can't be opened ({error}); is this user in the group kvm?")),
    }
}

async fn boot_probe(qemu: &Path, kernel: Option<PathBuf>, limit: Duration) -> (bool, String) {
    let Ok(folder) = tempfile::tempdir() else { return (false, "no temporary folder for the probe".to_owned()) };
    let serial = folder.path().join("serial");
    let mut command = tokio::process::Command::new(qemu);
    command.args(["-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot"]);
    command.args(["-serial", &format!("file:{}", serial.display())]);
    let (what, expected) = if let Some(kernel) = kernel {
        command.arg("-kernel").arg(kernel).args(["-append", "console=ttyS0 panic=-1"]);
        ("a kernel", "Linux version")
    } else {
        let disk = folder.path().join("disk");
        if std::fs::write(&disk, boot_sector()).is_err() {
            return (false, "no space for the probe".to_owned());
        }
        command.args(["-drive", &format!("file={},format=raw,if=ide,snapshot=on", disk.display())]);
        ("a boot sector", BOOT_SECTOR_TEXT)
    };
    command.env_clear().env("PATH", SEARCH_PATH).kill_on_drop(true);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return (false, format!("QEMU can't be started: {error}")),
    };
    let has_output = || std::fs::read(&serial).is_ok_and(|text| String::from_utf8_lossy(&text).contains(expected));
    let wait_for_output = async {
        loop {
            // Checked before the output is read: a process that has ended writes no more.
            let has_ended = !matches!(child.try_wait(), Ok(None));
            if has_output() || has_ended {
                return has_output();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let boots = tokio::time::timeout(limit, wait_for_output).await.unwrap_or(false);
    let _ = child.kill().await;
    let reason = if boots {
        format!("{what} boots with it")
    } else {
        format!("/dev/kvm opens, but {what} does not boot with it")
    };
    (boots, reason)
}

const BOOT_SECTOR_TEXT: &str = "mkimg: boots";

/// 512 bytes that the firmware loads to 0x7c00: writes [`BOOT_SECTOR_TEXT`] to the first serial
/// port and halts.
fn boot_sector() -> [u8; 512] {
    // xor ax,ax; mov ds,ax; mov si,0x7c20; mov dx,0x3f8; again: lodsb; test al,al; jz stop; out
    // dx,al; jmp again; stop: hlt; jmp stop
    const CODE: [u8; 21] = [
        0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x20, 0x7c, 0xba, 0xf8, 0x03, 0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8,
        0xf4, 0xeb, 0xfd,
    ];
    let mut sector = [0; 512];
    sector[..CODE.len()].copy_from_slice(&CODE);
    sector[32..32 + BOOT_SECTOR_TEXT.len()].copy_from_slice(BOOT_SECTOR_TEXT.as_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs that play QEMU: one ends, one hangs, one writes what the kernel or the boot sector would.
    #[tokio::test]
    async fn kvm_is_used_only_if_something_boots() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, script: &str| {
            let path = folder.path().join(name);
            // Another process writes it: a program that this one has open for writing cannot be started.
            let write = format!("printf '%s\\n' '#!/bin/sh' '{script}' > {0}; chmod +x {0}", path.display());
            assert!(std::process::Command::new("/bin/sh").args(["-c", &write]).status().unwrap().success());
            path
        };
        let boots = |text: &str| {
            format!(
                "for word; do case $word in file:*) echo \"{text}\" > \"${{word#file:}}\";; esac; done; exec sleep 60"
            )
        };
        let long = Duration::from_secs(60);
        for (qemu, kernel, limit, expected) in [
            (program("ends", "exit 0"), None, long, "/dev/kvm opens, but a boot sector does not boot with it"),
            (
                program("hangs", "exec sleep 60"),
                None,
                Duration::from_millis(300),
                "/dev/kvm opens, but a boot sector does not boot with it",
            ),
            (program("sector", &boots(BOOT_SECTOR_TEXT)), None, long, "a boot sector boots with it"),
            (
                program("kernel", &boots("Linux version 6")),
                Some("/boot/vmlinuz".into()),
                long,
                "a kernel boots with it",
            ),
            (
                program("other", "exit 0"),
                Some("/boot/vmlinuz".into()),
                long,
                "/dev/kvm opens, but a kernel does not boot with it",
            ),
        ] {
            let (boots, reason) = boot_probe(&qemu, kernel, limit).await;
            assert_eq!((boots, reason.as_str()), (!expected.contains("not"), expected), "{qemu:?}");
        }
        let (boots, reason) = boot_probe(Path::new("/nowhere/qemu"), None, long).await;
        assert!(!boots && reason.starts_with("QEMU can't be started: "), "{reason}");
    }
}
