//! The document: its text, what each entry costs, and the limit.

use std::fmt;

use sha2::{Digest, Sha256};

use super::bake_entry::{BakeEntry, BakeEntryError};
use super::encoding::{Effort, Encoding, MIME};
use super::entries::{self, Entry, Frame};
use super::{BAKE_ENTRY_LIMIT, proof};
use crate::model::{Plan, Value, hexadecimal};
use crate::yaml;

/// A user-data document.
#[derive(Debug, Clone)]
pub struct Document {
    pub text: String,
    /// In the order of the document.
    pub entries: Vec<EntryStat>,
    /// Paths of the files that have no entry, because the runner carries them; empty unless the document would be over its limit.
    pub carried: Vec<String>,
    /// `sha256:` and 64 hexadecimal digits, of the text.
    pub digest: String,
    root: Value,
    origin: String,
}

/// What one `write_files` entry costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryStat {
    pub path: String,
    /// Bytes of the file on the machine.
    pub raw_bytes: usize,
    /// Bytes that the whole entry takes in the document.
    pub stored_bytes: usize,
    pub encoding: Encoding,
}

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("the document has {bytes} bytes, {} more than the limit of {limit}, with everything compressed:\n{}", .bytes - .limit, Listing(.entries))]
    OverLimit { bytes: usize, limit: usize, entries: Vec<EntryStat> },
    #[error("`cloud_config.{key}` conflicts with what mkimg writes")]
    Conflict { key: &'static str },
    #[error("`cloud_config.write_files` writes {path}, which the template writes too")]
    TwoSources { path: String },
    #[error(
        "`cloud_config` holds `mime-version:` near the beginning: cloud-init would take the document for a MIME message"
    )]
    LooksLikeMime,
    #[error("internal error: {entry} does not come back from the document as it went in: {difference}")]
    Proof { entry: String, difference: String },
}

impl RenderError {
    /// What to do next.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::OverLimit { .. } => {
                "make the largest files smaller, or let the droplet download them: see `artifacts:`; `mkimg render --limit none` prints it all the same"
            }
            Self::Conflict { .. } => "take it out of `cloud_config:`",
            Self::TwoSources { .. } => "take one of them out of the template",
            Self::LooksLikeMime => "put that text into a file of `files:`",
            Self::Proof { .. } => "please report this, with the file",
        }
    }
}

/// Shows entries by size, largest first.
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

/// The document of an image; `limit` in bytes.
pub fn render(plan: &Plan, limit: Option<usize>) -> Result<Document, RenderError> {
    let frame = entries::frame(plan)?;
    let entries = entries::image(plan);
    for file in &frame.more_files {
        let path = file.get("path").and_then(Value::as_str);
        if let Some(entry) = entries.iter().find(|entry| Some(entry.path.as_str()) == path) {
            return Err(RenderError::TwoSources { path: entry.path.clone() });
        }
    }
    fit(&plan.template, &frame, entries, limit)
}

/// The document that proves a fresh instance of the plan's snapshot.
pub fn verification_document(plan: &Plan) -> Result<Document, RenderError> {
    fit(&plan.template, &entries::verification_frame(), entries::verification(plan), Some(super::DOCUMENT_LIMIT))
}

/// Compresses the entries that save most until the document fits: first quickly, and where that is not enough, thoroughly. Where even
/// that is not enough, scripts lose their entries and travel in the runner's.
fn fit(template: &str, frame: &Frame, mut entries: Vec<Entry>, limit: Option<usize>) -> Result<Document, RenderError> {
    let origin = origin(template);
    let mut root = document_value(frame, &entries);
    let mut text = emit(&origin, &root);
    for effort in [Effort::Quick, Effort::Thorough] {
        let Some(limit) = limit.filter(|limit| text.len() > *limit) else { break };
        for (index, zipped) in savings(&entries, effort) {
            entries[index] = zipped;
            root = document_value(frame, &entries);
            text = emit(&origin, &root);
            if text.len() <= limit {
                break;
            }
        }
    }
    let mut carried = Vec::new();
    if limit.is_some_and(|limit| text.len() > limit) {
        (entries, carried) = entries::carried(entries);
        root = document_value(frame, &entries);
        text = emit(&origin, &root);
    }
    let stats: Vec<EntryStat> = entries.iter().map(stat).collect();
    if let Some(limit) = limit.filter(|limit| text.len() > *limit) {
        return Err(RenderError::OverLimit { bytes: text.len(), limit, entries: stats });
    }
    if text.chars().take(4096).collect::<String>().to_lowercase().contains(MIME) {
        return Err(RenderError::LooksLikeMime);
    }
    proof::check(&text, &root, &entries)?;
    let digest = format!("sha256:{}", hexadecimal(&Sha256::digest(text.as_bytes())));
    Ok(Document { text, entries: stats, carried, digest, root, origin })
}

