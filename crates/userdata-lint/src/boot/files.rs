//! Files and units that the document writes: where, for whom, and whether they can be started.

use std::collections::BTreeSet;

use super::order::{INSTALLERS, installed_packages};
use super::{Boot, MAX_COMPARED, Stage, is_true, text};
use crate::content::{self, ContentFault};
use crate::rules;
use crate::shell::SimpleCommand;
use crate::value;
use crate::write_files::{FileEntry, SCRIPT_FOLDERS, file_mode, normal};
use diagnostics::{Diagnostic, closest, quoted};
use yaml11::Node;

/// Programs that give a file its executable bits, or put another one in its place.
const CHANGERS: &[&str] =
    &["chmod", "install", "cp", "mv", "ln", "find", "xargs", "curl", "wget", "tar", "unzip", "git", "rsync"];

/// Where distributions put nothing.
const LOCAL: [&str; 3] = ["/usr/local/", "/opt/", "/srv/"];
/// Keys whose modules may put programs there.
const BRING: &[&str] = &["apt", "apt_sources", "disk_setup", "mounts", "rh_subscription", "vendor_data"];
/// Programs that put no other program anywhere.
const HARMLESS: &[&str] = &[
    "addgroup",
    "adduser",
    "apt",
    "apt-get",
    "chgrp",
    "chmod",
    "chown",
    "date",
    "echo",
    "groupadd",
    "hostnamectl",
    "locale-gen",
    "loginctl",
    "mkdir",
    "passwd",
    "printf",
    "reboot",
    "rm",
    "service",
    "shutdown",
    "sleep",
    "swapon",
    "sysctl",
    "systemctl",
    "timedatectl",
    "touch",
    "true",
    "ufw",
    "update-alternatives",
    "update-locale",
    "useradd",
    "usermod",
];

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    homes(boot, out);
    paths(boot, out);
    not_executable(boot, out);
    missing_programs(boot, out);
    drop_ins(boot, out);
    without_install(boot, out);
}

/// Files of the document that a command starts as they are, without a bit that lets it.
fn not_executable(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let is_changed = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        boot.all_commands().any(|(_, command)| {
            CHANGERS.contains(&command.program())
                && command.arguments().iter().any(|word| {
                    word.contains(['*', '$', '?', '[']) || word.ends_with(name) || path.starts_with(&*normal(word))
                })
        })
    };
    let mut reported = BTreeSet::new();
    for (step, command) in boot.commands(Stage::Runcmd).filter(|(_, command)| !command.conditional) {
        let Some(program) = command.words.first().filter(|word| word.starts_with('/')) else { continue };
        let Some(file) = boot.file(program).filter(|file| !is_executable(boot, file)) else { continue };
        if is_changed(program) || !reported.insert(&*file.destination) {
            continue;
        }
        let message = format!("{} is written without an executable bit: it cannot be started", quoted(program));
        let help = "write `permissions: '0755'` at the file; or start its interpreter, and name the file behind it";
        let mut found = step.finding(boot.source(), &rules::FILE_NOT_EXECUTABLE, command, message, help);
        found.related.extend(file.path.map(|(_, place)| (place.used_at(), "written here".to_string())));
        out.push(found);
    }
}

/// Whether any entry of the same path makes the file executable, or has a mode that is not known.
fn is_executable(boot: &Boot<'_, '_>, file: &FileEntry<'_>) -> bool {
    let same = boot.document.files().iter().filter(|other| other.destination == file.destination);
    same.into_iter().any(|entry| file_mode(boot.document, entry).is_none_or(|mode| mode & 0o111 != 0))
}

