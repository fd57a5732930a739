//! Plain scalars.

use super::super::reader::{break_len, ends_token};
use super::super::token::{Token, TokenKind};
use super::breaks::Breaks;
use super::{Pieces, Scanner};
use crate::Span;

/// What stood between two chunks of a plain scalar.
struct Gap<'a> {
    /// Spaces within the line.
    spaces: (usize, usize),
    /// The first line break, and how the scalar reads it; `None` for a gap within a line.
    first: Option<&'a str>,
    /// Further breaks, as they read.
    breaks: Breaks<'a>,
    /// A document separator follows.
    separator: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn scan_plain(&mut self) -> Token<'a> {
        let start = self.pos;
        let mut end = start;
        let indent = self.indent + 1;
        let mut pieces = Pieces::new(self.text);
        let mut gap: Option<Gap<'a>> = None;
        loop {
            if self.byte() == b'#' {
                break;
            }
            let chunk_end = self.plain_chunk_end();
            if chunk_end == self.pos {
                break;
            }
            self.allow_simple_key = false;
            if let Some(gap) = gap.take() {
                gap.write(&mut pieces);
            }
            pieces.slice(self.pos, chunk_end);
            self.forward_to(chunk_end);
            end = chunk_end;
            let next = self.plain_gap();
            let over = next.separator || (next.first.is_none() && next.spaces.0 == next.spaces.1);
            if over || self.byte() == b'#' || (self.in_block() && self.column < indent) {
                break;
            }
            gap = Some(next);
        }
        Token { kind: TokenKind::Scalar { text: pieces.finish(), plain: true }, span: Span::new(start, end) }
    }

    /// Where the run of characters ends that belongs to the scalar for sure.
    fn plain_chunk_end(&self) -> usize {
        let flow = !self.in_block();
        let mut at = self.pos;
        while let Some(byte) = self.bytes.get(at) {
            let stop = match byte {
                b' ' | b'\t' | b'\n' | b'\r' => true,
                0xc2 | 0xe2 => break_len(self.bytes, at) > 0,
                b':' => {
                    ends_token(self.bytes, at + 1)
                        || (flow && matches!(self.bytes[at + 1], b',' | b'[' | b']' | b'{' | b'}'))
                }
                b',' | b'?' | b'[' | b']' | b'{' | b'}' => flow,
                _ => false,
            };
            if stop {
                break;
            }
            at += 1;
        }
        at
    }

    fn plain_gap(&mut self) -> Gap<'a> {
        let start = self.pos;
        self.skip_spaces();
        let mut gap = Gap { spaces: (start, self.pos), first: None, breaks: Breaks::default(), separator: false };
        gap.first = self.line_break();
        if gap.first.is_none() {
            return gap;
        }
        self.allow_simple_key = true;
        if self.at_document_separator() {
            gap.separator = true;
            return gap;
        }
        loop {
            self.skip_spaces();
            let Some(next) = self.line_break() else { return gap };
            gap.breaks.push(next);
            if self.at_document_separator() {
                gap.separator = true;
                return gap;
            }
        }
    }
}

impl<'a> Gap<'a> {
    fn write(&self, pieces: &mut Pieces<'a>) {
        match self.first {
            None => pieces.slice(self.spaces.0, self.spaces.1),
            Some("\n") if self.breaks.is_empty() => pieces.push(" "),
            Some("\n") => {}
            Some(separator) => pieces.push(separator),
        }
        self.breaks.write(pieces);
    }
}
