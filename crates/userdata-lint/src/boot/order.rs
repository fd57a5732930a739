//! Programs and files that commands use before they exist, or that nothing installs.

use std::collections::BTreeSet;

use super::packages::{packages_of_program, packages_of_service, provides};
use super::steps::{Boot, Stage};
use crate::rules;
use crate::shell::{Input, SimpleCommand};
use diagnostics::{Diagnostic, quoted};

/// Programs that every image has, even if a package has the same name.
const BASE_PROGRAMS: &[&str] = &[
    "apt", "awk", "bash", "bzip2", "ca-certificates", "cron", "curl", "file", "find", "gawk", "gpg", "grep", "gzip",
    "hostname", "ip", "less", "lsb_release", "mount", "nano", "openssl", "parted", "perl", "python3", "rsync",
    "screen", "sed", "ssh", "sudo", "systemctl", "tar", "tmux", "vim", "wget", "xz", "zsh", "git", "htop", "ufw",
    "snap", "passwd", "login",
];
const INTERPRETERS: &[&str] = &["sh", "bash", "dash", "python3", "perl", "source", ".", "cat"];

/// Keys of modules that may install programs.
pub(super) const INSTALLER_KEYS: &[&str] = &[
    "snap", "ansible", "chef", "puppet", "salt_minion", "mcollective", "lxd", "autoinstall", "yum_repos", "zypper",
    "merge_how", "merge_type",
];

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    check_bootcmd(boot, out);
    check_runcmd(boot, out);
}

/// Reports commands of `bootcmd` that use something that comes later.
fn check_bootcmd(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let mut reported = BTreeSet::new();
    for (step, command) in boot.commands(Stage::Bootcmd).filter(|(_, command)| !command.conditional) {
        let program = command.program();
        let service = (program == "systemctl" || program == "service")
            .then(|| command.operands().find_map(packages_of_service))
            .flatten();
        let known = service.or_else(|| packages_of_program(program));
        let package = boot.packages.iter().find(|package| match known {
            Some(known) => provides(package, known),
            None => **package == program && !BASE_PROGRAMS.contains(&program),
        });
        if let Some(package) = package.filter(|_| reported.insert(command.written)) {
            let message = format!(
                "{} is part of the package {}, which is installed after `bootcmd`",
                quoted(program),
                quoted(package)
            );
            let help = "move the command to `runcmd`, which runs after `packages`";
            out.push(step.finding(boot.source(), &rules::PROGRAM_NOT_YET_INSTALLED, command, message, help));
        }
        if installed_packages(command).is_some()
            || matches!(program, "apt-get" | "apt") && command.has(&["update", "upgrade", "dist-upgrade"])
        {
            let message = match program {
                "apt" | "apt-get" | "aptitude" => {
                    "packages are installed in every boot, before cloud-init configures apt's sources"
                }
                _ => "packages are installed in every boot, before cloud-init configures their repositories",
            };
            let message = message.to_string();
            let help = "list them under `packages`, or move the command to `runcmd`";
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
            let message = format!("{} does not exist yet: it is written after `bootcmd`", quoted(file));
            let help = "move the command to `runcmd`";
            let mut found = step.finding(boot.source(), &rules::FILE_NOT_YET_WRITTEN, command, message, help);
            found.related.push((place, "written here, later".into()));
            out.push(found);
        }
    }
}

/// The packages that a command installs; `None` if it installs none.
pub(super) fn installed_packages<'c>(command: &'c SimpleCommand<'_>) -> Option<Vec<&'c str>> {
    let verbs: &[&str] = match command.program() {
        "apt-get" | "apt" | "aptitude" | "yum" | "dnf" | "microdnf" => &["install", "groupinstall", "reinstall"],
        "zypper" => &["install", "in"],
        "apk" => &["add"],
        _ => return None,
    };
    let mut operands = command.operands();
    operands.any(|word| verbs.contains(&word)).then(|| operands.collect())
}

/// Reports programs that `runcmd` uses before they are installed, or that nothing installs.
fn check_runcmd(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    if INSTALLER_KEYS.iter().any(|key| boot.document.get(key).is_some()) {
        return;
    }
    let commands: Vec<_> = boot.commands(Stage::Runcmd).collect();
    let mut reported = BTreeSet::new();
    for (index, (step, command)) in commands.iter().enumerate() {
        // The effect of this command is unknown, so any program may be installed from here on.
        if commands[..index].last().is_some_and(|(_, before)| may_install_anything(before)) {
            return;
        }
        if command.conditional {
            continue;
        }
        let program = command.program();
        let service =
            program == "systemctl" && command.has(&["start", "restart", "reload", "enable"]) || program == "service";
        let known =
            if service { command.operands().find_map(packages_of_service) } else { packages_of_program(program) };
        let Some(packages) = known else { continue };
        let name = if service {
            command.operands().find(|operand| packages_of_service(operand).is_some()).unwrap_or(program)
        } else {
            program
        };
        if !reported.insert(name.to_string()) {
            continue;
        }
        let brought = |(_, command): &&(_, &SimpleCommand<'_>)| {
            installed_packages(command).is_some_and(|names| {
                names.iter().any(|name| provides(name, packages) || name.contains(['$', '/', '*']))
            })
        };
        if boot.packages.iter().any(|package| provides(package, packages))
            || commands[..index].iter().any(|one| brought(&one))
        {
            continue;
        }
        if is_written(boot, name) {
            continue;
        }
        match commands[index + 1..].iter().find(brought) {
            Some((later, install)) => {
                let message = format!("{} is used before it is installed", quoted(name));
                let help = "install it first; `packages` are installed before `runcmd` runs";
                let mut found = step.finding(boot.source(), &rules::USED_BEFORE_INSTALLED, command, message, help);
                found.related.push((later.place(boot.source(), install.written), "installed here, later".into()));
                out.push(found);
            }
            None if is_tested(boot, name) => {}
            None => {
                let message = format!(
                    "nothing installs {}, and the base images of Debian and Ubuntu do not have it",
                    quoted(name)
                );
                let help = format!("add `{}` to `packages`, unless your base image has it", packages[0]);
                out.push(step.finding(boot.source(), &rules::UNKNOWN_PROGRAM, command, message, &help));
            }
        }
    }
}

/// Whether a command may install any program: piped downloads, other package managers, archives,
/// scripts.
fn may_install_anything(command: &SimpleCommand<'_>) -> bool {
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
            && command.arguments().iter().any(|word| word.starts_with('-') && word.contains(['o', 'O']))
}

/// Whether the document writes a file with this name.
fn is_written(boot: &Boot<'_, '_>, name: &str) -> bool {
    boot.document.files().iter().filter_map(|file| file.path).any(|(path, _)| path.rsplit('/').next() == Some(name))
}

/// Whether the document tests for a program before it uses it.
fn is_tested(boot: &Boot<'_, '_>, name: &str) -> bool {
    boot.all_commands().any(|(_, command)| {
        matches!(command.program(), "command" | "which" | "type" | "hash" | "[" | "test")
            && command.operands().any(|word| word.ends_with(name))
    })
}
