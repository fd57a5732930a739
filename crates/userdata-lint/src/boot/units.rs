//! Units that nothing provides: the service of a timer, and what a unit needs or is started by.

use std::cell::OnceCell;

use super::commands::called_files;
use super::files::HARMLESS;
use super::known_units;
use super::order::{INSTALLER_KEYS, installed_packages};
use super::packages::{DEFAULT_USERS, is_base_account, packages_of_account, packages_of_service, provides};
use super::steps::{Boot, MAX_COMPARED};
use super::users;
use crate::cloud_config::FileEntry;
use crate::content::{self, ContentFault, NamedUnit};
use crate::rules;
use crate::shell::{self, Interpreter, SimpleCommand};
use diagnostics::{Diagnostic, Severity, closest, quoted};

/// Programs that put no unit where systemd finds it, unless an argument names the place.
const WITHOUT_UNITS: &[&str] = &[
    ".", ":", "[", "awk", "base64", "cat", "cd", "chpasswd", "cockroach", "cp", "createdb", "createuser", "crontab",
    "curl", "cut", "dd", "docker", "exit", "export", "fallocate", "false", "find", "gpg", "grep", "head", "hostname",
    "id", "ip", "iptables", "ip6tables", "journalctl", "kill", "ln", "logger", "ls", "mkfs.ext4", "mkfs.xfs", "mkswap",
    "mount", "mv", "nakama", "nft", "openssl", "podman", "ps", "psql", "resolvectl", "sed", "sleep", "sort",
    "ssh-keygen", "sysctl", "tail", "tee", "test", "tr", "umask", "umount", "unset", "wc", "wget", "xargs",
];
/// Settings without whose unit a unit does not start.
const NEEDS: [&str; 3] = ["Requires", "Requisite", "BindsTo"];
/// Settings that say what starts a unit.
const STARTED_BY: [&str; 3] = ["WantedBy", "RequiredBy", "UpheldBy"];
/// Where systemd finds units.
const UNIT_DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/", "/usr/local/lib/systemd/system/",
    "/run/systemd/system/",
];
/// Where quadlets are.
const QUADLETS: &str = "/etc/containers/systemd/";

/// A unit that the document writes as a readable file.
struct Unit<'d, 't> {
    file: &'d FileEntry<'t>,
    text: &'d str,
    name: &'d str,
    named: Vec<NamedUnit>,
}

impl Unit<'_, '_> {
    /// Adds a finding in the content.
    fn report(&self, boot: &Boot<'_, '_>, fault: ContentFault, out: &mut Vec<Diagnostic>) {
        let Some(content) = self.file.content.as_ref() else { return };
        let path = format!("write_files.{}.content", self.file.index);
        let source = boot.document.source;
        content::report_in_scalar(source, content.node, !content.is_plain(), &path, self.text, vec![fault], out);
    }
}

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let units = units(boot);
    if units.is_empty() {
        return;
    }
    let origins = OnceCell::new();
    // Most units only name what systemd brings, so that the commands need not be read.
    let is_missing = |name: &str| {
        is_file_name(name)
            && !known_units::is_known(name)
            && !content::is_special_target(name)
            && !is_written(boot, &units, name)
            && !origins.get_or_init(|| Origins::new(boot)).may_bring(name)
    };
    for unit in &units {
        check_trigger(boot, unit, &units, &is_missing, out);
        if let Some(named) = missing_user(boot, unit) {
            let origins = origins.get_or_init(|| Origins::new(boot));
            let is_mentioned = boot.document.files().iter().any(|file| {
                let is_unit = units.iter().any(|unit| std::ptr::eq(unit.file, file));
                !is_unit
                    && file
                        .content
                        .as_ref()
                        .is_some_and(|content| content.text().is_none_or(|text| text.contains(&named.name)))
            });
            if !is_mentioned && !origins.may_bring(&named.name) {
                let message = format!(
                    "base images do not have the user {}, and nothing creates it: the service does not start (217/USER)",
                    quoted(&named.name)
                );
                let help = "create it under `users`, with `system: true`; or use `DynamicUser=yes`";
                unit.report(
                    boot,
                    ContentFault::new(&rules::UNKNOWN_OWNER, named.span, message, Some(help.into())),
                    out,
                );
            }
        }
        for named in unit.named.iter().take(MAX_COMPARED) {
            let Some(fault) = check_relation(unit, named, &units, &is_missing) else { continue };
            let before = out.len();
            unit.report(boot, fault, out);
            // Another base image may have well-known software.
            if packages_of_service(&named.name).is_some() {
                out[before..].iter_mut().for_each(|found| found.severity = Severity::Info);
            }
        }
    }
}

