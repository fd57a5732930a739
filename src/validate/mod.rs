//! The judge: what `cloud-init schema` would say of a user-data document, with places and better words, and what it cannot see.
//!
//! [`validate`] is pure. A document's kind comes from its header; a cloud-config is read as YAML 1.1, its keys are compared
//! with the tables in `modules/` by the semantics in `check.rs` and `choice.rs`, and `message.rs` words the faults. Checks of our own stand
//! beside the tables of their modules and in `document.rs`. Every finding belongs to a rule of the registry in `rules/`.
//!
//! To add a rule, add it to a file in `rules/` and to the registry, with its two examples; the tests say what is missing.

mod boot;
mod check;
mod choice;
mod command;
mod content;
mod document;
mod header;
pub mod image;
mod licence;
mod message;
mod modules;
mod parts;
mod pattern;
mod places;
mod processor;
pub mod provider;
pub mod rules;
mod secrets;
mod shape;
mod suppress;
mod tables;
mod template;
mod value;
mod version;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::str::Utf8Error;

use modules::write_files::Entry;

use crate::diag::{Diagnostic, Findings, Origin, Part, Severity, Suppressed, Verdict, quoted};
use crate::source::{Source, Span};
use crate::yaml::{self, Node, Tree};

pub use crate::diag::{Document as JudgedDocument, Report};
pub use header::Kind;
pub use provider::{DIGITALOCEAN, Provider};
pub use suppress::{Allowance, Others, from_outside, in_template};
pub use tables::tables;
pub use version::{UnknownVersion, Version};

/// DigitalOcean's limit for user-data, in bytes of UTF-8: 64 KiB.
pub const DIGITALOCEAN_LIMIT: usize = 65_536;

/// The most that is read of a document, in bytes: 500 times what any provider takes.
pub const LARGEST: usize = yaml::MAX_BYTES;

/// What is asked of the judge.
#[derive(Debug, Clone)]
pub struct Options {
    /// The version of cloud-init whose verdict is asked for.
    pub cloud_init: Version,
    /// The most bytes that a document may have, whoever takes it; `None` for no such limit.
    pub limit: Option<usize>,
    /// The providers that must take the document.
    pub providers: Vec<&'static Provider>,
    /// The slug of the image that a template's build droplet starts from, if it is known.
    pub base_image: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { cloud_init: Version::LATEST, limit: None, providers: vec![DIGITALOCEAN], base_image: None }
    }
}

impl Options {
    /// The most bytes that a document may have for all of those who must take it.
    #[must_use]
    pub fn most(&self) -> Option<usize> {
        self.providers.iter().map(|provider| provider.most()).chain(self.limit).min()
    }
}

/// A cloud-config that has been read: what the checks of our own look at.
pub(crate) struct Document<'t> {
    pub source: &'t Source,
    pub tree: &'t Tree,
    pub root: Node<'t>,
    files: OnceCell<Vec<Entry<'t>>>,
}

impl<'t> Document<'t> {
    fn new(source: &'t Source, tree: &'t Tree, root: Node<'t>) -> Self {
        Self { source, tree, root, files: OnceCell::new() }
    }

    /// The entries of `write_files`, their contents decoded.
    pub(crate) fn files(&self) -> &[Entry<'t>] {
        self.files.get_or_init(|| modules::write_files::entries(self.tree, self.root))
    }

    /// The value under a top-level key.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'t>> {
        value::get(self.tree, self.root, key)
    }
}

/// What came out for a document or for a part of one.
struct Judged {
    verdict: Verdict,
    diagnostics: Vec<Diagnostic>,
    parts: Vec<Part>,
    /// What is allowed by comments in parts.
    suppressed: Vec<Suppressed>,
}

