//! Turns tokens into events: PyYAML's grammar as a state machine with an explicit stack.
//!
//! It peeks at tokens exactly when PyYAML does, because that decides which of two errors is found
//! first.

use std::borrow::Cow;
use std::collections::HashMap;

use super::error::{Error, excerpt};
use super::scanner::Scanner;
use super::token::{Directive, Token, TokenKind as T};
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
        /// Whether the text decides the type: a plain scalar without a tag, or any scalar tagged `!`.
        implicit: bool,
    },
    SequenceStart(Properties<'a>),
    MappingStart(Properties<'a>),
    /// End of a sequence or a mapping.
    CollectionEnd,
}

/// Anchor and tag of a node.
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    pub anchor: Option<&'a str>,
    /// Full tag with its handle expanded; `None` also for the tag `!`.
    pub tag: Option<Box<str>>,
}

pub(super) struct Parser<'a> {
    scanner: Scanner<'a>,
    state: State,
    states: Vec<State>,
    /// Start tokens of the open collections.
    marks: Vec<Span>,
    handles: HashMap<&'a str, Cow<'a, str>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    ImplicitDocumentStart,
    DocumentStart,
    DocumentContent,
    DocumentEnd,
    BlockNode,
    BlockSequenceFirst,
    BlockSequenceEntry,
    IndentlessSequenceEntry,
    BlockMappingFirst,
    BlockMappingKey,
    BlockMappingValue,
    FlowSequenceFirst,
    FlowSequenceEntry,
    PairKey,
    PairValue,
    PairEnd,
    FlowMappingFirst,
    FlowMappingKey,
    FlowMappingValue,
    FlowMappingEmptyValue,
    End,
}

