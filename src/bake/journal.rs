//! What a bake writes down, and how it is read back.
//!
//! Each entry is one JSON object on one line, with `at` (seconds since 1970). An entry of intent (`creating`,
//! `snapshotting`, `deleting-…`) is on the disk before its request is sent, its result after it.
//! [`BakeState`] is the sum of the entries: the machine decides by it alone, so a bake that is resumed from its journal
//! continues as the first process would have.
//!
//! To add an entry: a variant of [`JournalEntry`], and below it its stage and what it adds to the state. An older mkimg
//! cannot continue with a journal that has one, so raise [`VERSION`].

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ports::Check;
use super::resources::RemainingResource;
use super::spec::{Spec, Stage};
use super::state::{BakeState, DropletProgress, DropletRole, DropletState, Phase, SnapshotProgress, SnapshotState};

/// The version of the format; in the first line.
pub const VERSION: u32 = 2;

fn first_version() -> u32 {
    1
}

/// Where a bake's entries are stored.
pub trait Journal: Send + Sync {
    /// Appends an entry; it is on the disk when this returns.
    fn append(&self, at: u64, entry: &JournalEntry) -> Result<(), JournalError>;
    /// Saves a file beside the journal and returns its path.
    fn save(&self, name: &str, contents: &[u8]) -> Result<String, JournalError>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot write {path}: {reason}")]
pub struct JournalError {
    pub path: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalLine {
    /// When it was written, in seconds since 1970.
    pub at: u64,
    #[serde(flatten)]
    pub entry: JournalEntry,
}

/// A folder of downloads that is served to local droplets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedArtifacts {
    pub folder: PathBuf,
    /// The port on this machine; it is in the document.
    pub port: u16,
}

/// Something that is about to be requested, or that was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum JournalEntry {
    /// The first line.
    Began {
        /// [`VERSION`].
        #[serde(default = "first_version")]
        version: u32,
        /// What to make.
        spec: Box<Spec>,
        /// The API's address, or `local`.
        api_url: String,
        /// The account's name: a bake is resumed only in the account that it began in.
        #[serde(default)]
        account: String,
        /// The document's digest, `sha256:…`.
        #[serde(default)]
        document: String,
        /// Whether stubs replace the real downloads.
        #[serde(default)]
        stand_ins: bool,
        /// The folder that local droplets download from.
        #[serde(default)]
        artifacts: Option<ServedArtifacts>,
    },
    /// A droplet is about to be requested.
    Creating { role: DropletRole },
    /// The request was refused: no droplet was created.
    CreateRefused { role: DropletRole },
    /// It exists.
    Created { role: DropletRole, droplet: u64 },
    /// It is running.
    Active {
        role: DropletRole,
        /// Its address.
        address: Option<IpAddr>,
    },
    /// Its completion marker says that it has passed.
    Passed {
        role: DropletRole,
        /// The check's result.
        check: Option<Check>,
    },
    /// It is off.
    Off,
    /// The snapshot is about to be requested.
    Snapshotting,
    /// The request was refused: no snapshot was created.
    SnapshotRefused,
    /// The provider is making it.
    SnapshotStarted {
        /// The action's number.
        action: u64,
    },
    /// The snapshot exists.
    Snapshot { id: String },
    /// A tag is about to be put on the snapshot.
    Tagging { tag: String },
    /// All tags are on it.
    Tagged,
    /// A transfer is about to be requested.
    Transferring { region: String },
    /// The snapshot is in that region.
    Transferred { region: String },
    /// The snapshot has its tags and is in all its regions: its droplet is not needed any more.
    #[serde(rename = "whole")]
    Complete,
    /// A droplet is about to be destroyed.
    DeletingDroplet { droplet: u64 },
    /// It is gone.
    DropletGone { droplet: u64 },
    /// A snapshot is about to be deleted.
    DeletingSnapshot { id: String },
    /// It is gone.
    SnapshotGone { id: String },
    /// The bake's tag is about to be taken off the snapshot.
    Committing,
    /// It is off: from here on no clean-up deletes the snapshot.
    Committed,
    /// Everything that the bake made is about to be destroyed: it cannot continue any more.
    CleaningUp { failure: String },
    /// The snapshot is complete, and one of the last steps failed: nothing is destroyed, and `mkimg resume` continues.
    #[serde(rename = "halted")]
    Suspended {
        failure: String,
        /// What costs money and still exists.
        #[serde(rename = "left")]
        remaining: Vec<RemainingResource>,
    },
    /// The last line.
    Ended {
        /// The exit status.
        exit: u8,
        /// Why, where it failed.
        failure: Option<String>,
        /// What costs money and still exists.
        #[serde(rename = "left")]
        remaining: Vec<RemainingResource>,
    },
}