/// Judges one user-data document: what `cloud-init schema` of [`Options::cloud_init`] would say, and what it cannot see.
///
/// Pure: no files, no network, no environment, no clock; the same text and options give the same report. The report holds one
/// document, whose parts (of an archive, of a multi-part document) are in [`JudgedDocument::parts`]. Findings come in the order of the text;
/// their spans are bytes of the source, and [`Source::position`] gives lines and columns.
///
/// ```
/// use mkimg::diag::{Format, Verdict};
/// use mkimg::source::Source;
/// use mkimg::validate::{Options, rules, validate};
///
/// let source = Source::new("user-data.yaml", "#cloud-config\npackges: [nginx]\n");
/// let report = validate(&source, &Options::default());
/// let document = &report.documents[0];
/// assert_eq!(document.verdict, Verdict::Invalid);
///
/// let finding = &document.findings.diagnostics[0];
/// assert_eq!((finding.code, finding.path.as_str()), ("MK101", "packges"));
/// assert_eq!(finding.help.as_deref(), Some("did you mean `packages`?"));
/// let place = source.position(finding.span.unwrap_or_default().start);
/// assert_eq!((place.line, place.column), (2, 1));
///
/// // The formats of the command line.
/// assert!(report.render(Format::Human, false, &|_| None).starts_with("error[MK101]"));
/// assert_eq!(rules::find("MK101").map(|rule| rule.name), Some("unknown-key"));
/// ```
#[must_use]
pub fn validate(source: &Source, options: &Options) -> Report {
    let kind = header::kind(source.text(), options.cloud_init);
    let mut judged = judge_as(source, kind, options, 0);
    command::amend(source, kind, options, &mut judged);
    document::size(source.text().len(), Some(source), options, &mut judged.diagnostics);
    let Judged { diagnostics, parts, suppressed, .. } = &mut judged;
    suppress::in_document(source, options, parts, diagnostics, suppressed);
    finish(source, kind, judged)
}

/// Judges a file of the machine by itself: what [`validate`] finds inside a document that writes it to `destination`, an absolute
/// path, with `mode`. Findings have places in `source`, and no path; comments of the file that allow something are applied.
#[must_use]
pub fn validate_file(source: &Source, destination: &str, mode: u32) -> JudgedDocument {
    let content = content::Content { text: source.text(), path: destination, mode, appends: false };
    let mut diagnostics: Vec<_> = content::check(&content).into_iter().map(content::in_source).collect();
    let mut suppressed = Vec::new();
    if !diagnostics.is_empty() {
        suppress::in_file(source, &mut diagnostics, &mut suppressed);
    }
    let findings = Findings { source: source.clone(), diagnostics };
    JudgedDocument { kind: "file", verdict: Verdict::Skipped, findings, parts: Vec::new(), suppressed }
}

