//! Escapes untrusted text for terminals: no control sequences, no bidirectional reordering.

use std::borrow::Cow;
use std::fmt::Write;

/// Maximum length of a quotation in a message, in characters.
pub(crate) const MAX_QUOTE_CHARS: usize = 60;

/// Whether a character controls a terminal or reorders its text. Includes line ends.
#[must_use]
pub fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
        || ('\u{202a}'..='\u{202e}').contains(&character)
        || ('\u{2066}'..='\u{2069}').contains(&character)
}

/// Replaces each control character by an escape such as `\u{1b}`.
#[must_use]
pub fn escape_control(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_control(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Quotes text for a message: in backticks, escaped, and truncated.
#[must_use]
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE_CHARS) {
        Some((end, _)) => format!("`{}…`", escape_control(&text[..end])),
        None => format!("`{}`", escape_control(text)),
    }
}

/// Escapes control characters in JSON. They occur in strings only, so the value stays the same.
#[must_use]
pub fn escape_control_in_json(json: String) -> String {
    let needs_escape = |character: char| character != '\n' && is_control(character);
    if !json.chars().any(needs_escape) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if needs_escape(character) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_control_a_terminal_are_escaped() {
        for character in [
            '\0', '\u{1b}', '\n', '\u{7f}', '\u{85}', '\u{9b}', '\u{200e}', '\u{200f}', '\u{61c}', '\u{2028}',
            '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
            '\u{2069}',
        ] {
            assert!(is_control(character), "{character:?}");
            let text = format!("a{character}é");
            assert_eq!(escape_control(&text), format!("a{}é", character.escape_default()));
            let json = escape_control_in_json(text);
            let expected =
                if character == '\n' { "a\né".to_owned() } else { format!("a\\u{:04x}é", character as u32) };
            assert_eq!(json, expected);
        }
        for character in
            ['a', ' ', 'é', '\u{a0}', '\u{200d}', '\u{2027}', '\u{202f}', '\u{2065}', '\u{206a}', '\u{1f512}']
        {
            assert!(!is_control(character), "{character:?}");
            assert_eq!(escape_control(&character.to_string()), character.to_string());
        }
    }

    #[test]
    fn quotations_are_limited() {
        for (length, expected) in [(59, 59), (60, 60), (61, 60), (62, 60)] {
            let ellipsis = if length > expected { "…" } else { "" };
            assert_eq!(quoted(&"é".repeat(length)), format!("`{}{ellipsis}`", "é".repeat(expected)));
        }
    }
}
