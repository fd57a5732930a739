//! Tokens to events: PyYAML's grammar as a machine with an explicit stack of states.
//!
//! It looks at tokens exactly when PyYAML does, as that decides which of two faults in a text is met first.

mod collections;

use std::borrow::Cow;
use std::collections::HashMap;

use super::error::{Error, shown};
use super::event::{Event, EventKind, Properties};
use super::scanner::Scanner;
use super::token::{Directive, Token, TokenKind as T};
use crate::Span;

pub(super) struct Parser<'a> {
    scanner: Scanner<'a>,
    state: State,
    states: Vec<State>,
    /// Where the open collections began.
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

/// What a node may be at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
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
            State::BlockNode => self.node(Place::Block),
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

    /// A fault that counts only if no other is found.
    pub(super) fn deferred(&mut self) -> Option<Error> {
        self.scanner.deferred.take()
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

    /// A fault in the innermost open collection.
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
        self.node(Place::Block)
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
                    let message = format!("expected one %TAG directive for {}, found a second one", shown(handle));
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

    fn node(&mut self, place: Place) -> Result<Event<'a>, Error> {
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

    /// Tag and anchor in either order, whether there is a tag at all, and where they stand.
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
                            format!("expected a tag handle that a %TAG directive declares, found {}", shown(handle));
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
        place: Place,
        properties: Properties<'a>,
        has_tag: bool,
        span: Span,
        has_properties: bool,
    ) -> Result<Event<'a>, Error> {
        let token = self.scanner.peek()?;
        let reach = token.span;
        let block = place != Place::Flow;
        let (kind, state) = match &token.kind {
            T::BlockEntry if place == Place::BlockOrIndentlessSequence => {
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

    /// A node unless `empty` says that there is none; then an empty scalar at `at`.
    fn node_or_empty(
        &mut self,
        empty: fn(&T<'a>) -> bool,
        next: State,
        place: Place,
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

fn default_handles<'a>() -> HashMap<&'a str, Cow<'a, str>> {
    HashMap::from([("!", Cow::Borrowed("!")), ("!!", Cow::Borrowed("tag:yaml.org,2002:"))])
}
