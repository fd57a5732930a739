//! Reads HCL2.

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, FuncCall, ObjectKey, Traversal, TraversalOperator};
use hcl_edit::structure::{Attribute, Block as HclBlock, Body, Structure};
use hcl_edit::template::{Element, Template as HclTemplate};

use crate::template::{Block, Build, FindingKind, Place, Setting, Template, Value, Variable};
use crate::text::{Folder, Text, TextPart};

struct File<'t> {
    text: &'t str,
    index: usize,
    /// Packer evaluates Go templates in the texts of sources, not in those of provisioners.
    has_go_templates: bool,
}

fn parse(text: &str, file: usize, template: &mut Template) -> Option<Body> {
    match hcl_edit::parser::parse_body(text) {
        Ok(body) => Some(body),
        Err(error) => {
            let (line, column) = (error.location().line(), error.location().column());
            let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
            let rest = text.get(start..).unwrap_or_default();
            let inside = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
            let at = (start + inside).min(text.len());
            let place = Place { file, start: at, end: at };
            let message = format!("expected HCL2 or JSON: {}", error.message().replace('\n', "; "));
            template.unreadable(place, message, "`packer validate` explains the error");
            None
        }
    }
}

/// Reads a file of variables.
pub(crate) fn values(text: &str, file: usize, template: &mut Template) {
    let Some(body) = parse(text, file, template) else { return };
    let file = File { text, index: file, has_go_templates: false };
    for attribute in body.attributes() {
        template.set(attribute.key.as_str(), &file.value(&attribute.value), file.place(attribute));
    }
}

/// Adds the contents of one file to a template.
pub(crate) fn read(text: &str, file: usize, template: &mut Template) {
    let Some(body) = parse(text, file, template) else { return };
    let file = File { text, index: file, has_go_templates: false };
    for structure in &body {
        match structure {
            Structure::Block(block) => file.top_level(block, template),
            Structure::Attribute(attribute) => {
                let name = attribute.key.as_str();
                let message = format!("`{name}` is outside of any block");
                template.unsupported(file.place(attribute), name, message, "move it into its block");
            }
        }
    }
}

