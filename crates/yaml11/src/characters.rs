//! Character classes of YAML 1.1 on UTF-8 bytes, and the check that runs before scanning: size and
//! printable characters.

use super::error::Error;
use crate::Span;

/// Maximum size of a text that [`crate::parse`] accepts, in bytes. A safety limit: user-data is at
/// most 64 KiB.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Whether PyYAML accepts the character unescaped.
#[must_use]
pub fn is_printable(ch: char) -> bool {
    matches!(ch,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Checks the whole text before anything else, as PyYAML's reader does.
#[allow(clippy::needless_bitwise_bool, reason = "vectorizes: see `position`")]
pub(super) fn check(text: &str) -> Result<(), Error> {
    if text.len() > MAX_BYTES {
        let message = format!("expected at most {MAX_BYTES} bytes of YAML, found {}", text.len());
        return Err(Error::new(message, Span::at(0)));
    }
    let bytes = text.as_bytes();
    // Only these bytes can start an unprintable character: controls, DEL, C2 (U+0080…), EF (U+FFFE).
    let suspect = |byte: u8| {
        (byte < 0x20) & (byte != b'\t') & (byte != b'\n') & (byte != b'\r')
            | (byte == 0x7f)
            | (byte == 0xc2)
            | (byte == 0xef)
    };
    let mut from = 0;
    while let Some(at) = position(bytes, from, suspect) {
        let Some(ch) = text[at..].chars().next() else { break };
        if !is_printable(ch) {
            let message = format!(
                "character U+{:04X} is not allowed in YAML; write it as an escape in double quotes, or as base64",
                u32::from(ch)
            );
            return Err(Error::new(message, Span::new(at, at + ch.len_utf8())));
        }
        from = at + ch.len_utf8();
    }
    Ok(())
}

/// The length in bytes of the line break at `at`, 0 where there is none. `\r\n` is one break.
pub(super) fn break_len(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'\n') => 1,
        Some(b'\r') => 1 + usize::from(bytes.get(at + 1) == Some(&b'\n')),
        Some(0xc2) if bytes.get(at + 1) == Some(&0x85) => 2,
        Some(0xe2) if bytes.get(at + 1) == Some(&0x80) && matches!(bytes.get(at + 2), Some(0xa8 | 0xa9)) => 3,
        _ => 0,
    }
}

/// Whether `at` is the end of the text or a line break.
pub(super) fn ends_line(bytes: &[u8], at: usize) -> bool {
    at >= bytes.len() || break_len(bytes, at) > 0
}

/// Whether `at` is the end, a break or a space.
pub(super) fn ends_word(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&b' ') || ends_line(bytes, at)
}

/// Whether `at` is the end, a break, a space or a tab.
pub(super) fn ends_token(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at), Some(b' ' | b'\t')) || ends_line(bytes, at)
}

/// The first position at or after `from` whose byte matches. Tests whole chunks first: if
/// `is_wanted` has no branches (`|`, not `||` or `matches!`), the compiler vectorizes the test.
fn position(bytes: &[u8], from: usize, is_wanted: impl Fn(u8) -> bool) -> Option<usize> {
    const CHUNK: usize = 32;
    let (pieces, _) = bytes[from..].as_chunks::<CHUNK>();
    let is_in = |piece: &[u8; CHUNK]| piece.iter().fold(0, |found, byte| found | u8::from(is_wanted(*byte))) != 0;
    let start = from + CHUNK * pieces.iter().position(is_in).unwrap_or(pieces.len());
    bytes[start..].iter().position(|byte| is_wanted(*byte)).map(|found| start + found)
}

/// The first position at or after `at` where a line ends.
#[allow(clippy::needless_bitwise_bool, reason = "vectorizes: see `position`")]
pub(super) fn line_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        match position(bytes, at, |byte| (byte == b'\n') | (byte == b'\r') | (byte == 0xc2) | (byte == 0xe2)) {
            None => return bytes.len(),
            Some(found) => at = found,
        }
        if break_len(bytes, at) > 0 {
            return at;
        }
        at += 1;
    }
}

/// A line break as part of a scalar: LS and PS are kept, the others become `\n`.
pub(super) fn folded_break(text: &str) -> &str {
    if text.len() == 3 { text } else { "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_characters_are_those_of_pyyaml() {
        assert!(check("a\tb\r\n\u{85}\u{a0}\u{feff}\u{fffd}\u{1f600}é").is_ok());
        for bad in ['\0', '\u{7}', '\u{1b}', '\u{7f}', '\u{80}', '\u{9f}', '\u{fffe}', '\u{ffff}'] {
            let error = check(&format!("é{bad}")).unwrap_err();
            assert_eq!((error.span.start, error.span.end), (2, 2 + bad.len_utf8()), "{bad:?}");
        }
    }

    #[test]
    fn breaks_are_those_of_yaml_1_1() {
        let text = "a\r\nb\rc\u{85}d\u{2028}e\u{2029}f";
        let mut at = 0;
        let mut lengths = Vec::new();
        while at < text.len() {
            at = line_end(text.as_bytes(), at);
            lengths.push(break_len(text.as_bytes(), at));
            at += lengths.last().unwrap().max(&1);
        }
        assert_eq!(lengths, [2, 1, 2, 3, 3, 0]);
    }
}
