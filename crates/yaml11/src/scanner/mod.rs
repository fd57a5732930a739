//! Turns text into tokens with the same decisions as PyYAML's scanner: simple keys, indentation, flow
//! and block context.
//!
//! PyYAML's scanner is the reference here, not the YAML specification. This file keeps the state and
//! decides which token comes next; `scalars` and `properties` read the longer tokens. Possible simple
//! keys are in a queue, oldest first, so that finding stale ones takes constant time.

mod properties;
mod scalars;

use std::collections::VecDeque;

use super::error::Error;
use super::token::{Token, TokenKind};
use crate::Span;
use crate::characters::{break_len, ends_token, folded_break, line_end};

/// Maximum length of a simple key, which must also end on its line.
const MAX_SIMPLE_KEY_CHARS: usize = 1024;

pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// Byte offset of the next character.
    pos: usize,
    /// Position of the next character, in characters.
    index: usize,
    line: usize,
    /// In characters without byte order marks; signed, because it is compared with indentations.
    column: isize,
    done: bool,
    /// Number of unclosed `[` and `{`. A stray `]` makes it negative, which is flow context in PyYAML too.
    flow_level: isize,
    tokens: VecDeque<Token<'a>>,
    /// Whether the first token is final: no key or mapping start can be inserted before it.
    ready: bool,
    taken: usize,
    indent: isize,
    indents: Vec<isize>,
    allow_simple_key: bool,
    simple_keys: VecDeque<SimpleKey>,
    /// The first lone surrogate. PyYAML accepts it, so a later error is reported instead.
    pub(super) lone_surrogate: Option<Error>,
}

