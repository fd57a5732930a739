//! Checks any cloud-init user-data document offline.
//!
//! [`lint`] reports everything that `cloud-init schema` reports about a document, with exact places
//! and better messages. It also checks what the schema cannot see: shell syntax, systemd units,
//! cron and sudo files, the order of the boot, secrets, and the size limits of providers. It is
//! pure: it uses no files, network, environment or clock.
//!
//! ```
//! use diagnostics::source::Source;
//! use diagnostics::Verdict;
//! use userdata_lint::{Options, lint};
//!
//! let source = Source::new("user-data.yaml", "#cloud-config\npackges: [nginx]\n");
//! let report = lint(&source, &Options::default());
//! assert_eq!(report.documents[0].verdict, Verdict::Invalid);
//!
//! let finding = &report.documents[0].findings.diagnostics[0];
//! assert_eq!((finding.rule.code, finding.path.as_str()), ("MK101", "packges"));
//! assert_eq!(finding.help.as_deref(), Some("did you mean `packages`?"));
//! let place = source.position(finding.span.unwrap().start);
//! assert_eq!((place.line, place.column), (2, 1));
//! ```
//!
//! How it works: the header gives the kind of the document (`header.rs`). A cloud-config is parsed
//! as YAML 1.1, and `schema.rs` compares its keys with the tables in `modules/`. Other checks are
//! in `boot/`, `content/`, `secrets/`, `image.rs`, and beside the tables of their modules. The
//! findings go through the passes of `pipeline.rs`. Each finding belongs to a rule of the crate
//! `lint-rules`.
//!
//! To add a rule, add its page to `crates/lint-rules/pages` and its check here; the tests run the
//! examples of the page.

mod artifacts;
mod boot;
mod causes;
mod checks;
mod cloud_config;
mod content;
mod decode;
mod document;
mod header;
pub mod image;
mod machine;
mod messages;
mod modules;
mod parts;
mod pattern;
mod pipeline;
mod places;
pub mod provider;
mod schema;
mod secrets;
mod shape;
mod shell;
mod suppress;
mod tables;
mod template;
mod value;
mod version;
mod write_files;

use checks::Checked;
use pipeline::Draft;

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Verdict};

pub use decode::decode;
pub use diagnostics::{LintedDocument, Report};
pub use header::Kind;
pub use lint_rules as rules;
pub use machine::Machine;
pub use provider::{DIGITALOCEAN, Provider};
pub use suppress::Allowance;
pub use tables::tables;
pub use version::{UnknownVersion, Version};

/// The largest document that is checked, in bytes: 2 MiB, many times what any provider accepts.
pub const MAX_DOCUMENT_BYTES: usize = 2 * 1024 * 1024;

/// What to check a document against, and what to leave out of the report.
#[derive(Debug, Clone)]
pub struct Options {
    /// The version of cloud-init that gives the verdict.
    pub cloud_init: Version,
    /// The size limit in bytes for any provider; `None` for no such limit.
    pub limit: Option<usize>,
    /// The providers that must accept the document.
    pub providers: Vec<&'static Provider>,
    /// The slug of the base image of a document that becomes an image, if it is known.
    pub base_image: Option<String>,
    /// Whether to skip documents without a known header, instead of reporting the missing header.
    pub skip_unmarked: bool,
    /// Findings that are allowed, in addition to the comments in the document.
    pub allow: Vec<Allowance>,
    /// Paths of files that are checked on their own; a directory ends with `/`. Findings in their
    /// content are left out of the document's report.
    pub separate_files: Vec<String>,
    /// What else is on the machine, if all of it is known.
    pub machine: Option<Machine>,
    /// Whether another file of the machine lets apt assume yes.
    pub assumes_yes: bool,
    /// Codes of rules that the caller reports itself.
    pub reported_rules: Vec<&'static str>,
    /// Values that the report must not show.
    pub secrets: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cloud_init: Version::LATEST,
            limit: None,
            providers: vec![DIGITALOCEAN],
            base_image: None,
            skip_unmarked: false,
            allow: Vec::new(),
            separate_files: Vec::new(),
            machine: None,
            assumes_yes: false,
            reported_rules: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

impl Options {
    /// The size limit in bytes that fits [`Options::limit`] and all providers.
    #[must_use]
    pub fn max_bytes(&self) -> Option<usize> {
        self.providers.iter().map(|provider| provider.max_bytes()).chain(self.limit).min()
    }

