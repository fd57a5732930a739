//! Checks documents and templates for images: what DigitalOcean's image check rejects, and what
//! should not be on every machine that is created from the image.
//!
//! A document is for an image if it contains mkimg's runner.

use super::cloud_config::{CloudConfig, FileEntry};
use super::places::finding;
use super::{Options, artifacts, boot, value};
use crate::rules::{self, Rule};
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};
use yaml11::{Node, Scalar};

/// The path of mkimg's runner, which marks a document for an image.
const RUNNER: &str = "/run/mkimg/runner.py";
const PLAN: &str = "/run/mkimg/plan.json";

/// Checks a document if it is for an image.
pub(super) fn check(document: &CloudConfig<'_>, options: &Options, out: &mut Vec<Diagnostic>) {
    if !document.files().iter().any(|file| file.destination == RUNNER) {
        return;
    }
    check_passwords(document, out);
    check_keys(document, out);
    check_files(document, out);
    check_agent(document, out);
    check_firewall_and_upgrade(document, options, out);
}

fn push(rule: &'static Rule, path: String, span: Span, message: String, help: &str, out: &mut Vec<Diagnostic>) {
    out.push(finding(rule, path, span, message, Some(help.into())));
}

/// The users under `users` with their paths.
fn users<'t>(document: &CloudConfig<'t>) -> Vec<(String, Node<'t>)> {
    let mut out = Vec::new();
    for (index, user) in document.get("users").and_then(Node::items).into_iter().flatten().enumerate() {
        out.push((format!("users.{index}"), user));
    }
    out.extend(document.get("user").map(|user| ("user".to_string(), user)));
    out
}

fn check_passwords(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    let help = "remove it; every machine that is created from the image would have the same password";
    let message = || "the image check fails if an account has a password".to_string();
    for key in ["password", "chpasswd"] {
        let Some(node) = document.get(key) else { continue };
        // Other keys, such as `expire`, do not set a password.
        let sets =
            key == "password" || ["users", "list"].iter().any(|key| value::get(document.tree, node, key).is_some());
        if sets {
            push(&rules::IMAGE_HAS_PASSWORD, key.into(), node.used_at(), message(), help, out);
        }
    }
    for (path, user) in users(document) {
        for key in ["passwd", "hashed_passwd", "hashed-passwd", "plain_text_passwd", "plain-text-passwd"] {
            let Some(node) = value::get(document.tree, user, key) else { continue };
            if node.as_str().is_some_and(|text| !matches!(text, "" | "*" | "!" | "!!")) {
                push(&rules::IMAGE_HAS_PASSWORD, format!("{path}.{key}"), node.used_at(), message(), help, out);
            }
        }
    }
}

fn check_keys(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    let help = "remove it; users of the image add their own keys";
    let message = || {
        "a key in the image gives access to every machine that is created from it, unless the cleanup removes it"
            .to_string()
    };
    let mut find = |path: &str, node: Option<Node<'_>>| {
        let is_there = |node: &Node<'_>| {
            node.items().is_none_or(|items| items.len() > 0) && !matches!(node.scalar(), Some(Scalar::Null))
        };
        if let Some(node) = node.filter(is_there) {
            push(&rules::IMAGE_HAS_KEYS, path.into(), node.used_at(), message(), help, out);
        }
    };
    for key in ["ssh_authorized_keys", "ssh_import_id", "ssh_keys"] {
        find(key, document.get(key));
    }
    for (path, user) in users(document) {
        for key in ["ssh_authorized_keys", "ssh-authorized-keys", "ssh_import_id", "ssh-import-id"] {
            find(&format!("{path}.{key}"), value::get(document.tree, user, key));
        }
    }
}

