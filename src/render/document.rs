//! The document: which files are readable in it, which travel in the bundle, and the limit.
//!
//! Files are `write_files` entries as long as the document fits. Otherwise the small ones stay
//! readable and the others travel in the bundle, which always contains the runner.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use yaml11::emit;

use super::bake_entry::BakeEntry;
use super::bundle::{self, Effort, MAX_BUNDLE_CHARACTERS, UNBUNDLE};
use super::entry::{DocumentEntry, Encoding, EntryStat, MIME_HEADER};
use super::error::{BakeEntryError, RenderError};
use super::layout::{self, Frame};
use super::read_back;
use crate::model::{Plan, Value, hexadecimal};

/// The user-data limit of DigitalOcean in bytes.
pub const USER_DATA_LIMIT: usize = 65_536;

/// Bytes of the document that are reserved for the bake's own entry: the half of the runner that
/// only a bake needs, and at most 2 KiB for the rest.
pub const BAKE_ENTRY_LIMIT: usize = 12_800;

/// The limit of a document in bytes, unless the user sets another one.
pub const DOCUMENT_LIMIT: usize = USER_DATA_LIMIT - BAKE_ENTRY_LIMIT;

/// The best compression is never smaller than this share of an estimate, in percent.
const MIN_PERCENT_OF_ESTIMATE: usize = 70;

/// In what a document is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Text,
    /// cloud-init decompresses user-data by itself. For providers that take bytes.
    Gzip,
}

impl Container {
    /// Returns what is sent for a text. Equal texts give equal bytes.
    #[must_use]
    pub fn pack(self, text: &str) -> Vec<u8> {
        if self == Self::Text {
            return text.as_bytes().to_vec();
        }
        let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
        // Writing to memory does not fail.
        let _ = encoder.write_all(text.as_bytes());
        encoder.finish().unwrap_or_default()
    }
}

/// What a document is rendered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Maximum size in bytes of what the container holds.
    pub limit: Option<usize>,
    pub container: Container,
}

impl Target {
    /// DigitalOcean, with room for what a bake adds.
    pub const DIGITALOCEAN: Self = Self { limit: Some(DOCUMENT_LIMIT), container: Container::Text };
    /// A document of any size.
    pub const UNLIMITED: Self = Self { limit: None, container: Container::Text };
}

/// A user-data document.
#[derive(Debug, Clone)]
pub struct RenderedDocument {
    pub text: String,
    /// The files, in the order of the template.
    pub entries: Vec<EntryStat>,
    /// `sha256:` and 64 hexadecimal digits, of the text.
    pub digest: String,
    root: Value,
    comment: String,
}

/// Renders the document of an image.
///
/// # Errors
///
/// Fails if the document exceeds the limit or `cloud_config` conflicts with what mkimg writes.
pub fn render(plan: &Plan, target: Target) -> Result<RenderedDocument, RenderError> {
    Layout::image(plan, target)?.render()
}

/// Renders the document of an image as it would be if every file were readable.
///
/// # Errors
///
/// Fails if `cloud_config` conflicts with what mkimg writes.
pub fn render_readable(plan: &Plan) -> Result<RenderedDocument, RenderError> {
    let mut layout = Layout::image(plan, Target::UNLIMITED)?;
    for entry in &mut layout.entries {
        entry.bundle = entry.bundle.filter(|_| entry.is_own);
    }
    layout.render()
}

/// Renders the document that verifies a fresh instance of the plan's snapshot.
///
/// # Errors
///
/// Fails if the document exceeds the limit.
pub fn verification_document(plan: &Plan) -> Result<RenderedDocument, RenderError> {
    let (entries, frame) = (layout::verification_entries(plan), layout::verification_frame());
    Layout { comment: origin_comment(&plan.template), frame, entries, target: Target::DIGITALOCEAN }.render()
}

/// Everything of a document but the choice of the readable files.
struct Layout {
    comment: String,
    frame: Frame,
    entries: Vec<DocumentEntry>,
    target: Target,
}

/// A document with some readable files.
struct Draft {
    /// Whether each entry is in the bundle.
    is_bundled: Vec<bool>,
    bundle_characters: usize,
    root: Value,
    text: String,
    bytes: usize,
}

