//! The sum of a journal's entries: all that the machine decides by.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::entry::{Entry, Role};
use crate::bake::left::Left;
use crate::bake::ports::Check;
use crate::bake::spec::Stage;

/// What is known of one droplet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DropletRecord {
    /// A request was sent whose end is not known.
    pub unsettled: bool,
    /// Its number.
    pub id: Option<u64>,
    /// It was seen running.
    pub active: bool,
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its marker said passed.
    pub passed: bool,
    /// It is gone.
    pub gone: bool,
}

/// The sum of a journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    /// The build droplet.
    pub build: DropletRecord,
    /// The verification droplet.
    pub verification: DropletRecord,
    /// How many droplets there may be: asked for, not refused, not seen to be gone. Answers that were lost count.
    pub asked_for: usize,
    /// What the check script found.
    pub check: Option<Check>,
    /// The build droplet was seen off.
    pub off: bool,
    /// A snapshot was asked for and its end is not known.
    pub snapshot_unsettled: bool,
    /// The snapshot's action.
    pub snapshot_action: Option<u64>,
    /// The snapshot.
    pub snapshot: Option<String>,
    /// The snapshot was deleted.
    pub snapshot_gone: bool,
    /// All tags are on the snapshot.
    pub tagged: bool,
    /// Regions the snapshot was transferred to.
    pub transferred: BTreeSet<String>,
    /// The snapshot has its tags and is where it should be: its droplet was not needed any more.
    pub whole: bool,
    /// The bake's tag may be off the snapshot: everything else was done.
    pub committing: bool,
    /// The bake's tag is off the snapshot.
    pub committed: bool,
    /// The last entry says that the bake waits for somebody to go on with it.
    pub halted: bool,
    /// Why the bake is being cleaned up.
    pub failing: Option<String>,
    /// The exit status.
    pub ended: Option<u8>,
    /// What it said then that it had left.
    pub left: Vec<Left>,
}

impl Ledger {
    /// The sum of these entries.
    pub fn replay<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Self {
        let mut ledger = Self::default();
        for entry in entries {
            ledger.apply(entry);
        }
        ledger
    }

    /// One of the bake's droplets.
    pub fn droplet(&self, role: Role) -> &DropletRecord {
        match role {
            Role::Build => &self.build,
            Role::Verification => &self.verification,
        }
    }

    fn droplet_mut(&mut self, role: Role) -> &mut DropletRecord {
        match role {
            Role::Build => &mut self.build,
            Role::Verification => &mut self.verification,
        }
    }

    /// The stage that the bake is at.
    pub fn stage(&self) -> Stage {
        let build = &self.build;
        match () {
            () if self.failing.is_some() => Stage::CleanUp,
            () if self.committed || self.verification.gone => Stage::Commit,
            () if build.gone => Stage::Verify,
            () if self.whole => Stage::Destroy,
            () if self.tagged => Stage::Transfer,
            () if self.snapshot.is_some() => Stage::Tag,
            () if self.off => Stage::Snapshot,
            () if build.passed => Stage::PowerOff,
            () if build.active => Stage::Provision,
            () if build.id.is_some() => Stage::Boot,
            () => Stage::Create,
        }
    }

    /// Adds an entry.
    pub fn apply(&mut self, entry: &Entry) {
        self.halted = matches!(entry, Entry::Halted { .. });
        match entry {
            Entry::Creating { role } => {
                self.droplet_mut(*role).unsettled = true;
                self.asked_for += 1;
            }
            Entry::CreateRefused { role } => {
                self.droplet_mut(*role).unsettled = false;
                self.asked_for = self.asked_for.saturating_sub(1);
            }
            Entry::Created { role, droplet } => {
                let record = self.droplet_mut(*role);
                record.unsettled = false;
                record.id = Some(*droplet);
            }
            Entry::Active { role, address } => {
                let record = self.droplet_mut(*role);
                record.active = true;
                record.address = *address;
            }
            Entry::Passed { role, check } => {
                self.droplet_mut(*role).passed = true;
                if *role == Role::Build {
                    self.check.clone_from(check);
                }
            }
            Entry::Off => self.off = true,
            Entry::Snapshotting => self.snapshot_unsettled = true,
            Entry::SnapshotRefused => self.snapshot_unsettled = false,
            Entry::SnapshotStarted { action } => self.snapshot_action = Some(*action),
            Entry::Snapshot { id } => {
                self.snapshot_unsettled = false;
                self.snapshot = Some(id.clone());
            }
            Entry::Tagged => self.tagged = true,
            Entry::Transferred { region } => {
                self.transferred.insert(region.clone());
            }
            Entry::DropletGone { droplet } => {
                self.asked_for = self.asked_for.saturating_sub(1);
                self.build.gone |= self.build.id == Some(*droplet);
                if self.verification.id == Some(*droplet) {
                    // One that went before it had proved anything leaves the verification to be done.
                    let passed = self.verification.passed;
                    self.verification = DropletRecord { passed, gone: passed, ..DropletRecord::default() };
                }
            }
            Entry::Whole => self.whole = true,
            Entry::SnapshotGone { id } => self.snapshot_gone |= self.snapshot.as_ref() == Some(id),
            Entry::Committing => self.committing = true,
            Entry::Committed => self.committed = true,
            Entry::CleaningUp { failure } => self.failing = Some(failure.clone()),
            Entry::Ended { exit, left, .. } => {
                self.ended = Some(*exit);
                self.left.clone_from(left);
            }
            Entry::Began { .. }
            | Entry::Tagging { .. }
            | Entry::Transferring { .. }
            | Entry::DeletingDroplet { .. }
            | Entry::DeletingSnapshot { .. }
            | Entry::Halted { .. } => {}
        }
    }
}
