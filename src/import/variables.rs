//! Variables: their values, and those of the new template.

use std::collections::{BTreeMap, BTreeSet};

use packer_import::{Place, Template, Text, TextPart, Value, Variable};
use yaml11::emit::{self, Map};

use super::{Notes, expression, variable_name};

/// The longest text that a value may become.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// The values of a template's variables.
#[derive(Debug, Default)]
pub(super) struct Values {
    values: BTreeMap<String, Text>,
    sensitive: BTreeSet<String>,
}

impl Values {
    pub(super) fn new(packer: &Template) -> Self {
        let variables = packer.variables.iter();
        let value = |variable: &Variable| Some((variable.name.clone(), variable.value.clone()?));
        Self {
            values: variables.clone().filter_map(value).collect(),
            sensitive: variables.filter(|variable| variable.sensitive).map(|variable| variable.name.clone()).collect(),
        }
    }

    /// Replaces variables by their values. What has no known value stays as it is.
    pub(super) fn expand(&self, text: &Text) -> Text {
        let mut out = Text::default();
        let mut bytes = 0;
        self.expand_into(text, &mut out, &mut bytes, 0);
        out
    }

    fn expand_into(&self, text: &Text, out: &mut Text, bytes: &mut usize, depth: usize) {
        for part in text.parts() {
            match part {
                TextPart::Variable(name)
                    if depth < 32 && *bytes < MAX_VALUE_BYTES && self.values.contains_key(name) =>
                {
                    *bytes += 1;
                    self.expand_into(&self.values[name], out, bytes, depth + 1);
                }
                part => {
                    if let TextPart::Literal(text) = part {
                        *bytes += text.len();
                    }
                    out.push(part.clone());
                }
            }
        }
    }

    /// The value of a variable, if it may be written into a file: it is known and not secret.
    pub(super) fn plain(&self, name: &str) -> Option<String> {
        self.public(&Text::from(TextPart::Variable(name.to_owned())))
    }

    /// A text with the values of its variables, if all are known and none is secret.
    pub(super) fn public(&self, text: &Text) -> Option<String> {
        let expanded = self.expand(text);
        let plain = expanded.plain()?;
        (!self.is_secret(text, 0)).then(|| plain.to_owned())
    }

    fn is_secret(&self, text: &Text, depth: usize) -> bool {
        text.parts().iter().any(|part| match part {
            TextPart::Variable(name) => {
                self.sensitive.contains(name)
                    || depth >= 32
                    || self.values.get(name).is_some_and(|value| self.is_secret(value, depth + 1))
            }
            _ => false,
        })
    }
}

/// Converts the variables that the texts use, directly or through other variables.
pub(super) fn convert<'a>(
    packer: &'a Template,
    texts: impl Iterator<Item = &'a Text>,
    inlined: &BTreeSet<String>,
    notes: &mut Notes,
) -> Map {
    let mut by_name: BTreeMap<String, &Variable> = BTreeMap::new();
    for variable in &packer.variables {
        let name = variable_name(&variable.name);
        if by_name.insert(name.clone(), variable).is_some() {
            let message = format!("two variables would be named `{name}`: the last one was used");
            notes.not_converted(variable.place, &name, message, "rename one of them");
        }
    }
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut environment: BTreeSet<String> = BTreeSet::new();
    let mut waiting: Vec<&Text> = texts.collect();
    while let Some(text) = waiting.pop() {
        for part in text.parts() {
            match part {
                TextPart::Environment(name) => {
                    environment.insert(variable_name(name));
                }
                TextPart::Variable(name) if used.insert(variable_name(name)) => {
                    waiting.extend(by_name.get(&variable_name(name)).and_then(|variable| variable.value.as_ref()));
                }
                _ => {}
            }
        }
    }
    let mut map = Map::new();
    for variable in &packer.variables {
        let (name, place) = (variable_name(&variable.name), variable.place);
        // It was reported: a later variable has the same name.
        if !by_name.get(&name).is_some_and(|last| std::ptr::eq(*last, variable)) {
            continue;
        }
        let is_used = used.remove(&name);
        let is_inlined = inlined.contains(&name);
        if is_inlined {
            notes.adapted(place, &name, format!("`{name}` is a list: its items replace it where it is used"));
        }
        if !is_used {
            if !is_inlined {
                notes.not_needed(place, &name, format!("no converted part uses the variable `{name}`"));
            }
            continue;
        }
        if variable.items.is_some() {
            notes.adapted(place, &name, format!("`{name}` is a list: it became a text, with spaces between the items"));
        }
        // A variable that is only an alias of an environment variable must be given instead.
        let alias = variable.value.as_ref().and_then(|text| match text.parts() {
            [TextPart::Environment(name)] => Some(name),
            _ => None,
        });
        if let Some(alias) = alias {
            environment.remove(&variable_name(alias));
            let message = format!("`{name}` was {alias} of the environment: give it with --var or --var-file");
            notes.adapted(place, &name, message);
        }
        let unsupported = variable.value.as_ref().and_then(Text::unsupported);
        if let Some(written) = unsupported {
            let message = format!("the value of `{name}` cannot be converted: {written}");
            let help = "give the variable with `--var`, or write its value into the template";
            notes.not_converted(place, &name, message, help);
        }
        let value = variable.value.as_ref().filter(|_| alias.is_none() && unsupported.is_none());
        map.push(name, self::variable(variable, value));
    }
    // The remaining names were used but not declared.
    for name in &used {
        let message = format!("the variable `{name}` is not declared: it is a required one now");
        notes.adapted(Place::default(), name, message);
    }
    for name in used.into_iter().chain(environment) {
        map.push(name, emit::Value::Null);
    }
    map
}

