//! Settings of sshd that another setting of the same document overrides, and the firewall's rules for
//! the port of sshd.

use super::steps::Boot;
use crate::cloud_config::FileEntry;
use crate::rules;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};
use yaml11::Scalar;

const CONFIG: &str = "/etc/ssh/sshd_config";
const DROP_INS: &str = "/etc/ssh/sshd_config.d/";
/// The file that cloud-init writes for `ssh_pwauth`.
const OF_CLOUD_INIT: &str = "/etc/ssh/sshd_config.d/50-cloud-init.conf";

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    check_password_setting(boot, out);
    check_port(boot, out);
}

/// The settings of a configuration before the first `Match`: keyword in lowercase and value.
fn settings(text: &str) -> impl Iterator<Item = (String, &str)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let settings = lines.map(|line| {
        let (keyword, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
        (keyword.to_ascii_lowercase(), value.trim_matches([' ', '\t', '=', '"']))
    });
    settings.take_while(|(keyword, _)| keyword != "match")
}

/// Whether sshd reads the file: its configuration, or a file in the directory of drop-ins.
fn is_read_by_sshd(path: &str) -> bool {
    path == CONFIG
        || path.strip_prefix(DROP_INS).is_some_and(|name| {
            name.rsplit_once('.').is_some_and(|(_, ending)| ending == "conf") && !name.contains('/')
        })
}

/// Reports `PasswordAuthentication` in a file that sshd reads after the one that cloud-init writes
/// for `ssh_pwauth`: the first value counts.
fn check_password_setting(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let Some(node) = boot.document.get("ssh_pwauth") else { return };
    let allows = match node.scalar() {
        Some(Scalar::Bool(allows)) => *allows,
        Some(Scalar::Str(text)) if matches!(text.as_str(), "yes" | "true") => true,
        Some(Scalar::Str(text)) if matches!(text.as_str(), "no" | "false") => false,
        _ => return,
    };
    // The document may remove the file of cloud-init, or write it itself.
    if boot.source().text().contains("50-cloud-init") {
        return;
    }
    let opposite = if allows { "no" } else { "yes" };
    let value = |file: &FileEntry<'_>| {
        let text = file.content.as_ref()?.text()?;
        let mut settings = settings(text);
        let value = settings.find(|(keyword, _)| keyword == "passwordauthentication")?.1;
        Some(value.split([' ', '\t', '#']).next().unwrap_or_default().to_ascii_lowercase())
    };
    let read = || boot.document.files().iter().filter(|file| is_read_by_sshd(&file.destination));
    // A file that sshd reads before counts.
    if read().any(|file| {
        file.destination.starts_with(DROP_INS) && &*file.destination < OF_CLOUD_INIT && value(file).is_some()
    }) {
        return;
    }
    let message = |name: &str| {
        format!(
            "{} has no effect: sshd reads {} first, where cloud-init writes {} for `ssh_pwauth`",
            quoted(&format!("PasswordAuthentication {opposite}")),
            quoted(name),
            quoted(if allows { "yes" } else { "no" }),
        )
    };
    let help = format!("set `ssh_pwauth: {}`, or remove it", !allows);
    let mut report = |path: String, span: Span, message: String| {
        let mut found = crate::places::finding(&rules::SHADOWED_SSHD_SETTING, path, span, message, Some(help.clone()));
        found.related.push((node.used_at(), "`ssh_pwauth` is set here".into()));
        out.push(found);
    };
    for file in read().filter(|file| value(file).is_some_and(|value| value == opposite)) {
        let Some(content) = &file.content else { continue };
        // The whole configuration: cloud-init changes it, or it includes the drop-ins where it says so.
        if &*file.destination == CONFIG && !file.appends {
            let keywords: Vec<_> = settings(content.text().unwrap_or_default()).map(|(keyword, _)| keyword).collect();
            let at = |name: &str| keywords.iter().position(|keyword| keyword == name);
            if at("include").is_none_or(|include| at("passwordauthentication") < Some(include)) {
                continue;
            }
        }
        let span =
            super::steps::place_in(boot.source(), content.node, line_of_setting(content.text().unwrap_or_default()));
        report(format!("write_files.{}.content", file.index), span, message(OF_CLOUD_INIT));
    }
    // The distributions' configuration includes the drop-ins in its first line.
    for (step, command) in boot.all_commands().filter(|(_, command)| command.program() == "sed") {
        let edits = command.has(&["-i", "-ie", "-Ei", "-ri", "-i.bak", "--in-place"])
            || command.arguments().iter().any(|word| word.starts_with("-i"));
        let expression = command.operands().find(|word| word.contains("PasswordAuthentication"));
        let sets = expression.is_some_and(|text| text.contains(&format!("PasswordAuthentication {opposite}/")));
        // The value that is replaced is the opposite of the new one, or any.
        if edits && sets && command.operands().last() == Some(CONFIG) && read().next().is_none() {
            let span = step.place(boot.source(), command.written);
            report(step.path.clone(), span, message(OF_CLOUD_INIT));
        }
    }
}