impl File<'_> {
    fn place(&self, node: &impl hcl_edit::Span) -> Place {
        let span = node.span().unwrap_or_default();
        // The first line of a block is enough to underline.
        let line = self.text.get(span.clone()).and_then(|text| text.find('\n'));
        let end = line.map_or(span.end, |length| span.start + length);
        Place { file: self.index, start: span.start, end }
    }

    fn top_level(&self, block: &HclBlock, template: &mut Template) {
        let labels: Vec<&str> = block.labels.iter().map(hcl_edit::structure::BlockLabel::as_str).collect();
        match (block.ident.as_str(), labels.as_slice()) {
            ("packer", []) => {}
            ("variable", [name]) => {
                let variable = self.variable(name, block, template);
                template.variables.push(variable);
            }
            ("locals", []) => {
                for local in block.body.attributes() {
                    let value = self.value(&local.value);
                    let mut variable = new_variable(local.key.as_str(), &value, self.place(local), template);
                    variable.is_local = true;
                    template.variables.push(variable);
                }
            }
            ("local", [name]) => {
                let value =
                    block.body.get_attribute("expression").map_or(Value::Null, |found| self.value(&found.value));
                let mut local = new_variable(name, &value, self.place(block), template);
                local.is_local = true;
                local.sensitive = self.flag(&block.body, "sensitive");
                template.variables.push(local);
            }
            ("source", [kind, name]) => template.builders.push(self.source(kind, name, block)),
            ("build", []) => self.build(block, template),
            (other, _) => {
                let written = std::iter::once(other).chain(labels).collect::<Vec<_>>().join(" ");
                let message = format!("`{written}` is not supported");
                template.unsupported(
                    self.place(block),
                    other,
                    message,
                    "use a variable for the value that it looks up",
                );
            }
        }
    }

    fn flag(&self, body: &Body, name: &str) -> bool {
        body.get_attribute(name).and_then(|found| self.value(&found.value).flag()).unwrap_or_default()
    }

    fn variable(&self, name: &str, block: &HclBlock, template: &mut Template) -> Variable {
        let value = block.body.get_attribute("default").map_or(Value::Null, |found| self.value(&found.value));
        let mut variable = new_variable(name, &value, self.place(block), template);
        variable.sensitive = self.flag(&block.body, "sensitive");
        let description = block.body.get_attribute("description").map(|found| self.value(&found.value));
        variable.description = description.and_then(|value| value.text()?.plain().map(str::to_owned));
        if let Some(validation) = block.body.get_blocks("validation").next() {
            let message = format!("the validation of `{name}` is not checked");
            template.report(FindingKind::Ignored, self.place(validation), name, message, "");
        }
        variable
    }

    fn source(&self, kind: &str, name: &str, block: &HclBlock) -> Block {
        let inside = File { has_go_templates: true, ..*self };
        let options = inside.settings(&block.body);
        Block { kind: kind.to_owned(), name: name.to_owned(), place: self.place(block), options }
    }

    fn build(&self, block: &HclBlock, template: &mut Template) {
        let mut build = Build { place: self.place(block), ..Build::default() };
        for structure in &block.body {
            match structure {
                Structure::Attribute(attribute) if attribute.key.as_str() == "sources" => {
                    let value = self.value(&attribute.value);
                    for name in value.items() {
                        let text = name.text();
                        match text.as_ref().and_then(Text::plain).and_then(|name| self.reference(name, attribute)) {
                            Some(source) => build.sources.push(source),
                            None => {
                                let written = name.unsupported().unwrap_or("not the name of a source");
                                let message = format!("a source of the build cannot be evaluated: {written}");
                                let help = "write its name as `source.digitalocean.NAME`";
                                template.unsupported(self.place(attribute), "sources", message, help);
                            }
                        }
                    }
                }
                Structure::Attribute(_) => {}
                Structure::Block(block) => self.build_block(block, &mut build, template),
            }
        }
        template.builds.push(build);
    }

    /// Reads `source.digitalocean.web` or `digitalocean.web`.
    fn reference(&self, name: &str, node: &impl hcl_edit::Span) -> Option<Block> {
        let (kind, name) = name.strip_prefix("source.").unwrap_or(name).split_once('.')?;
        Some(Block { kind: kind.to_owned(), name: name.to_owned(), place: self.place(node), options: Vec::new() })
    }

    fn build_block(&self, block: &HclBlock, build: &mut Build, template: &mut Template) {
        let label = block.labels.first().map_or("", hcl_edit::structure::BlockLabel::as_str);
        let new = |options| Block { kind: label.to_owned(), name: String::new(), place: self.place(block), options };
        match block.ident.as_str() {
            "provisioner" => build.provisioners.push(new(self.settings(&block.body))),
            "post-processor" => build.post_processors.push(new(Vec::new())),
            "post-processors" => {
                for inner in block.body.blocks() {
                    self.build_block(inner, build, template);
                }
            }
            // It only runs if the build fails.
            "error-cleanup-provisioner" => {}
            // `source "digitalocean.x" { … }` adds to a source.
            "source" => {
                let inside = File { has_go_templates: true, ..*self };
                if let Some(source) = self.reference(label, block) {
                    build.sources.push(Block { options: inside.settings(&block.body), ..source });
                }
            }
            other => {
                let message = format!("`{other}` in a build is not supported");
                template.unsupported(self.place(block), other, message, "do the same in a script");
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
                entries.map_or_else(|| self.unsupported(expression), Value::Map)
            }
            Expression::Parenthesis(inner) => self.value(inner.inner()),
            Expression::FuncCall(call) if call.name.name.as_str() == "concat" => {
                let lists = call.args.iter().map(|list| match self.value(list) {
                    Value::List(items) => Some(items),
                    _ => None,
                });
                match lists.collect::<Option<Vec<_>>>() {
                    Some(lists) => Value::List(lists.into_iter().flatten().collect()),
                    None => self.unsupported(expression),
                }
            }
            other => match self.text(other) {
                Some(text) => Value::Text(text),
                None => self.unsupported(expression),
            },
        }
    }

    fn unsupported(&self, expression: &Expression) -> Value {
        let written = expression.span().and_then(|range| self.text.get(range)).unwrap_or("an expression");
        let mut short: String = written.split_whitespace().collect::<Vec<_>>().join(" ");
        if short.chars().count() > 60 {
            short = short.chars().take(59).chain(['…']).collect();
        }
        Value::Unsupported(short)
    }

    /// Evaluates an expression that is a scalar.
    fn text(&self, expression: &Expression) -> Option<Text> {
        match expression {
            Expression::String(text) => Some(self.literal(text.value())),
            Expression::StringTemplate(template) => self.template(template),
            Expression::HeredocTemplate(heredoc) => self.template(&heredoc.template),
            Expression::Traversal(traversal) => reference(traversal).map(Text::from),
            Expression::FuncCall(call) => self.call(call),
            Expression::Parenthesis(inner) => self.text(inner.inner()),
            Expression::Bool(flag) => Some(Text::literal(flag.value().to_string())),
            Expression::Number(number) => Some(Text::literal(number.value().to_string())),
            _ => None,
        }
    }

    fn literal(&self, text: &str) -> Text {
        // Provisioners evaluate these, too; other braces there are for programs such as docker.
        let is_time = ["{{timestamp", "{{ timestamp", "{{isotime", "{{ isotime"].iter().any(|mark| text.contains(mark));
        if self.has_go_templates || is_time { Text::from_go_template(text) } else { Text::literal(text) }
    }

    fn template(&self, template: &HclTemplate) -> Option<Text> {
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
            ("timestamp" | "legacy_isotime" | "isotime", _) => Some(Text::from(TextPart::Timestamp)),
            // These only change the format of a timestamp, and any format will do.
            ("formatdate" | "regex_replace" | "replace" | "substr" | "clean_resource_name", arguments)
                if arguments.iter().filter_map(|argument| self.text(argument)).any(|text| text.has_timestamp()) =>
            {
                Some(Text::from(TextPart::Timestamp))
            }
            ("env", [name]) => Some(Text::from(TextPart::Environment(self.text(name)?.plain()?.to_owned()))),
            ("abspath", [path]) => {
                let path = self.text(path)?;
                match path.parts().first()? {
                    TextPart::Directory(_) => Some(path),
                    TextPart::Literal(absolute) if absolute.starts_with('/') => Some(path),
                    _ => {
                        let mut text = Text::from(TextPart::Directory(Folder::Current));
                        text.push(TextPart::Literal("/".to_owned()));
                        text.append(path);
                        Some(text)
                    }
                }
            }
            ("join", [separator, list]) => {
                let separator = self.text(separator)?;
                Some(Text::join(&self.value(list).texts()?, separator.plain()?))
            }
            ("format", [form, rest @ ..]) => self.format(form, rest),
            _ => None,
        }
    }

    /// Evaluates `format("%s-%s", a, b)`, with no other verb than `%s`.
    fn format(&self, form: &Expression, rest: &[&Expression]) -> Option<Text> {
        let form = self.text(form)?;
        let parts: Vec<&str> = form.plain()?.split("%s").collect();
        if parts.len() != rest.len() + 1 || parts.iter().any(|part| part.contains('%')) {
            return None;
        }
        let mut out = Text::literal(parts[0]);
        for (argument, after) in rest.iter().zip(&parts[1..]) {
            out.append(self.text(argument)?);
            out.push(TextPart::Literal((*after).to_owned()));
        }
        Some(out)
    }
}

