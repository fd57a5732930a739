//! The text of scalars: plain, single and double quoted, literal and folded blocks.

use std::borrow::Cow;

use super::{Scanner, describe};
use crate::Span;
use crate::characters::{break_len, ends_line, ends_token, ends_word, line_end};
use crate::error::Error;
use crate::token::{Token, TokenKind};

/// The text of a scalar: a slice of the source while its parts are adjacent, then a string.
pub(super) struct ScalarText<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    owned: Option<String>,
}

impl<'a> ScalarText<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, start: 0, end: 0, owned: None }
    }

    pub(super) fn slice(&mut self, start: usize, end: usize) {
        if start == end {
            return;
        }
        if let Some(owned) = &mut self.owned {
            owned.push_str(&self.text[start..end]);
        } else if self.start == self.end {
            (self.start, self.end) = (start, end);
        } else if self.end == start {
            self.end = end;
        } else {
            let text = self.text;
            self.own().push_str(&text[start..end]);
        }
    }

    pub(super) fn push(&mut self, piece: &str) {
        self.own().push_str(piece);
    }

    fn push_char(&mut self, piece: char) {
        self.own().push(piece);
    }

    fn own(&mut self) -> &mut String {
        self.owned.get_or_insert_with(|| self.text[self.start..self.end].to_owned())
    }

    pub(super) fn finish(self) -> Cow<'a, str> {
        match self.owned {
            Some(owned) => Cow::Owned(owned),
            None => Cow::Borrowed(&self.text[self.start..self.end]),
        }
    }
}

/// Line breaks between the lines of a scalar. Nearly all are `\n`, so only their number is kept.
#[derive(Debug, Default)]
struct Breaks<'a> {
    newlines: usize,
    /// All breaks in order, once one of them is LS or PS.
    mixed: Option<Vec<&'a str>>,
}

impl<'a> Breaks<'a> {
    fn push(&mut self, text: &'a str) {
        match &mut self.mixed {
            Some(mixed) => mixed.push(text),
            None if text == "\n" => self.newlines += 1,
            None => {
                let mut mixed = vec!["\n"; self.newlines];
                mixed.push(text);
                self.mixed = Some(mixed);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.newlines == 0 && self.mixed.is_none()
    }

    fn write(&self, pieces: &mut ScalarText<'a>) {
        match &self.mixed {
            Some(mixed) => mixed.iter().for_each(|text| pieces.push(text)),
            None => (0..self.newlines).for_each(|_| pieces.push("\n")),
        }
    }
}

/// White space between two chunks of a plain scalar.
struct Gap<'a> {
    /// Range of spaces within the line.
    spaces: (usize, usize),
    /// The first line break, folded; `None` for a gap within a line.
    first: Option<&'a str>,
    /// Further breaks, folded.
    breaks: Breaks<'a>,
    /// Whether a document separator follows.
    separator: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn scan_plain(&mut self) -> Token<'a> {
        let start = self.pos;
        let mut end = start;
        let indent = self.indent + 1;
        let mut pieces = ScalarText::new(self.text);
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

    /// End of the characters that certainly belong to the scalar.
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
    fn write(&self, pieces: &mut ScalarText<'a>) {
        match self.first {
            None => pieces.slice(self.spaces.0, self.spaces.1),
            Some("\n") if self.breaks.is_empty() => pieces.push(" "),
            Some("\n") => {}
            Some(separator) => pieces.push(separator),
        }
        self.breaks.write(pieces);
    }
}

impl<'a> Scanner<'a> {
    pub(super) fn scan_quoted(&mut self, quote: u8) -> Result<Token<'a>, Error> {
        let start = self.pos;
        let double = quote == b'"';
        let mut pieces = ScalarText::new(self.text);
        self.forward(1);
        self.quoted_text(double, start, &mut pieces)?;
        while self.byte() != quote {
            self.quoted_space(start, &mut pieces)?;
            self.quoted_text(double, start, &mut pieces)?;
        }
        self.forward(1);
        let span = Span::new(start, self.pos);
        Ok(Token { kind: TokenKind::Scalar { text: pieces.finish(), plain: false }, span })
    }

    fn quoted_text(&mut self, double: bool, start: usize, pieces: &mut ScalarText<'a>) -> Result<(), Error> {
        loop {
            let run = self.quoted_run_end();
            pieces.slice(self.pos, run);
            self.forward_to(run);
            match self.byte() {
                b'\'' if !double && self.byte_at(1) == b'\'' => {
                    pieces.push("'");
                    self.forward(2);
                }
                b'\'' if double => self.push_byte(pieces),
                b'"' | b'\\' if !double => self.push_byte(pieces),
                b'\\' => self.escape(start, pieces)?,
                _ => return Ok(()),
            }
        }
    }

    fn push_byte(&mut self, pieces: &mut ScalarText<'a>) {
        pieces.slice(self.pos, self.pos + 1);
        self.forward(1);
    }