/// Judges a text as user-data of a kind; parts of it are `depth` + 1 deep.
fn judge_as(source: &Source, kind: Kind, options: &Options, depth: usize) -> Judged {
    let mut diagnostics = Vec::new();
    let mut inner = Vec::new();
    let mut suppressed = Vec::new();
    if !matches!(kind, Kind::CloudConfig | Kind::CloudConfigArchive | Kind::Mime) {
        secrets::text(source, &mut diagnostics);
    }
    let verdict = match kind {
        Kind::CloudConfig => cloud_config(source, options, &mut diagnostics),
        Kind::JinjaTemplate => {
            let mut judged = jinja(source, options, depth);
            judged.diagnostics.extend(diagnostics);
            return judged;
        }
        Kind::CloudConfigArchive | Kind::Mime => {
            let pieces = parts::split(source, kind, options, &mut diagnostics);
            inner = parts::judge(source, pieces, options, depth, &mut diagnostics, &mut suppressed);
            for found in &mut diagnostics {
                found.origin = Origin::Mkimg;
            }
            Verdict::Skipped
        }
        Kind::Unknown => {
            let decoded = parts::decoded(source.text(), options);
            diagnostics.push(document::unknown_header(source, decoded.is_some()));
            if let Some((text, kind)) = decoded {
                let whole = Span::new(0, source.text().trim_end().len());
                let places = places::Places::whole(text.len(), whole);
                let piece = parts::Piece { text, places, kind: Some(kind), span: whole };
                inner = parts::judge(source, vec![piece], options, depth, &mut diagnostics, &mut suppressed);
            }
            Verdict::Invalid
        }
        Kind::Empty => {
            diagnostics.push(document::not_judged(source, "the document is empty: there is nothing to judge"));
            Verdict::Skipped
        }
        Kind::Script => {
            document::script(source, &mut diagnostics);
            boot::script(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::Boothook => {
            document::boothook(source, &mut diagnostics);
            boot::script(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::PartHandler => {
            parts::part_handler(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::Include => {
            parts::include(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::Jsonp => {
            parts::patch(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::Gzip => {
            diagnostics.push(document::not_judged(source, "a packed document is not looked into here"));
            Verdict::Skipped
        }
    };
    Judged { verdict, diagnostics, parts: inner, suppressed }
}

/// A template: what it is rendered to has the verdict, and its findings are shown in the template.
fn jinja(source: &Source, options: &Options, depth: usize) -> Judged {
    let skipped =
        |diagnostics| Judged { verdict: Verdict::Skipped, diagnostics, parts: Vec::new(), suppressed: Vec::new() };
    let (text, places, warnings) = match template::render(source.text()) {
        template::Rendered::Text { text, places, warnings } => (text, places, warnings),
        template::Rendered::Broken(finding) => {
            return Judged {
                verdict: Verdict::Invalid,
                diagnostics: vec![finding],
                parts: Vec::new(),
                suppressed: Vec::new(),
            };
        }
        template::Rendered::Unknown(why) => return skipped(vec![document::not_judged(source, &why)]),
    };
    let rendered = Source::new(source.name(), text);
    // Only what has a header of cloud-init's own is read after it was rendered.
    let kind = match header::kind(rendered.text(), options.cloud_init) {
        Kind::Mime => Kind::Unknown,
        kind => kind,
    };
    // cloud-init renders once.
    if kind == Kind::JinjaTemplate {
        return skipped(warnings);
    }
    let mut judged = judge_as(&rendered, kind, options, depth);
    for finding in &mut judged.diagnostics {
        places.translate(finding);
    }
    for part in &mut judged.parts {
        part.span = places.span(part.span);
    }
    judged.suppressed.iter_mut().for_each(|allowed| places.translate_suppressed(allowed));
    judged.diagnostics.extend(warnings);
    judged
}

/// Judges a document as it was read from a file: text, or text packed with gzip.
///
/// Of more than [`LARGEST`] bytes nothing is read: who reads a file need not read more than one byte beyond that. Bytes that are
/// given away (a `Vec`) are not held beside the text that they become.
#[must_use]
pub fn validate_bytes<'b>(name: &str, bytes: impl Into<Cow<'b, [u8]>>, options: &Options) -> Report {
    let bytes = bytes.into();
    if bytes.len() > LARGEST {
        let finding = document::unreadable_size(LARGEST, options.most());
        return unjudged(&Source::new(name, ""), Kind::Unknown, finding);
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return packed(name, &bytes, options);
    }
    let source = match bytes {
        Cow::Borrowed(bytes) => {
            std::str::from_utf8(bytes).map(|text| Source::new(name, text)).map_err(|error| not_utf8(name, bytes, error))
        }
        Cow::Owned(bytes) => String::from_utf8(bytes)
            .map(|text| Source::new(name, text))
            .map_err(|error| not_utf8(name, error.as_bytes(), error.utf8_error())),
    };
    source.map_or_else(|report| report, |source| validate(&source, options))
}

fn packed(name: &str, bytes: &[u8], options: &Options) -> Report {
    match document::unpack(bytes) {
        Ok(text) => {
            let source = Source::new(name, text);
            // What is sent is the packed document: its size counts, not that of the text.
            let unlimited = Options { limit: None, providers: Vec::new(), ..options.clone() };
            let mut report = validate(&source, &unlimited);
            if let Some(first) = report.documents.first_mut() {
                document::size(bytes.len(), None, options, &mut first.findings.diagnostics);
            }
            report
        }
        Err(message) => unjudged(&Source::new(name, ""), Kind::Gzip, vec![document::unreadable(message)]),
    }
}

fn not_utf8(name: &str, bytes: &[u8], error: Utf8Error) -> Report {
    // What can be read is shown, up to the first byte that is not UTF-8.
    let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
    let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
    let mut finding = document::unreadable(format!("expected UTF-8, found the byte 0x{byte:02x}"));
    finding.span = Some(Span::at(error.valid_up_to()));
    unjudged(&Source::new(name, good), Kind::Unknown, vec![finding])
}

/// The report of a document that cannot be read.
fn unjudged(source: &Source, kind: Kind, diagnostics: Vec<Diagnostic>) -> Report {
    let judged = Judged { verdict: Verdict::Invalid, diagnostics, parts: Vec::new(), suppressed: Vec::new() };
    finish(source, kind, judged)
}

fn cloud_config(source: &Source, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Verdict {
    let tree = match yaml::parse_with_halves(source) {
        Ok((tree, half)) => {
            diagnostics.extend(half.as_ref().map(document::half_a_character));
            tree
        }
        Err(error) => {
            diagnostics.push(document::invalid_yaml(source, &error));
            secrets::text(source, diagnostics);
            command::ignored_parts(source, options, diagnostics);
            return Verdict::Invalid;
        }
    };
    let Some(root) = tree.root().filter(|root| root.entries().is_some()) else {
        diagnostics.push(document::not_a_mapping(source, &tree));
        secrets::text(source, diagnostics);
        return Verdict::Invalid;
    };
    let context = message::Context { source, tree: &tree, root, version: options.cloud_init };
    let mut unknown = Vec::new();
    for (key, value) in value::entries(&tree, root) {
        let known =
            key.as_str().and_then(modules::top_level).filter(|shape| check::is_known(*shape, options.cloud_init));
        let Some(shape) = known else {
            unknown.push(key);
            continue;
        };
        let outcome = check::check(&tree, key, value, shape, options.cloud_init);
        for fault in outcome.faults.iter().filter(|fault| !fault.is_said_better(&outcome.faults)) {
            diagnostics.extend(message::findings(&context, fault));
        }
        if outcome.exhausted {
            diagnostics.push(document::too_complex(key));
        }
    }
    document::unknown_keys(&context, &unknown, diagnostics);
    drop(unknown);
    command::ignored_parts(source, options, diagnostics);
    let document = Document::new(source, &tree, root);
    document::duplicate_keys(&document, diagnostics);
    for module in modules::all() {
        if let Some(lint) = module.lint {
            lint(&document, diagnostics);
        }
    }
    boot::check(&document, diagnostics);
    image::check(&document, options, diagnostics);
    secrets::document(&document, diagnostics);
    verdict(diagnostics)
}

/// What cloud-init's own findings amount to.
fn verdict(diagnostics: &[Diagnostic]) -> Verdict {
    let says =
        |severity| diagnostics.iter().any(|found| found.origin == Origin::CloudInit && found.severity == severity);
    if says(Severity::Error) {
        Verdict::Invalid
    } else if says(Severity::Deprecated) {
        Verdict::Deprecated
    } else {
        Verdict::Valid
    }
}

/// In the order of the text, nothing twice.
fn finish(source: &Source, kind: Kind, judged: Judged) -> Report {
    let Judged { verdict, mut diagnostics, parts, mut suppressed } = judged;
    let place = |found: &Diagnostic| found.span.unwrap_or_default().start;
    diagnostics.sort_by(|one, two| {
        (place(one), one.severity, one.code, &one.path).cmp(&(place(two), two.severity, two.code, &two.path))
    });
    diagnostics.dedup_by(|one, two| {
        one.code == two.code && one.path == two.path && one.message == two.message && one.span == two.span
    });
    secrets::merge(&mut diagnostics);
    suppressed.sort_by_key(|allowed| (place(&allowed.diagnostic), allowed.diagnostic.code));
    suppressed.dedup();
    // What is allowed is still not shown.
    let shown = diagnostics.len();
    diagnostics.extend(suppressed.iter().map(|allowed| allowed.diagnostic.clone()));
    let source = secrets::cover(source, &mut diagnostics);
    for (allowed, covered) in suppressed.iter_mut().zip(diagnostics.drain(shown..)) {
        allowed.diagnostic = covered;
    }
    let findings = Findings { source, diagnostics };
    Report { documents: vec![JudgedDocument { kind: kind.name(), verdict, findings, parts, suppressed }] }
}

/// A short piece of the text at the beginning, for messages about headers.
fn first_line(source: &Source) -> String {
    quoted(source.text().lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