    fn is_separate_file(&self, path: &str) -> bool {
        self.separate_files.iter().any(|file| path == file || file.ends_with('/') && path.starts_with(file.as_str()))
    }
}

/// Checks one user-data document.
///
/// The report has one document. If that is an archive or a multi-part document, its parts are in
/// [`LintedDocument::parts`]. Findings are sorted by place.
#[must_use]
pub fn lint(source: &Source, options: &Options) -> Report {
    report(checked(source, None, options))
}

/// Checks a document as it was read from a file: text, or text compressed with gzip.
///
/// A document of more than [`MAX_DOCUMENT_BYTES`] bytes is not checked. To check a file, read up to
/// one byte more than that.
#[must_use]
pub fn lint_bytes(name: &str, bytes: impl AsRef<[u8]>, options: &Options) -> Report {
    let bytes = bytes.as_ref();
    let unreadable = |text: &str, kind: Kind, diagnostics: Vec<Diagnostic>| {
        Draft::new(&Source::new(name, text), kind, None, Checked::new(Verdict::Invalid, diagnostics))
            .run(pipeline::DOCUMENT, options)
    };
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return report(unreadable("", Kind::Unknown, document::too_large(options.max_bytes())));
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return report(match document::unpack(bytes) {
            // The provider gets the compressed document, so that size counts.
            Ok(text) => checked(&Source::new(name, text), Some(bytes.len()), options),
            Err(message) => {
                let mut found = vec![document::unreadable(message)];
                document::compressed(options, &mut found);
                unreadable("", Kind::Gzip, found)
            }
        });
    }
    report(match std::str::from_utf8(bytes) {
        Ok(text) => checked(&Source::new(name, text), None, options),
        Err(error) => {
            // The text is shown up to the first byte that is not UTF-8.
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
            let mut finding = document::unreadable(format!("expected UTF-8, found the byte 0x{byte:02x}"));
            finding.span = Some(Span::at(error.valid_up_to()));
            unreadable(&valid, Kind::Unknown, vec![finding])
        }
    })
}

/// Checks a document that an image template renders to. Also returns findings about the entries of
/// [`Options::allow`] that are invalid or unused; entry N has the path `allow.N`.
#[must_use]
pub fn lint_rendered(source: &Source, options: &Options) -> (LintedDocument, Vec<Diagnostic>) {
    let mut draft = checked(source, None, options);
    let allow = std::mem::take(&mut draft.allow);
    let kind = draft.kind.name();
    (draft.into_document(kind), allow)
}

/// Checks a file of the machine on its own, as if a document wrote it to `destination` with `mode`.
#[must_use]
pub fn lint_file(source: &Source, destination: &str, mode: u32, options: &Options) -> LintedDocument {
    let content = content::Content { text: source.text(), path: destination, mode, appends: false };
    let mut faults = content::check(&content);
    let is_script = cloud_config::is_script_path(destination) && source.text().starts_with("#!");
    if let Some(machine) = &options.machine {
        machine::check(&content, machine, is_script, &mut faults);
    }
    let mut diagnostics = faults.into_iter().map(content::to_diagnostic).collect();
    if is_script {
        boot::script(source, options.assumes_yes, &mut diagnostics);
    }
    let file = suppress::WrittenFile { index: 0, path: destination.to_owned(), bytes: source.text().len() };
    let checked = Checked { files: vec![file], ..Checked::new(Verdict::Skipped, diagnostics) };
    Draft::new(source, Kind::Unknown, None, checked).run(pipeline::FILE, options).into_document("file")
}

/// Finishes the report on an image template from the findings of the caller: applies the comments
/// in the template and removes secrets.
#[must_use]
pub fn finish_template(source: &Source, diagnostics: Vec<Diagnostic>, options: &Options) -> LintedDocument {
    let is_error = |found: &Diagnostic| found.severity == diagnostics::Severity::Error;
    let verdict = if diagnostics.iter().any(is_error) { Verdict::Invalid } else { Verdict::Valid };
    let checked = Checked::new(verdict, diagnostics);
    Draft::new(source, Kind::Unknown, None, checked).run(pipeline::TEMPLATE, options).into_document("template")
}

/// Checks a document. `compressed_bytes` is its size as a gzip, if it is one.
fn checked(source: &Source, compressed_bytes: Option<usize>, options: &Options) -> Draft {
    let kind = header::kind(source.text(), options.cloud_init);
    let mut checked = checks::check_text(source, kind, options, 0);
    if compressed_bytes.is_some() {
        document::compressed(options, &mut checked.diagnostics);
    }
    let sent_bytes = compressed_bytes.unwrap_or(source.text().len());
    Draft::new(source, kind, Some(sent_bytes), checked).run(pipeline::DOCUMENT, options)
}

fn report(draft: Draft) -> Report {
    let kind = draft.kind.name();
    Report { documents: vec![draft.into_document(kind)] }
}

#[cfg(test)]
mod tests;
