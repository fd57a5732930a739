//! Programs that `runcmd` uses before something installs them, or that nothing installs.

use std::collections::BTreeSet;

use super::order::installs;
use super::programs::{brings, of_program, of_service};
use super::{Boot, Stage};
use crate::rules;
use crate::shell::{Input, SimpleCommand};
use diagnostics::{Diagnostic, quoted};

/// Keys whose modules install programs.
pub(super) const INSTALLERS: &[&str] = &[
    "snap",
    "ansible",
    "chef",
    "puppet",
    "salt_minion",
    "mcollective",
    "lxd",
    "autoinstall",
    "yum_repos",
    "zypper",
    "merge_how",
    "merge_type",
];

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    if INSTALLERS.iter().any(|key| boot.document.get(key).is_some()) {
        return;
    }
    let commands: Vec<_> = boot.commands(Stage::Runcmd).collect();
    let mut told = BTreeSet::new();
    for (index, (step, command)) in commands.iter().enumerate() {
        // After something whose effect is not known, nothing is sure.
        if commands[..index].last().is_some_and(|(_, before)| is_opaque(before)) {
            return;
        }
        if command.conditional {
            continue;
        }
        let program = command.program();
        let service =
            program == "systemctl" && command.has(&["start", "restart", "reload", "enable"]) || program == "service";
        let known = if service { command.operands().find_map(of_service) } else { of_program(program) };
        let Some(packages) = known else { continue };
        let name = if service {
            command.operands().find(|operand| of_service(operand).is_some()).unwrap_or(program)
        } else {
            program
        };
        if !told.insert(name.to_string()) {
            continue;
        }
        let brought = |(_, command): &&(_, &SimpleCommand<'_>)| {
            installs(command)
                .is_some_and(|names| names.iter().any(|name| brings(name, packages) || name.contains(['$', '/', '*'])))
        };
        if boot.packages.iter().any(|package| brings(package, packages))
            || commands[..index].iter().any(|one| brought(&one))
        {
            continue;
        }
        if is_written(boot, name) {
            continue;
        }
        match commands[index + 1..].iter().find(brought) {
            Some((later, install)) => {
                let message = format!("{} is used here, and installed only later", quoted(name));
                let help = "install it first; `packages` are installed before `runcmd` runs";
                let mut found = step.finding(boot.source(), &rules::USED_BEFORE_INSTALLED, command, message, help);
                found.related.push((later.place(boot.source(), install.written), "installed here, later".into()));
                out.push(found);
            }
            None if is_tested(boot, name) => {}
            None => {
                let message =
                    format!("nothing here installs {}, and no base image of Debian or Ubuntu has it", quoted(name));
                let help = format!("add `{}` to `packages`, unless the image that you start from has it", packages[0]);
                out.push(step.finding(boot.source(), &rules::UNKNOWN_PROGRAM, command, message, &help));
            }
        }
    }
}

/// Commands that may install anything: what downloads give to a shell, other package managers, unpacked archives, scripts.
fn is_opaque(command: &SimpleCommand<'_>) -> bool {
    let program = command.program();
    let runs_a_file = command.words.first().is_some_and(|word| {
        word.contains('/')
            && !word.starts_with("/usr/bin/")
            && !word.starts_with("/bin/")
            && !word.starts_with("/usr/sbin/")
            && !word.starts_with("/sbin/")
    });
    runs_a_file
        || command.input == Input::Pipe && matches!(program, "sh" | "bash" | "dash" | "python3" | "tar" | "dpkg")
        || matches!(
            program,
            "snap"
                | "npm"
                | "cargo"
                | "go"
                | "composer"
                | "pip"
                | "pip3"
                | "pipx"
                | "gem"
                | "dpkg"
                | "tar"
                | "unzip"
                | "brew"
                | "flatpak"
                | "nix-env"
                | "apk"
                | "pacman"
                | "zypper"
                | "yum"
                | "dnf"
                | "rpm"
                | "install"
                | "cp"
                | "mv"
                | "ln"
                | "ansible-playbook"
                | "source"
                | "."
                | "export"
                | "PATH"
                | "eval"
        )
        || matches!(program, "sh" | "bash" | "dash")
            && command.operands().next().is_some_and(|word| word.contains(['/', '.']))
        || matches!(program, "curl" | "wget")
            && (command.has(&["-o", "-O", "--output", "-LO"])
                || command.arguments().iter().any(|word| word.starts_with('-') && word.contains(['o', 'O'])))
}

/// Whether the document writes a program of this name.
fn is_written(boot: &Boot<'_, '_>, name: &str) -> bool {
    boot.document.files().iter().filter_map(|file| file.path).any(|(path, _)| path.rsplit('/').next() == Some(name))
}

/// Whether the document asks for a program before it uses it.
fn is_tested(boot: &Boot<'_, '_>, name: &str) -> bool {
    boot.all_commands().any(|(_, command)| {
        matches!(command.program(), "command" | "which" | "type" | "hash" | "[" | "test")
            && command.operands().any(|word| word.ends_with(name))
    })
}