/// Files that belong to a single machine.
fn check_files(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    for file in document.files() {
        let Some((_, place)) = file.path else { continue };
        let path = &*file.destination;
        let name = path.rsplit('/').next().unwrap_or_default();
        let home = path.starts_with("/root/") || path.starts_with("/home/");
        let (rule, message): (&'static Rule, &str) = if home && path.contains("/.ssh/") {
            (
                &rules::IMAGE_HAS_KEYS,
                "the image check rejects files in `.ssh`; keys and known hosts belong to a single machine",
            )
        } else if home && name == ".bash_history" {
            (&rules::IMAGE_HAS_MACHINE_STATE, "the image check fails on shell history")
        } else if path.starts_with("/var/log/") {
            (&rules::IMAGE_HAS_MACHINE_STATE, "the cleanup empties logs, and the image check warns about others")
        } else if path.starts_with("/tmp/") || path.starts_with("/var/tmp/") {
            (&rules::IMAGE_HAS_MACHINE_STATE, "the cleanup empties this directory before the snapshot")
        } else if path.starts_with("/etc/ssh/ssh_host_") {
            (
                &rules::IMAGE_HAS_MACHINE_STATE,
                "every machine that is created from the image would have the same host key, unless the cleanup removes it",
            )
        } else if path == "/etc/machine-id" {
            (
                &rules::IMAGE_HAS_MACHINE_STATE,
                "every machine that is created from the image would have the same machine id, unless the cleanup clears it",
            )
        } else if path.starts_with("/opt/digitalocean") {
            (&rules::IMAGE_HAS_AGENT, "the image check fails if /opt/digitalocean exists")
        } else {
            continue;
        };
        let help = Some("remove the file, or use another path".to_string());
        out.push(file.finding(rule, "path", place.used_at(), message.into(), help));
    }
}

fn check_agent(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    let help = "leave the agent out; DigitalOcean installs it when a droplet is created";
    let message = || {
        "DigitalOcean's agents are installed in /opt/digitalocean, and the image check fails if that exists".to_string()
    };
    for (index, item) in document.get("packages").and_then(Node::items).into_iter().flatten().enumerate() {
        if boot::package_names(item).iter().any(|name| matches!(*name, "droplet-agent" | "do-agent")) {
            push(&rules::IMAGE_HAS_AGENT, format!("packages.{index}"), item.used_at(), message(), help, out);
        }
    }
    for file in document.files() {
        let Some(text) = file.content.as_ref().and_then(|content| content.text()) else { continue };
        let Some(at) = text
            .find("repos.insights.digitalocean.com/install")
            .or_else(|| text.find("repos-droplet.digitalocean.com/install"))
        else {
            continue;
        };
        if text[..at].rsplit('\n').next().unwrap_or_default().trim_start().starts_with('#') {
            continue;
        }
        let node = file.content.as_ref().map_or(file.node, |content| content.node);
        out.push(file.finding(&rules::IMAGE_HAS_AGENT, "content", node.used_at(), message(), Some(help.into())));
    }
}

