//! Files in directories of which a program reads only certain names.

use super::file::{Content, ContentFault};
use crate::rules;
use diagnostics::quoted;
use diagnostics::source::Span;

/// Directories, the program that reads them, and the endings of the names that it reads.
const DIRECTORIES: &[(&str, &str, &[&str])] = &[
    ("/etc/NetworkManager/conf.d/", "NetworkManager", &["conf"]),
    ("/etc/apt/sources.list.d/", "apt", &["list", "sources"]),
    ("/etc/apt/trusted.gpg.d/", "apt", &["gpg", "asc"]),
    ("/etc/binfmt.d/", "systemd", &["conf"]),
    ("/etc/cloud/cloud.cfg.d/", "cloud-init", &["cfg"]),
    ("/etc/default/grub.d/", "GRUB", &["cfg"]),
    ("/etc/environment.d/", "systemd", &["conf"]),
    ("/etc/fail2ban/filter.d/", "fail2ban", &["conf", "local"]),
    ("/etc/fail2ban/jail.d/", "fail2ban", &["conf", "local"]),
    ("/etc/ld.so.conf.d/", "ldconfig", &["conf"]),
    ("/etc/modprobe.d/", "modprobe", &["conf"]),
    ("/etc/modules-load.d/", "systemd", &["conf"]),
    ("/etc/netplan/", "netplan", &["yaml"]),
    ("/etc/nginx/conf.d/", "nginx", &["conf"]),
    ("/etc/polkit-1/rules.d/", "polkit", &["rules"]),
    ("/etc/profile.d/", "the login shell", &["sh", "csh", "local"]),
    ("/etc/rsyslog.d/", "rsyslog", &["conf"]),
    ("/etc/security/limits.d/", "PAM", &["conf"]),
    ("/etc/ssh/ssh_config.d/", "ssh", &["conf"]),
    ("/etc/ssh/sshd_config.d/", "sshd", &["conf"]),
    ("/etc/supervisor/conf.d/", "supervisor", &["conf"]),
    ("/etc/sysctl.d/", "sysctl", &["conf"]),
    ("/etc/systemd/journald.conf.d/", "systemd", &["conf"]),
    ("/etc/systemd/logind.conf.d/", "systemd", &["conf"]),
    ("/etc/systemd/resolved.conf.d/", "systemd", &["conf"]),
    ("/etc/systemd/system.conf.d/", "systemd", &["conf"]),
    ("/etc/systemd/timesyncd.conf.d/", "systemd", &["conf"]),
    ("/etc/sysusers.d/", "systemd", &["conf"]),
    ("/etc/tmpfiles.d/", "systemd", &["conf"]),
    ("/etc/udev/rules.d/", "udev", &["rules"]),
    ("/etc/yum.repos.d/", "yum", &["repo"]),
];
/// Parts of names that say that the file is not to be read.
const ON_PURPOSE: &[&str] =
    &["README", "disabled", ".bak", ".orig", ".save", ".dpkg", ".old", ".tmp", ".template", ".tpl", ".in", ".j2"];

pub(super) fn check(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    let path = content.path;
    if !path.starts_with("/etc/") || content.text.trim().is_empty() {
        return;
    }
    let (name, program, endings) = match DIRECTORIES
        .iter()
        .find_map(|(directory, program, endings)| Some((path.strip_prefix(directory)?, *program, *endings)))
    {
        Some(found) => found,
        None => {
            let Some((unit, name)) = path.strip_prefix("/etc/systemd/system/").and_then(|rest| rest.split_once(".d/"))
            else {
                return;
            };
            if !unit.contains('.') && unit != "service" {
                return;
            }
            (name, "systemd", ["conf"].as_slice())
        }
    };
    let is_read = endings.iter().any(|ending| super::file::has_ending(name, ending));
    let is_unsure = name.contains(['/', '$', '{', '<', '%'])
        || name.starts_with('.')
        || ON_PURPOSE.iter().any(|part| name.contains(part));
    if is_read || is_unsure {
        return;
    }
    let first = content.text.lines().next().unwrap_or_default();
    let message = format!("{program} does not read a file named {}", quoted(name));
    let stem = match name.rsplit_once('.') {
        Some((stem, "yml" | "conf" | "cfg" | "list" | "txt" | "sh" | "repo" | "rules")) => stem,
        _ => name,
    };
    let names: Vec<_> = endings.iter().take(2).map(|ending| quoted(&format!("{stem}.{ending}"))).collect();
    let help = Some(format!("name it {}", names.join(" or ")));
    out.push(ContentFault::new(&rules::IGNORED_FILE_NAME, Span::new(0, first.len()), message, help));
}
