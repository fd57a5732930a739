//! YAML nodes as the Python values that cloud-init sees: keys without duplicates, equality, types.

use std::hash::{BuildHasher, RandomState};

use super::shape::{Literal, Types};
use diagnostics::quoted;
use diagnostics::source::{Source, Span};
use yaml11::{Entry, Key, Node, NodeId, NodeKind, Scalar, Tree};

/// One step of a path into the document.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PathStep<'t> {
    Index(usize),
    Key(Node<'t>),
}

/// Values nested deeper than this compare as different; with aliases, a value can contain itself.
const COMPARED_DEPTH: usize = 32;
/// Up to this many keys, pairwise comparison is faster than hashing.
const MAX_PAIRWISE_KEYS: usize = 12;

/// The entries in the order of a Python dict: a duplicate key keeps its first position and gets its
/// last value.
pub(crate) fn entries<'t>(tree: &'t Tree, node: Node<'t>) -> impl ExactSizeIterator<Item = (Node<'t>, Node<'t>)> {
    let all = node.mapping().unwrap_or_default();
    let mut out: Vec<&Entry> = Vec::with_capacity(all.len());
    if all.len() <= MAX_PAIRWISE_KEYS {
        for entry in all {
            match out.iter_mut().find(|known| same_key(tree.node(known.key), tree.node(entry.key))) {
                Some(known) => *known = entry,
                None => out.push(entry),
            }
        }
    } else {
        let mut first = equal_before(all.len(), |place| tree.node(all[place].key));
        out.extend(all);
        for place in 0..all.len() {
            first[place] = first[first[place]];
            out[first[place]] = &all[place];
        }
        let mut places = first.into_iter().enumerate();
        out.retain(|_| places.next().is_some_and(|(place, first)| place == first));
    }
    out.into_iter().map(|entry| (tree.node(entry.key), tree.node(entry.value)))
}

/// Duplicate keys of a mapping, without merged ones, as (later, earlier).
pub(crate) fn duplicates<'t>(tree: &'t Tree, node: Node<'t>) -> Vec<(Node<'t>, Node<'t>)> {
    let all = node.mapping().unwrap_or_default();
    let keys: Vec<_> = all.iter().filter(|entry| !entry.merged).map(|entry| &entry.key).collect();
    let key = |place: usize| tree.node(*keys[place]);
    if keys.len() <= MAX_PAIRWISE_KEYS {
        let earlier = |place: usize| (0..place).rev().find(|earlier| same_key(key(*earlier), key(place)));
        return (1..keys.len()).filter_map(|place| Some((key(place), key(earlier(place)?)))).collect();
    }
    let before = equal_before(keys.len(), key).into_iter().enumerate().filter(|(place, before)| before != place);
    before.map(|(place, before)| (key(place), key(before))).collect()
}

/// For each key, the index of the previous equal key, or its own index.
///
/// Sorts hashes, because a hash table of the keys takes several times as much memory.
fn equal_before<'t>(keys: usize, key: impl Fn(usize) -> Node<'t>) -> Vec<usize> {
    let state = RandomState::new();
    let mut hashes: Vec<_> = (0..keys).map(|place| (state.hash_one(KeyIdentity::of(key(place))), place)).collect();
    hashes.sort_unstable();
    let mut before: Vec<usize> = (0..keys).collect();
    for alike in hashes.chunk_by(|(one, _), (two, _)| one == two) {
        for (index, (_, place)) in alike.iter().enumerate().skip(1) {
            let equal = alike[..index].iter().rev().find(|(_, earlier)| same_key(key(*earlier), key(*place)));
            if let Some((_, earlier)) = equal {
                before[*place] = *earlier;
            }
        }
    }
    before
}

/// A mapping's value under a string key.
pub(crate) fn get<'t>(tree: &'t Tree, node: Node<'t>, name: &str) -> Option<Node<'t>> {
    let NodeKind::Mapping(all) = node.kind() else { return None };
    let entry = all.iter().rev().find(|entry| tree.node(entry.key).as_str() == Some(name))?;
    Some(tree.node(entry.value))
}

