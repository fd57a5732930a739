//! Packer's HCL2, read with places.

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, FuncCall, ObjectKey, Traversal, TraversalOperator};
use hcl_edit::structure::{Attribute, Block as HclBlock, Body, Structure};
use hcl_edit::template::{Element, Template};

use super::fault::Notes;
use super::go;
use super::packer::{Block, Packer, Place, Setting, Value, Variable};
use super::text::{Piece, Text, variable_name};
use diagnostics::source::Span;

/// One file, and whether Go templates in its texts mean something where we are (in a source, not in a provisioner).
struct File<'t> {
    text: &'t str,
    number: usize,
    go: bool,
}

/// Adds one file to what was read.
pub(super) fn read(text: &str, file: usize, packer: &mut Packer, notes: &mut Notes) {
    let body = match hcl_edit::parser::parse_body(text) {
        Ok(body) => body,
        Err(error) => {
            let (line, column) = (error.location().line(), error.location().column());
            let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
            let rest = text.get(start..).unwrap_or_default();
            let inside = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
            let place = Place { file, span: Span::at((start + inside).min(text.len())) };
            let message = format!("expected HCL2 or JSON: {}", error.message().replace('\n', "; "));
            return notes.unreadable_at(place, message, "`packer validate` says more of it");
        }
    };
    let file = File { text, number: file, go: false };
    for structure in &body {
        match structure {
            Structure::Block(block) => file.top_level(block, packer, notes),
            Structure::Attribute(attribute) => {
                let name = attribute.key.as_str();
                let message = format!("`{name}` stands outside of any block");
                notes.not_carried(file.place(attribute), name, message, "put it into the block that it belongs to");
            }
        }
    }
}

