//! Turns the tables of `modules/` into constants. An invalid table fails the build.

#![allow(clippy::disallowed_methods, reason = "a build script reads and writes files")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use yaml11::{Node, Scalar};

/// A failure, and the byte where it is.
type Fault = (String, usize);

fn main() {
    println!("cargo::rerun-if-changed=modules");
    let mut paths: Vec<PathBuf> =
        fs::read_dir("modules").expect("modules/ is readable").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let (mut out, mut groups) = (String::new(), String::new());
    for path in &paths {
        let text = fs::read_to_string(path).expect("a table is readable");
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a plain name");
        match group(name, &text) {
            Ok(group) => out += &group,
            Err((problem, at)) => {
                let line = 1 + text[..at].matches('\n').count();
                println!("cargo::error={}:{line}: {problem}", path.display());
                process::exit(1);
            }
        }
        let _ = write!(groups, "{name}::KEYS, ");
    }
    let _ = writeln!(out, "/// The top-level keys of all groups.\nstatic GROUPS: &[&[(&str, Shape)]] = &[{groups}];");
    let folder = env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR");
    fs::write(Path::new(&folder).join("modules.rs"), out).expect("OUT_DIR is writable");
}

/// The constants of one file.
fn group(name: &str, text: &str) -> Result<String, Fault> {
    let tree = yaml11::parse(text).map_err(|error| (error.message, error.span.start))?;
    let root = tree.root().ok_or(("expected `keys:` and `definitions:`".to_owned(), 0))?;
    let mut out = format!(
        "#[allow(clippy::enum_glob_use, clippy::wildcard_imports, unused_imports)]\nmod {name} {{\n    use crate::pattern::*;\n    \
         use crate::shape::{{*, Keyword::*}};\n    use crate::version::Version;\n\n"
    );
    for (key, value) in entries(root)? {
        match word(key)? {
            "keys" => {
                let _ = writeln!(out, "    pub(super) const KEYS: &[(&str, Shape)] = {};", properties(value)?);
            }
            "definitions" => {
                for (name, value) in entries(value)? {
                    let name = word(name)?.to_uppercase();
                    let _ = match value.items() {
                        Some(_) => writeln!(out, "    const {name}: &[Literal] = {};", literals(value)?),
                        None => writeln!(out, "    const {name}: Shape = {};", shape(value)?),
                    };
                }
            }
            other => return fail(key, format!("expected `keys` or `definitions`, found `{other}`")),
        }
    }
    Ok(out + "}\n")
}

/// A name (`string`, `$definition`) or a mapping of keywords.
fn shape(node: Node<'_>) -> Result<String, Fault> {
    match node.scalar() {
        Some(Scalar::Null) => Ok("NULL".to_owned()),
        Some(_) => Ok(constant(word(node)?)),
        None => Ok(format!("Shape(&[{}])", keywords(node)?.join(", "))),
    }
}

fn keywords(node: Node<'_>) -> Result<Vec<String>, Fault> {
    let mut out = Vec::new();
    for (key, value) in entries(node)? {
        out.push(match word(key)? {
            "type" => format!("Type({})", types(value)?),
            "enum" => {
                format!("Enum({})", if value.items().is_some() { literals(value)? } else { constant(word(value)?) })
            }
            "properties" => format!("Properties({})", properties(value)?),
            "pattern_properties" => {
                for (pattern, value) in entries(value)? {
                    out.push(format!("PatternProperties({}, {})", constant(word(pattern)?), shape(value)?));
                }
                continue;
            }
            "closed" => "Closed".to_owned(),
            "additional" => format!("Additional({})", shape(value)?),
            "required" => format!("Required(&{:?})", words(value)?),
            "items" => format!("Items({})", shape(value)?),
            "min_items" => format!("MinItems({})", integer(value)?),
            "max_items" => format!("MaxItems({})", integer(value)?),
            "min_properties" => format!("MinProperties({})", integer(value)?),
            "minimum" => format!("Minimum({})", integer(value)?),
            "unique" => "Unique".to_owned(),
            "date" => "Date".to_owned(),
            "uri" => "Uri".to_owned(),
            "matches" => format!("Matches({})", constant(word(value)?)),
            "one_of" => format!("OneOf({})", list(value, shape)?),
            "any_of" => format!("AnyOf({})", list(value, shape)?),
            "also" => format!("Also({})", shape(value)?),
            "not_together" => {
                for pair in items(value)? {
                    let [one, two] = pair_of(pair)?;
                    out.push(format!("NotTogether({one:?}, {two:?})"));
                }
                continue;
            }
            keyword @ ("renamed" | "deprecated" | "changed") => {
                let [version, instead] = pair_of(value)?;
                format!("{keyword}({version:?}, {instead:?})")
            }
            "since" => format!("Since({})", version(word(value)?, value)?),
            limited => {
                let Some((variant, since)) = limited
                    .strip_prefix("before ")
                    .map(|since| ("Before", since))
                    .or_else(|| limited.strip_prefix("from ").map(|since| ("From", since)))
                else {
                    return fail(key, format!("unknown keyword `{limited}`"));
                };
                let since = version(since, key)?;
                out.extend(keywords(value)?.iter().map(|keyword| format!("{variant}({since}, &{keyword})")));
                continue;
            }
        });
    }
    Ok(out)
}

