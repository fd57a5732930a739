//! Makes minijinja behave like Jinja in Python: printed values, methods, filters and tests.

use std::fmt::{self, Write as _};

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, Output, State};

use super::MISSING;

/// Filters of minijinja that Jinja lacks: cloud-init rejects a template that uses them.
const FILTERS_NOT_IN_JINJA: [&str; 5] = ["bool", "chain", "lines", "split", "zip"];
const TESTS_NOT_IN_JINJA: [&str; 4] = ["endingwith", "int", "safe", "startingwith"];
/// Maximum nesting of printed lists.
const MAX_DEPTH: usize = 32;

/// Maximum width of padded text, in characters.
const MAX_WIDTH: usize = 100_000;

/// Configures an environment like cloud-init's, as far as minijinja allows.
pub(super) fn set_up(environment: &mut Environment<'_>) {
    environment.set_unknown_method_callback(method);
    environment.set_formatter(write);
    for name in FILTERS_NOT_IN_JINJA {
        environment.remove_filter(name);
    }
    for name in TESTS_NOT_IN_JINJA {
        environment.remove_test(name);
    }
    environment.remove_global("debug");
    wrap_string_filters(environment);
    // Any item is a valid result.
    environment.add_filter("random", |items: Value| first(&items));
    environment.add_filter("center", |text: String, width: Option<usize>| center(&text, width.unwrap_or(80), ' '));
    environment.add_filter("filesizeformat", minijinja_contrib::filters::filesizeformat);
    environment.add_filter("striptags", minijinja_contrib::filters::striptags);
    environment.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_filter("wordcount", |text: String| text.split_whitespace().count());
}

/// Wraps filters of strings: for a missing variable, Jinja passes cloud-init's placeholder to them,
/// but minijinja passes nothing.
fn wrap_string_filters(environment: &mut Environment<'_>) {
    environment.add_filter("mkimg_capitalize", minijinja::filters::capitalize);
    environment.add_filter("mkimg_lower", minijinja::filters::lower);
    environment.add_filter("mkimg_replace", minijinja::filters::replace);
    environment.add_filter("mkimg_title", minijinja::filters::title);
    environment.add_filter("mkimg_trim", minijinja::filters::trim);
    environment.add_filter("mkimg_upper", minijinja::filters::upper);
    for name in ["capitalize", "lower", "replace", "title", "trim", "upper"] {
        let of_minijinja = format!("mkimg_{name}");
        environment.add_filter(name, move |state: &mut State, value: Value, rest: Rest<Value>| {
            let value = if value.is_undefined() { Value::from(MISSING) } else { value };
            let arguments: Vec<Value> = std::iter::once(value).chain(rest.0).collect();
            state.apply_filter(&of_minijinja, &arguments)
        });
    }
}

/// The first item of a list or character of a string; undefined if there is none.
fn first(items: &Value) -> Value {
    match items.as_str() {
        Some(text) => text.chars().next().map_or(Value::UNDEFINED, |character| Value::from(character.to_string())),
        None => items.try_iter().ok().and_then(|mut items| items.next()).unwrap_or(Value::UNDEFINED),
    }
}

/// The methods of strings: those that `pycompat` lacks, then its own.
fn method(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let padded = |text: &str| -> Option<String> {
        let width = arguments.first()?.as_usize().filter(|width| *width <= MAX_WIDTH)?;
        let fill = match arguments.get(1) {
            None => ' ',
            Some(fill) => fill.as_str().and_then(|fill| fill.chars().next())?,
        };
        let missing = width.saturating_sub(text.chars().count());
        let fills = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
        Some(match name {
            "zfill" if arguments.len() == 1 => {
                let sign = if text.starts_with(['+', '-']) { &text[..1] } else { "" };
                format!("{sign}{}{}", "0".repeat(missing), &text[sign.len()..])
            }
            "ljust" => format!("{text}{}", fills(missing)),
            "rjust" => format!("{}{text}", fills(missing)),
            "center" => center(text, width, fill),
            _ => return None,
        })
    };
    match value.as_str().and_then(padded) {
        Some(text) => Ok(Value::from(text)),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

/// Centers a text like Python.
fn center(text: &str, width: usize, fill: char) -> String {
    let missing = width.min(MAX_WIDTH).saturating_sub(text.chars().count());
    let left = missing / 2 + (missing & width & 1);
    let fills = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    format!("{}{text}{}", fills(left), fills(missing - left))
}

/// Prints a value like Python's `str`.
fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => out.write_str(MISSING).map_err(Error::from),
        ValueKind::String => minijinja::escape_formatter(out, state, value),
        _ => {
            let mut text = String::new();
            repr(value, &mut text, 0)?;
            out.write_str(&text).map_err(Error::from)
        }
    }
}

fn repr(value: &Value, out: &mut String, depth: usize) -> fmt::Result {
    if depth > MAX_DEPTH {
        return out.write_str("...");
    }
    match value.kind() {
        ValueKind::Bool => out.write_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::None => out.write_str("None"),
        ValueKind::Undefined => out.write_str("Undefined"),
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq => {
            out.push('[');
            for (index, item) in value.try_iter().into_iter().flatten().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                repr(&item, out, depth + 1)?;
            }
            out.push(']');
            Ok(())
        }
        ValueKind::Map => {
            out.push('{');
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                repr(&key, out, depth + 1)?;
                out.push_str(": ");
                repr(&value.get_item(&key).unwrap_or_default(), out, depth + 1)?;
            }
            out.push('}');
            Ok(())
        }
        _ => write!(out, "{value}"),
    }
}

/// Quotes a string like Python: with apostrophes, unless it contains an apostrophe and no quotation
/// mark.
fn quoted(text: &str, out: &mut String) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            _ if character == quote => write!(out, "\\{quote}")?,
            _ if character.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(character))?,
            _ => out.push(character),
        }
    }
    out.push(quote);
    Ok(())
}
