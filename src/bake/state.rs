//! How far a bake has come: the sum of its journal's entries, and all that the machine decides by.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::journal::{DropletRole, JournalEntry};
use super::ports::Check;
use super::resources::RemainingResource;
use super::spec::Stage;

/// How far one droplet has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum DropletState {
    /// Never requested, or the request was refused.
    #[default]
    Absent,
    /// Requested; whether it exists is not known.
    Requested,
    /// It exists.
    Present {
        id: u64,
        /// Its address, once it is active.
        address: Option<IpAddr>,
        /// How far it has come.
        progress: DropletProgress,
    },
    /// It was destroyed.
    Gone {
        id: u64,
        /// Whether it had passed before.
        passed: bool,
    },
}

/// How far a droplet has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropletProgress {
    /// The provider is creating it.
    Created,
    /// It is running.
    Active,
    /// Its completion marker says that it has passed.
    Passed,
    /// It is off.
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

    /// Whether it was destroyed.
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

    fn advance(&mut self, reached: DropletProgress) {
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
    /// It exists.
    Present {
        id: String,
        /// How far it has come.
        progress: SnapshotProgress,
    },
    /// It was deleted.
    Gone { id: String },
}

/// How far a snapshot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnapshotProgress {
    /// It exists.
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

    fn advance(&mut self, reached: SnapshotProgress) {
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
    /// It waits to be resumed.
    Suspended,
    /// Everything that it made is being destroyed.
    CleaningUp { failure: String },
    /// It has ended.
    Ended {
        /// The exit status.
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
    /// The build droplet.
    pub build: DropletState,
    /// The verification droplet.
    pub verification: DropletState,
    /// How many droplets may exist: requested, not refused, not seen to be gone. Lost answers count.
    pub possible_droplets: usize,
    /// What the check script found.
    pub check: Option<Check>,
    /// The snapshot.
    pub snapshot: SnapshotState,
    /// Regions that the snapshot was transferred to.
    pub transferred: BTreeSet<String>,
    /// Where the bake is going.
    pub phase: Phase,
}

impl BakeState {
    /// The sum of these entries.
    pub fn replay<'e>(entries: impl IntoIterator<Item = &'e JournalEntry>) -> Self {
        let mut state = Self::default();
        for entry in entries {
            state.apply(entry);
        }
        state
    }

    /// The droplet with this role.
    pub fn droplet(&self, role: DropletRole) -> &DropletState {
        match role {
            DropletRole::Build => &self.build,
            DropletRole::Verification => &self.verification,
        }
    }

    fn droplet_mut(&mut self, role: DropletRole) -> &mut DropletState {
        match role {
            DropletRole::Build => &mut self.build,
            DropletRole::Verification => &mut self.verification,
        }
    }

    /// The droplets that exist.
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

    /// Adds an entry.
    pub fn apply(&mut self, entry: &JournalEntry) {
        if self.phase == Phase::Suspended {
            // The bake was resumed.
            self.phase = Phase::Forward;
        }
        match entry {
            JournalEntry::Creating { role } => {
                let droplet = self.droplet_mut(*role);
                if *droplet == DropletState::Absent {
                    *droplet = DropletState::Requested;
                }
                self.possible_droplets += 1;
            }
            JournalEntry::CreateRefused { role } => {
                let droplet = self.droplet_mut(*role);
                if *droplet == DropletState::Requested {
                    *droplet = DropletState::Absent;
                }
                self.possible_droplets = self.possible_droplets.saturating_sub(1);
            }
            JournalEntry::Created { role, droplet } => {
                *self.droplet_mut(*role) =
                    DropletState::Present { id: *droplet, address: None, progress: DropletProgress::Created };
            }
            JournalEntry::Active { role, address: seen } => {
                let droplet = self.droplet_mut(*role);
                droplet.advance(DropletProgress::Active);
                if let DropletState::Present { address, .. } = droplet {
                    *address = *seen;
                }
            }
            JournalEntry::Passed { role, check } => {
                self.droplet_mut(*role).advance(DropletProgress::Passed);
                if *role == DropletRole::Build {
                    self.check.clone_from(check);
                }
            }
            JournalEntry::Off => self.build.advance(DropletProgress::Off),
            JournalEntry::DropletGone { droplet } => self.droplet_gone(*droplet),
            JournalEntry::Snapshotting => {
                if self.snapshot == SnapshotState::Absent {
                    self.snapshot = SnapshotState::Requested { action: None };
                }
            }
            JournalEntry::SnapshotRefused => {
                if matches!(self.snapshot, SnapshotState::Requested { .. }) {
                    self.snapshot = SnapshotState::Absent;
                }
            }
            JournalEntry::SnapshotStarted { action } => {
                self.snapshot = SnapshotState::Requested { action: Some(*action) };
            }
            JournalEntry::Snapshot { id } => {
                self.snapshot = SnapshotState::Present { id: id.clone(), progress: SnapshotProgress::Created };
            }
            JournalEntry::Tagged => self.snapshot.advance(SnapshotProgress::Tagged),
            JournalEntry::Transferred { region } => {
                self.transferred.insert(region.clone());
            }
            JournalEntry::Complete => self.snapshot.advance(SnapshotProgress::Complete),
            JournalEntry::Committing => self.snapshot.advance(SnapshotProgress::Committing),
            JournalEntry::Committed => self.snapshot.advance(SnapshotProgress::Committed),
            JournalEntry::SnapshotGone { id } => {
                if self.snapshot.present_id() == Some(id) {
                    self.snapshot = SnapshotState::Gone { id: id.clone() };
                }
            }
            JournalEntry::Suspended { .. } => self.phase = Phase::Suspended,
            JournalEntry::CleaningUp { failure } => self.phase = Phase::CleaningUp { failure: failure.clone() },
            JournalEntry::Ended { exit, remaining, .. } => {
                let failure = self.clean_up_reason().map(str::to_owned);
                self.phase = Phase::Ended { exit: *exit, failure, remaining: remaining.clone() };
            }
            JournalEntry::Began { .. }
            | JournalEntry::Tagging { .. }
            | JournalEntry::Transferring { .. }
            | JournalEntry::DeletingDroplet { .. }
            | JournalEntry::DeletingSnapshot { .. } => {}
        }
    }

    fn droplet_gone(&mut self, droplet: u64) {
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
