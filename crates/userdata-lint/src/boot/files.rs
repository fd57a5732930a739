//! Files and units that the document writes: their paths, owners and whether they can be executed.

use std::collections::BTreeSet;

use super::order::{INSTALLER_KEYS, installed_packages};
use super::steps::{Boot, MAX_COMPARED, Stage, is_true, text};
use crate::cloud_config::{FileEntry, SCRIPT_FOLDERS, normalize_path};
use crate::content::{self, ContentFault};
use crate::rules;
use crate::shell::SimpleCommand;
use crate::value;
use crate::write_files::file_mode;
use diagnostics::{Diagnostic, did_you_mean, quoted};
use yaml11::Node;

/// Programs that can make a file executable or replace it.
const FILE_COMMANDS: &[&str] =
    &["chmod", "install", "cp", "mv", "ln", "find", "xargs", "curl", "wget", "tar", "unzip", "git", "rsync"];

/// Directories that distributions leave empty.
const LOCAL_DIRECTORIES: [&str; 3] = ["/usr/local/", "/opt/", "/srv/"];
/// Keys of modules that may put programs there.
const INSTALLING_KEYS: &[&str] = &["apt", "apt_sources", "disk_setup", "mounts", "rh_subscription", "vendor_data"];
/// Programs that do not install other programs.
pub(super) const HARMLESS: &[&str] = &[
    "addgroup", "adduser", "apt", "apt-get", "chgrp", "chmod", "chown", "date", "echo", "groupadd", "hostnamectl",
    "locale-gen", "loginctl", "mkdir", "passwd", "printf", "reboot", "rm", "service", "shutdown", "sleep", "swapon",
    "sysctl", "systemctl", "timedatectl", "touch", "true", "ufw", "update-alternatives", "update-locale", "useradd",
    "usermod",
];

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    check_homes(boot, out);
    check_paths(boot, out);
    check_executable_bits(boot, out);
    check_skipped_scripts(boot, out);
    check_unit_programs(boot, out);
    check_drop_ins(boot, out);
    check_install_sections(boot, out);
    check_overwritten(boot, out);
}

/// Reports commands that execute a file without the executable bit.
fn check_executable_bits(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let mut reported = BTreeSet::new();
    for (step, command) in boot.commands(Stage::Runcmd).filter(|(_, command)| !command.conditional) {
        let Some(program) = command.words.first().filter(|word| word.starts_with('/')) else { continue };
        let Some(file) = boot.file(program).filter(|file| !is_executable(boot, file)) else { continue };
        if is_changed(boot, program) || !reported.insert(&*file.destination) {
            continue;
        }
        let message = format!("{} is written without an executable bit: it cannot be executed", quoted(program));
        let help = "add `permissions: '0755'` to the file, or pass its path to its interpreter";
        let mut found = step.finding(boot.source(), &rules::FILE_NOT_EXECUTABLE, command, message, help);
        found.related.extend(file.path.map(|(_, place)| (place.used_at(), "written here".to_string())));
        out.push(found);
    }
}

/// Whether a command may make a file executable or replace it.
fn is_changed(boot: &Boot<'_, '_>, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    boot.all_commands().any(|(_, command)| {
        FILE_COMMANDS.contains(&command.program())
            && command.arguments().iter().any(|word| {
                word.contains(['*', '$', '?', '[']) || word.ends_with(name) || path.starts_with(&*normalize_path(word))
            })
    })
}

/// Directories whose files other programs run, if they are executable: the directory, and who runs them.
/// Those of cron are checked with the crontabs.
const RUN_DIRECTORIES: &[(&str, &str)] = &[
    ("/var/lib/cloud/scripts/per-instance/", "cloud-init"),
    ("/var/lib/cloud/scripts/per-boot/", "cloud-init"),
    ("/var/lib/cloud/scripts/per-once/", "cloud-init"),
    ("/var/lib/cloud/scripts/vendor/", "cloud-init"),
    ("/var/lib/cloud/instance/scripts/", "cloud-init"),
    ("/etc/update-motd.d/", "`pam_motd`"),
    ("/etc/network/if-up.d/", "ifup"),
    ("/etc/network/if-down.d/", "ifdown"),
    ("/etc/network/if-pre-up.d/", "ifup"),
    ("/etc/NetworkManager/dispatcher.d/", "NetworkManager"),
];

