//! Findings, and how they are shown.
//!
//! A [`Diagnostic`] says what was expected, what was found, where, and what to do next. The room that raises it knows a span
//! (or only a path into the document); line, column, colour and format are added here, once. To add an output format,
//! add a file beside this one and a line in [`Format`].

use crate::source::{Source, Span};

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

/// A source and what was found in it.
#[derive(Debug, Clone)]
pub struct Findings {
    pub source: Source,
    pub diagnostics: Vec<Diagnostic>,
}
