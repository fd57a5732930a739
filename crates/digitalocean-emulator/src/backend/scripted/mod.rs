//! Droplets without machines that serve only what a bake's controller uses: the status channel,
//! then the power state `off`.
//!
//! The bake's own entry in a droplet's user-data has the certificate, key and port of the channel. If it announces an upload,
//! the scenario's steps begin when that is complete.
//! A droplet without such an entry is on, and nothing answers at its address. To add a named
//! scenario: its entry in `scenarios.yaml`. To add a hostile answer: a variant of
//! `scenario::HostileAnswer` and its arm in `server.rs`.

mod server;
mod upload;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::port::{BackendEntry, Machine};
use super::scenario::Scenario;
use super::simulated::{Behaviour, Simulated};

/// The backend `scripted`.
pub(super) static ENTRY: BackendEntry = BackendEntry {
    name: "scripted",
    description: "No machines, but a status channel that plays a scenario",
    probe: || Ok(()),
    open: |options, events| {
        let scenarios = ScenarioQueue::new(options.scenarios);
        let behaviour = move |machine: &Machine| -> Behaviour {
            let scenario = scenarios.scenario(machine.id);
            let entry = machine.user_data.as_deref().and_then(server::BakeEntry::find);
            let address = machine.address;
            Box::pin(async move { server::play(&scenario, entry, address).await })
        };
        Box::pin(async move { Ok(Simulated::open(Some(USUAL_PORT), behaviour, events)) })
    },
};

/// The port that must be free at a droplet's address. The bake's entry says which one is really
/// used.
const USUAL_PORT: u16 = 8443;

/// Which scenario each droplet plays: they are given out in the order in which droplets start; the
/// last one repeats.
struct ScenarioQueue {
    scenarios: Vec<Scenario>,
    given: Mutex<HashMap<u64, usize>>,
}

impl ScenarioQueue {
    fn new(mut scenarios: Vec<Scenario>) -> Self {
        if scenarios.is_empty() {
            scenarios.push(Scenario::default());
        }
        Self { scenarios, given: Mutex::default() }
    }

    fn scenario(&self, droplet: u64) -> Scenario {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let next = given.len();
        let index = *given.entry(droplet).or_insert(next);
        self.scenarios[index.min(self.scenarios.len() - 1)].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_droplet_keeps_its_scenario_and_the_last_one_repeats() {
        let scenario = |deaf| Scenario { deaf, ..Scenario::default() };
        let queue = ScenarioQueue::new(vec![scenario(true), scenario(false)]);
        let played: Vec<bool> = [7, 8, 7, 9, 8].into_iter().map(|id| queue.scenario(id).deaf).collect();
        assert_eq!(played, [true, false, true, false, false]);
        assert_eq!(ScenarioQueue::new(Vec::new()).scenario(1), Scenario::default());
    }
}
