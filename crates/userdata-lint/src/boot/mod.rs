//! What a document does to a machine, and in which order: hazards that no schema shows.
//!
//! cloud-init's stages, as its `cloud.cfg` lists them (22.4 to 26.2): with the network up, `bootcmd` (at every boot),
//! `write_files`, disks and mounts, `users` and `groups`, SSH; then snaps, passwords, apt's sources, time, and `runcmd` is written
//! down; at last `packages`, the deferred files, the configuration managers, per-once, per-boot and per-instance scripts,
//! `runcmd`, `final_message`, `power_state`.
//!
//! To add a hazard, add its rule to `rules/order.rs` or `rules/runcmd.rs` and its check to one of the files here. What is not sure is not said.

mod accounts;
mod commands;
mod downloads;
mod firewall;
mod lists;
mod order;
mod programs;
mod started;
mod units;
mod used;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::places::finding;
use super::shell::{self, Interpreter, SimpleCommand};
use super::{Document, value};
use crate::rules::{self, Rule};
use crate::write_files::{FileEntry, normal};
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span};
use yaml11::Node;

/// So many items, and so many commands, of a document are looked at.
const MOST: usize = 5_000;
/// So many users, files with a fault, and the like are looked at, where each is compared with all others.
const FEW: usize = 300;

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
struct Step<'t> {
    stage: Stage,
    path: String,
    node: Option<Node<'t>>,
    commands: Vec<SimpleCommand<'t>>,
}

impl Step<'_> {
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

    /// Where a piece of the step stands: itself, where the document shows it as it is.
    fn place(&self, source: &Source, written: &str) -> Span {
        let Some(node) = self.node else {
            let at = source.text().find(written).unwrap_or_default();
            return Span::new(at, at + written.len());
        };
        place_in(source, node, written)
    }
}

/// Where a piece of a text stands: the whole text, where the document does not show it as it is.
fn place_in(source: &Source, node: Node<'_>, written: &str) -> Span {
    let whole = node.used_at();
    let shown = source.slice(node.span());
    match shown.find(written).filter(|_| !written.is_empty() && whole == node.span()) {
        Some(at) => Span::new(whole.start + at, whole.start + at + written.len()),
        None => whole,
    }
}

/// What is known of a document's boot.
struct Boot<'d, 't> {
    document: &'d Document<'t>,
    steps: Vec<Step<'t>>,
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
    fn commands(&self, stage: Stage) -> impl Iterator<Item = (&Step<'t>, &SimpleCommand<'t>)> {
        let steps = self.steps.iter().filter(move |step| step.stage == stage);
        steps.flat_map(|step| step.commands.iter().map(move |command| (step, command)))
    }

    fn all_commands(&self) -> impl Iterator<Item = (&Step<'t>, &SimpleCommand<'t>)> {
        self.steps.iter().flat_map(|step| step.commands.iter().map(move |command| (step, command)))
    }
}

/// Rules that say what a document lacks: they hold of the whole user-data only, because another part may bring it.
const OF_THE_WHOLE: [&str; 6] = [
    rules::UNKNOWN_OWNER.code,
    rules::PASSWORD_OF_UNKNOWN_USER.code,
    rules::UNKNOWN_PROGRAM.code,
    rules::MISSING_UNIT_PROGRAM.code,
    rules::FIREWALL_WITHOUT_SSH.code,
    rules::MISSING_SIGNING_KEY.code,
];

/// Whether a finding holds of one part among others, too.
pub(super) fn holds_of_a_part(found: &Diagnostic) -> bool {
    !OF_THE_WHOLE.contains(&found.code)
}

/// The hazards of a cloud-config.
pub(super) fn check(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    let before = out.len();
    hazards(document, out);
    // How it is merged matters only where there is something to merge it with.
    if ["merge_how", "merge_type"].iter().any(|key| document.get(key).is_some()) {
        let found = out.split_off(before);
        out.extend(found.into_iter().filter(holds_of_a_part));
    }
}

fn hazards(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    let mut steps = Vec::new();
    let mut count = 0;
    for (key, stage) in [("bootcmd", Stage::Bootcmd), ("runcmd", Stage::Runcmd)] {
        let items = document.get(key).and_then(Node::items);
        for (index, item) in items.into_iter().flatten().enumerate().take(MOST) {
            lists::check(document, key, index, item, out);
            if count > MOST {
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
    order::check(&boot, out);
    accounts::check(&boot, out);
    commands::check(&boot, out);
    used::check(&boot, out);
    downloads::check(&boot, out);
    units::check(&boot, out);
    started::check(&boot, out);
    firewall::check(&boot, out);
}

/// The hazards of a script that is user-data itself, or of a boothook.
pub(super) fn script(source: &Source, out: &mut Vec<Diagnostic>) {
    let Some(first) = source.text().lines().find(|line| line.starts_with("#!")) else { return };
    let Some(interpreter) = Interpreter::from_script(first) else { return };
    let commands = shell::commands(source.text(), interpreter);
    let step = Step { stage: Stage::Script, path: String::new(), node: None, commands };
    // Once, not for each command: a script may have millions of both bytes and commands.
    let assumed = OnceCell::new();
    let assumes_yes = || *assumed.get_or_init(|| source.text().contains("Assume-Yes"));
    for command in &step.commands {
        commands::one(source, &step, command, &assumes_yes, out);
    }
    downloads::commands(source, &step, out);
}

fn step<'t>(source: &'t Source, stage: Stage, path: String, item: Node<'t>) -> Option<Step<'t>> {
    let commands = match item.items() {
        Some(items) => {
            let words: Option<Vec<&str>> = items.map(|word| word.as_str().or(word.scalar().map(|_| "0"))).collect();
            shell::commands_of_list(&words?, source.slice(item.span()).trim_end())
        }
        None => shell::commands(item.as_str()?, Interpreter::Sh),
    };
    Some(Step { stage, path, node: Some(item), commands })
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
