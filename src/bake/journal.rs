//! What a bake writes down, and what can be read back from it.
//!
//! Each entry is one JSON object on one line, with `at` (seconds since 1970). An entry of intent (`creating`,
//! `snapshotting`, `deleting-…`) is on the disk before its request is sent, its result after. [`Ledger`] is the sum of
//! the entries: the machine decides by it alone, so that a bake taken up from its journal goes on as the first one would.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ports::Check;
use super::spec::{Spec, Stage};

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

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    /// The first line.
    Began {
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
    /// The last line.
    Ended {
        /// The exit status.
        exit: u8,
        /// Why, where it failed.
        failure: Option<String>,
        /// What costs money and is still there.
        left: Vec<super::failure::Left>,
    },
}

/// An entry and when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Seconds since 1970.
    pub at: u64,
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
}

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
    /// The bake's tag is off the snapshot.
    pub committed: bool,
    /// Why the bake is being cleaned up.
    pub failing: Option<String>,
    /// The exit status.
    pub ended: Option<u8>,
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
        match entry {
            Entry::Creating { role } => self.droplet_mut(*role).unsettled = true,
            Entry::CreateRefused { role } => self.droplet_mut(*role).unsettled = false,
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
                self.build.gone |= self.build.id == Some(*droplet);
                if self.verification.id == Some(*droplet) {
                    // One that went before it had proved anything leaves the verification to be done.
                    let passed = self.verification.passed;
                    self.verification = DropletRecord { passed, gone: passed, ..DropletRecord::default() };
                }
            }
            Entry::SnapshotGone { id } => self.snapshot_gone |= self.snapshot.as_ref() == Some(id),
            Entry::Committed => self.committed = true,
            Entry::CleaningUp { failure } => self.failing = Some(failure.clone()),
            Entry::Ended { exit, .. } => self.ended = Some(*exit),
            Entry::Began { .. }
            | Entry::Tagging { .. }
            | Entry::Transferring { .. }
            | Entry::DeletingDroplet { .. }
            | Entry::DeletingSnapshot { .. }
            | Entry::Committing => {}
        }
    }
}

/// Reads a journal's text. A last line without its end is what a power cut leaves: it was never acted upon, and is dropped.
pub fn read(text: &str) -> Result<Vec<Line>, BadJournal> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut lines = Vec::new();
    for (number, line) in whole.lines().enumerate() {
        lines.push(
            serde_json::from_str(line).map_err(|error| BadJournal { line: number + 1, reason: error.to_string() })?,
        );
    }
    Ok(lines)
}

/// A journal that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the journal cannot be read: {reason}")]
pub struct BadJournal {
    /// Counted from 1.
    pub line: usize,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_back_and_a_torn_last_line_is_dropped() {
        let lines = [
            Line { at: 1, entry: Entry::Creating { role: Role::Build } },
            Line { at: 2, entry: Entry::Created { role: Role::Build, droplet: 7 } },
        ];
        let mut text: String = lines.iter().map(|l| serde_json::to_string(l).unwrap() + "\n").collect();
        text.push_str("{\"at\":3,\"entr");
        let back = read(&text).unwrap();
        assert_eq!(back, lines);
        let ledger = Ledger::replay(back.iter().map(|l| &l.entry));
        assert_eq!((ledger.build.id, ledger.build.unsettled), (Some(7), false));
        assert_eq!(read("nonsense\n").unwrap_err().line, 1);
    }
}
