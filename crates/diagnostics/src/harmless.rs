//! Text of documents that may be hostile, made fit for a terminal: no escape sequences, no reordering of what is read.

use std::borrow::Cow;
use std::fmt::Write;

/// The longest piece of a document's text that a message repeats, in characters.
const LONGEST_QUOTE: usize = 60;

/// Characters that steer a terminal or reorder its text, a line end included.
pub(super) fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
        || ('\u{202a}'..='\u{202e}').contains(&character)
        || ('\u{2066}'..='\u{2069}').contains(&character)
}

/// The text with every harmful character written as an escape, such as `\u{1b}`.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_harmful(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// A piece of a document for a message: between backticks, harmless, and cut when it is long.
#[must_use]
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("`{}…`", harmless(&text[..end])),
        None => format!("`{}`", harmless(text)),
    }
}

/// JSON in which every harmful character is an escape: it occurs in strings only, so that the value stays the same.
pub(super) fn harmless_json(json: String) -> String {
    let is_to_escape = |character: char| character != '\n' && is_harmful(character);
    // Nearly all are harmless as they are: a large one is not copied.
    if !json.chars().any(is_to_escape) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if is_to_escape(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out
}
