//! Converts Packer templates to mkimg projects: the image template, files and scripts.
//!
//! [`packer_import`] reads the template. `builder` converts the options of the DigitalOcean
//! builder, `provisioners` converts files, scripts and environment variables, and `template` writes
//! the image template. Every part that cannot be converted is reported.
//!
//! To convert another builder option, add a line to the table in `builder`; for another
//! provisioner, a function and a line in `Provisioned::add`. This module reads no files; it asks
//! for the kind of a path through [`Lookup`].

mod builder;
mod provisioners;
mod template;

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Rule};
use lint_rules as rules;
use packer_import::{FindingKind, Place, Text, TextPart};

pub use provisioners::{FileCopy, Script, ScriptRole, ScriptText, adapt_script};

/// What is at a path that a Packer template names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathKind {
    File,
    Directory,
    Missing,
    /// The template may not name it.
    Outside,
    /// What prevents that the file is copied: `is a named pipe, not a regular file`.
    Unusable(String),
}

/// Returns what is at a path relative to the template's directory.
pub type Lookup<'a> = &'a dyn Fn(&str) -> PathKind;

/// A converted template.
#[derive(Debug)]
pub struct Imported {
    /// The image's name: the template's file is `templates/<name>.yaml`.
    pub name: String,
    /// The text of the image template.
    pub template: String,
    /// The contents of the project's `files/`.
    pub files: Vec<FileCopy>,
    /// In the order in which they run; cleanup and check come last.
    pub scripts: Vec<Script>,
}

/// Converts the files of one Packer template.
///
/// Returns the findings of each file, and `None` if a file is not a Packer template.
pub fn import(sources: &[Source], name: &str, lookup: Lookup<'_>) -> (Option<Imported>, Vec<Vec<Diagnostic>>) {
    let mut notes = Notes { lists: vec![Vec::new(); sources.len()] };
    let texts: Vec<&str> = sources.iter().map(Source::text).collect();
    let mut packer = match packer_import::read(&texts) {
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
    let inlined = template::inline_lists(&mut packer);
    template::inline_timestamps(&mut packer);
    let builder = builder::convert(&packer, &mut notes);
    let provisioned = provisioners::convert(&packer, lookup, &mut notes);
    for block in &packer.post_processors {
        notes.not_converted(
            block.place,
            "post-processors",
            format!("the post-processor `{}` was left out: a bake ends with the snapshot", block.kind),
            "run it after `mkimg bake`; `--report FILE.json` describes the result",
        );
    }
    let template = template::write(&packer, &builder, &provisioned, &inlined, &mut notes);
    let imported = Imported { name: name.to_owned(), template, files: provisioned.files, scripts: provisioned.scripts };
    (Some(imported), notes.into_lists())
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
        TextPart::Directory => ".".to_owned(),
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
