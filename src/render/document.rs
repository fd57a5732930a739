//! The document: its text, the size of each entry, and the limit.

use std::cmp::Reverse;

use sha2::{Digest as _, Sha256};
use yaml11::emit;

use super::bake_entry::BakeEntry;
use super::entry::{DocumentEntry, Effort, Encoding, EntryStat, MIME_HEADER};
use super::error::{BakeEntryError, RenderError};
use super::layout::{self, Frame};
use super::read_back;
use crate::model::{Mapping, Plan, Value, hexadecimal};

/// The user-data limit of DigitalOcean in bytes.
pub const USER_DATA_LIMIT: usize = 65_536;

/// Bytes of the document that are reserved for the bake's own entry.
pub const BAKE_ENTRY_LIMIT: usize = 2_048;

/// The limit of a document in bytes, unless the user sets another one.
pub const DOCUMENT_LIMIT: usize = USER_DATA_LIMIT - BAKE_ENTRY_LIMIT;

/// A user-data document.
#[derive(Debug, Clone)]
pub struct RenderedDocument {
    pub text: String,
    /// In the order of the document.
    pub entries: Vec<EntryStat>,
    /// Paths of the files that are embedded in the runner's program, to keep the document within
    /// its limit.
    pub embedded: Vec<String>,
    /// `sha256:` and 64 hexadecimal digits, of the text.
    pub digest: String,
    root: Value,
    comment: String,
}

/// Renders the document of an image; `limit` is in bytes.
///
/// # Errors
///
/// Fails if the document exceeds the limit or `cloud_config` conflicts with what mkimg writes.
pub fn render(plan: &Plan, limit: Option<usize>) -> Result<RenderedDocument, RenderError> {
    let frame = layout::image_frame(plan)?;
    let entries = layout::image_entries(plan);
    for file in &frame.more_files {
        let path = file.get("path").and_then(Value::as_str);
        if let Some(entry) = entries.iter().find(|entry| Some(entry.path.as_str()) == path) {
            return Err(RenderError::TwoSources { path: entry.path.clone() });
        }
    }
    Draft::new(&plan.template, &frame, entries).fit(limit)
}

/// Renders the document that verifies a fresh instance of the plan's snapshot.
///
/// # Errors
///
/// Fails if the document exceeds the limit.
pub fn verification_document(plan: &Plan) -> Result<RenderedDocument, RenderError> {
    let entries = layout::verification_entries(plan);
    Draft::new(&plan.template, &layout::verification_frame(), entries).fit(Some(DOCUMENT_LIMIT))
}

/// A document whose encodings are not final.
struct Draft<'a> {
    comment: String,
    frame: &'a Frame,
    entries: Vec<DocumentEntry>,
    root: Value,
    text: String,
}

impl<'a> Draft<'a> {
    fn new(template: &str, frame: &'a Frame, entries: Vec<DocumentEntry>) -> Self {
        let (root, text) = (Value::Null, String::new());
        let mut draft = Self { comment: origin_comment(template), frame, entries, root, text };
        draft.update();
        draft
    }

    /// Writes the text again after a change of the entries.
    fn update(&mut self) {
        let mut root = self.frame.head.clone();
        let files = self.entries.iter().map(DocumentEntry::value).chain(self.frame.more_files.iter().cloned());
        root.insert(Value::from("write_files"), Value::Sequence(files.collect()));
        self.root = Value::Mapping(root);
        self.text = to_text(&self.comment, &self.root);
    }

    /// Compresses the entries with the largest savings until the document fits: first quickly, then
    /// thoroughly. If that is not enough, moves scripts into the runner's program.
    fn fit(mut self, limit: Option<usize>) -> Result<RenderedDocument, RenderError> {
        let is_over = |text: &str| limit.is_some_and(|limit| text.len() > limit);
        for effort in [Effort::Quick, Effort::Thorough] {
            if !is_over(&self.text) {
                break;
            }
            for (index, zipped) in savings(&self.entries, effort) {
                self.entries[index] = zipped;
                self.update();
                if !is_over(&self.text) {
                    break;
                }
            }
        }
        let mut embedded = Vec::new();
        if is_over(&self.text) {
            (self.entries, embedded) = layout::embed_in_runner(self.entries);
            self.update();
        }
        let Self { comment, entries, root, text, .. } = self;
        let stats: Vec<EntryStat> = entries.iter().map(entry_stat).collect();
        if let Some(limit) = limit.filter(|limit| text.len() > *limit) {
            return Err(RenderError::OverLimit { bytes: text.len(), limit, entries: stats });
        }
        if text.chars().take(4096).collect::<String>().to_lowercase().contains(MIME_HEADER) {
            return Err(RenderError::LooksLikeMime);
        }
        read_back::verify(&text, &root, &entries)?;
        let digest = format!("sha256:{}", hexadecimal(&Sha256::digest(text.as_bytes())));
        Ok(RenderedDocument { text, entries: stats, embedded, digest, root, comment })
    }
}

