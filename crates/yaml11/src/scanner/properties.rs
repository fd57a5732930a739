//! Directives, anchors, aliases and tags.

use std::borrow::Cow;

use super::Scanner;
use super::scalars::ScalarText;
use crate::Span;
use crate::characters::{ends_line, ends_token, ends_word, line_end};
use crate::error::Error;
use crate::token::{Directive, TagToken, Token, TokenKind};

impl<'a> Scanner<'a> {
    pub(super) fn scan_directive(&mut self) -> Result<Token<'a>, Error> {
        let start = self.pos;
        let context = Span::new(start, line_end(self.bytes, start));
        self.forward(1);
        let name = self.word("a directive's name", context)?;
        if !ends_word(self.bytes, self.pos) {
            return Err(self.expected("letters, digits, `-` or `_` in the directive's name", context));
        }
        let (directive, end) = match name {
            "YAML" => {
                self.skip_spaces();
                let major = self.version_number(context)?;
                if self.byte() != b'.' {
                    return Err(self.expected("`.` in the version", context));
                }
                self.forward(1);
                self.version_number(context)?;
                if !ends_word(self.bytes, self.pos) {
                    return Err(self.expected("the end of the version", context));
                }
                (Directive::Yaml { supported: major == "1" }, self.pos)
            }
            "TAG" => {
                self.skip_spaces();
                let handle = self.tag_handle(context)?;
                if self.byte() != b' ' {
                    return Err(self.expected("a space after the tag handle", context));
                }
                self.skip_spaces();
                let prefix = self.tag_uri(context)?;
                if !ends_word(self.bytes, self.pos) {
                    return Err(self.expected("the end of the tag prefix", context));
                }
                (Directive::Tag { handle, prefix }, self.pos)
            }
            _ => {
                let end = self.pos;
                self.forward_to(line_end(self.bytes, end));
                (Directive::Other, end)
            }
        };
        self.skip_spaces();
        self.skip_comment();
        if !ends_line(self.bytes, self.pos) {
            return Err(self.expected("a comment or the end of the line after the directive", context));
        }
        self.line_break();
        Ok(Token { kind: TokenKind::Directive(directive), span: Span::new(start, end) })
    }

    /// Reads the digits of a version number, without leading zeros.
    fn version_number(&mut self, context: Span) -> Result<&'a str, Error> {
        let count = self.bytes[self.pos..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.expected("a digit of the version", context));
        }
        let digits = &self.text[self.pos..self.pos + count];
        self.forward(count);
        Ok(digits.trim_start_matches('0'))
    }

    /// Reads `&name` or `*name`.
    pub(super) fn scan_anchor(&mut self) -> Result<Token<'a>, Error> {
        let start = self.pos;
        let alias = self.byte() == b'*';
        let context = Span::new(start, start + 1);
        self.forward(1);
        let name = self.word(if alias { "an alias's name" } else { "an anchor's name" }, context)?;
        if !ends_token(self.bytes, self.pos)
            && !matches!(self.byte(), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`')
        {
            return Err(self.expected("letters, digits, `-` or `_` in the name", context));
        }
        let kind = if alias { TokenKind::Alias(name) } else { TokenKind::Anchor(name) };
        Ok(Token { kind, span: Span::new(start, self.pos) })
    }

    fn word(&mut self, what: &str, context: Span) -> Result<&'a str, Error> {
        let count = self.bytes[self.pos..].iter().take_while(|byte| is_word(**byte)).count();
        if count == 0 {
            return Err(self.expected(&format!("{what} of letters, digits, `-` or `_`"), context));
        }
        let word = &self.text[self.pos..self.pos + count];
        self.forward(count);
        Ok(word)
    }

    pub(super) fn scan_tag(&mut self) -> Result<Token<'a>, Error> {
        let start = self.pos;
        let context = Span::new(start, start + 1);
        let tag = if self.byte_at(1) == b'<' {
            self.forward(2);
            let suffix = self.tag_uri(context)?;
            if self.byte() != b'>' {
                return Err(self.expected("`>` at the end of the tag", context));
            }
            self.forward(1);
            TagToken { handle: None, suffix }
        } else if ends_token(self.bytes, start + 1) {
            self.forward(1);
            TagToken { handle: None, suffix: Cow::Borrowed("!") }
        } else {
            let mut at = start + 1;
            while !ends_word(self.bytes, at) && self.bytes[at] != b'!' {
                at += 1;
            }
            let handle = if self.bytes.get(at) == Some(&b'!') {
                self.tag_handle(context)?
            } else {
                self.forward(1);
                "!"
            };
            TagToken { handle: Some(handle), suffix: self.tag_uri(context)? }
        };
        if !ends_word(self.bytes, self.pos) {
            return Err(self.expected("a space after the tag", context));
        }
        Ok(Token { kind: TokenKind::Tag(Box::new(tag)), span: Span::new(start, self.pos) })
    }

    /// Reads `!`, `!!` or `!name!`.
    fn tag_handle(&mut self, context: Span) -> Result<&'a str, Error> {
        if self.byte() != b'!' {
            return Err(self.expected("`!` at the start of a tag handle", context));
        }
        let mut length = 1;
        if self.byte_at(1) != b' ' {
            while is_word(self.byte_at(length)) {
                length += 1;
            }
            if self.byte_at(length) != b'!' {
                self.forward(length);
                return Err(self.expected("`!` at the end of the tag handle", context));
            }
            length += 1;
        }
        let handle = &self.text[self.pos..self.pos + length];
        self.forward(length);
        Ok(handle)
    }

    fn tag_uri(&mut self, context: Span) -> Result<Cow<'a, str>, Error> {
        let mut pieces = ScalarText::new(self.text);
        let start = self.pos;
        loop {
            let run = self.bytes[self.pos..].iter().take_while(|byte| is_uri(**byte)).count();
            pieces.slice(self.pos, self.pos + run);
            self.forward(run);
            if self.byte() != b'%' {
                break;
            }
            let decoded = self.uri_escapes(context)?;
            pieces.push(&decoded);
        }
        if self.pos == start {
            return Err(self.expected("the name of a tag", context));
        }
        Ok(pieces.finish())
    }

    fn uri_escapes(&mut self, context: Span) -> Result<String, Error> {
        let start = self.pos;
        let mut codes = Vec::new();
        while self.byte() == b'%' {
            self.forward(1);
            let (high, low) = (hex(self.byte()), hex(self.byte_at(1)));
            let (Some(high), Some(low)) = (high, low) else {
                return Err(self.expected("two hexadecimal digits after `%`", context));
            };
            codes.push(high * 16 + low);
            self.forward(2);
        }
        String::from_utf8(codes).map_err(|_| {
            Error::within("expected the tag's `%` escapes to be UTF-8", context, Span::new(start, self.pos))
        })
    }

    fn expected(&self, what: &str, context: Span) -> Error {
        Error::within(format!("expected {what}, found {}", self.found()), context, self.here())
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn is_uri(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-;/?:@&=+$,_.!~*'()[]".contains(&byte)
}