/// The item after the one that a path leads to, in the same list.
pub(crate) fn next_item<'t>(tree: &'t Tree, root: Node<'t>, path: &[PathStep<'_>]) -> Option<Node<'t>> {
    let (PathStep::Index(last), before) = path.split_last()? else { return None };
    let mut node = root;
    for step in before {
        node = match (step, node.kind()) {
            (PathStep::Index(index), NodeKind::Sequence(items)) => tree.node(*items.get(*index)?),
            (PathStep::Key(key), NodeKind::Mapping(_)) => get(tree, node, key.as_str()?)?,
            _ => return None,
        };
    }
    let NodeKind::Sequence(items) = node.kind() else { return None };
    Some(tree.node(*items.get(last + 1)?))
}

fn same_key(one: Node<'_>, two: Node<'_>) -> bool {
    match (one.as_str(), two.as_str()) {
        (Some(one), Some(two)) => one == two,
        _ => KeyIdentity::of(one) == KeyIdentity::of(two),
    }
}

/// What a Python dict compares. The parser rejects other keys than scalars.
#[derive(Debug, PartialEq, Eq, Hash)]
enum KeyIdentity<'t> {
    /// Nearly all keys are strings, which are not copied.
    Text(&'t str),
    Scalar(Key),
    Node(NodeId),
}

impl<'t> KeyIdentity<'t> {
    fn of(key: Node<'t>) -> Self {
        match key.scalar() {
            None => Self::Node(key.id()),
            Some(Scalar::Str(text)) => Self::Text(text),
            Some(scalar) => Self::Scalar(scalar.key()),
        }
    }
}

/// A key as cloud-init writes it in a path, with Python's `str`.
pub(crate) fn key_text(key: Node<'_>) -> String {
    match key.scalar() {
        Some(Scalar::Str(text) | Scalar::Timestamp(text)) => text.clone(),
        Some(Scalar::Int(digits)) => digits.clone(),
        Some(Scalar::Bool(true)) => "True".into(),
        Some(Scalar::Bool(false)) => "False".into(),
        Some(Scalar::Null) => "None".into(),
        Some(Scalar::Float(value)) if value.fract() == 0.0 && value.abs() < 1e16 => format!("{value:.1}"),
        Some(Scalar::Float(value)) => value.to_string(),
        Some(Scalar::Binary(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        None => "?".into(),
    }
}

/// The types that a value has. An integer is also a number; a boolean is neither.
pub(crate) fn types(node: Node<'_>) -> Types {
    match node.kind() {
        NodeKind::Sequence(_) | NodeKind::Pairs(_) => Types::LIST,
        NodeKind::Mapping(_) => Types::MAP,
        // A Python set has no type in the schema.
        NodeKind::Set(_) => Types(0),
        NodeKind::Scalar(scalar) => match scalar {
            Scalar::Null => Types::NULL,
            Scalar::Bool(_) => Types::BOOL,
            Scalar::Int(_) => Types::INT.or(Types::NUMBER),
            Scalar::Float(_) => Types::NUMBER,
            Scalar::Str(_) | Scalar::Binary(_) => Types::STR,
            Scalar::Timestamp(_) => Types(0),
        },
    }
}

pub(crate) fn is_literal(node: Node<'_>, literal: Literal) -> bool {
    match (node.scalar(), literal) {
        (Some(Scalar::Str(text)), Literal::Str(expected)) => text == expected,
        (Some(Scalar::Bool(value)), Literal::Bool(expected)) => *value == expected,
        _ => false,
    }
}

/// Equality as for `uniqueItems`: `1` equals `1.0`, but `true` equals neither.
pub(crate) fn equal<'t>(tree: &'t Tree, one: Node<'t>, two: Node<'t>) -> bool {
    equal_to_depth(tree, one, two, COMPARED_DEPTH)
}

fn equal_to_depth<'t>(tree: &'t Tree, one: Node<'t>, two: Node<'t>, depth: usize) -> bool {
    if one.id() == two.id() {
        return true;
    }
    if depth == 0 {
        return false;
    }
    match (one.kind(), two.kind()) {
        (NodeKind::Scalar(one), NodeKind::Scalar(two)) => match (one, two) {
            (Scalar::Int(digits), Scalar::Float(value)) | (Scalar::Float(value), Scalar::Int(digits)) => {
                digits.parse::<f64>().is_ok_and(|digits| digits.total_cmp(value).is_eq())
            }
            _ => one == two,
        },
        (NodeKind::Sequence(one), NodeKind::Sequence(two)) => {
            one.len() == two.len()
                && one
                    .iter()
                    .zip(two)
                    .all(|(one, two)| equal_to_depth(tree, tree.node(*one), tree.node(*two), depth - 1))
        }
        (NodeKind::Mapping(_), NodeKind::Mapping(_)) => {
            let (mut ones, twos) = (entries(tree, one), entries(tree, two).collect::<Vec<_>>());
            ones.len() == twos.len()
                && ones.all(|(key, value)| {
                    twos.iter().any(|(other, at)| same_key(key, *other) && equal_to_depth(tree, value, *at, depth - 1))
                })
        }
        _ => false,
    }
}

