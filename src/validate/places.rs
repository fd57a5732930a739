//! From places in a text that was made (a rendered template, a part of an archive) to places in the file that it came from.
//!
//! A made text is covered by pieces, in order. Of a copied piece every byte has its own place; everything else that is
//! found in a piece is shown at the place of the whole piece.

use crate::diag::{Diagnostic, Suppressed};
use crate::source::Span;

#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Where it ends in the made text; it begins where the one before it ends.
    end: usize,
    /// Where it came from.
    from: Span,
    /// Whether it was copied byte for byte.
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
    pub(crate) fn whole(length: usize, from: Span) -> Self {
        let mut places = Self::default();
        places.push(length, from);
        places
    }

    /// Where a byte of the made text came from, as a beginning and as an end.
    fn place(&self, offset: usize, is_end: bool) -> usize {
        // A place between two pieces belongs to the one that it ends, or to the one that it begins.
        let index = self.pieces.partition_point(|piece| if is_end { piece.end < offset } else { piece.end <= offset });
        let Some(piece) = self.pieces.get(index).or(self.pieces.last()) else { return 0 };
        let start = index.checked_sub(1).and_then(|before| self.pieces.get(before)).map_or(0, |before| before.end);
        match (piece.copied, is_end) {
            (true, _) => (piece.from.start + offset.saturating_sub(start)).min(piece.from.end),
            (false, false) => piece.from.start,
            (false, true) => piece.from.end,
        }
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
        allowed.place = allowed.place.map(|span| self.span(span));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_pieces_keep_their_bytes_and_others_their_whole() {
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
}
