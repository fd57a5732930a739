//! Packages that apt cannot install: removed ones, those of a source that nothing adds, and pairs that conflict.

use super::order::installed_packages;
use super::steps::{Boot, Stage};
use crate::rules;
use crate::shell::SimpleCommand;
use crate::value;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

/// Packages that neither Debian 12 and 13 nor Ubuntu 22.04 and 24.04 have, and what to install instead. `*` stands for any
/// rest. Most were compared with `apt-cache policy` on Debian 12; the package lists of the other releases were not.
const REMOVED: &[(&str, &str)] = &[
    ("apache2-mpm-*", "use `apache2`"),
    ("docker-engine", "use `docker.io`, or `docker-ce` with Docker's source"),
    ("lxc-docker", "use `docker.io`, or `docker-ce` with Docker's source"),
    ("mongodb", "use `mongodb-org` with MongoDB's source"),
    ("mongodb-server", "use `mongodb-org` with MongoDB's source"),
    ("nodejs-legacy", "use `nodejs`"),
    ("php5*", "use `php`, or add a source that has this version"),
    ("php7.*", "use `php`, or add a source that has this version"),
    ("postgresql-10", "use `postgresql`, or add PostgreSQL's source"),
    ("postgresql-11", "use `postgresql`, or add PostgreSQL's source"),
    ("postgresql-12", "use `postgresql`, or add PostgreSQL's source"),
    ("postgresql-9.*", "use `postgresql`, or add PostgreSQL's source"),
    ("python", "use `python3`, or `python-is-python3`"),
    ("python-dev", "use `python3-dev`"),
    ("python-minimal", "use `python3-minimal`"),
    ("python-pip", "use `python3-pip`"),
    ("python-setuptools", "use `python3-setuptools`"),
    ("python-software-properties", "use `software-properties-common`"),
    ("python-virtualenv", "use `python3-virtualenv`"),
    ("python3.5*", "use `python3`, or add a source that has this version"),
    ("python3.6*", "use `python3`, or add a source that has this version"),
    ("python3.7*", "use `python3`, or add a source that has this version"),
    ("python3.8*", "use `python3`, or add a source that has this version"),
];
/// Packages that some of these releases do not have.
const REMOVED_LATER: &[(&str, &str, &str)] = &[
    ("libssl1.1", "Debian 12 and Ubuntu 22.04", "use `libssl3`"),
    ("netcat", "Debian 12", "use `netcat-openbsd`"),
    ("software-properties-common", "Debian 13", "add sources with `apt: sources:`"),
];
/// Packages of other sources.
const ELSEWHERE: &[&str] = &[
    "containerd.io", "datadog-agent", "docker-buildx-plugin", "docker-ce", "docker-ce-cli",
    "docker-ce-rootless-extras", "docker-compose-plugin", "elasticsearch", "filebeat", "gitlab-ce", "gitlab-ee",
    "google-chrome-stable", "grafana", "jenkins", "kibana", "kubeadm", "kubelet", "logstash", "mongodb-mongosh",
    "mongodb-org", "newrelic-infra", "nvidia-docker2", "terraform", "vault",
];
/// Packages of which a machine can have only one.
const CONFLICTS: &[(&[&str], &[&str])] = &[
    (&["docker.io"], &["docker-ce", "docker-ce-cli", "containerd.io"]),
    (&["containerd"], &["containerd.io"]),
    (&["chrony"], &["ntp", "ntpsec", "openntpd", "systemd-timesyncd"]),
    (&["ntp", "ntpsec"], &["openntpd", "systemd-timesyncd"]),
    (&["postfix"], &["exim4", "sendmail", "msmtp-mta"]),
    (&["mariadb-server"], &["mysql-server"]),
    (&["ufw"], &["iptables-persistent", "netfilter-persistent"]),
];
/// What says that packages come from elsewhere, too.
const SOURCES: &[&str] = &[
    "add-apt-repository", "apt-add-repository", "sources.list", "extrepo", "deb [", "deb http", "setup_",
    "get.docker.com", "dpkg -i", ".deb",
];
/// Package managers of other distributions, in which packages have other names.
const OTHERS: &[&str] = &["yum", "dnf", "apk add", "zypper", "pacman", "microdnf", "amazon-linux"];

