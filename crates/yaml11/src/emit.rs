//! Writes values as YAML that PyYAML reads back unchanged.
//!
//! Build a [`Value`] and call [`document`]. Equal values give equal text. A string is written plain if
//! PyYAML reads it back as that string, as a literal block if it has several lines and nothing would
//! be lost, and in double quotes otherwise. Lists are indented like their key, as in cloud-init's
//! documentation.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::{is_plain_string, is_printable};

/// A value to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// A string in the most readable style that preserves it.
    Str(String),
    /// A string that is always in double quotes, such as the mode `"0644"`.
    Quoted(String),
    List(Vec<ListItem>),
    Map(Map),
}

/// A list item with an optional comment above it.
#[derive(Debug, Clone, PartialEq)]
pub struct ListItem {
    pub comment: Option<String>,
    pub value: Value,
}

/// A mapping entry with an optional comment above it.
#[derive(Debug, Clone, PartialEq)]
pub struct MapEntry {
    pub comment: Option<String>,
    pub key: String,
    pub value: Value,
}

/// A mapping in insertion order. Keys are not deduplicated.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map(pub Vec<MapEntry>);

impl Map {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry and returns the mapping.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.push(key, value);
        self
    }

    pub fn push(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.0.push(MapEntry { comment: None, key: key.into(), value: value.into() });
    }

    /// Appends an entry with a comment above it.
    pub fn push_commented(&mut self, comment: impl Into<String>, key: impl Into<String>, value: impl Into<Value>) {
        self.0.push(MapEntry { comment: Some(comment.into()), key: key.into(), value: value.into() });
    }
}

impl Value {
    /// A list without comments.
    pub fn list<V: Into<Self>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::List(values.into_iter().map(ListItem::from).collect())
    }
}

impl<V: Into<Value>> From<V> for ListItem {
    fn from(value: V) -> Self {
        Self { comment: None, value: value.into() }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Self {
        Self::list(values)
    }
}

/// Indentation of a nested block, in columns.
const INDENT_WIDTH: usize = 2;

/// Maximum length of a key without `? `. PyYAML allows 1024, quotes included.
const MAX_SIMPLE_KEY_CHARS: usize = 1000;

/// Writes a whole document, which ends in a line feed. The caller adds a header such as
/// `#cloud-config`; there is no `---`.
#[must_use]
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Map(map) if !map.0.is_empty() => pairs(map, 0, false, &mut out),
        Value::List(items) if !items.is_empty() => list(items, 0, false, &mut out),
        _ => inline_value(value, INDENT_WIDTH, &mut out),
    }
    out
}

/// Writes the entries of a mapping at a column. If `begun`, the first one continues the current line.
fn pairs(map: &Map, column: usize, mut begun: bool, out: &mut String) {
    for pair in &map.0 {
        lead(pair.comment.as_deref(), column, begun, out);
        begun = false;
        let key = one_line(&pair.key);
        if key.chars().count() > MAX_SIMPLE_KEY_CHARS {
            out.push_str("? ");
            out.push_str(&key);
            out.push('\n');
            indent(column, out);
        } else {
            out.push_str(&key);
        }
        out.push(':');
        match &pair.value {
            Value::Map(inner) if !inner.0.is_empty() => {
                out.push('\n');
                pairs(inner, column + INDENT_WIDTH, false, out);
            }
            Value::List(items) if !items.is_empty() => {
                out.push('\n');
                list(items, column, false, out);
            }
            other => {
                out.push(' ');
                inline_value(other, column + INDENT_WIDTH, out);
            }
        }
    }
}

fn list(items: &[ListItem], column: usize, mut begun: bool, out: &mut String) {
    for item in items {
        lead(item.comment.as_deref(), column, begun, out);
        begun = false;
        out.push_str("- ");
        match &item.value {
            Value::Map(inner) if !inner.0.is_empty() => pairs(inner, column + INDENT_WIDTH, true, out),
            Value::List(inner) if !inner.is_empty() => list(inner, column + INDENT_WIDTH, true, out),
            other => inline_value(other, column + INDENT_WIDTH, out),
        }
    }
}

/// Writes comment lines and the indentation. After a list's dash, the comment goes behind the dash.
fn lead(comment: Option<&str>, column: usize, begun: bool, out: &mut String) {
    let Some(comment) = comment else {
        if !begun {
            indent(column, out);
        }
        return;
    };
    for (number, line) in comment_lines(comment).enumerate() {
        if number > 0 || !begun {
            indent(column, out);
        }
        out.push_str(if line.is_empty() { "#" } else { "# " });
        out.push_str(&line);
        out.push('\n');
    }
    indent(column, out);
}

