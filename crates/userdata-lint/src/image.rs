//! What a document or a template that becomes an image should not do: DigitalOcean's image check would find it, or every
//! customer's machine would have it.
//!
//! A document is one when mkimg's runner is in it. Other documents make machines for their owner, who may want all of this.

use super::message::finding;
use super::{Document, Options, artifacts, value};
use crate::rules::{self, Rule};
use crate::write_files::FileEntry;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};
use yaml11::{Node, Scalar};

/// Where mkimg puts its runner: the sign of a document that becomes an image.
const RUNNER: &str = "/run/mkimg/runner.py";
const PLAN: &str = "/run/mkimg/plan.json";

/// The rules for image documents.
pub(super) fn check(document: &Document<'_>, options: &Options, out: &mut Vec<Diagnostic>) {
    if !document.files().iter().any(|file| file.destination == RUNNER) {
        return;
    }
    passwords(document, out);
    keys(document, out);
    files(document, out);
    agent(document, out);
    machine(document, options, out);
}

fn push(rule: &Rule, path: String, span: Span, message: String, help: &str, out: &mut Vec<Diagnostic>) {
    out.push(finding(rule, path, span, message, Some(help.into())));
}

/// The users under `users` with their paths.
fn users<'t>(document: &Document<'t>) -> Vec<(String, Node<'t>)> {
    let mut out = Vec::new();
    for (index, user) in document.get("users").and_then(Node::items).into_iter().flatten().enumerate() {
        out.push((format!("users.{index}"), user));
    }
    out.extend(document.get("user").map(|user| ("user".to_string(), user)));
    out
}

