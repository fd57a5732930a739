//! The private network: a second network card in each droplet, on a network that the droplets of one emulator share.
//!
//! QEMU's multicast sockets are the wire: each frame is one datagram to a group that only this emulator's machines have
//! joined. They need no privilege and no bridge, and `localaddr` keeps them on this host's loopback interface. What
//! addresses the droplets have there is the account's business (`cloud/addresses.rs`).

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

/// The wire that one emulator's machines are on.
#[derive(Debug, Clone, Copy)]
pub(super) struct PrivateNetwork {
    group: SocketAddrV4,
}

impl PrivateNetwork {
    /// A group at random of 239.0.0.0/8 (for use inside of one organisation, RFC 2365), so that emulators that know
    /// nothing of each other do not meet. An error where this host's loopback interface carries no multicast.
    pub(super) fn open() -> std::io::Result<Self> {
        let mut bytes = [0; 5];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        let [a, b, c, high, low] = bytes;
        let group = Ipv4Addr::new(239, a, b, c);
        // Above the ports of services, below those that the kernel gives to clients.
        let port = 20_000 + u16::from_be_bytes([high, low]) % 10_000;
        let group = SocketAddrV4::new(group, port);
        UdpSocket::bind(group)?.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST)?;
        Ok(Self { group })
    }

    /// The value of `-netdev`; `id` names it for the card.
    pub(super) fn netdev(self, id: &str) -> String {
        format!("socket,id={id},mcast={},localaddr={}", self.group, Ipv4Addr::LOCALHOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_emulator_has_a_network_of_its_own() {
        let (one, other) = (PrivateNetwork::open().unwrap(), PrivateNetwork::open().unwrap());
        assert_ne!(one.group, other.group);
        assert!(one.group.ip().is_multicast());
        assert!(one.netdev("private").ends_with(",localaddr=127.0.0.1"), "{}", one.netdev("private"));
    }
}
