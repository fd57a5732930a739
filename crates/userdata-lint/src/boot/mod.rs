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

mod archive;
mod bootcmd;
mod commands;
mod databases;
mod endless;
mod files;
mod home;
mod items;
mod known_units;
mod mounts;
mod order;
mod packages;
mod sed;
mod shells;
mod sshd;
mod stages;
mod steps;
mod terminal;
mod units;
mod users;

use std::cell::OnceCell;

use super::cloud_config::{CloudConfig, is_script_path};
use super::shell::{self, Interpreter};
use crate::rules;
use diagnostics::Diagnostic;
use diagnostics::source::Source;
use steps::{Boot, BootStep, Stage};
use yaml11::Node;

pub(crate) use items::folded_here_document;
pub(crate) use stages::lost_in_part;
pub(crate) use steps::package_names;

/// Maximum number of items, and of commands, that are checked.
const MAX_ITEMS: usize = 5_000;
/// Rules about what a document lacks. In one part of several they do not apply, because another
/// part may have it.
const WHOLE_DOCUMENT_RULES: [&str; 10] = [
    rules::UNAVAILABLE_PACKAGE.code,
    rules::SSH_PORT_NOT_OPEN.code,
    rules::UNKNOWN_OWNER.code,
    rules::PASSWORD_OF_UNKNOWN_USER.code,
    rules::UNKNOWN_PROGRAM.code,
    rules::MISSING_UNIT_PROGRAM.code,
    rules::FIREWALL_WITHOUT_SSH.code,
    rules::MISSING_SIGNING_KEY.code,
    rules::TRIGGER_WITHOUT_UNIT.code,
    rules::MISSING_UNIT.code,
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
    let commands = document.get("snap").and_then(|snap| crate::value::get(document.tree, snap, "commands"));
    for (index, item) in commands.and_then(Node::items).into_iter().flatten().enumerate().take(MAX_ITEMS) {
        let words: Vec<_> = item.items().into_iter().flatten().collect();
        items::check_program_name("snap.commands", index, &words, out);
    }
    let files = document.files().iter().enumerate().filter(|(_, file)| file.path.is_some());
    let paths = files.map(|(place, file)| (&*file.destination, place)).collect();
    let boot = Boot { document, steps, packages: packages(document), paths };
    items::check_template_header(&boot, out);
    items::check_signing_keys(&boot, out);
    stages::check(document, out);
    sshd::check(&boot, out);
    order::check(&boot, out);
    bootcmd::check(&boot, out);
    users::check(&boot, out);
    commands::check(&boot, out);
    files::check(&boot, out);
    units::check(&boot, out);
    databases::check(&boot, out);
    home::check(&boot, out);
    archive::check(&boot, out);
    mounts::check(&boot, out);
}

/// Whether a finding is one of [`script`], for a file that is checked on its own.
pub(super) fn is_of_script(found: &Diagnostic, path: &str) -> bool {
    const RULES: [&str; 10] = [
        rules::COCKROACH_WITHOUT_JOIN.code,
        rules::INVALID_SED_EXPRESSION.code,
        rules::MISSPELLED_TEE.code,
        rules::USER_CHANGE_WITHOUT_COMMAND.code,
        rules::WAITS_FOR_CLOUD_INIT.code,
        rules::COMMAND_NEVER_ENDS.code,
        rules::INTERACTIVE_PROMPT.code,
        rules::REBOOT_IN_RUNCMD.code,
        rules::DOWNLOAD_PIPED_TO_SHELL.code,
        rules::APT_KEY_REMOVED.code,
    ];
    RULES.contains(&found.rule.code) && is_script_path(path)
}

/// Checks what only holds in a user-data script or a boothook: cloud-init starts it with its own environment.
pub(super) fn user_data_script(source: &Source, out: &mut Vec<Diagnostic>) {
    home::check_script(source, out);
}

/// Checks a user-data script, a boothook, or a file that is run as a script.
pub(super) fn script(source: &Source, assumes_yes: bool, out: &mut Vec<Diagnostic>) {
    let Some(first) = source.text().lines().find(|line| line.starts_with("#!")) else { return };
    let Some(interpreter) = Interpreter::from_script(first) else { return };
    let commands = shell::commands(source.text(), interpreter);
    let step = BootStep { stage: Stage::Script, path: String::new(), node: None, commands };
    // Computed once per script, not once per command.
    let assumed = OnceCell::new();
    let assumes_yes = || *assumed.get_or_init(|| assumes_yes || source.text().contains("Assume-Yes"));
    commands::check_step(source, &step, false, &assumes_yes, out);
    let text = source.text().trim_start();
    if text.get(..15).is_some_and(|header| header.eq_ignore_ascii_case("#cloud-boothook")) {
        bootcmd::check_formatting(source, "a boothook", std::iter::once(&step), out);
    }
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

#[cfg(test)]
mod tests;