fn variable(variable: &Variable, value: Option<&Text>) -> emit::Value {
    let value = value.map(expression);
    if !variable.sensitive && variable.description.is_none() {
        return value.map_or(emit::Value::Null, emit::Value::Str);
    }
    let mut map = Map::new();
    // The value of a secret does not belong in a template that is committed.
    if let Some(value) = value.filter(|value| !variable.sensitive || value.is_empty()) {
        map.push("value", value);
    }
    if variable.sensitive {
        map.push("sensitive", true);
    }
    if let Some(description) = &variable.description {
        map.push("description", description.clone());
    }
    map.into()
}

/// Replaces options that are only a list variable by the items of the list. Returns the variables.
pub(super) fn inline_lists(packer: &mut Template) -> BTreeSet<String> {
    let lists: BTreeMap<String, Vec<Text>> = packer
        .variables
        .iter()
        .filter_map(|variable| Some((variable_name(&variable.name), variable.items.clone()?)))
        .collect();
    let mut inlined = BTreeSet::new();
    for setting in settings(packer) {
        let Value::Text(text) = &setting.value else { continue };
        let [TextPart::Variable(name)] = text.parts() else { continue };
        let name = variable_name(name);
        if let Some(items) = lists.get(&name) {
            setting.value = Value::List(items.iter().cloned().map(Value::Text).collect());
            inlined.insert(name);
        }
    }
    inlined
}

/// Replaces variables that are only a timestamp by mkimg's own timestamp.
pub(super) fn inline_timestamps(packer: &mut Template) {
    let is_timestamp =
        |variable: &Variable| variable.value.as_ref().is_some_and(|text| text.parts() == [TextPart::Timestamp]);
    let timestamps: BTreeSet<String> = packer
        .variables
        .iter()
        .filter(|variable| is_timestamp(variable))
        .map(|variable| variable.name.clone())
        .collect();
    packer.variables.retain(|variable| !is_timestamp(variable));
    let mut replace = |text: &mut Text| {
        for part in text.parts_mut() {
            if matches!(part, TextPart::Variable(name) if timestamps.contains(name)) {
                *part = TextPart::Timestamp;
            }
        }
    };
    packer.variables.iter_mut().filter_map(|variable| variable.value.as_mut()).for_each(&mut replace);
    settings(packer).for_each(|setting| setting.value.for_each_text(&mut replace));
}

/// Removes JSON variables that are not declared: Packer takes them for empty ones.
pub(super) fn empty_undeclared(packer: &mut Template, notes: &mut Notes) {
    if !packer.is_json {
        return;
    }
    let declared: BTreeSet<String> = packer.variables.iter().map(|variable| variable.name.clone()).collect();
    let mut reported = BTreeSet::new();
    for setting in settings(packer) {
        let (place, option) = (setting.place, setting.name.clone());
        setting.value.for_each_text(&mut |text| {
            for part in text.parts_mut() {
                let TextPart::Variable(name) = part else { continue };
                if !declared.contains(name) {
                    let message = format!("the variable `{name}` is not declared: it is empty, as with Packer");
                    if reported.insert(name.clone()) {
                        notes.adapted(place, &option, message);
                    }
                    *part = TextPart::Literal(String::new());
                }
            }
            *text = Text::join(&[std::mem::take(text)], "");
        });
    }
}

fn settings(packer: &mut Template) -> impl Iterator<Item = &mut packer_import::Setting> {
    let Template { builders, builds, .. } = packer;
    let blocks = builds.iter_mut().flat_map(|build| build.sources.iter_mut().chain(&mut build.provisioners));
    builders.iter_mut().chain(blocks).flat_map(|block| &mut block.options)
}
