//! What a document does at boot, and in which order: problems that no schema shows.
//!
//! The order in cloud-init's `cloud.cfg` (22.4 to 26.2):
//!
//! 1. With the network up: `bootcmd` (in every boot), `write_files`, disks and mounts, `users` and
//!    `groups`, SSH.
//! 2. Then: snaps, passwords, apt sources, time; the script of `runcmd` is written.
//! 3. At the end: `packages`, deferred files, configuration managers, scripts (per-once, per-boot,
//!    per-instance), `runcmd`, `final_message`, `power_state`.
//!
//! To add a check, add the page of its rule to the crate `lint-rules` and the check to one of these
//! files. Report only what is certain.

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
use super::{CloudConfig, value};
use crate::rules::{self, Rule};
use crate::write_files::{FileEntry, normalize_path};
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span};
pub(super) use users::new_accounts;
use yaml11::Node;

/// Maximum number of items, and of commands, that are checked.
const MAX_ITEMS: usize = 5_000;
/// Maximum number of items that are each compared with all others.
const MAX_COMPARED: usize = 300;

/// When a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In every boot, before nearly everything else.
    Bootcmd,
    /// At the end of the first boot.
    Runcmd,
    /// A user-data script, or a script that `write_files` puts into one of cloud-init's
    /// directories: at the end of the first boot or of every boot.
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
        rule: &'static Rule,
        command: &SimpleCommand<'_>,
        message: String,
        help: &str,
    ) -> Diagnostic {
        finding(rule, self.path.clone(), self.place(source, command.written), message, Some(help.to_string()))
    }

    /// The span of a part of the step.
    fn place(&self, source: &Source, written: &str) -> Span {
        let Some(node) = self.node else {
            let at = source.text().find(written).unwrap_or_default();
            return Span::new(at, at + written.len());
        };
        place_in(source, node, written)
    }
}

/// The span of a part of a text; of the whole text if the document contains it in another form.
fn place_in(source: &Source, node: Node<'_>, written: &str) -> Span {
    let node_span = node.used_at();
    let shown = source.slice(node.span());
    match shown.find(written).filter(|_| !written.is_empty() && node_span == node.span()) {
        Some(at) => Span::new(node_span.start + at, node_span.start + at + written.len()),
        None => node_span,
    }
}

struct Boot<'d, 't> {
    document: &'d CloudConfig<'t>,
    steps: Vec<BootStep<'t>>,
    /// The package names under `packages`.
    packages: Vec<&'t str>,
    /// The index in `write_files` by path, for entries with a path.
    paths: BTreeMap<&'d str, usize>,
}

impl<'t> Boot<'_, 't> {
    fn file(&self, path: &str) -> Option<&FileEntry<'t>> {
        self.document.files().get(*self.paths.get(&*normalize_path(path))?)
    }

    fn source(&self) -> &Source {
        self.document.source
    }

    fn commands(&self, stage: Stage) -> impl Iterator<Item = (&BootStep<'t>, &SimpleCommand<'t>)> {
        let steps = self.steps.iter().filter(move |step| step.stage == stage);
        steps.flat_map(|step| step.commands.iter().map(move |command| (step, command)))
    }

    fn all_commands(&self) -> impl Iterator<Item = (&BootStep<'t>, &SimpleCommand<'t>)> {
        self.steps.iter().flat_map(|step| step.commands.iter().map(move |command| (step, command)))
    }
}

/// Rules about what a document lacks. In one part of several they do not apply, because another
/// part may have it.
const WHOLE_DOCUMENT_RULES: [&str; 6] = [
    rules::UNKNOWN_OWNER.code,
    rules::PASSWORD_OF_UNKNOWN_USER.code,
    rules::UNKNOWN_PROGRAM.code,
    rules::MISSING_UNIT_PROGRAM.code,
    rules::FIREWALL_WITHOUT_SSH.code,
    rules::MISSING_SIGNING_KEY.code,
];

/// Whether a finding also applies to one part of several.
pub(super) fn applies_to_part(found: &Diagnostic) -> bool {
    !WHOLE_DOCUMENT_RULES.contains(&found.rule.code)
}

pub(super) fn check(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    let before = out.len();
    check_boot(document, out);
    // Merge settings mean that there are other parts.
    if ["merge_how", "merge_type"].iter().any(|key| document.get(key).is_some()) {
        let found = out.split_off(before);
        out.extend(found.into_iter().filter(applies_to_part));
    }
}

fn check_boot(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
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
    items::check_template_header(&boot, out);
    items::check_signing_keys(&boot, out);
    order::check(&boot, out);
    users::check(&boot, out);
    commands::check(&boot, out);
    files::check(&boot, out);
}

/// Checks a user-data script or a boothook.
pub(super) fn script(source: &Source, out: &mut Vec<Diagnostic>) {
    let Some(first) = source.text().lines().find(|line| line.starts_with("#!")) else { return };
    let Some(interpreter) = Interpreter::from_script(first) else { return };
    let commands = shell::commands(source.text(), interpreter);
    let step = BootStep { stage: Stage::Script, path: String::new(), node: None, commands };
    // Computed once per script, not once per command.
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

fn packages<'t>(document: &CloudConfig<'t>) -> Vec<&'t str> {
    document.get("packages").and_then(Node::items).into_iter().flatten().flat_map(package_names).collect()
}

/// The package names of an item of `packages`, also those of `[name, version]` and under `apt:` and `snap:`.
pub(crate) fn package_names(item: Node<'_>) -> Vec<&str> {
    fn name(part: Node<'_>) -> Option<&str> {
        part.as_str().or_else(|| part.items()?.next()?.as_str())
    }
    let listed = item.entries().into_iter().flatten().flat_map(|(_, list)| list.items().into_iter().flatten());
    name(item).into_iter().chain(listed.filter_map(name)).collect()
}

/// The string under a key of a mapping.
fn text<'t>(document: &CloudConfig<'t>, node: Node<'t>, key: &str) -> Option<&'t str> {
    value::get(document.tree, node, key)?.as_str()
}

fn is_true(document: &CloudConfig<'_>, node: Node<'_>, key: &str) -> bool {
    matches!(value::get(document.tree, node, key).and_then(Node::scalar), Some(yaml11::Scalar::Bool(true)))
}

#[cfg(test)]
mod tests;
