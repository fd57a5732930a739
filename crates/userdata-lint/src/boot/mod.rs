//! What a document does to a machine, and in which order: hazards that no schema shows.
//!
//! cloud-init's stages, as its `cloud.cfg` lists them (22.4 to 26.2): with the network up, `bootcmd` (at every boot),
//! `write_files`, disks and mounts, `users` and `groups`, SSH; then snaps, passwords, apt's sources, time, and `runcmd` is written
//! down; at last `packages`, the deferred files, the configuration managers, per-once, per-boot and per-instance scripts,
//! `runcmd`, `final_message`, `power_state`.
//!
//! To add a hazard, add the page of its rule to the crate `lint-rules` and its check to one of the files here. Report only what is certain.

mod commands;
mod files;
mod items;
mod order;
mod packages;
mod users;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::places::finding;
use super::shell::{self, Interpreter, SimpleCommand};
use super::{Document, value};
use crate::rules::{self, Rule};
use crate::write_files::{FileEntry, normal};
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span};
pub(super) use users::new_accounts;
use yaml11::Node;

/// Items, and commands, of a document: more are not checked.
const MAX_ITEMS: usize = 5_000;
/// Users, files and the like, where each is compared with all others: more are not checked.
const MAX_COMPARED: usize = 300;

/// When a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// At every boot, before nearly everything.
    Bootcmd,
    /// At the end of the first boot.
    Runcmd,
    /// At the end of the first boot or of every one: a script that `write_files` puts where cloud-init runs it, or user-data.
    Script,
}

/// An item of `bootcmd` or `runcmd`, or a script.
#[derive(Debug)]
struct BootStep<'t> {
    stage: Stage,
    path: String,
    node: Option<Node<'t>>,
    commands: Vec<SimpleCommand<'t>>,
}

impl BootStep<'_> {
    fn finding(
        &self,
        source: &Source,
        rule: &Rule,
        command: &SimpleCommand<'_>,
        message: String,
        help: &str,
    ) -> Diagnostic {
        finding(rule, self.path.clone(), self.place(source, command.written), message, Some(help.to_string()))
    }

    /// The place of a piece of the step.
    fn place(&self, source: &Source, written: &str) -> Span {
        let Some(node) = self.node else {
            let at = source.text().find(written).unwrap_or_default();
            return Span::new(at, at + written.len());
        };
        place_in(source, node, written)
    }
}

/// The place of a piece of a text; the whole text, if the document shows it in another form.
fn place_in(source: &Source, node: Node<'_>, written: &str) -> Span {
    let whole = node.used_at();
    let shown = source.slice(node.span());
    match shown.find(written).filter(|_| !written.is_empty() && whole == node.span()) {
        Some(at) => Span::new(whole.start + at, whole.start + at + written.len()),
        None => whole,
    }
}

/// What a document does at boot.
struct Boot<'d, 't> {
    document: &'d Document<'t>,
    steps: Vec<BootStep<'t>>,
    /// Names under `packages`.
    packages: Vec<&'t str>,
    /// The paths of `write_files`, with the places of the entries that have one.
    paths: BTreeMap<&'d str, usize>,
}

impl<'t> Boot<'_, 't> {
    /// The entry of `write_files` with a path.
    fn file(&self, path: &str) -> Option<&FileEntry<'t>> {
        self.document.files().get(*self.paths.get(&*normal(path))?)
    }

    fn source(&self) -> &Source {
        self.document.source
    }

    /// The steps of a stage with their commands.
    fn commands(&self, stage: Stage) -> impl Iterator<Item = (&BootStep<'t>, &SimpleCommand<'t>)> {
        let steps = self.steps.iter().filter(move |step| step.stage == stage);
        steps.flat_map(|step| step.commands.iter().map(move |command| (step, command)))
    }

    fn all_commands(&self) -> impl Iterator<Item = (&BootStep<'t>, &SimpleCommand<'t>)> {
        self.steps.iter().flat_map(|step| step.commands.iter().map(move |command| (step, command)))
    }
}

/// Rules about what a document lacks. They apply to whole user-data only, because another part may have it.
const WHOLE_DOCUMENT_RULES: [&str; 6] = [
    rules::UNKNOWN_OWNER.code,
    rules::PASSWORD_OF_UNKNOWN_USER.code,
    rules::UNKNOWN_PROGRAM.code,
    rules::MISSING_UNIT_PROGRAM.code,
    rules::FIREWALL_WITHOUT_SSH.code,
    rules::MISSING_SIGNING_KEY.code,
];

