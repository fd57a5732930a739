//! One file of a document: a `write_files` entry, or a member of the bundle.

use std::fmt;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::bundle::Member;
use super::document::{Placement, UploadedFile};
use crate::model::{Content, Mapping, Mode, Owner, PlannedFile, Value};
use yaml11::emit::{Representation, representation};

/// What cloud-init searches in the first 4,096 characters of user-data, in any case, to recognize a
/// MIME message.
pub(super) const MIME_HEADER: &str = "mime-version:";

/// Limit of [`decode_content`]. A document has at most 64 KiB, so a larger file is a decompression
/// bomb.
const MAX_DECODED_BYTES: u64 = 64 << 20;

/// How a document contains a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A `write_files` entry with the text.
    Text,
    /// A `write_files` entry with base64.
    Base64,
    /// A member of the bundle.
    Bundle,
    /// Not at all: a bake uploads it.
    Upload,
}

impl Encoding {
    /// Returns the name in statistics: cloud-init's, `bundle` or `upload`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Base64 => "b64",
            Self::Bundle => "bundle",
            Self::Upload => "upload",
        }
    }

    /// Returns the most readable encoding: text if YAML can represent it, else base64.
    ///
    /// cloud-init takes user-data with `mime-version:` near the beginning for a MIME message, so a
    /// file that contains it (a mail template) is not written as text.
    #[must_use]
    pub fn readable(bytes: &[u8]) -> Self {
        let is_text = representation(bytes) == Representation::Text && !contains_mime_header(bytes);
        if is_text { Self::Text } else { Self::Base64 }
    }
}

fn contains_mime_header(bytes: &[u8]) -> bool {
    let header = MIME_HEADER.as_bytes();
    bytes.windows(header.len()).any(|window| window.eq_ignore_ascii_case(header))
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

/// A file of a document.
#[derive(Debug, Clone)]
pub(super) struct DocumentEntry {
    pub path: String,
    pub owner: Owner,
    pub mode: Mode,
    /// Whether it is written after cloud-init has created the users.
    pub is_deferred: bool,
    /// Whether it is in the bundle; `None` if that depends on the room in the document.
    pub bundle: Option<bool>,
    /// Whether it is mkimg's own: no one reviews it, and no one can make it smaller.
    pub is_own: bool,
    /// Path of its source, relative to the project; empty if it has none.
    pub source: String,
    pub content: Content,
}

impl DocumentEntry {
    pub(super) fn new(path: impl Into<String>, mode: Mode, content: Content) -> Self {
        Self {
            path: path.into(),
            owner: Owner::root(),
            mode,
            is_deferred: false,
            bundle: None,
            is_own: false,
            source: String::new(),
            content,
        }
    }

    /// An entry of mkimg's own.
    pub(super) fn own(path: &str, content: String) -> Self {
        Self { is_own: true, ..Self::new(path, Mode(0o600), Content::Loaded(content.into_bytes())) }
    }

    pub(super) fn from_file(file: &PlannedFile) -> Self {
        let entry = Self::new(file.path.clone(), file.mode, file.content.clone());
        let (owner, source) = (file.owner.clone(), file.source.clone());
        Self { owner, is_deferred: file.is_deferred(), bundle: file.bundle, source, ..entry }
    }

    /// Returns the content; nothing, if it is not loaded.
    pub(super) fn bytes(&self) -> &[u8] {
        self.content.loaded().unwrap_or_default()
    }

    /// Returns the `write_files` entry as cloud-init reads it.
    pub(super) fn value(&self) -> Value {
        let mut mapping = Mapping::new();
        let mut set = |key: &str, value: Value| mapping.insert(Value::from(key), value);
        set("path", Value::from(self.path.as_str()));
        set("owner", Value::from(self.owner.to_string()));
        set("permissions", Value::from(self.mode.to_string()));
        if self.is_deferred {
            set("defer", Value::Bool(true));
        }
        match (Encoding::readable(self.bytes()), std::str::from_utf8(self.bytes())) {
            (Encoding::Text, Ok(text)) => set("content", Value::from(text)),
            _ => {
                set("encoding", Value::from(Encoding::Base64.name()));
                set("content", Value::from(STANDARD.encode(self.bytes())))
            }
        };
        Value::Mapping(mapping)
    }

    /// Returns the readable placement, unless the template says otherwise.
    pub(super) fn largest_placement(&self) -> Placement {
        if self.bundle == Some(true) { Placement::Bundle } else { Placement::Readable }
    }

    /// Returns the bundle, unless the template says otherwise.
    pub(super) fn smallest_placement(&self) -> Placement {
        if self.bundle == Some(false) { Placement::Readable } else { Placement::Bundle }
    }

    pub(super) fn may_be_uploaded(&self) -> bool {
        !self.is_own && (self.bundle != Some(false) || self.content.loaded().is_none())
    }

    pub(super) fn upload(&self) -> UploadedFile {
        UploadedFile {
            path: self.path.clone(),
            source: self.source.clone(),
            owner: self.owner.clone(),
            mode: self.mode,
            content: self.content.clone(),
        }
    }

    pub(super) fn upload_stat(&self) -> EntryStat {
        let (path, raw_bytes) = (self.path.clone(), self.content.size());
        EntryStat { path, raw_bytes, stored_bytes: 0, encoding: Encoding::Upload }
    }

    pub(super) fn member(&self) -> Member {
        Member {
            path: self.path.clone(),
            mode: self.mode.to_string(),
            owner: self.owner.to_string(),
            is_deferred: self.is_deferred,
            content: self.bytes().to_vec(),
        }
    }
}

/// The size of one file of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryStat {
    pub path: String,
    /// Bytes of the file on the machine.
    pub raw_bytes: u64,
    /// Bytes of the whole entry in the document. Of a member of the bundle: its share, by its size.
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
}