fn units<'d, 't>(boot: &'d Boot<'_, 't>) -> Vec<Unit<'d, 't>> {
    let mut out = Vec::new();
    for file in boot.document.files().iter().filter(|file| file.destination.contains("/systemd/") && !file.appends) {
        let Some(text) = file.content.as_ref().and_then(|content| content.text()) else { continue };
        let Some((directory, name)) = file.destination.rsplit_once('/') else { continue };
        let name = directory.strip_suffix(".d").map_or(name, |unit| unit.rsplit('/').next().unwrap_or_default());
        if !text.trim().is_empty() && UNIT_DIRECTORIES.iter().any(|known| file.destination.starts_with(known)) {
            out.push(Unit { file, text, name, named: content::named_units(&file.destination, text) });
        }
        if out.len() >= MAX_COMPARED {
            break;
        }
    }
    out
}

/// The user of a service, if neither base images nor the document have it.
fn missing_user<'u>(boot: &Boot<'_, '_>, unit: &'u Unit<'_, '_>) -> Option<&'u NamedUnit> {
    let named = unit.named.iter().rev().find(|named| named.setting == "User")?;
    let name = named.name.as_str();
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'));
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    let is_dynamic = unit.named.iter().any(|named| named.setting == "DynamicUser");
    let is_known = is_base_account(name)
        || DEFAULT_USERS.contains(&name)
        || users::created_accounts(boot.document).contains_key(name);
    let by_package =
        packages_of_account(name).is_some_and(|known| boot.packages.iter().any(|package| provides(package, known)));
    (is_plain && !is_number && !is_dynamic && !is_known && !by_package).then_some(named)
}

/// Whether a name is complete, and of a kind that is always a file.
fn is_file_name(name: &str) -> bool {
    let is_complete = !name.contains(['%', '$', '*', '{', '<']) && !name.starts_with('.');
    let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    is_complete && matches!(suffix, "service" | "target" | "timer" | "path" | "socket")
}

/// `foo@.service` for `foo@bar.service`.
fn template_of(name: &str) -> Option<String> {
    let (stem, rest) = name.split_once('@')?;
    let (_, suffix) = rest.rsplit_once('.')?;
    Some(format!("{stem}@.{suffix}"))
}

/// Whether a file of the document is the unit, or makes it.
fn is_written(boot: &Boot<'_, '_>, units: &[Unit<'_, '_>], name: &str) -> bool {
    let template = template_of(name);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let is_unit = |path: &str| {
        let mut names = path.rsplit('/').take(2);
        // A drop-in, or a link in `….wants`, belongs to a unit that exists.
        names.any(|part| {
            let part = part.strip_suffix(".d").unwrap_or(part);
            part == name || template.as_deref() == Some(part)
        }) || path.strip_prefix("/etc/init.d/") == Some(stem)
            || path.starts_with(QUADLETS)
                && path.rsplit('/').next().is_some_and(|file| stem.starts_with(file.split('.').next().unwrap_or(file)))
    };
    let is_alias = |unit: &Unit<'_, '_>| unit.named.iter().any(|one| one.setting == "Alias" && one.name == name);
    boot.paths.keys().any(|path| is_unit(path))
        || units.iter().any(is_alias)
        || boot.document.files().iter().any(|file| {
            let is_unit = units.iter().any(|unit| std::ptr::eq(unit.file, file));
            !is_unit
                && file.content.as_ref().is_some_and(|content| content.text().is_none_or(|text| text.contains(name)))
        })
}

/// Where units may come from, beside the files of the document.
struct Origins {
    /// Whether a command or a module may bring any unit.
    is_open: bool,
    packages: Vec<String>,
    /// The texts of the commands that write or link files.
    written: Vec<String>,
}

