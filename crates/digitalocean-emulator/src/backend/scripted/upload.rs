//! Receives a bake's upload, as the runner does: an index of one line of JSON, then the contents of its files. What has the
//! sum that was announced is forgotten again.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::support::hexadecimal;

/// An index for the largest image is far smaller.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// A part of the upload: size and sum.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Part {
    size: u64,
    /// 64 hexadecimal digits.
    sha256: String,
}

/// An upload under way.
#[derive(Debug)]
pub(super) struct Upload {
    /// Where the next chunk begins.
    next: u64,
    /// The rest of the current part, its expected sum, and the sum so far.
    part: Part,
    sum: Sha256,
    /// The index, while it is received.
    index: Option<Vec<u8>>,
    /// The parts after this one, the next one last.
    rest: Vec<Part>,
}

impl Upload {
    /// An upload that begins with this index.
    pub(super) fn new(index: Part) -> Self {
        Self { next: 0, part: index, sum: Sha256::new(), index: Some(Vec::new()), rest: Vec::new() }
    }

    /// Where the next chunk begins.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Takes a chunk if it is the next one. Returns whether the upload is complete.
    pub(super) fn accept(&mut self, offset: u64, mut chunk: &[u8]) -> Result<bool, String> {
        if offset != self.next {
            return Ok(false);
        }
        loop {
            let size = usize::try_from(self.part.size).unwrap_or(usize::MAX).min(chunk.len());
            let (data, after) = chunk.split_at(size);
            chunk = after;
            self.next += size as u64;
            self.part.size -= size as u64;
            self.sum.update(data);
            if let Some(index) = &mut self.index {
                index.extend_from_slice(data);
                if index.len() as u64 > MAX_INDEX_BYTES {
                    return Err("the index of the upload is too long".to_owned());
                }
            }
            if self.part.size > 0 {
                return Ok(false);
            }
            if self.end_part()? {
                return if chunk.is_empty() { Ok(true) } else { Err("the upload goes on after its end".to_owned()) };
            }
        }
    }

    /// Checks the part's sum and begins the next one. Returns whether this was the last.
    fn end_part(&mut self) -> Result<bool, String> {
        let sum = hexadecimal(&std::mem::take(&mut self.sum).finalize());
        if sum != self.part.sha256 {
            return Err(format!("a part of the upload has the sum {sum}, not {}", self.part.sha256));
        }
        if let Some(index) = self.index.take() {
            self.rest = serde_json::from_slice(&index).map_err(|error| format!("the upload's index: {error}"))?;
            self.rest.reverse();
        }
        match self.rest.pop() {
            Some(part) => self.part = part,
            None => return Ok(true),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(content: &[u8]) -> Part {
        let sha256 = hexadecimal(&Sha256::digest(content));
        Part { size: content.len() as u64, sha256 }
    }

    fn index(contents: &[&[u8]]) -> Vec<u8> {
        let parts = contents.iter().map(|content| part(content));
        let parts = parts.map(|part| serde_json::json!({"path": "/x", "size": part.size, "sha256": part.sha256}));
        (serde_json::json!(parts.collect::<Vec<_>>()).to_string() + "\n").into_bytes()
    }

    #[test]
    fn chunks_of_any_size_are_received() {
        let contents: [&[u8]; 4] = [b"hello", b"", b"a longer content", b""];
        let index = index(&contents);
        let stream = [index.as_slice(), contents.concat().as_slice()].concat();
        for size in [1, 3, 64, index.len(), stream.len()] {
            let mut upload = Upload::new(part(&index));
            let mut complete = false;
            for chunk in stream.chunks(size) {
                assert!(!complete);
                let offset = upload.next();
                // Another offset changes nothing.
                assert_eq!((upload.accept(offset + 1, chunk), upload.next()), (Ok(false), offset));
                complete = upload.accept(offset, chunk).unwrap();
            }
            assert!(complete, "{size}");
        }
    }

    #[test]
    fn what_was_not_announced_is_refused() {
        let content: [&[u8]; 1] = [b"hello"];
        let index = index(&content);
        let sent =
            |index_sent: &[u8], content: &[u8]| Upload::new(part(&index)).accept(0, &[index_sent, content].concat());
        assert_eq!(sent(&index, b"hello"), Ok(true));
        assert_eq!(sent(&index, b"hell"), Ok(false));
        assert!(sent(&index, b"hallo").unwrap_err().contains("has the sum"));
        assert!(sent(&index, b"hello!").unwrap_err().contains("goes on"));
        assert!(sent(&index[1..], b"hello").unwrap_err().contains("has the sum"));
        assert!(Upload::new(part(b"{")).accept(0, b"{").unwrap_err().contains("index"));
    }
}
