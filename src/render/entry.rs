//! One `write_files` entry: the file, and its content as text, base64, or gzip and base64.

use std::fmt;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder};

use crate::model::{Mapping, Mode, Owner, PlannedFile, Value};
use yaml11::emit::{Representation, representation};

/// What cloud-init searches in the first 4,096 characters of user-data, in any case, to recognize a
/// MIME message.
pub(super) const MIME_HEADER: &str = "mime-version:";

/// Limit of [`decode_content`]. A document has at most 64 KiB, so a larger file is a decompression
/// bomb.
const MAX_DECODED_BYTES: u64 = 64 << 20;

/// The `encoding` of a `write_files` entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Text,
    Base64,
    GzipBase64(Effort),
}

/// How much time to spend on compression. The format is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Microseconds for each kilobyte.
    Quick,
    /// About 2 ms for each kilobyte and 3 to 5 % smaller: for documents that would exceed the limit
    /// otherwise.
    Thorough,
}

impl Encoding {
    /// Returns cloud-init's name of the encoding.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Base64 => "b64",
            Self::GzipBase64(_) => "gz+b64",
        }
    }

    /// Returns the most readable encoding: text if YAML can represent it, else base64.
    #[must_use]
    pub fn readable(bytes: &[u8]) -> Self {
        if as_text(bytes).is_some() { Self::Text } else { Self::Base64 }
    }

    /// Encodes the bytes. Returns `None` for text that YAML cannot represent.
    #[must_use]
    pub fn encode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Text => as_text(bytes).map(str::to_owned),
            Self::Base64 => Some(STANDARD.encode(bytes)),
            Self::GzipBase64(effort) => Some(STANDARD.encode(gzip(bytes, effort)?)),
        }
    }
}

/// Returns the bytes as text if a reviewer can read it and YAML represents it without loss.
///
/// cloud-init takes user-data with `mime-version:` near the beginning for a MIME message, so a file
/// that contains it (a mail template) is not written as text.
fn as_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (representation(bytes) == Representation::Text && !text.to_ascii_lowercase().contains(MIME_HEADER)).then_some(text)
}

/// Compresses without a time or file name, so that equal input gives equal bytes.
fn gzip(bytes: &[u8], effort: Effort) -> Option<Vec<u8>> {
    match effort {
        Effort::Quick => {
            let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
            encoder.write_all(bytes).ok()?;
            encoder.finish().ok()
        }
        Effort::Thorough => {
            let mut zipped = Vec::new();
            zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, bytes, &mut zipped).ok()?;
            Some(zipped)
        }
    }
}

/// Decodes the content of a `write_files` entry as cloud-init does. Returns `None` if it cannot be
/// decoded.
#[must_use]
pub fn decode_content(encoding: &str, content: &[u8]) -> Option<Vec<u8>> {
    // cloud-init ignores the case of the encoding and treats unknown encodings as text.
    match encoding.trim().to_lowercase().as_str() {
        "gz" | "gzip" => gunzip(content),
        "b64" | "base64" => decode_base64(content),
        "gz+base64" | "gzip+base64" | "gz+b64" | "gzip+b64" => gunzip(&decode_base64(content)?),
        _ => Some(content.to_vec()),
    }
}

fn decode_base64(content: &[u8]) -> Option<Vec<u8>> {
    let packed: Vec<u8> = content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).ok()
}

fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).take(MAX_DECODED_BYTES + 1).read_to_end(&mut out).ok()?;
    (out.len() as u64 <= MAX_DECODED_BYTES).then_some(out)
}

/// One `write_files` entry.
#[derive(Debug, Clone)]
pub(super) struct DocumentEntry {
    pub path: String,
    pub owner: Owner,
    pub mode: Mode,
    /// Whether cloud-init writes it after it has created the users.
    pub is_deferred: bool,
    pub content: Vec<u8>,
    pub encoding: Encoding,
    /// The encoded content. Kept because thorough compression is too slow to repeat.
    encoded: String,
}

