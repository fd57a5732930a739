//! Walks the template's nodes by the table in `shape`: checks, evaluates expressions, and hands typed values on.
//!
//! What is wrong becomes a finding with a place; what is right becomes a [`Value`] of plain data, from which serde fills the
//! structs of `spec`. A tree is walked with its aliases followed: `template` refuses those that this makes too large. The places of all values are kept, for faults that show only later (a script that is missing on disk).

use std::collections::BTreeMap;

use super::expression::{Scope, Text};
use super::leaf;
use super::shape::{Field, KeyName, Leaf, Shape};
use super::value::{Mapping, Number, Value};
use crate::diag::Diagnostic;
use crate::source::{Source, Span};
use crate::yaml::{Node, NodeKind, Scalar};
use diagnostics::closest;
use lint_rules as rules;

/// Where the values of a template stand: `files.0.source` → its span.
pub type Places = BTreeMap<String, Span>;

pub(super) struct Reader<'a> {
    pub source: &'a Source,
    pub scope: &'a Scope,
    pub findings: Vec<Diagnostic>,
    pub places: Places,
}

impl Reader<'_> {
    /// Reads one node. `None`: a finding says why there is no value, or a broken variable is in it.
    pub(super) fn read(&mut self, node: Node<'_>, shape: &Shape, path: &str) -> Option<Value> {
        self.places.insert(path.to_owned(), node.used_at());
        match shape {
            Shape::Leaf(kind) => self.leaf(node, *kind, path),
            Shape::List(item) => self.list(node, item, path),
            Shape::Map(keys, item) => self.map(node, *keys, item, path),
            Shape::Record(fields) => self.record(node, fields, path),
            Shape::Short(field, kind, fields) => {
                if node.entries().is_some() {
                    return self.record(node, fields, path);
                }
                let value = self.leaf(node, *kind, path)?;
                Some(Value::Mapping(Mapping::from_iter([(Value::from(*field), value)])))
            }
            Shape::Variables => None,
            Shape::Anything => self.anything(node, path),
        }
    }

    fn add(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    fn expected(&mut self, node: Node<'_>, path: &str, what: &str) {
        let message = format!("expected {what}, found {}", describe(node));
        self.add(Diagnostic::new(&rules::TEMPLATE_WRONG_TYPE, path, node.used_at(), message));
    }

    fn leaf(&mut self, node: Node<'_>, kind: Leaf, path: &str) -> Option<Value> {
        let Some(raw) = scalar_text(self.source, node) else {
            self.expected(node, path, leaf::expected(kind));
            return None;
        };
        let text = Text { raw, span: node.used_at(), path: path.to_owned() };
        let evaluated = match self.scope.evaluate(self.source, &text, kind == Leaf::StampedText) {
            Ok(evaluated) => evaluated?,
            Err(fault) => {
                self.add(*fault);
                return None;
            }
        };
        match leaf::value(kind, &evaluated.text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                let message = if evaluated.secret {
                    format!("expected {}, found a sensitive value that is not one", leaf::expected(kind))
                } else {
                    wrong.message
                };
                self.add(Diagnostic::new(wrong.rule, path, node.used_at(), message).with_help(wrong.help));
                None
            }
        }
    }

    fn list(&mut self, node: Node<'_>, item: &Shape, path: &str) -> Option<Value> {
        let Some(items) = node.items() else {
            if is_null(node) {
                return Some(Value::Sequence(Vec::new()));
            }
            let message = format!("expected a list, found {}", describe(node));
            self.add(
                Diagnostic::new(&rules::TEMPLATE_WRONG_TYPE, path, node.used_at(), message)
                    .with_help("write `[one, two]`, or a line `- one` for each"),
            );
            return None;
        };
        let values = items.enumerate().filter_map(|(index, node)| self.read(node, item, &format!("{path}.{index}")));
        Some(Value::Sequence(values.collect()))
    }

    fn map(&mut self, node: Node<'_>, keys: KeyName, item: &Shape, path: &str) -> Option<Value> {
        let Some(entries) = node.entries() else {
            if is_null(node) {
                return Some(Value::Mapping(Mapping::new()));
            }
            self.expected(node, path, "a mapping");
            return None;
        };
        let mut mapping = Mapping::new();
        let mut seen = BTreeMap::new();
        for (key, node) in entries {
            let name = scalar_text(self.source, key).unwrap_or_default();
            let path = format!("{path}.{name}");
            let text = Text { raw: name, span: key.used_at(), path: path.clone() };
            let name = match self.scope.evaluate(self.source, &text, false) {
                Ok(Some(evaluated)) => evaluated.text,
                Ok(None) => continue,
                Err(fault) => {
                    self.add(*fault);
                    continue;
                }
            };
            let legal = match keys {
                KeyName::Environment => super::variables::is_variable_name(&name),
                KeyName::ArchiveMember => !name.is_empty() && !name.starts_with('/'),
            };
            if !legal {
                let what = match keys {
                    KeyName::Environment => "letters, digits and `_`, not beginning with a digit",
                    KeyName::ArchiveMember => "the path of a file in the archive, or its last part",
                };
                let message = format!("`{name}` is no name for this: expected {what}");
                self.add(Diagnostic::new(&rules::TEMPLATE_BAD_NAME, &path, key.used_at(), message));
                continue;
            }
            self.duplicate(&mut seen, &name, key.used_at(), &path);
            if let Some(value) = self.read(node, item, &path) {
                mapping.insert(Value::from(name), value);
            }
        }
        Some(Value::Mapping(mapping))
    }

    pub(super) fn record(&mut self, node: Node<'_>, fields: &[Field], path: &str) -> Option<Value> {
        let Some(entries) = node.entries() else {
            self.expected(node, path, "a mapping");
            return None;
        };
        let mut mapping = Mapping::new();
        let mut seen = BTreeMap::new();
        let mut complete = true;
        for (key, value) in entries {
            let written = scalar_text(self.source, key).unwrap_or_default();
            let Some(field) = fields.iter().find(|field| field.name == written) else {
                self.unknown(&written, key.used_at(), fields, path);
                continue;
            };
            let path = join(path, field.name);
            self.duplicate(&mut seen, field.name, key.used_at(), &path);
            // A key without a value stands for one that is not there.
            if is_null(value) && !matches!(field.shape, Shape::Variables) {
                continue;
            }
            match self.read(value, &field.shape, &path) {
                Some(value) => {
                    mapping.insert(Value::from(field.name), value);
                }
                None => complete &= !field.required,
            }
        }
        for field in fields.iter().filter(|field| field.required && !mapping.contains_key(field.name)) {
            if complete {
                let message = format!("`{}` is missing", field.name);
                self.add(
                    Diagnostic::new(&rules::TEMPLATE_MISSING_KEY, path, node.used_at(), message).with_help(field.doc),
                );
                complete = false;
            }
        }
        complete.then_some(Value::Mapping(mapping))
    }

    fn unknown(&mut self, written: &str, span: Span, fields: &[Field], path: &str) {
        let names = fields.iter().map(|field| field.name);
        let help = match closest(written, names.clone()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there are {}", names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
        };
        self.add(
            Diagnostic::new(&rules::TEMPLATE_UNKNOWN_KEY, path, span, format!("unknown key `{written}`"))
                .with_help(help),
        );
    }

    fn duplicate(&mut self, seen: &mut BTreeMap<String, Span>, name: &str, span: Span, path: &str) {
        if let Some(first) = seen.insert(name.to_owned(), span) {
            let mut fault =
                Diagnostic::new(&rules::TEMPLATE_DUPLICATE_KEY, path, span, format!("`{name}` is there twice"));
            fault.related.push((first, "first here".to_owned()));
            self.add(fault);
        }
    }

    /// cloud-init's own configuration: any YAML, with expressions in its strings.
    fn anything(&mut self, node: Node<'_>, path: &str) -> Option<Value> {
        self.places.insert(path.to_owned(), node.used_at());
        match node.kind() {
            NodeKind::Scalar(Scalar::Str(raw)) => {
                let text = Text { raw: raw.clone(), span: node.used_at(), path: path.to_owned() };
                match self.scope.evaluate(self.source, &text, false) {
                    Ok(value) => value.map(|value| Value::from(value.text)),
                    Err(fault) => {
                        self.add(*fault);
                        None
                    }
                }
            }
            NodeKind::Scalar(scalar) => match plain(scalar) {
                Some(value) => Some(value),
                None => {
                    let message = format!("expected a value that a template can pass on, found {}", describe(node));
                    self.add(
                        Diagnostic::new(&rules::TEMPLATE_CLOUD_CONFIG_CONFLICT, path, node.used_at(), message)
                            .with_help("put bytes into a file of `files:`; cloud-init's keys take no fractions and no numbers beyond 64 bits"),
                    );
                    None
                }
            },
            NodeKind::Set(_) | NodeKind::Pairs(_) => {
                let message = format!("expected a value that a template can pass on, found {}", describe(node));
                self.add(
                    Diagnostic::new(&rules::TEMPLATE_CLOUD_CONFIG_CONFLICT, path, node.used_at(), message)
                        .with_help("write a list or a mapping"),
                );
                None
            }
            NodeKind::Sequence(_) => {
                let items = node.items()?.enumerate();
                Some(Value::Sequence(
                    items.filter_map(|(index, node)| self.anything(node, &format!("{path}.{index}"))).collect(),
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
                        self.add(
                            Diagnostic::new(&rules::TEMPLATE_CLOUD_CONFIG_CONFLICT, &path, key.used_at(), message)
                                .with_help("put it into quotes"),
                        );
                        continue;
                    };
                    self.duplicate(&mut seen, &name, key.used_at(), &path);
                    if let Some(value) = self.anything(value, &path) {
                        mapping.insert(key_value, value);
                    }
                }
                Some(Value::Mapping(mapping))
            }
        }
    }
}

/// A scalar as a value; `None` for what the document cannot carry: bytes, fractions and integers beyond 64 bits.
fn plain(scalar: &Scalar) -> Option<Value> {
    Some(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(flag) => Value::Bool(*flag),
        Scalar::Int(digits) => Value::Number(digits.parse::<i64>().map(Number::from).ok()?),
        // cloud-init's schema knows no dates: the text is what was meant.
        Scalar::Str(text) | Scalar::Timestamp(text) => Value::from(text.as_str()),
        Scalar::Float(_) | Scalar::Binary(_) => return None,
    })
}

/// A scalar's text as the author wrote it: `3.40` and `0644` keep their digits although YAML makes numbers of them.
pub(super) fn scalar_text(source: &Source, node: Node<'_>) -> Option<String> {
    match node.scalar()? {
        Scalar::Str(text) | Scalar::Timestamp(text) => Some(text.clone()),
        Scalar::Int(_) | Scalar::Bool(_) | Scalar::Float(_) => Some(source.slice(node.span()).trim().to_owned()),
        Scalar::Null | Scalar::Binary(_) => None,
    }
}

fn is_null(node: Node<'_>) -> bool {
    matches!(node.scalar(), Some(Scalar::Null))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What a node is, in a sentence.
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
