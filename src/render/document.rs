//! The document: which files are readable in it, which travel in the bundle, and the limit.
//!
//! Files are `write_files` entries as long as the document fits. Otherwise the small ones stay
//! readable and the others travel in the bundle, which always contains the runner. What has no room
//! even there is uploaded, if the document is for a bake.

use std::collections::HashSet;
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
use crate::model::{Content, Mode, Owner, Plan, Value, hexadecimal};

/// The user-data limit of DigitalOcean in bytes.
pub const USER_DATA_LIMIT: usize = 65_536;

/// Bytes of the document that are reserved for the bake's own entry: the half of the runner that
/// only a bake needs, and at most 2 KiB for the rest.
pub const BAKE_ENTRY_LIMIT: usize = 12_800;

/// Bytes that are reserved too, if the bake uploads files.
const UPLOAD_LIMIT: usize = 1_280;

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
    /// Whether files may be left out, because a bake uploads them.
    pub can_upload: bool,
}

impl Target {
    /// DigitalOcean, with room for what a bake adds.
    pub const DIGITALOCEAN: Self = Self { limit: Some(DOCUMENT_LIMIT), container: Container::Text, can_upload: false };
    /// A bake that uploads what has no room.
    pub const BAKE: Self = Self { can_upload: true, ..Self::DIGITALOCEAN };
    /// A document of any size.
    pub const UNLIMITED: Self = Self { limit: None, ..Self::DIGITALOCEAN };
}

/// A user-data document.
#[derive(Debug, Clone)]
pub struct RenderedDocument {
    pub text: String,
    /// The files, in the order of the template.
    pub entries: Vec<EntryStat>,
    /// What the document does not contain, in the order of the template.
    pub uploads: Vec<UploadedFile>,
    /// `sha256:` and 64 hexadecimal digits, of the text.
    pub digest: String,
    root: Value,
    comment: String,
}

/// A file that a bake uploads, because the document has no room for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedFile {
    /// Absolute path on the machine.
    pub path: String,
    /// Path relative to the project; empty if the content has no source.
    pub source: String,
    pub owner: Owner,
    pub mode: Mode,
    pub content: Content,
}

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    Readable,
    Bundle,
    Upload,
}

/// Renders the document of an image.
///
/// # Errors
///
/// Fails if the document exceeds the limit or `cloud_config` conflicts with what mkimg writes.
pub fn render(plan: &Plan, target: Target) -> Result<RenderedDocument, RenderError> {
    Layout::image(plan, target)?.render()
}

