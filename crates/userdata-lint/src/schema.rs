//! Checks a value against the [`Shape`] of its key, as `cloud-init schema` does.
//!
//! This follows jsonschema's draft 4 validator with cloud-init's changes: which errors a failed
//! choice reports, and that deprecations are reported with errors but make nothing invalid. The
//! result is a list of [`SchemaError`]s with cloud-init's paths; `messages.rs` words them.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::shape::{Keyword, Literal, Note, Pattern, Shape, Types};
use super::value::{self, PathStep};
use super::version::Version;
use yaml11::{Node, NodeId, NodeKind, Scalar, Tree};

/// Since this version, a failed choice also reports the errors of its nearest branch (25.1, but not
/// 22.4).
const NEAREST_BRANCH: Version = Version::new(25, 1);
/// How many comparisons one document may take. Real documents take a few thousand.
const MAX_STEPS: usize = 5_000_000;
/// How many errors are collected.
const MAX_ERRORS: usize = 2_000;

/// How a value does not match its shape.
#[derive(Debug, Clone)]
pub(crate) enum Violation<'t> {
    Type(Types),
    Enum(&'static [Literal]),
    /// None of several types or values: the branches of a `oneOf` that all fail at this value.
    Choice {
        types: Types,
        literals: Vec<Literal>,
        patterns: Vec<&'static Pattern>,
    },
    UnknownKeys(Vec<Node<'t>>),
    Missing(&'static str),
    TooFewItems(usize),
    TooManyItems(usize),
    Repeated(Node<'t>, Node<'t>),
    TooFewKeys,
    Below(i64),
    Pattern(&'static Pattern),
    Date,
    Uri,
    /// More than one branch of a `oneOf` matches.
    Ambiguous,
    /// No branch matches; other errors explain why.
    NoBranch,
    NotTogether(&'static str, &'static str),
    Deprecated(Note),
    Changed(Note),
}

#[derive(Debug, Clone)]
pub(crate) struct SchemaError<'t> {
    pub path: Vec<PathStep<'t>>,
    /// The value that was checked.
    pub node: Node<'t>,
    pub shape: Shape,
    pub violation: Violation<'t>,
}

impl SchemaError<'_> {
    /// Whether another error at the same place explains more than this type error.
    pub(crate) fn is_explained_better(&self, all: &[Self]) -> bool {
        if !matches!(self.violation, Violation::Type(_) | Violation::Choice { .. }) {
            return false;
        }
        let here = |other: &&Self| {
            other.node.id() == self.node.id()
                && other.node.used_at() == self.node.used_at()
                && other.path.len() == self.path.len()
        };
        // The number of errors is limited, so this stays cheap.
        all.iter().filter(here).any(|other| match other.violation {
            Violation::Enum(_) => matches!(self.violation, Violation::Type(_)),
            Violation::Below(_) | Violation::Date | Violation::Uri | Violation::TooFewItems(_) | Violation::TooManyItems(_) | Violation::Repeated(..)
            // The value was probably meant to be a mapping.
            | Violation::UnknownKeys(_) | Violation::Missing(_) => true,
            _ => false,
        })
    }

    pub(crate) fn is_deprecation(&self) -> bool {
        matches!(self.violation, Violation::Deprecated(_) | Violation::Changed(_))
    }
}

/// The errors of a value, and whether it was too complex to check.
pub(crate) struct Outcome<'t> {
    pub errors: Vec<SchemaError<'t>>,
    pub exhausted: bool,
}

/// Compares the value under one top-level key with its shape.
pub(crate) fn check<'t>(tree: &'t Tree, key: Node<'t>, value: Node<'t>, shape: Shape, version: Version) -> Outcome<'t> {
    let mut checker =
        Checker { tree, version, path: vec![PathStep::Key(key)], steps: 0, errors: 0, clean: HashSet::new() };
    let mut errors = Vec::new();
    checker.shape(value, shape, &mut errors);
    Outcome { errors, exhausted: checker.exhausted() }
}

