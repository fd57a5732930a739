//! Which token comes next.

use super::super::error::Error;
use super::super::reader::ends_token;
use super::super::token::{Token, TokenKind};
use super::Scanner;
use crate::Span;

impl<'a> Scanner<'a> {
    pub(super) fn fetch_more(&mut self) -> Result<(), Error> {
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

    /// Over spaces, comments and line ends. Not over tabs.
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
                return Err(Error::new("expected no list item here: start it on a line of its own", self.here()));
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
                return Err(Error::new("expected no mapping key here: start it on a line of its own", self.here()));
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
                        "expected no `: ` inside a value: put the value in quotes, or start a mapping on a new line";
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
