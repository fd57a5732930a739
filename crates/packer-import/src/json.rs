//! Packer's JSON, read with places.

use jsonc_parser::ast::{ObjectProp, Value as Json};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::fault::Notes;
use super::go;
use super::packer::{Block, Packer, Place, Setting, Value, Variable};
use super::text::variable_name;
use diagnostics::source::Span;

/// Adds one file to what was read. What Packer itself would refuse is [`super::fault::UNREADABLE`].
pub(super) fn read(text: &str, file: usize, packer: &mut Packer, notes: &mut Notes) {
    let at = |range: Range| Place { file, span: Span::new(range.start, range.end) };
    // Packer reads JSON alone: no comments, no commas at ends. Comments stand in keys that begin with `_`.
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let root = match parse_to_ast(text, &CollectOptions::default(), &strict) {
        Ok(parsed) => parsed.value,
        Err(error) => {
            let message = format!("expected JSON: {}", error.kind());
            return notes.unreadable_at(at(error.range()), message, "`packer validate` says more of it");
        }
    };
    let Some(Json::Object(root)) = root else {
        let place = Place { file, span: Span::at(0) };
        return notes.unreadable_at(place, "expected an object", "name a Packer template");
    };
    let mut sensitive = Vec::new();
    for property in &root.properties {
        let name = property.name.as_str();
        match (name, &property.value) {
            ("variables", Json::Object(variables)) => {
                for variable in &variables.properties {
                    packer.variables.push(self::variable(variable, at(variable.range)));
                }
            }
            ("sensitive-variables", Json::Array(names)) => {
                sensitive
                    .extend(names.elements.iter().filter_map(|name| Some(name.as_string_lit()?.value.to_string())));
            }
            ("builders", Json::Array(items)) => {
                packer.builders.extend(items.elements.iter().map(|item| block(item, file)));
            }
            ("provisioners", Json::Array(items)) => {
                packer.provisioners.extend(items.elements.iter().map(|item| block(item, file)));
            }
            ("post-processors", Json::Array(items)) => {
                // A list in the list is a row of them, one after the other.
                let flat = items.elements.iter().flat_map(|item| match item {
                    Json::Array(row) => row.elements.iter().collect(),
                    one => vec![one],
                });
                packer.post_processors.extend(flat.map(|item| block(item, file)));
            }
            ("description" | "min_packer_version", _) => {}
            (name, _) if name.starts_with('_') => {}
            (name, value) => {
                let message = format!("`{name}` is no part of a Packer template, or of another kind than it should be");
                let help = "a template has variables, builders, provisioners, post-processors";
                notes.not_carried(at(value.range()), name, message, help);
            }
        }
    }
    for variable in &mut packer.variables {
        variable.sensitive |= sensitive.iter().any(|name| variable_name(name) == variable.name);
    }
    if packer.builders.is_empty() {
        let place = at(root.range);
        notes.unreadable_at(
            place,
            "expected `builders`, found none",
            "name a Packer template with a digitalocean builder",
        );
    }
}

fn variable(property: &ObjectProp<'_>, place: Place) -> Variable {
    let value = match &property.value {
        // A variable that is null must be given.
        Json::NullKeyword(_) => None,
        other => value(other).text(),
    };
    let name = variable_name(property.name.as_str());
    Variable { name, place, value, items: None, inlined: false, sensitive: false, description: None }
}

fn block(item: &Json<'_>, file: usize) -> Block {
    let range = item.range();
    let place = Place { file, span: Span::new(range.start, range.end) };
    let mut block = Block { kind: String::new(), name: String::new(), place, options: Vec::new() };
    match item {
        // `"post-processors": ["compress"]`
        Json::StringLit(kind) => block.kind = kind.value.to_string(),
        Json::Object(object) => {
            for property in &object.properties {
                let name = property.name.as_str();
                let text = property.value.as_string_lit().map(|text| text.value.to_string());
                let range = property.range;
                match (name, text) {
                    ("type", Some(kind)) => block.kind = kind,
                    ("name", Some(name)) => block.name = name,
                    (name, _) if name.starts_with('_') => {}
                    (name, _) => block.options.push(Setting {
                        name: name.to_owned(),
                        place: Place { file, span: Span::new(range.start, range.end) },
                        value: value(&property.value),
                    }),
                }
            }
        }
        _ => {}
    }
    // The whole object is too much to underline: its first line will do.
    block.place.span.end = block.place.span.end.min(block.place.span.start + 1);
    block
}

fn value(json: &Json<'_>) -> Value {
    match json {
        Json::StringLit(text) => Value::Text(go::text(&text.value)),
        Json::NumberLit(number) => Value::Number(number.value.to_owned()),
        Json::BooleanLit(flag) => Value::Flag(flag.value),
        Json::NullKeyword(_) => Value::Null,
        Json::Array(array) => Value::List(array.elements.iter().map(value).collect()),
        Json::Object(object) => Value::Map(
            object
                .properties
                .iter()
                .map(|property| (property.name.as_str().to_owned(), value(&property.value)))
                .collect(),
        ),
    }
}
