//! Secrets in a document: user-data is no place for them, since every process of the machine can read it.
//!
//! `scan.rs` makes one pass over the text for everything that has a shape of its own (`kinds.rs`), and one over each
//! content that is encoded; `keys.rs` looks at cloud-init's own keys for passwords. Nothing here repeats a secret: findings
//! name its kind and its first characters, and [`cover`] hides it in whatever else is shown of the document.

mod cover;
mod keys;
mod kinds;
mod placeholder;
mod prefixes;
mod scan;

use self::kinds::Form;
use self::scan::Found;
use super::message::finding;
use super::value::key_text;
use super::{Document, licence};
use crate::rules::{self, Rule};
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span};
use yaml11::{Node, NodeKind, Tree};

pub(super) use cover::cover;

/// The rules whose findings point at a secret.
const CODES: [&str; 5] = [
    rules::PRIVATE_KEY_IN_DOCUMENT.code,
    rules::TOKEN_IN_DOCUMENT.code,
    rules::PASSWORD_IN_DOCUMENT.code,
    rules::WEAK_PASSWORD_HASH.code,
    rules::UNHASHED_PASSWORD.code,
];

/// Where secrets belong instead.
const INSTEAD: &str = "take it out, make a new one, and let the machine fetch it when it runs: from a secret store, or over a connection \
                       that you open";

/// The secrets of a text that is no cloud-config, or no YAML.
pub(super) fn text(source: &Source, out: &mut Vec<Diagnostic>) {
    for found in scan::scan(source.text()) {
        out.extend(about(source.text(), &found, found.span, String::new(), ""));
    }
}

/// The secrets of a cloud-config.
pub(super) fn document(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    let before = out.len();
    let text = document.source.text();
    for found in scan::scan(text) {
        let path = path_at(document.tree, document.root, found.span.start);
        let Some(mut finding) = about(text, &found, found.span, path, "") else { continue };
        // cloud-init has keys for them: the machine's host keys, the keys of its VPN. In a comment it may be for show.
        let is_usual = ["ssh_keys.", "wireguard.", "chef.", "rsyslog."].iter().any(|key| finding.path.starts_with(key));
        if is_usual || finding.path.is_empty() {
            finding.severity = diagnostics::Severity::Warning;
        }
        out.push(finding);
    }
    for file in document.files() {
        let Some(content) = file.content.as_ref().filter(|content| !content.is_plain()) else { continue };
        let Ok(bytes) = &content.bytes else { continue };
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        let path = format!("write_files.{}.content", file.index);
        for found in scan::scan(text) {
            let line = text[..found.span.start].matches('\n').count() + 1;
            let place = format!("line {line} of the content: ");
            out.extend(about(text, &found, content.node.used_at(), path.clone(), &place));
        }
    }
    keys::check(document, before, out);
    keys::modes(document, out);
}

/// Whether a text holds a private key.
fn holds_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----") && scan::scan(text).iter().any(|found| found.kind.form == Form::Pem)
}

/// The finding about a secret; never the secret.
fn about(text: &str, found: &Found, span: Span, path: String, place: &str) -> Option<Diagnostic> {
    let name = found.kind.name;
    let rule: &Rule = match found.kind.form {
        Form::Cockroach => return licence::check(&text[found.span.start..found.span.end], path, span),
        _ if name.contains("private key") || name.starts_with("an age") => &rules::PRIVATE_KEY_IN_DOCUMENT,
        Form::Token(..) | Form::Assignment(40) => &rules::TOKEN_IN_DOCUMENT,
        _ => &rules::PASSWORD_IN_DOCUMENT,
    };
    let shown = &text[found.span.start..found.span.start + found.shown];
    let shown =
        if shown.is_empty() || found.kind.form == Form::Pem { String::new() } else { format!(" (`{shown}…`)") };
    let message = format!("{place}{name}{shown} stands in the document, which every process of the machine can read");
    Some(finding(rule, path, span, message, Some(INSTEAD.into())))
}

/// What was found twice, in a template and in what it becomes, is told once: with its path.
pub(super) fn merge(diagnostics: &mut Vec<Diagnostic>) {
    let is_pathless = |one: &Diagnostic| one.path.is_empty() && CODES.contains(&one.code);
    if !diagnostics.iter().any(is_pathless) {
        return;
    }
    let known: Vec<_> = diagnostics
        .iter()
        .filter(|one| !one.path.is_empty() && CODES.contains(&one.code))
        .map(|one| (one.code, one.span))
        .collect();
    diagnostics.retain(|one| !is_pathless(one) || !known.contains(&(one.code, one.span)));
}

/// The path of the innermost value around a place; empty outside of all.
pub(super) fn path_at(tree: &Tree, root: Node<'_>, at: usize) -> String {
    let holds = |span: Span| span.start <= at && at < span.end;
    let mut path: Vec<String> = Vec::new();
    let mut node = root;
    while path.len() < 64 {
        let next = match node.kind() {
            NodeKind::Sequence(items) => {
                let found = items.iter().enumerate().find(|(_, item)| holds(item.used_at));
                found.map(|(index, item)| (index.to_string(), tree.node(*item)))
            }
            NodeKind::Mapping(entries) => {
                let found = entries.iter().filter(|entry| !entry.merged);
                let found = found.rev().find(|entry| holds(entry.value.used_at));
                found.map(|entry| (key_text(tree.node(entry.key)), tree.node(entry.value)))
            }
            _ => None,
        };
        let Some((step, inner)) = next else { break };
        path.push(step);
        node = inner;
    }
    path.join(".")
}

#[cfg(test)]
mod tests;
