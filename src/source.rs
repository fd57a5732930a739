//! A named text, and places in it.
//!
//! Every finding of mkimg points into a [`Source`] with a [`Span`] of bytes; line and column are computed once, here, when
//! something is shown. This room reads no files: `workspace` does, and hands the text over.

use std::sync::Arc;

/// A text with the name under which a person knows it: a path relative to the project, or `-` for standard input.
#[derive(Debug, Clone)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    line_starts: Arc<[usize]>,
}

/// A half-open range of bytes in a source's text. Both ends lie on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// A place as editors show it: both numbers start at 1, columns count characters (Unicode scalar values).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Span {
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The empty span at `offset`.
    #[must_use]
    pub const fn at(offset: usize) -> Self {
        Self { start: offset, end: offset }
    }

    /// The smallest span that holds both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

impl Source {
    /// Takes a text under its name. Lines end at `\n`, `\r\n`, a lone `\r`, NEL (U+0085), LS or PS (U+2028, U+2029): Unicode's
    /// line ends, and those by which YAML 1.1 and so cloud-init count.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let bytes = text.as_bytes();
        let mut line_starts = vec![0];
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' => line_starts.push(index + 1),
                b'\r' if bytes.get(index + 1) != Some(&b'\n') => line_starts.push(index + 1),
                0xc2 if bytes[index..].starts_with("\u{85}".as_bytes()) => line_starts.push(index + 2),
                0xe2 if bytes[index..].starts_with(b"\xe2\x80\xa8") || bytes[index..].starts_with(b"\xe2\x80\xa9") => {
                    line_starts.push(index + 3);
                }
                _ => {}
            }
        }
        Self { name: name.into(), text, line_starts: line_starts.into() }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty where the span does not lie in this text.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Where a byte offset is. An offset past the end, or inside a character, counts as the nearest one before it.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[line - 1];
        Position { line, column: self.text[start..offset].chars().count() + 1 }
    }
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
    fn offsets_outside_are_clamped() {
        assert_eq!(place("é", 1), (1, 1));
        assert_eq!(place("ab", 99), (1, 3));
        assert_eq!(place("", 0), (1, 1));
    }
}
