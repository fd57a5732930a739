//! Single and double quoted scalars.

use super::super::error::Error;
use super::super::reader::break_len;
use super::super::token::{Token, TokenKind};
use super::{Pieces, Scanner, describe};
use crate::Span;

impl<'a> Scanner<'a> {
    pub(super) fn scan_quoted(&mut self, quote: u8) -> Result<Token<'a>, Error> {
        let start = self.pos;
        let double = quote == b'"';
        let mut pieces = Pieces::new(self.text);
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

    fn quoted_text(&mut self, double: bool, start: usize, pieces: &mut Pieces<'a>) -> Result<(), Error> {
        loop {
            let run = self.quoted_run_end();
            pieces.slice(self.pos, run);
            self.forward_to(run);
            match self.byte() {
                b'\'' if !double && self.byte_at(1) == b'\'' => {
                    pieces.push("'");
                    self.forward(2);
                }
                b'\'' if double => self.take_one(pieces),
                b'"' | b'\\' if !double => self.take_one(pieces),
                b'\\' => self.escape(start, pieces)?,
                _ => return Ok(()),
            }
        }
    }

    fn take_one(&mut self, pieces: &mut Pieces<'a>) {
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

    fn escape(&mut self, start: usize, pieces: &mut Pieces<'a>) -> Result<(), Error> {
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
                let message = format!("expected an escape that YAML knows after `\\`, found {}", self.found());
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
        pieces: &mut Pieces<'a>,
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
        let whole = Span::new(escape_at, self.pos + digits);
        let fault = |why| Error::within(format!("`{}` {why}", &self.text[whole.start..whole.end]), opening, whole);
        let ch = match char::from_u32(code) {
            Some(ch) => ch,
            None if (0xd800..0xe000).contains(&code) => {
                let fault = fault("is half of a surrogate pair, which no UTF-8 text can hold");
                self.deferred.get_or_insert(fault);
                char::REPLACEMENT_CHARACTER
            }
            None => return Err(fault("is beyond Unicode's last character, U+10FFFF")),
        };
        pieces.push_char(ch);
        self.forward(digits);
        Ok(())
    }

    fn quoted_space(&mut self, start: usize, pieces: &mut Pieces<'a>) -> Result<(), Error> {
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
                let mut rest = Pieces::new(self.text);
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

    /// Over blank lines, whose breaks count; whether there were any.
    fn quoted_breaks(&mut self, start: usize, pieces: &mut Pieces<'a>) -> Result<bool, Error> {
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
