//! What the account holds. These records are the state file; clients see what `api/wire.rs` makes
//! of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::catalog::{self, BaseImage};

/// The version of the state file. Other versions are refused.
pub(crate) const VERSION: u32 = 1;

/// The account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub version: u32,
    /// The account's UUID.
    pub account: String,
    /// The last id that was given to a droplet, image, action or key.
    pub next_id: u64,
    pub droplets: BTreeMap<u64, Droplet>,
    pub images: BTreeMap<u64, Image>,
    pub actions: BTreeMap<u64, Action>,
    pub keys: BTreeMap<u64, Key>,
    /// All tags, with or without resources.
    pub tags: BTreeSet<String>,
    /// Why destroyed droplets had ended unexpectedly. Not persistent.
    #[serde(skip)]
    pub failures_of_destroyed: BTreeMap<u64, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    New,
    Active,
    Off,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Droplet {
    pub id: u64,
    pub name: String,
    pub region: String,
    pub size: String,
    /// In GiB. A resize may leave it as it was.
    pub disk: u32,
    pub status: Status,
    /// A copy of its image, which may have been deleted since.
    pub image: Image,
    pub created_at: String,
    pub tags: BTreeSet<String>,
    pub features: BTreeSet<String>,
    pub vpc: String,
    pub public_keys: Vec<String>,
    pub user_data: Option<String>,
    pub address: Option<Ipv4Addr>,
    /// Missing in states of older emulators.
    #[serde(default, rename = "private")]
    pub private_address: Option<Ipv4Addr>,
    /// The current boot: events of other boots are outdated.
    #[serde(default)]
    pub boot: Option<u64>,
    /// Why the machine ended unexpectedly.
    #[serde(default, rename = "fault")]
    pub failure: Option<String>,
    /// Injected fault: it has an address, but the API does not show it.
    #[serde(default, rename = "unaddressed")]
    pub hides_address: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ImageKind {
    Base,
    Snapshot,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Image {
    pub id: u64,
    pub name: String,
    pub kind: ImageKind,
    pub distribution: String,
    pub slug: Option<String>,
    pub regions: BTreeSet<String>,
    pub created_at: String,
    /// In GiB.
    pub min_disk: u32,
    pub bytes: u64,
    pub tags: BTreeSet<String>,
    pub description: String,
    /// The droplet that it is a snapshot of.
    pub droplet: Option<u64>,
}

impl From<&BaseImage> for Image {
    fn from(image: &BaseImage) -> Self {
        Self {
            id: image.id,
            name: image.name.to_owned(),
            kind: ImageKind::Base,
            distribution: image.distribution.to_owned(),
            slug: Some(image.slug.to_owned()),
            regions: catalog::REGIONS.iter().map(|region| region.slug.to_owned()).collect(),
            created_at: "2025-01-01T00:00:00Z".to_owned(),
            min_disk: image.min_disk,
            bytes: 430 << 20,
            tags: BTreeSet::new(),
            description: format!("{} {}", image.distribution, image.name),
            droplet: None,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Key {
    pub id: u64,
    pub name: String,
    pub text: String,
    /// MD5 in hexadecimal with colons, as the service shows it.
    pub fingerprint: String,
}

/// What an action does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Operation {
    Create,
    PowerOn,
    PowerOff,
    PowerCycle,
    Shutdown,
    Reboot,
    /// The image id is chosen when the action is accepted, so that a repeated snapshot does not
    /// exist twice.
    Snapshot {
        name: String,
        image: u64,
    },
    Rename {
        name: String,
    },
    Resize {
        size: String,
        disk: bool,
    },
    Rebuild {
        image: u64,
    },
    Restore {
        image: u64,
    },
    EnableIpv6,
    EnableBackups,
    DisableBackups,
    Destroy,
    Transfer {
        region: String,
    },
    Convert,
}

impl Operation {
    /// The action's `type` in the API.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::PowerOn => "power_on",
            Self::PowerOff => "power_off",
            Self::PowerCycle => "power_cycle",
            Self::Shutdown => "shutdown",
            Self::Reboot => "reboot",
            Self::Snapshot { .. } => "snapshot",
            Self::Rename { .. } => "rename",
            Self::Resize { .. } => "resize",
            Self::Rebuild { .. } => "rebuild",
            Self::Restore { .. } => "restore",
            Self::EnableIpv6 => "enable_ipv6",
            Self::EnableBackups => "enable_backups",
            Self::DisableBackups => "disable_backups",
            Self::Destroy => "destroy",
            Self::Transfer { .. } => "transfer",
            Self::Convert => "convert",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ActionStatus {
    InProgress,
    Completed,
    Errored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResourceKind {
    Droplet,
    Image,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Action {
    pub id: u64,
    pub operation: Operation,
    #[serde(rename = "progress")]
    pub status: ActionStatus,
    pub started_at: String,
    pub completed_at: Option<String>,
    pub resource: ResourceKind,
    pub resource_id: u64,
    pub region: String,
    /// Why it errored, which the API does not say.
    #[serde(default)]
    pub reason: Option<String>,
    /// Injected fault: it never ends by itself.
    #[serde(default)]
    pub stuck: bool,
}

impl Action {
    fn is_on(&self, resource: ResourceKind, id: u64) -> bool {
        self.resource == resource && self.resource_id == id
    }
}

impl State {
    pub(crate) fn empty(account: String) -> Self {
        Self {
            version: VERSION,
            account,
            // As large as the service's ids, so that a client that keeps too few bits is noticed.
            next_id: 500_000_000,
            droplets: BTreeMap::new(),
            images: BTreeMap::new(),
            actions: BTreeMap::new(),
            keys: BTreeMap::new(),
            tags: BTreeSet::new(),
            failures_of_destroyed: BTreeMap::new(),
        }
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Any image, the catalogue's included.
    pub(crate) fn find_image(&self, id: u64) -> Option<Image> {
        self.images.get(&id).cloned().or_else(|| catalog::image_by_id(id).map(Image::from))
    }

    /// A key by its id or its fingerprint.
    pub(crate) fn find_key(&self, wanted: &str) -> Option<&Key> {
        let id = wanted.parse().ok();
        self.keys.values().find(|key| Some(key.id) == id || key.fingerprint == wanted)
    }

    /// The snapshots of a droplet, oldest first.
    pub(crate) fn snapshots_of(&self, droplet: u64) -> impl Iterator<Item = &Image> {
        self.images.values().filter(move |image| image.droplet == Some(droplet))
    }

    /// The actions on a resource, newest first.
    pub(crate) fn actions_on(&self, resource: ResourceKind, id: u64) -> impl Iterator<Item = &Action> {
        self.actions.values().rev().filter(move |action| action.is_on(resource, id))
    }

    /// Whether an action on the resource is in progress, so that others are refused.
    pub(crate) fn is_busy(&self, resource: ResourceKind, id: u64) -> bool {
        self.actions_on(resource, id).any(|action| action.status == ActionStatus::InProgress)
    }

    /// Whether the droplet cannot be destroyed now. Stuck actions end with their droplet.
    pub(crate) fn is_held(&self, droplet: u64) -> bool {
        let mut actions = self.actions_on(ResourceKind::Droplet, droplet);
        actions.any(|action| action.status == ActionStatus::InProgress && !action.stuck)
    }

    /// Why actions on the droplet ended with `errored`, and why its machine ended.
    pub(crate) fn failures(&self, droplet: u64) -> Vec<String> {
        let errored = self.actions_on(ResourceKind::Droplet, droplet).filter_map(|action| action.reason.clone());
        let mut failures: Vec<String> = errored.collect();
        failures.reverse();
        let current = self.droplets.get(&droplet).and_then(|droplet| droplet.failure.clone());
        failures.extend(current.or_else(|| self.failures_of_destroyed.get(&droplet).cloned()));
        failures.dedup();
        failures
    }
}

/// Earlier states, which lists still show: those of the service lag behind.
#[derive(Debug)]
pub(super) struct History {
    lag: Duration,
    /// Until when each state was current; the oldest first.
    past: VecDeque<(Instant, State)>,
}

impl History {
    pub(super) fn new(lag: Duration) -> Self {
        Self { lag, past: VecDeque::new() }
    }

    /// Remembers a state that was replaced just now.
    pub(super) fn push(&mut self, now: Instant, replaced: State) {
        if self.lag.is_zero() {
            return;
        }
        while self.past.front().is_some_and(|(until, _)| now.saturating_duration_since(*until) > self.lag) {
            self.past.pop_front();
        }
        self.past.push_back((now, replaced));
    }

    /// The state that lists show now. `None` if it is the current one.
    pub(super) fn listed(&self, now: Instant) -> Option<&State> {
        self.past.iter().find(|(until, _)| now.saturating_duration_since(*until) < self.lag).map(|(_, state)| state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_the_state_of_a_lag_ago() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let state = |account: &str| State::empty(account.to_owned());
        let listed = |history: &History, now| history.listed(now).map(|state| state.account.clone());
        let mut history = History::new(Duration::from_secs(5));
        history.push(at(10), state("a"));
        history.push(at(12), state("b"));
        assert_eq!(listed(&history, at(11)).as_deref(), Some("a"));
        assert_eq!(listed(&history, at(14)).as_deref(), Some("a"), "b became current at 10, lists show it from 15 on");
        assert_eq!(listed(&history, at(16)).as_deref(), Some("b"));
        assert_eq!(listed(&history, at(17)), None);
        let mut none = History::new(Duration::ZERO);
        none.push(at(1), state("a"));
        assert_eq!(listed(&none, at(1)), None);
    }
}
