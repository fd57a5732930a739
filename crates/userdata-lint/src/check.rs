//! The semantics of `cloud-init schema`: a value against a [`Shape`].
//!
//! This follows jsonschema's draft 4 validator with cloud-init's changes to it: which errors a failed choice reports, and
//! that deprecations travel with errors but make nothing invalid. The result is a list of [`Fault`]s with the paths that
//! cloud-init gives; `message.rs` turns them into findings.

use std::collections::HashSet;

use super::choice::{best_match, merge_choices};
use super::fault::{Fault, Step, What};
use super::shape::{Keyword, Shape, Types};
use super::value;
use super::version::Version;
use yaml11::{Node, NodeId, NodeKind, Scalar, Tree};

/// From this version on, a failed choice reports the errors of its nearest branch, not only that all failed: so in 25.1, not
/// yet in 22.4.
const NEAREST_BRANCH: Version = Version::new(25, 1);
/// How many comparisons of a value with a shape one document may take. Real ones take some thousands.
const MOST_STEPS: usize = 5_000_000;
/// How many faults are collected; a document with more is broken as a whole.
const MOST_FAULTS: usize = 2_000;

/// The faults of a document, or that it is too entangled to be judged.
pub(crate) struct Outcome<'t> {
    pub faults: Vec<Fault<'t>>,
    pub exhausted: bool,
}

/// Compares the value under one top-level key with its shape.
pub(crate) fn check<'t>(tree: &'t Tree, key: Node<'t>, value: Node<'t>, shape: Shape, version: Version) -> Outcome<'t> {
    let mut checker = Checker { tree, version, path: vec![Step::Key(key)], steps: 0, faults: 0, clean: HashSet::new() };
    let mut faults = Vec::new();
    checker.shape(value, shape, &mut faults);
    Outcome { faults, exhausted: checker.exhausted() }
}

struct Checker<'t> {
    tree: &'t Tree,
    version: Version,
    path: Vec<Step<'t>>,
    steps: usize,
    faults: usize,
    /// Values used through aliases that fit a shape without a word: they need no second look.
    clean: HashSet<(NodeId, *const Keyword)>,
}

impl<'t> Checker<'t> {
    fn exhausted(&self) -> bool {
        self.steps > MOST_STEPS || self.faults > MOST_FAULTS
    }

    fn report(&mut self, node: Node<'t>, shape: Shape, what: What<'t>, out: &mut Vec<Fault<'t>>) {
        self.faults += 1;
        out.push(Fault { path: self.path.clone(), node, shape, what });
    }

