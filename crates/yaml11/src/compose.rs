//! Builds nodes from events: resolves tags, and turns aliases into references to the anchored node.

use std::borrow::Cow;
use std::collections::HashMap;

use super::error::{Error, excerpt};
use super::parser::{EventKind, Parser, Properties};
use super::resolve::Tag;
use super::tree::{Child, Entry, NodeId};
use crate::Span;

/// Maximum nesting of lists and mappings. PyYAML exhausts Python's stack at 491 to 494 levels.
pub const MAX_DEPTH: usize = 490;

/// Maximum number of nodes in a document, aliases included. 64 KiB of user-data cannot reach a tenth
/// of it.
pub const MAX_NODES: usize = 1_000_000;

/// Maximum number of anchors in a document.
const MAX_ANCHORS: usize = 100_000;

#[derive(Debug)]
pub(super) struct RawNode<'a> {
    pub span: Span,
    pub tag: Tag,
    pub content: Content<'a>,
}

#[derive(Debug)]
pub(super) enum Content<'a> {
    Scalar(Cow<'a, str>),
    Sequence(Vec<Child>),
    Mapping(Vec<Entry>),
}

impl Content<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Scalar(_) => "a scalar",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Composed<'a> {
    pub nodes: Vec<RawNode<'a>>,
    pub root: Option<NodeId>,
    /// Names of the tags outside the YAML standard.
    pub unknown_tags: Vec<Box<str>>,
    /// Whether any scalar has the tag `value` (`=`).
    pub has_value_tag: bool,
    /// Whether any alias is inside the node that it refers to.
    pub self_reference: bool,
    /// Reported only if the document has no other error: PyYAML accepts lone surrogates.
    pub lone_surrogate: Option<Error>,
}

/// A collection whose end has not been read yet.
struct OpenCollection {
    id: NodeId,
    sequence: bool,
    /// Index of its first item or entry in the composer's stack.
    from: usize,
    key: Option<Child>,
}

struct Composer<'a> {
    parser: Parser<'a>,
    out: Composed<'a>,
    anchors: HashMap<&'a str, Anchor>,
    open: Vec<OpenCollection>,
    /// Items of all open lists and entries of all open mappings, innermost last.
    items: Vec<Child>,
    entries: Vec<Entry>,
    aliases: usize,
}

#[derive(Clone, Copy)]
struct Anchor {
    id: NodeId,
    /// Span of the anchor itself.
    span: Span,
}

/// Reads the text's only document.
pub(super) fn compose(text: &str) -> Result<Composed<'_>, Error> {
    let mut composer = Composer {
        parser: Parser::new(text),
        out: Composed::default(),
        anchors: HashMap::new(),
        open: Vec::new(),
        items: Vec::new(),
        entries: Vec::new(),
        aliases: 0,
    };
    if matches!(composer.parser.next()?.kind, EventKind::StreamEnd) {
        return Ok(composer.out);
    }
    let root = composer.node()?;
    composer.out.root = Some(root);
    composer.parser.next()?;
    let event = composer.parser.next()?;
    if !matches!(event.kind, EventKind::StreamEnd) {
        let first = composer.out.nodes[root.0 as usize].span;
        let message = "expected a single document, found another one after it";
        return Err(Error::within(message, Span::at(first.start), event.span));
    }
    composer.out.lone_surrogate = composer.parser.lone_surrogate();
    Ok(composer.out)
}

impl<'a> Composer<'a> {
    fn node(&mut self) -> Result<NodeId, Error> {
        loop {
            let event = self.parser.next()?;
            let child = match event.kind {
                EventKind::Alias(name) => {
                    let Some(anchored) = self.anchors.get(name) else {
                        let message =
                            format!("expected an alias of an earlier anchor, found {}", excerpt(&format!("*{name}")));
                        return Err(Error::new(message, event.span));
                    };
                    let id = anchored.id;
                    self.aliases += 1;
                    self.check_node_limit(event.span)?;
                    self.out.self_reference |= self.open.iter().any(|open| open.id == id);
                    Child { id, used_at: event.span }
                }
                EventKind::Scalar { properties, text, implicit } => {
                    let tag = match &properties.tag {
                        Some(name) => self.tag(name),
                        None if implicit => Tag::resolve_plain(&text),
                        None => Tag::Str,
                    };
                    self.out.has_value_tag |= tag == Tag::Value;
                    let id = self.add(&properties, event.span, tag, Content::Scalar(text))?;
                    Child { id, used_at: event.span }
                }
                EventKind::SequenceStart(properties) => {
                    self.start(&properties, event.span, true)?;
                    continue;
                }
                EventKind::MappingStart(properties) => {
                    self.start(&properties, event.span, false)?;
                    continue;
                }
                EventKind::CollectionEnd => self.close(event.span),
                EventKind::DocumentStart | EventKind::DocumentEnd | EventKind::StreamEnd => {
                    return Err(Error::new("expected a value, found the end of the document", event.span));
                }
            };
            let Some(open) = self.open.last_mut() else { return Ok(child.id) };
            if open.sequence {
                self.items.push(child);
            } else if let Some(key) = open.key.take() {
                self.entries.push(Entry { key, value: child, merged: false });
            } else {
                open.key = Some(child);
            }
        }
    }

