//! Why a text is refused, and where.

use crate::Span;

/// A text that PyYAML would refuse, or that passes one of this room's limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What was expected and what was found, without a full stop.
    pub message: String,
    /// Where the problem was met (PyYAML's problem mark).
    pub span: Span,
    /// Where the thing began that the problem spoils (PyYAML's context mark): an unclosed bracket, say.
    pub context: Option<Span>,
}

impl Error {
    pub(super) fn new(message: impl Into<String>, span: Span) -> Self {
        Self { message: message.into(), span, context: None }
    }

    pub(super) fn within(message: impl Into<String>, context: Span, span: Span) -> Self {
        Self { message: message.into(), span, context: Some(context) }
    }

    /// Where cloud-init reports it: the context where there is one, else the problem.
    #[must_use]
    pub fn place(&self) -> Span {
        self.context.unwrap_or(self.span)
    }
}

/// A text for a message, shortened.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(60).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("`{}{more}`", start.escape_debug())
}