/// Reports scripts in directories whose other scripts are run, if they are not executable.
fn check_skipped_scripts(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    for file in boot.document.files() {
        let Some((path, place)) = file.path else { continue };
        let runner = RUN_DIRECTORIES
            .iter()
            .find(|(directory, _)| file.destination.strip_prefix(directory).is_some_and(|name| !name.contains('/')));
        let Some((_, runner)) = runner else { continue };
        let is_script =
            file.content.as_ref().and_then(|content| content.text()).is_some_and(|text| text.starts_with("#!"));
        if !is_script || is_executable(boot, file) || is_changed(boot, &file.destination) {
            continue;
        }
        let mode = value::get(boot.document.tree, file.node, "permissions");
        let message = format!("{} is not executable: {runner} does not run it", quoted(path));
        let help = Some("add `permissions: '0755'` to the file".into());
        let (key, at) = mode.map_or(("path", place), |mode| ("permissions", mode));
        out.push(file.finding(&rules::SCRIPT_NOT_RUN, key, at.used_at(), message, help));
    }
}

/// Whether any entry for the same path makes the file executable or has an unknown mode.
fn is_executable(boot: &Boot<'_, '_>, file: &FileEntry<'_>) -> bool {
    let same = boot.document.files().iter().filter(|other| other.destination == file.destination);
    same.into_iter().any(|entry| file_mode(boot.document, entry).is_none_or(|mode| mode & 0o111 != 0))
}

/// Reports enabled units without an `[Install]` section.
fn check_install_sections(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
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
            // A text without any section is reported elsewhere, or is not complete yet.
            if headers.clone().next().is_none()
                || headers.any(|line| line.eq_ignore_ascii_case("[install]"))
                || file.appends
                || boot.paths.range(&*drop_ins..).next().is_some_and(|(other, _)| other.starts_with(&drop_ins))
            {
                continue;
            }
            let now = if command.has(&["--now"]) { "it starts now, but not" } else { "it does not start" };
            let message = format!("{} has no `[Install]` section: {now} at the next boot", quoted(&unit));
            let help = "add `[Install]` with `WantedBy=multi-user.target` to the unit (in a timer, `timers.target`)";
            let mut found = step.finding(boot.source(), &rules::ENABLED_WITHOUT_INSTALL, command, message, help);
            found.related.extend(file.path.map(|(_, place)| (place.used_at(), "written here".to_string())));
            out.push(found);
            break;
        }
    }
}

/// Reports files in the home of a user that is created later: root would own the home, and it would
/// lack the default files.
fn check_homes(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    for user in document.get("users").and_then(Node::items).into_iter().flatten().take(MAX_COMPARED) {
        let Some(name) = text(document, user, "name").filter(|name| *name != "root") else { continue };
        let without = ["no_create_home", "no-create-home", "system"].iter().any(|key| is_true(document, user, key));
        if without {
            continue;
        }
        let home = text(document, user, "homedir").map_or_else(|| format!("/home/{name}"), str::to_owned);
        let home = format!("{}/", normalize_path(&home));
        let below = boot.paths.range(&*home..).take_while(|(path, _)| path.starts_with(&home));
        for file in
            below.filter_map(|(_, place)| document.files().get(*place)).filter(|file| !file.deferred).take(MAX_COMPARED)
        {
            let Some((path, place)) = file.path else { continue };
            // An owner that does not exist yet is reported separately.
            if text(document, file.node, "owner").is_some_and(|owner| owner.split(':').any(|part| part == name)) {
                continue;
            }
            let message = format!(
                "{} is written before the user {} is created: root will own the home directory",
                quoted(path),
                quoted(name)
            );
            let help = Some("add `defer: true`, and set `owner` to the user".into());
            let mut found = file.finding(&rules::HOME_BEFORE_USER, "path", place.used_at(), message, help);
            found.related.push((
                value::get(document.tree, user, "name").unwrap_or(user).used_at(),
                "created here, later".into(),
            ));
            out.push(found);
        }
    }
}

/// Reports paths with variables, which are not expanded.
fn check_paths(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    for file in boot.document.files() {
        let Some((path, place)) = file.path.filter(|(path, _)| path.starts_with('/')) else { continue };
        let mut names = path.split('$').skip(1);
        let is_variable = names.any(|rest| rest.starts_with(|c: char| c == '{' || c.is_ascii_uppercase()));
        if is_variable || path.contains("/~/") {
            let message = format!("variables in a path are not expanded: {} is used literally", quoted(path));
            let help = Some("write the full path; in a `## template: jinja` document, `{{ … }}` is expanded".into());
            out.push(file.finding(&rules::VARIABLE_IN_PATH, "path", place.used_at(), message, help));
        }
    }
}

