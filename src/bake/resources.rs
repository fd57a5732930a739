//! What costs money: droplets and snapshots, and the ones that remain when a bake has ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A droplet or a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceId {
    /// A droplet's number.
    Droplet(u64),
    /// A snapshot's id.
    Snapshot(String),
}

impl ResourceId {
    pub fn remaining(&self, why: impl Into<String>) -> RemainingResource {
        let why = why.into();
        match self {
            Self::Droplet(id) => RemainingResource::Droplet { id: *id, why },
            Self::Snapshot(id) => RemainingResource::Snapshot { id: id.clone(), why },
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Droplet(id) => write!(f, "droplet {id}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
        }
    }
}

/// Something that costs money and still exists. To add a kind: a variant here, and what deletes it in `orphans`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RemainingResource {
    Droplet {
        id: u64,
        why: String,
    },
    /// A snapshot.
    Snapshot {
        id: String,
        why: String,
    },
    /// Something with the bake's tag may exist: it could not be looked up.
    Unknown {
        /// The tag to look for.
        tag: String,
        /// Why it is not known.
        why: String,
    },
}

impl RemainingResource {
    /// What it is, without the reason.
    pub fn name(&self) -> String {
        match self {
            Self::Droplet { id, .. } => format!("droplet {id}"),
            Self::Snapshot { id, .. } => format!("snapshot {id}"),
            Self::Unknown { tag, .. } => format!("possibly something tagged {tag}"),
        }
    }

    pub fn why(&self) -> &str {
        let (Self::Droplet { why, .. } | Self::Snapshot { why, .. } | Self::Unknown { why, .. }) = self;
        why
    }
}

impl fmt::Display for RemainingResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.why())
    }
}