fn passwords(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    let help = "take it out: every machine made from the image would have the same password";
    let message = || "the image check fails on an account with a password".to_string();
    for key in ["password", "chpasswd"] {
        let Some(node) = document.get(key) else { continue };
        // `expire` and the like alone set none.
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

fn keys(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    let help = "take it out: who makes a machine from the image brings keys of their own";
    let message =
        || "a key in the image opens every machine that is made from it, or is removed before the snapshot".to_string();
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

/// Files that belong to one machine, or to the build.
fn files(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    for file in document.files() {
        let Some((_, place)) = file.path else { continue };
        let path = &*file.destination;
        let name = path.rsplit('/').next().unwrap_or_default();
        let home = path.starts_with("/root/") || path.starts_with("/home/");
        let (rule, message): (&Rule, &str) = if home && path.contains("/.ssh/") {
            (
                &rules::IMAGE_HAS_KEYS,
                "the image check looks for files in `.ssh`: keys and known hosts belong to one machine",
            )
        } else if home && name == ".bash_history" {
            (&rules::IMAGE_HAS_MACHINE_STATE, "the image check fails on a shell's history")
        } else if path.starts_with("/var/log/") {
            (
                &rules::IMAGE_HAS_MACHINE_STATE,
                "the cleanup empties logs, and the image check warns of those that are not",
            )
        } else if path.starts_with("/tmp/") || path.starts_with("/var/tmp/") {
            (&rules::IMAGE_HAS_MACHINE_STATE, "the cleanup empties this folder before the snapshot")
        } else if path.starts_with("/etc/ssh/ssh_host_") {
            (
                &rules::IMAGE_HAS_MACHINE_STATE,
                "every machine made from the image would have the same host key, or the cleanup removes it",
            )
        } else if path == "/etc/machine-id" {
            (
                &rules::IMAGE_HAS_MACHINE_STATE,
                "every machine made from the image would have the same identity, or the cleanup empties it",
            )
        } else if path.starts_with("/opt/digitalocean") {
            (&rules::IMAGE_HAS_AGENT, "the image check fails when /opt/digitalocean is there")
        } else {
            continue;
        };
        let help = Some("take the file out, or put it elsewhere".to_string());
        out.push(file.finding(rule, "path", place.used_at(), message.into(), help));
    }
}

fn agent(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    let help = "leave the agent to the customer: DigitalOcean installs it when a droplet is made";
    let message =
        || "DigitalOcean's agents live in /opt/digitalocean, and the image check fails when that is there".to_string();
    for (index, item) in document.get("packages").and_then(Node::items).into_iter().flatten().enumerate() {
        if matches!(item.as_str(), Some("droplet-agent" | "do-agent")) {
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

/// What the machine as a whole lacks: its firewall, its updates.
fn machine(document: &Document<'_>, options: &Options, out: &mut Vec<Diagnostic>) {
    let root = Span::new(document.root.span().start, document.root.span().start);
    let text_of = |file: &FileEntry<'_>| file.content.as_ref().and_then(|content| content.text().map(str::to_owned));
    let is_script = |file: &&FileEntry<'_>| file.path.is_some() && file.destination != RUNNER;
    let texts: Vec<String> = document.files().iter().filter(is_script).filter_map(text_of).collect();
    let commands = document.get("runcmd").map(|node| document.source.slice(node.span())).unwrap_or_default();
    let all = || texts.iter().map(String::as_str).chain(std::iter::once(commands)).flat_map(str::lines);
    let code = || all().map(str::trim_start).filter(|line| !line.starts_with('#'));
    let ubuntu = options.base_image.as_deref().is_none_or(|base| base.starts_with("ubuntu"));
    if ubuntu && !code().any(|line| line.contains("ufw") && line.contains("enable") || line.contains("ENABLED=yes")) {
        let message = "nothing enables the firewall: on Ubuntu, the image check warns".to_string();
        push(
            &rules::IMAGE_WITHOUT_FIREWALL,
            String::new(),
            root,
            message,
            "allow SSH, then `ufw --force enable`, in a script",
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
            "nothing upgrades the base's packages: the image check fails on a pending security update".to_string();
        push(&rules::IMAGE_WITHOUT_UPGRADE, String::new(), root, message, "write `upgrade: true` in the template", out);
    }
}

/// What a template says that its document does not show.
#[derive(Debug, Default)]
pub struct TemplateFacts<'a> {
    /// The slug of the image that the build droplet starts from.
    pub base: Option<(&'a str, Span)>,
    /// Where `monitoring: true` stands.
    pub monitoring: Option<Span>,
    pub artifacts: Vec<ArtifactFacts<'a>>,
}

/// A download of a template.
#[derive(Debug)]
pub struct ArtifactFacts<'a> {
    pub url: &'a str,
    pub place: Span,
    /// The lock has its sum.
    pub locked: bool,
    /// The publisher's file of sums.
    pub checksum: Option<&'a str>,
}

/// Judges what a template says, beside the document that it becomes.
#[must_use]
pub fn template(facts: &TemplateFacts<'_>) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    if let Some((base, place)) = facts.base.filter(|(base, _)| is_supported(base) == Some(false)) {
        let message = format!("the image check does not know the release of {}, and fails on it", quoted(base));
        let help = "take Ubuntu 20.04, 22.04 or 24.04, Debian 11, 12 or 13, or a release 8 or 9 of AlmaLinux, Rocky Linux or CentOS Stream";
        push(&rules::UNSUPPORTED_BASE_IMAGE, "droplet.image".into(), place, message, help, &mut out);
    }
    if let Some(place) = facts.monitoring {
        let message =
            "with monitoring, DigitalOcean installs its agent into /opt/digitalocean: the image check fails on it"
                .to_string();
        push(
            &rules::IMAGE_HAS_AGENT,
            "droplet.monitoring".into(),
            place,
            message,
            "leave it out: who makes a droplet from the image asks for monitoring",
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
                    "the lock has no sum for this download: the build has the publisher's own file of sums to go by"
                        .to_string()
                }
                None => "the lock has no sum for this download: the build takes whatever comes".to_string(),
            };
            push(
                &rules::ARTIFACT_NOT_LOCKED,
                path.clone(),
                artifact.place,
                message,
                "run `mkimg lock`, and commit mkimg.lock",
                &mut out,
            );
            if is_plain(artifact.url) && artifact.checksum.is_none_or(is_plain) {
                let message =
                    "the download is neither encrypted nor checked: whoever is on the way can replace it".to_string();
                push(
                    &rules::PLAIN_HTTP_DOWNLOAD,
                    path,
                    artifact.place,
                    message,
                    "use https://, and `mkimg lock`",
                    &mut out,
                );
            }
        }
    }
    out
}

/// Whether version 1.8.1 of DigitalOcean's image check takes a base; `None` for what is no distribution's slug.
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

    #[test]
    fn bases_are_those_of_the_check() {
        for slug in ["ubuntu-24-04-x64", "debian-13-x64", "centos-stream-9-x64", "rockylinux-9-x64"] {
            assert_eq!(is_supported(slug), Some(true), "{slug}");
        }
        for slug in ["ubuntu-23-10-x64", "debian-8-x64", "fedora-41-x64", "ubuntu-25-04-x64"] {
            assert_eq!(is_supported(slug), Some(false), "{slug}");
        }
        for slug in ["docker-20-04", "12345", "ubuntu-server", "wordpress"] {
            assert_eq!(is_supported(slug), None, "{slug}");
        }
    }
}
