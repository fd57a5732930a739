//! A document taken apart: one part for each file, one for each other key, one for what no part shows.

use indexmap::IndexMap;

use super::payload;
use diagnostics::source::Source;
use yaml11::{Node, NodeKind, Scalar};

/// A piece of a document that is compared on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Owner, mode and the like, one `key: value` a line; empty for a key that is no file.
    pub attributes: String,
    /// The content on the machine, as lines for people.
    pub content: String,
    /// The content on the machine, exactly.
    pub bytes: Vec<u8>,
    /// As it stands in the document.
    pub stored: String,
}

/// The parts by name: a path, or a key. A path that is there twice is counted: `/etc/x (2)`.
pub type Parts = IndexMap<String, Part>;

/// Takes a document apart. One that is not cloud-config in YAML is one part: its text.
#[must_use]
pub fn parts(source: &Source) -> Parts {
    let tree = yaml11::parse(source.text()).ok().filter(|tree| tree.expanded_len() < 1_000_000);
    let root = tree.as_ref().and_then(yaml11::Tree::root);
    let Some(entries) = root.and_then(Node::entries) else {
        let text = source.text().to_owned();
        let bytes = text.clone().into_bytes();
        let part = Part { attributes: String::new(), content: text.clone(), bytes, stored: text };
        return Parts::from([("the document".to_owned(), part)]);
    };
    let mut parts = Parts::new();
    for (key, value) in entries {
        match (key.as_str(), value.items()) {
            (Some("write_files"), Some(files)) => {
                for file in files {
                    let (name, part) = file_part(file);
                    insert(&mut parts, &name, part);
                }
            }
            (name, _) => {
                let name = name.map_or_else(|| key_shown(key), str::to_owned);
                let content = outline(value);
                let bytes = content.clone().into_bytes();
                let part = Part { attributes: String::new(), stored: content.clone(), content, bytes };
                insert(&mut parts, &name, part);
            }
        }
    }
    parts
}

fn insert(parts: &mut Parts, name: &str, part: Part) {
    let mut unique = name.to_owned();
    let mut count = 1;
    while parts.contains_key(&unique) {
        count += 1;
        unique = format!("{name} ({count})");
    }
    parts.insert(unique, part);
}

fn file_part(file: Node<'_>) -> (String, Part) {
    let path = file.get("path").and_then(Node::as_str).unwrap_or("a file without a path").to_owned();
    let encoding = file.get("encoding").and_then(Node::as_str).unwrap_or_default();
    let mut attributes = String::new();
    for (key, value) in file.entries().into_iter().flatten() {
        if !matches!(key.as_str(), Some("path" | "content" | "encoding")) {
            attributes.push_str(&format!("{}: {}\n", key_shown(key), outline(value).trim()));
        }
    }
    let content = match file.get("content").and_then(Node::scalar) {
        Some(Scalar::Str(text) | Scalar::Timestamp(text)) => text.clone().into_bytes(),
        Some(Scalar::Binary(bytes)) => bytes.clone(),
        _ => file.get("content").map(outline).unwrap_or_default().into_bytes(),
    };
    let stored = format!("{encoding}\n{}", String::from_utf8_lossy(&content));
    let bytes = payload::decode(encoding, &content);
    if bytes.is_none() {
        attributes.push_str(&format!("encoding: {encoding} (it cannot be decoded)\n"));
    }
    let bytes = bytes.unwrap_or(content);
    (path.clone(), Part { attributes, content: payload::readable(&path, &bytes), bytes, stored })
}

/// A value as indented lines, one scalar each.
fn outline(node: Node<'_>) -> String {
    let mut text = String::new();
    lines(node, 0, &mut text);
    text
}

fn lines(node: Node<'_>, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match node.kind() {
        NodeKind::Scalar(scalar) => text.push_str(&format!("{indent}{}\n", shown(scalar))),
        NodeKind::Mapping(_) | NodeKind::Pairs(_) => {
            let entries = node.entries().into_iter().flatten();
            for (key, value) in entries.chain(node.pairs().into_iter().flatten()) {
                let key = key_shown(key);
                match value.scalar() {
                    Some(scalar) => text.push_str(&format!("{indent}{}: {}\n", key, shown(scalar))),
                    None => {
                        text.push_str(&format!("{indent}{key}:\n"));
                        lines(value, depth + 1, text);
                    }
                }
            }
        }
        NodeKind::Sequence(_) | NodeKind::Set(_) => {
            let items = node.items().into_iter().flatten();
            for item in items.chain(node.members().into_iter().flatten()) {
                match item.scalar() {
                    Some(scalar) => text.push_str(&format!("{indent}- {}\n", shown(scalar))),
                    None => {
                        text.push_str(&format!("{indent}-\n"));
                        lines(item, depth + 1, text);
                    }
                }
            }
        }
    }
}

/// A key: its text, if that is one word.
fn key_shown(key: Node<'_>) -> String {
    match key.as_str() {
        Some(text) if text.chars().all(|c| c.is_alphanumeric() || "_-./:".contains(c)) => text.to_owned(),
        _ => outline(key).trim().to_owned(),
    }
}

/// A scalar in a line: strings that look like something else are quoted.
fn shown(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Null => "null".to_owned(),
        Scalar::Bool(flag) => flag.to_string(),
        Scalar::Int(digits) => digits.clone(),
        Scalar::Float(number) => format!("{number:?}"),
        Scalar::Str(text) => format!("{text:?}"),
        Scalar::Timestamp(text) => text.clone(),
        Scalar::Binary(bytes) => format!("{} bytes {bytes:02x?}", bytes.len()),
    }
}