/// A package that the document installs, and its place.
struct Wanted {
    name: String,
    path: String,
    span: Span,
}

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let wanted = wanted(boot);
    if wanted.is_empty() {
        return;
    }
    for package in wanted.iter().filter(|package| package.name.contains(['‘', '’', '“', '”', '„', '–'])) {
        let message = format!("{} contains a typographic character, which no package name has", quoted(&package.name));
        let help = "write the name without quotes, or with `'`";
        out.push(report(&rules::UNAVAILABLE_PACKAGE, package, message, help));
    }
    let text = boot.source().text();
    if OTHERS.iter().any(|manager| text.contains(manager)) || !is_for_apt(boot) {
        return;
    }
    check_conflicts(&wanted, out);
    let has_sources = ["apt_sources", "apt_mirror", "ubuntu_advantage", "ubuntu_pro"]
        .iter()
        .any(|key| boot.document.get(key).is_some())
        || boot.document.get("apt").is_some_and(|apt| {
            ["sources", "sources_list", "primary"].iter().any(|key| value::get(boot.document.tree, apt, key).is_some())
        });
    if has_sources || SOURCES.iter().any(|mark| text.contains(mark)) || runs_downloads(boot) {
        return;
    }
    for package in &wanted {
        let is = |known: &str| match known.strip_suffix('*') {
            Some(begin) => package.name.starts_with(begin),
            None => package.name == known,
        };
        let message = if let Some((_, help)) = REMOVED.iter().find(|(known, _)| is(known)) {
            Some((
                format!(
                    "Debian 12 and Ubuntu 22.04, and later ones, do not have the package {}",
                    quoted(&package.name)
                ),
                *help,
            ))
        } else if let Some((_, release, help)) = REMOVED_LATER.iter().find(|(known, ..)| is(known)) {
            Some((format!("{release}, and later ones, do not have the package {}", quoted(&package.name)), *help))
        } else if ELSEWHERE.contains(&package.name.as_str()) {
            let message = format!(
                "neither Debian nor Ubuntu has the package {}, and nothing adds its source",
                quoted(&package.name)
            );
            Some((message, "add the source of its vendor under `apt: sources:`"))
        } else if package.name == "docker" {
            let message =
                "in Debian and Ubuntu, the package `docker` is not Docker, but a dock for window managers".to_owned();
            Some((message, "use `docker.io`, or `docker-ce` with Docker's source"))
        } else {
            None
        };
        out.extend(message.map(|(message, help)| report(&rules::UNAVAILABLE_PACKAGE, package, message, help)));
    }
}

fn report(rule: &'static crate::rules::Rule, package: &Wanted, message: String, help: &str) -> Diagnostic {
    crate::places::finding(rule, package.path.clone(), package.span, message, Some(help.into()))
}

/// The packages of `packages`, and those of apt's commands that certainly run.
fn wanted(boot: &Boot<'_, '_>) -> Vec<Wanted> {
    let mut out = Vec::new();
    let bare =
        |name: &str| name.split(['=', '/', ':']).next().unwrap_or_default().trim_end_matches(['+', '-']).to_owned();
    let items = boot.document.get("packages").and_then(Node::items).into_iter().flatten().enumerate();
    for (index, item) in items {
        let name = item.as_str().or_else(|| item.items()?.next()?.as_str());
        let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
        out.push(Wanted { name: bare(name), path: format!("packages.{index}"), span: item.used_at() });
    }
    for (step, command) in boot.commands(Stage::Runcmd).filter(|(_, command)| !command.conditional && is_apt(command)) {
        for name in installed_packages(command).unwrap_or_default() {
            let at = command.written.find(name).map_or("", |at| &command.written[at..at + name.len()]);
            let whole = step.place(boot.source(), command.written);
            let within = boot
                .source()
                .slice(whole)
                .find(at)
                .map(|start| Span::new(whole.start + start, whole.start + start + at.len()));
            out.push(Wanted { name: bare(name), path: step.path.clone(), span: within.unwrap_or(whole) });
        }
    }
    out
}

fn is_apt(command: &SimpleCommand<'_>) -> bool {
    matches!(command.program(), "apt" | "apt-get" | "aptitude")
}

/// Whether the document is for Debian or Ubuntu.
fn is_for_apt(boot: &Boot<'_, '_>) -> bool {
    const ONLY_THERE: &[&str] = &[
        "apt-transport-https", "build-essential", "docker.io", "software-properties-common", "ufw",
        "unattended-upgrades", "apache2", "docker-ce",
    ];
    boot.document.get("apt").is_some()
        || boot
            .all_commands()
            .any(|(_, command)| is_apt(command) || matches!(command.program(), "dpkg" | "ufw" | "add-apt-repository"))
        || boot
            .packages
            .iter()
            .any(|name| ONLY_THERE.contains(name) || name.ends_with("-dev") || name.starts_with("python3-"))
        || boot.paths.keys().any(|path| path.starts_with("/etc/apt/"))
}

/// Whether a command runs what it downloads, which may add a source.
fn runs_downloads(boot: &Boot<'_, '_>) -> bool {
    boot.all_commands().any(|(_, command)| {
        let is_shell = matches!(command.program(), "sh" | "bash" | "dash" | "." | "source" | "eval");
        is_shell && (command.input != crate::shell::Input::Inherited || command.operands().next().is_some())
            || command
                .words
                .first()
                .is_some_and(|word| word.contains('/') && !word.starts_with("/usr/bin/") && !word.starts_with("/bin/"))
            || matches!(
                command.program(),
                "ansible-playbook" | "puppet" | "chef-client" | "salt-call" | "curl" | "wget" | "gpg" | "tee"
            )
    })
}

fn check_conflicts(wanted: &[Wanted], out: &mut Vec<Diagnostic>) {
    let find = |names: &[&str]| wanted.iter().find(|package| names.contains(&package.name.as_str()));
    for (these, those) in CONFLICTS {
        let (Some(one), Some(other)) = (find(these), find(those)) else { continue };
        let message =
            format!("{} and {} conflict: apt installs only one of them", quoted(&other.name), quoted(&one.name));
        let help = match *these {
            ["ufw"] => "keep one: `ufw` saves its own rules; on Ubuntu 22.04 both can be installed".to_owned(),
            _ => "remove one of them".to_owned(),
        };
        let mut found = report(&rules::CONFLICTING_PACKAGES, other, message, &help);
        found.related.push((one.span, "conflicts with this".into()));
        out.push(found);
    }
}
