//! The config drive: what a droplet learns of itself on first boot, in OpenStack's form, as real droplets have it.
//!
//! Source: cloud-init's documentation of the ConfigDrive datasource, version 2.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::iso9660;
use super::machine;
use crate::backend::Machine;
use crate::cloud::addresses;

/// The guest's own address in QEMU's user network. It is the same in every droplet: each has a network of its own.
const GUEST_ADDRESS: &str = "10.0.2.15";
const NAME_SERVER: &str = "10.0.2.3";

/// The drive's bytes. The volume is labelled `config-2`, which is how cloud-init finds it.
pub(super) fn write(machine: &Machine) -> Result<Vec<u8>, iso9660::TooLarge> {
    let mut files = BTreeMap::new();
    let mut put = |name: &str, value: &Value| {
        files.insert(format!("openstack/latest/{name}"), value.to_string().into_bytes());
    };
    put("meta_data.json", &meta_data(machine));
    put("network_data.json", &network_data(machine));
    if let Some(user_data) = &machine.user_data {
        files.insert("openstack/latest/user_data".to_owned(), user_data.clone().into_bytes());
    }
    iso9660::write("config-2", &files)
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

/// Static addresses, as droplets have: nothing waits for DHCP. The first card is the public one, the second the private.
fn network_data(machine: &Machine) -> Value {
    let link = |id: &str, mac: String| json!({"id": id, "type": "phy", "ethernet_mac_address": mac, "mtu": 1500});
    let mut links = vec![link("eth0", machine::mac(machine.id))];
    let mut networks = vec![json!({
        "id": "public-ipv4", "link": "eth0", "type": "ipv4",
        "ip_address": GUEST_ADDRESS, "netmask": "255.255.255.0",
        "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": crate::GATEWAY}],
        "dns_nameservers": [NAME_SERVER],
    })];
    if let Some(address) = machine.private {
        links.push(link("eth1", machine::private_mac(machine.id)));
        networks.push(json!({
            "id": "private-ipv4", "link": "eth1", "type": "ipv4",
            "ip_address": address, "netmask": addresses::NETMASK, "routes": [],
        }));
    }
    json!({
        "links": links,
        "networks": networks,
        "services": [{"type": "dns", "address": NAME_SERVER}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Source;

    fn machine(private: Option<std::net::Ipv4Addr>) -> Machine {
        Machine {
            id: 7,
            name: "one".to_owned(),
            region: "nyc3".to_owned(),
            vcpus: 1,
            memory: 1024,
            disk: 25,
            source: Source::Base("debian-12-x64".to_owned()),
            public_keys: Vec::new(),
            user_data: None,
            tags: Vec::new(),
            address: std::net::Ipv4Addr::LOCALHOST,
            private,
        }
    }

    #[test]
    fn the_second_card_has_the_private_address() {
        let found = network_data(&machine(Some([10, 108, 0, 2].into())));
        assert_eq!(found["links"][1]["ethernet_mac_address"], "52:54:01:00:00:07");
        assert_eq!(found["networks"][1]["ip_address"], "10.108.0.2");
        assert_eq!(found["networks"][1]["netmask"], "255.255.240.0");
        // The way to the outside stays the public one.
        assert_eq!(found["networks"][1]["routes"], json!([]));
        assert_eq!(network_data(&machine(None))["links"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn the_drive_has_the_user_data_and_who_the_droplet_is() {
        let user_data = "#cloud-config\n".repeat(300);
        let keys = vec!["ssh-ed25519 AAAA me".to_owned(), "ssh-ed25519 BBBB you".to_owned()];
        let machine = Machine {
            user_data: Some(user_data.clone()),
            public_keys: keys,
            tags: vec!["a".to_owned()],
            ..machine(None)
        };
        let drive = write(&machine).unwrap();
        let has = |bytes: &[u8]| drive.windows(bytes.len()).any(|window| window == bytes);
        assert!(has(user_data.as_bytes()));
        let expected = json!({
            "uuid": "7", "droplet_id": 7, "hostname": "one", "name": "one", "availability_zone": "nyc3",
            "region": "nyc3", "tags": ["a"],
            "public_keys": {"0": "ssh-ed25519 AAAA me", "1": "ssh-ed25519 BBBB you"},
        });
        assert_eq!(meta_data(&machine), expected);
        assert!(has(expected.to_string().as_bytes()));
    }
}