/// Reports a missing firewall and missing updates.
fn check_firewall_and_upgrade(document: &CloudConfig<'_>, options: &Options, out: &mut Vec<Diagnostic>) {
    let root = Span::new(document.root.span().start, document.root.span().start);
    let text_of = |file: &FileEntry<'_>| file.content.as_ref().and_then(|content| content.text().map(str::to_owned));
    let is_script = |file: &&FileEntry<'_>| file.path.is_some() && file.destination != RUNNER;
    let texts: Vec<String> = document.files().iter().filter(is_script).filter_map(text_of).collect();
    let commands = document.get("runcmd").map(|node| document.source.slice(node.span())).unwrap_or_default();
    let all = || texts.iter().map(String::as_str).chain(std::iter::once(commands)).flat_map(str::lines);
    let code = || all().map(str::trim_start).filter(|line| !line.starts_with('#'));
    let ubuntu = options.base_image.as_deref().is_none_or(|base| base.starts_with("ubuntu"));
    if ubuntu && !code().any(|line| line.contains("ufw") && line.contains("enable") || line.contains("ENABLED=yes")) {
        let message = "nothing enables the firewall; on Ubuntu, the image check warns about that".to_string();
        push(
            &rules::IMAGE_WITHOUT_FIREWALL,
            String::new(),
            root,
            message,
            "in a script, allow SSH and then run `ufw --force enable`",
            out,
        );
    }
    let plan = document.files().iter().find(|file| file.destination == PLAN).and_then(text_of);
    let upgrades = plan.is_some_and(|plan| plan.contains("\"upgrade\": true") || plan.contains("\"upgrade\":true"))
        || ["package_upgrade", "apt_upgrade"]
            .iter()
            .any(|key| matches!(document.get(key).and_then(Node::scalar), Some(Scalar::Bool(true))))
        || code().any(|line| {
            ["apt", "dnf", "yum"].iter().any(|program| line.contains(program))
                && ["upgrade", "dnf update", "yum update"].iter().any(|verb| line.contains(verb))
        });
    if !upgrades {
        let message =
            "nothing upgrades the packages; the image check fails if a security update is pending".to_string();
        push(&rules::IMAGE_WITHOUT_UPGRADE, String::new(), root, message, "set `upgrade: true` in the template", out);
    }
}

/// Facts of a template that are not in the rendered document.
#[derive(Debug, Default)]
pub struct TemplateFacts<'a> {
    /// The slug of the image that the build droplet starts from.
    pub base: Option<(&'a str, Span)>,
    /// The place of `monitoring: true`.
    pub monitoring: Option<Span>,
    pub artifacts: Vec<ArtifactFacts<'a>>,
}

/// A download of a template.
#[derive(Debug)]
pub struct ArtifactFacts<'a> {
    pub url: &'a str,
    pub place: Span,
    /// Whether mkimg.lock has its checksum.
    pub locked: bool,
    /// The URL of the publisher's checksum file.
    pub checksum: Option<&'a str>,
}

/// Checks an image template. Its rendered document is checked separately.
#[must_use]
pub fn template(facts: &TemplateFacts<'_>) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    if let Some((base, place)) = facts.base.filter(|(base, _)| is_supported(base) == Some(false)) {
        let message = format!("the image check does not support {} and fails", quoted(base));
        let help = "use Ubuntu 20.04, 22.04 or 24.04, Debian 11, 12 or 13, or release 8 or 9 of AlmaLinux, Rocky Linux or CentOS Stream";
        push(&rules::UNSUPPORTED_BASE_IMAGE, "droplet.image".into(), place, message, help, &mut out);
    }
    if let Some(place) = facts.monitoring {
        let message =
            "with monitoring, DigitalOcean installs its agent in /opt/digitalocean, and the image check fails"
                .to_string();
        push(
            &rules::IMAGE_HAS_AGENT,
            "droplet.monitoring".into(),
            place,
            message,
            "remove it; users of the image can enable monitoring for their droplets",
            &mut out,
        );
    }
    for (index, artifact) in facts.artifacts.iter().enumerate() {
        let path = format!("artifacts.{index}.url");
        out.extend(artifacts::check_licence(artifact.url, path.clone(), artifact.place));
        let base = facts.base.map(|(base, _)| base);
        out.extend(base.and_then(|base| artifacts::check_processors(artifact.url, base, path.clone(), artifact.place)));
        let is_plain = |url: &str| url.starts_with("http://");
        if !artifact.locked {
            let message = match artifact.checksum {
                Some(_) => {
                    "mkimg.lock has no checksum for this download; the build relies on the publisher's checksum file"
                        .to_string()
                }
                None => "mkimg.lock has no checksum for this download; the build accepts any content".to_string(),
            };
            push(
                &rules::ARTIFACT_NOT_LOCKED,
                path.clone(),
                artifact.place,
                message,
                "run `mkimg lock` and commit mkimg.lock",
                &mut out,
            );
            if is_plain(artifact.url) && artifact.checksum.is_none_or(is_plain) {
                let message =
                    "the download is neither encrypted nor verified; an attacker on the network can replace it"
                        .to_string();
                push(
                    &rules::PLAIN_HTTP_DOWNLOAD,
                    path,
                    artifact.place,
                    message,
                    "use https://, or run `mkimg lock`",
                    &mut out,
                );
            }
        }
    }
    out
}