impl JournalEntry {
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Began { .. } | Self::Creating { .. } | Self::CreateRefused { .. } | Self::Created { .. } => {
                Stage::Create
            }
            Self::Active { .. } => Stage::Boot,
            Self::Passed { .. } => Stage::Provision,
            Self::Off => Stage::PowerOff,
            Self::Snapshotting | Self::SnapshotRefused | Self::SnapshotStarted { .. } | Self::Snapshot { .. } => {
                Stage::Snapshot
            }
            Self::Tagging { .. } | Self::Tagged => Stage::Tag,
            Self::Transferring { .. } | Self::Transferred { .. } | Self::Complete => Stage::Transfer,
            Self::Committing | Self::Committed => Stage::Commit,
            Self::DeletingDroplet { .. } | Self::DropletGone { .. } => Stage::Destroy,
            Self::DeletingSnapshot { .. }
            | Self::SnapshotGone { .. }
            | Self::CleaningUp { .. }
            | Self::Suspended { .. }
            | Self::Ended { .. } => Stage::CleanUp,
        }
    }

    /// Whether it announces a request: when it could not be written, the request was not sent.
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

impl BakeState {
    /// The sum of these entries.
    pub fn replay<'e>(entries: impl IntoIterator<Item = &'e JournalEntry>) -> Self {
        let mut state = Self::default();
        for entry in entries {
            state.apply(entry);
        }
        state
    }

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
}

/// Reads a journal; returns its lines and how many bytes they are. A last line without a line break is what a power cut
/// leaves: it was never acted upon, and is dropped.
pub fn read(bytes: &[u8]) -> Result<(Vec<JournalLine>, usize), JournalReadError> {
    let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let broken = |line: usize, reason: String| JournalReadError::Broken { line: line + 1, reason };
    let mut lines = Vec::new();
    for (number, line) in bytes[..complete].split_inclusive(|byte| *byte == b'\n').enumerate() {
        if number == 0
            && let Ok(FirstLine { version }) = serde_json::from_slice(line)
            && version > VERSION
        {
            return Err(JournalReadError::Newer { version });
        }
        lines.push(serde_json::from_slice(line).map_err(|error| broken(number, error.to_string()))?);
    }
    match lines.first() {
        None | Some(JournalLine { entry: JournalEntry::Began { .. }, .. }) => Ok((lines, complete)),
        Some(_) => Err(broken(0, "expected the entry `began`: the journal's start is missing".to_owned())),
    }
}

