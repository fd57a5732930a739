//! Tokens, as PyYAML's scanner produces them.

use std::borrow::Cow;

use crate::Span;

#[derive(Debug, Clone)]
pub(super) struct Token<'a> {
    pub kind: TokenKind<'a>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind<'a> {
    StreamEnd,
    Directive(Directive<'a>),
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowMappingStart,
    FlowSequenceEnd,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    Tag(Box<TagToken<'a>>),
    Scalar { text: Cow<'a, str>, plain: bool },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Directive<'a> {
    /// Whether the major version is 1, the only one that PyYAML accepts.
    Yaml {
        supported: bool,
    },
    Tag {
        handle: &'a str,
        prefix: Cow<'a, str>,
    },
    Other,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct TagToken<'a> {
    /// `None` for a verbatim `!<…>` and for a lone `!`.
    pub handle: Option<&'a str>,
    pub suffix: Cow<'a, str>,
}

impl TokenKind<'_> {
    /// The token's name in messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::StreamEnd => "the end of the text",
            Self::Directive(_) => "a directive",
            Self::DocumentStart => "the document start `---`",
            Self::DocumentEnd => "the document end `...`",
            Self::BlockSequenceStart => "a list",
            Self::BlockMappingStart => "a mapping",
            Self::BlockEnd => "less indentation",
            Self::FlowSequenceStart => "`[`",
            Self::FlowMappingStart => "`{`",
            Self::FlowSequenceEnd => "`]`",
            Self::FlowMappingEnd => "`}`",
            Self::BlockEntry => "a list item `-`",
            Self::FlowEntry => "`,`",
            Self::Key => "a key",
            Self::Value => "`:`",
            Self::Alias(_) => "an alias",
            Self::Anchor(_) => "an anchor",
            Self::Tag(_) => "a tag",
            Self::Scalar { .. } => "a scalar",
        }
    }
}
