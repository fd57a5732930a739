//! Reads a document back as cloud-init does and compares it with the intended values.

use std::collections::HashMap;

use yaml11::{Node, NodeKind, Scalar};

use super::bundle::{self, Member};
use super::document::Placement;
use super::entry::{DocumentEntry, decode_content};
use super::error::RenderError;
use crate::model::Value;

/// Compares every value of the document and the decoded bytes of every entry.
pub(super) fn verify(
    text: &str,
    root: &Value,
    entries: &[DocumentEntry],
    placements: &[Placement],
) -> Result<(), RenderError> {
    let failed = |entry: &str, difference: &str| RenderError::ReadBack {
        entry: entry.to_owned(),
        difference: difference.to_owned(),
    };
    if !text.starts_with("#cloud-config\n") {
        return Err(failed("the document", "it does not begin with #cloud-config"));
    }
    let tree = yaml11::parse(text).map_err(|error| failed("the document", &format!("it is not YAML: {error}")))?;
    let read = tree.root().ok_or_else(|| failed("the document", "it is empty"))?;
    compare(read, root, "").map_err(|path| failed(&path, "another value"))?;
    let mut files = read.get("write_files").and_then(Node::items).into_iter().flatten();
    let bundle = read.get("bootcmd").and_then(|commands| bundle::members_of_command(commands.items()?.last()?));
    let bundle = bundle.ok_or_else(|| failed("the bundle", "it cannot be unpacked"))?;
    let members: HashMap<&str, &Member> = bundle.iter().map(|member| (member.path.as_str(), member)).collect();
    for (entry, placement) in entries.iter().zip(placements) {
        let found = match placement {
            Placement::Readable => files.next().and_then(member_of_entry),
            Placement::Bundle => members.get(entry.path.as_str()).copied().cloned(),
            Placement::Upload => continue,
        };
        let found = found.ok_or_else(|| failed(&entry.path, "it is missing"))?;
        if found != entry.member() {
            return Err(failed(&entry.path, "another path, owner, mode or content, or other bytes"));
        }
    }
    if members.len() == placements.iter().filter(|placement| **placement == Placement::Bundle).count() {
        Ok(())
    } else {
        Err(failed("the bundle", "another number of files"))
    }
}

/// Returns the file that a `write_files` entry writes.
fn member_of_entry(file: Node<'_>) -> Option<Member> {
    let text = |key: &str| file.get(key).and_then(Node::as_str);
    Some(Member {
        path: text("path")?.to_owned(),
        mode: text("permissions")?.to_owned(),
        owner: text("owner")?.to_owned(),
        is_deferred: matches!(file.get("defer").and_then(Node::scalar), Some(Scalar::Bool(true))),
        content: decode_content(text("encoding").unwrap_or_default(), text("content")?.as_bytes())?,
    })
}

/// Returns the path of the first value that differs.
fn compare(node: Node<'_>, value: &Value, path: &str) -> Result<(), String> {
    let same = match (node.kind(), value) {
        (NodeKind::Scalar(scalar), value) => match (scalar, value) {
            (Scalar::Null, Value::Null) => true,
            (Scalar::Bool(read), Value::Bool(expected)) => read == expected,
            (Scalar::Int(read), Value::Number(expected)) => *read == expected.to_string(),
            (Scalar::Str(read), Value::String(expected)) => read == expected,
            _ => false,
        },
        (NodeKind::Sequence(items), Value::Sequence(expected)) => {
            for (index, (node, value)) in node.items().into_iter().flatten().zip(expected).enumerate() {
                compare(node, value, &format!("{path}.{index}"))?;
            }
            items.len() == expected.len()
        }
        (NodeKind::Mapping(entries), Value::Mapping(expected)) => {
            for ((key, node), (expected_key, value)) in node.entries().into_iter().flatten().zip(expected) {
                let name = key.as_str().unwrap_or("a key");
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                compare(key, expected_key, &path)?;
                compare(node, value, &path)?;
            }
            entries.len() == expected.len()
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(if path.is_empty() { "the document".to_owned() } else { path.to_owned() }) }
}