    fn quoted_run_end(&self) -> usize {
        let mut at = self.pos;
        while let Some(byte) = self.bytes.get(at) {
            match byte {
                b'\'' | b'"' | b'\\' | b' ' | b'\t' | b'\r' | b'\n' => break,
                0xc2 | 0xe2 if break_len(self.bytes, at) > 0 => break,
                _ => at += 1,
            }
        }
        at
    }

    fn escape(&mut self, start: usize, pieces: &mut ScalarText<'a>) -> Result<(), Error> {
        let escape_at = self.pos;
        self.forward(1);
        let simple = match self.byte() {
            b'0' => '\0',
            b'a' => '\u{7}',
            b'b' => '\u{8}',
            b't' | b'\t' => '\t',
            b'n' => '\n',
            b'v' => '\u{b}',
            b'f' => '\u{c}',
            b'r' => '\r',
            b'e' => '\u{1b}',
            b' ' => ' ',
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'N' => '\u{85}',
            b'_' => '\u{a0}',
            b'L' => '\u{2028}',
            b'P' => '\u{2029}',
            b'x' => return self.hex_escape(2, start, escape_at, pieces),
            b'u' => return self.hex_escape(4, start, escape_at, pieces),
            b'U' => return self.hex_escape(8, start, escape_at, pieces),
            _ if self.line_break().is_some() => return self.quoted_breaks(start, pieces).map(|_| ()),
            _ => {
                let message = format!("expected a YAML escape after `\\`, found {}", self.found());
                return Err(Error::within(message, Span::new(start, start + 1), self.here()));
            }
        };
        pieces.push_char(simple);
        self.forward(1);
        Ok(())
    }

    fn hex_escape(
        &mut self,
        digits: usize,
        start: usize,
        escape_at: usize,
        pieces: &mut ScalarText<'a>,
    ) -> Result<(), Error> {
        self.forward(1);
        let opening = Span::new(start, start + 1);
        let mut code = 0_u32;
        for place in 0..digits {
            let Some(digit) = char::from(self.byte_at(place)).to_digit(16) else {
                let found = describe(self.text.get(self.pos + place..).and_then(|rest| rest.chars().next()));
                let message = format!("expected {digits} hexadecimal digits, found {found}");
                return Err(Error::within(message, opening, self.here()));
            };
            code = code.wrapping_mul(16).wrapping_add(digit);
        }
        let escape_span = Span::new(escape_at, self.pos + digits);
        let error = |why| {
            Error::within(format!("`{}` {why}", &self.text[escape_span.start..escape_span.end]), opening, escape_span)
        };
        let ch = match char::from_u32(code) {
            Some(ch) => ch,
            None if (0xd800..0xe000).contains(&code) => {
                let error = error("is a lone surrogate, which UTF-8 cannot represent");
                self.lone_surrogate.get_or_insert(error);
                char::REPLACEMENT_CHARACTER
            }
            None => return Err(error("is beyond Unicode's last character, U+10FFFF")),
        };
        pieces.push_char(ch);
        self.forward(digits);
        Ok(())
    }

    fn quoted_space(&mut self, start: usize, pieces: &mut ScalarText<'a>) -> Result<(), Error> {
        let from = self.pos;
        self.skip_blanks();
        if self.at_end() {
            let message = "expected a closing quote, found the end of the text";
            return Err(Error::within(message, Span::new(start, start + 1), self.here()));
        }
        let to = self.pos;
        match self.line_break() {
            None => pieces.slice(from, to),
            Some("\n") => {
                let mut rest = ScalarText::new(self.text);
                if !self.quoted_breaks(start, &mut rest)? {
                    pieces.push(" ");
                }
                pieces.push(&rest.finish());
            }
            Some(separator) => {
                pieces.push(separator);
                self.quoted_breaks(start, pieces)?;
            }
        }
        Ok(())
    }

    /// Consumes blank lines and appends their breaks. Returns whether there were any.
    fn quoted_breaks(&mut self, start: usize, pieces: &mut ScalarText<'a>) -> Result<bool, Error> {
        let mut any = false;
        loop {
            if self.at_document_separator() {
                let message = "expected a closing quote, found a document separator";
                return Err(Error::within(message, Span::new(start, start + 1), Span::new(self.pos, self.pos + 3)));
            }
            self.skip_blanks();
            match self.line_break() {
                None => return Ok(any),
                Some(text) => {
                    any = true;
                    pieces.push(text);
                }
            }
        }
    }

    fn skip_blanks(&mut self) {
        let count = self.bytes[self.pos..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        self.forward(count);
    }
}

/// Treatment of the final line breaks.
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

        let mut pieces = ScalarText::new(self.text);
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

    /// Reads the rest of the line after `|` or `>`.
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

    /// Reads blank lines before the first line of text. The widest one contributes to the indentation.
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

    /// Reads blank lines and the indentation of the next line.
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