/// Whether version 1.8.1 of DigitalOcean's image check supports a base image; `None` if it is not a distribution.
fn is_supported(slug: &str) -> Option<bool> {
    let (name, version) = slug.split_once('-')?;
    let version = version.trim_end_matches("-x64").trim_end_matches("-x32");
    let releases: &[&str] = match name {
        "ubuntu" => &["16-04", "18-04", "20-04", "22-04", "22-10", "24-04"],
        "debian" => &["9", "10", "11", "12", "13"],
        "centos" => &["6", "7", "8", "stream-8", "stream-9"],
        "rockylinux" | "rocky" | "almalinux" | "cloudlinux" => &["8", "9"],
        "fedora" | "freebsd" | "opensuse" | "rancheros" | "coreos" => &[],
        _ => return None,
    };
    (version.starts_with(|c: char| c.is_ascii_digit()) || version.starts_with("stream-"))
        .then(|| releases.contains(&version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint_bytes;

    /// Each branch of each check: the code, a document's keys, and whether the code is reported.
    #[test]
    fn documents_for_images() {
        let file = |path: &str| format!("write_files: [{{path: {path}, content: x}}]");
        for (code, keys, is_found) in [
            ("MK380", "password: a".to_owned(), true),
            ("MK380", "chpasswd: {users: [{name: a, type: RANDOM}]}".into(), true),
            ("MK380", "chpasswd: {expire: false}".into(), false),
            ("MK380", "user: {name: a, passwd: $6$a$b}".into(), true),
            ("MK380", "users: [{name: a, plain_text_passwd: b}]".into(), true),
            ("MK380", "users: [{name: a, hashed_passwd: '!'}]".into(), false),
            ("MK380", "users: [{name: a, plain-text-passwd: b}]".into(), true),
            ("MK380", "users: [{name: a, hashed-passwd: $6$a$b}]".into(), true),
            ("MK381", "users: [{name: a, ssh-import-id: [b]}]".into(), true),
            ("MK383", "apt_upgrade: true".into(), false),
            ("MK383", "runcmd: [yum update -y]".into(), false),
            ("MK383", "runcmd: [apt-get dist-upgrade -y]".into(), false),
            ("MK383", "runcmd: [apt-get update]".into(), true),
            ("MK383", "write_files: [{path: /run/mkimg/plan.json, content: '{\"upgrade\": true}'}]".into(), false),
            ("MK383", "write_files: [{path: /run/mkimg/plan.json, content: '{\"upgrade\": false}'}]".into(), true),
            ("MK384", "packages: [droplet-agent]".into(), true),
            ("MK384", "packages: [[do-agent, 1]]".into(), true),
            ("MK384", "packages: [{apt: [curl, droplet-agent]}]".into(), true),
            ("MK381", "ssh_authorized_keys: [a]".into(), true),
            ("MK381", "user: {name: a, ssh_import_id: [b]}".into(), true),
            ("MK381", "users: [{name: a, ssh_authorized_keys: []}]".into(), false),
            ("MK381", file("/home/a/.ssh/authorized_keys"), true),
            ("MK381", file("/etc/.ssh/a"), false),
            ("MK382", "runcmd: [ufw --force enable]".into(), false),
            ("MK382", "write_files: [{path: /a, content: '# ufw enable'}]".into(), true),
            ("MK382", "write_files: [{path: /a, content: 'ENABLED=yes'}]".into(), false),
            ("MK383", "package_upgrade: true".into(), false),
            ("MK383", "package_upgrade: false".into(), true),
            ("MK383", "runcmd: [dnf update -y]".into(), false),
            ("MK384", "packages: [do-agent]".into(), true),
            ("MK384", file("/opt/digitalocean/a"), true),
            (
                "MK384",
                "write_files: [{path: /a, content: 'curl https://repos.insights.digitalocean.com/install.sh'}]".into(),
                true,
            ),
            (
                "MK384",
                "write_files: [{path: /a, content: '# repos.insights.digitalocean.com/install.sh'}]".into(),
                false,
            ),
            ("MK385", file("/root/.bash_history"), true),
            ("MK385", file("/etc/skel/.bash_history"), false),
            ("MK385", file("/var/log/a"), true),
            ("MK385", file("/var/tmp/a"), true),
            ("MK385", file("/etc/ssh/ssh_host_rsa_key"), true),
            ("MK385", file("/etc/machine-id"), true),
            ("MK385", file("/tmp/a"), true),
            ("MK385", file("/root/a"), false),
            ("MK385", file("/etc/ssh/sshd_config"), false),
            ("MK380", "users: [{name: a, hashed_passwd: $6$a$b}]".into(), true),
            ("MK380", "users: [{name: a, passwd: '!!'}, {name: b, passwd: '*'}, {name: c, passwd: ''}]".into(), false),
            ("MK381", "ssh_import_id: [a]".into(), true),
            ("MK381", "ssh_keys: {rsa_public: a}".into(), true),
            ("MK381", "ssh_authorized_keys: null".into(), false),
            ("MK381", "users: [{name: a, ssh_authorized_keys: [b]}]".into(), true),
            ("MK381", "users: [{name: a, ssh-authorized-keys: [b]}]".into(), true),
            ("MK382", "runcmd: [ufw allow ssh]".into(), true),
            ("MK382", "runcmd: [systemctl enable a]".into(), true),
            ("MK383", "write_files: [{path: /run/mkimg/plan.json, content: '{\"upgrade\":true}'}]".into(), false),
            ("MK383", "write_files: [{path: /a, content: '{\"upgrade\": true}'}]".into(), true),
            ("MK384", "packages: [curl, {apt: [do-agent2]}]".into(), false),
            (
                "MK384",
                "write_files: [{path: /a, content: 'curl https://repos-droplet.digitalocean.com/install.sh'}]".into(),
                true,
            ),
            (
                "MK384",
                "write_files: [{path: /a, content: \"# a\\ncurl https://repos-droplet.digitalocean.com/install\"}]"
                    .into(),
                true,
            ),
            (
                "MK384",
                "write_files: [{path: /a, content: \"a\\n  # https://repos-droplet.digitalocean.com/install\"}]".into(),
                false,
            ),
        ] {
            let runner = "  - {path: /run/mkimg/runner.py, content: pass}";
            let text = match keys.strip_prefix("write_files: [").and_then(|keys| keys.strip_suffix(']')) {
                Some(entry) => format!("#cloud-config\nwrite_files:\n{runner}\n  - {entry}\n"),
                None => format!("#cloud-config\n{keys}\nwrite_files:\n{runner}\n"),
            };
            let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
            let found = report.documents[0].findings.diagnostics.iter().any(|found| found.rule.code == code);
            assert_eq!(found, is_found, "{code} {keys}");
        }
        // The runner itself enables nothing, and only Ubuntu's images have a firewall.
        let runner = "#cloud-config\nwrite_files: [{path: /run/mkimg/runner.py, content: ufw enable}]\n";
        for (base, is_found) in [(None, true), (Some("ubuntu-24-04-x64"), true), (Some("debian-12-x64"), false)] {
            let options = Options { base_image: base.map(str::to_owned), ..Options::default() };
            let report = lint_bytes("t.yaml", runner.as_bytes(), &options);
            let found = report.documents[0].findings.diagnostics.iter().any(|found| found.rule.code == "MK382");
            assert_eq!(found, is_found, "{base:?}");
        }
    }

    /// Base image, address, checksum file, whether the lock pins it: the codes.
    #[test]
    fn templates_of_images() {
        let zip = "https://a.example/t_amd64.tar.gz";
        for (base, url, checksum, locked, expected) in [
            ("debian-12-x64", zip, None, true, &[][..]),
            ("fedora-41-x64", zip, None, true, &["MK386"]),
            ("docker-20-04", zip, None, true, &[]),
            ("debian-12-x64", "https://a.example/t_arm64.tar.gz", None, true, &["MK395"]),
            ("debian-12-x64", zip, None, false, &["MK391"]),
            ("debian-12-x64", zip, Some("https://a.example/sums"), false, &["MK391"]),
            ("debian-12-x64", "http://a.example/t", None, false, &["MK391", "MK392"]),
            ("debian-12-x64", "http://a.example/t", Some("http://a.example/sums"), false, &["MK391", "MK392"]),
            ("debian-12-x64", "http://a.example/t", Some("https://a.example/sums"), false, &["MK391"]),
            ("debian-12-x64", "http://a.example/t", None, true, &[]),
        ] {
            let place = Span::new(1, 2);
            let artifacts = vec![ArtifactFacts { url, place, locked, checksum }];
            let found = template(&TemplateFacts { base: Some((base, place)), monitoring: None, artifacts });
            let codes: Vec<_> = found.iter().map(|found| found.rule.code).collect();
            assert_eq!(codes, expected, "{base} {url} {checksum:?} {locked}");
            for found in found {
                let path = if found.rule.code == "MK386" { "droplet.image" } else { "artifacts.0.url" };
                assert_eq!((found.path.as_str(), found.span), (path, Some(place)), "{found:?}");
                let says = match (found.rule.code, checksum) {
                    ("MK386", _) => base,
                    ("MK391", Some(_)) => "relies on the publisher's checksum file",
                    ("MK391", None) => "accepts any content",
                    ("MK392", _) => "neither encrypted nor verified",
                    _ => "arm64",
                };
                assert!(found.message.contains(says) && found.help.is_some(), "{found:?}");
            }
        }
        let place = Span::new(1, 2);
        let found = template(&TemplateFacts { base: None, monitoring: Some(place), artifacts: Vec::new() });
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].rule.code, &*found[0].path, found[0].span), ("MK384", "droplet.monitoring", Some(place)));
        assert!(found[0].message.starts_with("with monitoring,") && found[0].help.is_some(), "{found:?}");
    }

    #[test]
    fn supported_base_images_match_the_check() {
        for slug in [
            "ubuntu-24-04-x64", "debian-13-x64", "centos-stream-9-x64", "rockylinux-9-x64", "almalinux-8-x64",
            "ubuntu-16-04-x32", "ubuntu-18-04-x64", "ubuntu-20-04-x64", "ubuntu-22-04-x64", "ubuntu-22-10-x64",
            "debian-9-x64", "debian-10-x64", "debian-11-x64", "debian-12-x64", "centos-6-x32", "centos-7-x64",
            "centos-8-x64", "centos-stream-8-x64", "rockylinux-8-x64", "rocky-8-x64", "almalinux-9-x64",
            "cloudlinux-8-x64",
        ] {
            assert_eq!(is_supported(slug), Some(true), "{slug}");
        }
        for slug in [
            "ubuntu-23-10-x64", "debian-8-x64", "fedora-41-x64", "ubuntu-25-04-x64", "debian-14-x64", "centos-5-x64",
            "centos-stream-10-x64", "almalinux-10-x64", "rockylinux-7-x64", "freebsd-14-x64", "opensuse-15-x64",
            "rancheros-1-x64", "coreos-40-x64",
        ] {
            assert_eq!(is_supported(slug), Some(false), "{slug}");
        }
        for slug in ["docker-20-04", "12345", "ubuntu-server", "wordpress", "ubuntu-x64"] {
            assert_eq!(is_supported(slug), None, "{slug}");
        }
    }
}