/// Which kinds of node are allowed at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NodeContext {
    Flow,
    Block,
    BlockOrIndentlessSequence,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            scanner: Scanner::new(text),
            state: State::ImplicitDocumentStart,
            states: Vec::new(),
            marks: Vec::new(),
            handles: default_handles(),
        }
    }

    pub(super) fn next(&mut self) -> Result<Event<'a>, Error> {
        match self.state {
            State::ImplicitDocumentStart => self.implicit_document_start(),
            State::DocumentStart => self.document_start(),
            State::DocumentContent => self.document_content(),
            State::DocumentEnd => self.document_end(),
            State::BlockNode => self.node(NodeContext::Block),
            State::BlockSequenceFirst => {
                self.open()?;
                self.block_sequence_entry()
            }
            State::BlockSequenceEntry => self.block_sequence_entry(),
            State::IndentlessSequenceEntry => self.indentless_sequence_entry(),
            State::BlockMappingFirst => {
                self.open()?;
                self.block_mapping_key()
            }
            State::BlockMappingKey => self.block_mapping_key(),
            State::BlockMappingValue => self.block_mapping_value(),
            State::FlowSequenceFirst => {
                self.open()?;
                self.flow_sequence_entry(true)
            }
            State::FlowSequenceEntry => self.flow_sequence_entry(false),
            State::PairKey => self.pair_key(),
            State::PairValue => self.pair_value(),
            State::PairEnd => {
                self.state = State::FlowSequenceEntry;
                let span = Span::at(self.scanner.peek()?.span.start);
                Ok(Event { kind: EventKind::CollectionEnd, span })
            }
            State::FlowMappingFirst => {
                self.open()?;
                self.flow_mapping_key(true)
            }
            State::FlowMappingKey => self.flow_mapping_key(false),
            State::FlowMappingValue => self.flow_mapping_value(),
            State::FlowMappingEmptyValue => {
                self.state = State::FlowMappingKey;
                self.empty_scalar_here()
            }
            State::End => {
                let span = self.scanner.peek()?.span;
                Ok(Event { kind: EventKind::StreamEnd, span })
            }
        }
    }

    /// The error of the first lone surrogate, to report if there is no other error.
    pub(super) fn lone_surrogate(&mut self) -> Option<Error> {
        self.scanner.lone_surrogate.take()
    }

    fn kind(&mut self) -> Result<&T<'a>, Error> {
        Ok(&self.scanner.peek()?.kind)
    }

    fn open(&mut self) -> Result<(), Error> {
        let token = self.scanner.next()?;
        self.marks.push(token.span);
        Ok(())
    }

    fn pop(&mut self) -> State {
        self.states.pop().unwrap_or(State::End)
    }

    fn close(&mut self, token: &Token<'a>) -> Event<'a> {
        self.state = self.pop();
        self.marks.pop();
        Event { kind: EventKind::CollectionEnd, span: token.span }
    }

    /// An error in the innermost open collection.
    fn unexpected(&mut self, expected: &str) -> Result<Error, Error> {
        let token = self.scanner.peek()?;
        let message = format!("expected {expected}, found {}", token.kind.name());
        let span = token.span;
        Ok(match self.marks.last() {
            Some(mark) => Error::within(message, *mark, span),
            None => Error::new(message, span),
        })
    }

    fn empty_scalar(span: Span) -> Event<'a> {
        let kind = EventKind::Scalar { properties: Properties::default(), text: Cow::Borrowed(""), implicit: true };
        Event { kind, span }
    }

    fn empty_scalar_here(&mut self) -> Result<Event<'a>, Error> {
        Ok(Self::empty_scalar(Span::at(self.scanner.peek()?.span.start)))
    }

    // Documents.

    fn implicit_document_start(&mut self) -> Result<Event<'a>, Error> {
        let token = self.scanner.peek()?;
        if matches!(token.kind, T::Directive(_) | T::DocumentStart | T::StreamEnd) {
            return self.document_start();
        }
        let span = Span::at(token.span.start);
        self.states.push(State::DocumentEnd);
        self.state = State::BlockNode;
        Ok(Event { kind: EventKind::DocumentStart, span })
    }

    fn document_start(&mut self) -> Result<Event<'a>, Error> {
        while matches!(self.kind()?, T::DocumentEnd) {
            self.scanner.next()?;
        }
        let span = self.scanner.peek()?.span;
        if matches!(self.kind()?, T::StreamEnd) {
            self.state = State::End;
            return Ok(Event { kind: EventKind::StreamEnd, span });
        }
        self.directives()?;
        if !matches!(self.kind()?, T::DocumentStart) {
            let token = self.scanner.peek()?;
            let message = format!("expected the document start `---`, found {}", token.kind.name());
            return Err(Error::new(message, token.span));
        }
        self.scanner.next()?;
        self.states.push(State::DocumentEnd);
        self.state = State::DocumentContent;
        Ok(Event { kind: EventKind::DocumentStart, span })
    }

    fn document_end(&mut self) -> Result<Event<'a>, Error> {
        let span = self.scanner.peek()?.span;
        if matches!(self.kind()?, T::DocumentEnd) {
            self.scanner.next()?;
        }
        self.state = State::DocumentStart;
        Ok(Event { kind: EventKind::DocumentEnd, span })
    }

    fn document_content(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::Directive(_) | T::DocumentStart | T::DocumentEnd | T::StreamEnd) {
            let event = self.empty_scalar_here()?;
            self.state = self.pop();
            return Ok(event);
        }
        self.node(NodeContext::Block)
    }

    fn directives(&mut self) -> Result<(), Error> {
        let mut version = false;
        let mut handles = HashMap::new();
        while matches!(self.kind()?, T::Directive(_)) {
            let token = self.scanner.next()?;
            match token.kind {
                T::Directive(Directive::Yaml { supported }) => {
                    if version {
                        return Err(Error::new("expected one %YAML directive, found a second one", token.span));
                    }
                    if !supported {
                        return Err(Error::new("expected YAML version 1, found another one", token.span));
                    }
                    version = true;
                }
                T::Directive(Directive::Tag { handle, .. }) if handles.contains_key(handle) => {
                    let message = format!("expected one %TAG directive for {}, found a second one", excerpt(handle));
                    return Err(Error::new(message, token.span));
                }
                T::Directive(Directive::Tag { handle, prefix }) => {
                    handles.insert(handle, prefix);
                }
                _ => {}
            }
        }
        self.handles = default_handles();
        self.handles.extend(handles);
        Ok(())
    }

    // Nodes.

    fn node(&mut self, place: NodeContext) -> Result<Event<'a>, Error> {
        if let T::Alias(name) = *self.kind()? {
            let span = self.scanner.next()?.span;
            self.state = self.pop();
            return Ok(Event { kind: EventKind::Alias(name), span });
        }
        let Some((properties, has_tag, span)) = self.properties()? else {
            let span = Span::at(self.scanner.peek()?.span.start);
            return self.content(place, Properties::default(), false, span, false);
        };
        self.content(place, properties, has_tag, span, true)
    }

    /// Reads tag and anchor in either order. Returns them, whether there is a tag, and their span.
    fn properties(&mut self) -> Result<Option<(Properties<'a>, bool, Span)>, Error> {
        let mut anchor = None;
        let mut tag = None;
        let mut span: Option<Span> = None;
        let anchor_first = matches!(self.kind()?, T::Anchor(_));
        for turn in 0..2 {
            let want_anchor = anchor_first == (turn == 0);
            match self.kind()? {
                T::Anchor(_) if want_anchor => {}
                T::Tag(_) if !want_anchor => {}
                _ => break,
            }
            let token = self.scanner.next()?;
            span = Some(span.map_or(token.span, |first| first.to(token.span)));
            match token.kind {
                T::Anchor(name) => anchor = Some(name),
                T::Tag(value) => tag = Some((value, token.span)),
                _ => {}
            }
        }
        let Some(span) = span else { return Ok(None) };
        let has_tag = tag.is_some();
        let tag = match tag {
            None => None,
            Some((value, tag_span)) => {
                let prefix = match value.handle {
                    None => "",
                    Some(handle) => self.handles.get(handle).ok_or_else(|| {
                        let message =
                            format!("expected a tag handle that a %TAG directive declares, found {}", excerpt(handle));
                        Error::within(message, Span::new(span.start, span.start + 1), tag_span)
                    })?,
                };
                let full = format!("{prefix}{}", value.suffix);
                (full != "!").then(|| full.into_boxed_str())
            }
        };
        Ok(Some((Properties { anchor, tag }, has_tag, span)))
    }

    fn content(
        &mut self,
        place: NodeContext,
        properties: Properties<'a>,
        has_tag: bool,
        span: Span,
        has_properties: bool,
    ) -> Result<Event<'a>, Error> {
        let token = self.scanner.peek()?;
        let reach = token.span;
        let block = place != NodeContext::Flow;
        let (kind, state) = match &token.kind {
            T::BlockEntry if place == NodeContext::BlockOrIndentlessSequence => {
                (EventKind::SequenceStart(properties), State::IndentlessSequenceEntry)
            }
            T::Scalar { .. } => {
                let token = self.scanner.next()?;
                let T::Scalar { text, plain } = token.kind else {
                    return Err(Error::new("expected a scalar", token.span));
                };
                let implicit = if has_tag { properties.tag.is_none() } else { plain };
                self.state = self.pop();
                return Ok(Event { kind: EventKind::Scalar { properties, text, implicit }, span: span.to(token.span) });
            }
            T::FlowSequenceStart => (EventKind::SequenceStart(properties), State::FlowSequenceFirst),
            T::FlowMappingStart => (EventKind::MappingStart(properties), State::FlowMappingFirst),
            T::BlockSequenceStart if block => (EventKind::SequenceStart(properties), State::BlockSequenceFirst),
            T::BlockMappingStart if block => (EventKind::MappingStart(properties), State::BlockMappingFirst),
            _ if has_properties => {
                let implicit = properties.tag.is_none();
                self.state = self.pop();
                let kind = EventKind::Scalar { properties, text: Cow::Borrowed(""), implicit };
                return Ok(Event { kind, span });
            }
            other => {
                let message = format!("expected a value, found {}", other.name());
                return Err(Error::within(message, span, reach));
            }
        };
        self.state = state;
        Ok(Event { kind, span: span.to(Span::at(reach.start)) })
    }

    /// Reads a node, or returns an empty scalar at `at` if the next token satisfies `empty`.
    fn node_or_empty(
        &mut self,
        empty: fn(&T<'a>) -> bool,
        next: State,
        place: NodeContext,
        at: Option<usize>,
    ) -> Result<Event<'a>, Error> {
        if empty(self.kind()?) {
            self.state = next;
            return match at {
                Some(at) => Ok(Self::empty_scalar(Span::at(at))),
                None => self.empty_scalar_here(),
            };
        }
        self.states.push(next);
        self.node(place)
    }
}