impl File<'_> {
    fn place(&self, node: &impl hcl_edit::Span) -> Place {
        let span = node.span().map_or(Span::at(0), |range| Span::new(range.start, range.end));
        // The first line of a block is enough to underline.
        let line = self.text.get(span.start..span.end).and_then(|text| text.find('\n'));
        let end = line.map_or(span.end, |length| span.start + length);
        Place { file: self.number, span: Span::new(span.start, end) }
    }

    fn top_level(&self, block: &HclBlock, packer: &mut Packer, notes: &mut Notes) {
        let labels: Vec<&str> = block.labels.iter().map(hcl_edit::structure::BlockLabel::as_str).collect();
        match (block.ident.as_str(), labels.as_slice()) {
            ("packer", []) => {}
            ("variable", [name]) => packer.variables.push(self.variable(name, block, notes)),
            ("locals", []) => {
                let locals = block.body.attributes().map(|local| {
                    let name = local.key.as_str();
                    scalar_variable(name, &self.value(&local.value), self.place(local), notes)
                });
                packer.variables.extend(locals.collect::<Vec<_>>());
            }
            ("local", [name]) => {
                let value =
                    block.body.get_attribute("expression").map_or(Value::Null, |found| self.value(&found.value));
                let mut local = scalar_variable(name, &value, self.place(block), notes);
                local.sensitive = self.flag(&block.body, "sensitive");
                packer.variables.push(local);
            }
            ("source", [kind, name]) => packer.builders.push(self.source(kind, name, block)),
            ("build", []) => self.build(block, packer, notes),
            (other, _) => {
                let message = format!(
                    "mkimg has no counterpart of `{}`",
                    std::iter::once(other).chain(labels).collect::<Vec<_>>().join(" ")
                );
                notes.not_carried(
                    self.place(block),
                    other,
                    message,
                    "give what it looks up as a variable of the template",
                );
            }
        }
    }

    fn flag(&self, body: &Body, name: &str) -> bool {
        body.get_attribute(name).and_then(|found| self.value(&found.value).flag()).unwrap_or_default()
    }

    fn variable(&self, name: &str, block: &HclBlock, notes: &mut Notes) -> Variable {
        let value = block.body.get_attribute("default").map_or(Value::Null, |found| self.value(&found.value));
        let mut variable = scalar_variable(name, &value, self.place(block), notes);
        variable.sensitive = self.flag(&block.body, "sensitive");
        let description = block.body.get_attribute("description").map(|found| self.value(&found.value));
        variable.description = description.and_then(|value| value.text()?.plain().map(str::to_owned));
        if let Some(validation) = block.body.get_blocks("validation").next() {
            let message = format!("the validation of `{name}` is not checked by mkimg");
            notes.adapted(self.place(validation), name, message);
        }
        variable
    }

    fn source(&self, kind: &str, name: &str, block: &HclBlock) -> Block {
        let inside = File { text: self.text, number: self.number, go: true };
        let options = inside.settings(&block.body);
        Block { kind: kind.to_owned(), name: name.to_owned(), place: self.place(block), options }
    }

    fn build(&self, build: &HclBlock, packer: &mut Packer, notes: &mut Notes) {
        for structure in &build.body {
            match structure {
                Structure::Attribute(attribute) if attribute.key.as_str() == "sources" => {
                    let names = self.value(&attribute.value).texts().unwrap_or_default();
                    packer.wanted.extend(
                        names
                            .iter()
                            .filter_map(|name| name.plain().map(|name| name.trim_start_matches("source.").to_owned())),
                    );
                }
                Structure::Attribute(_) => {}
                Structure::Block(block) => self.step(block, packer, notes),
            }
        }
    }

    /// A block of a build.
    fn step(&self, block: &HclBlock, packer: &mut Packer, notes: &mut Notes) {
        let label = block.labels.first().map_or("", hcl_edit::structure::BlockLabel::as_str);
        let new = |options| Block { kind: label.to_owned(), name: String::new(), place: self.place(block), options };
        match block.ident.as_str() {
            "provisioner" => packer.provisioners.push(new(self.settings(&block.body))),
            "post-processor" => packer.post_processors.push(new(Vec::new())),
            "post-processors" => {
                for inner in block.body.blocks() {
                    self.step(inner, packer, notes);
                }
            }
            // `source "digitalocean.x" { … }` adds to a source.
            "source" => {
                let name = label.trim_start_matches("source.");
                packer.wanted.push(name.to_owned());
                let inside = File { text: self.text, number: self.number, go: true };
                let mut added = new(inside.settings(&block.body));
                if let Some((kind, name)) = name.split_once('.') {
                    (added.kind, added.name) = (kind.to_owned(), name.to_owned());
                    packer.builders.push(added);
                }
            }
            other => {
                let message = format!("mkimg has no counterpart of `{other}` in a build");
                notes.not_carried(self.place(block), other, message, "do the same in one of the scripts");
            }
        }
    }

    fn settings(&self, body: &Body) -> Vec<Setting> {
        let setting = |structure: &Structure| match structure {
            Structure::Attribute(attribute) => self.setting(attribute),
            Structure::Block(block) => {
                let map = self.settings(&block.body).into_iter().map(|setting| (setting.name, setting.value));
                Setting {
                    name: block.ident.as_str().to_owned(),
                    place: self.place(block),
                    value: Value::Map(map.collect()),
                }
            }
        };
        body.iter().map(setting).collect()
    }

    fn setting(&self, attribute: &Attribute) -> Setting {
        let name = attribute.key.as_str().to_owned();
        Setting { name, place: self.place(attribute), value: self.value(&attribute.value) }
    }

    fn value(&self, expression: &Expression) -> Value {
        match expression {
            Expression::Null(_) => Value::Null,
            Expression::Bool(flag) => Value::Flag(*flag.value()),
            Expression::Number(number) => Value::Number(number.value().to_string()),
            Expression::Array(items) => Value::List(items.iter().map(|item| self.value(item)).collect()),
            Expression::Object(entries) => {
                let entry = |(key, value): (&ObjectKey, &hcl_edit::expr::ObjectValue)| {
                    let key = match key {
                        ObjectKey::Ident(name) => name.as_str().to_owned(),
                        ObjectKey::Expression(key) => self.value(key).text()?.plain()?.to_owned(),
                    };
                    Some((key, self.value(value.expr())))
                };
                let entries: Option<Vec<_>> = entries.iter().map(entry).collect();
                entries.map_or_else(|| self.unknown(expression), Value::Map)
            }
            Expression::Parenthesis(inner) => self.value(inner.inner()),
            Expression::FuncCall(call) if call.name.name.as_str() == "concat" => {
                let lists = call.args.iter().map(|list| match self.value(list) {
                    Value::List(items) => Some(items),
                    _ => None,
                });
                match lists.collect::<Option<Vec<_>>>() {
                    Some(lists) => Value::List(lists.into_iter().flatten().collect()),
                    None => self.unknown(expression),
                }
            }
            other => match self.text(other) {
                Some(text) => Value::Text(text),
                None => self.unknown(expression),
            },
        }
    }

    fn unknown(&self, expression: &Expression) -> Value {
        let written = expression.span().and_then(|range| self.text.get(range)).unwrap_or("an expression");
        let mut short: String = written.split_whitespace().collect::<Vec<_>>().join(" ");
        if short.chars().count() > 60 {
            short = short.chars().take(59).chain(['…']).collect();
        }
        Value::Unknown(short)
    }

    /// An expression that is one text.
    fn text(&self, expression: &Expression) -> Option<Text> {
        match expression {
            Expression::String(text) => Some(self.literal(text.value())),
            Expression::StringTemplate(template) => self.template(template),
            Expression::HeredocTemplate(heredoc) => self.template(&heredoc.template),
            Expression::Traversal(traversal) => traversed(traversal).map(Text::of),
            Expression::FuncCall(call) => self.call(call),
            Expression::Parenthesis(inner) => self.text(inner.inner()),
            Expression::Bool(flag) => Some(Text::literal(flag.value().to_string())),
            Expression::Number(number) => Some(Text::literal(number.value().to_string())),
            _ => None,
        }
    }

    fn literal(&self, text: &str) -> Text {
        if self.go { go::text(text) } else { Text::literal(text) }
    }

    fn template(&self, template: &Template) -> Option<Text> {
        let mut out = Text::default();
        for element in template {
            match element {
                Element::Literal(text) => out.append(self.literal(text.value())),
                Element::Interpolation(interpolation) => out.append(self.text(&interpolation.expr)?),
                Element::Directive(_) => return None,
            }
        }
        Some(out)
    }

    fn call(&self, call: &FuncCall) -> Option<Text> {
        let arguments: Vec<&Expression> = call.args.iter().collect();
        match (call.name.name.as_str(), arguments.as_slice()) {
            ("timestamp" | "legacy_isotime" | "isotime", _) => Some(Text::of(Piece::Timestamp)),
            // What is done to a moment only gives it another form.
            ("formatdate" | "regex_replace" | "replace" | "substr" | "clean_resource_name", all)
                if all.iter().filter_map(|argument| self.text(argument)).any(|text| text.has_timestamp()) =>
            {
                Some(Text::of(Piece::Timestamp))
            }
            ("env", [name]) => Some(Text::of(Piece::Environment(self.text(name)?.plain()?.to_owned()))),
            ("join", [separator, list]) => {
                let separator = self.text(separator)?;
                Some(joined(&self.value(list).texts()?, separator.plain()?))
            }
            ("format", [form, rest @ ..]) => self.formatted(form, rest),
            _ => None,
        }
    }

    /// `format("%s-%s", a, b)`: texts and numbers only.
    fn formatted(&self, form: &Expression, rest: &[&Expression]) -> Option<Text> {
        let form = self.text(form)?;
        let parts: Vec<&str> = form.plain()?.split("%s").collect();
        if parts.len() != rest.len() + 1 || parts.iter().any(|part| part.contains('%')) {
            return None;
        }
        let mut out = Text::literal(parts[0]);
        for (argument, after) in rest.iter().zip(&parts[1..]) {
            out.append(self.text(argument)?);
            out.push(Piece::Literal((*after).to_owned()));
        }
        Some(out)
    }
}

