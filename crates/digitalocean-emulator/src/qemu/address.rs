//! Each droplet's own loopback address, and which of its ports can be had on this host.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::backend::Error;

/// How many addresses are tried before a port counts as taken.
const TRIES: usize = 16;

pub(super) struct Addresses {
    ports: Vec<u16>,
    given: Mutex<HashSet<Ipv4Addr>>,
}

impl Addresses {
    /// Finds out which ports can be had: each of `required` must be, others are left out with a warning.
    pub(super) fn open(required: &[u16], wished: &[u16]) -> Result<(Self, Vec<String>), Error> {
        let mut ports = required.to_vec();
        ports.sort_unstable();
        ports.dedup();
        let mut warnings = Vec::new();
        for &port in &ports {
            try_anywhere(port)?;
        }
        for &port in wished {
            if ports.contains(&port) {
                continue;
            }
            match try_anywhere(port) {
                Ok(()) => ports.push(port),
                Err(Error::Port { source, .. }) => {
                    let why = match source.kind() {
                        ErrorKind::PermissionDenied => "this user may not listen on it".to_owned(),
                        ErrorKind::AddrInUse => "something listens on it at all addresses".to_owned(),
                        _ => source.to_string(),
                    };
                    warnings.push(format!("port {port} of droplets is not forwarded: {why}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((Self { ports, given: Mutex::default() }, warnings))
    }

    pub(super) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// An address that no droplet has had, with all ports free.
    pub(super) fn take(&self) -> Result<Ipv4Addr, Error> {
        let mut last = Error::NoAddress;
        for _ in 0..TRIES {
            let address = random();
            let free = self
                .ports
                .iter()
                .try_for_each(|&port| try_port(address, port).map_err(|source| Error::Port { address, port, source }));
            match free {
                Ok(()) if self.given.lock().unwrap_or_else(PoisonError::into_inner).insert(address) => {
                    return Ok(address);
                }
                Ok(()) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Whether a port is free at some loopback address: one that something holds at a single address is no obstacle.
fn try_anywhere(port: u16) -> Result<(), Error> {
    let mut result = Ok(());
    for _ in 0..3 {
        let address = random();
        match try_port(address, port) {
            Ok(()) => return Ok(()),
            Err(source) => result = Err(Error::Port { address, port, source }),
        }
    }
    result
}

/// Whether the port can be listened on at this address, right now.
pub(super) fn try_port(address: Ipv4Addr, port: u16) -> std::io::Result<()> {
    TcpListener::bind((address, port)).map(drop)
}

/// Random, so that emulators that know nothing of each other do not meet: 127.64.0.1 to 127.127.255.254.
fn random() -> Ipv4Addr {
    let mut bytes = [0; 3];
    let _ = getrandom::fill(&mut bytes);
    let [a, b, c] = bytes;
    Ipv4Addr::new(127, 64 + a % 64, b, c % 254 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_everywhere_is_an_error_where_it_is_required() {
        let holder = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        match Addresses::open(&[port], &[]).err() {
            Some(Error::Port { port: found, source, .. }) => {
                assert_eq!((found, source.kind()), (port, ErrorKind::AddrInUse));
            }
            other => panic!("{other:?}"),
        }
        let (addresses, warnings) = Addresses::open(&[], &[port]).unwrap();
        assert!(addresses.ports().is_empty());
        assert_eq!(
            warnings,
            [format!("port {port} of droplets is not forwarded: something listens on it at all addresses")]
        );
    }

    #[test]
    fn a_port_that_is_taken_at_one_address_is_no_obstacle() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let (addresses, _) = Addresses::open(&[port], &[]).unwrap();
        let first = addresses.take().unwrap();
        let second = addresses.take().unwrap();
        assert!(first.is_loopback() && second.is_loopback() && first != second);
    }
}
