//! Maps places in a generated text (a rendered template, a decoded part) to its source file.
//!
//! The generated text consists of pieces. In a copied piece, every byte has its own place. Findings
//! in any other piece are shown at the place of the whole piece.

use super::value;
use crate::rules::Rule;
use diagnostics::source::{Source, Span, floor_char_boundary};
use diagnostics::{Diagnostic, Suppressed};
use yaml11::Node;

/// A finding of a rule, perhaps with help.
pub(crate) fn finding(
    rule: &'static Rule,
    path: String,
    span: Span,
    message: String,
    help: Option<String>,
) -> Diagnostic {
    Diagnostic::new(rule, path, span, message).with_help(help)
}

/// The message of a JSON error without its position, and the byte where it is.
pub(crate) fn json_error(text: &str, error: &serde_json::Error) -> (String, usize) {
    let line: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = floor_char_boundary(text, line + error.column().saturating_sub(1));
    let message = error.to_string();
    (message.split(" at line ").next().unwrap_or_default().to_owned(), at)
}

/// The lines of a text with their places, without line ends.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line.trim_end_matches(['\n', '\r'])))
    })
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    /// End in the generated text; the piece begins where the previous one ends.
    end: usize,
    /// The place in the source.
    from: Span,
    /// Whether it is a copy, byte for byte.
    copied: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    pieces: Vec<Piece>,
}

impl Places {
    /// The next `length` bytes came from `from`.
    pub(crate) fn push(&mut self, length: usize, from: Span) {
        let end = self.pieces.last().map_or(0, |piece| piece.end) + length;
        self.pieces.push(Piece { end, from, copied: from.end.saturating_sub(from.start) == length });
    }

    /// The whole text came from one span, copied or not.
    pub(crate) fn of_one_span(length: usize, from: Span) -> Self {
        let mut places = Self::default();
        places.push(length, from);
        places
    }

    /// The source of a byte of the generated text, as the start or the end of a span.
    fn place(&self, offset: usize, is_end: bool) -> usize {
        // Between two pieces, an end belongs to the first one and a start to the second one.
        let index = self.pieces.partition_point(|piece| if is_end { piece.end < offset } else { piece.end <= offset });
        let Some(piece) = self.pieces.get(index).or(self.pieces.last()) else { return 0 };
        let start = index.checked_sub(1).and_then(|before| self.pieces.get(before)).map_or(0, |before| before.end);
        match (piece.copied, is_end) {
            (true, _) => (piece.from.start + offset.saturating_sub(start)).min(piece.from.end),
            (false, false) => piece.from.start,
            (false, true) => piece.from.end,
        }
    }

    /// Whether a byte of the generated text has its own place.
    pub(crate) fn is_exact(&self, offset: usize) -> bool {
        let index = self.pieces.partition_point(|piece| piece.end <= offset);
        self.pieces.get(index).or(self.pieces.last()).is_some_and(|piece| piece.copied)
    }

    /// The next `length` bytes were copied from `from` on. Extends the last piece if this one
    /// continues it.
    fn copied(&mut self, length: usize, from: usize) {
        match self.pieces.last_mut() {
            Some(last) if last.copied && last.from.end == from => {
                last.end += length;
                last.from.end += length;
            }
            _ => self.push(length, Span::new(from, from + length)),
        }
    }

    /// Maps the value of a YAML scalar to its source, through blocks, quotes and escapes. Where
    /// that fails, the rest has the place of the whole scalar.
    pub(crate) fn of_scalar(source: &Source, node: Node<'_>, text: &str) -> Self {
        let mut places = Self::default();
        let span = node.span();
        let scalar = source.slice(span);
        let written = value::written(source, node);
        let mut at = span.start + (scalar.len() - scalar.trim_start().len());
        at += source.slice(Span::new(at, span.end)).find(written).unwrap_or_default();
        let style = written.bytes().next();
        match style {
            Some(b'|' | b'>') => at += written.find('\n').map_or(written.len(), |end| end + 1),
            Some(b'"' | b'\'') => at += 1,
            _ => {}
        }
        let mut characters = text.char_indices().peekable();
        while let Some((offset, character)) = characters.peek().copied() {
            let rest = source.slice(Span::new(at, span.end));
            let Some(here) = rest.chars().next() else { break };
            let escape = match style {
                Some(b'"') if here == '\\' => escape_length(rest),
                Some(b'\'') if rest.starts_with("''") => 2,
                _ => 0,
            };
            if escape > 0 {
                // An escaped line break has no character in the value.
                if !rest[1..].starts_with(['\n', '\r']) {
                    places.push(character.len_utf8(), Span::new(at, at + escape));
                    characters.next();
                }
                at += escape;
            } else if here == character {
                places.copied(character.len_utf8(), at);
                at += here.len_utf8();
                characters.next();
            } else if here.is_whitespace() {
                at += here.len_utf8();
            } else if character.is_whitespace() {
                // White space that is not in the file, such as the final newline.
                places.push(character.len_utf8(), Span::at(at));
                characters.next();
            } else {
                places.push(text.len() - offset, node.used_at());
                return places;
            }
        }
        if let Some((offset, _)) = characters.peek() {
            places.push(text.len() - offset, Span::at(at.min(span.end)));
        }
        places
    }

