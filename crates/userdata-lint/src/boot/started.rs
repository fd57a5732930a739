//! What commands start: files that are not executable, units that the next boot does not start again.

use std::collections::BTreeSet;

use super::{Boot, Stage};
use crate::rules;
use crate::write_files::{FileEntry, file_mode, normal};
use diagnostics::{Diagnostic, quoted};

/// Programs that give a file its executable bits, or put another one in its place.
const CHANGERS: &[&str] =
    &["chmod", "install", "cp", "mv", "ln", "find", "xargs", "curl", "wget", "tar", "unzip", "git", "rsync"];

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    files(boot, out);
    units(boot, out);
}

/// Files of the document that a command starts as they are, without a bit that lets it.
fn files(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let is_changed = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        boot.all_commands().any(|(_, command)| {
            CHANGERS.contains(&command.program())
                && command.arguments().iter().any(|word| {
                    word.contains(['*', '$', '?', '[']) || word.ends_with(name) || path.starts_with(&*normal(word))
                })
        })
    };
    let mut told = BTreeSet::new();
    for (step, command) in boot.commands(Stage::Runcmd).filter(|(_, command)| !command.conditional) {
        let Some(program) = command.words.first().filter(|word| word.starts_with('/')) else { continue };
        let Some(file) = boot.file(program).filter(|file| !executable(boot, file)) else { continue };
        if is_changed(program) || !told.insert(&*file.destination) {
            continue;
        }
        let message = format!("{} is written without an executable bit: it cannot be started", quoted(program));
        let help = "write `permissions: '0755'` at the file; or start its interpreter, and name the file behind it";
        let mut found = step.finding(boot.source(), &rules::FILE_NOT_EXECUTABLE, command, message, help);
        found.related.extend(file.path.map(|(_, place)| (place.used_at(), "written here".to_string())));
        out.push(found);
    }
}

/// Whether any entry of the same path makes the file executable, or says of its mode what is not known.
fn executable(boot: &Boot<'_, '_>, file: &FileEntry<'_>) -> bool {
    let same = boot.document.files().iter().filter(|other| other.destination == file.destination);
    same.into_iter().any(|entry| file_mode(boot.document, entry).is_none_or(|mode| mode & 0o111 != 0))
}

/// Units of the document that are enabled and say nowhere what is to start them.
fn units(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    for (step, command) in boot.commands(Stage::Runcmd) {
        if command.program() != "systemctl" || command.operands().next() != Some("enable") {
            continue;
        }
        for operand in command.operands().skip(1) {
            let unit = if operand.contains('.') { operand.to_string() } else { format!("{operand}.service") };
            let path = format!("/etc/systemd/system/{unit}");
            let drop_ins = format!("{path}.d/");
            let Some(file) = boot.file(&path) else { continue };
            let Some(text) = file.content.as_ref().and_then(|content| content.text()) else { continue };
            let mut headers = text.lines().map(str::trim).filter(|line| line.starts_with('['));
            // A text without any section is another fault, or no unit yet.
            if headers.clone().next().is_none()
                || headers.any(|line| line.eq_ignore_ascii_case("[install]"))
                || file.appends
                || boot.paths.range(&*drop_ins..).next().is_some_and(|(other, _)| other.starts_with(&drop_ins))
            {
                continue;
            }
            let now = if command.has(&["--now"]) { "it starts now, and not" } else { "it does not start" };
            let message = format!("{} has no `[Install]`: enabled or not, {now} at the next boot", quoted(&unit));
            let help = "add `[Install]` with `WantedBy=multi-user.target` to the unit; a timer has `timers.target`";
            let mut found = step.finding(boot.source(), &rules::ENABLED_WITHOUT_INSTALL, command, message, help);
            found.related.extend(file.path.map(|(_, place)| (place.used_at(), "written here".to_string())));
            out.push(found);
            break;
        }
    }
}
