//! The project that a Packer template becomes: its image template, and what else must be written.

use std::collections::{BTreeMap, BTreeSet};

use super::droplet::{self, Builder};
use super::fault::Notes;
use super::packer::{Packer, Value, Variable};
use super::provision::{self, Provision, Role};
use super::text::{Piece, Text, variable_name};
use super::{Disk, Imported};
use yaml11::emit::{self, Map};

pub(super) fn project(packer: &Packer, name: &str, disk: Disk<'_>, notes: &mut Notes) -> Imported {
    let builder = droplet::builder(packer, notes);
    let provision = provision::provision(packer, disk, notes);
    for block in &packer.post_processors {
        let message = format!("the post-processor `{}` was left out: a bake ends with the snapshot", block.kind);
        notes.not_carried(
            block.place,
            "post-processors",
            message,
            "run it after `mkimg bake`; `--report FILE.json` says what was made",
        );
    }
    let template = template(packer, &builder, &provision, notes);
    Imported { name: name.to_owned(), template, files: provision.files, scripts: provision.scripts }
}

fn template(packer: &Packer, builder: &Builder, provision: &Provision, notes: &mut Notes) -> String {
    let mut root = Map::new();
    let variables = variables(packer, builder, provision, notes);
    if !variables.0.is_empty() {
        root.push("variables", variables);
    }
    if !builder.droplet.0.is_empty() {
        root.push("droplet", builder.droplet.clone());
    }
    let trees: BTreeSet<&String> = provision.trees.iter().collect();
    // The root holds all the others.
    let trees: Vec<&str> =
        if trees.contains(&"/".to_owned()) { vec!["/"] } else { trees.iter().map(|tree| tree.as_str()).collect() };
    if !trees.is_empty() {
        let entry = |to: &&str| Map::new().with("source", format!("files{}", to.trim_end_matches('/'))).with("to", *to);
        root.push("files", emit::Value::list(trees.iter().map(entry)));
    }
    if !provision.environment.is_empty() {
        let mut map = Map::new();
        for (name, value) in &provision.environment {
            map.push(name.clone(), value.expression());
        }
        root.push_commented("For every script.", "environment", map);
    }
    let of =
        |role: Role| provision.scripts.iter().filter(move |script| script.role == role).map(|script| script.to.clone());
    let steps: Vec<String> = of(Role::Step).collect();
    if !steps.is_empty() {
        if steps.is_sorted() {
            root.push_commented(
                "In name order; cleanup and check are not among them.",
                "scripts",
                vec!["scripts/*.sh"],
            );
        } else {
            root.push_commented("In this order.", "scripts", steps.clone());
        }
    }
    for (key, role) in [("cleanup", Role::Cleanup), ("check", Role::Check)] {
        if let Some(path) = of(role).next() {
            root.push(key, path);
        }
    }
    if !builder.snapshot.0.is_empty() {
        root.push("snapshot", builder.snapshot.clone());
    }
    spaced(&emit::document(&root.into()))
}

