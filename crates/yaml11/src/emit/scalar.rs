//! Strings: plain, in double quotes, as a literal block.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::super::{is_plain_string, is_printable};
use super::STEP;

/// How YAML can carry some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// As readable text: plain, or a literal block.
    Text,
    /// Only with escapes in double quotes: exact, but hard to read (control characters, carriage returns …).
    Escaped,
    /// Not at all, as they are not UTF-8: the caller writes base64.
    Bytes,
}

/// How YAML can carry a file's bytes.
#[must_use]
pub fn carriage(bytes: &[u8]) -> Carriage {
    match std::str::from_utf8(bytes) {
        Err(_) => Carriage::Bytes,
        Ok(text) if text.chars().all(stands_as_itself) && (!text.contains('\n') || fits_literal(text)) => {
            Carriage::Text
        }
        Ok(_) => Carriage::Escaped,
    }
}

/// Whether a character can stand in a literal block and is read back as itself. Also byte order marks are left out,
/// which PyYAML does not count as columns.
fn stands_as_itself(ch: char) -> bool {
    is_printable(ch) && !matches!(ch, '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether a string of several lines is read back from a literal block.
pub(super) fn fits_literal(text: &str) -> bool {
    text.contains('\n') && text.bytes().any(|byte| byte != b'\n') && text.chars().all(stands_as_itself)
}

/// A literal block whose lines stand at `column`, with its final line feed.
pub(super) fn literal(text: &str, column: usize, out: &mut String) {
    out.push('|');
    // PyYAML finds the indentation on the first line that is not blank; spaces there, or blank lines before, need the indicator.
    if text.starts_with([' ', '\n']) {
        let _ = write!(out, "{STEP}");
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
            super::indent(column, out);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// A string on one line: plain where that is safe.
pub(super) fn inline(text: &str) -> Cow<'_, str> {
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
        && text.chars().all(stands_as_itself)
        && is_plain_string(text)
        && !retyped_elsewhere(text)
}

/// Strings to PyYAML that other readers of YAML, and people, may take for something else.
fn retyped_elsewhere(text: &str) -> bool {
    matches!(text, "y" | "Y" | "n" | "N")
        || (text.starts_with(|ch: char| ch.is_ascii_digit() || matches!(ch, '.' | '+' | '-'))
            && text.chars().all(|ch| ch.is_ascii_hexdigit() || "+-._:xXoO".contains(ch))
            && text.contains(|ch: char| ch.is_ascii_digit())
            && (text.parse::<f64>().is_ok()
                || text.starts_with("0o")
                || text.starts_with("0x")
                || !text.contains(['.', '-'])))
}

/// A string in double quotes.
pub(super) fn quoted(text: &str) -> String {
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
            _ if stands_as_itself(ch) => out.push(ch),
            _ => {
                let code = u32::from(ch);
                let _ = if code < 0x100 { write!(out, "\\x{code:02X}") } else { write!(out, "\\u{code:04X}") };
            }
        }
    }
    out.push('"');
    out
}

/// A comment's lines, without anything that could end them early or not stand in the text.
pub(super) fn comment_lines(comment: &str) -> impl Iterator<Item = Cow<'_, str>> {
    comment.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).map(|line| {
        let line = line.trim_end();
        if line.chars().all(stands_as_itself) {
            Cow::Borrowed(line)
        } else {
            Cow::Owned(line.chars().map(|ch| if stands_as_itself(ch) { ch } else { '\u{fffd}' }).collect())
        }
    })
}