/// Reports units whose program is not installed.
fn check_unit_programs(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let is_sure = || {
        let keys = INSTALLER_KEYS.iter().chain(INSTALLING_KEYS);
        let scripts = boot.paths.keys().any(|path| SCRIPT_FOLDERS.iter().any(|folder| path.starts_with(folder)));
        let known = |key: &str, steps: usize| {
            document.get(key).is_none_or(|node| node.items().is_some_and(|items| items.count() == steps))
        };
        let steps = |stage| boot.steps.iter().filter(|step| step.stage == stage && !step.commands.is_empty()).count();
        !scripts
            && keys.into_iter().all(|key| document.get(key).is_none())
            // A package file or a package of another archive may contain anything.
            && boot.packages.iter().all(|name| !name.contains('/'))
            && known("bootcmd", steps(Stage::Bootcmd))
            && known("runcmd", steps(Stage::Runcmd))
            && boot.steps.iter().all(|step| !step.node.and_then(yaml11::Node::as_str).is_some_and(|text| text.contains('>')))
            && boot.all_commands().all(|(_, command)| HARMLESS.contains(&command.program()))
    };
    for file in document.files().iter().filter(|file| !file.appends) {
        let Some(content) = file.content.as_ref() else { continue };
        let path = &*file.destination;
        let Some(text) = content.text().filter(|_| path.contains("/systemd/")) else { continue };
        let missing = |program: &str| {
            let is_local = LOCAL_DIRECTORIES.iter().any(|folder| program.starts_with(folder));
            is_local && !program.contains(['%', '$']) && !boot.paths.contains_key(&*normalize_path(program))
        };
        let programs = content::required_programs(path, text).into_iter().filter(|(program, _)| missing(program));
        let mut programs = programs.peekable();
        if programs.peek().is_none() {
            continue;
        }
        if !is_sure() {
            return;
        }
        let faults = programs.map(|(program, span)| {
            let message = format!("nothing in this document installs {}", quoted(&program));
            let help = did_you_mean(&program, boot.paths.keys().copied()).unwrap_or_else(|| {
                "write it with `write_files`, or install it in `runcmd`, unless your base image has it".into()
            });
            ContentFault::new(&rules::MISSING_UNIT_PROGRAM, span, message, Some(help))
        });
        let place = format!("write_files.{}.content", file.index);
        content::report_in_scalar(
            document.source,
            content.node,
            !content.is_plain(),
            &place,
            text,
            faults.collect(),
            out,
        );
    }
}

/// Reports drop-ins of running services: systemd reads them only after a reload.
fn check_drop_ins(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let reloads = |command: &SimpleCommand<'_>| {
        command.program() == "systemctl"
            && command.has(&[
                "daemon-reload", "daemon-reexec", "enable", "disable", "preset", "reenable", "mask", "unmask", "edit",
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
            "ssh.service", "cron.service", "rsyslog.service", "systemd-journald.service", "systemd-resolved.service",
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
                let message = format!("systemd has not read {} yet when {} is restarted", quoted(path), quoted(name));
                let help = "run `systemctl daemon-reload` first";
                let mut found = step.finding(boot.source(), &rules::UNIT_NOT_RELOADED, command, message, help);
                found.related.push((place.used_at(), "written here".into()));
                out.push(found);
            }
        }
    }
}

/// Reports files that cloud-init itself writes later in the boot.
fn check_overwritten(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let scalar = |key: &str| document.get(key).and_then(Node::scalar);
    let is_set = |key: &str| matches!(scalar(key), Some(yaml11::Scalar::Bool(true)));
    let manages_hosts = is_set("manage_etc_hosts")
        || document
            .get("manage_etc_hosts")
            .and_then(Node::as_str)
            .is_some_and(|text| matches!(text, "true" | "template"));
    let is_name = |text: &str| {
        ["hostname", "fqdn"].iter().any(|key| document.get(key).and_then(Node::as_str).is_some_and(|name| name == text))
    };
    for file in document.files() {
        let Some((path, place)) = file.path else { continue };
        let (message, help) = match &*file.destination {
            "/etc/hosts" if manages_hosts => (
                format!(
                    "with `manage_etc_hosts`, cloud-init writes {} anew in every boot, from its template",
                    quoted(path)
                ),
                "use `manage_etc_hosts: localhost`, which only changes the line of the machine; or change the template in \
                 `/etc/cloud/templates`",
            ),
            "/etc/hostname"
                if !file.deferred
                    && !is_set("preserve_hostname")
                    && document.get("create_hostname_file").is_none()
                    && !file
                        .content
                        .as_ref()
                        .and_then(|content| content.text())
                        .is_some_and(|text| is_name(text.trim())) =>
            {
                (
                    format!("cloud-init writes {} after `write_files`", quoted(path)),
                    "use `hostname`, or `preserve_hostname: true`",
                )
            }
            _ => continue,
        };
        out.push(file.finding(&rules::FILE_OVERWRITTEN, "path", place.used_at(), message, Some(help.into())));
    }
}
