//! What stands between the brackets, dashes and indentations of a collection.

use super::super::error::Error;
use super::super::event::{Event, EventKind, Properties};
use super::super::token::TokenKind as T;
use super::{Parser, Place, State};
use crate::Span;

impl<'a> Parser<'a> {
    // Block collections.

    pub(super) fn block_sequence_entry(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::BlockEntry) {
            let end = self.scanner.next()?.span.end;
            let empty = |kind: &T<'a>| matches!(kind, T::BlockEntry | T::BlockEnd);
            return self.node_or_empty(empty, State::BlockSequenceEntry, Place::Block, Some(end));
        }
        if !matches!(self.kind()?, T::BlockEnd) {
            return Err(self.unexpected("another list item or the end of the list")?);
        }
        let token = self.scanner.next()?;
        Ok(self.close(&token))
    }

    pub(super) fn indentless_sequence_entry(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::BlockEntry) {
            let end = self.scanner.next()?.span.end;
            let empty = |kind: &T<'a>| matches!(kind, T::BlockEntry | T::Key | T::Value | T::BlockEnd);
            return self.node_or_empty(empty, State::IndentlessSequenceEntry, Place::Block, Some(end));
        }
        let span = Span::at(self.scanner.peek()?.span.start);
        self.state = self.pop();
        Ok(Event { kind: EventKind::CollectionEnd, span })
    }

    pub(super) fn block_mapping_key(&mut self) -> Result<Event<'a>, Error> {
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

    pub(super) fn block_mapping_node(&mut self, next: State, at: usize) -> Result<Event<'a>, Error> {
        let empty = |kind: &T<'a>| matches!(kind, T::Key | T::Value | T::BlockEnd);
        self.node_or_empty(empty, next, Place::BlockOrIndentlessSequence, Some(at))
    }

    pub(super) fn block_mapping_value(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::Value) {
            let end = self.scanner.next()?.span.end;
            return self.block_mapping_node(State::BlockMappingKey, end);
        }
        self.state = State::BlockMappingKey;
        self.empty_scalar_here()
    }

    // Flow collections.

    pub(super) fn flow_sequence_entry(&mut self, first: bool) -> Result<Event<'a>, Error> {
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
                return self.node(Place::Flow);
            }
        }
        let token = self.scanner.next()?;
        Ok(self.close(&token))
    }

    pub(super) fn pair_key(&mut self) -> Result<Event<'a>, Error> {
        let end = self.scanner.next()?.span.end;
        let empty = |kind: &T<'a>| matches!(kind, T::Value | T::FlowEntry | T::FlowSequenceEnd);
        self.node_or_empty(empty, State::PairValue, Place::Flow, Some(end))
    }

    pub(super) fn pair_value(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::Value) {
            let end = self.scanner.next()?.span.end;
            let empty = |kind: &T<'a>| matches!(kind, T::FlowEntry | T::FlowSequenceEnd);
            return self.node_or_empty(empty, State::PairEnd, Place::Flow, Some(end));
        }
        self.state = State::PairEnd;
        self.empty_scalar_here()
    }

    pub(super) fn flow_mapping_key(&mut self, first: bool) -> Result<Event<'a>, Error> {
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
                return self.node_or_empty(empty, State::FlowMappingValue, Place::Flow, Some(end));
            }
            if !matches!(self.kind()?, T::FlowMappingEnd) {
                self.states.push(State::FlowMappingEmptyValue);
                return self.node(Place::Flow);
            }
        }
        let token = self.scanner.next()?;
        Ok(self.close(&token))
    }

    pub(super) fn flow_mapping_value(&mut self) -> Result<Event<'a>, Error> {
        if matches!(self.kind()?, T::Value) {
            let end = self.scanner.next()?.span.end;
            let empty = |kind: &T<'a>| matches!(kind, T::FlowEntry | T::FlowMappingEnd);
            return self.node_or_empty(empty, State::FlowMappingKey, Place::Flow, Some(end));
        }
        self.state = State::FlowMappingKey;
        self.empty_scalar_here()
    }
}
