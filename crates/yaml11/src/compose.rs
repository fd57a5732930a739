//! Events to nodes: anchors, aliases as second references, tags resolved.

use std::borrow::Cow;
use std::collections::HashMap;

use super::error::{Error, shown};
use super::event::{EventKind, Properties};
use super::parser::Parser;
use super::resolve::Tag;
use super::tree::{Child, Entry, NodeId};
use crate::Span;

/// How deep lists and mappings may be nested. PyYAML gives up at 491 to 494 levels, when Python's stack ends.
pub const MAX_DEPTH: usize = 490;

/// How many nodes a document may have, aliases among them. User-data of 64 KiB cannot have a tenth of it.
pub const MAX_NODES: usize = 1_000_000;

/// How many anchors a document may have.
const MAX_ANCHORS: usize = 100_000;

#[derive(Debug)]
pub(super) struct Raw<'a> {
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
    pub nodes: Vec<Raw<'a>>,
    pub root: Option<NodeId>,
    /// Names of tags that are not standard.
    pub unknown_tags: Vec<Box<str>>,
    /// Some scalar has the tag `value` (`=`).
    pub has_value_tag: bool,
    /// Some alias stands inside the node that it names.
    pub self_reference: bool,
    /// A fault that counts only if no other is found.
    pub deferred: Option<Error>,
}

/// A collection that is still open.
struct Open {
    id: NodeId,
    sequence: bool,
    /// Where its items or entries begin in the composer's stack of them.
    from: usize,
    key: Option<Child>,
}

struct Composer<'a> {
    parser: Parser<'a>,
    out: Composed<'a>,
    anchors: HashMap<&'a str, Anchored>,
    open: Vec<Open>,
    /// The items of all open lists, and the entries of all open mappings, the innermost last.
    items: Vec<Child>,
    entries: Vec<Entry>,
    aliases: usize,
}

#[derive(Clone, Copy)]
struct Anchored {
    id: NodeId,
    /// The node's first byte, where the anchor or tag stands.
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
    composer.out.deferred = composer.parser.deferred();
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
                            format!("expected an alias of an anchor before it, found {}", shown(&format!("*{name}")));
                        return Err(Error::new(message, event.span));
                    };
                    let id = anchored.id;
                    self.aliases += 1;
                    self.one_more(event.span)?;
                    self.out.self_reference |= self.open.iter().any(|open| open.id == id);
                    Child { id, used_at: event.span }
                }
                EventKind::Scalar { properties, text, implicit } => {
                    let tag = match &properties.tag {
                        Some(name) => self.tag(name),
                        None if implicit => Tag::of_plain(&text),
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

    fn one_more(&self, span: Span) -> Result<(), Error> {
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
        self.one_more(span)?;
        let id = NodeId(u32::try_from(self.out.nodes.len()).unwrap_or(u32::MAX));
        if let Some(name) = properties.anchor {
            let here = Span::new(span.start, span.start + 1 + name.len());
            if self.anchors.len() >= MAX_ANCHORS {
                return Err(Error::new(
                    format!("expected at most {MAX_ANCHORS} anchors in a document, found more"),
                    here,
                ));
            }
            if let Some(first) = self.anchors.insert(name, Anchored { id, span: here }) {
                let message =
                    format!("expected a new name for this anchor, found a second {}", shown(&format!("&{name}")));
                return Err(Error::within(message, first.span, here));
            }
        }
        self.out.nodes.push(Raw { span, tag, content });
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
        self.open.push(Open { id, sequence, from, key: None });
        Ok(())
    }

    /// The innermost collection ends. A block collection ends for us where its last value does, not at the next token.
    fn close(&mut self, end: Span) -> Child {
        let Some(open) = self.open.pop() else { return Child { id: NodeId(0), used_at: end } };
        let node = &mut self.out.nodes[open.id.0 as usize];
        let (content, last) = if open.sequence {
            let items = taken(&mut self.items, open.from);
            let last = items.last().copied();
            (Content::Sequence(items), last)
        } else {
            let entries = taken(&mut self.entries, open.from);
            let last = entries.last().map(|entry| entry.value);
            (Content::Mapping(entries), last)
        };
        let end = if end.start < end.end { end.end } else { last.map_or(node.span.end, |child| child.used_at.end) };
        node.span.end = node.span.end.max(end);
        node.content = content;
        Child { id: open.id, used_at: node.span }
    }
}

/// The end of a stack. All of it is handed over as it is, and not copied: of a large document's root there need not be two.
fn taken<T>(stack: &mut Vec<T>, from: usize) -> Vec<T> {
    if from == 0 {
        let mut all = std::mem::take(stack);
        all.shrink_to_fit();
        all
    } else {
        stack.split_off(from)
    }
}
