//! Where prefixes of [`KINDS`] stand in a text: from left to right, the longest at each place, none inside another.
//!
//! Most places are ruled out by three look-ups. The tables are made when mkimg is compiled: the automaton of a library, which
//! gives the same matches, was a seventh of all that a process did for a document of 16 KiB, and most of that was making it.

use super::kinds::{KINDS, Kind};

/// So many first bytes of a prefix are looked up; every prefix has them.
const LOOKED_UP: usize = 3;
/// Prefixes are told apart by bits of this many; those of one bit share it.
const BITS: usize = 64;

/// For each of the first bytes of a prefix: which prefixes have which byte there, as a set of bits.
static BYTES: [[u64; 256]; LOOKED_UP] = bytes();

const fn bytes() -> [[u64; 256]; LOOKED_UP] {
    let mut tables = [[0; 256]; LOOKED_UP];
    let mut kind = 0;
    while kind < KINDS.len() {
        let prefix = KINDS[kind].prefix.as_bytes();
        assert!(prefix.len() >= LOOKED_UP, "a prefix is too short to be looked for");
        let mut place = 0;
        while place < LOOKED_UP {
            tables[place][prefix[place] as usize] |= 1 << (kind % BITS);
            place += 1;
        }
        kind += 1;
    }
    tables
}

/// A prefix in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub kind: &'static Kind,
    pub start: usize,
    pub end: usize,
}

/// All prefixes in a text, in order.
pub(super) fn find(text: &str) -> impl Iterator<Item = Hit> {
    let bytes = text.as_bytes();
    let mut from = 0;
    std::iter::from_fn(move || {
        let (start, kind) = next(bytes, from)?;
        from = start + kind.prefix.len();
        Some(Hit { kind, start, end: from })
    })
}

fn next(bytes: &[u8], from: usize) -> Option<(usize, &'static Kind)> {
    let [one, two, three] = &BYTES;
    let rest = &bytes[from..];
    let (seconds, thirds) = (rest.get(1..)?, rest.get(2..)?);
    for (at, ((first, second), third)) in rest.iter().zip(seconds).zip(thirds).enumerate() {
        let fitting = one[usize::from(*first)] & two[usize::from(*second)] & three[usize::from(*third)];
        if fitting != 0
            && let Some(kind) = longest(&rest[at..], fitting)
        {
            return Some((from + at, kind));
        }
    }
    None
}

/// The longest prefix that a text begins with, of those that share the bits.
fn longest(text: &[u8], mut bits: u64) -> Option<&'static Kind> {
    let mut longest: Option<&Kind> = None;
    while bits != 0 {
        let first = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        for kind in KINDS.iter().skip(first).step_by(BITS) {
            let is_longer = longest.is_none_or(|known| kind.prefix.len() > known.prefix.len());
            if is_longer && text.starts_with(kind.prefix.as_bytes()) {
                longest = Some(kind);
            }
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use aho_corasick::{AhoCorasick, MatchKind};
    use proptest::prelude::*;

    use super::*;

    /// What a library of many years finds.
    fn expected(text: &str) -> Vec<(usize, usize, &'static str)> {
        let prefixes: Vec<_> = KINDS.iter().map(|kind| kind.prefix).collect();
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&prefixes).unwrap();
        automaton.find_iter(text).map(|hit| (hit.start(), hit.end(), prefixes[hit.pattern().as_usize()])).collect()
    }

    fn found(text: &str) -> Vec<(usize, usize, &'static str)> {
        find(text).map(|hit| (hit.start, hit.end, hit.kind.prefix)).collect()
    }

    #[test]
    fn each_prefix_is_found() {
        for kind in KINDS {
            assert_eq!(found(kind.prefix), expected(kind.prefix));
            assert!(found(kind.prefix).iter().any(|(start, ..)| *start == 0), "{}", kind.prefix);
        }
        assert_eq!(found(""), []);
        assert_eq!(found("sk"), []);
    }

    proptest! {
        /// Texts of pieces of prefixes: cut ones, overlapping ones, one after the other.
        #[test]
        fn texts_have_the_same_prefixes_as_a_library_finds(
            pieces in prop::collection::vec((0..KINDS.len(), 0..12_usize, 0..30_usize, ".?"), 0..12),
        ) {
            let mut text = String::new();
            for (kind, from, length, between) in pieces {
                let prefix = KINDS[kind].prefix;
                let from = from.min(prefix.len());
                text.push_str(&prefix[from..(from + length).min(prefix.len())]);
                text.push_str(&between);
            }
            prop_assert_eq!(found(&text), expected(&text));
        }
    }
}