    pub(crate) fn span(&self, span: Span) -> Span {
        let start = self.place(span.start, false);
        if span.end <= span.start {
            return Span::at(start);
        }
        Span::new(start, self.place(span.end, true).max(start))
    }

    pub(crate) fn translate(&self, finding: &mut Diagnostic) {
        finding.span = finding.span.map(|span| self.span(span));
        for (span, _) in &mut finding.related {
            *span = self.span(*span);
        }
    }

    pub(crate) fn translate_suppressed(&self, allowed: &mut Suppressed) {
        self.translate(&mut allowed.diagnostic);
        allowed.allowed_at = allowed.allowed_at.map(|span| self.span(span));
    }
}

/// The length of the escape at the start of a text, in bytes.
fn escape_length(text: &str) -> usize {
    let length = match text.as_bytes().get(1) {
        Some(b'x') => 4,
        Some(b'u') => 6,
        Some(b'U') => 10,
        Some(b'\r') if text.as_bytes().get(2) == Some(&b'\n') => 3,
        _ => 1 + text.chars().nth(1).map_or(0, char::len_utf8),
    };
    if text.is_char_boundary(length) { length } else { text.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_pieces_map_byte_by_byte() {
        let mut places = Places::default();
        places.push(3, Span::new(10, 13));
        places.push(5, Span::new(20, 22));
        places.push(4, Span::new(30, 34));
        assert_eq!(places.span(Span::new(1, 2)), Span::new(11, 12));
        assert_eq!(places.span(Span::new(4, 6)), Span::new(20, 22));
        assert_eq!(places.span(Span::new(2, 9)), Span::new(12, 31));
        assert_eq!(places.span(Span::at(8)), Span::at(30));
        assert_eq!(places.span(Span::new(8, 99)), Span::new(30, 34));
        assert_eq!(Places::default().span(Span::new(1, 2)), Span::at(0));
    }

    #[test]
    fn scalars_of_every_style_map_to_their_source() {
        for (text, wanted, place) in [
            ("a: |\n  one\n  it's <here>\n", "<here>", (3, 8)),
            ("a: >\n  one\n  two\n\n  <here> three\n", "<here>", (5, 3)),
            ("a: \"one\\n\\ttwo\\u00e9 \\\n  <here>\"\n", "<here>", (2, 3)),
            ("a: 'it''s <here>'\n", "<here>", (1, 11)),
            ("a: &x !!str plain text\n  on <here>\n", "<here>", (2, 6)),
            ("a: |4\n      one\n      <here>\n", "<here>", (3, 7)),
            ("a: |\r\n  one\r\n  <here>\r\n", "<here>", (3, 3)),
            ("a: 日本 <here>\n", "<here>", (1, 7)),
        ] {
            let source = Source::new("t", text);
            let tree = yaml11::parse(source.text()).unwrap();
            let node = value::get(&tree, tree.root().unwrap(), "a").unwrap();
            let content = node.as_str().unwrap();
            let at = content.find(wanted).unwrap();
            let places = Places::of_scalar(&source, node, content);
            let span = places.span(Span::new(at, at + wanted.len()));
            let position = source.position(span.start);
            assert_eq!((position.line, position.column), place, "{text:?}");
            assert_eq!(source.slice(span), wanted, "{text:?}");
            assert!(places.is_exact(at));
        }
    }
}
