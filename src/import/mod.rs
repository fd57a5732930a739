//! Converts Packer templates to mkimg projects: the image template, files and scripts.
//!
//! [`packer_import`] reads the template. `builder` chooses the DigitalOcean builder and converts its options,
//! `provisioners` converts what is done to it (`files`, `scripts`; `shell` knows the shell's quotes), `variables`
//! converts variables, and `template` writes the image template. Every part that cannot be converted is reported.
//!
//! To convert another builder option, add a line to the table in `builder`; for another
//! provisioner, a function and a line in `Provisioned::add`. This module reads files only through [`PackerFiles`].

mod builder;
mod files;
mod provisioners;
mod scripts;
mod shell;
mod template;
mod variables;

use std::collections::BTreeMap;

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Rule};
use lint_rules as rules;
use packer_import::{FindingKind, Folder, Place, Text, TextPart};

use template::TemplateParts;
use variables::Values;

/// A path that a Packer template names, relative to a directory, or absolute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackerPath {
    pub folder: Folder,
    pub path: String,
}

/// What is at a path that a Packer template names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathKind {
    File {
        mode: u32,
        bytes: u64,
    },
    Directory,
    Missing,
    /// The template may not name it.
    Outside,
    /// What prevents that the file is copied: `is a named pipe, not a regular file`.
    Unusable(String),
}

/// What was found for a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub kind: PathKind,
    /// Whether it is beside the template, but not in the current directory, where Packer looks for it.
    pub is_beside_template: bool,
}

/// The files that a Packer template can name.
pub trait PackerFiles {
    fn find(&self, path: &PackerPath) -> Found;
    /// Everything below a directory, with its path in it: files, empty directories, and what cannot be copied.
    fn list(&self, path: &PackerPath) -> Vec<(String, PathKind)>;
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with it: `cannot be read: …`.
    fn read(&self, path: &PackerPath) -> Result<Vec<u8>, String>;
}

/// A file of the project's `files/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectFile {
    pub content: FileContent,
    /// Its mode on the machine.
    pub mode: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    Copy(PackerPath),
    /// Text from the Packer template.
    Text(String),
}

/// A script of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its path in the project: `scripts/01-users.sh`.
    pub to: String,
    pub content: Vec<u8>,
    pub role: ScriptRole,
    /// How it differs from the script that Packer runs.
    pub changes: Vec<String>,
}

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptRole {
    Build,
    Cleanup,
    Check,
}

/// A converted template.
#[derive(Debug)]
pub struct Imported {
    /// The image's name: the template's file is `templates/<name>.yaml`.
    pub name: String,
    /// The contents of the project's `files/`, by their path on the machine.
    pub files: BTreeMap<String, ProjectFile>,
    /// In the order in which they run; cleanup and check come last.
    pub scripts: Vec<Script>,
    parts: TemplateParts,
}

/// What the provisioners of a build share.
struct BuildContext<'a> {
    files: &'a dyn PackerFiles,
    values: Values,
    /// The home directory of the user who logs in.
    home: String,
    build_name: String,
    builder_type: String,
}

/// Converts the files of one Packer template. `values` are files with values for its variables.
///
/// Returns the findings of each file, then those of each file of values, and no project if a file is not a Packer
/// template or the project would be too large.
pub fn import(
    sources: &[Source],
    values: &[Source],
    name: &str,
    files: &dyn PackerFiles,
) -> (Option<Imported>, Vec<Vec<Diagnostic>>) {
    let mut notes = Notes { lists: vec![Vec::new(); sources.len() + values.len()] };
    let mut packer = match packer_import::read_with_values(&texts(sources), &texts(values)) {
        Ok(packer) => packer,
        Err(findings) => {
            for finding in &findings {
                notes.add_finding(finding);
            }
            return (None, notes.into_lists());
        }
    };
    for finding in &packer.findings {
        notes.add_finding(finding);
    }
    variables::empty_undeclared(&mut packer, &mut notes);
    let inlined = variables::inline_lists(&mut packer);
    variables::inline_timestamps(&mut packer);
    let chosen = builder::choose(&packer, &mut notes);
    let build = chosen.context(&packer, files);
    let builder = builder::convert(&chosen, &build.values, &mut notes);
    let provisioned = provisioners::convert(&chosen.provisioners, &build, &mut notes);
    for block in chosen.post_processors {
        if block.kind == "manifest" {
            let message = "`manifest` is not needed: `mkimg bake --report FILE.json` describes the result";
            notes.not_needed(block.place, "post-processors", message);
            continue;
        }
        notes.not_converted(
            block.place,
            "post-processors",
            format!("the post-processor `{}` was left out: a bake ends with the snapshot", block.kind),
            "run it after `mkimg bake`; `--report FILE.json` describes the result",
        );
    }
    if provisioned.is_too_large {
        return (None, notes.into_lists());
    }
    let used = builder.used.iter().chain(provisioned.environment.values());
    let variables = variables::convert(&packer, used, &inlined, &mut notes);
    let parts = TemplateParts::new(variables, &builder, &provisioned);
    let imported = Imported { name: name.to_owned(), files: provisioned.files, scripts: provisioned.scripts, parts };
    (Some(imported), notes.into_lists())
}

