//! What `bootcmd` uses before it is there, and files that are written where something comes later.

use std::collections::BTreeSet;

use super::programs::{brings, of_program, of_service};
use super::{Boot, FEW, Stage, is_true, text};
use crate::places::finding;
use crate::rules;
use crate::value::{self, path_at};
use crate::write_files::normal;
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

/// Programs of every image, whatever package of the same name is asked for.
const BASE: &[&str] = &[
    "apt",
    "awk",
    "bash",
    "bzip2",
    "ca-certificates",
    "cron",
    "curl",
    "file",
    "find",
    "gawk",
    "gpg",
    "grep",
    "gzip",
    "hostname",
    "ip",
    "less",
    "lsb_release",
    "mount",
    "nano",
    "openssl",
    "parted",
    "perl",
    "python3",
    "rsync",
    "screen",
    "sed",
    "ssh",
    "sudo",
    "systemctl",
    "tar",
    "tmux",
    "vim",
    "wget",
    "xz",
    "zsh",
    "git",
    "htop",
    "ufw",
    "snap",
    "passwd",
    "login",
];
const INTERPRETERS: &[&str] = &["sh", "bash", "dash", "python3", "perl", "source", ".", "cat"];

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    bootcmd(boot, out);
    homes(boot, out);
    paths(boot, out);
    drop_ins(boot, out);
    header(boot, out);
}

fn bootcmd(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let mut told = BTreeSet::new();
    for (step, command) in boot.commands(Stage::Bootcmd).filter(|(_, command)| !command.conditional) {
        let program = command.program();
        let service =
            (program == "systemctl" || program == "service").then(|| command.operands().find_map(of_service)).flatten();
        let known = service.or_else(|| of_program(program));
        let package = boot.packages.iter().find(|package| match known {
            Some(known) => brings(package, known),
            None => **package == program && !BASE.contains(&program),
        });
        if let Some(package) = package.filter(|_| told.insert(command.written)) {
            let message = format!(
                "{} comes with the package {}, which is installed only after `bootcmd`",
                quoted(program),
                quoted(package)
            );
            let help = "move the command to `runcmd`, which runs after `packages`";
            out.push(step.finding(boot.source(), &rules::PROGRAM_NOT_YET_INSTALLED, command, message, help));
        }
        if installs(command).is_some()
            || matches!(program, "apt-get" | "apt") && command.has(&["update", "upgrade", "dist-upgrade"])
        {
            let message =
                "packages are installed at every boot, before cloud-init has set up apt's sources".to_string();
            let help = "name them under `packages`, or move the command to `runcmd`";
            out.push(step.finding(boot.source(), &rules::INSTALLS_IN_BOOTCMD, command, message, help));
        }
        let runs = if INTERPRETERS.contains(&program) {
            command.operands().next()
        } else {
            command.words.first().map(AsRef::as_ref)
        };
        let Some(runs) = runs.filter(|path| path.starts_with('/')) else { continue };
        if let Some((file, place)) =
            boot.file(runs).and_then(|file| file.path).map(|(path, node)| (path, node.used_at()))
        {
            let message = format!("{} is written only after `bootcmd`", quoted(file));
            let help = "move the command to `runcmd`; at the first boot the file is not there";
            let mut found = step.finding(boot.source(), &rules::FILE_NOT_YET_WRITTEN, command, message, help);
            found.related.push((place, "written here, later".into()));
            out.push(found);
        }
    }
}

/// The names of packages that a command installs; `None` where it installs none.
pub(super) fn installs<'c>(command: &'c crate::shell::SimpleCommand<'_>) -> Option<Vec<&'c str>> {
    let verbs: &[&str] = match command.program() {
        "apt-get" | "apt" | "aptitude" | "yum" | "dnf" | "microdnf" => &["install", "groupinstall", "reinstall"],
        "zypper" => &["install", "in"],
        "apk" => &["add"],
        _ => return None,
    };
    let mut operands = command.operands();
    operands.any(|word| verbs.contains(&word)).then(|| operands.collect())
}

/// Files in the homes of users that are made later: the home is then made by root, and stays without its own files.
fn homes(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    for user in document.get("users").and_then(Node::items).into_iter().flatten().take(FEW) {
        let Some(name) = text(document, user, "name").filter(|name| *name != "root") else { continue };
        let without = ["no_create_home", "no-create-home", "system"].iter().any(|key| is_true(document, user, key));
        if without {
            continue;
        }
        let home = text(document, user, "homedir").map_or_else(|| format!("/home/{name}"), str::to_owned);
        let home = format!("{}/", normal(&home));
        let below = boot.paths.range(&*home..).take_while(|(path, _)| path.starts_with(&home));
        for file in below.filter_map(|(_, place)| document.files().get(*place)).filter(|file| !file.deferred).take(FEW)
        {
            let Some((path, place)) = file.path else { continue };
            // That the owner does not exist yet is said elsewhere.
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
            let message = format!("nothing expands variables in a path: {} is written as it stands", quoted(path));
            let help = Some("write the whole path; in a `## template: jinja` document, `{{ … }}` is expanded".into());
            out.push(file.finding(&rules::VARIABLE_IN_PATH, "path", place.used_at(), message, help));
        }
    }
}

/// A changed unit of a service that runs already is read again only when systemd is told to.
fn drop_ins(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let reloads = |command: &crate::shell::SimpleCommand<'_>| {
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
            || installs(command).is_some()
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

/// Expressions with cloud-init's own variables in a document that is no template.
fn header(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let text = boot.source().text();
    // Nearly all have none, and that is known with less than by looking for the first.
    if !text.contains("{{") {
        return;
    }
    let mut from = 0;
    let mut tries = 0;
    while let Some(at) = text[from..].find("{{").map(|at| from + at).filter(|_| tries < FEW) {
        from = at + 2;
        let name = text[from..].trim_start();
        if !["v1.", "ds.meta_data", "ds['meta_data']"].iter().any(|start| name.starts_with(start)) {
            continue;
        }
        tries += 1;
        let path = path_at(boot.document.tree, boot.document.root, at);
        let end = text[at..].find("}}").map_or(from, |length| at + length + 2);
        if path.is_empty() || end - at > 200 {
            continue;
        }
        let message =
            format!("{} is no template: {} stays as it stands", quoted("#cloud-config"), quoted(&text[at..end]));
        let help = Some("write `## template: jinja` into the first line, above `#cloud-config`".into());
        out.push(finding(
            &rules::TEMPLATE_WITHOUT_HEADER,
            path,
            diagnostics::source::Span::new(at, end),
            message,
            help,
        ));
        return;
    }
}
