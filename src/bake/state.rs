//! How far a bake has come: the sum of its journal's entries, and all that the machine decides by. `journal` says what each
//! entry adds.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ports::Check;
use super::resources::RemainingResource;
use super::spec::Stage;

/// Which of a bake's droplets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DropletRole {
    /// It becomes the snapshot.
    Build,
    /// It is started from the snapshot, to verify it.
    Verification,
}

impl DropletRole {
    pub const ALL: [Self; 2] = [Self::Build, Self::Verification];

    /// `build` or `verification`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Verification => "verification",
        }
    }
}

/// How far one droplet has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum DropletState {
    /// Never requested, or the request was refused.
    #[default]
    Absent,
    /// Requested; whether it exists is not known.
    Requested,
    Present {
        id: u64,
        /// Its address, once it is active.
        address: Option<IpAddr>,
        progress: DropletProgress,
    },
    Gone {
        id: u64,
        /// Whether it had passed before.
        passed: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropletProgress {
    Created,
    Active,
    /// Its completion marker says that it has passed.
    Passed,
    Off,
}

impl DropletState {
    /// Its number, also after it was destroyed.
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Present { id, .. } | Self::Gone { id, .. } => Some(*id),
            Self::Absent | Self::Requested => None,
        }
    }

    /// Its number, while it exists.
    pub fn present_id(&self) -> Option<u64> {
        self.id().filter(|_| !self.is_gone())
    }

    /// Whether a request was sent and its effect is not known.
    pub fn is_unsettled(&self) -> bool {
        *self == Self::Requested
    }

    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// Whether it exists and has come this far.
    pub fn has_reached(&self, wanted: DropletProgress) -> bool {
        matches!(self, Self::Present { progress, .. } if *progress >= wanted)
    }

    /// Whether its completion marker said that it has passed.
    pub fn has_passed(&self) -> bool {
        self.has_reached(DropletProgress::Passed) || matches!(self, Self::Gone { passed: true, .. })
    }

    /// Its address, while it exists.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Present { address, .. } => *address,
            _ => None,
        }
    }

    pub(super) fn advance(&mut self, reached: DropletProgress) {
        if let Self::Present { progress, .. } = self {
            *progress = (*progress).max(reached);
        }
    }
}

/// How far the snapshot has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum SnapshotState {
    /// Never requested, or the request was refused.
    #[default]
    Absent,
    /// Requested; whether it exists is not known.
    Requested {
        /// The action's number, once the request was answered.
        action: Option<u64>,
    },
    Present {
        id: String,
        progress: SnapshotProgress,
    },
    Gone {
        id: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnapshotProgress {
    Created,
    /// It has all its tags.
    Tagged,
    /// It is in all its regions, too: its droplet is not needed any more.
    Complete,
    /// The bake's tag may be off it: everything else is done.
    Committing,
    /// The bake's tag is off it.
    Committed,
}

impl SnapshotState {
    /// Its id, also after it was deleted.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Present { id, .. } | Self::Gone { id } => Some(id),
            Self::Absent | Self::Requested { .. } => None,
        }
    }

    /// Its id, while it exists.
    pub fn present_id(&self) -> Option<&str> {
        match self {
            Self::Present { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether it exists and has come this far.
    pub fn has_reached(&self, wanted: SnapshotProgress) -> bool {
        matches!(self, Self::Present { progress, .. } if *progress >= wanted)
    }

    pub(super) fn advance(&mut self, reached: SnapshotProgress) {
        if let Self::Present { progress, .. } = self {
            *progress = (*progress).max(reached);
        }
    }
}

/// Where the bake as a whole is going.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Phase {
    /// To the snapshot.
    #[default]
    Forward,
    Suspended,
    /// Everything that it made is being destroyed.
    CleaningUp {
        failure: String,
    },
    Ended {
        exit: u8,
        /// Why it was cleaned up, if it was.
        failure: Option<String>,
        /// What it named as remaining.
        remaining: Vec<RemainingResource>,
    },
}

/// The sum of a journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BakeState {
    pub build: DropletState,
    pub verification: DropletState,
    /// How many droplets may exist: requested, not refused, not seen to be gone. Lost answers count.
    pub possible_droplets: usize,
    /// What the check script found.
    pub check: Option<Check>,
    pub snapshot: SnapshotState,
    /// Regions that the snapshot was transferred to.
    pub transferred: BTreeSet<String>,
    /// Where the bake is going.
    pub phase: Phase,
}

impl BakeState {
    pub fn droplet(&self, role: DropletRole) -> &DropletState {
        match role {
            DropletRole::Build => &self.build,
            DropletRole::Verification => &self.verification,
        }
    }

    pub(super) fn droplet_mut(&mut self, role: DropletRole) -> &mut DropletState {
        match role {
            DropletRole::Build => &mut self.build,
            DropletRole::Verification => &mut self.verification,
        }
    }

    pub fn present_droplets(&self) -> BTreeSet<u64> {
        [&self.build, &self.verification].into_iter().filter_map(DropletState::present_id).collect()
    }

    /// Why the bake is or was cleaned up.
    pub fn clean_up_reason(&self) -> Option<&str> {
        match &self.phase {
            Phase::CleaningUp { failure } | Phase::Ended { failure: Some(failure), .. } => Some(failure),
            _ => None,
        }
    }

    /// The exit status, once the bake has ended.
    pub fn exit_status(&self) -> Option<u8> {
        match self.phase {
            Phase::Ended { exit, .. } => Some(exit),
            _ => None,
        }
    }

    /// What the bake named as remaining when it ended.
    pub fn remaining(&self) -> &[RemainingResource] {
        match &self.phase {
            Phase::Ended { remaining, .. } => remaining,
            _ => &[],
        }
    }

    /// The stage that the bake is at.
    pub fn stage(&self) -> Stage {
        if self.clean_up_reason().is_some() {
            return Stage::CleanUp;
        }
        if self.snapshot.has_reached(SnapshotProgress::Committed) || self.verification.is_gone() {
            return Stage::Commit;
        }
        if self.build.is_gone() {
            return Stage::Verify;
        }
        match (&self.snapshot, &self.build) {
            (SnapshotState::Present { progress, .. }, _) if *progress >= SnapshotProgress::Complete => Stage::Destroy,
            (SnapshotState::Present { progress: SnapshotProgress::Tagged, .. }, _) => Stage::Transfer,
            (SnapshotState::Present { .. } | SnapshotState::Gone { .. }, _) => Stage::Tag,
            (_, DropletState::Present { progress, .. }) => match progress {
                DropletProgress::Created => Stage::Boot,
                DropletProgress::Active => Stage::Provision,
                DropletProgress::Passed => Stage::PowerOff,
                DropletProgress::Off => Stage::Snapshot,
            },
            _ => Stage::Create,
        }
    }

    pub(super) fn droplet_gone(&mut self, droplet: u64) {
        self.possible_droplets = self.possible_droplets.saturating_sub(1);
        if self.build.present_id() == Some(droplet) {
            self.build = DropletState::Gone { id: droplet, passed: self.build.has_passed() };
        }
        if self.verification.present_id() == Some(droplet) {
            // One that was destroyed before it had passed proves nothing: the verification is still to be done.
            self.verification = if self.verification.has_passed() {
                DropletState::Gone { id: droplet, passed: true }
            } else {
                DropletState::Absent
            };
        }
    }
}