/// Renders a document as it would be if every file in it were readable.
///
/// # Errors
///
/// Fails if `cloud_config` conflicts with what mkimg writes.
pub fn render_readable(plan: &Plan, document: &RenderedDocument) -> Result<RenderedDocument, RenderError> {
    let mut layout = Layout::image(plan, Target::UNLIMITED)?;
    let uploads: HashSet<&str> = document.uploads.iter().map(|upload| upload.path.as_str()).collect();
    layout.entries.retain(|entry| !uploads.contains(entry.path.as_str()));
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

/// A document with some of the files.
struct Draft {
    placements: Vec<Placement>,
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
        read_back::verify(&text, &draft.root, &self.entries, &draft.placements)?;
        let entries = self.stats(&draft.placements, draft.bundle_characters);
        let uploads = self.placed(&draft.placements, Placement::Upload).map(DocumentEntry::upload).collect();
        let digest = format!("sha256:{}", hexadecimal(&Sha256::digest(text.as_bytes())));
        Ok(RenderedDocument { text, entries, uploads, digest, root: draft.root, comment: self.comment })
    }

    /// Chooses the readable files: all that may be, or the smallest ones for which there is room.
    fn choose(&self) -> Result<Draft, RenderError> {
        let on_disk = self.entries.iter().filter(|entry| entry.content.loaded().is_none());
        let on_disk: Vec<EntryStat> = on_disk.map(DocumentEntry::upload_stat).collect();
        let may: Vec<Placement> = self.entries.iter().map(DocumentEntry::smallest_placement).collect();
        match self.target.limit {
            Some(limit) if self.target.can_upload && !on_disk.is_empty() => return self.choose_uploads(&may, limit),
            _ if !on_disk.is_empty() => return Err(RenderError::OnlyUpload { entries: on_disk }),
            _ => {}
        }
        let must = self.entries.iter().map(DocumentEntry::largest_placement).collect();
        let Some(limit) = self.target.limit else { return self.check(self.draft(must), None) };
        let raw: usize = self.placed(&must, Placement::Readable).map(|entry| entry.bytes().len()).sum();
        if (raw <= limit || self.target.container == Container::Gzip)
            && let Ok(draft) = self.check(self.draft(must), Some(limit))
        {
            return Ok(draft);
        }
        match self.refuse_hopeless(&may, limit).and_then(|()| self.check(self.draft(may.clone()), Some(limit))) {
            Err(_) if self.target.can_upload => self.choose_uploads(&may, limit),
            smallest => Ok(self.with_readable(smallest?, limit)),
        }
    }

    /// Chooses the files that are uploaded: the largest ones, until the others fit.
    fn choose_uploads(&self, may: &[Placement], limit: usize) -> Result<Draft, RenderError> {
        let limit = limit.saturating_sub(UPLOAD_LIMIT);
        let estimate = |content: &[u8]| bundle::compress(content, Effort::Estimate).len().div_ceil(4) * 5;
        let candidates = self.entries.iter().enumerate().filter(|(_, entry)| entry.may_be_uploaded());
        // What is not loaded comes last, and is uploaded whatever room there is.
        let estimate = |entry: &DocumentEntry| entry.content.loaded().map_or(usize::MAX, estimate);
        let mut candidates: Vec<(usize, usize)> = candidates.map(|(index, entry)| (estimate(entry), index)).collect();
        candidates.sort_unstable();
        // The draft with the smallest ones.
        let draft = |count: usize| {
            let mut placements = may.to_vec();
            for (_, index) in &candidates[count..] {
                placements[*index] = Placement::Upload;
            }
            self.check(self.draft(placements), Some(limit))
        };
        let mut best = draft(0)?;
        // Together, files take less than each alone, but hardly less than a third.
        let room = limit - best.bytes;
        let sums = candidates.iter().scan(0_usize, |sum, (characters, _)| {
            *sum = sum.saturating_add(*characters);
            Some(*sum)
        });
        let sums: Vec<usize> = sums.collect();
        let within = |room: usize| sums.partition_point(|sum| *sum <= room);
        let (mut fits, mut exceeds, mut next) = (0, within(room * 3) + 1, within(room));
        while fits + 1 < exceeds {
            match draft(next) {
                Ok(draft) => (best, fits) = (draft, next),
                Err(_) => exceeds = next,
            }
            next = fits.midpoint(exceeds);
        }
        Ok(self.with_readable(best, limit))
    }

    /// Takes files out of the bundle of a draft, if there is room.
    fn with_readable(&self, smallest: Draft, limit: usize) -> Draft {
        let placements = self.readable_within(limit - smallest.bytes, &smallest.placements);
        if placements == smallest.placements {
            return smallest;
        }
        // Fewer members nearly always make a smaller bundle, but nothing guarantees it.
        self.check(self.draft(placements), Some(limit)).unwrap_or(smallest)
    }

    fn placed<'a>(&'a self, placements: &'a [Placement], wanted: Placement) -> impl Iterator<Item = &'a DocumentEntry> {
        self.entries.iter().zip(placements).filter_map(move |(entry, found)| (*found == wanted).then_some(entry))
    }

    /// Returns a draft that is within the limits.
    fn check(&self, draft: Draft, limit: Option<usize>) -> Result<Draft, RenderError> {
        let (bytes, characters) = (draft.bytes, draft.bundle_characters);
        let entries = || self.user_stats(&draft.placements, characters);
        match limit {
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
    fn readable_within(&self, room: usize, placements: &[Placement]) -> Vec<Placement> {
        let mut candidates: Vec<(bool, usize, usize)> = (self.entries.iter().zip(placements).enumerate())
            .filter(|(_, (entry, placement))| {
                **placement == Placement::Bundle && entry.bundle.is_none() && entry.bytes().len() <= room
            })
            .filter(|(_, (entry, _))| Encoding::readable(entry.bytes()) == Encoding::Text)
            .map(|(index, (entry, _))| (entry.is_own, entry_text(entry).len(), index))
            .collect();
        candidates.sort_unstable();
        let mut placements = placements.to_vec();
        let mut left = room;
        for (_, bytes, index) in candidates {
            let Some(rest) = left.checked_sub(bytes) else { break };
            (left, placements[index]) = (rest, Placement::Readable);
        }
        placements
    }

    /// Fails quickly if a document is far beyond its limit.
    fn refuse_hopeless(&self, placements: &[Placement], limit: usize) -> Result<(), RenderError> {
        let unpacked = bundle::unpacked(&self.members(placements));
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
                let entries = self.user_stats(placements, bytes);
                return Err(RenderError::OverLimit { bytes, is_estimate: true, limit, entries });
            }
        }
        Ok(())
    }

    /// The sizes without those of mkimg's own files, which the user cannot change.
    fn user_stats(&self, placements: &[Placement], bundle_characters: usize) -> Vec<EntryStat> {
        let stats = self.entries.iter().zip(self.stats(placements, bundle_characters));
        stats.filter_map(|(entry, stat)| (!entry.is_own).then_some(stat)).collect()
    }

    /// Members in the order of the bundle: similar ones are next to each other.
    fn members(&self, placements: &[Placement]) -> Vec<bundle::Member> {
        let mut bundled: Vec<&DocumentEntry> = self.placed(placements, Placement::Bundle).collect();
        bundled.sort_by_cached_key(|entry| {
            let name = entry.path.rsplit('/').next().unwrap_or_default();
            let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
            (!entry.is_own, extension.to_owned(), name.to_owned(), entry.path.clone())
        });
        bundled.into_iter().map(DocumentEntry::member).collect()
    }

    fn draft(&self, placements: Vec<Placement>) -> Draft {
        let bundle = bundle::pack(&self.members(&placements));
        let bundle_characters = bundle.len();
        let mut root = self.frame.head.clone();
        let mut commands = self.frame.boot_commands.clone();
        commands.push(Value::Sequence(UNBUNDLE.into_iter().chain([bundle.as_str()]).map(Value::from).collect()));
        root.insert(Value::from("bootcmd"), Value::Sequence(commands));
        let files = self.placed(&placements, Placement::Readable).map(DocumentEntry::value);
        let files = files.chain(self.frame.more_files.iter().cloned());
        root.insert(Value::from("write_files"), Value::Sequence(files.collect()));
        let root = Value::Mapping(root);
        let text = to_text(&self.comment, &root);
        let bytes = match self.target.container {
            Container::Text => text.len(),
            Container::Gzip => Container::Gzip.pack(&text).len(),
        };
        Draft { placements, bundle_characters, root, text, bytes }
    }

    fn stats(&self, placements: &[Placement], bundle_characters: usize) -> Vec<EntryStat> {
        let bundled_bytes: usize = self.placed(placements, Placement::Bundle).map(|entry| entry.bytes().len()).sum();
        let stat = |(entry, placement): (&DocumentEntry, &Placement)| {
            let (stored_bytes, encoding) = match placement {
                Placement::Readable => (entry_text(entry).len(), Encoding::readable(entry.bytes())),
                Placement::Bundle => (entry.bytes().len() * bundle_characters / bundled_bytes.max(1), Encoding::Bundle),
                Placement::Upload => return entry.upload_stat(),
            };
            EntryStat { path: entry.path.clone(), raw_bytes: entry.content.size(), stored_bytes, encoding }
        };
        self.entries.iter().zip(placements).map(stat).collect()
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

    /// Returns the text that a bake sends: this document with the bake's own entry before the other
    /// files. If one of them cannot be written, cloud-init writes none after it, and the runner has to report that.
    ///
    /// # Errors
    ///
    /// Fails if the entry is larger than the space that is reserved for it.
    pub fn with_bake_entry(&self, entry: &BakeEntry) -> Result<String, BakeEntryError> {
        let mut root = self.root.clone();
        if let Some(files) = root.get_mut("write_files").and_then(Value::as_sequence_mut) {
            files.insert(0, entry.value());
        }
        let text = to_text(&self.comment, &root);
        // An empty list is written on the line of its key.
        let without = self.text.strip_suffix(" []\n").map_or_else(|| self.text.clone(), |head| format!("{head}\n"));
        let added = text.len().saturating_sub(without.len());
        let same = text.bytes().zip(without.bytes()).take_while(|(one, other)| one == other).count();
        if text.as_bytes().get(same + added..) != without.as_bytes().get(same..) {
            return Err(BakeEntryError::NotInserted);
        }
        let limit = BAKE_ENTRY_LIMIT + if self.uploads.is_empty() { 0 } else { UPLOAD_LIMIT };
        if added > limit {
            return Err(BakeEntryError::TooLarge { bytes: added, limit });
        }
        entry.verify(&text)?;
        Ok(text)
    }
}
