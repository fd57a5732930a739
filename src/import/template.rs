//! Writes the image template.

use std::collections::{BTreeMap, BTreeSet};

use packer_import::{Template, Text, TextPart, Value, Variable};
use yaml11::emit::{self, Map};

use super::builder::Builder;
use super::provisioners::{Provisioned, ScriptRole};
use super::{Notes, expression, variable_name};

/// Writes the image template; `inlined` are the variables whose items replaced them.
pub(super) fn write(
    packer: &Template,
    builder: &Builder,
    provision: &Provisioned,
    inlined: &BTreeSet<String>,
    notes: &mut Notes,
) -> String {
    let mut root = Map::new();
    let variables = variables(packer, builder, provision, inlined, notes);
    if !variables.0.is_empty() {
        root.push("variables", variables);
    }
    if !builder.droplet.0.is_empty() {
        root.push("droplet", builder.droplet.clone());
    }
    let trees: BTreeSet<&String> = provision.trees.iter().collect();
    // The root contains all others.
    let trees: Vec<&str> =
        if trees.contains(&"/".to_owned()) { vec!["/"] } else { trees.iter().map(|tree| tree.as_str()).collect() };
    if !trees.is_empty() {
        let entry = |to: &&str| Map::new().with("source", format!("files{}", to.trim_end_matches('/'))).with("to", *to);
        root.push("files", emit::Value::list(trees.iter().map(entry)));
    }
    if !provision.environment.is_empty() {
        let mut map = Map::new();
        for (name, value) in &provision.environment {
            map.push(name.clone(), expression(value));
        }
        root.push_commented("For every script.", "environment", map);
    }
    let with_role = |role: ScriptRole| {
        provision.scripts.iter().filter(move |script| script.role == role).map(|script| script.to.clone())
    };
    let ordered: Vec<String> = with_role(ScriptRole::Build).collect();
    if !ordered.is_empty() {
        if ordered.is_sorted() {
            root.push_commented("In name order, without cleanup and check.", "scripts", vec!["scripts/*.sh"]);
        } else {
            root.push_commented("In this order.", "scripts", ordered);
        }
    }
    for (key, role) in [("cleanup", ScriptRole::Cleanup), ("check", ScriptRole::Check)] {
        if let Some(path) = with_role(role).next() {
            root.push(key, path);
        }
    }
    if !builder.snapshot.0.is_empty() {
        root.push("snapshot", builder.snapshot.clone());
    }
    with_blank_lines(&emit::document(&root.into()))
}

/// Inserts a blank line before each key with several lines.
fn with_blank_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut after_comment = true;
    for line in text.lines() {
        // Only keys and their comments begin in the first column.
        let begins = line.starts_with('#') || line.ends_with(':') && !line.starts_with([' ', '-']);
        if begins && !after_comment {
            out.push('\n');
        }
        after_comment = line.starts_with('#');
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Converts the variables that a converted part uses, directly or through other variables.
fn variables(
    packer: &Template,
    builder: &Builder,
    provision: &Provisioned,
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
    let mut waiting: Vec<&Text> = builder.used.iter().chain(provision.environment.values()).collect();
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

fn settings(packer: &mut Template) -> impl Iterator<Item = &mut packer_import::Setting> {
    packer.builders.iter_mut().chain(&mut packer.provisioners).flat_map(|block| &mut block.options)
}
