//! A backend without machines that plays what a bake's controller sees of one: the status channel, then `off`.
//!
//! Each droplet's user-data is read for the bake's own entry (`entry.rs`), and a TLS server with the certificate in it
//! answers at the droplet's address (`server.rs`) as the first-boot runner would, along a scenario (`scenario.rs`,
//! `timeline.rs`). A droplet without such an entry is on, and nothing answers.
//!
//! To add a scenario by name: a file in `scenarios/` and its line in [`scenario::NAMED`]. To add a hostile answer: a
//! variant of [`scenario::Answer`] and its arm in `server.rs`.

mod entry;
mod scenario;
mod server;
mod timeline;

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

pub use self::scenario::{BadScenario, Scenario};
use super::addresses::Addresses;
use super::running::Running;
use super::{Backend, Copied, Error, Event, Machine, Source};

/// The port that must be free at an address that is given away; the bake's entry says which one is really used.
const USUAL_PORT: u16 = 8443;

pub(super) struct Scripted {
    scenarios: Vec<Scenario>,
    addresses: Addresses,
    machines: Running,
    /// Which scenario a machine plays, in the order in which they were made.
    plays: Mutex<HashMap<u64, usize>>,
}

impl Scripted {
    pub(super) fn new(scenarios: Vec<Scenario>, events: UnboundedSender<Event>) -> Self {
        let scenarios = if scenarios.is_empty() { vec![Scenario::default()] } else { scenarios };
        Self { scenarios, addresses: Addresses::new(), machines: Running::new(events), plays: Mutex::default() }
    }

    fn scenario(&self, id: u64) -> Scenario {
        let mut plays = self.plays.lock().unwrap_or_else(PoisonError::into_inner);
        let next = plays.len();
        let number = *plays.entry(id).or_insert(next);
        self.scenarios[number.min(self.scenarios.len() - 1)].clone()
    }
}

#[async_trait]
impl Backend for Scripted {
    async fn admit(&self, _source: &Source, _disk: u32) -> Result<(), Error> {
        Ok(())
    }

    async fn allocate(&self) -> Result<Ipv4Addr, Error> {
        self.addresses.allocate(|address| TcpListener::bind((address, USUAL_PORT)).is_ok())
    }

    async fn create(&self, _machine: &Machine) -> Result<(), Error> {
        Ok(())
    }

    async fn start(&self, machine: &Machine) -> Result<u64, Error> {
        self.addresses.keep(machine.address);
        let scenario = self.scenario(machine.id);
        let entry = machine.user_data.as_deref().and_then(entry::read);
        let address = machine.address;
        Ok(self.machines.start(machine.id, async move { server::play(&scenario, entry, address).await }))
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
        self.kill_all();
    }

    fn kill_all(&self) {
        self.machines.end_all();
    }
}