/// The line with the setting, as it is written.
fn line_of_setting(text: &str) -> &str {
    let is_setting = |line: &&str| line.trim_start().to_ascii_lowercase().starts_with("passwordauthentication");
    text.lines().find(is_setting).unwrap_or_default().trim()
}

/// Reports a firewall that opens port 22, while the document moves sshd to another port that no
/// rule mentions.
fn check_port(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let mut ports = Vec::new();
    for file in document.files().iter().filter(|file| is_read_by_sshd(&file.destination)) {
        let Some((content, text)) = file.content.as_ref().and_then(|content| Some((content, content.text()?))) else {
            continue;
        };
        let found = settings(text).filter(|(keyword, _)| keyword == "port" || keyword == "listenaddress");
        for (keyword, value) in found {
            let port = value.rsplit(':').next().unwrap_or_default().split([' ', '\t', '#']).next();
            match port.and_then(|port| port.parse::<u16>().ok()) {
                Some(port) => ports.push((port, content.node.used_at())),
                // The port comes from a variable, or the address has none.
                None if keyword == "port" => return,
                None => {}
            }
        }
    }
    for node in boot.steps.iter().filter_map(|step| step.node) {
        let text = node.as_str().unwrap_or_else(|| boot.source().slice(node.span()));
        for line in text.lines().filter(|line| line.contains(CONFIG)) {
            let named = line.match_indices("Port ").filter_map(|(at, name)| {
                let digits = line[at + name.len()..].split(|c: char| !c.is_ascii_digit()).next()?;
                digits.parse::<u16>().ok()
            });
            // `sed` also names the old port.
            let set = named.filter(|port| *port != 22 || !line.contains("sed "));
            ports.extend(set.map(|port| (port, super::steps::place_in(boot.source(), node, line.trim()))));
        }
    }
    let Some((port, place)) = ports.first().copied() else { return };
    if ports.iter().any(|(one, _)| *one == 22 || *one != port) {
        return;
    }
    // All texts that may open the port.
    let mut texts = vec![boot.source().text()];
    let contents =
        document.files().iter().filter_map(|file| file.content.as_ref().filter(|content| !content.is_plain())?.text());
    texts.extend(contents);
    if texts.iter().any(|text| text.lines().any(|line| may_open(line, port))) {
        return;
    }
    check_nftables(boot, (port, place), out);
    let commands: Vec<_> = boot.all_commands().collect();
    let enabled = commands.iter().any(|(_, command)| {
        !command.conditional && command.program() == "ufw" && command.operands().next() == Some("enable")
            || command.program() == "firewall-cmd"
            || matches!(command.program(), "iptables") && command.has(&["DROP", "REJECT"])
    });
    if !enabled {
        return;
    }
    let opens_22 = |words: &[&str]| {
        let has = |names: &[&str]| words.iter().any(|word| names.contains(&word.to_ascii_lowercase().as_str()));
        match words.first().copied().unwrap_or_default() {
            "ufw" => has(&["allow", "limit"]) && has(&["openssh", "ssh", "22", "22/tcp", "ssh/tcp"]),
            "firewall-cmd" => has(&["--add-service=ssh", "--add-port=22/tcp"]),
            "iptables" => has(&["accept"]) && has(&["22", "ssh"]),
            _ => false,
        }
    };
    for (step, command) in &commands {
        let mut words = vec![command.program()];
        words.extend(command.arguments().iter().map(AsRef::as_ref));
        if opens_22(&words) {
            let message =
                format!("the firewall opens port 22 for SSH, but sshd listens on port {port}: nobody can log in");
            let help = match command.program() {
                "ufw" => format!("add `ufw allow {port}/tcp`"),
                "firewall-cmd" => format!("add `firewall-cmd --permanent --add-port={port}/tcp`"),
                _ => format!("open port {port}"),
            };
            let mut found = step.finding(boot.source(), &rules::SSH_PORT_NOT_OPEN, command, message, &help);
            found.related.push((place, "sshd gets another port here".into()));
            out.push(found);
            return;
        }
    }
}