/// Units of the document that are enabled without an `[Install]` section.
fn without_install(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
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

/// Files in the homes of users that are made later: the home is then made by root, and stays without its own files.
fn homes(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    for user in document.get("users").and_then(Node::items).into_iter().flatten().take(MAX_COMPARED) {
        let Some(name) = text(document, user, "name").filter(|name| *name != "root") else { continue };
        let without = ["no_create_home", "no-create-home", "system"].iter().any(|key| is_true(document, user, key));
        if without {
            continue;
        }
        let home = text(document, user, "homedir").map_or_else(|| format!("/home/{name}"), str::to_owned);
        let home = format!("{}/", normal(&home));
        let below = boot.paths.range(&*home..).take_while(|(path, _)| path.starts_with(&home));
        for file in
            below.filter_map(|(_, place)| document.files().get(*place)).filter(|file| !file.deferred).take(MAX_COMPARED)
        {
            let Some((path, place)) = file.path else { continue };
            // An owner that does not exist yet has its own finding.
            if text(document, file.node, "owner").is_some_and(|owner| owner.split(':').any(|part| part == name)) {
                continue;
            }
            let message = format!(
                "{} is written before the user {} is made: the home then belongs to root",
                quoted(path),
                quoted(name)
            );
            let help = Some("add `defer: true`, and the user as the owner".into());
            let mut found = file.finding(&rules::HOME_BEFORE_USER, "path", place.used_at(), message, help);
            found
                .related
                .push((value::get(document.tree, user, "name").unwrap_or(user).used_at(), "made here, later".into()));
            out.push(found);
        }
    }
}

/// Paths with variables: nothing expands them.
fn paths(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    for file in boot.document.files() {
        let Some((path, place)) = file.path.filter(|(path, _)| path.starts_with('/')) else { continue };
        let mut names = path.split('$').skip(1);
        let is_variable = names.any(|rest| rest.starts_with(|c: char| c == '{' || c.is_ascii_uppercase()));
        if is_variable || path.contains("/~/") {
            let message = format!("variables in a path are not expanded: {} is used literally", quoted(path));
            let help = Some("write the whole path; in a `## template: jinja` document, `{{ … }}` is expanded".into());
            out.push(file.finding(&rules::VARIABLE_IN_PATH, "path", place.used_at(), message, help));
        }
    }
}

/// Units whose program nothing puts on the machine.
fn missing_programs(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let is_sure = || {
        let keys = INSTALLERS.iter().chain(BRING);
        let scripts = boot.paths.keys().any(|path| SCRIPT_FOLDERS.iter().any(|folder| path.starts_with(folder)));
        let known = |key: &str, steps: usize| {
            document.get(key).is_none_or(|node| node.items().is_some_and(|items| items.count() == steps))
        };
        let steps = |stage| boot.steps.iter().filter(|step| step.stage == stage && !step.commands.is_empty()).count();
        !scripts
            && keys.into_iter().all(|key| document.get(key).is_none())
            // A package by its file, or of another archive, may bring anything.
            && boot.packages.iter().all(|name| !name.contains('/'))
            && known("bootcmd", steps(super::Stage::Bootcmd))
            && known("runcmd", steps(super::Stage::Runcmd))
            && boot.steps.iter().all(|step| !step.node.and_then(yaml11::Node::as_str).is_some_and(|text| text.contains('>')))
            && boot.all_commands().all(|(_, command)| HARMLESS.contains(&command.program()))
    };
    for file in document.files().iter().filter(|file| !file.appends) {
        let Some(content) = file.content.as_ref() else { continue };
        let path = &*file.destination;
        let Some(text) = content.text().filter(|_| path.contains("/systemd/")) else { continue };
        let missing = |program: &str| {
            let is_local = LOCAL.iter().any(|folder| program.starts_with(folder));
            is_local && !program.contains(['%', '$']) && !boot.paths.contains_key(&*normal(program))
        };
        let programs = content::programs(path, text).into_iter().filter(|(program, _)| missing(program));
        let mut programs = programs.peekable();
        if programs.peek().is_none() {
            continue;
        }
        if !is_sure() {
            return;
        }
        let faults = programs.map(|(program, span)| {
            let message = format!("nothing in this document puts {} on the machine", quoted(&program));
            let near = closest(&program, boot.paths.keys().copied());
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write it with `write_files`, or install it in `runcmd`; unless the image that you start from has it".into(),
            };
            ContentFault::new(&rules::MISSING_UNIT_PROGRAM, span, message, Some(help))
        });
        let place = format!("write_files.{}.content", file.index);
        content::in_scalar(document.source, content.node, !content.is_plain(), &place, text, faults.collect(), out);
    }
}

/// Drop-ins of services that run already: systemd reads them after a reload only.
fn drop_ins(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let reloads = |command: &SimpleCommand<'_>| {
        command.program() == "systemctl"
            && command.has(&[
                "daemon-reload",
                "daemon-reexec",
                "enable",
                "disable",
                "preset",
                "reenable",
                "mask",
                "unmask",
                "edit",
                "link",
            ])
            || installed_packages(command).is_some()
            || matches!(command.program(), "dpkg" | "snap" | "reboot")
    };
    let sure = boot.packages.is_empty() && !boot.all_commands().any(|(_, command)| reloads(command));
    if !sure {
        return;
    }
    for file in boot.document.files() {
        let Some((path, place)) = file.path else { continue };
        let Some(unit) = file.destination.strip_prefix("/etc/systemd/system/").and_then(|rest| rest.split_once(".d/"))
        else {
            continue;
        };
        let base = [
            "ssh.service",
            "cron.service",
            "rsyslog.service",
            "systemd-journald.service",
            "systemd-resolved.service",
            "systemd-timesyncd.service",
        ];
        if !base.contains(&unit.0) {
            continue;
        }
        for (step, command) in boot.commands(Stage::Runcmd) {
            let name = unit.0.trim_end_matches(".service");
            let restarts = command.program() == "systemctl"
                && command.has(&["restart", "try-restart", "reload-or-restart"])
                && command.operands().any(|operand| operand == name || operand == unit.0);
            if restarts {
                let message = format!("systemd has not read {} when {} is restarted", quoted(path), quoted(name));
                let help = "run `systemctl daemon-reload` before";
                let mut found = step.finding(boot.source(), &rules::UNIT_NOT_RELOADED, command, message, help);
                found.related.push((place.used_at(), "written here".into()));
                out.push(found);
            }
        }
    }
}
