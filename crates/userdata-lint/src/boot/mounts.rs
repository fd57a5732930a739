//! Files that are hidden or removed later in the boot: below mounts, and in `/tmp`.

use super::bootcmd::always_runs;
use super::steps::{Boot, MAX_COMPARED, Stage};
use crate::cloud_config::{FileEntry, normalize_path};
use crate::rules;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    check_options(boot, out);
    let mounted = mounts(boot);
    let by_commands = mounts_of_commands(boot);
    for file in boot.document.files() {
        let Some((path, place)) = file.path else { continue };
        let is_below =
            |directory: &str| file.destination.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        let early = mounted.iter().find(|(directory, _)| !file.deferred && is_below(directory));
        let late = by_commands.iter().find(|(directory, _)| is_below(directory));
        let (found, help) = match (early, late) {
            (Some(found), _) => (found, "add `defer: true`: the file is then written after the mount"),
            (None, Some(found)) => {
                (found, "write the file in `runcmd` after the mount; or use `mounts`, and `defer: true`")
            }
            (None, None) => {
                check_temporary(file, path, place.used_at(), out);
                continue;
            }
        };
        let (directory, mount) = found;
        let message = format!("{} is written before {} is mounted, which hides it", quoted(path), quoted(directory));
        let mut finding = file.finding(&rules::FILE_BELOW_MOUNT, "path", place.used_at(), message, Some(help.into()));
        finding.related.push((*mount, "mounted here, later".into()));
        out.push(finding);
    }
}

/// Reports an option of Upstart, which mount refuses.
fn check_options(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let entries = boot.document.get("mounts").and_then(Node::items).into_iter().flatten().enumerate();
    for (index, entry) in entries.take(MAX_COMPARED) {
        let Some(options) = entry.items().and_then(|mut fields| fields.nth(3)) else { continue };
        if options.as_str().is_some_and(|text| text.split(',').any(|option| option.trim() == "nobootwait")) {
            let message = "mount does not know the option `nobootwait`, and does not mount this".to_owned();
            let help = Some("use `nofail`".into());
            let path = format!("mounts.{index}.3");
            out.push(crate::places::finding(&rules::MALFORMED_FSTAB, path, options.used_at(), message, help));
        }
    }
}

/// The directories that `mounts` certainly mounts, with their places.
fn mounts(boot: &Boot<'_, '_>) -> Vec<(String, Span)> {
    let entries = boot.document.get("mounts").and_then(Node::items).into_iter().flatten();
    let mounts = entries.filter_map(|entry| {
        let fields: Vec<_> = entry.items()?.map(|field| field.as_str().unwrap_or_default()).collect();
        let (device, directory) = (*fields.first()?, *fields.get(1)?);
        let options = fields.get(3).copied().unwrap_or_default();
        is_hiding(device, directory, options).then(|| (normalize_path(directory).into_owned(), entry.used_at()))
    });
    mounts.take(MAX_COMPARED).collect()
}

/// Whether a mount hides what the directory contains.
fn is_hiding(device: &str, directory: &str, options: &str) -> bool {
    directory.starts_with('/')
        && !directory.trim_matches('/').is_empty()
        && !directory.contains(['$', '{'])
        && device != directory
        && !options.contains(directory)
        && !options.split(',').any(|option| matches!(option, "noauto" | "remount"))
}

/// The directories that commands of `runcmd` certainly mount, if nothing uses them before.
fn mounts_of_commands(boot: &Boot<'_, '_>) -> Vec<(String, Span)> {
    let mut out = Vec::new();
    // What an earlier command may have done to files below the directory is unknown.
    let mut before: Vec<&str> = Vec::new();
    for step in boot.steps.iter().filter(|step| step.stage == Stage::Runcmd) {
        for (at, command) in step.commands.iter().enumerate() {
            let mut fields = Vec::new();
            let mut options = String::new();
            let mut words = command.arguments().iter().map(AsRef::as_ref);
            while let Some(word) = words.next() {
                match word {
                    "-o" | "--options" => options.push_str(words.next().unwrap_or_default()),
                    "-t" | "--types" | "-O" => {
                        words.next();
                    }
                    "-L" | "-U" => fields.push(words.next().unwrap_or_default()),
                    _ if word.starts_with('-') => {
                        options.push(',');
                        options.push_str(word.trim_start_matches('-'));
                    }
                    _ => fields.push(word),
                }
            }
            match (command.program(), fields[..].as_ref()) {
                ("mount", [device, directory])
                    if out.len() < MAX_COMPARED
                        && always_runs(step, at)
                        && is_hiding(device, directory, &options)
                        && !before.iter().any(|written| written.contains(directory)) =>
                {
                    let place = step.place(boot.source(), command.written);
                    out.push((normalize_path(directory).into_owned(), place));
                }
                ("mkdir" | "chown" | "chmod" | "echo" | "mount", _) => {}
                ("umount", _) => return Vec::new(),
                (program, _) if program.starts_with("mkfs") => {}
                _ => before.push(command.written),
            }
        }
    }
    out
}

/// Reports a file in `/tmp` that is written early in the boot.
fn check_temporary(file: &FileEntry<'_>, path: &str, place: Span, out: &mut Vec<Diagnostic>) {
    if file.deferred || !file.destination.starts_with("/tmp/") {
        return;
    }
    let message = format!("`/tmp` may be emptied or mounted later in the boot: {} may be gone then", quoted(path));
    let help = Some("write it to `/run`, or to a directory such as `/root` or `/opt`".into());
    out.push(file.finding(&rules::FILE_IN_TMP, "path", place, message, help));
}