/// What the first line of every version contains.
#[derive(Deserialize)]
struct FirstLine {
    #[serde(default = "first_version")]
    version: u32,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalReadError {
    /// A line that is not an entry.
    #[error("line {line} of the journal cannot be read: {reason}")]
    Broken {
        /// Counted from 1.
        line: usize,
        reason: String,
    },
    /// Written by a later mkimg.
    #[error("a newer mkimg wrote this journal: it is of version {version}, and this mkimg reads version {VERSION}")]
    Newer { version: u32 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_back_and_a_torn_last_line_is_dropped() {
        let lines = [
            began(),
            JournalLine { at: 1, entry: JournalEntry::Creating { role: DropletRole::Build } },
            JournalLine { at: 2, entry: JournalEntry::Created { role: DropletRole::Build, droplet: 7 } },
        ];
        let text = text(&lines);
        // Cut in the middle of a letter, or zeros where the disk had not been reached.
        for torn in [&b"{\"at\":3,\"entr\xc3"[..], &[0; 512], b""] {
            let (back, complete) = read(&[text.as_bytes(), torn].concat()).unwrap();
            assert_eq!((back.as_slice(), complete), (&lines[..], text.len()));
            let state = BakeState::replay(back.iter().map(|l| &l.entry));
            assert_eq!((state.build.id(), state.build.is_unsettled()), (Some(7), false));
        }
        assert_eq!(read(b"").unwrap(), (Vec::new(), 0));
    }

    #[test]
    fn a_broken_journal_and_one_of_a_newer_mkimg_are_told_apart() {
        let line_of = |bytes: &[u8]| match read(bytes).unwrap_err() {
            JournalReadError::Broken { line, .. } => line,
            newer @ JournalReadError::Newer { .. } => panic!("{newer}"),
        };
        let first = text(&[began()]);
        assert_eq!(line_of(b"nonsense\n"), 1);
        assert_eq!(line_of(format!("{first}\n").as_bytes()), 2);
        assert_eq!(line_of(format!("{first}\0\0\0\n").as_bytes()), 2);
        assert_eq!(line_of(b"{\"at\":1,\"entry\":\"off\"}\n"), 1);
        // A newer one may have another form altogether.
        let version = VERSION + 1;
        let newer = format!("{{\"version\":{version},\"entry\":\"started\"}}\n{{\"x\":1}}\n");
        assert_eq!(read(newer.as_bytes()).unwrap_err(), JournalReadError::Newer { version });
        // The first journals had no version.
        let old = first.replace(&format!("\"version\":{VERSION},"), "");
        assert!(old.len() < first.len());
        let mut expected = began();
        let JournalEntry::Began { version, .. } = &mut expected.entry else { panic!() };
        *version = 1;
        assert_eq!(read(old.as_bytes()).unwrap().0, [expected]);
    }

    fn began() -> JournalLine {
        let spec = crate::bake::tests::support::spec();
        let (api_url, account, document) = (String::new(), String::new(), String::new());
        let spec = Box::new(spec);
        let entry = JournalEntry::Began {
            version: VERSION,
            spec,
            api_url,
            account,
            document,
            stand_ins: false,
            artifacts: None,
        };
        JournalLine { at: 0, entry }
    }

    fn text(lines: &[JournalLine]) -> String {
        lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
    }

    /// What mkimg 0.1 wrote, byte for byte: it must be read, and written in the same way.
    #[test]
    fn journals_of_earlier_releases_keep_their_form() {
        const JOURNAL: &str = concat!(
            r#"{"at":1,"entry":"began","version":2,"spec":{"id":"19700101-000000-010203","deadline":10000,"droplet":{"#,
            r#""name":"build","region":"nyc3","size":"s-1vcpu-1gb","image":"debian-12-x64","vpc_uuid":null,"ipv6":false,"#,
            r#""monitoring":false,"droplet_agent":false,"ssh_keys":[],"tags":["mine"]},"snapshot":{"name":"product","#,
            r#""regions":["fra1"],"await_transfers":true,"tags":["release"]},"marker":"https","on_error":"destroy","#,
            r#""verify":true,"limits":{"create":60.0,"provision":300.0,"power_off":30.5,"snapshot":120.0,"#,
            r#""transfer":120.0,"verify":120.0,"destroy":60.0,"unreachable":45.0},"poll_ms":2000},"api_url":"local","#,
            r#""account":"me","document":"sha256:0","stand_ins":false,"artifacts":{"folder":"/a","port":80}}"#,
            "\n",
            r#"{"at":2,"entry":"creating","role":"build"}"#,
            "\n",
            r#"{"at":2,"entry":"create-refused","role":"build"}"#,
            "\n",
            r#"{"at":3,"entry":"created","role":"verification","droplet":7}"#,
            "\n",
            r#"{"at":4,"entry":"active","role":"build","address":"192.0.2.1"}"#,
            "\n",
            r#"{"at":5,"entry":"passed","role":"build","check":{"exit":0,"passed":8,"warnings":0,"failed":0,"findings":[]}}"#,
            "\n",
            r#"{"at":6,"entry":"off"}"#,
            "\n",
            r#"{"at":7,"entry":"snapshotting"}"#,
            "\n",
            r#"{"at":7,"entry":"snapshot-refused"}"#,
            "\n",
            r#"{"at":7,"entry":"snapshot-started","action":9}"#,
            "\n",
            r#"{"at":8,"entry":"snapshot","id":"10"}"#,
            "\n",
            r#"{"at":9,"entry":"tagging","tag":"release"}"#,
            "\n",
            r#"{"at":9,"entry":"tagged"}"#,
            "\n",
            r#"{"at":9,"entry":"transferring","region":"fra1"}"#,
            "\n",
            r#"{"at":9,"entry":"transferred","region":"fra1"}"#,
            "\n",
            r#"{"at":10,"entry":"whole"}"#,
            "\n",
            r#"{"at":11,"entry":"deleting-droplet","droplet":7}"#,
            "\n",
            r#"{"at":11,"entry":"droplet-gone","droplet":7}"#,
            "\n",
            r#"{"at":12,"entry":"deleting-snapshot","id":"10"}"#,
            "\n",
            r#"{"at":12,"entry":"snapshot-gone","id":"10"}"#,
            "\n",
            r#"{"at":13,"entry":"committing"}"#,
            "\n",
            r#"{"at":13,"entry":"committed"}"#,
            "\n",
            r#"{"at":14,"entry":"cleaning-up","failure":"why"}"#,
            "\n",
            r#"{"at":15,"entry":"halted","failure":"why","left":[{"kind":"snapshot","id":"10","why":"finished"}]}"#,
            "\n",
            r#"{"at":16,"entry":"ended","exit":4,"failure":"why","left":[{"kind":"droplet","id":7,"why":"kept"},"#,
            r#"{"kind":"unknown","tag":"mkimg:bake:x:1","why":"lost"}]}"#,
            "\n",
        );
        let (lines, bytes) = read(JOURNAL.as_bytes()).unwrap();
        assert_eq!((lines.len(), bytes), (25, JOURNAL.len()));
        assert_eq!(text(&lines), JOURNAL);
        let JournalEntry::Began { spec, .. } = &lines[0].entry else { panic!() };
        assert_eq!(spec.poll_interval, std::time::Duration::from_secs(2));
        assert_eq!(spec.limits.power_off, std::time::Duration::from_millis(30_500));
    }
}
