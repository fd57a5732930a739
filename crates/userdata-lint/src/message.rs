//! Faults as findings: our own words, the exact place, the closest thing that would be right.

use super::check::is_known;
use super::fault::{Fault, Step, What};
use super::shape::{Instead, Note, Types};
use super::value::{describe, key_text};
use super::version::Version;
use super::words::{LISTED, choice, list, type_help, type_names};
use crate::rules::{self, Rule};
use diagnostics::closest;
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, quoted};
use yaml11::{Node, NodeKind, Tree};

/// For so many unknown keys of one mapping the closest known one is looked for: more are another kind of document.
const CORRECTED: usize = 1_000;
/// So many unknown keys of one mapping are named, each with a finding: more than a document of 64 KiB can hold.
const NAMED: usize = 20_000;

/// An entry by hand has fewer keys.
const MOST_KEYS: usize = 32;

/// What messages are made from.
pub(crate) struct Context<'t> {
    pub source: &'t Source,
    pub tree: &'t Tree,
    pub root: Node<'t>,
    pub version: Version,
}

/// A path as cloud-init writes it: `users.0.name`.
pub(crate) fn path_text(path: &[Step<'_>]) -> String {
    let mut out = String::new();
    for step in path {
        if !out.is_empty() {
            out.push('.');
        }
        match step {
            Step::Index(index) => out.push_str(&index.to_string()),
            Step::Key(key) => out.push_str(&key_text(*key)),
        }
    }
    out
}

/// A fault as one finding, or as several where several keys are unknown.
pub(crate) fn findings(context: &Context<'_>, fault: &Fault<'_>) -> Vec<Diagnostic> {
    let path = path_text(&fault.path);
    if let What::UnknownKeys(keys) = &fault.what {
        let known = fault.shape.properties().filter(|(_, shape)| is_known(*shape, context.version));
        let known: Vec<_> = known.filter(|(_, shape)| !shape.is_deprecated()).map(|(name, _)| name).collect();
        return unknown_keys(context, keys, &known, &fault.path, &path);
    }
    let source = context.source;
    let found = || describe(source, fault.node);
    let whole = fault.node.used_at();
    let key = match fault.path.last() {
        Some(Step::Key(key)) => Some(key.used_at()),
        _ => None,
    };
    // A value that is not written at all has no place of its own.
    let value = if whole.start == whole.end { key.unwrap_or(whole) } else { whole };
    let item = |count: usize| if count == 1 { "1 item".to_string() } else { format!("{count} items") };
    let (rule, span, message, help) = match &fault.what {
        What::Type(types) => {
            let help = type_help(source, fault.node, *types);
            (&rules::WRONG_TYPE, value, format!("expected {}, found {}", type_names(*types), found()), help)
        }
        What::Enum(literals) => {
            let (message, help) = choice(source, fault.node, Types(0), literals, &[]);
            (&rules::DISALLOWED_VALUE, value, message, help)
        }
        What::Choice { types, literals, patterns } => {
            let (message, help) = choice(source, fault.node, *types, literals, patterns);
            let rule = if types.0 == 0 { &rules::DISALLOWED_VALUE } else { &rules::WRONG_TYPE };
            (rule, value, message, help)
        }
        What::Missing(name) => {
            let place = key.or_else(|| first_key(context.tree, fault.node)).unwrap_or(whole);
            let message = format!("the key `{name}` is missing");
            // One entry, cut in two by a `- ` too many.
            let next = super::value::next_item(context.tree, context.root, &fault.path);
            let help = match next.filter(|next| continues(context.tree, fault.node, *next, name)) {
                Some(_) => format!("the next item has it: take away its `- `, so that `{name}` belongs to this one"),
                None => format!("add `{name}:`"),
            };
            (&rules::MISSING_KEY, place, message, Some(help))
        }
        What::TooFewItems(1) => (
            &rules::TOO_FEW_ITEMS,
            value,
            "expected at least 1 item, found an empty list".into(),
            Some("add an item, or remove the key".into()),
        ),
        What::TooFewItems(least) => {
            let message = format!("expected at least {}, found {}", item(*least), item(length(fault.node)));
            (&rules::TOO_FEW_ITEMS, value, message, None)
        }
        What::TooManyItems(most) => {
            let message = format!("expected at most {}, found {}", item(*most), item(length(fault.node)));
            (&rules::TOO_MANY_ITEMS, value, message, None)
        }
        What::Repeated(_, second) => {
            let message = format!("expected every item once, found {} twice", describe(source, *second));
            (&rules::DUPLICATE_ITEM, second.used_at(), message, Some("remove one of them".into()))
        }
        What::TooFewKeys => {
            let help = Some("add a key, or remove the section".into());
            (&rules::EMPTY_MAPPING, value, "expected at least one key, found an empty mapping".into(), help)
        }
        What::Below(least) => {
            (&rules::OUT_OF_RANGE, value, format!("expected {least} or more, found {}", found()), None)
        }
        What::Pattern(pattern) => {
            (&rules::MALFORMED_VALUE, value, format!("expected {}, found {}", pattern.means, found()), None)
        }
        What::Date => {
            let help = Some("write year, month and day, in quotes: `'2027-01-31'`".into());
            (&rules::MALFORMED_VALUE, value, format!("expected a date, found {}", found()), help)
        }
        What::Ambiguous => {
            let message = format!("{} fits more than one of the forms that are allowed here", found());
            (&rules::AMBIGUOUS_VALUE, value, message, None)
        }
        What::NoBranch => {
            let message = format!("{} fits none of the forms that are allowed here", found());
            (&rules::NO_MATCHING_FORM, value, message, None)
        }
        What::NotTogether(one, two) => {
            let message = format!("`{one}` and `{two}` are two names of one setting: only one may be there");
            (&rules::CONFLICTING_KEYS, key.unwrap_or(value), message, Some(format!("remove `{two}`")))
        }
        What::Deprecated(note) | What::Changed(note) => match note.instead {
            Instead::Key(new) => {
                let old = key_name(fault);
                let message = format!("the key `{old}` is deprecated since cloud-init {}", note.version);
                (&rules::DEPRECATED_KEY, key.unwrap_or(value), message, Some(format!("write `{new}` instead")))
            }
            Instead::Advice(advice) => {
                let message = deprecated_value(fault, note, &found());
                (&rules::DEPRECATED_VALUE, value, message, Some(advice.to_string()))
            }
        },
        What::UnknownKeys(_) => return Vec::new(),
    };
    let mut finding = finding(rule, path, span, message, help);
    if let What::Repeated(first, _) = fault.what {
        finding.related.push((first.used_at(), "first here".into()));
    }
    if fault.node.used_at() != fault.node.span() && span == fault.node.used_at() {
        finding.related.push((fault.node.span(), "the value is written here".into()));
    }
    finding.related.extend(detours(context, &fault.path));
    vec![finding]
}

/// A finding of one of the rules, without related places.
pub(crate) fn finding(rule: &Rule, path: String, span: Span, message: String, help: Option<String>) -> Diagnostic {
    Diagnostic::new(rule, path, span, message).with_help(help)
}

/// Unknown keys of one mapping.
pub(crate) fn unknown_keys(
    context: &Context<'_>,
    keys: &[Node<'_>],
    known: &[&'static str],
    parents: &[Step<'_>],
    path: &str,
) -> Vec<Diagnostic> {
    let known_for = |index| if index < CORRECTED { known } else { &[] };
    let named = keys.iter().take(NAMED).enumerate();
    let mut findings: Vec<_> =
        named.map(|(index, key)| unknown_key(context, *key, known_for(index), parents, path.into())).collect();
    if let (Some(last), more @ 1..) = (findings.last_mut(), keys.len().saturating_sub(NAMED)) {
        last.message.push_str(&format!("; {more} more unknown keys after it are not named"));
    }
    findings
}

/// An unknown key, with the known one that is most like it.
fn unknown_key(
    context: &Context<'_>,
    key: Node<'_>,
    known: &[&'static str],
    parents: &[Step<'_>],
    path: String,
) -> Diagnostic {
    let name = key_text(key);
    let (message, help) = if key.as_str().is_none() {
        (format!("expected a key that is a string, found {}", describe(context.source, key)), "put it in quotes".into())
    } else {
        let place =
            if parents.is_empty() { "at the top level".to_string() } else { format!("in `{}`", path_text(parents)) };
        let help = match closest(&name, known.iter().copied()) {
            // The very name of a key that belongs elsewhere is no misspelling.
            _ if super::modules::top_level(&name).is_some() && !parents.is_empty() => {
                format!("`{name}` is a key of the top level: move it there")
            }
            Some(similar) => format!("did you mean `{similar}`?"),
            None if known.len() <= LISTED && !known.is_empty() => format!("known keys here: {}", list(known, "and")),
            None if parents.is_empty() => super::modules::hint(&name).into(),
            None => "remove it, or correct its spelling".into(),
        };
        (format!("unknown key {} {place}", quoted(&name)), help)
    };
    let mut finding = finding(&rules::UNKNOWN_KEY, path, key.used_at(), message, Some(help));
    let path: Vec<_> = parents.iter().copied().chain([Step::Key(key)]).collect();
    finding.related.extend(detours(context, &path));
    finding
}

/// Where the way to a value leaves the place where it is used: aliases and merge keys.
fn detours(context: &Context<'_>, path: &[Step<'_>]) -> Vec<(Span, String)> {
    let mut out = Vec::new();
    let mut node = context.root;
    let tree = context.tree;
    for (at, step) in path.iter().enumerate() {
        let last = at + 1 == path.len();
        let next = match (step, node.kind()) {
            (Step::Index(index), NodeKind::Sequence(items)) => items.get(*index).map(|child| tree.node(*child)),
            (Step::Key(key), NodeKind::Mapping(entries)) => {
                let span = node.span();
                if key.span().start < span.start || key.span().end > span.end {
                    // The mapping's first line: the merge key itself is no longer there.
                    let first = context.source.slice(span).lines().next().unwrap_or_default();
                    out.push((Span::new(span.start, span.start + first.len()), "merged in here".to_string()));
                }
                // The last value is of no interest, and a mapping of thousands of wrong keys asks for each of them.
                let found = || entries.iter().rev().find(|entry| tree.node(entry.key).span() == key.span());
                if last { None } else { found().map(|entry| tree.node(entry.value)) }
            }
            _ => None,
        };
        let Some(next) = next else { break };
        if !last && next.used_at() != next.span() {
            out.push((next.used_at(), "used here".to_string()));
        }
        node = next;
    }
    out.truncate(3);
    out
}

/// Whether a mapping could be the rest of the one before it, which lacks a key.
fn continues(tree: &Tree, first: Node<'_>, second: Node<'_>, lacked: &str) -> bool {
    let mut keys = super::value::entries(tree, second);
    let is_in = |key: &str, node: Node<'_>| super::value::get(tree, node, key).is_some();
    keys.len() <= MOST_KEYS
        && is_in(lacked, second)
        && keys.all(|(key, _)| key.as_str().is_some_and(|key| !is_in(key, first)))
}

fn key_name(fault: &Fault<'_>) -> String {
    let key =
        fault.path.iter().rev().find_map(|step| if let Step::Key(key) = step { Some(key_text(*key)) } else { None });
    key.unwrap_or_default()
}

fn deprecated_value(fault: &Fault<'_>, note: &Note, found: &str) -> String {
    let since = format!("is deprecated since cloud-init {}", note.version);
    match fault.what {
        // Every value of this key is going away, not this one.
        What::Deprecated(_) if fault.shape.0.len() <= 2 && !matches!(fault.node.kind(), NodeKind::Scalar(_)) => {
            format!("`{}` in this form {since}", key_name(fault))
        }
        _ => format!("{found} as the value of `{}` {since}", key_name(fault)),
    }
}

fn length(node: Node<'_>) -> usize {
    match node.kind() {
        NodeKind::Sequence(items) => items.len(),
        _ => 0,
    }
}

fn first_key(tree: &Tree, node: Node<'_>) -> Option<Span> {
    match node.kind() {
        NodeKind::Mapping(entries) => {
            entries.iter().find(|entry| !entry.merged).map(|entry| tree.node(entry.key).used_at())
        }
        _ => None,
    }
}