impl<'a> Parser<'a> {
    // Block collections.

    fn block_sequence_entry(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::BlockEntry) {
            let end = self.scanner.next()?.span.end;
            let empty = |kind: &T<'a>| matches!(kind, T::BlockEntry | T::BlockEnd);
            return self.node_or_empty(empty, State::BlockSequenceEntry, NodeContext::Block, Some(end));
        }
        if !matches!(self.kind()?, T::BlockEnd) {
            return Err(self.unexpected("another list item or the end of the list")?);
        }
        let token = self.scanner.next()?;
        Ok(self.close(&token))
    }

    fn indentless_sequence_entry(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::BlockEntry) {
            let end = self.scanner.next()?.span.end;
            let empty = |kind: &T<'a>| matches!(kind, T::BlockEntry | T::Key | T::Value | T::BlockEnd);
            return self.node_or_empty(empty, State::IndentlessSequenceEntry, NodeContext::Block, Some(end));
        }
        let span = Span::at(self.scanner.peek()?.span.start);
        self.state = self.pop();
        Ok(Event { kind: EventKind::CollectionEnd, span })
    }

    fn block_mapping_key(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::Key) {
            let end = self.scanner.next()?.span.end;
            return self.block_mapping_node(State::BlockMappingValue, end);
        }
        if !matches!(self.kind()?, T::BlockEnd) {
            return Err(self.unexpected("another key or the end of the mapping")?);
        }
        let token = self.scanner.next()?;
        Ok(self.close(&token))
    }

    fn block_mapping_node(&mut self, next: State, at: usize) -> Result<Event<'a>, Error> {
        let empty = |kind: &T<'a>| matches!(kind, T::Key | T::Value | T::BlockEnd);
        self.node_or_empty(empty, next, NodeContext::BlockOrIndentlessSequence, Some(at))
    }

    fn block_mapping_value(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::Value) {
            let end = self.scanner.next()?.span.end;
            return self.block_mapping_node(State::BlockMappingKey, end);
        }
        self.state = State::BlockMappingKey;
        self.empty_scalar_here()
    }

    // Flow collections.

    fn flow_sequence_entry(&mut self, first: bool) -> Result<Event<'a>, Error> {
        if !matches!(self.kind()?, T::FlowSequenceEnd) {
            if !first {
                if !matches!(self.kind()?, T::FlowEntry) {
                    return Err(self.unexpected("`,` or `]`")?);
                }
                self.scanner.next()?;
            }
            if matches!(self.kind()?, T::Key) {
                self.state = State::PairKey;
                let span = self.scanner.peek()?.span;
                return Ok(Event { kind: EventKind::MappingStart(Properties::default()), span });
            }
            if !matches!(self.kind()?, T::FlowSequenceEnd) {
                self.states.push(State::FlowSequenceEntry);
                return self.node(NodeContext::Flow);
            }
        }
        let token = self.scanner.next()?;
        Ok(self.close(&token))
    }

    fn pair_key(&mut self) -> Result<Event<'a>, Error> {
        let end = self.scanner.next()?.span.end;
        let empty = |kind: &T<'a>| matches!(kind, T::Value | T::FlowEntry | T::FlowSequenceEnd);
        self.node_or_empty(empty, State::PairValue, NodeContext::Flow, Some(end))
    }

    fn pair_value(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::Value) {
            let end = self.scanner.next()?.span.end;
            let empty = |kind: &T<'a>| matches!(kind, T::FlowEntry | T::FlowSequenceEnd);
            return self.node_or_empty(empty, State::PairEnd, NodeContext::Flow, Some(end));
        }
        self.state = State::PairEnd;
        self.empty_scalar_here()
    }

    fn flow_mapping_key(&mut self, first: bool) -> Result<Event<'a>, Error> {
        if !matches!(self.kind()?, T::FlowMappingEnd) {
            if !first {
                if !matches!(self.kind()?, T::FlowEntry) {
                    return Err(self.unexpected("`,` or `}`")?);
                }
                self.scanner.next()?;
            }
            if matches!(self.kind()?, T::Key) {
                let end = self.scanner.next()?.span.end;
                let empty = |kind: &T<'a>| matches!(kind, T::Value | T::FlowEntry | T::FlowMappingEnd);
                return self.node_or_empty(empty, State::FlowMappingValue, NodeContext::Flow, Some(end));
            }
            if !matches!(self.kind()?, T::FlowMappingEnd) {
                self.states.push(State::FlowMappingEmptyValue);
                return self.node(NodeContext::Flow);
            }
        }
        let token = self.scanner.next()?;
        Ok(self.close(&token))
    }

    fn flow_mapping_value(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::Value) {
            let end = self.scanner.next()?.span.end;
            let empty = |kind: &T<'a>| matches!(kind, T::FlowEntry | T::FlowMappingEnd);
            return self.node_or_empty(empty, State::FlowMappingKey, NodeContext::Flow, Some(end));
        }
        self.state = State::FlowMappingKey;
        self.empty_scalar_here()
    }
}

fn default_handles<'a>() -> HashMap<&'a str, Cow<'a, str>> {
    HashMap::from([("!", Cow::Borrowed("!")), ("!!", Cow::Borrowed("tag:yaml.org,2002:"))])
}
