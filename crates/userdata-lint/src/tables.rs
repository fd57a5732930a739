//! Exports the module tables as JSON Schema, to compare them with cloud-init's.
//!
//! A test compares them with cloud-init's schema file (`tests/differential/validate.rs`). A pattern
//! is exported as its description, because the functions have no source text. A new keyword in
//! `shape.rs` needs a line in `put`.

use serde_json::{Map, Value, json};

use super::modules;
use super::shape::{Instead, Keyword, Literal, Note, Shape, Types};
use super::version::Version;

/// The draft 4 schema of each top-level key for a version of cloud-init, with cloud-init's keywords
/// `deprecated`, `changed` and their `_version`.
#[must_use]
pub fn tables(version: Version) -> Value {
    let known = modules::keys().filter(|(_, shape)| super::schema::is_known(*shape, version));
    Value::Object(known.map(|(key, shape)| (key.to_string(), schema(shape, version))).collect())
}

fn schema(shape: Shape, version: Version) -> Value {
    let mut out = Map::new();
    for keyword in shape.0 {
        put(keyword, version, &mut out);
    }
    Value::Object(out)
}

fn put(keyword: &Keyword, version: Version, out: &mut Map<String, Value>) {
    let list = |shapes: &[Shape]| Value::Array(shapes.iter().map(|shape| schema(*shape, version)).collect());
    let one = |name: &str, value: Value| vec![(name.to_string(), value)];
    let entries = match keyword {
        Keyword::Since(_) => vec![],
        Keyword::Before(other, keyword) => {
            return if version < *other {
                put(keyword, version, out);
            };
        }
        Keyword::From(other, keyword) => {
            return if version >= *other {
                put(keyword, version, out);
            };
        }
        Keyword::Type(types) => one("type", names(*types)),
        Keyword::Enum(literals) => one("enum", literals.iter().map(literal).collect()),
        Keyword::Properties(properties) => {
            let known = properties.iter().filter(|(_, shape)| super::schema::is_known(*shape, version));
            let known = known.map(|(name, shape)| ((*name).to_string(), schema(*shape, version)));
            one("properties", Value::Object(known.collect()))
        }
        Keyword::PatternProperties(pattern, shape) => {
            one("patternProperties", json!({ pattern.means: schema(*shape, version) }))
        }
        Keyword::Closed => one("additionalProperties", json!(false)),
        Keyword::Additional(shape) => one("additionalProperties", schema(*shape, version)),
        Keyword::Required(names) => one("required", json!(names)),
        Keyword::Items(shape) => one("items", schema(*shape, version)),
        Keyword::MinItems(least) => one("minItems", json!(least)),
        Keyword::MaxItems(most) => one("maxItems", json!(most)),
        Keyword::Unique => one("uniqueItems", json!(true)),
        Keyword::MinProperties(least) => one("minProperties", json!(least)),
        Keyword::Minimum(least) => one("minimum", json!(least)),
        Keyword::Matches(pattern) => one("pattern", json!(pattern.means)),
        Keyword::Date => one("format", json!("date")),
        Keyword::Uri => one("format", json!("uri")),
        Keyword::OneOf(shapes) => one("oneOf", list(shapes)),
        Keyword::AnyOf(shapes) => one("anyOf", list(shapes)),
        Keyword::Also(shape) => one("allOf", json!([schema(*shape, version)])),
        Keyword::NotTogether(one_key, other) => one("allOf", json!([{ "not": { "required": [one_key, other] } }])),
        Keyword::Deprecated(note) => dated("deprecated", *note),
        Keyword::Changed(note) => dated("changed", *note),
    };
    for (name, value) in entries {
        match (out.get_mut(&name), value) {
            (Some(Value::Array(parts)), Value::Array(more)) if name == "allOf" => parts.extend(more),
            (_, value) => {
                out.insert(name, value);
            }
        }
    }
}

fn dated(name: &str, note: Note) -> Vec<(String, Value)> {
    let mut out = vec![(name.to_string(), json!(true)), (format!("{name}_version"), json!(note.version))];
    if let Instead::Key(key) = note.instead {
        out.push(("use".into(), json!(key)));
    }
    out
}

fn literal(literal: &Literal) -> Value {
    match literal {
        Literal::Str(text) => json!(text),
        Literal::Bool(value) => json!(value),
    }
}

fn names(types: Types) -> Value {
    let all = [
        (Types::NULL, "null"),
        (Types::BOOL, "boolean"),
        (Types::INT, "integer"),
        (Types::NUMBER, "number"),
        (Types::STR, "string"),
        (Types::LIST, "array"),
        (Types::MAP, "object"),
    ];
    all.iter().filter(|(kind, _)| types.contains(*kind)).map(|(_, name)| json!(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_its_own_keys_and_deprecations() {
        let (old, new) = (tables(Version::OLDEST), tables(Version::LATEST));
        assert_eq!(old.get("rpi"), None);
        assert_eq!(new["rpi"]["type"], json!(["object"]));
        assert_eq!(new["ubuntu_advantage"]["deprecated_version"], json!("24.1"));
        assert_eq!(old["ubuntu_advantage"].get("deprecated"), None);
        assert_eq!(new["write_files"]["items"]["required"], json!(["path"]));
    }
}