/// `var.x`, `local.x`, `path.root`.
fn traversed(traversal: &Traversal) -> Option<Piece> {
    let Expression::Variable(root) = &traversal.expr else { return None };
    let [operator] = traversal.operators.as_slice() else { return None };
    let TraversalOperator::GetAttr(name) = operator.value() else { return None };
    match (root.as_str(), name.as_str()) {
        ("var" | "local", name) => Some(Piece::Variable(variable_name(name))),
        ("path", "root" | "cwd") => Some(Piece::Directory),
        _ => None,
    }
}

/// Variables of mkimg hold one text each.
fn scalar_variable(name: &str, value: &Value, place: Place, notes: &mut Notes) -> Variable {
    let items = if matches!(value, Value::List(_)) { value.texts() } else { None };
    // A list of plain texts is what a shell reads as words.
    let text = items.as_deref().map(|items| joined(items, " ")).or_else(|| value.text());
    if text.is_none() && !matches!(value, Value::Null) {
        let written = value.unknown().unwrap_or("a list or a map");
        let message = format!("the value of `{name}` cannot be translated: {written}");
        notes.not_carried(place, name, message, "the variable must now be given: `--var`, or a value in the template");
    }
    Variable {
        name: variable_name(name),
        place,
        value: text,
        items,
        inlined: false,
        sensitive: false,
        description: None,
    }
}

fn joined(items: &[Text], separator: &str) -> Text {
    let mut out = Text::default();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(Piece::Literal(separator.to_owned()));
        }
        out.append(item.clone());
    }
    out
}