#[derive(Debug, Clone, Copy)]
struct SimpleKey {
    level: isize,
    token_number: usize,
    required: bool,
    index: usize,
    line: usize,
    column: isize,
    pos: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            pos: 0,
            index: 0,
            line: 0,
            column: 0,
            done: false,
            flow_level: 0,
            tokens: VecDeque::new(),
            ready: false,
            taken: 0,
            indent: -1,
            indents: Vec::new(),
            allow_simple_key: true,
            simple_keys: VecDeque::new(),
            lone_surrogate: None,
        }
    }

    /// Returns the next token without consuming it. At the end of the text it is always `StreamEnd`.
    pub(super) fn peek(&mut self) -> Result<&Token<'a>, Error> {
        if !self.ready {
            self.prepare()?;
        }
        Ok(&self.tokens[0])
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, Error> {
        self.peek()?;
        self.ready = false;
        self.taken += 1;
        Ok(self.tokens.pop_front().unwrap_or(Token { kind: TokenKind::StreamEnd, span: Span::at(self.pos) }))
    }

    /// Scans until nothing can be inserted before the first token.
    fn prepare(&mut self) -> Result<(), Error> {
        while self.needs_more()? {
            self.fetch_more()?;
        }
        if self.tokens.is_empty() {
            let span = Span::at(self.pos);
            self.tokens.push_back(Token { kind: TokenKind::StreamEnd, span });
        }
        self.ready = true;
        Ok(())
    }

    fn needs_more(&mut self) -> Result<bool, Error> {
        if self.done {
            return Ok(false);
        }
        if self.tokens.is_empty() {
            return Ok(true);
        }
        self.drop_stale_keys()?;
        Ok(self.simple_keys.front().is_some_and(|key| key.token_number == self.taken))
    }

    // Positions.

    fn byte(&self) -> u8 {
        self.byte_at(0)
    }

    /// The byte at an offset from the position; 0 past the end (the text contains no NUL).
    fn byte_at(&self, ahead: usize) -> u8 {
        self.bytes.get(self.pos + ahead).copied().unwrap_or(0)
    }

    fn at_end(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    /// Advances to `end`, which is on the same line.
    fn forward_to(&mut self, end: usize) {
        let slice = &self.bytes[self.pos..end];
        if slice.is_ascii() {
            self.index += slice.len();
            self.column += slice.len().cast_signed();
        } else {
            for ch in self.text[self.pos..end].chars() {
                self.index += 1;
                self.column += isize::from(ch != '\u{feff}');
            }
        }
        self.pos = end;
    }

    /// Advances over ASCII characters.
    fn forward(&mut self, count: usize) {
        self.index += count;
        self.column += count.cast_signed();
        self.pos += count;
    }

    fn skip_spaces(&mut self) {
        let count = self.bytes[self.pos..].iter().take_while(|byte| **byte == b' ').count();
        self.forward(count);
    }

    fn skip_comment(&mut self) {
        if self.byte() == b'#' {
            self.forward_to(line_end(self.bytes, self.pos));
        }
    }

    /// Consumes a line break and returns it as part of a scalar; `None` if there is none.
    fn line_break(&mut self) -> Option<&'a str> {
        let length = break_len(self.bytes, self.pos);
        if length == 0 {
            return None;
        }
        let text = &self.text[self.pos..self.pos + length];
        self.index += if text == "\r\n" { 2 } else { 1 };
        self.pos += length;
        self.line += 1;
        self.column = 0;
        Some(folded_break(text))
    }

    /// Span of the next character, for messages.
    fn here(&self) -> Span {
        let length = self.text[self.pos..].chars().next().map_or(0, char::len_utf8);
        Span::new(self.pos, self.pos + length)
    }

    /// The next character in words, for messages.
    fn found(&self) -> String {
        describe(self.text[self.pos..].chars().next())
    }

    /// Whether the text continues with the word `---` or `...`.
    fn at_document_separator(&self) -> bool {
        let rest = &self.bytes[self.pos..];
        (rest.starts_with(b"---") || rest.starts_with(b"...")) && ends_token(self.bytes, self.pos + 3)
    }

    fn in_block(&self) -> bool {
        self.flow_level == 0
    }

    // Simple keys.

    fn drop_stale_keys(&mut self) -> Result<(), Error> {
        while let Some(key) = self.simple_keys.front() {
            if key.line == self.line && self.index - key.index <= MAX_SIMPLE_KEY_CHARS {
                break;
            }
            if key.required {
                return Err(self.missing_colon(*key));
            }
            self.simple_keys.pop_front();
        }
        Ok(())
    }

    fn missing_colon(&self, key: SimpleKey) -> Error {
        let line_end = line_end(self.bytes, key.pos);
        let message = if key.line == self.line && self.index - key.index > MAX_SIMPLE_KEY_CHARS {
            "expected `:` within 1024 characters after the start of the key"
        } else {
            "expected `:` after this key, on the same line"
        };
        Error::within(message, Span::new(key.pos, line_end), self.here())
    }

    fn save_simple_key(&mut self) -> Result<(), Error> {
        let required = self.in_block() && self.indent == self.column;
        if self.allow_simple_key {
            self.remove_simple_key()?;
            self.simple_keys.push_back(SimpleKey {
                level: self.flow_level,
                token_number: self.taken + self.tokens.len(),
                required,
                index: self.index,
                line: self.line,
                column: self.column,
                pos: self.pos,
            });
        }
        Ok(())
    }

    fn remove_simple_key(&mut self) -> Result<(), Error> {
        if let Some(key) = self.take_simple_key()
            && key.required
        {
            return Err(self.missing_colon(key));
        }
        Ok(())
    }

    /// Takes the possible key of this flow level, which is always the newest: closing a bracket removes
    /// the deeper ones.
    fn take_simple_key(&mut self) -> Option<SimpleKey> {
        if self.simple_keys.back()?.level == self.flow_level { self.simple_keys.pop_back() } else { None }
    }

    // Indentation.

    fn unwind_indent(&mut self, column: isize) {
        if !self.in_block() {
            return;
        }
        while self.indent > column {
            self.indent = self.indents.pop().unwrap_or(-1);
            self.tokens.push_back(Token { kind: TokenKind::BlockEnd, span: Span::at(self.pos) });
        }
    }

    fn add_indent(&mut self, column: isize) -> bool {
        if self.indent < column {
            self.indents.push(self.indent);
            self.indent = column;
            return true;
        }
        false
    }
}

