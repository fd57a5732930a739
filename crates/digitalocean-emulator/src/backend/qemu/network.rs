//! The networks of droplets: loopback addresses whose ports lead into the guest, and the private
//! network they share.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

use crate::backend::port::BackendError;

/// How many addresses are tried before a port counts as taken.
const MAX_ADDRESS_TRIES: usize = 16;

/// The loopback addresses of droplets, and the ports that are forwarded from each.
pub(super) struct PublicAddresses {
    ports: Vec<u16>,
    given: Mutex<HashSet<Ipv4Addr>>,
}

impl PublicAddresses {
    /// Checks which ports are available: each of `required` must be, others are left out with a
    /// warning.
    pub(super) fn open(required: &[u16], optional: &[u16]) -> Result<(Self, Vec<String>), BackendError> {
        let mut ports = required.to_vec();
        ports.sort_unstable();
        ports.dedup();
        for &port in &ports {
            check_port(port).map_err(|(address, source)| BackendError::Port { address, port, source })?;
        }
        let mut warnings = Vec::new();
        for &port in optional.iter().filter(|port| !required.contains(port)) {
            match check_port(port) {
                Ok(()) => ports.push(port),
                Err((_, source)) => {
                    let reason = match source.kind() {
                        ErrorKind::PermissionDenied => "this user may not listen on it".to_owned(),
                        ErrorKind::AddrInUse => "a program listens on it at all addresses".to_owned(),
                        _ => source.to_string(),
                    };
                    warnings.push(format!("port {port} of droplets is not forwarded: {reason}"));
                }
            }
        }
        Ok((Self { ports, given: Mutex::default() }, warnings))
    }

    pub(super) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// A new address with all ports free.
    pub(super) fn allocate(&self) -> Result<Ipv4Addr, BackendError> {
        let mut last_error = BackendError::NoAddress;
        for _ in 0..MAX_ADDRESS_TRIES {
            let address = random_address();
            match self.find_taken_port(address) {
                None if self.given.lock().unwrap_or_else(PoisonError::into_inner).insert(address) => {
                    return Ok(address);
                }
                None => {}
                Some(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    /// The first port of the address that is taken right now, as an error.
    pub(super) fn find_taken_port(&self, address: Ipv4Addr) -> Option<BackendError> {
        let taken = |&port: &u16| {
            let source = TcpListener::bind((address, port)).err()?;
            Some(BackendError::Port { address, port, source })
        };
        self.ports.iter().find_map(taken)
    }
}

/// Whether a port is free at one of several loopback addresses: a program that listens at a single
/// one does no harm.
fn check_port(port: u16) -> Result<(), (Ipv4Addr, std::io::Error)> {
    let try_one = || {
        let address = random_address();
        TcpListener::bind((address, port)).map(drop).map_err(|error| (address, error))
    };
    try_one().or_else(|_| try_one()).or_else(|_| try_one())
}

/// From 127.64.0.1 to 127.127.255.254; random, so that independent emulators choose different ones.
fn random_address() -> Ipv4Addr {
    let mut bytes = [0; 3];
    let _ = getrandom::fill(&mut bytes);
    let [a, b, c] = bytes;
    Ipv4Addr::new(127, 64 + a % 64, b, c % 254 + 1)
}

/// The network that the second card of each droplet is on.
///
/// The wire is QEMU's multicast socket: each frame is one datagram to a group that only this
/// emulator's machines join. It needs neither privileges nor a bridge, and `localaddr` keeps it on
/// the host's loopback interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct PrivateNetwork {
    group: SocketAddrV4,
}

impl PrivateNetwork {
    /// Chooses a random group in 239.0.0.0/8 (organization-local, RFC 2365), so that independent
    /// emulators choose different ones. Fails if the loopback interface carries no multicast.
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
    fn a_port_that_is_taken_at_all_addresses_is_an_error_only_where_it_is_required() {
        let holder = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        match PublicAddresses::open(&[port], &[]).err() {
            Some(BackendError::Port { port: found, source, .. }) => {
                assert_eq!((found, source.kind()), (port, ErrorKind::AddrInUse));
            }
            other => panic!("{other:?}"),
        }
        let (addresses, warnings) = PublicAddresses::open(&[], &[port]).unwrap();
        assert!(addresses.ports().is_empty());
        let expected = format!("port {port} of droplets is not forwarded: a program listens on it at all addresses");
        assert_eq!(warnings, [expected]);
    }

    #[test]
    fn a_port_that_is_taken_at_one_address_does_no_harm() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let (addresses, _) = PublicAddresses::open(&[port], &[port]).unwrap();
        assert_eq!(addresses.ports(), [port]);
        let (first, second) = (addresses.allocate().unwrap(), addresses.allocate().unwrap());
        assert!(first.is_loopback() && second.is_loopback() && first != second);
        assert!(addresses.find_taken_port(Ipv4Addr::LOCALHOST).is_some());
    }

    #[test]
    fn each_emulator_has_its_own_private_network() {
        let (one, other) = (PrivateNetwork::open().unwrap(), PrivateNetwork::open().unwrap());
        assert_ne!(one.group, other.group);
        assert!(one.group.ip().is_multicast());
        assert!(one.netdev("private").ends_with(",localaddr=127.0.0.1"), "{}", one.netdev("private"));
    }
}
