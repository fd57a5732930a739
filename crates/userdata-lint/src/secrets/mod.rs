//! Secrets in a document: user-data is no place for them, since every process of the machine can read it.
//!
//! `scan.rs` searches the text, and each encoded content, for everything that has a known shape (`patterns.rs`); `passwords.rs` checks
//! cloud-init's own keys for passwords, and the modes of files. No finding repeats a secret: it names its kind and its first
//! characters, and [`redact`] hides it in everything else that is shown of the document.

mod passwords;
mod patterns;
mod redact;
mod scan;

use self::patterns::Form;
use self::scan::FoundSecret;
use super::Document;
use super::places::finding;
use super::value::path_at;
use crate::rules::{self, Rule};
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span};

pub(super) use redact::redact;

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
        out.push(secret_finding(source.text(), &found, found.span, String::new(), ""));
    }
}

/// The secrets of a cloud-config.
pub(super) fn document(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    let before = out.len();
    let text = document.source.text();
    for found in scan::scan(text) {
        let path = path_at(document.tree, document.root, found.span.start);
        let mut finding = secret_finding(text, &found, found.span, path, "");
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
            out.push(secret_finding(text, &found, content.node.used_at(), path.clone(), &place));
        }
    }
    passwords::check(document, before, out);
    passwords::check_modes(document, out);
}

/// Whether a text holds a private key.
fn holds_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----") && scan::scan(text).iter().any(|found| found.kind.form == Form::Pem)
}

/// The finding about a secret; never the secret.
fn secret_finding(text: &str, found: &FoundSecret, span: Span, path: String, place: &str) -> Diagnostic {
    let name = found.kind.name;
    let rule: &Rule = match found.kind.form {
        _ if name.contains("private key") || name.starts_with("an age") => &rules::PRIVATE_KEY_IN_DOCUMENT,
        Form::Token(..) | Form::Assignment(40) => &rules::TOKEN_IN_DOCUMENT,
        _ => &rules::PASSWORD_IN_DOCUMENT,
    };
    let shown = &text[found.span.start..found.span.start + found.shown];
    let shown =
        if shown.is_empty() || found.kind.form == Form::Pem { String::new() } else { format!(" (`{shown}…`)") };
    let message = format!("{place}{name}{shown} is in the document, which every process of the machine can read");
    finding(rule, path, span, message, Some(INSTEAD.into()))
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

#[cfg(test)]
mod tests;