fn properties(node: Node<'_>) -> Result<String, Fault> {
    let properties = entries(node)?.map(|(key, value)| Ok(format!("({:?}, {})", word(key)?, shape(value)?)));
    Ok(format!("&[{}]", properties.collect::<Result<Vec<_>, Fault>>()?.join(", ")))
}

fn types(node: Node<'_>) -> Result<String, Fault> {
    let one = |node: Node<'_>| match node.scalar() {
        Some(Scalar::Null) => Ok("Types::NULL".to_owned()),
        _ => Ok(format!("Types::{}", constant(word(node)?))),
    };
    let Some(mut several) = node.items() else { return one(node) };
    let first = several.next().map_or_else(|| fail(node, "expected a type".to_owned()), one)?;
    several.try_fold(first, |types, node| Ok(format!("{types}.or({})", one(node)?)))
}

fn literals(node: Node<'_>) -> Result<String, Fault> {
    list(node, |node| match node.scalar() {
        Some(Scalar::Bool(flag)) => Ok(format!("Literal::Bool({flag})")),
        _ => Ok(format!("Literal::Str({:?})", word(node)?)),
    })
}

fn list(node: Node<'_>, item: impl Fn(Node<'_>) -> Result<String, Fault>) -> Result<String, Fault> {
    Ok(format!("&[{}]", items(node)?.map(item).collect::<Result<Vec<_>, Fault>>()?.join(", ")))
}

/// The name of a constant: `some_strings`, or `$definition` of this file.
fn constant(name: &str) -> String {
    name.trim_start_matches('$').to_uppercase()
}

fn version(text: &str, place: Node<'_>) -> Result<String, Fault> {
    match text.split_once('.') {
        Some((major, minor)) => Ok(format!("Version::new({major}, {minor})")),
        None => fail(place, format!("expected a version, found `{text}`")),
    }
}

fn integer(node: Node<'_>) -> Result<&str, Fault> {
    match node.scalar() {
        Some(Scalar::Int(digits)) => Ok(digits),
        _ => fail(node, "expected an integer".to_owned()),
    }
}

fn word(node: Node<'_>) -> Result<&str, Fault> {
    node.as_str().map_or_else(|| fail(node, "expected a text".to_owned()), Ok)
}

fn words(node: Node<'_>) -> Result<Vec<&str>, Fault> {
    items(node)?.map(word).collect()
}

fn pair_of(node: Node<'_>) -> Result<[&str; 2], Fault> {
    words(node)?.try_into().or_else(|_| fail(node, "expected two texts".to_owned()))
}

fn items(node: Node<'_>) -> Result<impl Iterator<Item = Node<'_>>, Fault> {
    node.items().map_or_else(|| fail(node, "expected a list".to_owned()), Ok)
}

fn entries(node: Node<'_>) -> Result<impl Iterator<Item = (Node<'_>, Node<'_>)>, Fault> {
    node.entries().map_or_else(|| fail(node, "expected a mapping".to_owned()), Ok)
}

fn fail<T>(node: Node<'_>, problem: String) -> Result<T, Fault> {
    Err((problem, node.span().start))
}
