//! Reads a document back as cloud-init would, and compares it with what was meant.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::document::RenderError;
use super::entries::Entry;
use crate::model::Value;
use yaml11::{Node, NodeKind, Scalar};

/// Compares every value of the document, and the decoded bytes of every entry.
pub(super) fn check(text: &str, root: &Value, entries: &[Entry]) -> Result<(), RenderError> {
    let failed = |entry: &str, difference: String| RenderError::Proof { entry: entry.to_owned(), difference };
    if !text.starts_with("#cloud-config\n") {
        return Err(failed("the document", "it does not begin with #cloud-config".to_owned()));
    }
    let tree = yaml11::parse(text).map_err(|error| failed("the document", format!("it is not YAML: {error}")))?;
    let read = tree.root().ok_or_else(|| failed("the document", "it is empty".to_owned()))?;
    compare(read, root, "").map_err(|path| failed(&path, "another value".to_owned()))?;
    let files = read.get("write_files").and_then(|files| Some(files.items()?.collect::<Vec<_>>())).unwrap_or_default();
    for (index, entry) in entries.iter().enumerate() {
        let file = files.get(index).ok_or_else(|| failed(&entry.path, "it is not there".to_owned()))?;
        let text = |key: &str| file.get(key).and_then(Node::as_str).unwrap_or_default();
        let permissions = u32::from_str_radix(text("permissions"), 8);
        let deferred = matches!(file.get("defer").and_then(Node::scalar), Some(Scalar::Bool(true)));
        if text("path") != entry.path || text("owner") != entry.owner.to_string() || deferred != entry.deferred {
            return Err(failed(&entry.path, "another path, owner or time".to_owned()));
        }
        if permissions != Ok(entry.mode.0) {
            return Err(failed(&entry.path, "another mode".to_owned()));
        }
        if decode(text("encoding"), text("content")).as_deref() != Some(entry.content.as_slice()) {
            return Err(failed(&entry.path, "other bytes".to_owned()));
        }
    }
    Ok(())
}

/// What cloud-init writes into the file.
fn decode(encoding: &str, content: &str) -> Option<Vec<u8>> {
    match encoding {
        "" => Some(content.as_bytes().to_vec()),
        "b64" => STANDARD.decode(content).ok(),
        "gz+b64" => {
            let mut bytes = Vec::new();
            flate2::read::MultiGzDecoder::new(STANDARD.decode(content).ok()?.as_slice())
                .read_to_end(&mut bytes)
                .ok()?;
            Some(bytes)
        }
        _ => None,
    }
}

/// The path of the first value that differs.
fn compare(node: Node<'_>, value: &Value, path: &str) -> Result<(), String> {
    let same = match (node.kind(), value) {
        (NodeKind::Scalar(scalar), value) => match (scalar, value) {
            (Scalar::Null, Value::Null) => true,
            (Scalar::Bool(read), Value::Bool(meant)) => read == meant,
            (Scalar::Int(read), Value::Number(meant)) => *read == meant.to_string(),
            (Scalar::Str(read), Value::String(meant)) => read == meant,
            _ => false,
        },
        (NodeKind::Sequence(items), Value::Sequence(meant)) => {
            for (index, (node, value)) in node.items().into_iter().flatten().zip(meant).enumerate() {
                compare(node, value, &format!("{path}.{index}"))?;
            }
            items.len() == meant.len()
        }
        (NodeKind::Mapping(entries), Value::Mapping(meant)) => {
            for ((key, node), (meant_key, value)) in node.entries().into_iter().flatten().zip(meant) {
                let name = key.as_str().unwrap_or("a key");
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                compare(key, meant_key, &path)?;
                compare(node, value, &path)?;
            }
            entries.len() == meant.len()
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(if path.is_empty() { "the document".to_owned() } else { path.to_owned() }) }
}