/// Reads `var.x`, `local.x` and `path.root`.
fn reference(traversal: &Traversal) -> Option<TextPart> {
    let Expression::Variable(root) = &traversal.expr else { return None };
    let [operator] = traversal.operators.as_slice() else { return None };
    let TraversalOperator::GetAttr(name) = operator.value() else { return None };
    match (root.as_str(), name.as_str()) {
        ("var" | "local", name) => Some(TextPart::Variable(name.to_owned())),
        ("path", "root") => Some(TextPart::Directory(Folder::Template)),
        ("path", "cwd") => Some(TextPart::Directory(Folder::Current)),
        _ => None,
    }
}

fn new_variable(name: &str, value: &Value, place: Place, template: &mut Template) -> Variable {
    let items = if matches!(value, Value::List(_)) { value.texts() } else { None };
    // A shell reads a list of plain texts as words.
    let text = items.as_deref().map(|items| Text::join(items, " ")).or_else(|| value.text());
    if text.is_none() && !matches!(value, Value::Null) {
        let written = value.unsupported().unwrap_or("a list or a map");
        let message = format!("the value of `{name}` cannot be evaluated: {written}");
        template.unsupported(place, name, message, "set the variable, or write its value into the template");
    }
    Variable { name: name.to_owned(), place, value: text, items, is_local: false, sensitive: false, description: None }
}
