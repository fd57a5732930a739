//! Turns schema errors into findings, with the exact place and a suggestion.

use super::schema::{SchemaError, Violation, is_known};
use super::shape::{Instead, Literal, Note, Pattern, Types};
use super::value::{PathStep, describe, key_text, written};
use super::version::Version;
use crate::rules;
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, did_you_mean, quoted};
use yaml11::{Node, NodeKind, Scalar, Tree};

/// How many unknown keys of one mapping get a suggestion.
const MAX_SUGGESTIONS: usize = 1_000;
/// How many unknown keys of one mapping are reported.
const MAX_UNKNOWN_KEYS: usize = 20_000;

/// How many keys a split list entry has at most.
const MAX_ENTRY_KEYS: usize = 32;

/// The document that messages refer to.
pub(crate) struct Context<'t> {
    pub source: &'t Source,
    pub tree: &'t Tree,
    pub root: Node<'t>,
    pub version: Version,
}

/// A path as cloud-init writes it: `users.0.name`.
pub(crate) fn path_text(path: &[PathStep<'_>]) -> String {
    let mut out = String::new();
    for step in path {
        if !out.is_empty() {
            out.push('.');
        }
        match step {
            PathStep::Index(index) => out.push_str(&index.to_string()),
            PathStep::Key(key) => out.push_str(&key_text(*key)),
        }
    }
    out
}

/// The finding of a schema error, or one for each unknown key.
pub(crate) fn findings(context: &Context<'_>, error: &SchemaError<'_>) -> Vec<Diagnostic> {
    let path = path_text(&error.path);
    if let Violation::UnknownKeys(keys) = &error.violation {
        let known = error.shape.properties().filter(|(_, shape)| is_known(*shape, context.version));
        let known: Vec<_> = known.filter(|(_, shape)| !shape.is_deprecated()).map(|(name, _)| name).collect();
        return unknown_keys(context, keys, &known, &error.path, &path);
    }
    let source = context.source;
    let found = || describe(source, error.node);
    let node_span = error.node.used_at();
    let key = match error.path.last() {
        Some(PathStep::Key(key)) => Some(key.used_at()),
        _ => None,
    };
    // An empty value has no place of its own.
    let value = if node_span.start == node_span.end { key.unwrap_or(node_span) } else { node_span };
    let item = |count: usize| if count == 1 { "1 item".to_string() } else { format!("{count} items") };
    let (rule, span, message, help) = match &error.violation {
        Violation::Type(types) => {
            let help = type_help(source, error.node, *types);
            (&rules::WRONG_TYPE, value, format!("expected {}, found {}", type_names(*types), found()), help)
        }
        Violation::Enum(literals) => {
            let (message, help) = choice(source, error.node, Types(0), literals, &[]);
            (&rules::DISALLOWED_VALUE, value, message, help)
        }
        Violation::Choice { types, literals, patterns } => {
            let (message, help) = choice(source, error.node, *types, literals, patterns);
            let rule = if types.0 == 0 { &rules::DISALLOWED_VALUE } else { &rules::WRONG_TYPE };
            (rule, value, message, help)
        }
        Violation::Missing(name) => {
            let place = key.or_else(|| first_key(context.tree, error.node)).unwrap_or(node_span);
            let message = format!("the key `{name}` is missing");
            // One entry that an extra `- ` splits in two.
            let next = super::value::next_item(context.tree, context.root, &error.path);
            let help = match next.filter(|next| continues(context.tree, error.node, *next, name)) {
                Some(_) => format!("the next item has `{name}`; remove its `- ` to make both one item"),
                None => format!("add `{name}:`"),
            };
            (&rules::MISSING_KEY, place, message, Some(help))
        }
        Violation::TooFewItems(1) => (
            &rules::TOO_FEW_ITEMS,
            value,
            "expected at least 1 item, found an empty list".into(),
            Some("add an item, or remove the key".into()),
        ),
        Violation::TooFewItems(least) => {
            let message = format!("expected at least {}, found {}", item(*least), item(length(error.node)));
            (&rules::TOO_FEW_ITEMS, value, message, None)
        }
        Violation::TooManyItems(most) => {
            let message = format!("expected at most {}, found {}", item(*most), item(length(error.node)));
            (&rules::TOO_MANY_ITEMS, value, message, None)
        }
        Violation::Repeated(_, second) => {
            let message = format!("expected unique items, found {} twice", describe(source, *second));
            (&rules::DUPLICATE_ITEM, second.used_at(), message, Some("remove one of them".into()))
        }
        Violation::TooFewKeys => {
            let help = Some("add a key, or remove the section".into());
            (&rules::EMPTY_MAPPING, value, "expected at least one key, found an empty mapping".into(), help)
        }
        Violation::Below(least) => {
            (&rules::OUT_OF_RANGE, value, format!("expected {least} or more, found {}", found()), None)
        }
        Violation::Pattern(pattern) => {
            (&rules::MALFORMED_VALUE, value, format!("expected {}, found {}", pattern.means, found()), None)
        }
        Violation::Date => {
            let help = Some("write year, month and day, in quotes: `'2027-01-31'`".into());
            (&rules::MALFORMED_VALUE, value, format!("expected a date, found {}", found()), help)
        }
        Violation::Uri => {
            let help = Some(
                "write it with its scheme, such as `https://example.com/path`, and encode special characters".into(),
            );
            (&rules::MALFORMED_VALUE, value, format!("expected a URI, found {}", found()), help)
        }
        Violation::Ambiguous => {
            let message = format!("{} matches more than one of the allowed forms", found());
            (&rules::AMBIGUOUS_VALUE, value, message, None)
        }
        Violation::NoBranch => {
            let message = format!("{} does not match any allowed form", found());
            (&rules::NO_MATCHING_FORM, value, message, None)
        }
        Violation::NotTogether(one, two) => {
            let message = format!("`{one}` and `{two}` are two names of the same setting; use only one");
            (&rules::CONFLICTING_KEYS, key.unwrap_or(value), message, Some(format!("remove `{two}`")))
        }
        Violation::Deprecated(note) | Violation::Changed(note) => match note.instead {
            Instead::Key(new) => {
                let old = key_name(error);
                let message = format!("the key `{old}` is deprecated since cloud-init {}", note.version);
                (&rules::DEPRECATED_KEY, key.unwrap_or(value), message, Some(format!("write `{new}` instead")))
            }
            Instead::Advice(advice) => {
                let message = deprecated_value(error, note, &found());
                (&rules::DEPRECATED_VALUE, value, message, Some(advice.to_string()))
            }
        },
        Violation::UnknownKeys(_) => return Vec::new(),
    };
    let mut finding = Diagnostic::new(rule, path, span, message).with_help(help);
    if let Violation::Repeated(first, _) = error.violation {
        finding.related.push((first.used_at(), "first here".into()));
    }
    if error.node.used_at() != error.node.span() && span == error.node.used_at() {
        finding.related.push((error.node.span(), "the value is written here".into()));
    }
    finding.related.extend(detours(context, &error.path));
    vec![finding]
}

/// Unknown keys of one mapping.
pub(crate) fn unknown_keys(
    context: &Context<'_>,
    keys: &[Node<'_>],
    known: &[&'static str],
    parents: &[PathStep<'_>],
    path: &str,
) -> Vec<Diagnostic> {
    let known_for = |index| if index < MAX_SUGGESTIONS { known } else { &[] };
    let named = keys.iter().take(MAX_UNKNOWN_KEYS).enumerate();
    let mut findings: Vec<_> =
        named.map(|(index, key)| unknown_key(context, *key, known_for(index), parents, path.into())).collect();
    if let (Some(last), more @ 1..) = (findings.last_mut(), keys.len().saturating_sub(MAX_UNKNOWN_KEYS)) {
        last.message.push_str(&format!("; {more} more unknown keys follow"));
    }
    findings
}

/// An unknown key, with a suggestion.
fn unknown_key(
    context: &Context<'_>,
    key: Node<'_>,
    known: &[&'static str],
    parents: &[PathStep<'_>],
    path: String,
) -> Diagnostic {
    let name = key_text(key);
    let (message, help) = if key.as_str().is_none() {
        (format!("expected a string as key, found {}", describe(context.source, key)), "put it in quotes".into())
    } else {
        let place =
            if parents.is_empty() { "at the top level".to_string() } else { format!("in `{}`", path_text(parents)) };
        let help = match did_you_mean(&name, known.iter().copied()) {
            // The exact name of a key that belongs elsewhere is not a typo.
            _ if super::modules::top_level(&name).is_some() && !parents.is_empty() => {
                format!("`{name}` is a top-level key; move it there")
            }
            Some(help) => help,
            None if known.len() <= MAX_LISTED && !known.is_empty() => {
                format!("known keys here: {}", list(known, "and"))
            }
            None if parents.is_empty() => super::modules::hint(&name).into(),
            None => "remove it, or fix its spelling".into(),
        };
        (format!("unknown key {} {place}", quoted(&name)), help)
    };
    let mut finding = Diagnostic::new(&rules::UNKNOWN_KEY, path, key.used_at(), message).with_help(help);
    let path: Vec<_> = parents.iter().copied().chain([PathStep::Key(key)]).collect();
    finding.related.extend(detours(context, &path));
    finding
}

/// The aliases and merge keys on the path to a value.
fn detours(context: &Context<'_>, path: &[PathStep<'_>]) -> Vec<(Span, String)> {
    let mut out = Vec::new();
    let mut node = context.root;
    let tree = context.tree;
    for (at, step) in path.iter().enumerate() {
        let last = at + 1 == path.len();
        let next = match (step, node.kind()) {
            (PathStep::Index(index), NodeKind::Sequence(items)) => items.get(*index).map(|child| tree.node(*child)),
            (PathStep::Key(key), NodeKind::Mapping(entries)) => {
                let span = node.span();
                if key.span().start < span.start || key.span().end > span.end {
                    // The tree does not keep the merge key, so use the first line of the mapping.
                    let first = context.source.slice(span).lines().next().unwrap_or_default();
                    out.push((Span::new(span.start, span.start + first.len()), "merged in here".to_string()));
                }
                // The last value does not matter, and looking it up is slow with thousands of
                // unknown keys.
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

/// Whether a mapping could be the rest of the previous one, which lacks a key.
fn continues(tree: &Tree, first: Node<'_>, second: Node<'_>, lacked: &str) -> bool {
    let mut keys = super::value::entries(tree, second);
    let is_in = |key: &str, node: Node<'_>| super::value::get(tree, node, key).is_some();
    keys.len() <= MAX_ENTRY_KEYS
        && is_in(lacked, second)
        && keys.all(|(key, _)| key.as_str().is_some_and(|key| !is_in(key, first)))
}

fn key_name(error: &SchemaError<'_>) -> String {
    let key = error
        .path
        .iter()
        .rev()
        .find_map(|step| if let PathStep::Key(key) = step { Some(key_text(*key)) } else { None });
    key.unwrap_or_default()
}

fn deprecated_value(error: &SchemaError<'_>, note: &Note, found: &str) -> String {
    let since = format!("is deprecated since cloud-init {}", note.version);
    match error.violation {
        // All values of this form are deprecated.
        Violation::Deprecated(_) if error.shape.0.len() <= 2 && !matches!(error.node.kind(), NodeKind::Scalar(_)) => {
            format!("`{}` in this form {since}", key_name(error))
        }
        _ => format!("{found} as the value of `{}` {since}", key_name(error)),
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

/// How many known keys or values a message lists.
const MAX_LISTED: usize = 8;

fn literal_text(literal: Literal) -> String {
    match literal {
        Literal::Str(text) => format!("`{text}`"),
        Literal::Bool(value) => format!("`{value}`"),
    }
}

/// "a, b or c"
fn list<T: AsRef<str>>(names: &[T], conjunction: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_string(),
        [all @ .., last] => {
            let all: Vec<_> = all.iter().map(AsRef::as_ref).collect();
            format!("{} {conjunction} {}", all.join(", "), last.as_ref())
        }
    }
}

fn type_list(types: Types) -> Vec<String> {
    let names = [
        (Types::STR, "a string"),
        (Types::BOOL, "a boolean"),
        (Types::INT, "an integer"),
        (Types::NUMBER, "a number"),
        (Types::LIST, "a list"),
        (Types::MAP, "a mapping"),
        (Types::NULL, "null"),
    ];
    names.iter().filter(|(kind, _)| types.contains(*kind)).map(|(_, name)| (*name).to_string()).collect()
}

fn type_names(types: Types) -> String {
    list(&type_list(types), "or")
}

/// A suggestion for a value of the wrong type.
fn type_help(source: &Source, node: Node<'_>, types: Types) -> Option<String> {
    let written = written(source, node);
    let short = |text: &str| text.len() <= 60 && !text.contains('\n');
    match node.scalar() {
        Some(Scalar::Null) => Some("give it a value, or remove the key".into()),
        Some(Scalar::Bool(_) | Scalar::Int(_) | Scalar::Float(_) | Scalar::Timestamp(_))
            if types.contains(Types::STR) =>
        {
            let text = written.replace('\'', "''");
            Some(if short(&text) { format!("put it in quotes: `'{text}'`") } else { "put it in quotes".into() })
        }
        Some(Scalar::Str(text)) if types.contains(Types::BOOL) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "1" => Some("write it without quotes: `true`".into()),
            "false" | "no" | "off" | "n" | "0" => Some("write it without quotes: `false`".into()),
            _ => Some("write `true` or `false`".into()),
        },
        Some(Scalar::Int(digits)) if types.contains(Types::BOOL) && matches!(digits.as_str(), "0" | "1") => {
            Some(format!("write `{}`", digits == "1"))
        }
        Some(Scalar::Str(text)) if types.contains(Types::INT) && text.trim().parse::<i64>().is_ok() => {
            Some(format!("write it without quotes: `{}`", text.trim()))
        }
        Some(_) if types.contains(Types::LIST) => Some("make it a list, with one item per line after `- `".into()),
        None if types.contains(Types::MAP) && matches!(node.kind(), NodeKind::Sequence(_)) => {
            Some("write keys and values, without the `- ` before them".into())
        }
        None if types.contains(Types::LIST) && matches!(node.kind(), NodeKind::Mapping(_)) => {
            Some(if is_split_command(source, node, types) {
                "YAML reads `: ` as the end of a key; quote the whole text, or put it on its own line below `- |`"
                    .into()
            } else {
                "make it a list: put `- ` before the item".into()
            })
        }
        _ => None,
    }
}

/// The message and help for a value with several allowed types, values or patterns.
fn choice(
    source: &Source,
    node: Node<'_>,
    types: Types,
    literals: &[Literal],
    patterns: &[&Pattern],
) -> (String, Option<String>) {
    let mut allowed = type_list(types);
    allowed.extend(patterns.iter().map(|pattern| pattern.means.to_string()));
    if literals.len() <= MAX_LISTED {
        allowed.extend(literals.iter().map(|literal| literal_text(*literal)));
    } else {
        allowed.push("one of the known values".into());
    }
    let message = format!("expected {}, found {}", list(&allowed, "or"), describe(source, node));
    let known = literals.iter().filter_map(|literal| match literal {
        Literal::Str(text) => Some(*text),
        Literal::Bool(_) => None,
    });
    let written = written(source, node);
    let help = match node.scalar() {
        Some(Scalar::Str(text)) => match did_you_mean(text, known.clone()) {
            Some(help) => Some(help),
            None if literals.contains(&Literal::Bool(true)) && text.eq_ignore_ascii_case("true") => {
                Some("write it without quotes: `true`".into())
            }
            None if literals.contains(&Literal::Bool(false)) && text.eq_ignore_ascii_case("false") => {
                Some("write it without quotes: `false`".into())
            }
            None => None,
        },
        // `off` is a boolean in YAML; the word needs quotes.
        Some(_) if known.clone().any(|word| word == written) => Some(format!("put it in quotes: `'{written}'`")),
        _ => None,
    };
    (message, help.or_else(|| type_help(source, node, types)))
}

/// Whether a mapping is an unquoted command with `: `, such as `- echo a: b`.
fn is_split_command(source: &Source, node: Node<'_>, types: Types) -> bool {
    let NodeKind::Mapping(entries) = node.kind() else { return false };
    let written = source.slice(node.span());
    types.contains(Types::STR) && entries.len() == 1 && !written.starts_with('{') && {
        let key = written.split(": ").next().unwrap_or_default();
        key.contains([' ', '"', '\'', '$', '=', '/'])
    }
}
