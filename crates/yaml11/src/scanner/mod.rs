//! Text to tokens, decision for decision as PyYAML's scanner: simple keys, indentation, flow and block context.
//!
//! PyYAML's scanner is the definition here, not the YAML specification. `mod.rs` keeps the state and decides what comes
//! next; the files beside it read one kind of token each. Possible simple keys stand in a queue, oldest first, so that
//! looking for stale ones costs nothing however deep the brackets are.

mod block;
mod breaks;
mod fetch;
mod plain;
mod properties;
mod quoted;

use std::borrow::Cow;
use std::collections::VecDeque;

use super::error::Error;
use super::reader::{break_len, ends_token, folded_break, line_end};
use super::token::{Token, TokenKind};
use crate::Span;

/// A simple key ends on its line and within this many characters.
const SIMPLE_KEY_LIMIT: usize = 1024;

pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// Byte offset of the next character.
    pos: usize,
    /// The same in characters.
    index: usize,
    line: usize,
    /// In characters, byte order marks not counted; compared with indentations, hence signed.
    column: isize,
    done: bool,
    /// Unclosed `[` and `{`. A stray `]` makes it negative, which counts as flow context, as it does in PyYAML.
    flow_level: isize,
    tokens: VecDeque<Token<'a>>,
    /// The first token is what it is: no key or mapping can come before it any more.
    ready: bool,
    taken: usize,
    indent: isize,
    indents: Vec<isize>,
    allow_simple_key: bool,
    simple_keys: VecDeque<SimpleKey>,
    /// The first half of a surrogate pair: PyYAML reads on, and so a later fault is told instead of it.
    pub(super) deferred: Option<Error>,
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

/// A scalar's text: a slice of the source for as long as the pieces lie next to each other, a string from then on.
struct Pieces<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    owned: Option<String>,
}

impl<'a> Pieces<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, start: 0, end: 0, owned: None }
    }

    fn slice(&mut self, start: usize, end: usize) {
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

    fn push(&mut self, piece: &str) {
        self.own().push_str(piece);
    }

    fn push_char(&mut self, piece: char) {
        self.own().push(piece);
    }

    fn own(&mut self) -> &mut String {
        self.owned.get_or_insert_with(|| self.text[self.start..self.end].to_owned())
    }

    fn finish(self) -> Cow<'a, str> {
        match self.owned {
            Some(owned) => Cow::Owned(owned),
            None => Cow::Borrowed(&self.text[self.start..self.end]),
        }
    }
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
            deferred: None,
        }
    }

    /// The next token, which stays. After the end of the text it is `StreamEnd` for ever.
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

    /// Reads on until nothing can come before the first token any more.
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

    // Places.

    fn byte(&self) -> u8 {
        self.byte_at(0)
    }

    /// The byte so many bytes ahead; 0 past the end (the reader lets no NUL into the text).
    fn byte_at(&self, ahead: usize) -> u8 {
        self.bytes.get(self.pos + ahead).copied().unwrap_or(0)
    }

    fn at_end(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    /// Goes to `end` on the same line.
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

    /// Goes over so many ASCII characters.
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

    /// Goes over a line break and says how it reads in a scalar; `None` where there is no break.
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

    /// The character at the place as a span, for messages.
    fn here(&self) -> Span {
        let length = self.text[self.pos..].chars().next().map_or(0, char::len_utf8);
        Span::new(self.pos, self.pos + length)
    }

    /// The character at the place in words.
    fn found(&self) -> String {
        describe(self.text[self.pos..].chars().next())
    }

    /// Whether `---` or `...` stands here as a word.
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
            if key.line == self.line && self.index - key.index <= SIMPLE_KEY_LIMIT {
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
        let message = if key.line == self.line && self.index - key.index > SIMPLE_KEY_LIMIT {
            "expected `:` within 1024 characters of the key's first one"
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

    /// The possible key of this flow level: always the newest, as closing a bracket removes the deeper ones.
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

/// A character as a message shows it.
pub(super) fn describe(ch: Option<char>) -> String {
    match ch {
        None => "the end of the text".to_owned(),
        Some('\t') => "a tab".to_owned(),
        Some(' ') => "a space".to_owned(),
        Some('\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') => "the end of the line".to_owned(),
        Some(ch) => format!("`{ch}`"),
    }
}
