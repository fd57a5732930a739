//! Reads a document back as cloud-init does and compares it with the intended values.

use yaml11::{Node, NodeKind, Scalar};

use super::entry::{DocumentEntry, decode_content};
use super::error::RenderError;
use crate::model::Value;

/// Compares every value of the document and the decoded bytes of every entry.
pub(super) fn verify(text: &str, root: &Value, entries: &[DocumentEntry]) -> Result<(), RenderError> {
    let failed = |entry: &str, difference: String| RenderError::ReadBack { entry: entry.to_owned(), difference };
    if !text.starts_with("#cloud-config\n") {
        return Err(failed("the document", "it does not begin with #cloud-config".to_owned()));
    }
    let tree = yaml11::parse(text).map_err(|error| failed("the document", format!("it is not YAML: {error}")))?;
    let read = tree.root().ok_or_else(|| failed("the document", "it is empty".to_owned()))?;
    compare(read, root, "").map_err(|path| failed(&path, "another value".to_owned()))?;
    let files = read.get("write_files").and_then(|files| Some(files.items()?.collect::<Vec<_>>())).unwrap_or_default();
    for (index, entry) in entries.iter().enumerate() {
        let file = files.get(index).ok_or_else(|| failed(&entry.path, "it is missing".to_owned()))?;
        let text = |key: &str| file.get(key).and_then(Node::as_str).unwrap_or_default();
        let permissions = u32::from_str_radix(text("permissions"), 8);
        let deferred = matches!(file.get("defer").and_then(Node::scalar), Some(Scalar::Bool(true)));
        if text("path") != entry.path || text("owner") != entry.owner.to_string() || deferred != entry.is_deferred {
            return Err(failed(&entry.path, "another path, owner or `defer`".to_owned()));
        }
        if permissions != Ok(entry.mode.0) {
            return Err(failed(&entry.path, "another mode".to_owned()));
        }
        if decode_content(text("encoding"), text("content").as_bytes()).as_deref() != Some(entry.content.as_slice()) {
            return Err(failed(&entry.path, "other bytes".to_owned()));
        }
    }
    Ok(())
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