struct Checker<'t> {
    tree: &'t Tree,
    version: Version,
    path: Vec<PathStep<'t>>,
    steps: usize,
    errors: usize,
    /// Aliased values that match a shape without errors.
    clean: HashSet<(NodeId, *const Keyword)>,
}

impl<'t> Checker<'t> {
    fn exhausted(&self) -> bool {
        self.steps > MAX_STEPS || self.errors > MAX_ERRORS
    }

    fn report(&mut self, node: Node<'t>, shape: Shape, violation: Violation<'t>, out: &mut Vec<SchemaError<'t>>) {
        self.errors += 1;
        out.push(SchemaError { path: self.path.clone(), node, shape, violation });
    }

    fn shape(&mut self, node: Node<'t>, shape: Shape, out: &mut Vec<SchemaError<'t>>) {
        self.steps += 1;
        if self.exhausted() {
            return;
        }
        let shared = node.used_at() != node.span();
        let identity = (node.id(), shape.0.as_ptr());
        if shared && self.clean.contains(&identity) {
            return;
        }
        let before = out.len();
        for keyword in shape.0 {
            self.keyword(node, shape, keyword, out);
        }
        if shared && out.len() == before {
            self.clean.insert(identity);
        }
    }

    fn keyword(&mut self, node: Node<'t>, shape: Shape, keyword: &'static Keyword, out: &mut Vec<SchemaError<'t>>) {
        match keyword {
            Keyword::Since(_) => {}
            Keyword::Before(version, keyword) => {
                if self.version < *version {
                    self.keyword(node, shape, keyword, out);
                }
            }
            Keyword::From(version, keyword) => {
                if self.version >= *version {
                    self.keyword(node, shape, keyword, out);
                }
            }
            Keyword::Deprecated(advice) => self.report(node, shape, Violation::Deprecated(*advice), out),
            Keyword::Changed(advice) => self.report(node, shape, Violation::Changed(*advice), out),
            Keyword::Also(other) => self.shape(node, *other, out),
            Keyword::OneOf(branches) => self.one_of(node, shape, branches, out),
            Keyword::AnyOf(branches) => self.any_of(node, shape, branches, out),
            Keyword::Properties(_) | Keyword::PatternProperties(..) | Keyword::Closed | Keyword::Additional(_) => {
                if matches!(node.kind(), NodeKind::Mapping(_)) {
                    self.members(node, shape, keyword, out);
                }
            }
            Keyword::Items(items) => {
                if let NodeKind::Sequence(children) = node.kind() {
                    for (index, child) in children.iter().enumerate() {
                        if self.exhausted() {
                            return;
                        }
                        self.path.push(PathStep::Index(index));
                        self.shape(self.tree.node(*child), *items, out);
                        self.path.pop();
                    }
                } else if let NodeKind::Pairs(pairs) = node.kind() {
                    // These are tuples in Python, which have no type in the schema.
                    for index in 0..pairs.len() {
                        self.path.push(PathStep::Index(index));
                        self.report(node, *items, Violation::Type(Types::STR), out);
                        self.path.pop();
                    }
                }
            }
            Keyword::Required(names) => {
                if matches!(node.kind(), NodeKind::Mapping(_)) {
                    for name in *names {
                        if value::get(self.tree, node, name).is_none() {
                            self.report(node, shape, Violation::Missing(name), out);
                        }
                    }
                }
            }
            _ => {
                if let Some(violation) = self.leaf(node, keyword) {
                    self.report(node, shape, violation, out);
                }
            }
        }
    }

