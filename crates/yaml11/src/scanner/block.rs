//! Block scalars: literal `|` and folded `>`.

use super::super::error::Error;
use super::super::reader::{ends_line, ends_word, line_end};
use super::super::token::{Token, TokenKind};
use super::breaks::Breaks;
use super::{Pieces, Scanner};
use crate::Span;

/// What becomes of the line breaks at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chomping {
    Clip,
    Strip,
    Keep,
}

impl<'a> Scanner<'a> {
    pub(super) fn scan_block_scalar(&mut self, folded: bool) -> Result<Token<'a>, Error> {
        let start = self.pos;
        self.forward(1);
        let (chomping, increment) = self.block_header(start)?;

        let min_indent = (self.indent + 1).max(1);
        let mut end;
        let mut breaks;
        let indent;
        if let Some(increment) = increment {
            indent = min_indent + increment - 1;
            (breaks, end) = self.block_breaks(indent);
        } else {
            let max_indent;
            (breaks, max_indent, end) = self.block_indentation();
            indent = min_indent.max(max_indent);
        }

        let mut pieces = Pieces::new(self.text);
        let mut last_break = "";
        while self.column == indent && !self.at_end() {
            breaks.write(&mut pieces);
            let starts_blank = matches!(self.byte(), b' ' | b'\t');
            let line = line_end(self.bytes, self.pos);
            pieces.slice(self.pos, line);
            self.forward_to(line);
            last_break = self.line_break().unwrap_or("");
            (breaks, end) = self.block_breaks(indent);
            if self.column != indent || self.at_end() {
                break;
            }
            if folded && last_break == "\n" && !starts_blank && !matches!(self.byte(), b' ' | b'\t') {
                if breaks.is_empty() {
                    pieces.push(" ");
                }
            } else {
                pieces.push(last_break);
            }
        }
        if chomping != Chomping::Strip {
            pieces.push(last_break);
        }
        if chomping == Chomping::Keep {
            breaks.write(&mut pieces);
        }
        Ok(Token { kind: TokenKind::Scalar { text: pieces.finish(), plain: false }, span: Span::new(start, end) })
    }

    /// The rest of the line after `|` or `>`, and the line's end.
    fn block_header(&mut self, start: usize) -> Result<(Chomping, Option<isize>), Error> {
        let opening = Span::new(start, start + 1);
        let mut chomping = self.chomping_indicator();
        let mut increment = None;
        let digit = self.byte();
        if digit.is_ascii_digit() {
            if digit == b'0' {
                let message = "expected an indentation of 1 to 9 for the block scalar, found 0";
                return Err(Error::within(message, opening, self.here()));
            }
            increment = Some(isize::from(digit - b'0'));
            self.forward(1);
            if chomping.is_none() {
                chomping = self.chomping_indicator();
            }
        }
        if !ends_word(self.bytes, self.pos) {
            let message =
                format!("expected `+`, `-` or a digit after the block scalar's `|` or `>`, found {}", self.found());
            return Err(Error::within(message, opening, self.here()));
        }
        self.skip_spaces();
        self.skip_comment();
        if !ends_line(self.bytes, self.pos) {
            let message = format!(
                "expected the block scalar's text to start on the next line, found {} after its indicators",
                self.found()
            );
            return Err(Error::within(message, opening, self.here()));
        }
        self.line_break();
        Ok((chomping.unwrap_or(Chomping::Clip), increment))
    }

    fn chomping_indicator(&mut self) -> Option<Chomping> {
        let chomping = match self.byte() {
            b'+' => Chomping::Keep,
            b'-' => Chomping::Strip,
            _ => return None,
        };
        self.forward(1);
        Some(chomping)
    }

    /// Blank lines before the first line of text; the widest of them takes part in finding the indentation.
    fn block_indentation(&mut self) -> (Breaks<'a>, isize, usize) {
        let mut breaks = Breaks::default();
        let mut max_indent = 0;
        let mut end = self.pos;
        loop {
            self.skip_spaces();
            max_indent = max_indent.max(self.column);
            let Some(text) = self.line_break() else { return (breaks, max_indent, end) };
            breaks.push(text);
            end = self.pos;
        }
    }

    /// Blank lines, and the indentation of the line after them.
    fn block_breaks(&mut self, indent: isize) -> (Breaks<'a>, usize) {
        let mut breaks = Breaks::default();
        let mut end = self.pos;
        loop {
            while self.column < indent && self.byte() == b' ' {
                self.forward(1);
            }
            let Some(text) = self.line_break() else { return (breaks, end) };
            breaks.push(text);
            end = self.pos;
        }
    }
}