    fn shape(&mut self, node: Node<'t>, shape: Shape, out: &mut Vec<Fault<'t>>) {
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

    fn keyword(&mut self, node: Node<'t>, shape: Shape, keyword: &'static Keyword, out: &mut Vec<Fault<'t>>) {
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
            Keyword::Deprecated(advice) => self.report(node, shape, What::Deprecated(*advice), out),
            Keyword::Changed(advice) => self.report(node, shape, What::Changed(*advice), out),
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
                        self.path.push(Step::Index(index));
                        self.shape(self.tree.node(*child), *items, out);
                        self.path.pop();
                    }
                } else if let NodeKind::Pairs(pairs) = node.kind() {
                    // Python holds them as tuples, which are of no type that the schema knows.
                    for index in 0..pairs.len() {
                        self.path.push(Step::Index(index));
                        self.report(node, *items, What::Type(Types::STR), out);
                        self.path.pop();
                    }
                }
            }
            Keyword::Required(names) => {
                if matches!(node.kind(), NodeKind::Mapping(_)) {
                    for name in *names {
                        if value::get(self.tree, node, name).is_none() {
                            self.report(node, shape, What::Missing(name), out);
                        }
                    }
                }
            }
            _ => {
                if let Some(what) = self.leaf(node, keyword) {
                    self.report(node, shape, what, out);
                }
            }
        }
    }

    /// Keywords that look at the value alone.
    fn leaf(&self, node: Node<'t>, keyword: &'static Keyword) -> Option<What<'t>> {
        match keyword {
            Keyword::Type(types) if !types.contains(value::types(node)) => Some(What::Type(*types)),
            Keyword::Enum(literals) if !literals.iter().any(|literal| value::is_literal(node, *literal)) => {
                Some(What::Enum(literals))
            }
            Keyword::MinItems(least) => match node.kind() {
                NodeKind::Sequence(items) if items.len() < *least => Some(What::TooFewItems(*least)),
                NodeKind::Pairs(pairs) if pairs.len() < *least => Some(What::TooFewItems(*least)),
                _ => None,
            },
            Keyword::MaxItems(most) => match node.kind() {
                NodeKind::Sequence(items) if items.len() > *most => Some(What::TooManyItems(*most)),
                NodeKind::Pairs(pairs) if pairs.len() > *most => Some(What::TooManyItems(*most)),
                _ => None,
            },
            Keyword::MinProperties(least) => match node.kind() {
                NodeKind::Mapping(entries) if entries.len() < *least => Some(What::TooFewKeys),
                _ => None,
            },
            Keyword::Unique => self.repeated(node).map(|(one, two)| What::Repeated(one, two)),
            Keyword::Minimum(least) => match node.scalar() {
                Some(Scalar::Int(digits)) if below(digits, *least) => Some(What::Below(*least)),
                #[allow(clippy::cast_precision_loss, reason = "the tables' limits are small")]
                Some(Scalar::Float(value)) if *value < *least as f64 => Some(What::Below(*least)),
                _ => None,
            },
            Keyword::Matches(pattern) => match node.scalar() {
                Some(Scalar::Str(text)) if !(pattern.matches)(text) => Some(What::Pattern(pattern)),
                // Python cannot search bytes with a text pattern: cloud-init dies there.
                Some(Scalar::Binary(_)) => Some(What::Pattern(pattern)),
                _ => None,
            },
            Keyword::Date => match node.scalar() {
                Some(Scalar::Str(text)) if !super::pattern::is_date(text) => Some(What::Date),
                _ => None,
            },
            Keyword::NotTogether(one, two) => {
                let both = !matches!(node.kind(), NodeKind::Mapping(_))
                    || [one, two].iter().all(|name| value::get(self.tree, node, name).is_some());
                both.then_some(What::NotTogether(one, two))
            }
            _ => None,
        }
    }

    fn repeated(&self, node: Node<'t>) -> Option<(Node<'t>, Node<'t>)> {
        let NodeKind::Sequence(children) = node.kind() else { return None };
        let items: Vec<_> = children.iter().map(|child| self.tree.node(*child)).collect();
        // Texts, which is what such lists hold, are found by hash; anything else is compared with everything else of its kind.
        let mut texts: std::collections::HashMap<&str, Node<'t>> = std::collections::HashMap::new();
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
            if steps > MOST_STEPS {
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
    fn members(&mut self, node: Node<'t>, shape: Shape, keyword: &'static Keyword, out: &mut Vec<Fault<'t>>) {
        match keyword {
            Keyword::Properties(properties) => {
                // In the order of the table, as jsonschema goes.
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
                // cloud-init itself dies of such a key; where the mapping is closed, it is an unknown one anyway.
                if !nameless.is_empty() && !shape.0.iter().any(|keyword| matches!(keyword, Keyword::Closed)) {
                    self.report(node, shape, What::UnknownKeys(nameless), out);
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
                    self.report(node, shape, What::UnknownKeys(unknown), out);
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, key: Node<'t>, value: Node<'t>, property: Shape, out: &mut Vec<Fault<'t>>) {
        self.path.push(Step::Key(key));
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

    /// All faults of a branch, errors and deprecations apart.
    fn branch(&mut self, node: Node<'t>, shape: Shape) -> (Vec<Fault<'t>>, Vec<Fault<'t>>) {
        let before = self.faults;
        let mut faults = Vec::new();
        self.shape(node, shape, &mut faults);
        // Most of them will be dropped: they count when they are kept.
        self.faults = before;
        faults.into_iter().partition(|fault| !fault.is_deprecation())
    }

    fn one_of(&mut self, node: Node<'t>, shape: Shape, branches: &'static [Shape], out: &mut Vec<Fault<'t>>) {
        let mut failed = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let (errors, deprecations) = self.branch(node, *branch);
            if !errors.is_empty() {
                failed.extend(errors);
                continue;
            }
            if branches[index + 1..].iter().any(|other| self.branch(node, *other).0.is_empty()) && !self.exhausted() {
                self.report(node, shape, What::Ambiguous, out);
            } else {
                out.extend(deprecations);
            }
            return;
        }
        if self.version < NEAREST_BRANCH {
            self.report(node, shape, What::NoBranch, out);
            // The older versions give only the path of the choice; what is wrong is said there all the same.
            return;
        }
        let nearest = merge_choices(self.nearest(node, failed));
        self.faults += nearest.len();
        out.extend(nearest);
    }

    fn any_of(&mut self, node: Node<'t>, shape: Shape, branches: &'static [Shape], out: &mut Vec<Fault<'t>>) {
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
        self.report(node, shape, What::NoBranch, out);
    }

    /// Of the errors of all branches of a `oneOf`, those that cloud-init reports: the deepest ones; but where the value has a
    /// key `type`, the first error of a branch that allows this type, else those about a key that ends in "type".
    fn nearest(&self, node: Node<'t>, failed: Vec<Fault<'t>>) -> Vec<Fault<'t>> {
        if let Some(kind) = value::get(self.tree, node, "type") {
            let allows = |fault: &Fault<'t>| {
                let allowed = fault.shape.property("type").map_or(&[][..], Shape::literals);
                allowed.iter().any(|literal| value::is_literal(kind, *literal))
            };
            if let Some(fault) = failed.iter().find(|fault| allows(fault)) {
                return vec![fault.clone()];
            }
            let depth = self.path.len();
            let about_type = |fault: &Fault<'t>| match fault.path[depth..].last() {
                Some(Step::Key(key)) => key.as_str().is_some_and(|key| key.ends_with("type")),
                _ => false,
            };
            return failed.into_iter().filter(about_type).collect();
        }
        let deepest = failed.iter().map(|fault| fault.path.len()).max().unwrap_or_default();
        failed.into_iter().filter(|fault| fault.path.len() == deepest).collect()
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
