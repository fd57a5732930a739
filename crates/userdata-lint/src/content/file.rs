//! A content and a finding in it: what all checks of contents take and give.

use crate::rules::Rule;
use diagnostics::source::Span;

pub(crate) struct Content<'t> {
    pub text: &'t str,
    /// The normalized path; empty if it is unknown.
    pub path: &'t str,
    pub mode: u32,
    /// Whether the text is appended to an existing file.
    pub appends: bool,
}

/// A finding with spans in the content.
pub(crate) struct ContentFault {
    pub rule: &'static Rule,
    pub span: Span,
    pub message: String,
    pub help: Option<String>,
    pub related: Vec<(Span, String)>,
}

impl ContentFault {
    pub(crate) fn new(rule: &'static Rule, span: Span, message: String, help: Option<String>) -> Self {
        Self { rule, span, message, help, related: Vec::new() }
    }
}

/// Whether a path has this extension. Case matters.
pub(super) fn has_ending(path: &str, ending: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, found)| found == ending)
}
