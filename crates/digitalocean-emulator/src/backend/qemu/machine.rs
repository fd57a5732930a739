//! What one virtual machine is made of: QEMU's command line, and the config drive with which
//! cloud-init finds its data.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::accelerator::Accelerator;
use super::firewall::{self, NAME_SERVER};
use super::iso9660::{VolumeError, write_volume};
use super::network::PrivateNetwork;
use super::process::MONITOR_SOCKET;
use crate::backend::port::{GATEWAY, Machine};
use crate::base::Boot;
use crate::catalog::PRIVATE_NETMASK;

/// The serial console's log.
pub(super) const CONSOLE: &str = "console.log";
pub(super) const CONFIG_DRIVE: &str = "config-drive.iso";

/// Kernel parameters without hardware virtualisation. Translated code is reused if the next process
/// has it at the same address, and the mitigations of real processors only cost time in an emulated
/// one.
const EMULATED_KERNEL: &str = " norandmaps nokaslr mitigations=off";

/// The guest's address in QEMU's user network. Each guest has its own network, so that the address
/// is always the same.
const GUEST_ADDRESS: &str = "10.0.2.15";

/// The public network card's address: QEMU's prefix and the droplet's id.
fn public_mac(id: u64) -> String {
    let [.., a, b, c] = id.to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// The private network card's address, which is unique in the network that guests share.
fn private_mac(id: u64) -> String {
    let [.., a, b, c] = id.to_be_bytes();
    format!("52:54:01:{a:02x}:{b:02x}:{c:02x}")
}

/// QEMU's arguments. Paths are relative to the droplet's folder, in which QEMU is started.
pub(super) fn arguments(
    machine: &Machine,
    boot: &Boot,
    accelerator: &Accelerator,
    ports: &[u16],
    private: Option<PrivateNetwork>,
) -> Vec<String> {
    let mut arguments = accelerator.arguments(machine.vcpus);
    let mut add = |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
    add("-name", &format!("droplet-{}", machine.id));
    add("-m", &machine.memory.to_string());
    add("-display", "none");
    // A guest that breaks out of QEMU can start no program and gain no privilege.
    add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    add("-smbios", "type=0,vendor=DigitalOcean,version=20171212");
    add("-smbios", &format!("type=1,manufacturer=DigitalOcean,product=Droplet,serial={}", machine.id));
    if let Boot::Kernel { append } = boot {
        add("-kernel", "vmlinuz");
        add("-initrd", "initrd");
        add("-append", &format!("{append}{}", if accelerator.kvm { "" } else { EMULATED_KERNEL }));
    }
    // Discarded blocks leave the file, so that snapshots shrink. Flushes may stay in the host's
    // memory: a droplet need not survive a power cut of its host, and is much faster.
    add("-drive", "file=disk.qcow2,format=qcow2,if=none,id=disk,cache=unsafe,discard=unmap,detect-zeroes=unmap");
    add("-device", "virtio-blk-pci,drive=disk");
    add("-drive", &format!("file={CONFIG_DRIVE},format=raw,if=none,id=config,readonly=on"));
    add("-device", "virtio-blk-pci,drive=config");
    let forward = |port: &u16| format!(",hostfwd=tcp:{}:{port}-:{port}", machine.address);
    add("-netdev", &format!("user,id=net,ipv6=off{}", ports.iter().map(forward).collect::<String>()));
    add("-device", &format!("virtio-net-pci,netdev=net,mac={},romfile=", public_mac(machine.id)));
    for (name, value) in firewall::arguments("net") {
        add(name, &value);
    }
    if let (Some(network), Some(_)) = (private, machine.private_address) {
        add("-netdev", &network.netdev("private"));
        add("-device", &format!("virtio-net-pci,netdev=private,mac={},romfile=", private_mac(machine.id)));
    }
    add("-device", "virtio-rng-pci");
    add("-chardev", &format!("file,id=console,path={CONSOLE},append=on"));
    add("-serial", "chardev:console");
    add("-qmp", &format!("unix:{MONITOR_SOCKET},server=on,wait=off"));
    arguments.push("-nodefaults".to_owned());
    arguments
}

/// The config drive, in OpenStack's form as real droplets have it. cloud-init finds it by its
/// label, `config-2`.
///
/// Source: cloud-init's documentation of the ConfigDrive datasource, version 2.
pub(super) fn config_drive(machine: &Machine) -> Result<Vec<u8>, VolumeError> {
    let mut files = BTreeMap::from([
        ("openstack/latest/meta_data.json".to_owned(), meta_data(machine).to_string().into_bytes()),
        ("openstack/latest/network_data.json".to_owned(), network_data(machine).to_string().into_bytes()),
    ]);
    if let Some(user_data) = &machine.user_data {
        files.insert("openstack/latest/user_data".to_owned(), user_data.clone().into_bytes());
    }
    write_volume("config-2", &files)
}

fn meta_data(machine: &Machine) -> Value {
    let keys: serde_json::Map<String, Value> =
        machine.public_keys.iter().enumerate().map(|(at, key)| (at.to_string(), json!(key))).collect();
    json!({
        "uuid": machine.id.to_string(),
        "droplet_id": machine.id,
        "hostname": machine.name,
        "name": machine.name,
        "availability_zone": machine.region,
        "region": machine.region,
        "tags": machine.tags,
        "public_keys": keys,
    })
}

/// Static addresses, as droplets have them: nothing waits for DHCP. The first card is public, the
/// second private.
fn network_data(machine: &Machine) -> Value {
    let link = |id: &str, mac: String| json!({"id": id, "type": "phy", "ethernet_mac_address": mac, "mtu": 1500});
    let mut links = vec![link("eth0", public_mac(machine.id))];
    let mut networks = vec![json!({
        "id": "public-ipv4", "link": "eth0", "type": "ipv4",
        "ip_address": GUEST_ADDRESS, "netmask": "255.255.255.0",
        "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": GATEWAY}],
        "dns_nameservers": [NAME_SERVER],
    })];
    if let Some(address) = machine.private_address {
        links.push(link("eth1", private_mac(machine.id)));
        networks.push(json!({
            "id": "private-ipv4", "link": "eth1", "type": "ipv4",
            "ip_address": address, "netmask": PRIVATE_NETMASK, "routes": [],
        }));
    }
    json!({"links": links, "networks": networks, "services": [{"type": "dns", "address": NAME_SERVER}]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::port::DiskSource;

    fn machine() -> Machine {
        Machine {
            id: 500_000_001,
            name: "one".to_owned(),
            region: "nyc3".to_owned(),
            vcpus: 1,
            memory: 1024,
            disk: 25,
            source: DiskSource::Base("debian-12-x64".to_owned()),
            public_keys: Vec::new(),
            user_data: None,
            tags: Vec::new(),
            address: [127, 64, 0, 1].into(),
            private_address: Some([10, 108, 0, 2].into()),
        }
    }

    #[test]
    fn the_command_line_forwards_ports_and_boots_the_kernel() {
        let boot = Boot::Kernel { append: "console=ttyS0".to_owned() };
        let line = |kvm, boot: &Boot| {
            arguments(&machine(), boot, &Accelerator::new(kvm, String::new()), &[22, 443], None).join(" ")
        };
        let emulated = line(false, &boot);
        assert!(emulated.contains("hostfwd=tcp:127.64.0.1:22-:22,hostfwd=tcp:127.64.0.1:443-:443"), "{emulated}");
        assert!(emulated.contains("-append console=ttyS0 norandmaps nokaslr mitigations=off"), "{emulated}");
        assert!(emulated.contains("-accel tcg") && emulated.contains("mac=52:54:00:cd:65:01"), "{emulated}");
        assert!(!emulated.contains("52:54:01"), "the host carries no private network");
        let accelerated = line(true, &boot);
        assert!(
            accelerated.contains("-accel kvm") && accelerated.contains("-append console=ttyS0 -drive"),
            "{accelerated}"
        );
        assert!(!line(true, &Boot::Loader).contains("-kernel"));
    }

    #[test]
    fn the_second_card_has_the_private_address() {
        let data = network_data(&machine());
        assert_eq!(data["links"][1]["ethernet_mac_address"], "52:54:01:cd:65:01");
        assert_eq!(data["networks"][1]["ip_address"], "10.108.0.2");
        assert_eq!(data["networks"][1]["netmask"], "255.255.240.0");
        // The default route stays the public one.
        assert_eq!(data["networks"][1]["routes"], json!([]));
        let data = network_data(&Machine { private_address: None, ..machine() });
        assert_eq!(data["links"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn the_drive_has_the_user_data_and_the_droplets_identity() {
        let user_data = "#cloud-config\n".repeat(300);
        let machine = Machine {
            user_data: Some(user_data.clone()),
            public_keys: vec!["ssh-ed25519 AAAA me".to_owned(), "ssh-ed25519 BBBB you".to_owned()],
            tags: vec!["a".to_owned()],
            ..machine()
        };
        let drive = config_drive(&machine).unwrap();
        let has = |bytes: &[u8]| drive.windows(bytes.len()).any(|window| window == bytes);
        assert!(has(user_data.as_bytes()));
        let expected = json!({
            "uuid": "500000001", "droplet_id": 500_000_001, "hostname": "one", "name": "one",
            "availability_zone": "nyc3", "region": "nyc3", "tags": ["a"],
            "public_keys": {"0": "ssh-ed25519 AAAA me", "1": "ssh-ed25519 BBBB you"},
        });
        assert_eq!(meta_data(&machine), expected);
        assert!(has(expected.to_string().as_bytes()));
    }
}