    fn tag(&mut self, name: &str) -> Tag {
        Tag::standard(name).unwrap_or_else(|| {
            self.out.unknown_tags.push(name.into());
            Tag::Unknown(u32::try_from(self.out.unknown_tags.len() - 1).unwrap_or(u32::MAX))
        })
    }

    fn check_node_limit(&self, span: Span) -> Result<(), Error> {
        if self.out.nodes.len() + self.aliases >= MAX_NODES {
            return Err(Error::new(format!("expected at most {MAX_NODES} values in a document, found more"), span));
        }
        Ok(())
    }

    fn add(
        &mut self,
        properties: &Properties<'a>,
        span: Span,
        tag: Tag,
        content: Content<'a>,
    ) -> Result<NodeId, Error> {
        self.check_node_limit(span)?;
        let id = NodeId(u32::try_from(self.out.nodes.len()).unwrap_or(u32::MAX));
        if let Some(name) = properties.anchor {
            let here = Span::new(span.start, span.start + 1 + name.len());
            if self.anchors.len() >= MAX_ANCHORS {
                return Err(Error::new(
                    format!("expected at most {MAX_ANCHORS} anchors in a document, found more"),
                    here,
                ));
            }
            if let Some(first) = self.anchors.insert(name, Anchor { id, span: here }) {
                let message =
                    format!("expected a new name for this anchor, found a second {}", excerpt(&format!("&{name}")));
                return Err(Error::within(message, first.span, here));
            }
        }
        self.out.nodes.push(RawNode { span, tag, content });
        Ok(id)
    }

    fn start(&mut self, properties: &Properties<'a>, span: Span, sequence: bool) -> Result<(), Error> {
        let (default, content) =
            if sequence { (Tag::Seq, Content::Sequence(Vec::new())) } else { (Tag::Map, Content::Mapping(Vec::new())) };
        let tag = match &properties.tag {
            Some(name) => self.tag(name),
            None => default,
        };
        let id = self.add(properties, span, tag, content)?;
        if self.open.len() >= MAX_DEPTH {
            let message = format!("expected at most {MAX_DEPTH} levels of nesting, found more");
            return Err(Error::new(message, span));
        }
        let from = if sequence { self.items.len() } else { self.entries.len() };
        self.open.push(OpenCollection { id, sequence, from, key: None });
        Ok(())
    }

    /// Closes the innermost collection. The span of a block collection ends at its last value, not at
    /// the next token as in PyYAML.
    fn close(&mut self, end: Span) -> Child {
        let Some(open) = self.open.pop() else { return Child { id: NodeId(0), used_at: end } };
        let node = &mut self.out.nodes[open.id.0 as usize];
        let (content, last) = if open.sequence {
            let items = split_off_tail(&mut self.items, open.from);
            let last = items.last().copied();
            (Content::Sequence(items), last)
        } else {
            let entries = split_off_tail(&mut self.entries, open.from);
            let last = entries.last().map(|entry| entry.value);
            (Content::Mapping(entries), last)
        };
        let end = if end.start < end.end { end.end } else { last.map_or(node.span.end, |child| child.used_at.end) };
        node.span.end = node.span.end.max(end);
        node.content = content;
        Child { id: open.id, used_at: node.span }
    }
}

/// Splits off the tail of a stack. Moves the whole vector where possible, so that the root of a large
/// document is not copied.
fn split_off_tail<T>(stack: &mut Vec<T>, from: usize) -> Vec<T> {
    if from == 0 {
        let mut all = std::mem::take(stack);
        all.shrink_to_fit();
        all
    } else {
        stack.split_off(from)
    }
}