impl Layout {
    fn image(plan: &Plan, target: Target) -> Result<Self, RenderError> {
        let frame = layout::image_frame(plan)?;
        let entries = layout::image_entries(plan);
        for file in &frame.more_files {
            let path = file.get("path").and_then(Value::as_str);
            if let Some(entry) = entries.iter().find(|entry| Some(entry.path.as_str()) == path) {
                return Err(RenderError::TwoSources { path: entry.path.clone() });
            }
        }
        Ok(Self { comment: origin_comment(&plan.template), frame, entries, target })
    }

    fn render(self) -> Result<RenderedDocument, RenderError> {
        let draft = self.choose()?;
        let text = draft.text;
        if text.chars().take(4096).collect::<String>().to_lowercase().contains(MIME_HEADER) {
            return Err(RenderError::LooksLikeMime);
        }
        read_back::verify(&text, &draft.root, &self.entries, &draft.is_bundled)?;
        let entries = self.stats(&draft.is_bundled, draft.bundle_characters);
        let digest = format!("sha256:{}", hexadecimal(&Sha256::digest(text.as_bytes())));
        Ok(RenderedDocument { text, entries, digest, root: draft.root, comment: self.comment })
    }

    /// Chooses the readable files: all that may be, or the smallest ones for which there is room.
    fn choose(&self) -> Result<Draft, RenderError> {
        let must: Vec<bool> = self.entries.iter().map(|entry| entry.bundle == Some(true)).collect();
        let Some(limit) = self.target.limit else { return self.check(self.draft(must)) };
        let raw: usize = self.unbundled(&must).map(|entry| entry.content.len()).sum();
        if (raw <= limit || self.target.container == Container::Gzip)
            && let Ok(draft) = self.check(self.draft(must))
        {
            return Ok(draft);
        }
        let may: Vec<bool> = self.entries.iter().map(|entry| entry.bundle != Some(false)).collect();
        self.refuse_hopeless(&may, limit)?;
        let smallest = self.check(self.draft(may))?;
        let readable = self.readable_within(limit - smallest.bytes, &smallest.is_bundled);
        if readable == smallest.is_bundled {
            return Ok(smallest);
        }
        // Fewer members nearly always make a smaller bundle, but nothing guarantees it.
        Ok(self.check(self.draft(readable)).unwrap_or(smallest))
    }

    fn unbundled<'a>(&'a self, is_bundled: &'a [bool]) -> impl Iterator<Item = &'a DocumentEntry> {
        self.entries.iter().zip(is_bundled).filter_map(|(entry, is_bundled)| (!is_bundled).then_some(entry))
    }

    /// Returns a draft that is within the limits.
    fn check(&self, draft: Draft) -> Result<Draft, RenderError> {
        let (bytes, characters) = (draft.bytes, draft.bundle_characters);
        let entries = || self.user_stats(&draft.is_bundled, characters);
        match self.target.limit {
            Some(limit) if bytes > limit => {
                Err(RenderError::OverLimit { bytes, is_estimate: false, limit, entries: entries() })
            }
            _ if characters > MAX_BUNDLE_CHARACTERS => {
                Err(RenderError::BundleOverLimit { characters, limit: MAX_BUNDLE_CHARACTERS, entries: entries() })
            }
            _ => Ok(draft),
        }
    }

    /// Takes files out of the bundle, the smallest first, while they fit into `room` bytes.
    ///
    /// What the bundle loses is not counted, so the result fits without another try.
    fn readable_within(&self, room: usize, is_bundled: &[bool]) -> Vec<bool> {
        let mut candidates: Vec<(bool, usize, usize)> = (self.entries.iter().zip(is_bundled).enumerate())
            .filter(|(_, (entry, is_bundled))| **is_bundled && entry.bundle.is_none() && entry.content.len() <= room)
            .filter(|(_, (entry, _))| Encoding::readable(&entry.content) == Encoding::Text)
            .map(|(index, (entry, _))| (entry.is_own, entry_text(entry).len(), index))
            .collect();
        candidates.sort_unstable();
        let mut is_bundled = is_bundled.to_vec();
        let mut left = room;
        for (_, bytes, index) in candidates {
            let Some(rest) = left.checked_sub(bytes) else { break };
            (left, is_bundled[index]) = (rest, false);
        }
        is_bundled
    }

