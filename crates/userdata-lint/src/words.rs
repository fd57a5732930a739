//! Words that messages are put together from: lists, names of types, the closest name, what to write instead.

use super::shape::{Literal, Pattern, Types};
use super::value::{describe, written};
use diagnostics::closest;
use diagnostics::source::Source;
use yaml11::{Node, NodeKind, Scalar};

/// So many known keys or values are listed; of more, only the closest one is named.
pub(super) const LISTED: usize = 8;

fn literal_text(literal: Literal) -> String {
    match literal {
        Literal::Str(text) => format!("`{text}`"),
        Literal::Bool(value) => format!("`{value}`"),
    }
}

/// "a, b or c"
pub(crate) fn list<T: AsRef<str>>(names: &[T], conjunction: &str) -> String {
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

pub(super) fn type_names(types: Types) -> String {
    list(&type_list(types), "or")
}

/// What to write instead of a value of a wrong type, where that can be guessed.
pub(super) fn type_help(source: &Source, node: Node<'_>, types: Types) -> Option<String> {
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
        Some(_) if types.contains(Types::LIST) => Some("make it a list: one item a line, each after `- `".into()),
        None if types.contains(Types::MAP) && matches!(node.kind(), NodeKind::Sequence(_)) => {
            Some("write keys and values, without the `- ` before them".into())
        }
        None if types.contains(Types::LIST) && matches!(node.kind(), NodeKind::Mapping(_)) => {
            Some(if is_split_command(source, node, types) {
                "YAML takes `: ` for the end of a key: put the whole of it in quotes, or below `- |` on a line of its own".into()
            } else {
                "make it a list: put `- ` before the item".into()
            })
        }
        _ => None,
    }
}

/// A value of which several types, values or patterns are allowed.
pub(super) fn choice(
    source: &Source,
    node: Node<'_>,
    types: Types,
    literals: &[Literal],
    patterns: &[&Pattern],
) -> (String, Option<String>) {
    let mut allowed = type_list(types);
    allowed.extend(patterns.iter().map(|pattern| pattern.means.to_string()));
    if literals.len() <= LISTED {
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
        Some(Scalar::Str(text)) => match closest(text, known.clone()) {
            Some(similar) => Some(format!("did you mean `{similar}`?")),
            None if literals.contains(&Literal::Bool(true)) && text.eq_ignore_ascii_case("true") => {
                Some("write it without quotes: `true`".into())
            }
            None if literals.contains(&Literal::Bool(false)) && text.eq_ignore_ascii_case("false") => {
                Some("write it without quotes: `false`".into())
            }
            None => None,
        },
        // `off` is a boolean in YAML: where the word is meant, it needs quotes.
        Some(_) if known.clone().any(|word| word == written) => Some(format!("put it in quotes: `'{written}'`")),
        _ => None,
    };
    (message, help.or_else(|| type_help(source, node, types)))
}

/// Whether a mapping is one text without quotes that holds `: `, where a text would have been right: `- echo a: b`.
fn is_split_command(source: &Source, node: Node<'_>, types: Types) -> bool {
    let NodeKind::Mapping(entries) = node.kind() else { return false };
    let written = source.slice(node.span());
    types.contains(Types::STR) && entries.len() == 1 && !written.starts_with('{') && {
        let key = written.split(": ").next().unwrap_or_default();
        key.contains([' ', '"', '\'', '$', '=', '/'])
    }
}
