//! A backend without machines: the state machine alone. A machine is `on` until it is turned off, or, where the
//! configuration says so, turns itself off after a while.

use std::net::Ipv4Addr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

use super::addresses::Addresses;
use super::running::Running;
use super::{Backend, Copied, Error, Event, Machine, Source};

pub(super) struct Nothing {
    off_after: Option<Duration>,
    machines: Running,
    addresses: Addresses,
}

impl Nothing {
    pub(super) fn new(off_after: Option<Duration>, events: UnboundedSender<Event>) -> Self {
        Self { off_after, machines: Running::new(events), addresses: Addresses::new() }
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
        self.addresses.keep(machine.address);
        let off_after = self.off_after;
        Ok(self.machines.start(machine.id, async move {
            match off_after {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
            Ok(())
        }))
    }

    async fn shutdown(&self, id: u64) -> Result<(), Error> {
        self.machines.turn_off(id);
        Ok(())
    }

    async fn reset(&self, _id: u64) -> Result<(), Error> {
        Ok(())
    }

    async fn power_off(&self, id: u64) -> Result<(), Error> {
        self.machines.turn_off(id);
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
        self.machines.end(id);
        Ok(())
    }

    async fn stop_all(&self) {
        self.machines.end_all();
    }

    fn kill_all(&self) {
        self.machines.end_all();
    }
}
