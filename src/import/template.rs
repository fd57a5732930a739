//! Writes the image template.

use std::collections::BTreeSet;

use yaml11::emit::{self, Map};

use super::builder::Builder;
use super::provisioners::{Provisioned, default_mode};
use super::{Imported, ScriptRole};

/// The parts of the image template that do not depend on what else is in the project.
#[derive(Debug, Default)]
pub(super) struct TemplateParts {
    head: Map,
    tail: Map,
    /// Directories of the machine with files in them, such as `/etc`.
    trees: BTreeSet<String>,
}

impl TemplateParts {
    pub(super) fn new(variables: Map, builder: &Builder, provisioned: &Provisioned) -> Self {
        let (mut head, mut tail) = (Map::new(), Map::new());
        if !variables.0.is_empty() {
            head.push("variables", variables);
        }
        if !builder.droplet.0.is_empty() {
            head.push("droplet", builder.droplet.clone());
        }
        let mut attributes = Vec::new();
        for (path, file) in &provisioned.files {
            if file.mode != default_mode(file.mode) {
                let mode = emit::Value::Quoted(format!("{:04o}", file.mode));
                attributes.push(Map::new().with("path", escape_glob(path)).with("mode", mode));
            }
        }
        if !attributes.is_empty() {
            tail.push("attributes", emit::Value::list(attributes));
        }
        if !provisioned.environment.is_empty() {
            let mut map = Map::new();
            for (name, value) in &provisioned.environment {
                map.push(name.clone(), super::expression(value));
            }
            tail.push_commented("For every script.", "environment", map);
        }
        let with_role = |role: ScriptRole| {
            provisioned.scripts.iter().filter(move |script| script.role == role).map(|script| script.to.clone())
        };
        let ordered: Vec<String> = with_role(ScriptRole::Build).map(|path| escape_glob(&path)).collect();
        if !ordered.is_empty() {
            tail.push_commented("In this order.", "scripts", ordered);
        }
        for (key, role) in [("cleanup", ScriptRole::Cleanup), ("check", ScriptRole::Check)] {
            if let Some(path) = with_role(role).next() {
                tail.push(key, path);
            }
        }
        if !builder.snapshot.0.is_empty() {
            tail.push("snapshot", builder.snapshot.clone());
        }
        let tree = |path: &String| {
            let (first, rest) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
            if rest.is_empty() { "/".to_owned() } else { format!("/{first}") }
        };
        let mut trees: BTreeSet<String> = provisioned.files.keys().map(tree).collect();
        // The root contains all others.
        if trees.contains("/") {
            trees = BTreeSet::from(["/".to_owned()]);
        }
        Self { head, tail, trees }
    }
}

impl Imported {
    /// Returns the text of the image template.
    ///
    /// `has_more` says whether a directory of the project has files that the Packer template does not name: then
    /// the image template names each file.
    #[must_use]
    pub fn template(&self, has_more: &dyn Fn(&str) -> bool) -> String {
        let entry = |to: &str| Map::new().with("source", format!("files{}", to.trim_end_matches('/'))).with("to", to);
        let mut entries = Vec::new();
        for tree in &self.parts.trees {
            if has_more(&format!("files{}", tree.trim_end_matches('/'))) {
                let inside = format!("{}/", tree.trim_end_matches('/'));
                entries.extend(self.files.keys().filter(|path| path.starts_with(&inside)).map(|path| entry(path)));
            } else {
                entries.push(entry(tree));
            }
        }
        let mut root = self.parts.head.clone();
        if !entries.is_empty() {
            root.push("files", emit::Value::list(entries));
        }
        root.0.extend(self.parts.tail.0.iter().cloned());
        with_blank_lines(&emit::document(&root.into()))
    }
}

/// Writes a path as a pattern that matches only this path.
fn escape_glob(path: &str) -> String {
    let escape = |c: char| if "*?[]{}\\".contains(c) { format!("[{c}]") } else { c.to_string() };
    path.chars().map(escape).collect()
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
