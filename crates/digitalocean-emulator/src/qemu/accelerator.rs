//! Whether hardware virtualisation works here. `/dev/kvm` may open, and even create a machine, and still boot nothing
//! (nested virtualisation): so a kernel, or a boot sector where there is no kernel, is started once, and must speak.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cloud::store::replace;

/// How long the probe may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The verdict, kept for as long as the host is not booted anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Accelerator {
    pub(super) kvm: bool,
    /// Why not, or how it was found out.
    pub(super) reason: String,
    /// The host's boot for which it holds.
    boot: String,
}

impl Accelerator {
    /// QEMU's arguments. Under TCG a second virtual processor makes things slower, and without `tb-size` the cache of
    /// translated code may take a GiB. All that QEMU can emulate is a quarter faster to boot than its oldest processor,
    /// but for a fifth level of page tables, which every access would have to walk through.
    pub(super) fn arguments(&self, vcpus: u32) -> Vec<String> {
        let list: &[&str] = if self.kvm {
            &["-accel", "kvm", "-cpu", "host", "-smp"]
        } else {
            &["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,-svm,la57=off", "-smp"]
        };
        let mut arguments: Vec<String> = list.iter().map(|&text| text.to_owned()).collect();
        arguments.push(if self.kvm { vcpus.to_string() } else { "1".to_owned() });
        arguments
    }
}

/// The verdict for this host: from `file` if it still holds, or found out now. `kernel` is any Linux kernel.
pub(super) async fn probe(qemu: &Path, file: &Path, kernel: Option<PathBuf>) -> Accelerator {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let kept: Option<Accelerator> = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(kept) = kept
        && kept.boot == boot
        // A group that was joined since may open the device now.
        && (kept.kvm || open_kvm().err().is_none_or(|reason| reason == kept.reason))
    {
        return kept;
    }
    let (kvm, reason) = match open_kvm() {
        Err(reason) => (false, reason),
        Ok(()) => find_out(qemu, kernel).await,
    };
    let found = Accelerator { kvm, reason, boot };
    if let Ok(bytes) = serde_json::to_vec(&found) {
        // Not kept, it is found out again the next time.
        let _ = file.parent().map(std::fs::create_dir_all);
        let _ = replace(file, &bytes);
    }
    found
}

fn open_kvm() -> Result<(), String> {
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("/dev/kvm is not there".to_owned()),
        Err(error) => Err(format!("/dev/kvm can't be opened ({error}); is this user in the group kvm?")),
    }
}

async fn find_out(qemu: &Path, kernel: Option<PathBuf>) -> (bool, String) {
    let Ok(folder) = tempfile::tempdir() else { return (false, "no temporary folder for the probe".to_owned()) };
    let serial = folder.path().join("serial");
    let mut arguments: Vec<String> =
        ["-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-display", "none"].map(str::to_owned).to_vec();
    arguments.extend(["-no-reboot".to_owned(), "-serial".to_owned(), format!("file:{}", serial.display())]);
    let (what, speaks) = if let Some(kernel) = kernel {
        arguments.extend(["-kernel".to_owned(), kernel.display().to_string()]);
        arguments.extend(["-append".to_owned(), "console=ttyS0 panic=-1".to_owned()]);
        ("a kernel", "Linux version")
    } else {
        let disk = folder.path().join("disk");
        if std::fs::write(&disk, boot_sector()).is_err() {
            return (false, "no room for the probe".to_owned());
        }
        arguments.extend(["-drive".to_owned(), format!("file={},format=raw,if=ide,snapshot=on", disk.display())]);
        ("a boot sector", SPOKEN)
    };
    let child = tokio::process::Command::new(qemu)
        .args(arguments)
        .env_clear()
        .env("PATH", super::SEARCH_PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return (false, format!("QEMU can't be started: {error}")),
    };
    let has_spoken = || std::fs::read(&serial).is_ok_and(|text| String::from_utf8_lossy(&text).contains(speaks));
    let spoke = tokio::time::timeout(PATIENCE, async {
        loop {
            let ended = !matches!(child.try_wait(), Ok(None));
            if has_spoken() {
                return true;
            }
            if ended {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap_or(false);
    let _ = child.kill().await;
    if spoke {
        (true, format!("{what} boots with it"))
    } else {
        (false, format!("/dev/kvm opens, but {what} does not boot with it"))
    }
}

/// What the boot sector says.
const SPOKEN: &str = "mkimg: boots";

/// 512 bytes that the firmware loads to 0x7c00: writes [`SPOKEN`] to the first serial port and halts.
fn boot_sector() -> [u8; 512] {
    // xor ax,ax; mov ds,ax; mov si,0x7c20; mov dx,0x3f8; again: lodsb; test al,al; jz stop; out dx,al; jmp again;
    // stop: hlt; jmp stop
    const CODE: [u8; 20] = [
        0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x20, 0x7c, 0xba, 0xf8, 0x03, 0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8,
        0xf4, 0xeb,
    ];
    let mut sector = [0; 512];
    sector[..20].copy_from_slice(&CODE);
    sector[20] = 0xfd;
    sector[32..32 + SPOKEN.len()].copy_from_slice(SPOKEN.as_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}