    /// Fails quickly if a document is far beyond its limit.
    fn refuse_hopeless(&self, is_bundled: &[bool], limit: usize) -> Result<(), RenderError> {
        let unpacked = bundle::unpacked(&self.members(is_bundled));
        let part_len = limit.max(8 << 10).saturating_mul(16);
        // Smaller ones are as quick to compress as to estimate.
        if unpacked.len() < part_len / 2 {
            return Ok(());
        }
        // Parts may have much in common, so only a part that is too large alone proves something.
        for part in unpacked.chunks(part_len) {
            let bytes = bundle::compress(part, Effort::Estimate).len().div_ceil(4) * 5;
            if bytes * MIN_PERCENT_OF_ESTIMATE / 100 > limit {
                let bytes = bytes.saturating_mul(unpacked.len() / part.len());
                let entries = self.user_stats(is_bundled, bytes);
                return Err(RenderError::OverLimit { bytes, is_estimate: true, limit, entries });
            }
        }
        Ok(())
    }

    /// The sizes without those of mkimg's own files, which the user cannot change.
    fn user_stats(&self, is_bundled: &[bool], bundle_characters: usize) -> Vec<EntryStat> {
        let stats = self.entries.iter().zip(self.stats(is_bundled, bundle_characters));
        stats.filter_map(|(entry, stat)| (!entry.is_own).then_some(stat)).collect()
    }

    /// Members in the order of the bundle: similar ones are next to each other.
    fn members(&self, is_bundled: &[bool]) -> Vec<bundle::Member> {
        let mut bundled: Vec<&DocumentEntry> =
            self.entries.iter().zip(is_bundled).filter_map(|(entry, bundled)| bundled.then_some(entry)).collect();
        bundled.sort_by_cached_key(|entry| {
            let name = entry.path.rsplit('/').next().unwrap_or_default();
            let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
            (!entry.is_own, extension.to_owned(), name.to_owned(), entry.path.clone())
        });
        bundled.into_iter().map(DocumentEntry::member).collect()
    }

    fn draft(&self, is_bundled: Vec<bool>) -> Draft {
        let bundle = bundle::pack(&self.members(&is_bundled));
        let bundle_characters = bundle.len();
        let mut root = self.frame.head.clone();
        let mut commands = self.frame.boot_commands.clone();
        commands.push(Value::Sequence(UNBUNDLE.into_iter().chain([bundle.as_str()]).map(Value::from).collect()));
        root.insert(Value::from("bootcmd"), Value::Sequence(commands));
        let files = self.unbundled(&is_bundled).map(DocumentEntry::value).chain(self.frame.more_files.iter().cloned());
        root.insert(Value::from("write_files"), Value::Sequence(files.collect()));
        let root = Value::Mapping(root);
        let text = to_text(&self.comment, &root);
        let bytes = match self.target.container {
            Container::Text => text.len(),
            Container::Gzip => Container::Gzip.pack(&text).len(),
        };
        Draft { is_bundled, bundle_characters, root, text, bytes }
    }

    fn stats(&self, is_bundled: &[bool], bundle_characters: usize) -> Vec<EntryStat> {
        let bundled = self.entries.iter().zip(is_bundled).filter(|(_, is_bundled)| **is_bundled);
        let bundled_bytes: usize = bundled.map(|(entry, _)| entry.content.len()).sum();
        let stat = |(entry, is_bundled): (&DocumentEntry, &bool)| {
            let raw_bytes = entry.content.len();
            let (stored_bytes, encoding) = if *is_bundled {
                (raw_bytes * bundle_characters / bundled_bytes.max(1), Encoding::Bundle)
            } else {
                (entry_text(entry).len(), Encoding::readable(&entry.content))
            };
            EntryStat { path: entry.path.clone(), raw_bytes, stored_bytes, encoding }
        };
        self.entries.iter().zip(is_bundled).map(stat).collect()
    }
}

/// Returns the text of a `write_files` entry in a document.
fn entry_text(entry: &DocumentEntry) -> String {
    emit::document(&emit::Value::list([yaml_value(&entry.value())]))
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

impl RenderedDocument {
    /// Returns the paths of the files that are in the bundle, the runner's aside.
    pub fn bundled(&self) -> impl Iterator<Item = &str> {
        let bundled = self.entries.iter().filter(|entry| entry.encoding == Encoding::Bundle);
        bundled.map(|entry| entry.path.as_str()).filter(|path| *path != super::runner::PATH)
    }

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
        // An empty list is written on the line of its key.
        let begin = self.text.strip_suffix(" []\n").unwrap_or(&self.text);
        let Some(added) = text.strip_prefix(begin) else { return Err(BakeEntryError::NotAppended) };
        if added.len() > BAKE_ENTRY_LIMIT {
            return Err(BakeEntryError::TooLarge { bytes: added.len() });
        }
        entry.verify(&text)?;
        Ok(text)
    }
}
