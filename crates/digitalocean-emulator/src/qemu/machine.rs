//! One machine's command line. Paths in it are relative to the droplet's folder, which QEMU is started in.

use std::io::Read;
use std::path::Path;

use super::accelerator::Accelerator;
use super::monitor;
use super::private_network::PrivateNetwork;
use crate::backend::Machine;
use crate::base::Boot;

/// The serial console's log.
pub(super) const CONSOLE: &str = "console.log";
pub(super) const CONFIG_DRIVE: &str = "config-drive.iso";

/// For kernels that are emulated in software. Code that was translated once is used again where the next process has it
/// at the same address, and what defends a real processor against guessing only costs time in an emulated one.
const EMULATED: &str = " norandmaps nokaslr mitigations=off";

/// The public network card's address: QEMU's prefix, then the droplet's id. Each guest is alone in that network.
pub(super) fn mac(id: u64) -> String {
    let [.., a, b, c] = id.to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// The private network card's address, which differs from every other in the network that guests share.
pub(super) fn private_mac(id: u64) -> String {
    let [.., a, b, c] = id.to_be_bytes();
    format!("52:54:01:{a:02x}:{b:02x}:{c:02x}")
}

/// QEMU's arguments for this machine.
pub(super) fn arguments(
    machine: &Machine,
    boot: &Boot,
    accelerator: &Accelerator,
    ports: &[u16],
    private: Option<PrivateNetwork>,
) -> Vec<String> {
    let mut arguments = accelerator.arguments(machine.vcpus);
    let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    add("-name", format!("droplet-{}", machine.id));
    add("-m", machine.memory.to_string());
    add("-display", "none".to_owned());
    add("-smbios", "type=0,vendor=DigitalOcean,version=20171212".to_owned());
    add("-smbios", format!("type=1,manufacturer=DigitalOcean,product=Droplet,serial={}", machine.id));
    if let Boot::Kernel { append } = boot {
        add("-kernel", "vmlinuz".to_owned());
        add("-initrd", "initrd".to_owned());
        add("-append", format!("{append}{}", if accelerator.kvm { "" } else { EMULATED }));
    }
    // Freed blocks leave the file, so that snapshots shrink. What the guest flushes may stay in this machine's memory:
    // an emulated droplet need not outlive a power cut of its host, and is much faster so.
    let disk = "file=disk.qcow2,format=qcow2,if=none,id=disk,cache=unsafe,discard=unmap,detect-zeroes=unmap";
    add("-drive", disk.to_owned());
    add("-device", "virtio-blk-pci,drive=disk".to_owned());
    add("-drive", format!("file={CONFIG_DRIVE},format=raw,if=none,id=config,readonly=on"));
    add("-device", "virtio-blk-pci,drive=config".to_owned());
    let mut network = "user,id=net,ipv6=off".to_owned();
    for port in ports {
        network.extend([format!(",hostfwd=tcp:{}:{port}-:{port}", machine.address)]);
    }
    add("-netdev", network);
    add("-device", format!("virtio-net-pci,netdev=net,mac={},romfile=", mac(machine.id)));
    if let (Some(network), Some(_)) = (private, machine.private) {
        add("-netdev", network.netdev("private"));
        add("-device", format!("virtio-net-pci,netdev=private,mac={},romfile=", private_mac(machine.id)));
    }
    add("-device", "virtio-rng-pci".to_owned());
    add("-chardev", format!("file,id=console,path={CONSOLE},append=on"));
    add("-serial", "chardev:console".to_owned());
    add("-qmp", format!("unix:{},server=on,wait=off", monitor::SOCKET));
    arguments.push("-nodefaults".to_owned());
    arguments
}

/// A qcow2 disk's size as the guest sees it, in bytes: big-endian, at byte 24 of its header.
pub(super) fn virtual_size(disk: &Path) -> std::io::Result<u64> {
    let mut header = [0; 32];
    std::fs::File::open(disk)?.read_exact(&mut header)?;
    if &header[..4] != b"QFI\xfb" {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "not a qcow2 disk"));
    }
    let mut size = [0; 8];
    size.copy_from_slice(&header[24..]);
    Ok(u64::from_be_bytes(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn droplets_have_addresses_of_their_own() {
        assert_eq!(mac(500_000_001), "52:54:00:cd:65:01");
        assert_eq!(private_mac(500_000_001), "52:54:01:cd:65:01");
    }
}
