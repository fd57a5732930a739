//! Addresses for droplets that are no machines: 127.64.0.0/10, from a random place on. Several emulators, in one process
//! or in many, may have somebody play their droplets at the same time.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Error;

/// How many there are.
const COUNT: u32 = 1 << 22;
const FIRST: u32 = 0x7f40_0000;

#[derive(Debug)]
pub(super) struct Addresses {
    start: u32,
    given: Mutex<HashSet<Ipv4Addr>>,
}

impl Addresses {
    pub(super) fn new() -> Self {
        Self { start: getrandom::u32().unwrap_or_else(|_| std::process::id()), given: Mutex::default() }
    }

    fn given(&self) -> MutexGuard<'_, HashSet<Ipv4Addr>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that nobody was given, and that is fit.
    pub(super) fn allocate(&self, fit: impl Fn(Ipv4Addr) -> bool) -> Result<Ipv4Addr, Error> {
        let mut given = self.given();
        for tail in 0..COUNT {
            let address = Ipv4Addr::from(FIRST | (self.start.wrapping_add(tail) % COUNT));
            let last = address.octets()[3];
            if last != 0 && last != 255 && !given.contains(&address) && fit(address) {
                given.insert(address);
                return Ok(address);
            }
        }
        Err(Error::NoAddress)
    }

    /// A droplet of an earlier emulator has this one.
    pub(super) fn keep(&self, address: Ipv4Addr) {
        self.given().insert(address);
    }
}