/// Returns the entries that compression makes smaller, with their index. The largest saving comes
/// first; equal savings are in the order of the document.
fn savings(entries: &[DocumentEntry], effort: Effort) -> Vec<(usize, DocumentEntry)> {
    let encoding = Encoding::GzipBase64(effort);
    let mut savings: Vec<(usize, usize, DocumentEntry)> = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.encoding != encoding)
        .filter_map(|(index, entry)| {
            let zipped = entry.clone().encoded_as(encoding);
            let saved = stored_bytes(entry).checked_sub(stored_bytes(&zipped))?;
            (saved > 0).then_some((saved, index, zipped))
        })
        .collect();
    savings.sort_by_key(|(saved, index, _)| (Reverse(*saved), *index));
    savings.into_iter().map(|(_, index, zipped)| (index, zipped)).collect()
}

/// Writes a value as YAML, under cloud-init's header and a comment.
fn to_text(comment: &str, value: &Value) -> String {
    format!("#cloud-config\n{comment}{}", emit::document(&yaml_value(value)))
}

/// Returns the comment that names the template. It contains neither version nor time, so that equal
/// input gives equal bytes.
fn origin_comment(template: &str) -> String {
    // A comment cannot contain line breaks or control characters.
    let shown: String = template.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    format!("# Rendered by mkimg from {shown}: edit the template, its files and its scripts, not this document.\n")
}

/// Converts a value for the YAML emitter. The template reader accepts no other kinds of values.
fn yaml_value(value: &Value) -> emit::Value {
    match value {
        Value::Null => emit::Value::Null,
        Value::Bool(flag) => emit::Value::Bool(*flag),
        Value::Number(number) => number.as_i64().map_or_else(|| emit::Value::Str(number.to_string()), emit::Value::Int),
        Value::String(text) => emit::Value::Str(text.clone()),
        Value::Sequence(items) => emit::Value::list(items.iter().map(yaml_value)),
        Value::Mapping(mapping) => emit::Value::Map(mapping.iter().fold(emit::Map::new(), |map, (key, value)| {
            let key = key.as_str().unwrap_or_default();
            // Modes are quoted by convention, even where YAML does not need it.
            let value = match value {
                Value::String(mode) if key == "permissions" => emit::Value::Quoted(mode.clone()),
                value => yaml_value(value),
            };
            map.with(key, value)
        })),
        Value::Tagged(tagged) => yaml_value(&tagged.value),
    }
}

fn entry_stat(entry: &DocumentEntry) -> EntryStat {
    EntryStat {
        path: entry.path.clone(),
        raw_bytes: entry.content.len(),
        stored_bytes: stored_bytes(entry),
        encoding: entry.encoding,
    }
}

/// Returns the bytes that an entry adds to a document.
fn stored_bytes(entry: &DocumentEntry) -> usize {
    let size = |count: usize| {
        let files = Value::Sequence(vec![entry.value(); count]);
        to_text("", &Value::Mapping(Mapping::from_iter([(Value::from("write_files"), files)]))).len()
    };
    size(2) - size(1)
}

impl RenderedDocument {
    /// Returns the text that a bake sends: this document with the bake's own entry at the end.
    ///
    /// # Errors
    ///
    /// Fails if the entry is larger than the space that is reserved for it.
    pub fn with_bake_entry(&self, entry: &BakeEntry) -> Result<String, BakeEntryError> {
        let mut root = self.root.clone();
        if let Some(files) = root.get_mut("write_files").and_then(Value::as_sequence_mut) {
            files.push(entry.value());
        }
        let text = to_text(&self.comment, &root);
        let Some(added) = text.strip_prefix(self.text.as_str()) else { return Err(BakeEntryError::NotAppended) };
        if added.len() > BAKE_ENTRY_LIMIT {
            return Err(BakeEntryError::TooLarge { bytes: added.len() });
        }
        entry.verify(&text)?;
        Ok(text)
    }
}
