//! Units whose program nothing puts on the machine.

use super::{Boot, used};
use crate::content::{self, Fault};
use crate::rules;
use crate::write_files::{SCRIPT_FOLDERS, normal};
use diagnostics::closest;
use diagnostics::{Diagnostic, quoted};

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
    let document = boot.document;
    let is_sure = || {
        let keys = used::INSTALLERS.iter().chain(BRING);
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
            Fault::new(&rules::MISSING_UNIT_PROGRAM, span, message, Some(help))
        });
        let place = format!("write_files.{}.content", file.index);
        content::in_scalar(document.source, content.node, !content.is_plain(), &place, text, faults.collect(), out);
    }
}
