//! Backends without machines: addresses and power states only. What a droplet does while it is on
//! is a future; when the future ends, the droplet is off. `none` plays a timer, `scripted` plays a
//! scenario.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::task::AbortHandle;

use super::port::{Backend, BackendEntry, BackendError, DiskSource, EventSender, Machine, MachineEvent, OpenBackend};

/// The backend `none`.
pub(super) static ENTRY: BackendEntry = BackendEntry {
    name: "none",
    description: "No machines, only their states",
    probe: || Ok(()),
    open: |options, events| {
        let off_after = options.off_after;
        let behaviour = move |_: &Machine| -> Behaviour {
            Box::pin(async move {
                match off_after {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
                Ok(())
            })
        };
        Box::pin(async move { Ok(Simulated::open(None, behaviour, events)) })
    },
};

/// What a droplet does from its start until it powers off; an error means that it crashed.
pub(super) type Behaviour = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// How many addresses there are: 127.64.0.0/10.
const ADDRESS_COUNT: u32 = 1 << 22;
const FIRST_ADDRESS: u32 = 0x7f40_0000;

/// How many bytes every snapshot pretends to take.
const SNAPSHOT_BYTES: u64 = 150 << 20;

/// A droplet that is on.
struct PoweredOn {
    boot: u64,
    task: AbortHandle,
}

#[derive(Default)]
struct PowerStates {
    boots: u64,
    on: HashMap<u64, PoweredOn>,
}

/// A backend whose droplets are futures.
pub(super) struct Simulated {
    behaviour: Box<dyn Fn(&Machine) -> Behaviour + Send + Sync>,
    /// A port that must be free at each address.
    port: Option<u16>,
    /// Where the search for an address starts: several emulators share the addresses.
    start: u32,
    addresses: Mutex<HashSet<Ipv4Addr>>,
    events: EventSender,
    states: Arc<Mutex<PowerStates>>,
}

impl Simulated {
    pub(super) fn open(
        port: Option<u16>,
        behaviour: impl Fn(&Machine) -> Behaviour + Send + Sync + 'static,
        events: EventSender,
    ) -> OpenBackend {
        let backend = Self {
            behaviour: Box::new(behaviour),
            port,
            start: getrandom::u32().unwrap_or_else(|_| std::process::id()),
            addresses: Mutex::default(),
            events,
            states: Arc::default(),
        };
        OpenBackend { backend: Arc::new(backend), warnings: Vec::new() }
    }

    fn addresses(&self) -> MutexGuard<'_, HashSet<Ipv4Addr>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn states(&self) -> MutexGuard<'_, PowerStates> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a droplet's task without an event; returns its boot if it was on.
    fn end(&self, id: u64) -> Option<u64> {
        let on = self.states().on.remove(&id)?;
        on.task.abort();
        Some(on.boot)
    }
}

#[async_trait]
impl Backend for Simulated {
    async fn check_source(&self, _source: &DiskSource, _disk: u32) -> Result<(), BackendError> {
        Ok(())
    }

    async fn allocate_address(&self) -> Result<Ipv4Addr, BackendError> {
        let mut taken = self.addresses();
        let is_usable = |address: Ipv4Addr| {
            let last = address.octets()[3];
            let port_is_free = |port| std::net::TcpListener::bind((address, port)).is_ok();
            last != 0 && last != 255 && !taken.contains(&address) && self.port.is_none_or(port_is_free)
        };
        let all = (0..ADDRESS_COUNT).map(|offset| FIRST_ADDRESS | (self.start.wrapping_add(offset) % ADDRESS_COUNT));
        let found = all.map(Ipv4Addr::from).find(|address| is_usable(*address)).ok_or(BackendError::NoAddress)?;
        taken.insert(found);
        Ok(found)
    }

    async fn create(&self, _machine: &Machine) -> Result<(), BackendError> {
        Ok(())
    }

    async fn start(&self, machine: &Machine) -> Result<u64, BackendError> {
        // An earlier emulator may have given it this address.
        self.addresses().insert(machine.address);
        let (id, behaviour) = (machine.id, (self.behaviour)(machine));
        let mut held = self.states();
        held.boots += 1;
        let boot = held.boots;
        let (states, events) = (Arc::clone(&self.states), self.events.clone());
        let task = tokio::spawn(async move {
            let ended = behaviour.await;
            let mut states = states.lock().unwrap_or_else(PoisonError::into_inner);
            if states.on.get(&id).is_some_and(|on| on.boot == boot) {
                states.on.remove(&id);
                let _ = events.send(MachineEvent::Off { id, boot, unexpected: ended.err() });
            }
        });
        if let Some(before) = held.on.insert(id, PoweredOn { boot, task: task.abort_handle() }) {
            before.task.abort();
        }
        Ok(boot)
    }

    async fn shutdown(&self, id: u64) -> Result<(), BackendError> {
        self.power_off(id).await
    }

    async fn reset(&self, _id: u64) -> Result<(), BackendError> {
        Ok(())
    }

    async fn power_off(&self, id: u64) -> Result<(), BackendError> {
        if let Some(boot) = self.end(id) {
            let _ = self.events.send(MachineEvent::Off { id, boot, unexpected: None });
        }
        Ok(())
    }

    async fn grow_disk(&self, _id: u64, _disk: u32) -> Result<(), BackendError> {
        Ok(())
    }

    async fn snapshot(&self, _id: u64, _snapshot: u64, _name: &str) -> Result<u64, BackendError> {
        Ok(SNAPSHOT_BYTES)
    }

    async fn delete_snapshot(&self, _snapshot: u64) -> Result<(), BackendError> {
        Ok(())
    }

    async fn destroy(&self, id: u64) -> Result<(), BackendError> {
        self.end(id);
        Ok(())
    }

    async fn stop_all(&self) {
        self.kill_all();
    }

    fn kill_all(&self) {
        for (_, on) in self.states().on.drain() {
            on.task.abort();
        }
    }
}
