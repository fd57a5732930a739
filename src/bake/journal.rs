//! What a bake writes down, and what can be read back from it.
//!
//! Each entry is one JSON object on one line, with `at` (seconds since 1970). An entry of intent (`creating`,
//! `snapshotting`, `deleting-…`) is on the disk before its request is sent, its result after. [`Ledger`] is the sum of
//! the entries: the machine decides by it alone, so that a bake taken up from its journal goes on as the first one would.
//!
//! A new entry is a variant of [`Entry`] and an arm of [`Ledger::apply`]; an older mkimg cannot go on with a journal that
//! has one, so it raises [`VERSION`].

mod entry;
mod ledger;

use serde::{Deserialize, Serialize};

pub use entry::{Artifacts, Entry, Role};
pub use ledger::{DropletRecord, Ledger};

/// The form of the journal; in its first line.
pub const VERSION: u32 = 2;

fn first_version() -> u32 {
    1
}

/// Where a bake is written down.
pub trait Journal: Send + Sync {
    /// Appends an entry; it is on the disk when this returns.
    fn append(&self, at: u64, entry: &Entry) -> Result<(), JournalError>;
    /// Keeps a file beside the journal and says where it lies.
    fn save(&self, name: &str, contents: &[u8]) -> Result<String, JournalError>;
}

/// The journal could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot write {path}: {reason}")]
pub struct JournalError {
    /// Which file.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// One line of the journal: an entry and when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Seconds since 1970.
    pub at: u64,
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
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
        let version = VERSION + 1;
        let newer = format!("{{\"version\":{version},\"entry\":\"started\"}}\n{{\"x\":1}}\n");
        assert_eq!(read(newer.as_bytes()).unwrap_err(), BadJournal::Newer { version });
        // The first journals had no version.
        let old = first.replace(&format!("\"version\":{VERSION},"), "");
        assert!(old.len() < first.len());
        let mut expected = began();
        let Entry::Began { version, .. } = &mut expected.entry else { panic!() };
        *version = 1;
        assert_eq!(read(old.as_bytes()).unwrap().0, [expected]);
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