impl<'a> Scanner<'a> {
    fn fetch_more(&mut self) -> Result<(), Error> {
        self.skip_to_token();
        self.drop_stale_keys()?;
        self.unwind_indent(self.column);
        if self.at_end() {
            return self.fetch_stream_end();
        }
        let byte = self.byte();
        let block = self.in_block();
        let alone = ends_token(self.bytes, self.pos + 1);
        match byte {
            b'%' if self.column == 0 => self.fetch_directive(),
            b'-' | b'.' if self.column == 0 && self.at_document_separator() => {
                let kind = if byte == b'-' { TokenKind::DocumentStart } else { TokenKind::DocumentEnd };
                self.fetch_document_separator(kind)
            }
            b'[' => self.fetch_flow_start(TokenKind::FlowSequenceStart),
            b'{' => self.fetch_flow_start(TokenKind::FlowMappingStart),
            b']' => self.fetch_flow_end(TokenKind::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(TokenKind::FlowMappingEnd),
            b',' => self.fetch_flow_entry(),
            b'-' if alone => self.fetch_block_entry(),
            b'?' if !block || alone => self.fetch_key(),
            b':' if !block || alone => self.fetch_value(),
            b'*' | b'&' | b'!' => {
                self.save_simple_key()?;
                self.allow_simple_key = false;
                let token = if byte == b'!' { self.scan_tag()? } else { self.scan_anchor()? };
                self.tokens.push_back(token);
                Ok(())
            }
            b'|' | b'>' if block => {
                self.allow_simple_key = true;
                self.remove_simple_key()?;
                let token = self.scan_block_scalar(byte == b'>')?;
                self.tokens.push_back(token);
                Ok(())
            }
            b'\'' | b'"' => {
                self.save_simple_key()?;
                self.allow_simple_key = false;
                let token = self.scan_quoted(byte)?;
                self.tokens.push_back(token);
                Ok(())
            }
            _ if self.starts_plain(byte) => {
                self.save_simple_key()?;
                self.allow_simple_key = false;
                let token = self.scan_plain();
                self.tokens.push_back(token);
                Ok(())
            }
            _ => {
                let found = self.found();
                let message = match byte {
                    b'\t' => "expected spaces before a key or a value, found a tab".to_owned(),
                    _ => format!("expected a key or a value, found {found}, which cannot start one: put it in quotes"),
                };
                Err(Error::new(message, self.here()))
            }
        }
    }

    fn starts_plain(&self, byte: u8) -> bool {
        let indicator = matches!(
            byte,
            b'-' | b'?' | b':' | b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\''
        ) || matches!(byte, b'"' | b'%' | b'@' | b'`');
        if !indicator && !ends_token(self.bytes, self.pos) {
            return true;
        }
        !ends_token(self.bytes, self.pos + 1) && (byte == b'-' || (self.in_block() && matches!(byte, b'?' | b':')))
    }

    /// Skips spaces, comments and line breaks, but not tabs.
    fn skip_to_token(&mut self) {
        if self.index == 0 && self.text.starts_with('\u{feff}') {
            self.forward_to('\u{feff}'.len_utf8());
        }
        loop {
            self.skip_spaces();
            self.skip_comment();
            if self.line_break().is_none() {
                return;
            }
            if self.in_block() {
                self.allow_simple_key = true;
            }
        }
    }

    fn push(&mut self, kind: TokenKind<'a>, length: usize) {
        let span = Span::new(self.pos, self.pos + length);
        self.forward(length);
        self.tokens.push_back(Token { kind, span });
    }

    fn push_start(&mut self, kind: TokenKind<'a>) {
        self.tokens.push_back(Token { kind, span: Span::at(self.pos) });
    }

    fn fetch_stream_end(&mut self) -> Result<(), Error> {
        self.unwind_indent(-1);
        self.remove_simple_key()?;
        self.allow_simple_key = false;
        self.simple_keys.clear();
        self.push_start(TokenKind::StreamEnd);
        self.done = true;
        Ok(())
    }

    fn fetch_directive(&mut self) -> Result<(), Error> {
        self.unwind_indent(-1);
        self.remove_simple_key()?;
        self.allow_simple_key = false;
        let token = self.scan_directive()?;
        self.tokens.push_back(token);
        Ok(())
    }

    fn fetch_document_separator(&mut self, kind: TokenKind<'a>) -> Result<(), Error> {
        self.unwind_indent(-1);
        self.remove_simple_key()?;
        self.allow_simple_key = false;
        self.push(kind, 3);
        Ok(())
    }

    fn fetch_flow_start(&mut self, kind: TokenKind<'a>) -> Result<(), Error> {
        self.save_simple_key()?;
        self.flow_level += 1;
        self.allow_simple_key = true;
        self.push(kind, 1);
        Ok(())
    }

    fn fetch_flow_end(&mut self, kind: TokenKind<'a>) -> Result<(), Error> {
        self.remove_simple_key()?;
        self.flow_level -= 1;
        self.allow_simple_key = false;
        self.push(kind, 1);
        Ok(())
    }

    fn fetch_flow_entry(&mut self) -> Result<(), Error> {
        self.allow_simple_key = true;
        self.remove_simple_key()?;
        self.push(TokenKind::FlowEntry, 1);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Result<(), Error> {
        if self.in_block() {
            if !self.allow_simple_key {
                return Err(Error::new("unexpected list item: start it on its own line", self.here()));
            }
            if self.add_indent(self.column) {
                self.push_start(TokenKind::BlockSequenceStart);
            }
        }
        self.allow_simple_key = true;
        self.remove_simple_key()?;
        self.push(TokenKind::BlockEntry, 1);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<(), Error> {
        if self.in_block() {
            if !self.allow_simple_key {
                return Err(Error::new("unexpected mapping key: start it on its own line", self.here()));
            }
            if self.add_indent(self.column) {
                self.push_start(TokenKind::BlockMappingStart);
            }
        }
        self.allow_simple_key = self.in_block();
        self.remove_simple_key()?;
        self.push(TokenKind::Key, 1);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<(), Error> {
        if let Some(key) = self.take_simple_key() {
            let place = key.token_number - self.taken;
            let span = Span::at(key.pos);
            self.tokens.insert(place, Token { kind: TokenKind::Key, span });
            if self.in_block() && self.add_indent(key.column) {
                self.tokens.insert(place, Token { kind: TokenKind::BlockMappingStart, span });
            }
            self.allow_simple_key = false;
        } else {
            if self.in_block() {
                if !self.allow_simple_key {
                    let message =
                        "unexpected `: ` inside a value: put the value in quotes, or start a mapping on a new line";
                    return Err(Error::new(message, self.here()));
                }
                if self.add_indent(self.column) {
                    self.push_start(TokenKind::BlockMappingStart);
                }
            }
            self.allow_simple_key = self.in_block();
            self.remove_simple_key()?;
        }
        self.push(TokenKind::Value, 1);
        Ok(())
    }
}

/// A character in words, for messages.
pub(super) fn describe(ch: Option<char>) -> String {
    match ch {
        None => "the end of the text".to_owned(),
        Some('\t') => "a tab".to_owned(),
        Some(' ') => "a space".to_owned(),
        Some('\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') => "the end of the line".to_owned(),
        Some(ch) => format!("`{ch}`"),
    }
}
