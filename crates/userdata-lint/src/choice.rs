//! Which errors a failed choice (`oneOf`, `anyOf`) gives, once all of its branches have failed.

use super::fault::{Fault, Step, What};
use super::shape::{Keyword, Types};
use super::value;

/// jsonschema's choice of one error: nearest to the root, not itself a choice, of a value whose type was not right; the first.
pub(super) fn best_match(failed: Vec<Fault<'_>>) -> Option<Fault<'_>> {
    let relevance = |fault: &Fault<'_>| {
        let choice = matches!(fault.what, What::NoBranch | What::Ambiguous);
        let right_type = fault
            .shape
            .0
            .iter()
            .any(|keyword| matches!(keyword, Keyword::Type(types) if types.contains(value::types(fault.node))));
        (std::cmp::Reverse(fault.path.len()), !choice, !right_type)
    };
    failed.into_iter().reduce(|best, fault| if relevance(&fault) > relevance(&best) { fault } else { best })
}

/// Branches that all fail at one value because it is of another type, or another value, become one fault that names all.
pub(super) fn merge_choices(faults: Vec<Fault<'_>>) -> Vec<Fault<'_>> {
    let mut out: Vec<Fault<'_>> = Vec::with_capacity(faults.len());
    let mut places: std::collections::HashMap<(usize, usize, usize), usize> = std::collections::HashMap::new();
    for fault in faults {
        let choice = match &fault.what {
            What::Type(types) => Some((*types, vec![], vec![])),
            What::Enum(values) => Some((Types(0), values.to_vec(), vec![])),
            What::Pattern(pattern) => Some((Types(0), vec![], vec![*pattern])),
            What::Choice { types, literals, patterns } => Some((*types, literals.clone(), patterns.clone())),
            _ => None,
        };
        let Some((more_types, more_literals, more_patterns)) = choice else {
            out.push(fault);
            continue;
        };
        // The path's length and the place of the value tell values apart: one place, one path. Of a list of pairs, whose items are no
        // nodes, all items stand at one place.
        let item = if let Some(Step::Index(index)) = fault.path.last() { *index } else { 0 };
        match places.entry((fault.node.used_at().start, fault.path.len(), item)) {
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(out.len());
                out.push(fault);
            }
            std::collections::hash_map::Entry::Occupied(place) => {
                let first = &mut out[*place.get()];
                let (mut types, mut literals, mut patterns) = match std::mem::replace(&mut first.what, What::NoBranch) {
                    What::Type(types) => (types, vec![], vec![]),
                    What::Enum(values) => (Types(0), values.to_vec(), vec![]),
                    What::Pattern(pattern) => (Types(0), vec![], vec![pattern]),
                    What::Choice { types, literals, patterns } => (types, literals, patterns),
                    other => {
                        first.what = other;
                        continue;
                    }
                };
                types = types.or(more_types);
                literals.extend(
                    more_literals.into_iter().filter(|literal| !literals.contains(literal)).collect::<Vec<_>>(),
                );
                patterns.extend(more_patterns);
                first.what = What::Choice { types, literals, patterns };
            }
        }
    }
    out
}
