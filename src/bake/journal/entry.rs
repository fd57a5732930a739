//! What is written down: one variant for each thing that is about to be asked for, or was seen.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::first_version;
use crate::bake::left::Left;
use crate::bake::ports::Check;
use crate::bake::spec::Spec;

/// Which of a bake's droplets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The one that is snapshotted.
    Build,
    /// The one that proves the snapshot.
    Verification,
}

impl Role {
    /// `build` or `verification`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Verification => "verification",
        }
    }
}

/// A folder of downloads that is served to local droplets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts {
    /// The folder.
    pub folder: PathBuf,
    /// The port on this machine; it is in the document.
    pub port: u16,
}

/// What is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    /// The first line.
    Began {
        /// [`super::VERSION`].
        #[serde(default = "first_version")]
        version: u32,
        /// What is to be done.
        spec: Box<Spec>,
        /// The API it is done at: its address, or `local`.
        api_url: String,
        /// The account's name: a bake goes on in the account that it began in.
        #[serde(default)]
        account: String,
        /// The document's digest, `sha256:…`.
        #[serde(default)]
        document: String,
        /// Whether stand-ins took the place of the real downloads.
        #[serde(default)]
        stand_ins: bool,
        /// The folder that local droplets take their downloads from.
        #[serde(default)]
        artifacts: Option<Artifacts>,
    },
    /// A droplet is about to be asked for.
    Creating {
        /// Which.
        role: Role,
    },
    /// It was refused for good: nothing came of the request.
    CreateRefused {
        /// Which.
        role: Role,
    },
    /// It exists.
    Created {
        /// Which.
        role: Role,
        /// Its number.
        droplet: u64,
    },
    /// It runs.
    Active {
        /// Which.
        role: Role,
        /// Its address.
        address: Option<IpAddr>,
    },
    /// Its marker says passed.
    Passed {
        /// Which.
        role: Role,
        /// The check's result.
        check: Option<Check>,
    },
    /// It is off.
    Off,
    /// The snapshot is about to be asked for.
    Snapshotting,
    /// The snapshot was refused for good.
    SnapshotRefused,
    /// The provider is at it.
    SnapshotStarted {
        /// The action's number.
        action: u64,
    },
    /// The snapshot exists.
    Snapshot {
        /// Its id.
        id: String,
    },
    /// A tag is about to be put on the snapshot.
    Tagging {
        /// Which.
        tag: String,
    },
    /// All tags are on it.
    Tagged,
    /// A transfer is about to be asked for.
    Transferring {
        /// Where to.
        region: String,
    },
    /// The snapshot is there.
    Transferred {
        /// Where.
        region: String,
    },
    /// The snapshot has its tags and is where it should be: its droplet is not needed any more.
    Whole,
    /// A droplet is about to be destroyed.
    DeletingDroplet {
        /// Its number.
        droplet: u64,
    },
    /// It is gone.
    DropletGone {
        /// Its number.
        droplet: u64,
    },
    /// A snapshot is about to be deleted.
    DeletingSnapshot {
        /// Its id.
        id: String,
    },
    /// It is gone.
    SnapshotGone {
        /// Its id.
        id: String,
    },
    /// The bake's tag is about to be taken off the snapshot.
    Committing,
    /// It is off: from here on nothing cleans the snapshot up.
    Committed,
    /// What the bake made is about to be destroyed: from here on there is no way forward.
    CleaningUp {
        /// Why.
        failure: String,
    },
    /// The snapshot is whole, and what remained to be done could not be: nothing is destroyed, and `mkimg resume` goes on.
    Halted {
        /// Why.
        failure: String,
        /// What costs money and is still there.
        left: Vec<Left>,
    },
    /// The last line.
    Ended {
        /// The exit status.
        exit: u8,
        /// Why, where it failed.
        failure: Option<String>,
        /// What costs money and is still there.
        left: Vec<Left>,
    },
}

impl Entry {
    /// Whether it only says what is about to be asked for: where it could not be written, nothing was asked.
    pub fn is_intent(&self) -> bool {
        matches!(
            self,
            Self::Creating { .. }
                | Self::Snapshotting
                | Self::Tagging { .. }
                | Self::Transferring { .. }
                | Self::DeletingDroplet { .. }
                | Self::DeletingSnapshot { .. }
                | Self::Committing
        )
    }
}
