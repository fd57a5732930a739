//! What the account holds. These records are what is kept on disk; what clients see is made from them in `api/wire.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// The version of the kept state. A state of another version is refused.
pub(crate) const VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub version: u32,
    /// Identifies the account; every emulated account has its own.
    pub account: String,
    /// The next id of a droplet, image, action or key.
    pub next_id: u64,
    pub droplets: BTreeMap<u64, Droplet>,
    pub images: BTreeMap<u64, Image>,
    pub actions: BTreeMap<u64, Action>,
    pub keys: BTreeMap<u64, Key>,
    /// Tags that exist, with or without resources.
    pub tags: BTreeSet<String>,
    /// Why droplets that are gone had ended when nobody asked them to; those of this process.
    #[serde(skip)]
    pub ended: BTreeMap<u64, String>,
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
    /// The image as it was when the droplet was made: it may be deleted since.
    pub image: Image,
    pub created_at: String,
    pub tags: BTreeSet<String>,
    pub features: BTreeSet<String>,
    pub vpc: String,
    pub public_keys: Vec<String>,
    pub user_data: Option<String>,
    pub address: Option<Ipv4Addr>,
    /// Its address in the private network; a droplet that an older emulator made is not on it.
    #[serde(default)]
    pub private: Option<Ipv4Addr>,
    /// The boot that it is in: an event of another boot is stale.
    #[serde(default)]
    pub boot: Option<u64>,
    /// Why the machine ended when nobody asked it to.
    #[serde(default)]
    pub fault: Option<String>,
    /// It has an address that nobody is told: a fault that was asked for.
    #[serde(default)]
    pub unaddressed: bool,
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
    /// Bytes that it takes.
    pub bytes: u64,
    pub tags: BTreeSet<String>,
    pub description: String,
    /// The droplet that it is a snapshot of.
    pub droplet: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Key {
    pub id: u64,
    pub name: String,
    pub text: String,
    /// MD5 of the key's bytes, in hexadecimal with colons, as the service shows it.
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
    /// The image id is chosen beforehand, so that a snapshot that was interrupted is made again, not twice.
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
    /// The action's `type`, as the API names it.
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
pub(crate) enum Progress {
    #[serde(rename = "in-progress")]
    Running,
    Completed,
    Errored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Resource {
    Droplet,
    Image,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Action {
    pub id: u64,
    pub operation: Operation,
    pub progress: Progress,
    pub started_at: String,
    pub completed_at: Option<String>,
    pub resource: Resource,
    pub resource_id: u64,
    pub region: String,
    /// Why it errored. The service does not say; the emulator's log does.
    #[serde(default)]
    pub reason: Option<String>,
    /// It will never end by itself: a fault that was asked for.
    #[serde(default)]
    pub stuck: bool,
}

impl State {
    pub(crate) fn empty(account: String) -> Self {
        Self {
            version: VERSION,
            account,
            // Ids look like the service's: large enough that a client that keeps 16 bits notices.
            next_id: 500_000_000,
            droplets: BTreeMap::new(),
            images: BTreeMap::new(),
            actions: BTreeMap::new(),
            keys: BTreeMap::new(),
            tags: BTreeSet::new(),
            ended: BTreeMap::new(),
        }
    }

    /// What went wrong with a droplet, also with one that is gone: why actions ended with `errored`, and why it ended.
    pub(crate) fn mishaps(&self, droplet: u64) -> Vec<String> {
        let its = |action: &&Action| action.resource == Resource::Droplet && action.resource_id == droplet;
        let errored = self.actions.values().filter(its).filter_map(|action| action.reason.clone());
        let there = self.droplets.get(&droplet).and_then(|droplet| droplet.fault.clone());
        let ended = there.or_else(|| self.ended.get(&droplet).cloned());
        let mut mishaps: Vec<String> = errored.chain(ended).collect();
        mishaps.dedup();
        mishaps
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Whether something is under way on the droplet: it is `locked`, and refuses other events.
    pub(crate) fn is_busy(&self, droplet: u64) -> bool {
        self.under_way(Resource::Droplet, droplet)
    }

    /// Whether the droplet can't be destroyed now. What is stuck ends with its droplet.
    pub(crate) fn is_held(&self, droplet: u64) -> bool {
        self.actions.values().rev().any(|action| {
            action.progress == Progress::Running
                && !action.stuck
                && action.resource == Resource::Droplet
                && action.resource_id == droplet
        })
    }

    pub(crate) fn under_way(&self, resource: Resource, id: u64) -> bool {
        // Newest first: what is under way is nearly always the last.
        self.actions.values().rev().any(|action| {
            action.progress == Progress::Running && action.resource == resource && action.resource_id == id
        })
    }

    /// The snapshots of a droplet, oldest first.
    pub(crate) fn snapshots_of(&self, droplet: u64) -> impl Iterator<Item = &Image> {
        self.images.values().filter(move |image| image.droplet == Some(droplet))
    }
}