impl Origins {
    fn new(boot: &Boot<'_, '_>) -> Self {
        let document = boot.document;
        let mut out = Self {
            is_open: INSTALLER_KEYS.iter().any(|key| document.get(key).is_some()),
            packages: boot.packages.iter().map(ToString::to_string).collect(),
            written: Vec::new(),
        };
        // Modules install packages of their name: `ntp`, `wireguard`, `landscape`.
        let keys = document.root.entries().into_iter().flatten().filter_map(|(key, _)| key.as_str());
        out.packages.extend(keys.filter(|key| !KEYS_WITHOUT_PACKAGES.contains(key)).map(str::to_owned));
        for step in &boot.steps {
            out.is_open |= step.commands.is_empty() && step.node.is_some_and(|node| node.items().is_some());
            step.commands.iter().for_each(|command| out.read(boot, command));
            if let Some(text) = step.node.and_then(yaml11::Node::as_str)
                && step.commands.iter().any(|command| command.program() != "systemctl")
            {
                out.written.push(text.to_owned());
            }
        }
        let called = called_files(boot);
        for file in
            document.files().iter().filter(|file| file.is_run_as_script() || called.contains(&*file.destination))
        {
            out.read_script(boot, file);
        }
        out.is_open |= out.packages.iter().any(|name| name.contains(['/', '$', '*', '{', ':', '<']));
        out
    }

    fn read_script(&mut self, boot: &Boot<'_, '_>, file: &FileEntry<'_>) {
        let text = file.content.as_ref().and_then(|content| content.text());
        let Some((text, interpreter)) = text.and_then(|text| Some((text, Interpreter::from_script(text)?))) else {
            self.is_open = true;
            return;
        };
        for command in shell::commands(text, interpreter) {
            self.read(boot, &command);
        }
        self.written.push(text.to_owned());
    }

    fn read(&mut self, boot: &Boot<'_, '_>, command: &SimpleCommand<'_>) {
        let program = command.program();
        self.written.push(match program {
            // A link or a path names a file that exists.
            "systemctl" => command.operands().filter(|word| word.contains('/')).collect::<Vec<_>>().join(" "),
            _ => command.words.join(" "),
        });
        self.written.extend(command.outputs.iter().map(|output| output.path.to_string()));
        if let Some(packages) = installed_packages(command) {
            self.packages.extend(packages.into_iter().map(str::to_owned));
            return;
        }
        let is_shell = Interpreter::from_program(program).is_some();
        let calls_known_file = {
            let file = if is_shell || program == "." {
                command.operands().next()
            } else {
                command.words.first().map(AsRef::as_ref)
            };
            file.is_some_and(|path| path.starts_with('/') && boot.file(path).is_some())
        };
        let has_inner_script =
            is_shell && command.arguments().iter().any(|word| word.starts_with('-') && word.ends_with('c'));
        let is_harmless =
            HARMLESS.contains(&program) || WITHOUT_UNITS.contains(&program) || calls_known_file || has_inner_script;
        let is_place = |path: &str| {
            let path = path.trim_end_matches('/');
            let is_directory = UNIT_DIRECTORIES.iter().any(|known| path == known.trim_end_matches('/'));
            is_directory
                || matches!(
                    path,
                    "" | "/etc" | "/etc/systemd" | "/usr" | "/usr/lib" | "/usr/lib/systemd" | "/lib" | "/lib/systemd"
                )
                || path.contains("/systemd/") && path.contains(['$', '*', '{'])
        };
        let copies = matches!(program, "cp" | "mv" | "ln" | "install" | "find" | "xargs" | "tee" | "curl" | "wget");
        let writes_units = copies && command.operands().any(|word| is_place(word) || word.starts_with('$'))
            || command.outputs.iter().any(|output| is_place(&output.path) || output.path.starts_with('$'));
        self.is_open |= !is_harmless || writes_units;
    }

    fn may_bring(&self, name: &str) -> bool {
        self.is_open
            || self.packages.iter().any(|package| known_units::may_contain(package, name))
            || self.written.iter().any(|text| text.contains(name))
            || packages_of_service(name)
                .is_some_and(|known| self.packages.iter().any(|package| provides(package, known)))
    }
}

