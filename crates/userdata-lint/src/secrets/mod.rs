//! Finds secrets. Every process on the machine can read user-data, so it must not contain any.
//!
//! `scan.rs` searches the text and each encoded content for known formats (`patterns.rs`).
//! `passwords.rs` checks cloud-init's own keys for passwords, and the modes of files. A finding
//! names the kind of a secret and its first characters only, and [`redact`] hides the secret in the
//! rest of the report.

mod passwords;
mod patterns;
mod redact;
mod scan;

use self::patterns::Form;
use self::scan::FoundSecret;
use super::cloud_config::CloudConfig;
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

const INSTEAD: &str =
    "remove it, replace the secret by a new one, and let the machine fetch that from a secret store at run time";

/// Checks a text that is not a cloud-config or not valid YAML.
pub(super) fn check_text(source: &Source, out: &mut Vec<Diagnostic>) {
    for found in scan::scan(source.text()) {
        out.push(secret_finding(source.text(), &found, found.span, String::new(), ""));
    }
}

/// Checks a cloud-config.
pub(super) fn check_cloud_config(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    let before = out.len();
    let text = document.source.text();
    for found in scan::scan(text) {
        let path = path_at(document.tree, document.root, found.span.start);
        let mut finding = secret_finding(text, &found, found.span, path, "");
        // These keys are meant for secrets: host keys, VPN keys. A key in a comment may be an
        // example.
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

pub(crate) fn holds_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----") && scan::scan(text).iter().any(|found| found.kind.form == Form::Pem)
}

/// The finding about a secret, without the secret itself.
fn secret_finding(text: &str, found: &FoundSecret, span: Span, path: String, place: &str) -> Diagnostic {
    let name = found.kind.name;
    let rule: &'static Rule = match found.kind.form {
        _ if name.contains("private key") || name.starts_with("an age") => &rules::PRIVATE_KEY_IN_DOCUMENT,
        Form::Token(..) | Form::Assignment(40) => &rules::TOKEN_IN_DOCUMENT,
        _ => &rules::PASSWORD_IN_DOCUMENT,
    };
    let shown = &text[found.span.start..found.span.start + found.shown];
    let shown =
        if shown.is_empty() || found.kind.form == Form::Pem { String::new() } else { format!(" (`{shown}…`)") };
    let message = format!("{place}{name}{shown} is in the document, which every process on the machine can read");
    finding(rule, path, span, message, Some(INSTEAD.into()))
}

/// Removes duplicates: a secret in a template is found in its source and in its output, and only
/// the latter has a path.
pub(super) fn drop_duplicates(diagnostics: &mut Vec<Diagnostic>) {
    let is_pathless = |one: &Diagnostic| one.path.is_empty() && CODES.contains(&one.rule.code);
    if !diagnostics.iter().any(is_pathless) {
        return;
    }
    let known: Vec<_> = diagnostics
        .iter()
        .filter(|one| !one.path.is_empty() && CODES.contains(&one.rule.code))
        .map(|one| (one.rule.code, one.span))
        .collect();
    diagnostics.retain(|one| !is_pathless(one) || !known.contains(&(one.rule.code, one.span)));
}

#[cfg(test)]
mod tests;
