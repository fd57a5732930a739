//! Reads JSON.

use std::collections::BTreeSet;

use jsonc_parser::ast::{Object, ObjectProp, Value as Json};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::template::{Block, Build, Place, Setting, Template, Value, Variable};
use crate::text::Text;

/// Parses a file whose root is an object, in which no key is there twice.
fn parse<'t>(text: &'t str, file: usize, template: &mut Template) -> Option<Object<'t>> {
    let at = |range: Range| Place { file, start: range.start, end: range.end };
    // As strict as Packer: no comments (keys that begin with `_` serve as such) and no trailing
    // commas.
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
            template.unreadable(at(error.range()), message, "`packer validate` explains the error");
            return None;
        }
    };
    let Some(root) = root else {
        template.unreadable(Place { file, ..Place::default() }, "expected an object", "name a Packer template");
        return None;
    };
    let mut waiting = vec![&root];
    while let Some(value) = waiting.pop() {
        match value {
            Json::Array(array) => waiting.extend(&array.elements),
            Json::Object(object) => {
                let mut names = BTreeSet::new();
                for property in &object.properties {
                    let name = property.name.as_str();
                    if !names.insert(name) {
                        let message = format!("`{name}` is twice in the same object");
                        template.unreadable(at(property.name.range()), message, "remove one of them");
                        return None;
                    }
                    waiting.push(&property.value);
                }
            }
            _ => {}
        }
    }
    match root {
        Json::Object(root) => Some(root),
        other => {
            template.unreadable(at(other.range()), "expected an object", "name a Packer template");
            None
        }
    }
}

/// Reads a file of variables.
pub(crate) fn values(text: &str, file: usize, template: &mut Template) {
    let Some(root) = parse(text, file, template) else { return };
    for property in &root.properties {
        let place = Place { file, start: property.range.start, end: property.range.end };
        template.set(property.name.as_str(), &self::value(&property.value), place);
    }
}

/// Adds the contents of one file to a template.
pub(crate) fn read(text: &str, file: usize, template: &mut Template) {
    let at = |range: Range| Place { file, start: range.start, end: range.end };
    let Some(root) = parse(text, file, template) else { return };
    template.is_json = true;
    let mut build = Build::default();
    let mut sensitive = Vec::new();
    for property in &root.properties {
        let name = property.name.as_str();
        match (name, &property.value) {
            ("variables", Json::Object(variables)) => {
                for variable in &variables.properties {
                    template.variables.push(self::variable(variable, at(variable.range)));
                }
            }
            ("sensitive-variables", Json::Array(names)) => {
                sensitive
                    .extend(names.elements.iter().filter_map(|name| Some(name.as_string_lit()?.value.to_string())));
            }
            ("builders", Json::Array(items)) => {
                template.builders.extend(items.elements.iter().map(|item| block(item, file)));
            }
            ("provisioners", Json::Array(items)) => {
                build.provisioners.extend(items.elements.iter().map(|item| block(item, file)));
            }
            ("post-processors", Json::Array(items)) => {
                // A nested list is a sequence of post-processors.
                let flat = items.elements.iter().flat_map(|item| match item {
                    Json::Array(sequence) => sequence.elements.iter().collect(),
                    single => vec![single],
                });
                build.post_processors.extend(flat.map(|item| block(item, file)));
            }
            // A provisioner that only runs if the build fails.
            ("description" | "min_packer_version" | "error-cleanup-provisioner" | "push", _) => {}
            (name, _) if name.starts_with('_') => {}
            (name, value) => {
                let message = format!("`{name}` is not a key of a Packer template, or its value has the wrong type");
                let help = "a template has variables, builders, provisioners and post-processors";
                template.unsupported(at(value.range()), name, message, help);
            }
        }
    }
    build.sources = template.builders.iter().map(|builder| Block { options: Vec::new(), ..builder.clone() }).collect();
    template.builds.push(build);
    for variable in &mut template.variables {
        variable.sensitive |= sensitive.contains(&variable.name);
    }
    if template.builders.is_empty() {
        let place = at(root.range);
        template.unreadable(place, "expected `builders`, found none", "name a Packer template with a builder");
    }
}

fn variable(property: &ObjectProp<'_>, place: Place) -> Variable {
    let value = match &property.value {
        // A variable that is null must be set.
        Json::NullKeyword(_) => None,
        other => value(other).text(),
    };
    let name = property.name.as_str().to_owned();
    Variable { name, place, value, items: None, is_local: false, sensitive: false, description: None }
}

fn block(item: &Json<'_>, file: usize) -> Block {
    let range = item.range();
    // The first character of the object is enough to underline.
    let place = Place { file, start: range.start, end: range.end.min(range.start + 1) };
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
                        place: Place { file, start: range.start, end: range.end },
                        value: value(&property.value),
                    }),
                }
            }
        }
        _ => {}
    }
    if block.name.is_empty() {
        block.name.clone_from(&block.kind);
    }
    block
}

fn value(json: &Json<'_>) -> Value {
    match json {
        Json::StringLit(text) => Value::Text(Text::from_go_template(&text.value)),
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