/// The keys that hold several lines stand apart, for people's eyes.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut after_comment = true;
    for line in text.lines() {
        // Only keys and their comments begin at the first column; texts of several lines stand further in.
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

/// The variables that something carried over names, directly or through each other.
fn variables(packer: &Packer, builder: &Builder, provision: &Provision, notes: &mut Notes) -> Map {
    let texts = builder.used.iter().chain(provision.environment.values()).chain(&provision.used);
    let mut by_name: BTreeMap<&str, &Variable> = BTreeMap::new();
    for variable in &packer.variables {
        if by_name.insert(&variable.name, variable).is_some() {
            let message = format!("two variables are named `{}` in mkimg: the last one was taken", variable.name);
            notes.not_carried(variable.place, &variable.name, message, "give one of them another name");
        }
    }
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut environment: BTreeSet<String> = BTreeSet::new();
    let mut waiting: Vec<&Text> = texts.collect();
    while let Some(text) = waiting.pop() {
        for piece in text.pieces() {
            match piece {
                Piece::Environment(name) => {
                    environment.insert(variable_name(name));
                }
                Piece::Variable(name) if used.insert(name.clone()) => {
                    waiting.extend(by_name.get(name.as_str()).and_then(|variable| variable.value.as_ref()));
                }
                _ => {}
            }
        }
    }
    let mut map = Map::new();
    for variable in &packer.variables {
        let name = variable.name.as_str();
        let is_used = used.remove(name);
        if variable.inlined {
            notes.adapted(variable.place, name, format!("`{name}` is a list: its items stand where it was named"));
        }
        if !is_used {
            if !variable.inlined {
                let message = format!("nothing that was carried over names the variable `{name}`");
                notes.without_use(variable.place, name, message);
            }
            continue;
        }
        if variable.items.is_some() {
            let message = format!("`{name}` is a list: it was made one text, with spaces between its items");
            notes.adapted(variable.place, name, message);
        }
        // A variable that is no more than one of the environment is one that must be given.
        let from_environment = variable.value.as_ref().and_then(|text| match text.pieces() {
            [Piece::Environment(name)] => Some(name.clone()),
            _ => None,
        });
        if let Some(environment_name) = &from_environment {
            environment.remove(&variable_name(environment_name));
            let message = format!(
                "`{name}` took its value from {environment_name} in the environment: give it with --var or --var-file"
            );
            notes.adapted(variable.place, name, message);
        }
        let unknown = variable.value.as_ref().and_then(Text::unknown);
        if let Some(written) = unknown {
            let message = format!("the value of `{name}` cannot be translated: {written}");
            notes.not_carried(
                variable.place,
                name,
                message,
                "the variable must now be given: `--var`, or a value in the template",
            );
        }
        let value = variable.value.as_ref().filter(|_| from_environment.is_none() && unknown.is_none());
        map.push(name, self::variable(variable, value));
    }
    // What is left was named and never declared.
    for name in used.into_iter().chain(environment) {
        map.push(name, emit::Value::Null);
    }
    map
}

fn variable(variable: &Variable, value: Option<&Text>) -> emit::Value {
    let value = value.map(Text::expression);
    if !variable.sensitive && variable.description.is_none() {
        return value.map_or(emit::Value::Null, emit::Value::Str);
    }
    let mut map = Map::new();
    // A secret's value has no place in a template that is committed.
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

impl Packer {
    /// Puts a list's items in the place of the variable that holds it, where an option is nothing but that variable.
    pub(super) fn inline_lists(&mut self) {
        let lists: BTreeMap<String, Vec<Text>> = self
            .variables
            .iter()
            .filter_map(|variable| Some((variable.name.clone(), variable.items.clone()?)))
            .collect();
        let mut inlined = BTreeSet::new();
        for block in self.builders.iter_mut().chain(&mut self.provisioners) {
            for setting in &mut block.options {
                let Value::Text(text) = &setting.value else { continue };
                let [Piece::Variable(name)] = text.pieces() else { continue };
                if let Some(items) = lists.get(name) {
                    inlined.insert(name.clone());
                    setting.value = Value::List(items.iter().cloned().map(Value::Text).collect());
                }
            }
        }
        for variable in &mut self.variables {
            variable.inlined = inlined.contains(&variable.name);
        }
    }

    /// Puts the moment itself in the place of variables that hold nothing else: mkimg has it under its own name.
    pub(super) fn settle(&mut self) {
        let moments: BTreeSet<String> = self
            .variables
            .iter()
            .filter(|variable| variable.value.as_ref().is_some_and(|text| text.pieces() == [Piece::Timestamp]))
            .map(|variable| variable.name.clone())
            .collect();
        if moments.is_empty() {
            return;
        }
        self.variables.retain(|variable| !moments.contains(&variable.name));
        for text in self.variables.iter_mut().filter_map(|variable| variable.value.as_mut()) {
            text.replace_moments(&moments);
        }
        for block in self.builders.iter_mut().chain(&mut self.provisioners) {
            for setting in &mut block.options {
                setting.value.replace_moments(&moments);
            }
        }
    }
}

impl Value {
    fn replace_moments(&mut self, moments: &BTreeSet<String>) {
        match self {
            Self::Text(text) => text.replace_moments(moments),
            Self::List(items) => items.iter_mut().for_each(|item| item.replace_moments(moments)),
            Self::Map(entries) => entries.iter_mut().for_each(|(_, value)| value.replace_moments(moments)),
            Self::Flag(_) | Self::Number(_) | Self::Null | Self::Unknown(_) => {}
        }
    }
}
