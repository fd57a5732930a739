//! The template's JSON Schema, for editors: made from the table in `shape`.

use serde_json::{Map, Value, json};

use super::shape::{Field, Leaf, Shape, TEMPLATE};

/// JSON Schema (2020-12) of the image template. Every scalar may also be an expression, so that texts are always allowed.
#[must_use]
pub fn schema() -> Value {
    let mut schema = record(TEMPLATE);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mkimg image template",
    });
    if let (Value::Object(head), Value::Object(body)) = (head, &mut schema) {
        let rest = std::mem::take(body);
        body.extend(head);
        body.extend(rest);
    }
    schema
}

fn record(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut shape = shape(&field.shape);
        if let Value::Object(shape) = &mut shape {
            shape.insert("description".to_owned(), Value::from(field.doc));
        }
        properties.insert(field.name.to_owned(), shape);
    }
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Leaf(kind) => leaf(*kind),
        Shape::List(item) => json!({"type": "array", "items": self::shape(item)}),
        Shape::Map(_, item) => json!({"type": "object", "additionalProperties": self::shape(item)}),
        Shape::Record(fields) => record(fields),
        Shape::Short(_, kind, fields) => json!({"anyOf": [leaf(*kind), record(fields)]}),
        Shape::Variables => {
            let value = json!({"type": ["string", "number", "boolean", "null"]});
            let long = json!({
                "type": "object",
                "properties": {
                    "value": value,
                    "sensitive": {"type": "boolean", "description": "Never taken from the command line, never shown."},
                    "description": {"type": "string"},
                },
                "additionalProperties": false,
            });
            json!({
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "additionalProperties": {"anyOf": [value, long]},
            })
        }
        Shape::Anything => json!({"type": "object"}),
    }
}

fn leaf(kind: Leaf) -> Value {
    match kind {
        Leaf::Flag => json!({"type": ["boolean", "string"]}),
        Leaf::Mode => json!({"type": ["string", "integer"]}),
        Leaf::Port => json!({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]}),
        Leaf::Text | Leaf::StampedText => json!({"type": ["string", "number", "boolean"]}),
        _ => json!({"type": "string"}),
    }
}
