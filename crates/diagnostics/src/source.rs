//! Named texts, and positions in them.
//!
//! A finding points into a [`Source`] with a [`Span`] of bytes. Line and column are computed here, when
//! something is shown.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// A text and its name for people: a path relative to the project, or `-` for standard input.
#[derive(Debug, Clone)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Positions at each multiple of [`STRIDE`], computed on first use. A table of line starts could be
    /// larger than the text, and a line may be as long as the text.
    marks: Arc<OnceLock<Box<[Mark]>>>,
    /// Spans that are never shown, in order.
    hidden: Arc<[Span]>,
}

/// Line and column at a byte offset.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// Number of line starts at or before it, without the first line.
    lines: usize,
    /// Number of characters on its line before it.
    characters: usize,
}

/// A position as editors show it: line and column start at 1; columns count Unicode scalar values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

pub use yaml11::Span;

/// Bytes between two marks.
const STRIDE: usize = 256;

/// Whether a line other than the first starts at an offset.
fn starts_line(bytes: &[u8], place: usize) -> bool {
    let Some(last) = place.checked_sub(1).and_then(|last| bytes.get(last)) else { return false };
    match last {
        b'\n' => true,
        b'\r' => bytes.get(place) != Some(&b'\n'),
        0x85 => bytes[..place].ends_with("\u{85}".as_bytes()),
        0xa8 => bytes[..place].ends_with("\u{2028}".as_bytes()),
        0xa9 => bytes[..place].ends_with("\u{2029}".as_bytes()),
        _ => false,
    }
}

impl Mark {
    /// Advances this mark from offset `from` to `to`.
    fn after(self, bytes: &[u8], from: usize, to: usize) -> Self {
        let mut mark = self;
        let mut counted = from;
        // Last bytes of the line breaks.
        let may_end = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0x85 | 0xa8 | 0xa9);
        for (index, _) in bytes[from..to].iter().enumerate().filter(|(_, byte)| may_end(byte)) {
            let place = from + index + 1;
            if starts_line(bytes, place) {
                mark = Self { lines: mark.lines + 1, characters: 0 };
                counted = place;
            }
        }
        // Count all bytes but UTF-8 continuation bytes.
        mark.characters += bytes[counted..to].iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        mark
    }
}

fn marks(bytes: &[u8]) -> Box<[Mark]> {
    let mut marks = Vec::with_capacity(bytes.len() / STRIDE + 1);
    let mut mark = Mark { lines: 0, characters: 0 };
    for from in (0..=bytes.len()).step_by(STRIDE) {
        marks.push(mark);
        mark = mark.after(bytes, from, (from + STRIDE).min(bytes.len()));
    }
    marks.into()
}

impl Source {
    /// Creates a source. Lines end at `\n`, `\r\n`, a lone `\r`, NEL (U+0085), LS or PS (U+2028, U+2029), as in
    /// Unicode and YAML 1.1.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into(), marks: Arc::default(), hidden: Arc::default() }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty if the span is outside this text.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The same source with spans that are never shown, such as secrets.
    #[must_use]
    pub fn hiding(&self, mut places: Vec<Span>) -> Self {
        places.sort_unstable();
        Self { hidden: places.into(), ..self.clone() }
    }

    /// The text of a span for output. Hidden characters are replaced by others of the same length in
    /// bytes, so that spans stay valid; white space is kept.
    #[must_use]
    pub fn shown(&self, span: Span) -> Cow<'_, str> {
        let text = self.slice(span);
        let is_hidden = |at: usize| self.hidden.iter().any(|place| (place.start..place.end).contains(&at));
        if !self.hidden.iter().any(|place| place.start < span.end && span.start < place.end) {
            return Cow::Borrowed(text);
        }
        let cover = |(at, character): (usize, char)| match character.len_utf8() {
            _ if matches!(character, ' ' | '\t' | '\r' | '\n') || !is_hidden(span.start + at) => character,
            1 => '*',
            2 => '\u{b7}',
            3 => '\u{2022}',
            _ => '\u{1d7d8}',
        };
        Cow::Owned(text.char_indices().map(cover).collect())
    }

    /// Position of a byte offset. Past the end, or inside a character, the nearest offset before counts.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let offset = floor_char_boundary(&self.text, offset);
        let bytes = self.text.as_bytes();
        let known = offset / STRIDE;
        let mark = self.marks.get_or_init(|| marks(bytes))[known].after(bytes, known * STRIDE, offset);
        Position { line: 1 + mark.lines, column: 1 + mark.characters }
    }
}

/// The character boundary at or before a byte offset. (`str::floor_char_boundary` needs Rust 1.91.)
#[must_use]
pub fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    (0..=offset).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, offset: usize) -> (usize, usize) {
        let position = Source::new("t", text).position(offset);
        (position.line, position.column)
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        assert_eq!(place("é: x\n", 3), (1, 3));
        assert_eq!(place("a\n日本: x", "a\n日本".len()), (2, 3));
    }

    #[test]
    fn crlf_and_lone_cr_end_lines() {
        assert_eq!(place("a\r\nb", 3), (2, 1));
        assert_eq!(place("a\rb", 2), (2, 1));
        assert_eq!(place("a\n", 2), (2, 1));
    }

    #[test]
    fn unicode_line_ends_count() {
        assert_eq!(place("a\u{85}b", 3), (2, 1));
        assert_eq!(place("a\u{2028}b\u{2029}cd", 9), (3, 2));
    }

    #[test]
    fn positions_in_long_texts_are_correct() {
        let text = (0..3000)
            .map(|number| number.to_string())
            .fold(String::new(), |text, number| text + "é" + &number + "\r\n");
        let source = Source::new("t", text.as_str());
        let mut at = 0;
        for line in 1..=3000 {
            assert_eq!(source.position(at), Position { line, column: 1 });
            assert_eq!(source.position(at + 2), Position { line, column: 2 });
            at += text[at..].find('\n').unwrap() + 1;
        }
    }

    #[test]
    fn hidden_places_keep_their_length() {
        let source = Source::new("t", "a: sécret €𝟘\nb: secret\n");
        let hidden = source.hiding(vec![Span::new(22, 28), Span::new(3, 18)]);
        let all = Span::new(0, source.text().len());
        assert_eq!(hidden.shown(all).len(), all.end);
        assert_eq!(hidden.shown(Span::new(0, 10)), "a: *·****");
        assert!(!hidden.shown(all).contains('€') && hidden.shown(all).ends_with("****\n"));
        assert!(matches!(hidden.shown(Span::new(0, 3)), Cow::Borrowed("a: ")));
        assert!(matches!(source.shown(all), Cow::Borrowed(_)));
    }

    #[test]
    fn all_positions_are_correct() {
        let text = "é\r\n日本\u{2028}\r\rx\u{85}\n\u{1f600}e\u{301} ".repeat(60);
        let source = Source::new("t", text.as_str());
        let mut expected = Position { line: 1, column: 1 };
        for (at, character) in text.char_indices() {
            assert_eq!(source.position(at), expected, "{at}");
            let ends = match character {
                '\r' => !text[at + 1..].starts_with('\n'),
                _ => matches!(character, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}'),
            };
            expected = if ends {
                Position { line: expected.line + 1, column: 1 }
            } else {
                Position { line: expected.line, column: expected.column + 1 }
            };
        }
    }

    #[test]
    fn offsets_outside_are_clamped() {
        assert_eq!(place("é", 1), (1, 1));
        assert_eq!(place("ab", 99), (1, 3));
        assert_eq!(place("", 0), (1, 1));
    }
}
