//! Events, as PyYAML's parser makes them of tokens.

use std::borrow::Cow;

use crate::Span;

#[derive(Debug)]
pub(super) struct Event<'a> {
    pub kind: EventKind<'a>,
    pub span: Span,
}

#[derive(Debug)]
pub(super) enum EventKind<'a> {
    StreamEnd,
    DocumentStart,
    DocumentEnd,
    Alias(&'a str),
    Scalar {
        properties: Properties<'a>,
        text: Cow<'a, str>,
        /// Whether the value decides the type: a plain scalar without a tag, or any with the tag `!`.
        implicit: bool,
    },
    SequenceStart(Properties<'a>),
    MappingStart(Properties<'a>),
    /// Of a sequence or a mapping.
    CollectionEnd,
}

/// What may stand before a node's content.
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    pub anchor: Option<&'a str>,
    /// Full, with its handle replaced; `None` also for the tag `!`.
    pub tag: Option<Box<str>>,
}
