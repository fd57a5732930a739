//! The progress of a download, saved for the next process.
//!
//! The state of the hash is saved instead of the bytes: about 100 bytes that represent exactly the
//! bytes received. Records are written atomically, so two processes that download the same file
//! cannot corrupt them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};

use crate::model::{Pin, hexadecimal};
use crate::workspace::{FilePath, read_text, write_atomically};

/// Version of the record format. Records of other versions are ignored.
const VERSION: u32 = 1;

/// The bytes received so far, and the version of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct PartialDownload {
    pub(super) sum: Sha256,
    /// Bytes received.
    pub(super) received: u64,
    /// Bytes of the whole file, if the server has reported them.
    pub(super) size: Option<u64>,
    /// The value for `If-Range`: a strong `ETag`, else a `Last-Modified`. A download without one
    /// cannot be resumed.
    pub(super) validator: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    received: u64,
    size: Option<u64>,
    validator: String,
    /// State of the hash, in hexadecimal digits.
    state: String,
    /// Checksum of the other fields.
    proof: String,
}

impl Record {
    fn expected_proof(&self) -> String {
        let text = format!("{}\n{}\n{:?}\n{}\n{}", self.version, self.received, self.size, self.validator, self.state);
        hexadecimal(&Sha256::digest(text))
    }
}

impl PartialDownload {
    /// Loads the progress of an earlier process. Returns an empty download if the record is missing
    /// or invalid.
    pub(super) fn load(folder: &Path, url: &str) -> Self {
        Self::read(folder, url).unwrap_or_default()
    }

    fn read(folder: &Path, url: &str) -> Option<Self> {
        let text = read_text(&FilePath::typed(record_path(folder, url))).ok()?;
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

    /// Saves the progress. Errors are ignored: the next process then starts again.
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
            let _ = write_atomically(&record_path(folder, url), text.as_bytes());
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.size == Some(self.received)
    }

    pub(super) fn pin(&self) -> Pin {
        Pin { sha256: hexadecimal(&self.sum.clone().finalize()), size: self.received }
    }
}

/// Removes the record of a download.
pub(super) fn remove_saved(folder: &Path, url: &str) {
    let _ = std::fs::remove_file(record_path(folder, url));
}

/// Returns the path of a record. Its name is a hash, because the address may contain a secret.
fn record_path(folder: &Path, url: &str) -> PathBuf {
    folder.join(format!("{}.json", hexadecimal(&Sha256::digest(url))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(bytes: &[u8]) -> PartialDownload {
        let sum = Sha256::new_with_prefix(bytes);
        PartialDownload { sum, received: bytes.len() as u64, size: Some(9), validator: Some("\"1\"".to_owned()) }
    }

    #[test]
    fn hashes_resume_in_another_process() {
        let folder = tempfile::tempdir().unwrap();
        for cut in 0..=9 {
            partial(&b"123456789"[..cut]).save(folder.path(), "u");
            let mut back = PartialDownload::load(folder.path(), "u");
            assert_eq!(back.received, cut as u64);
            back.sum.update(&b"123456789"[cut..]);
            back.received = 9;
            assert_eq!(back.pin().sha256, hexadecimal(&Sha256::digest(b"123456789")));
            remove_saved(folder.path(), "u");
        }
        assert_eq!(PartialDownload::load(folder.path(), "u").received, 0);
    }

    #[test]
    fn incomplete_or_changed_records_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        partial(b"1234").save(folder.path(), "u");
        let file = record_path(folder.path(), "u");
        let text = std::fs::read_to_string(&file).unwrap();
        for cut in 0..text.len() {
            std::fs::write(&file, &text[..cut]).unwrap();
            assert_eq!(PartialDownload::load(folder.path(), "u").received, 0, "{cut}");
        }
        let changes =
            [("\"received\":4", "\"received\":5"), ("\"version\":1", "\"version\":2"), ("\"size\":9", "\"size\":8")];
        for (from, to) in changes {
            assert!(text.contains(from), "{text}");
            std::fs::write(&file, text.replace(from, to)).unwrap();
            assert_eq!(PartialDownload::load(folder.path(), "u").received, 0, "{to}");
        }
        std::fs::write(&file, &text).unwrap();
        assert_eq!(PartialDownload::load(folder.path(), "u").received, 4);
    }
}