/// Keys of cloud-config that install no package of their name.
const KEYS_WITHOUT_PACKAGES: &[&str] = &[
    "apt", "bootcmd", "chpasswd", "disable_root", "disk_setup", "final_message", "fqdn", "fs_setup", "groups",
    "growpart", "hostname", "keyboard", "locale", "manage_etc_hosts", "mounts", "output", "package_reboot_if_required",
    "package_update", "package_upgrade", "packages", "password", "phone_home", "power_state",
    "prefer_fqdn_over_hostname", "preserve_hostname", "resize_rootfs", "runcmd", "ssh_authorized_keys", "ssh_pwauth",
    "swap", "timezone", "users", "write_files",
];

/// Reports a timer, a path or a socket whose service nothing provides.
fn check_trigger(
    boot: &Boot<'_, '_>,
    unit: &Unit<'_, '_>,
    units: &[Unit<'_, '_>],
    is_missing: &dyn Fn(&str) -> bool,
    out: &mut Vec<Diagnostic>,
) {
    let Some((stem, kind @ ("timer" | "path" | "socket"))) = unit.name.rsplit_once('.') else { return };
    let is_drop_in = !unit.file.destination.ends_with(unit.name);
    let drop_ins = format!("{}.d/", unit.file.destination);
    let has_drop_in = boot.paths.range(&*drop_ins..).next().is_some_and(|(path, _)| path.starts_with(&drop_ins));
    // The timer of a package, changed here.
    if is_drop_in || has_drop_in || known_units::is_known(unit.name) {
        return;
    }
    let set = unit.named.iter().rev().find(|named| matches!(named.setting.as_str(), "Unit" | "Service"));
    let accepts = || {
        unit.named.iter().any(|named| named.setting == "Accept" && !["no", "false", "0", "off"].contains(&&*named.name))
    };
    let service = match set {
        Some(named) => named.name.clone(),
        None if kind == "socket" && accepts() => format!("{stem}@.service"),
        None => format!("{stem}.service"),
    };
    if !is_missing(&service) {
        return;
    }
    let message = format!(
        "{} starts {}, which nothing in this document provides: it is never loaded",
        quoted(unit.name),
        quoted(&service)
    );
    let help = match similar_unit(&service, units) {
        Some(help) => help,
        None => format!(
            "write {} too, or name the service with `{}=`",
            quoted(&service),
            if kind == "socket" { "Service" } else { "Unit" }
        ),
    };
    let rule = &rules::TRIGGER_WITHOUT_UNIT;
    match set {
        Some(named) => unit.report(boot, ContentFault::new(rule, named.span, message, Some(help)), out),
        None => {
            let Some((_, place)) = unit.file.path else { return };
            out.push(unit.file.finding(rule, "path", place.used_at(), message, Some(help)));
        }
    }
}

/// A unit that nothing provides, without which another one does not start or is not started.
fn check_relation(
    unit: &Unit<'_, '_>,
    named: &NamedUnit,
    units: &[Unit<'_, '_>],
    is_missing: &dyn Fn(&str) -> bool,
) -> Option<ContentFault> {
    let (setting, name) = (named.setting.as_str(), named.name.as_str());
    let effect = if NEEDS.contains(&setting) {
        format!("{} does not start", quoted(unit.name))
    } else if STARTED_BY.contains(&setting) {
        format!("nothing starts {}", quoted(unit.name))
    } else {
        return None;
    };
    // A misspelled target is reported with the unit itself.
    if content::is_like_special_target(name) || !is_missing(name) {
        return None;
    }
    let message = format!("nothing in this document provides {}: {effect}", quoted(name));
    let help = similar_unit(name, units).unwrap_or_else(|| {
        format!("write {} too, or install its package, unless your base image has it", quoted(name))
    });
    Some(ContentFault::new(&rules::MISSING_UNIT, named.span, message, Some(help)))
}

/// Suggests a unit of the document with the same suffix. Suffixes do not count for the similarity.
fn similar_unit(name: &str, units: &[Unit<'_, '_>]) -> Option<String> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let stems = units.iter().filter_map(|unit| unit.name.strip_suffix(suffix)?.strip_suffix('.'));
    let near = closest(stem, stems)?;
    Some(format!("did you mean `{near}.{suffix}`?"))
}