    /// Keywords about the value itself.
    fn leaf(&self, node: Node<'t>, keyword: &'static Keyword) -> Option<Violation<'t>> {
        match keyword {
            Keyword::Type(types) if !types.contains(value::types(node)) => Some(Violation::Type(*types)),
            Keyword::Enum(literals) if !literals.iter().any(|literal| value::is_literal(node, *literal)) => {
                Some(Violation::Enum(literals))
            }
            Keyword::MinItems(least) => match node.kind() {
                NodeKind::Sequence(items) if items.len() < *least => Some(Violation::TooFewItems(*least)),
                NodeKind::Pairs(pairs) if pairs.len() < *least => Some(Violation::TooFewItems(*least)),
                _ => None,
            },
            Keyword::MaxItems(most) => match node.kind() {
                NodeKind::Sequence(items) if items.len() > *most => Some(Violation::TooManyItems(*most)),
                NodeKind::Pairs(pairs) if pairs.len() > *most => Some(Violation::TooManyItems(*most)),
                _ => None,
            },
            Keyword::MinProperties(least) => match node.kind() {
                NodeKind::Mapping(entries) if entries.len() < *least => Some(Violation::TooFewKeys),
                _ => None,
            },
            Keyword::Unique => self.repeated(node).map(|(one, two)| Violation::Repeated(one, two)),
            Keyword::Minimum(least) => match node.scalar() {
                Some(Scalar::Int(digits)) if below(digits, *least) => Some(Violation::Below(*least)),
                #[allow(clippy::cast_precision_loss, reason = "the tables' limits are small")]
                Some(Scalar::Float(value)) if *value < *least as f64 => Some(Violation::Below(*least)),
                _ => None,
            },
            Keyword::Matches(pattern) => match node.scalar() {
                Some(Scalar::Str(text)) if !(pattern.matches)(text) => Some(Violation::Pattern(pattern)),
                // Python cannot match bytes with a text pattern; cloud-init crashes.
                Some(Scalar::Binary(_)) => Some(Violation::Pattern(pattern)),
                _ => None,
            },
            Keyword::Date => match node.scalar() {
                Some(Scalar::Str(text)) if !super::pattern::is_date(text) => Some(Violation::Date),
                _ => None,
            },
            Keyword::Uri => match node.scalar() {
                Some(Scalar::Str(text)) if !super::pattern::is_uri(text) => Some(Violation::Uri),
                _ => None,
            },
            Keyword::NotTogether(one, two) => {
                let both = !matches!(node.kind(), NodeKind::Mapping(_))
                    || [one, two].iter().all(|name| value::get(self.tree, node, name).is_some());
                both.then_some(Violation::NotTogether(one, two))
            }
            _ => None,
        }
    }

    fn repeated(&self, node: Node<'t>) -> Option<(Node<'t>, Node<'t>)> {
        let NodeKind::Sequence(children) = node.kind() else { return None };
        let items: Vec<_> = children.iter().map(|child| self.tree.node(*child)).collect();
        // Such lists contain strings, which are hashed. Other values are compared pairwise.
        let mut texts: HashMap<&str, Node<'t>> = HashMap::new();
        let mut others: Vec<Node<'t>> = Vec::new();
        let mut steps = 0;
        for item in items {
            if let Some(text) = item.as_str() {
                if let Some(earlier) = texts.insert(text, item) {
                    return Some((earlier, item));
                }
                continue;
            }
            steps += others.len();
            if steps > MAX_STEPS {
                return None;
            }
            if let Some(earlier) = others.iter().find(|other| value::equal(self.tree, **other, item)) {
                return Some((*earlier, item));
            }
            others.push(item);
        }
        None
    }

    /// The keywords about a mapping's keys.
    fn members(&mut self, node: Node<'t>, shape: Shape, keyword: &'static Keyword, out: &mut Vec<SchemaError<'t>>) {
        match keyword {
            Keyword::Properties(properties) => {
                // In the order of the table, like jsonschema.
                for (name, property) in *properties {
                    if !self.knows(*property) {
                        continue;
                    }
                    let NodeKind::Mapping(all) = node.kind() else { return };
                    let found = all.iter().rev().find(|entry| self.tree.node(entry.key).as_str() == Some(name));
                    if let Some(entry) = found {
                        self.member(self.tree.node(entry.key), self.tree.node(entry.value), *property, out);
                    }
                }
            }
            Keyword::PatternProperties(pattern, property) => {
                let mut nameless = Vec::new();
                for (key, value) in value::entries(self.tree, node) {
                    match key.as_str() {
                        Some(name) if (pattern.matches)(name) => self.member(key, value, *property, out),
                        Some(_) => {}
                        None => nameless.push(key),
                    }
                }
                // cloud-init crashes on such a key; in a closed mapping it is reported as unknown.
                if !nameless.is_empty() && !shape.0.iter().any(|keyword| matches!(keyword, Keyword::Closed)) {
                    self.report(node, shape, Violation::UnknownKeys(nameless), out);
                }
            }
            Keyword::Additional(property) => {
                for (key, value) in self.unknown(node, shape) {
                    self.member(key, value, *property, out);
                }
            }
            Keyword::Closed => {
                let unknown: Vec<_> = self.unknown(node, shape).into_iter().map(|(key, _)| key).collect();
                if !unknown.is_empty() {
                    self.report(node, shape, Violation::UnknownKeys(unknown), out);
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, key: Node<'t>, value: Node<'t>, property: Shape, out: &mut Vec<SchemaError<'t>>) {
        self.path.push(PathStep::Key(key));
        self.shape(value, property, out);
        self.path.pop();
    }

    /// Whether this version knows a key with such a shape.
    fn knows(&self, property: Shape) -> bool {
        is_known(property, self.version)
    }

    fn unknown(&self, node: Node<'t>, shape: Shape) -> Vec<(Node<'t>, Node<'t>)> {
        let is_unknown = |key: Node<'t>| {
            let Some(name) = key.as_str() else { return true };
            !shape.property(name).is_some_and(|property| self.knows(property))
                && !shape
                    .0
                    .iter()
                    .any(|keyword| matches!(keyword, Keyword::PatternProperties(pattern, _) if (pattern.matches)(name)))
        };
        value::entries(self.tree, node).filter(|(key, _)| is_unknown(*key)).collect()
    }

    /// The errors and the deprecations of a branch.
    fn branch(&mut self, node: Node<'t>, shape: Shape) -> (Vec<SchemaError<'t>>, Vec<SchemaError<'t>>) {
        let before = self.errors;
        let mut errors = Vec::new();
        self.shape(node, shape, &mut errors);
        // Most of them are dropped, so they count only when they are kept.
        self.errors = before;
        errors.into_iter().partition(|error| !error.is_deprecation())
    }

    fn one_of(&mut self, node: Node<'t>, shape: Shape, branches: &'static [Shape], out: &mut Vec<SchemaError<'t>>) {
        let mut failed = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let (errors, deprecations) = self.branch(node, *branch);
            if !errors.is_empty() {
                failed.extend(errors);
                continue;
            }
            if branches[index + 1..].iter().any(|other| self.branch(node, *other).0.is_empty()) && !self.exhausted() {
                self.report(node, shape, Violation::Ambiguous, out);
            } else {
                out.extend(deprecations);
            }
            return;
        }
        if self.version < NEAREST_BRANCH {
            self.report(node, shape, Violation::NoBranch, out);
            // Older versions report only the path of the choice, but the message explains it all
            // the same.
            return;
        }
        let nearest = merge_choices(self.nearest(node, failed));
        self.errors += nearest.len();
        out.extend(nearest);
    }

    fn any_of(&mut self, node: Node<'t>, shape: Shape, branches: &'static [Shape], out: &mut Vec<SchemaError<'t>>) {
        let mut failed = Vec::new();
        for branch in branches {
            let (errors, deprecations) = self.branch(node, *branch);
            if errors.is_empty() {
                out.extend(deprecations);
                return;
            }
            failed.extend(errors);
        }
        if self.version >= NEAREST_BRANCH {
            out.extend(best_match(failed));
        }
        self.report(node, shape, Violation::NoBranch, out);
    }

    /// The errors of a failed `oneOf` that cloud-init reports: the deepest ones. If the value has a
    /// key `type`, it is the first error of a branch that allows this type, or else those about a
    /// key that ends in "type".
    fn nearest(&self, node: Node<'t>, failed: Vec<SchemaError<'t>>) -> Vec<SchemaError<'t>> {
        if let Some(kind) = value::get(self.tree, node, "type") {
            let allows = |error: &SchemaError<'t>| {
                let allowed = error.shape.property("type").map_or(&[][..], Shape::literals);
                allowed.iter().any(|literal| value::is_literal(kind, *literal))
            };
            if let Some(error) = failed.iter().find(|error| allows(error)) {
                return vec![error.clone()];
            }
            let depth = self.path.len();
            let about_type = |error: &SchemaError<'t>| match error.path[depth..].last() {
                Some(PathStep::Key(key)) => key.as_str().is_some_and(|key| key.ends_with("type")),
                _ => false,
            };
            return failed.into_iter().filter(about_type).collect();
        }
        let deepest = failed.iter().map(|error| error.path.len()).max().unwrap_or_default();
        failed.into_iter().filter(|error| error.path.len() == deepest).collect()
    }
}

