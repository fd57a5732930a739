//! Python's side of Jinja: how it writes values, its methods of texts and mappings, and which filters and tests there are.

use std::fmt::{self, Write as _};

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, Output, State};

use super::MISSING;

/// What minijinja has and Jinja has not: to cloud-init a template that uses it is broken.
const NOT_JINJA: [&str; 5] = ["bool", "chain", "lines", "split", "zip"];
const NO_TESTS_OF_JINJA: [&str; 4] = ["endingwith", "int", "safe", "startingwith"];
/// Lists nested more deeply are not written.
const MAX_DEPTH: usize = 32;

/// The widest text that is padded, in characters.
const MAX_WIDTH: usize = 100_000;

/// Makes an environment Jinja's as cloud-init sets it up, as far as minijinja can be.
pub(super) fn set_up(environment: &mut Environment<'_>) {
    environment.set_unknown_method_callback(method);
    environment.set_formatter(write);
    for name in NOT_JINJA {
        environment.remove_filter(name);
    }
    for name in NO_TESTS_OF_JINJA {
        environment.remove_test(name);
    }
    environment.remove_global("debug");
    texts(environment);
    // Any of them may come: each is as good as another one.
    environment.add_filter("random", |items: Value| first(&items));
    environment.add_filter("center", |text: String, width: Option<usize>| centred(&text, width.unwrap_or(80), ' '));
    environment.add_filter("filesizeformat", minijinja_contrib::filters::filesizeformat);
    environment.add_filter("striptags", minijinja_contrib::filters::striptags);
    environment.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_filter("wordcount", |text: String| text.split_whitespace().count());
}

/// Filters that take a text: of a variable that is missing, Jinja gives them what cloud-init writes in its place, minijinja nothing.
fn texts(environment: &mut Environment<'_>) {
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

/// The first of a list's items, or of a text's characters; undefined where there is none.
fn first(items: &Value) -> Value {
    match items.as_str() {
        Some(text) => text.chars().next().map_or(Value::UNDEFINED, |character| Value::from(character.to_string())),
        None => items.try_iter().ok().and_then(|mut items| items.next()).unwrap_or(Value::UNDEFINED),
    }
}

/// The methods of texts that `pycompat` lacks, and all that it has.
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
            "center" => centred(text, width, fill),
            _ => return None,
        })
    };
    match value.as_str().and_then(padded) {
        Some(text) => Ok(Value::from(text)),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

/// A text in the middle of so many characters, as Python puts it there.
fn centred(text: &str, width: usize, fill: char) -> String {
    let missing = width.min(MAX_WIDTH).saturating_sub(text.chars().count());
    let left = missing / 2 + (missing & width & 1);
    let fills = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    format!("{}{text}{}", fills(left), fills(missing - left))
}

/// A value that is printed, as Python's `str` writes it.
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

/// Python's `repr`.
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

/// A text as Python quotes it: with apostrophes, but where it holds one and no quotation mark.
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