/// Reports the rule for port 22 in `/etc/nftables.conf`, if all other rules are for certain ports.
fn check_nftables(boot: &Boot<'_, '_>, (port, place): (u16, Span), out: &mut Vec<Diagnostic>) {
    let Some(file) = boot.file("/etc/nftables.conf") else { return };
    let Some((content, text)) = file.content.as_ref().and_then(|content| Some((content, content.text()?))) else {
        return;
    };
    let lines = || text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let is_narrow = |line: &str| {
        !line.contains("accept")
            || ["dport", "lo", "established", "icmp", "hook output", "hook forward"]
                .iter()
                .any(|word| line.contains(word))
    };
    if !lines().any(|line| line.contains("policy drop")) || !lines().all(is_narrow) || text.contains("include") {
        return;
    }
    let opens_22 = |line: &&str| {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
        line.contains("tcp dport") && line.contains("accept") && words.any(|word| word == "22" || word == "ssh")
    };
    let Some(line) = lines().find(opens_22) else { return };
    let message = format!("the firewall opens port 22 for SSH, but sshd listens on port {port}: nobody can log in");
    let span = super::steps::place_in(boot.source(), content.node, line);
    let help = Some(format!("open port {port}"));
    let mut found = file.finding(&rules::SSH_PORT_NOT_OPEN, "content", span, message, help);
    found.related.push((place, "sshd gets another port here".into()));
    out.push(found);
}

/// Whether a line may open a port: it names the port, other than as the setting of sshd, or it
/// opens a range, a variable or everything.
fn may_open(line: &str, port: u16) -> bool {
    let firewalls = ["ufw", "firewall", "iptables", "nft", "dport"];
    let is_rule = firewalls.iter().any(|name| line.contains(name));
    if line.contains("default allow outgoing") {
        return false;
    }
    let digits = port.to_string();
    let words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let names_port = words.clone().any(|word| word == digits);
    // In nftables, `{ 22, 80 }` is a set.
    let marks: &[char] = if line.contains("dport {") { &['$', '<', '*', '@'] } else { &['$', '{', '<', '*', '@'] };
    if is_rule && (names_port || line.contains(marks)) {
        return true;
    }
    // `2000:3000`, and rules for an address, an interface or everything.
    let numbers: Vec<u16> = words.filter_map(|word| word.parse().ok()).collect();
    let in_range = line.contains([':', '-']) && numbers.windows(2).any(|pair| pair[0] < port && port < pair[1]);
    let is_broad = [" from ", " in ", " on ", "default allow", "disable", "--state", "--ctstate", "-i ", "trusted"];
    let accepts =
        ["allow", "limit", "ACCEPT", "accept", "--set-default", "disable"].iter().any(|word| line.contains(word));
    if is_rule && accepts && (in_range || is_broad.iter().any(|word| line.contains(word)) && !line.contains("lo ")) {
        return true;
    }
    // An application profile or a service of the firewall, or a script that reads the number.
    let is_harmless = line.trim_start().starts_with('#')
        || ["Port", "ListenAddress", "sshd", "ssh -p", "port = ", "echo ", "message"]
            .iter()
            .any(|word| line.contains(word));
    names_port && !is_harmless
}
