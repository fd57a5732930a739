//! Findings about named texts, and their output formats.
//!
//! A [`Diagnostic`] says what was expected, what was found, where, and what to do next. A check knows a
//! rule, a path into the document and a span; line, column, colour and format are added here. To add an
//! output format, add a file beside `json.rs` and a variant of [`Format`].
//!
//! ```
//! use diagnostics::source::{Source, Span};
//! use diagnostics::{Diagnostic, Findings, Origin, Rule, Severity};
//!
//! static UNKNOWN_KEY: Rule = Rule {
//!     code: "MK101",
//!     name: "unknown-key",
//!     origin: Origin::CloudInit,
//!     severity: Severity::Error,
//!     summary: "A key that cloud-init does not know.",
//!     ..Rule::EMPTY
//! };
//! let finding = Diagnostic::new(&UNKNOWN_KEY, "pakages", Span::new(14, 21), "unknown key `pakages`")
//!     .with_help("did you mean `packages`?");
//! let source = Source::new("user-data.yaml", "#cloud-config\npakages: [git]\n");
//! let text = diagnostics::human(&Findings { source, diagnostics: vec![finding] }, false);
//! assert!(text.contains("user-data.yaml:2:1"));
//! ```

mod escape;
mod github;
mod human;
mod json;
mod redact;
mod rule;
mod sarif;
pub mod source;

use crate::source::{Position, Source, Span};

pub use escape::{escape_control, escape_control_in_json, is_control, quoted};
pub use github::workflow_command;
pub use human::human;
pub use redact::redact;
pub use rule::{HelpText, Rule, closest, did_you_mean};

/// Severity of a finding. Only `Error` changes a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
    Deprecated,
    Info,
}

/// Whether cloud-init itself reports the finding, or only mkimg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    CloudInit,
    Mkimg,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub rule: &'static Rule,
    /// The rule's origin, or `Mkimg` where cloud-init does not look.
    pub origin: Origin,
    /// The rule's severity, or a lower one.
    pub severity: Severity,
    /// Path in the document as cloud-init writes it, such as `users.0.name`; empty for the document.
    pub path: String,
    /// What was expected and what was found, in one sentence without a full stop.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// Where in the source; `None` for the document as a whole.
    pub span: Option<Span>,
    /// Other spans that explain it, each with a label.
    pub related: Vec<(Span, String)>,
}

/// The verdict of `cloud-init schema` on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Valid,
    /// Valid, but uses something deprecated.
    Deprecated,
    Invalid,
    /// cloud-init does not check documents of this kind.
    Skipped,
}

/// The result of checking one document.
#[derive(Debug, Clone)]
pub struct LintedDocument {
    /// Kind of document in JSON: `cloud-config`, `script`, …
    pub kind: &'static str,
    pub verdict: Verdict,
    pub findings: Findings,
    /// Documents inside this one, in order.
    pub parts: Vec<Part>,
    /// Findings that the author allowed, which are not in `findings`.
    pub suppressed: Vec<Suppressed>,
}

/// A finding that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    pub diagnostic: Diagnostic,
    /// The author's reason.
    pub reason: String,
    /// Span of the comment that allows it; `None` if another file allows it.
    pub allowed_at: Option<Span>,
}

/// A part of an archive or of a multi-part document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Kind of document, as in [`LintedDocument::kind`].
    pub kind: &'static str,
    /// The verdict of `cloud-init schema` on this part alone.
    pub verdict: Verdict,
    /// Where the part is in the document.
    pub span: Span,
}

/// The results of one run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub documents: Vec<LintedDocument>,
}

/// Number of findings of each severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub errors: usize,
    pub warnings: usize,
    pub deprecated: usize,
    pub infos: usize,
    /// Allowed findings, which are in no other count.
    pub suppressed: usize,
}

/// Output format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people: the source lines, underlined.
    #[default]
    Human,
    /// One JSON object.
    Json,
    /// GitHub workflow commands: annotations on a pull request.
    Github,
    /// SARIF 2.1.0.
    Sarif,
}

/// A source and the findings about it.
#[derive(Debug, Clone)]
pub struct Findings {
    pub source: Source,
    pub diagnostics: Vec<Diagnostic>,
}

impl Severity {
    /// The name in JSON.
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
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloudInit => "cloud-init",
            Self::Mkimg => "mkimg",
        }
    }
}

impl Verdict {
    /// The name in JSON.
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

    /// Renders the report. `color` applies to [`Format::Human`] only.
    #[must_use]
    pub fn render(&self, format: Format, color: bool) -> String {
        match format {
            Format::Human => self.documents.iter().map(|document| human(&document.findings, color)).collect(),
            Format::Json => json::render(self),
            Format::Github => github::render(self),
            Format::Sarif => sarif::render(self),
        }
    }
}

/// Start and exclusive end of a finding. A finding about the whole document is at its start.
fn positions(source: &Source, diagnostic: &Diagnostic) -> (Position, Position) {
    let span = diagnostic.span.unwrap_or_default();
    (source.position(span.start), source.position(span.end.max(span.start)))
}

#[cfg(test)]
mod tests;