/// Whether a finding applies to one part among others, too.
pub(super) fn applies_to_part(found: &Diagnostic) -> bool {
    !WHOLE_DOCUMENT_RULES.contains(&found.code)
}

/// Checks a cloud-config.
pub(super) fn check(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    let before = out.len();
    hazards(document, out);
    // Settings for merging mean that there are other parts.
    if ["merge_how", "merge_type"].iter().any(|key| document.get(key).is_some()) {
        let found = out.split_off(before);
        out.extend(found.into_iter().filter(applies_to_part));
    }
}

fn hazards(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    let mut steps = Vec::new();
    let mut count = 0;
    for (key, stage) in [("bootcmd", Stage::Bootcmd), ("runcmd", Stage::Runcmd)] {
        let items = document.get(key).and_then(Node::items);
        for (index, item) in items.into_iter().flatten().enumerate().take(MAX_ITEMS) {
            items::check(document, key, index, item, out);
            if count > MAX_ITEMS {
                break;
            }
            let step = step(document.source, stage, format!("{key}.{index}"), item);
            count += step.as_ref().map_or(0, |step| step.commands.len());
            steps.extend(step);
        }
    }
    let files = document.files().iter().enumerate().filter(|(_, file)| file.path.is_some());
    let paths = files.map(|(place, file)| (&*file.destination, place)).collect();
    let boot = Boot { document, steps, packages: packages(document), paths };
    items::template_header(&boot, out);
    items::signing_keys(&boot, out);
    order::check(&boot, out);
    users::check(&boot, out);
    commands::check(&boot, out);
    files::check(&boot, out);
}

/// Checks a script that is user-data itself, or a boothook.
pub(super) fn script(source: &Source, out: &mut Vec<Diagnostic>) {
    let Some(first) = source.text().lines().find(|line| line.starts_with("#!")) else { return };
    let Some(interpreter) = Interpreter::from_script(first) else { return };
    let commands = shell::commands(source.text(), interpreter);
    let step = BootStep { stage: Stage::Script, path: String::new(), node: None, commands };
    // Once, not for each command: a script may have millions of both bytes and commands.
    let assumed = OnceCell::new();
    let assumes_yes = || *assumed.get_or_init(|| source.text().contains("Assume-Yes"));
    for command in &step.commands {
        commands::check_command(source, &step, command, &assumes_yes, out);
    }
    commands::check_downloads(source, &step, out);
}

fn step<'t>(source: &'t Source, stage: Stage, path: String, item: Node<'t>) -> Option<BootStep<'t>> {
    let commands = match item.items() {
        Some(items) => {
            let words: Option<Vec<&str>> = items.map(|word| word.as_str().or(word.scalar().map(|_| "0"))).collect();
            shell::commands_of_list(&words?, source.slice(item.span()).trim_end())
        }
        None => shell::commands(item.as_str()?, Interpreter::Sh),
    };
    Some(BootStep { stage, path, node: Some(item), commands })
}

/// The names of packages; `[name, version]` and the names under `apt:` and `snap:` too.
fn packages<'t>(document: &Document<'t>) -> Vec<&'t str> {
    let mut out = Vec::new();
    for item in document.get("packages").and_then(Node::items).into_iter().flatten() {
        out.extend(item.as_str());
        out.extend(item.items().and_then(|mut parts| parts.next()).and_then(Node::as_str));
        for (_, list) in item.entries().into_iter().flatten() {
            for part in list.items().into_iter().flatten() {
                out.extend(part.as_str());
                out.extend(part.items().and_then(|mut parts| parts.next()).and_then(Node::as_str));
            }
        }
    }
    out
}

/// A key's text in a mapping.
fn text<'t>(document: &Document<'t>, node: Node<'t>, key: &str) -> Option<&'t str> {
    value::get(document.tree, node, key)?.as_str()
}

fn is_true(document: &Document<'_>, node: Node<'_>, key: &str) -> bool {
    matches!(value::get(document.tree, node, key).and_then(Node::scalar), Some(yaml11::Scalar::Bool(true)))
}

#[cfg(test)]
mod tests;
