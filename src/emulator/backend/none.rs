//! A backend without machines: the state machine alone. A machine is `on` until it is turned off, or, where the
//! configuration says so, turns itself off after a while.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

use super::addresses::Addresses;
use super::{Backend, Copied, Error, Event, Machine, Source};

pub(super) struct Nothing {
    off_after: Option<Duration>,
    events: UnboundedSender<Event>,
    boots: AtomicU64,
    /// Machines that are on, and the boot that they are in.
    on: Arc<Mutex<HashMap<u64, u64>>>,
    addresses: Addresses,
}

impl Nothing {
    pub(super) fn new(off_after: Option<Duration>, events: UnboundedSender<Event>) -> Self {
        Self { off_after, events, boots: AtomicU64::new(0), on: Arc::default(), addresses: Addresses::new() }
    }

    fn on(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn_off(&self, id: u64) {
        if let Some(boot) = self.on().remove(&id) {
            let _ = self.events.send(Event::Off { id, boot, unexpected: None });
        }
    }
}

#[async_trait]
impl Backend for Nothing {
    async fn admit(&self, _source: &Source, _disk: u32) -> Result<(), Error> {
        Ok(())
    }

    async fn allocate(&self) -> Result<Ipv4Addr, Error> {
        self.addresses.allocate(|_| true)
    }

    async fn create(&self, _machine: &Machine) -> Result<(), Error> {
        Ok(())
    }

    async fn start(&self, machine: &Machine) -> Result<u64, Error> {
        let boot = self.boots.fetch_add(1, Ordering::Relaxed) + 1;
        let id = machine.id;
        self.addresses.keep(machine.address);
        self.on().insert(id, boot);
        if let Some(after) = self.off_after {
            let (on, events) = (Arc::clone(&self.on), self.events.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                let mut on = on.lock().unwrap_or_else(PoisonError::into_inner);
                if on.get(&id) == Some(&boot) {
                    on.remove(&id);
                    let _ = events.send(Event::Off { id, boot, unexpected: None });
                }
            });
        }
        Ok(boot)
    }

    async fn shutdown(&self, id: u64) -> Result<(), Error> {
        self.turn_off(id);
        Ok(())
    }

    async fn reset(&self, _id: u64) -> Result<(), Error> {
        Ok(())
    }

    async fn power_off(&self, id: u64) -> Result<(), Error> {
        self.turn_off(id);
        Ok(())
    }

    async fn grow(&self, _id: u64, _disk: u32) -> Result<(), Error> {
        Ok(())
    }

    async fn snapshot(&self, _id: u64, _snapshot: u64, _name: &str) -> Result<Copied, Error> {
        Ok(Copied { bytes: 150 << 20 })
    }

    async fn delete_snapshot(&self, _snapshot: u64) -> Result<(), Error> {
        Ok(())
    }

    async fn destroy(&self, id: u64) -> Result<(), Error> {
        self.on().remove(&id);
        Ok(())
    }

    async fn stop_all(&self) {
        self.on().clear();
    }

    fn kill_all(&self) {
        self.on().clear();
    }
}
