//! Plain values, and what the model reads of YAML nodes.
//!
//! Only this file uses serde_yaml, so that another crate with the same types can replace it.

use diagnostics::source::Source;
use yaml11::{Node, NodeKind, Scalar};

pub use serde_yaml::value::Number;
pub use serde_yaml::{Mapping, Value};

/// Deserializes a struct. The reader has checked every value, so a failure is a bug in mkimg.
pub(super) fn deserialize<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_yaml::from_value(value).map_err(|error| error.to_string())
}

/// Writes a value as YAML, with its keys in order.
#[must_use]
pub fn to_yaml(value: &serde_json::Value) -> String {
    // JSON has nothing that YAML lacks, so that this does not fail.
    serde_yaml::to_string(value).unwrap_or_else(|error| format!("# {error}\n"))
}

/// Returns the text of a scalar as written: `3.40` and `0644` keep their digits, although YAML
/// reads them as numbers.
pub(super) fn scalar_text(source: &Source, node: Node<'_>) -> Option<String> {
    match node.scalar()? {
        Scalar::Str(text) | Scalar::Timestamp(text) => Some(text.clone()),
        Scalar::Int(_) | Scalar::Bool(_) | Scalar::Float(_) => Some(source.slice(node.span()).trim().to_owned()),
        Scalar::Null | Scalar::Binary(_) => None,
    }
}

/// Converts a scalar. Returns `None` for bytes, fractions and integers beyond 64 bits.
pub(super) fn scalar_value(scalar: &Scalar) -> Option<Value> {
    Some(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(flag) => Value::Bool(*flag),
        Scalar::Int(digits) => Value::Number(digits.parse::<i64>().map(Number::from).ok()?),
        // cloud-init's schema has no dates, so the text was meant.
        Scalar::Str(text) | Scalar::Timestamp(text) => Value::from(text.as_str()),
        Scalar::Float(_) | Scalar::Binary(_) => return None,
    })
}

pub(super) fn is_null(node: Node<'_>) -> bool {
    matches!(node.scalar(), Some(Scalar::Null))
}

/// Describes the kind of a node for messages.
pub(super) fn describe(node: Node<'_>) -> &'static str {
    match node.kind() {
        NodeKind::Sequence(_) => "a list",
        NodeKind::Mapping(_) => "a mapping",
        NodeKind::Set(_) => "a set",
        NodeKind::Pairs(_) => "a list of pairs",
        NodeKind::Scalar(scalar) => match scalar {
            Scalar::Null => "nothing",
            Scalar::Bool(_) => "true or false",
            Scalar::Int(_) | Scalar::Float(_) => "a number",
            Scalar::Str(_) => "a text",
            Scalar::Timestamp(_) => "a date",
            Scalar::Binary(_) => "bytes",
        },
    }
}

/// Returns whether a name can be that of a variable.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
