//! Reads the template's nodes by the table in `shape`: checks them, evaluates expressions, and
//! returns plain values.
//!
//! Problems become findings with positions; serde deserializes the values to the structs of `spec`.
//! Aliases are followed; `template` refuses templates that they make too large. The positions of
//! all values are kept for later findings, such as a script that is missing on disk.

use std::collections::BTreeMap;

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Rule, did_you_mean};
use lint_rules as rules;
use yaml11::{Node, NodeKind, Scalar};

use super::expression::{Evaluated, Scope, Text};
use super::shape::{Field, KeyName, Leaf, Shape};
use super::value::{Mapping, Value, describe, is_null, is_variable_name, scalar_text, scalar_value};

/// The positions of a template's values, by path such as `files.0.source`.
pub type Places = BTreeMap<String, Span>;

pub(super) struct Reader<'a> {
    pub source: &'a Source,
    pub scope: &'a Scope,
    pub findings: Vec<Diagnostic>,
    pub places: Places,
}

impl Reader<'_> {
    /// Reads a node. Returns `None` if a finding explains why there is no value, or if it uses a
    /// variable without a value.
    pub(super) fn read(&mut self, node: Node<'_>, shape: &Shape, path: &str) -> Option<Value> {
        self.places.insert(path.to_owned(), node.used_at());
        match shape {
            Shape::Leaf(kind) => self.read_leaf(node, *kind, path),
            Shape::List(item) => self.read_list(node, item, path),
            Shape::Map(keys, item) => self.read_map(node, *keys, item, path),
            Shape::Record(fields) => self.read_record(node, fields, path),
            Shape::Short(field, kind, fields) => {
                if node.entries().is_some() {
                    return self.read_record(node, fields, path);
                }
                let value = self.read_leaf(node, *kind, path)?;
                Some(Value::Mapping(Mapping::from_iter([(Value::from(*field), value)])))
            }
            Shape::Variables => None,
            Shape::Anything => self.read_anything(node, path),
        }
    }

    fn add(&mut self, rule: &'static Rule, path: &str, span: Span, message: String, help: Option<String>) {
        self.findings.push(Diagnostic::new(rule, path, span, message).with_help(help));
    }

    fn add_wrong_type(&mut self, node: Node<'_>, path: &str, expected: &str, help: Option<String>) {
        let message = format!("expected {expected}, found {}", describe(node));
        self.add(&rules::TEMPLATE_WRONG_TYPE, path, node.used_at(), message, help);
    }

    fn evaluate(&mut self, raw: String, node: Node<'_>, path: &str, with_timestamp: bool) -> Option<Evaluated> {
        let text = Text { raw, span: node.used_at(), path: path.to_owned() };
        match self.scope.evaluate(self.source, &text, with_timestamp) {
            Ok(evaluated) => evaluated,
            Err(fault) => {
                self.findings.push(*fault);
                None
            }
        }
    }

    fn read_leaf(&mut self, node: Node<'_>, kind: Leaf, path: &str) -> Option<Value> {
        let Some(raw) = scalar_text(self.source, node) else {
            self.add_wrong_type(node, path, kind.expected(), None);
            return None;
        };
        let evaluated = self.evaluate(raw, node, path, kind == Leaf::StampedText)?;
        match kind.parse(&evaluated.text) {
            Ok(value) => Some(value),
            Err(fault) => {
                let message = if evaluated.is_secret {
                    format!("expected {}, found a sensitive value of another kind", kind.expected())
                } else {
                    fault.message
                };
                self.add(fault.rule, path, node.used_at(), message, Some(fault.help));
                None
            }
        }
    }

    fn read_list(&mut self, node: Node<'_>, item: &Shape, path: &str) -> Option<Value> {
        let Some(items) = node.items() else {
            if is_null(node) {
                return Some(Value::Sequence(Vec::new()));
            }
            let help = "write `[one, two]`, or a line `- one` for each".to_owned();
            self.add_wrong_type(node, path, "a list", Some(help));
            return None;
        };
        let values = items.enumerate().filter_map(|(index, node)| self.read(node, item, &format!("{path}.{index}")));
        Some(Value::Sequence(values.collect()))
    }

    fn read_map(&mut self, node: Node<'_>, keys: KeyName, item: &Shape, path: &str) -> Option<Value> {
        let Some(entries) = node.entries() else {
            if is_null(node) {
                return Some(Value::Mapping(Mapping::new()));
            }
            self.add_wrong_type(node, path, "a mapping", None);
            return None;
        };
        let mut mapping = Mapping::new();
        let mut seen = BTreeMap::new();
        for (key, node) in entries {
            let name = scalar_text(self.source, key).unwrap_or_default();
            let path = format!("{path}.{name}");
            let Some(name) = self.evaluate(name, key, &path, false).map(|evaluated| evaluated.text) else { continue };
            let (is_valid, expected) = match keys {
                KeyName::Environment => {
                    (is_variable_name(&name), "letters, digits and `_`, not beginning with a digit")
                }
                KeyName::ArchiveMember => (
                    !name.is_empty() && !name.starts_with('/'),
                    "the path of a file or a directory in the archive, or the last component of a file",
                ),
            };
            if !is_valid {
                let message = format!("`{name}` is not a valid name here: expected {expected}");
                self.add(&rules::TEMPLATE_BAD_NAME, &path, key.used_at(), message, None);
                continue;
            }
            self.check_duplicate(&mut seen, &name, key.used_at(), &path);
            if let Some(value) = self.read(node, item, &path) {
                mapping.insert(Value::from(name), value);
            }
        }
        Some(Value::Mapping(mapping))
    }

    pub(super) fn read_record(&mut self, node: Node<'_>, fields: &[Field], path: &str) -> Option<Value> {
        let Some(entries) = node.entries() else {
            self.add_wrong_type(node, path, "a mapping", None);
            return None;
        };
        let mut mapping = Mapping::new();
        let mut seen = BTreeMap::new();
        let mut is_complete = true;
        for (key, value) in entries {
            let written = scalar_text(self.source, key).unwrap_or_default();
            let Some(field) = fields.iter().find(|field| field.name == written) else {
                self.add_unknown_key(&written, key.used_at(), fields, path);
                continue;
            };
            let path = join(path, field.name);
            self.check_duplicate(&mut seen, field.name, key.used_at(), &path);
            // A key without a value counts as missing.
            if is_null(value) && !matches!(field.shape, Shape::Variables) {
                continue;
            }
            match self.read(value, &field.shape, &path) {
                Some(value) => {
                    mapping.insert(Value::from(field.name), value);
                }
                None => is_complete &= !field.required,
            }
        }
        for field in fields.iter().filter(|field| field.required && !mapping.contains_key(field.name)) {
            if is_complete {
                let message = format!("`{}` is missing", field.name);
                self.add(&rules::TEMPLATE_MISSING_KEY, path, node.used_at(), message, Some(field.doc.to_owned()));
                is_complete = false;
            }
        }
        is_complete.then_some(Value::Mapping(mapping))
    }

    fn add_unknown_key(&mut self, written: &str, span: Span, fields: &[Field], path: &str) {
        let names = fields.iter().map(|field| field.name);
        let help = did_you_mean(written, names.clone()).unwrap_or_else(|| {
            format!("known keys: {}", names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        });
        self.add(&rules::TEMPLATE_UNKNOWN_KEY, path, span, format!("unknown key `{written}`"), Some(help));
    }

    fn check_duplicate(&mut self, seen: &mut BTreeMap<String, Span>, name: &str, span: Span, path: &str) {
        if let Some(first) = seen.insert(name.to_owned(), span) {
            let message = format!("`{name}` is listed twice");
            let mut fault = Diagnostic::new(&rules::TEMPLATE_DUPLICATE_KEY, path, span, message);
            fault.related.push((first, "first here".to_owned()));
            self.findings.push(fault);
        }
    }

    /// Reads cloud-init's own configuration: any YAML, with expressions in its texts.
    fn read_anything(&mut self, node: Node<'_>, path: &str) -> Option<Value> {
        self.places.insert(path.to_owned(), node.used_at());
        match node.kind() {
            NodeKind::Scalar(Scalar::Str(raw)) => {
                self.evaluate(raw.clone(), node, path, false).map(|evaluated| Value::from(evaluated.text))
            }
            NodeKind::Scalar(scalar) => {
                let value = scalar_value(scalar);
                if value.is_none() {
                    let help = "put bytes into a file of `files:`; cloud-init's keys have no fractions and no numbers beyond 64 bits";
                    self.add_unsupported(node, path, help);
                }
                value
            }
            NodeKind::Set(_) | NodeKind::Pairs(_) => {
                self.add_unsupported(node, path, "write a list or a mapping");
                None
            }
            NodeKind::Sequence(_) => {
                let items = node.items()?.enumerate();
                Some(Value::Sequence(
                    items.filter_map(|(index, node)| self.read_anything(node, &format!("{path}.{index}"))).collect(),
                ))
            }
            NodeKind::Mapping(_) => {
                let mut mapping = Mapping::new();
                let mut seen = BTreeMap::new();
                for (key, value) in node.entries()? {
                    let name = scalar_text(self.source, key).unwrap_or_default();
                    let path = join(path, &name);
                    let Some(key_value) = key.as_str().map(Value::from) else {
                        let message = format!("expected a text as a key, found {}", describe(key));
                        let help = Some("put it into quotes".to_owned());
                        self.add(&rules::TEMPLATE_CLOUD_CONFIG_CONFLICT, &path, key.used_at(), message, help);
                        continue;
                    };
                    self.check_duplicate(&mut seen, &name, key.used_at(), &path);
                    if let Some(value) = self.read_anything(value, &path) {
                        mapping.insert(key_value, value);
                    }
                }
                Some(Value::Mapping(mapping))
            }
        }
    }

    fn add_unsupported(&mut self, node: Node<'_>, path: &str, help: &str) {
        let message = format!("expected a value that a template can pass on, found {}", describe(node));
        let rule = &rules::TEMPLATE_CLOUD_CONFIG_CONFLICT;
        self.add(rule, path, node.used_at(), message, Some(help.to_owned()));
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
