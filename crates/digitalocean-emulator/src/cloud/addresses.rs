//! Addresses of the private network, 10.108.0.0/20: as the service has them in a region's default VPC network. All
//! droplets of an account are on one.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::model::State;

/// The network's own address and the length of its prefix.
pub(crate) const NETWORK: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 108, 0, 0), 20);
pub(crate) const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 240, 0);
/// What the service names as the gateway. Nothing answers there: the network leads to the other droplets only.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 108, 0, 1);

/// The lowest that no droplet has; `None` when all are given.
pub(super) fn free(state: &State) -> Option<Ipv4Addr> {
    let taken: BTreeSet<Ipv4Addr> = state.droplets.values().filter_map(|droplet| droplet.private).collect();
    let first = NETWORK.0.to_bits();
    let last = first | !NETMASK.to_bits();
    (first + 2..last).map(Ipv4Addr::from_bits).find(|address| !taken.contains(address))
}
