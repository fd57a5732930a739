//! The config drive: what a droplet learns of itself on first boot, in OpenStack's form, as real droplets have it.
//!
//! Source: cloud-init's documentation of the ConfigDrive datasource, version 2.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::iso9660;
use crate::emulator::backend::Machine;

/// The guest's own address in QEMU's user network. It is the same in every droplet: each has a network of its own.
const GUEST_ADDRESS: &str = "10.0.2.15";
const NAME_SERVER: &str = "10.0.2.3";

/// The drive's bytes. The volume is labelled `config-2`, which is how cloud-init finds it.
pub(super) fn write(machine: &Machine, mac: &str) -> Result<Vec<u8>, iso9660::TooLarge> {
    let mut files = BTreeMap::new();
    let mut put = |name: &str, value: &Value| {
        files.insert(format!("openstack/latest/{name}"), value.to_string().into_bytes());
    };
    put("meta_data.json", &meta_data(machine));
    put("network_data.json", &network_data(mac));
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

/// A static address, as droplets have: nothing waits for DHCP.
fn network_data(mac: &str) -> Value {
    json!({
        "links": [{"id": "eth0", "type": "phy", "ethernet_mac_address": mac, "mtu": 1500}],
        "networks": [{
            "id": "public-ipv4", "link": "eth0", "type": "ipv4",
            "ip_address": GUEST_ADDRESS, "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": crate::emulator::GATEWAY}],
            "dns_nameservers": [NAME_SERVER],
        }],
        "services": [{"type": "dns", "address": NAME_SERVER}],
    })
}