/// A scalar as written in the source, without anchor and tag.
pub(crate) fn written<'s>(source: &'s Source, node: Node<'_>) -> &'s str {
    let mut text = source.slice(node.span()).trim();
    while text.starts_with(['&', '!']) {
        let Some((_, rest)) = text.split_once(char::is_whitespace) else { break };
        text = rest.trim_start();
    }
    text
}

/// A value as messages describe it: "the integer `644`", "a list".
pub(crate) fn describe(source: &Source, node: Node<'_>) -> String {
    let written = written(source, node);
    let number = |name: &str, value: &str| {
        if written.is_empty() || written == value || written.trim_start_matches('+') == value {
            format!("the {name} {}", quoted(value))
        } else {
            format!("the {name} {} (that is how YAML reads {})", quoted(value), quoted(written))
        }
    };
    match node.kind() {
        NodeKind::Sequence(items) if items.is_empty() => "an empty list".into(),
        NodeKind::Sequence(_) => "a list".into(),
        NodeKind::Mapping(entries) if entries.is_empty() => "an empty mapping".into(),
        NodeKind::Mapping(_) => "a mapping".into(),
        NodeKind::Set(_) => "a set (`!!set`)".into(),
        NodeKind::Pairs(_) => "a list of pairs (`!!omap` or `!!pairs`)".into(),
        NodeKind::Scalar(scalar) => match scalar {
            Scalar::Null => "nothing (null)".into(),
            Scalar::Bool(value) => number("boolean", if *value { "true" } else { "false" }),
            Scalar::Int(digits) => number("integer", digits),
            Scalar::Float(_) => format!("the number {}", quoted(written)),
            Scalar::Str(text) if text.is_empty() => "an empty string".into(),
            Scalar::Str(text) => format!("the string {}", quoted(text)),
            Scalar::Timestamp(text) => format!("the date {}", quoted(text)),
            Scalar::Binary(_) => "binary data".into(),
        },
    }
}

/// The path of the innermost value around a place; empty outside of all.
pub(crate) fn path_at(tree: &Tree, root: Node<'_>, at: usize) -> String {
    let holds = |span: Span| span.start <= at && at < span.end;
    let mut path: Vec<String> = Vec::new();
    let mut node = root;
    while path.len() < 64 {
        let next = match node.kind() {
            NodeKind::Sequence(items) => {
                let found = items.iter().enumerate().find(|(_, item)| holds(item.used_at));
                found.map(|(index, item)| (index.to_string(), tree.node(*item)))
            }
            NodeKind::Mapping(entries) => {
                let found = entries.iter().filter(|entry| !entry.merged);
                let found = found.rev().find(|entry| holds(entry.value.used_at));
                found.map(|entry| (key_text(tree.node(entry.key)), tree.node(entry.value)))
            }
            _ => None,
        };
        let Some((step, inner)) = next else { break };
        path.push(step);
        node = inner;
    }
    path.join(".")
}