/// The entries that are shorter when compressed with this effort, and where they stand; the largest saving first, of equal ones the
/// first in the document.
fn savings(entries: &[Entry], effort: Effort) -> Vec<(usize, Entry)> {
    let mut savings: Vec<(usize, usize, Entry)> = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.encoding != Encoding::GzipBase64(effort))
        .filter_map(|(index, entry)| {
            let zipped = entry.clone().encoded_as(Encoding::GzipBase64(effort));
            let saved = stored_bytes(entry).checked_sub(stored_bytes(&zipped))?;
            (saved > 0).then_some((saved, index, zipped))
        })
        .collect();
    savings.sort_by_key(|(saved, index, _)| (std::cmp::Reverse(*saved), *index));
    savings.into_iter().map(|(_, index, zipped)| (index, zipped)).collect()
}

/// The text of a value, under cloud-init's header and a comment.
fn emit(origin: &str, value: &Value) -> String {
    format!("#cloud-config\n{origin}{}", yaml::emit::document(&written(value)))
}

/// The comment that says where a document comes from: neither version nor time, so that it stays the same.
fn origin(template: &str) -> String {
    // A file's name may hold anything; a comment ends with its line and holds what YAML can print.
    let shown: String = template.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    format!("# Rendered by mkimg from {shown}: edit the template, its files and its scripts, not this document.\n")
}

/// As the emitter takes it. The template's reader lets nothing else through than what this knows.
fn written(value: &Value) -> yaml::emit::Value {
    use yaml::emit::{Map, Value as Written};
    match value {
        Value::Null => Written::Null,
        Value::Bool(flag) => Written::Bool(*flag),
        Value::Number(number) => number.as_i64().map_or_else(|| Written::Str(number.to_string()), Written::Int),
        Value::String(text) => Written::Str(text.clone()),
        Value::Sequence(items) => Written::list(items.iter().map(written)),
        Value::Mapping(mapping) => Written::Map(mapping.iter().fold(Map::new(), |map, (key, value)| {
            let key = key.as_str().unwrap_or_default();
            // Modes in quotes, as everybody writes them, even where YAML would not need any.
            let value = match value {
                Value::String(mode) if key == "permissions" => Written::Quoted(mode.clone()),
                value => written(value),
            };
            map.with(key, value)
        })),
        Value::Tagged(tagged) => written(&tagged.value),
    }
}

fn document_value(frame: &Frame, entries: &[Entry]) -> Value {
    let mut root = frame.head.clone();
    let files = entries.iter().map(Entry::value).chain(frame.more_files.iter().cloned());
    root.insert(Value::from("write_files"), Value::Sequence(files.collect()));
    Value::Mapping(root)
}

fn stat(entry: &Entry) -> EntryStat {
    EntryStat {
        path: entry.path.clone(),
        raw_bytes: entry.content.len(),
        stored_bytes: stored_bytes(entry),
        encoding: entry.encoding,
    }
}

/// Bytes that an entry takes in the document: what it adds to an otherwise empty list.
fn stored_bytes(entry: &Entry) -> usize {
    let list = |items: Vec<Value>| {
        Value::Mapping(crate::model::Mapping::from_iter([(Value::from("write_files"), Value::Sequence(items))]))
    };
    let one = emit("", &list(vec![entry.value()])).len();
    let two = emit("", &list(vec![entry.value(), entry.value()])).len();
    two - one
}

impl Document {
    /// The document that a bake sends: this one, and the bake's own entry at its end.
    pub fn with_bake_entry(&self, entry: &BakeEntry) -> Result<String, BakeEntryError> {
        let mut root = self.root.clone();
        if let Some(files) = root.get_mut("write_files").and_then(Value::as_sequence_mut) {
            files.push(entry.value());
        }
        let text = emit(&self.origin, &root);
        let Some(added) = text.strip_prefix(self.text.as_str()) else { return Err(BakeEntryError::NotAppended) };
        if added.len() > BAKE_ENTRY_LIMIT {
            return Err(BakeEntryError::TooLarge { bytes: added.len() });
        }
        entry.check(&text)?;
        Ok(text)
    }
}
