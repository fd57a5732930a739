//! The judge: what `cloud-init schema` would say of a user-data document, with places and better words, and what it cannot see.
//!
//! [`validate`] is pure. A document's kind comes from its header; a cloud-config is read as YAML 1.1, its keys are compared
//! with the tables in `modules/` by the semantics in `check.rs` and `choice.rs`, and `message.rs` words the faults. Checks of our own stand
//! beside the tables of their modules and in `document.rs`. Every finding belongs to a rule of the crate
//! `lint-rules`.
//!
//! To add a rule, add its page to `crates/lint-rules/pages` and its check here; tests run the page's examples.

mod artifacts;
mod boot;
mod check;
mod choice;
mod command;
mod content;
mod decode;
mod document;
mod fault;
mod header;
pub mod image;
mod judge;
mod message;
mod modules;
mod parts;
mod pattern;
mod places;
pub mod provider;
mod secrets;
mod shape;
mod shell;
mod suppress;
mod tables;
mod template;
mod value;
mod version;
mod words;
mod write_files;

use std::borrow::Cow;
use std::str::Utf8Error;

use judge::{Document, Judged, judge_as};

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Findings, Verdict, quoted};

pub use decode::decode;
pub use diagnostics::{Document as JudgedDocument, Report};
pub use header::Kind;
pub use lint_rules as rules;
pub use provider::{DIGITALOCEAN, Provider};
pub use suppress::{Allowance, from_outside, in_template};
pub use tables::tables;
pub use version::{UnknownVersion, Version};

/// DigitalOcean's limit for user-data, in bytes of UTF-8: 64 KiB.
pub const DIGITALOCEAN_LIMIT: usize = 65_536;

/// The most that is read of a document, in bytes: 500 times what any provider takes.
pub const LARGEST: usize = yaml11::MAX_BYTES;

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
    let source = secrets::redact(source, &mut diagnostics);
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