fn texts(sources: &[Source]) -> Vec<&str> {
    sources.iter().map(Source::text).collect()
}

/// The findings so far, one list for each source.
#[derive(Debug)]
struct Notes {
    lists: Vec<Vec<Diagnostic>>,
}

impl Notes {
    /// Reports a part without which the image would differ.
    fn not_converted(&mut self, place: Place, path: &str, message: impl Into<String>, help: &str) {
        self.add(&rules::IMPORT_NOT_CONVERTED, place, path, message.into(), help);
    }

    /// Reports that nothing is written.
    fn too_large(&mut self, place: Place, path: &str, message: impl Into<String>, help: &str) {
        self.add(&rules::IMPORT_UNREADABLE, place, path, message.into(), help);
    }

    /// Reports that Packer would look for a path elsewhere.
    fn beside_template(&mut self, found: &Found, what: &str, path: &str, place: Place) {
        if found.is_beside_template {
            let message = format!(
                "the {what} `{path}` is beside the template, not in the current directory, where Packer looks for it"
            );
            let help = "if you run Packer elsewhere, name that directory: --base DIR";
            self.add(&rules::IMPORT_ADAPTED, place, what, message, help);
        }
    }

    /// Reports an option that mkimg does not need.
    fn not_needed(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.add(&rules::IMPORT_NOT_NEEDED, place, path, message.into(), "");
    }

    /// Reports a part that has another form now.
    fn adapted(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.add(&rules::IMPORT_ADAPTED, place, path, message.into(), "");
    }

    fn add_finding(&mut self, finding: &packer_import::Finding) {
        let rule = match finding.kind {
            FindingKind::Unreadable => &rules::IMPORT_UNREADABLE,
            FindingKind::Unsupported => &rules::IMPORT_NOT_CONVERTED,
            FindingKind::Ignored => &rules::IMPORT_ADAPTED,
        };
        self.add(rule, finding.place, &finding.subject, finding.message.clone(), &finding.help);
    }

    fn add(&mut self, rule: &'static Rule, place: Place, path: &str, message: String, help: &str) {
        if let Some(list) = self.lists.get_mut(place.file) {
            let help = Some(help.to_owned()).filter(|help| !help.is_empty());
            list.push(Diagnostic::new(rule, path, Span::new(place.start, place.end), message).with_help(help));
        }
    }

    fn into_lists(mut self) -> Vec<Vec<Diagnostic>> {
        for list in &mut self.lists {
            list.sort_by_key(|found| found.span);
        }
        self.lists
    }
}

/// Writes a text as a value of the image template.
fn expression(text: &Text) -> String {
    let part = |part: &TextPart| match part {
        TextPart::Literal(text) | TextPart::Unsupported(text) => escape(text),
        TextPart::Variable(name) | TextPart::Environment(name) => format!("{{{{ {} }}}}", variable_name(name)),
        TextPart::Timestamp => "{{ timestamp }}".to_owned(),
        TextPart::Directory(_) => ".".to_owned(),
    };
    text.parts().iter().map(part).collect()
}

/// Writes a literal that minijinja does not change.
fn escape(text: &str) -> String {
    let has_braces = ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark));
    match has_braces {
        false => text.to_owned(),
        true if !text.contains("endraw") => format!("{{% raw %}}{text}{{% endraw %}}"),
        true => text.replace('{', "{{ '{' }}"),
    }
}

/// Converts a name to one that mkimg accepts for variables.
fn variable_name(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        out.insert(0, '_');
    }
    // `timestamp` is reserved.
    if out == "timestamp" { "build_timestamp".to_owned() } else { out }
}

#[cfg(test)]
mod tests;
