//! How far a download came, and how that is remembered from one process to the next.
//!
//! Not the bytes are kept but the state of their hash: it stands for exactly the bytes that came, in some 100 bytes. Each
//! record is whole or not there (it is renamed into place), so two processes that download the same file cannot mix.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};

use crate::model::{Pin, hexadecimal};
use crate::workspace::write_atomically;

/// Of the record's form. Another version of mkimg does not guess what it means.
const VERSION: u32 = 1;

/// What came, and of which version of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Came {
    pub(super) sum: Sha256,
    /// Bytes.
    pub(super) received: u64,
    /// Bytes of the whole file, if the server has said so.
    pub(super) size: Option<u64>,
    /// What `If-Range` takes: a strong `ETag`, else a `Last-Modified`. Without one nothing can be gone on with.
    pub(super) validator: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    received: u64,
    size: Option<u64>,
    validator: String,
    /// Of the hash, in hexadecimal digits.
    state: String,
    /// Of the four fields above: half a record is none.
    proof: String,
}

impl Record {
    fn expected_proof(&self) -> String {
        let text = format!("{}\n{}\n{:?}\n{}\n{}", self.version, self.received, self.size, self.validator, self.state);
        hexadecimal(&Sha256::digest(text))
    }
}

impl Came {
    /// What a process before this one has received; nothing where that is not known for certain.
    pub(super) fn load(folder: &Path, url: &str) -> Self {
        Self::read(folder, url).unwrap_or_default()
    }

    fn read(folder: &Path, url: &str) -> Option<Self> {
        let text = crate::workspace::read_text(&path(folder, url)).ok()?;
        let record: Record = serde_json::from_str(&text).ok()?;
        if record.version != VERSION || record.proof != record.expected_proof() {
            return None;
        }
        let bytes: Vec<u8> = (0..record.state.len() / 2)
            .map(|at| u8::from_str_radix(record.state.get(2 * at..2 * at + 2)?, 16).ok())
            .collect::<Option<_>>()?;
        let state = SerializedState::<Sha256>::try_from(bytes.as_slice()).ok()?;
        Some(Self {
            sum: Sha256::deserialize(&state).ok()?,
            received: record.received,
            size: record.size,
            validator: Some(record.validator),
        })
    }

    /// Writes it down. Where that cannot be done, the download begins again in the next process: no more than that.
    pub(super) fn save(&self, folder: &Path, url: &str) {
        let Some(validator) = self.validator.clone().filter(|_| self.received > 0) else { return };
        let mut record = Record {
            version: VERSION,
            received: self.received,
            size: self.size,
            validator,
            state: hexadecimal(&self.sum.serialize()),
            proof: String::new(),
        };
        record.proof = record.expected_proof();
        let Ok(text) = serde_json::to_string(&record) else { return };
        if std::fs::create_dir_all(folder).is_ok() {
            let _ = write_atomically(&path(folder, url), text.as_bytes());
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.size == Some(self.received)
    }

    pub(super) fn pin(&self) -> Pin {
        Pin { sha256: hexadecimal(&self.sum.clone().finalize()), size: self.received }
    }
}

/// Removes the record.
pub(super) fn forget(folder: &Path, url: &str) {
    let _ = std::fs::remove_file(path(folder, url));
}

/// The address itself may hold a secret: only its sum is a name.
fn path(folder: &Path, url: &str) -> PathBuf {
    folder.join(format!("{}.json", hexadecimal(&Sha256::digest(url))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(bytes: &[u8]) -> Came {
        let sum = Sha256::new_with_prefix(bytes);
        Came { sum, received: bytes.len() as u64, size: Some(9), validator: Some("\"1\"".to_owned()) }
    }

    #[test]
    fn a_hash_goes_on_in_another_process() {
        let folder = tempfile::tempdir().unwrap();
        for cut in 0..=9 {
            came(&b"123456789"[..cut]).save(folder.path(), "u");
            let mut back = Came::load(folder.path(), "u");
            assert_eq!(back.received, cut as u64);
            back.sum.update(&b"123456789"[cut..]);
            back.received = 9;
            assert_eq!(back.pin().sha256, hexadecimal(&Sha256::digest(b"123456789")));
            forget(folder.path(), "u");
        }
        assert_eq!(Came::load(folder.path(), "u").received, 0);
    }

    #[test]
    fn a_record_that_is_not_whole_or_was_changed_is_none() {
        let folder = tempfile::tempdir().unwrap();
        came(b"1234").save(folder.path(), "u");
        let file = path(folder.path(), "u");
        let text = std::fs::read_to_string(&file).unwrap();
        for cut in 0..text.len() {
            std::fs::write(&file, &text[..cut]).unwrap();
            assert_eq!(Came::load(folder.path(), "u").received, 0, "{cut}");
        }
        let changes =
            [("\"received\":4", "\"received\":5"), ("\"version\":1", "\"version\":2"), ("\"size\":9", "\"size\":8")];
        for (from, to) in changes {
            assert!(text.contains(from), "{text}");
            std::fs::write(&file, text.replace(from, to)).unwrap();
            assert_eq!(Came::load(folder.path(), "u").received, 0, "{to}");
        }
        std::fs::write(&file, &text).unwrap();
        assert_eq!(Came::load(folder.path(), "u").received, 4);
    }
}
