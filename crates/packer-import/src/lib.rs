//! Packer templates become mkimg projects: variables, the build droplet, files, scripts, the snapshot's name.
//!
//! Two readers (`json`, `hcl`) make one tree of it (`packer`), in which every text is a row of pieces (`text`); `droplet` and
//! `provision` say what each option becomes, and `project` writes the image template. Nothing is left out in silence: what has
//! no place in mkimg is a finding at its line.
//!
//! To carry over another builder option, add a line to the table in `droplet`; another provisioner, a function and a line in
//! `provision::step`. This room reads no files: what a template names on disk is asked for through [`Disk`].

mod droplet;
mod fault;
mod go;
mod hcl;
mod json;
mod packer;
mod project;
mod provision;
mod script;
mod text;

use diagnostics::Diagnostic;
use diagnostics::source::Source;

use fault::Notes;
pub use provision::{FileCopy, Role, Script, ScriptText};
pub use script::adapted;

/// What a path that a template names is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisk {
    File,
    Directory,
    Missing,
}

/// Answers what stands at a path, relative to the template's directory.
pub type Disk<'a> = &'a dyn Fn(&str) -> OnDisk;

/// What a Packer template becomes.
#[derive(Debug)]
pub struct Imported {
    /// The image's name: the template's file is `templates/<name>.yaml`.
    pub name: String,
    /// The image template's text.
    pub template: String,
    /// What stands at which path of the project's `files/`.
    pub files: Vec<FileCopy>,
    /// In the order in which they run; cleanup and check are the last ones.
    pub scripts: Vec<Script>,
}

/// Translates the files of one Packer template. `None` where one cannot be read as such; the findings say why.
///
/// `name` is the image's name, in case the template says none.
pub fn import(sources: &[Source], name: &str, disk: Disk<'_>) -> (Option<Imported>, Vec<Vec<Diagnostic>>) {
    let mut notes = Notes::new(sources.len());
    let mut packer = packer::Packer::default();
    for (file, source) in sources.iter().enumerate() {
        let looks_like_json = source.text().trim_start().starts_with('{');
        let reader = if looks_like_json { json::read } else { hcl::read };
        reader(source.text(), file, &mut packer, &mut notes);
    }
    if !notes.unreadable() && packer.builders.is_empty() && packer.provisioners.is_empty() {
        let help = "name a Packer template with a digitalocean builder; of several HCL files, name their directory";
        notes.unreadable_at(
            packer::Place::default(),
            "expected a Packer template, found no source and no provisioner",
            help,
        );
    }
    if notes.unreadable() {
        return (None, notes.into_lists());
    }
    packer.inline_lists();
    packer.settle();
    let imported = project::project(&packer, name, disk, &mut notes);
    (Some(imported), notes.into_lists())
}

#[cfg(test)]
mod tests;