impl DocumentEntry {
    pub(super) fn new(path: impl Into<String>, mode: Mode, content: Vec<u8>) -> Self {
        let encoding = Encoding::readable(&content);
        let encoded = encoding.encode(&content).unwrap_or_default();
        Self { path: path.into(), owner: Owner::root(), mode, is_deferred: false, content, encoding, encoded }
    }

    pub(super) fn from_file(file: &PlannedFile) -> Self {
        let entry = Self::new(file.path.clone(), file.mode, file.content.clone());
        Self { owner: file.owner.clone(), is_deferred: file.is_deferred(), ..entry }
    }

    /// Changes the encoding, unless it cannot represent the content.
    pub(super) fn encoded_as(self, encoding: Encoding) -> Self {
        match encoding.encode(&self.content) {
            Some(encoded) => Self { encoding, encoded, ..self },
            None => self,
        }
    }

    /// Returns the entry as cloud-init reads it.
    pub(super) fn value(&self) -> Value {
        let mut mapping = Mapping::new();
        let mut set = |key: &str, value: Value| mapping.insert(Value::from(key), value);
        set("path", Value::from(self.path.as_str()));
        set("owner", Value::from(self.owner.to_string()));
        set("permissions", Value::from(self.mode.to_string()));
        if self.is_deferred {
            set("defer", Value::Bool(true));
        }
        if self.encoding != Encoding::Text {
            set("encoding", Value::from(self.encoding.name()));
        }
        set("content", Value::from(self.encoded.as_str()));
        Value::Mapping(mapping)
    }
}

/// The size of one `write_files` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryStat {
    pub path: String,
    /// Bytes of the file on the machine.
    pub raw_bytes: usize,
    /// Bytes of the whole entry in the document.
    pub stored_bytes: usize,
    pub encoding: Encoding,
}

/// Shows entries as a table, largest first.
pub struct Listing<'a>(pub &'a [EntryStat]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries: Vec<&EntryStat> = self.0.iter().collect();
        entries.sort_by(|left, right| (right.stored_bytes, &left.path).cmp(&(left.stored_bytes, &right.path)));
        write!(formatter, "  {:>8}  {:>8}  {:<10}  path", "stored", "raw", "encoding")?;
        for entry in entries {
            let EntryStat { path, raw_bytes, stored_bytes, encoding } = entry;
            write!(formatter, "\n  {stored_bytes:>8}  {raw_bytes:>8}  {:<10}  {path}", encoding.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_content_is_text() {
        for text in ["", "a\tb\n", "é日本\n", "{{ x }}", "'\"#: &*!|>%@`", "---\n...\n", "\n\n  x"] {
            assert_eq!(Encoding::readable(text.as_bytes()), Encoding::Text, "{text:?}");
        }
    }

    #[test]
    fn other_content_is_base64() {
        for bytes in
            [&b"\0"[..], b"\xff", b"a\r\n", b"\x1b[0m", b"\xef\xbb\xbfx", b"MIME-Version: 1.0\n", "\u{85}".as_bytes()]
        {
            assert_eq!(Encoding::readable(bytes), Encoding::Base64, "{bytes:?}");
        }
    }

    #[test]
    fn gzip_has_no_time() {
        for effort in [Effort::Quick, Effort::Thorough] {
            assert_eq!(gzip(b"x", effort).unwrap()[3..8], [0, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn thorough_compression_is_smaller() {
        let text: Vec<u8> =
            (0..2_000_u32).flat_map(|n| format!("line {} of a file\n", n * n % 977).into_bytes()).collect();
        let [quick, thorough] = [Effort::Quick, Effort::Thorough].map(|effort| gzip(&text, effort).unwrap());
        assert!(thorough.len() < quick.len(), "{} and {}", thorough.len(), quick.len());
        assert_eq!(decode_content("gz", &thorough), Some(text));
    }
}