/// Whether a version knows a key with such a shape.
pub(crate) fn is_known(property: Shape, version: Version) -> bool {
    property.0.iter().all(|keyword| !matches!(keyword, Keyword::Since(since) if *since > version))
}

fn below(digits: &str, least: i64) -> bool {
    match digits.parse::<i64>() {
        Ok(value) => value < least,
        Err(_) => digits.starts_with('-'),
    }
}

/// jsonschema's `best_match`: the first error that is nearest to the root, not a choice, and about
/// a wrong type.
fn best_match(failed: Vec<SchemaError<'_>>) -> Option<SchemaError<'_>> {
    let relevance = |error: &SchemaError<'_>| {
        let choice = matches!(error.violation, Violation::NoBranch | Violation::Ambiguous);
        let right_type = error
            .shape
            .0
            .iter()
            .any(|keyword| matches!(keyword, Keyword::Type(types) if types.contains(value::types(error.node))));
        (Reverse(error.path.len()), !choice, !right_type)
    };
    failed.into_iter().reduce(|best, error| if relevance(&error) > relevance(&best) { error } else { best })
}

/// Merges errors about the type or value of the same node into one error that names all.
fn merge_choices(errors: Vec<SchemaError<'_>>) -> Vec<SchemaError<'_>> {
    let mut out: Vec<SchemaError<'_>> = Vec::with_capacity(errors.len());
    let mut places: HashMap<(usize, usize, usize), usize> = HashMap::new();
    for error in errors {
        let choice = match &error.violation {
            Violation::Type(types) => Some((*types, vec![], vec![])),
            Violation::Enum(values) => Some((Types(0), values.to_vec(), vec![])),
            Violation::Pattern(pattern) => Some((Types(0), vec![], vec![*pattern])),
            Violation::Choice { types, literals, patterns } => Some((*types, literals.clone(), patterns.clone())),
            _ => None,
        };
        let Some((more_types, more_literals, more_patterns)) = choice else {
            out.push(error);
            continue;
        };
        // The length of the path and the place of the value identify a value, except for pairs,
        // which share a place.
        let item = if let Some(PathStep::Index(index)) = error.path.last() { *index } else { 0 };
        match places.entry((error.node.used_at().start, error.path.len(), item)) {
            Entry::Vacant(place) => {
                place.insert(out.len());
                out.push(error);
            }
            Entry::Occupied(place) => {
                let first = &mut out[*place.get()];
                let (mut types, mut literals, mut patterns) =
                    match std::mem::replace(&mut first.violation, Violation::NoBranch) {
                        Violation::Type(types) => (types, vec![], vec![]),
                        Violation::Enum(values) => (Types(0), values.to_vec(), vec![]),
                        Violation::Pattern(pattern) => (Types(0), vec![], vec![pattern]),
                        Violation::Choice { types, literals, patterns } => (types, literals, patterns),
                        other => {
                            first.violation = other;
                            continue;
                        }
                    };
                types = types.or(more_types);
                literals.extend(
                    more_literals.into_iter().filter(|literal| !literals.contains(literal)).collect::<Vec<_>>(),
                );
                patterns.extend(more_patterns);
                first.violation = Violation::Choice { types, literals, patterns };
            }
        }
    }
    out
}
