//! Byte spans, and the error of a text that is not valid.

/// A half-open range of bytes in a text. Both ends lie on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// An empty span at `offset`.
    #[must_use]
    pub const fn at(offset: usize) -> Self {
        Self { start: offset, end: offset }
    }

    /// The smallest span that contains both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// The text is not valid YAML 1.1 for PyYAML, or exceeds a limit of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What was expected and what was found, without a full stop.
    pub message: String,
    /// Where the problem was found (PyYAML's problem mark).
    pub span: Span,
    /// Start of the construct that contains the problem (PyYAML's context mark), such as an unclosed
    /// bracket.
    pub context: Option<Span>,
}

impl Error {
    pub(super) fn new(message: impl Into<String>, span: Span) -> Self {
        Self { message: message.into(), span, context: None }
    }

    pub(super) fn within(message: impl Into<String>, context: Span, span: Span) -> Self {
        Self { message: message.into(), span, context: Some(context) }
    }

    /// The span that cloud-init reports: the context if there is one, otherwise the problem.
    #[must_use]
    pub fn reported_span(&self) -> Span {
        self.context.unwrap_or(self.span)
    }
}

/// Quotes the start of a text for a message.
pub(super) fn excerpt(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(60).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("`{}{more}`", start.escape_debug())
}
