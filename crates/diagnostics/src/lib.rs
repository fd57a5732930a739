//! Findings, and how they are shown.
//!
//! A [`Diagnostic`] says what was expected, what was found, where, and what to do next. The room that raises it knows a span
//! (or only a path into the document); line, column, colour and format are added here, once. To add an output format,
//! add a file beside this one and a line in [`Format`].

mod github;
mod harmless;
mod human;
mod json;
mod redact;
mod rule;
mod sarif;
pub mod source;

use crate::source::{Position, Source, Span};

pub use harmless::{harmless, quoted};
pub use human::human;
pub use redact::redact;
pub use rule::{HelpText, Rule, closest};

/// How bad a finding is. Only `Error` changes a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
    Deprecated,
    Info,
}

/// Who says so: cloud-init itself would, or only mkimg does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    CloudInit,
    Mkimg,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule's code, for `mkimg explain`: `MK` and three digits.
    pub code: &'static str,
    /// The rule's name, which says the fault: `unknown-key`.
    pub name: &'static str,
    pub origin: Origin,
    pub severity: Severity,
    /// Where in the document, as cloud-init writes it: `users.0.name`; empty for the document itself.
    pub path: String,
    /// What was expected and what was found, in one sentence without a full stop.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// Where in the source.
    pub span: Option<Span>,
    /// Other places that explain it, each with its label.
    pub related: Vec<(Span, String)>,
}

/// What `cloud-init schema` would say of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Valid,
    /// Valid, with something that is going away.
    Deprecated,
    Invalid,
    /// cloud-init does not evaluate documents of this kind.
    Skipped,
}

/// A document, how it was judged, and why.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it is, as `--format json` names it: `cloud-config`, `script`, …
    pub kind: &'static str,
    pub verdict: Verdict,
    pub findings: Findings,
    /// Of a document that holds other documents: what they are, in order.
    pub parts: Vec<Part>,
    /// Findings that the author of the document allowed, each with the reason: neither shown nor counted with the others.
    pub suppressed: Vec<Suppressed>,
}

/// A finding that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    pub diagnostic: Diagnostic,
    /// Why it is allowed, in the author's words.
    pub reason: String,
    /// Where in the document that is said; `None` where it is said in another file.
    pub place: Option<Span>,
}

/// A document inside another one: a part of an archive or of a multi-part document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is, as a [`Document`]'s kind is named.
    pub kind: &'static str,
    /// What `cloud-init schema` would say of it alone.
    pub verdict: Verdict,
    /// Where in the document it stands.
    pub span: Span,
}

/// Everything that one call of the validator found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub documents: Vec<Document>,
}

/// How many findings of each severity there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub errors: usize,
    pub warnings: usize,
    pub deprecated: usize,
    pub infos: usize,
    /// Findings that are allowed; they are in none of the other counts.
    pub suppressed: usize,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people: the place in the text, underlined.
    #[default]
    Human,
    /// One JSON object, as the manual gives it.
    Json,
    /// GitHub workflow commands, one a line: annotations on a pull request.
    Github,
    /// SARIF 2.1.0.
    Sarif,
}

/// What is said of a rule, for the formats that carry the rules along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// In one sentence.
    pub summary: String,
    /// All of it, in Markdown.
    pub page: String,
}

/// What is said of a rule, by its code.
pub type Describe<'a> = &'a dyn Fn(&str) -> Option<About>;

/// A source and what was found in it.
#[derive(Debug, Clone)]
pub struct Findings {
    pub source: Source,
    pub diagnostics: Vec<Diagnostic>,
}

impl Severity {
    /// As `--format json` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Deprecated => "deprecated",
            Self::Info => "info",
        }
    }
}

impl Origin {
    /// As `--format json` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloudInit => "cloud-init",
            Self::Mkimg => "mkimg",
        }
    }
}

impl Verdict {
    /// As `--format json` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Deprecated => "deprecated",
            Self::Invalid => "invalid",
            Self::Skipped => "skipped",
        }
    }
}

impl Report {
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for diagnostic in self.documents.iter().flat_map(|document| &document.findings.diagnostics) {
            *match diagnostic.severity {
                Severity::Error => &mut counts.errors,
                Severity::Warning => &mut counts.warnings,
                Severity::Deprecated => &mut counts.deprecated,
                Severity::Info => &mut counts.infos,
            } += 1;
        }
        counts.suppressed = self.documents.iter().map(|document| document.suppressed.len()).sum();
        counts
    }

    /// The report in one of the formats. `color` matters to people only.
    #[must_use]
    pub fn render(&self, format: Format, color: bool, describe: Describe<'_>) -> String {
        match format {
            Format::Human => self.documents.iter().map(|document| human(&document.findings, color)).collect(),
            Format::Json => json::render(self),
            Format::Github => github::render(self),
            Format::Sarif => sarif::render(self, describe),
        }
    }
}

/// Where a finding starts and ends; the end is exclusive. A finding without a place is about the document: its beginning.
fn places(source: &Source, diagnostic: &Diagnostic) -> (Position, Position) {
    let span = diagnostic.span.unwrap_or_default();
    (source.position(span.start), source.position(span.end.max(span.start)))
}

#[cfg(test)]
mod tests;
