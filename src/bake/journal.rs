//! What a bake writes down, and what can be read back from it.
//!
//! Each entry is one JSON object on one line, with `at` (seconds since 1970). An entry of intent (`creating`,
//! `snapshotting`, `deleting-…`) is on the disk before its request is sent, its result after. [`Ledger`] is the sum of
//! the entries: the machine decides by it alone, so that a bake taken up from its journal goes on as the first one would.
//!
//! A new entry is a variant of [`Entry`] and an arm of [`Ledger::apply`]; an older mkimg cannot go on with a journal that
//! has one, so it raises [`VERSION`].

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

/// The form of the journal; in its first line.
pub const VERSION: u32 = 1;

fn first_version() -> u32 {
    1
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    /// The first line.
    Began {
        /// [`VERSION`].
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
    /// The bake's tag may be off the snapshot: everything else was done.
    pub committing: bool,
    /// The bake's tag is off the snapshot.
    pub committed: bool,
    /// Why the bake is being cleaned up.
    pub failing: Option<String>,
    /// The exit status.
    pub ended: Option<u8>,
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
            Entry::SnapshotGone { id } => self.snapshot_gone |= self.snapshot.as_ref() == Some(id),
            Entry::Committing => self.committing = true,
            Entry::Committed => self.committed = true,
            Entry::CleaningUp { failure } => self.failing = Some(failure.clone()),
            Entry::Ended { exit, .. } => self.ended = Some(*exit),
            Entry::Began { .. }
            | Entry::Tagging { .. }
            | Entry::Transferring { .. }
            | Entry::DeletingDroplet { .. }
            | Entry::DeletingSnapshot { .. } => {}
        }
    }
}

/// Reads a journal; gives its lines, and how many bytes they are. A last line without its end is what a power cut leaves:
/// it was never acted upon, and is dropped.
pub fn read(bytes: &[u8]) -> Result<(Vec<Line>, usize), BadJournal> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let broken = |line: usize, reason: String| BadJournal::Broken { line: line + 1, reason };
    let mut lines = Vec::new();
    for (number, line) in bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        if number == 0
            && let Ok(First { version }) = serde_json::from_slice(line)
            && version > VERSION
        {
            return Err(BadJournal::Newer { version });
        }
        lines.push(serde_json::from_slice(line).map_err(|error| broken(number, error.to_string()))?);
    }
    match lines.first() {
        None | Some(Line { entry: Entry::Began { .. }, .. }) => Ok((lines, whole)),
        Some(_) => Err(broken(0, "expected the entry `began`: the journal's start is missing".to_owned())),
    }
}

/// What the first line of every version has.
#[derive(Deserialize)]
struct First {
    #[serde(default = "first_version")]
    version: u32,
}

/// A journal that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJournal {
    /// A line that is none.
    #[error("line {line} of the journal cannot be read: {reason}")]
    Broken {
        /// Counted from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// Written by a later mkimg.
    #[error("a newer mkimg wrote this journal: it is of version {version}, and this mkimg reads version {VERSION}")]
    Newer {
        /// Its version.
        version: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_back_and_a_torn_last_line_is_dropped() {
        let lines = [
            began(),
            Line { at: 1, entry: Entry::Creating { role: Role::Build } },
            Line { at: 2, entry: Entry::Created { role: Role::Build, droplet: 7 } },
        ];
        let text = text(&lines);
        // Cut in the middle of a letter, or zeros where the disk had not been reached.
        for torn in [&b"{\"at\":3,\"entr\xc3"[..], &[0; 512], b""] {
            let (back, whole) = read(&[text.as_bytes(), torn].concat()).unwrap();
            assert_eq!((back.as_slice(), whole), (&lines[..], text.len()));
            let ledger = Ledger::replay(back.iter().map(|l| &l.entry));
            assert_eq!((ledger.build.id, ledger.build.unsettled), (Some(7), false));
        }
        assert_eq!(read(b"").unwrap(), (Vec::new(), 0));
    }

    #[test]
    fn a_broken_journal_and_one_of_a_newer_mkimg_are_told_apart() {
        let line_of = |bytes: &[u8]| match read(bytes).unwrap_err() {
            BadJournal::Broken { line, .. } => line,
            newer @ BadJournal::Newer { .. } => panic!("{newer}"),
        };
        let first = text(&[began()]);
        assert_eq!(line_of(b"nonsense\n"), 1);
        assert_eq!(line_of(format!("{first}\n").as_bytes()), 2);
        assert_eq!(line_of(format!("{first}\0\0\0\n").as_bytes()), 2);
        assert_eq!(line_of(b"{\"at\":1,\"entry\":\"off\"}\n"), 1);
        // A newer one may have another form altogether.
        let newer = read(b"{\"version\":2,\"entry\":\"started\"}\n{\"x\":1}\n").unwrap_err();
        assert_eq!(newer, BadJournal::Newer { version: 2 });
        // The first journals had no version.
        let old = first.replace("\"version\":1,", "");
        assert!(old.len() < first.len());
        assert_eq!(read(old.as_bytes()).unwrap().0, [began()]);
    }

    fn began() -> Line {
        let spec = crate::bake::tests::spec();
        let (api_url, account, document) = (String::new(), String::new(), String::new());
        let spec = Box::new(spec);
        let entry =
            Entry::Began { version: VERSION, spec, api_url, account, document, stand_ins: false, artifacts: None };
        Line { at: 0, entry }
    }

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
    }
}