fn indent(column: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', column));
}

/// Writes a scalar or an empty collection, through the end of its last line.
fn inline_value(value: &Value, column: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Str(text) if fits_literal(text) => return literal(text, column, out),
        Value::Str(text) => out.push_str(&one_line(text)),
        Value::Quoted(text) => out.push_str(&quoted(text)),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
    out.push('\n');
}

/// How YAML can represent a byte string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Representation {
    /// As readable text: plain, or as a literal block.
    Text,
    /// Only with escapes in double quotes: exact, but hard to read (control characters, carriage returns).
    Escaped,
    /// Not at all, because it is not UTF-8: the caller must use base64.
    Bytes,
}

/// Returns the most readable representation of a file's content.
#[must_use]
pub fn representation(bytes: &[u8]) -> Representation {
    match std::str::from_utf8(bytes) {
        Err(_) => Representation::Bytes,
        Ok(text) if text.chars().all(is_unescaped) && (!text.contains('\n') || fits_literal(text)) => {
            Representation::Text
        }
        Ok(_) => Representation::Escaped,
    }
}

/// Whether a literal block preserves the character. Excludes byte order marks, which PyYAML does not
/// count as columns.
fn is_unescaped(ch: char) -> bool {
    is_printable(ch) && !matches!(ch, '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether a literal block preserves this multi-line string.
fn fits_literal(text: &str) -> bool {
    text.contains('\n') && text.bytes().any(|byte| byte != b'\n') && text.chars().all(is_unescaped)
}

/// Writes a literal block with its lines at `column`.
fn literal(text: &str, column: usize, out: &mut String) {
    out.push('|');
    // PyYAML takes the indentation from the first line that is not blank. If that line starts with a
    // space, or follows blank lines, the block needs an indentation indicator.
    if text.starts_with([' ', '\n']) {
        let _ = write!(out, "{INDENT_WIDTH}");
    }
    let body = if let Some(body) = text.strip_suffix('\n') {
        if body.ends_with('\n') {
            out.push('+');
        }
        body
    } else {
        out.push('-');
        text
    };
    out.push('\n');
    for line in body.split('\n') {
        if !line.is_empty() {
            indent(column, out);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// A string on one line, plain if that is safe.
fn one_line(text: &str) -> Cow<'_, str> {
    if is_safe_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(quoted(text)) }
}

fn is_safe_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let starts_well = match first {
        b'-' => bytes.get(1).is_some_and(u8::is_ascii_alphabetic),
        b'/' | b'_' | b'.' | b'$' | b'(' | b'^' | b'+' => !text.starts_with("..."),
        first => first.is_ascii_alphanumeric() || *first >= 0x80,
    };
    starts_well
        && !matches!(last, b' ' | b':')
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains(['\t', '\n'])
        && text.chars().all(is_unescaped)
        && is_plain_string(text)
        && !is_ambiguous(text)
}

/// Whether other YAML readers, or people, may take this string for another type.
fn is_ambiguous(text: &str) -> bool {
    matches!(text, "y" | "Y" | "n" | "N")
        || (text.starts_with(|ch: char| ch.is_ascii_digit() || matches!(ch, '.' | '+' | '-'))
            && text.chars().all(|ch| ch.is_ascii_hexdigit() || "+-._:xXoO".contains(ch))
            && text.contains(|ch: char| ch.is_ascii_digit())
            && (text.parse::<f64>().is_ok()
                || text.starts_with("0o")
                || text.starts_with("0x")
                || !text.contains(['.', '-'])))
}

/// The string in double quotes.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for ch in text.chars() {
        match ch {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            _ if is_unescaped(ch) => out.push(ch),
            _ => {
                let code = u32::from(ch);
                let _ = if code < 0x100 { write!(out, "\\x{code:02X}") } else { write!(out, "\\u{code:04X}") };
            }
        }
    }
    out.push('"');
    out
}

/// The lines of a comment. Characters that YAML does not allow become U+FFFD.
fn comment_lines(comment: &str) -> impl Iterator<Item = Cow<'_, str>> {
    comment.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).map(|line| {
        let line = line.trim_end();
        if line.chars().all(is_unescaped) {
            Cow::Borrowed(line)
        } else {
            Cow::Owned(line.chars().map(|ch| if is_unescaped(ch) { ch } else { '\u{fffd}' }).collect())
        }
    })
}

#[cfg(test)]
mod tests;
