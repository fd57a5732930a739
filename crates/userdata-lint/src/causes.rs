//! One cause, one finding: drops what another finding explains, and gives the real cause where the schema's error is only a
//! consequence.
//!
//! A finding of cloud-init is dropped only if another one has the same path, so that verdict and paths stay the command's.

use std::collections::BTreeSet;

use crate::cloud_config::CloudConfig;
use crate::places::finding;
use crate::rules::{self, Rule};
use crate::value;
use diagnostics::{Diagnostic, Origin, Severity, did_you_mean, quoted};
use yaml11::Node;

/// A rule, and one that says less about the same place or the same entry of `write_files`.
const EXPLAINED: &[(&Rule, &Rule)] =
    &[(&rules::WRITABLE_SUDOERS, &rules::WORLD_WRITABLE_FILE), (&rules::IMAGE_HAS_MACHINE_STATE, &rules::FILE_IN_TMP)];
/// The longest value that is searched for an expression.
const MAX_VALUE_BYTES: usize = 400;

pub(super) fn merge(document: &CloudConfig<'_>, diagnostics: &mut Vec<Diagnostic>) {
    // The quick way for documents with no finding, or one.
    if diagnostics.len() < 2 {
        return;
    }
    explain_entries(document, "chpasswd.users.", password_entry, diagnostics);
    explain_entries(document, "users.", user_entry, diagnostics);
    drop_summaries(diagnostics);
    merge_template_header(document, diagnostics);
    drop_explained(diagnostics);
}

/// The finding that says what is wrong with an entry of a list, if the schema's errors do not.
type Explain = fn(&CloudConfig<'_>, Node<'_>) -> Option<Diagnostic>;

fn explain_entries(document: &CloudConfig<'_>, list: &str, explain: Explain, diagnostics: &mut Vec<Diagnostic>) {
    let mut keys = list.trim_end_matches('.').split('.');
    let node = keys.try_fold(document.root, |node, key| value::get(document.tree, node, key));
    let Some(items) = node.and_then(Node::items) else { return };
    let index = |found: &Diagnostic| found.path.strip_prefix(list)?.parse::<usize>().ok();
    let faulty: BTreeSet<_> = diagnostics.iter().filter(|found| is_error(found)).filter_map(index).collect();
    if faulty.is_empty() {
        return;
    }
    for (at, item) in items.enumerate().filter(|(at, _)| faulty.contains(at)) {
        let Some(mut explained) = explain(document, item) else { continue };
        explained.path = format!("{list}{at}");
        let same = |found: &Diagnostic| is_error(found) && found.path == explained.path;
        let Some(first) = diagnostics.iter().position(same) else { continue };
        diagnostics.retain(|found| !same(found));
        diagnostics.insert(first.min(diagnostics.len()), explained);
    }
}

fn is_error(found: &Diagnostic) -> bool {
    found.origin == Origin::CloudInit && found.severity == Severity::Error
}

/// An entry of `chpasswd.users` has one of two forms; the schema reports the errors of one of them.
fn password_entry(document: &CloudConfig<'_>, entry: Node<'_>) -> Option<Diagnostic> {
    const KEYS: [&str; 3] = ["name", "password", "type"];
    const TYPES: [&str; 3] = ["hash", "text", "RANDOM"];
    let keys: Vec<_> = value::entries(document.tree, entry).map(|(key, _)| key).collect();
    let get = |name: &str| value::get(document.tree, entry, name);
    let report = |rule, node: Node<'_>, message: String, help: String| {
        Some(finding(rule, String::new(), node.used_at(), message, Some(help)))
    };
    let unknown = keys.iter().find(|key| key.as_str().is_some_and(|key| !KEYS.contains(&key)));
    let kind = get("type");
    for (name, node) in KEYS.iter().filter_map(|name| Some((name, get(name)?))).filter(|(name, _)| **name != "type") {
        if node.as_str().is_none() {
            let message = format!("expected a string, found {}", value::describe(document.source, node));
            return report(&rules::WRONG_TYPE, node, message, format!("write `{name}` in quotes"));
        }
    }
    if let Some(unknown) = unknown {
        let name = unknown.as_str()?;
        let message = format!("unknown key {} in an entry of `chpasswd.users`", quoted(name));
        let help = did_you_mean(name, KEYS).unwrap_or_else(|| "known keys here: name, password and type".into());
        return report(&rules::UNKNOWN_KEY, *unknown, message, help);
    }
    if let Some(kind) = kind.filter(|kind| kind.as_str().is_none_or(|kind| !TYPES.contains(&kind))) {
        let found = value::describe(document.source, kind);
        let message = format!("expected `hash`, `text` or `RANDOM`, found {found}");
        let near = kind.as_str().and_then(|kind| did_you_mean(kind, TYPES));
        let help =
            near.unwrap_or_else(|| "write `hash` for the hash of a password, or `text` for the password itself".into());
        return report(&rules::DISALLOWED_VALUE, kind, message, help);
    }
    let is_random = kind.and_then(Node::as_str) == Some("RANDOM");
    if is_random && get("password").is_some() {
        let key = keys.iter().find(|key| key.as_str() == Some("password"))?;
        let message = "`type: RANDOM` makes a random password, so that `password` is not allowed".to_owned();
        let help = "remove `password`, or write `type: text` or `type: hash`".to_owned();
        return report(&rules::UNKNOWN_KEY, *key, message, help);
    }
    if !is_random && get("name").is_some() && get("password").is_none() {
        let message = "the key `password` is missing".to_owned();
        let help = "add `password:`, or `type: RANDOM` for a random password".to_owned();
        return report(&rules::MISSING_KEY, *keys.first()?, message, help);
    }
    None
}

/// A user has `name` or `snapuser`; only `name` is usual.
fn user_entry(document: &CloudConfig<'_>, entry: Node<'_>) -> Option<Diagnostic> {
    let mut keys = value::entries(document.tree, entry).map(|(key, _)| key);
    let default = keys.find(|key| key.as_str() == Some("default"))?;
    if ["name", "snapuser"].iter().any(|key| value::get(document.tree, entry, key).is_some()) {
        return None;
    }
    let message = "`default` is not a key: with a colon, it is not the default user".to_owned();
    let help = "write `- default` without a colon, and another user as an entry of its own, with `name`".to_owned();
    Some(finding(&rules::UNKNOWN_KEY, String::new(), default.used_at(), message, Some(help)))
}

/// Drops the statement that no form matches, or that several match, beside the error that says why; and a second key of
/// which only one is needed.
fn drop_summaries(diagnostics: &mut Vec<Diagnostic>) {
    let has = |rule: &Rule, diagnostics: &[Diagnostic]| diagnostics.iter().any(|found| found.rule.code == rule.code);
    if has(&rules::NO_MATCHING_FORM, diagnostics) {
        explain_repositories(diagnostics);
        let explained: BTreeSet<_> = diagnostics
            .iter()
            .filter(|found| is_error(found) && found.rule.code != rules::NO_MATCHING_FORM.code)
            .map(|found| found.path.clone())
            .collect();
        diagnostics.retain(|found| found.rule.code != rules::NO_MATCHING_FORM.code || !explained.contains(&found.path));
    }
    if has(&rules::AMBIGUOUS_VALUE, diagnostics) {
        let of = |rule: &Rule| {
            let found = diagnostics.iter().filter(|found| found.rule.code == rule.code);
            found.map(|found| (found.path.clone(), found.message.ends_with("a mapping"))).collect::<BTreeSet<_>>()
        };
        let wrong: BTreeSet<_> = of(&rules::WRONG_TYPE);
        let ambiguous: BTreeSet<_> = of(&rules::AMBIGUOUS_VALUE).into_iter().map(|(path, _)| path).collect();
        // The forms of a mapping differ in their keys; any other value has the wrong type.
        diagnostics.retain(|found| {
            let path = &found.path;
            if found.rule.code == rules::WRONG_TYPE.code {
                !(ambiguous.contains(path) && found.message.ends_with("a mapping"))
            } else {
                found.rule.code != rules::AMBIGUOUS_VALUE.code || !wrong.contains(&(path.clone(), false))
            }
        });
    }
    let lacks = |found: &Diagnostic, key: &str| {
        found.rule.code == rules::MISSING_KEY.code && found.path.starts_with("users.") && found.message.contains(key)
    };
    let without_name = diagnostics.iter().filter(|found| lacks(found, "`name`"));
    let without_name: BTreeSet<_> = without_name.map(|found| found.path.clone()).collect();
    if !without_name.is_empty() {
        diagnostics.retain(|found| !lacks(found, "`snapuser`") || !without_name.contains(&found.path));
    }
}

/// A repository needs one of three addresses; the schema only names the first.
fn explain_repositories(diagnostics: &mut Vec<Diagnostic>) {
    let mut explained = BTreeSet::new();
    let is_summary = |found: &Diagnostic| found.rule.code == rules::NO_MATCHING_FORM.code;
    for found in diagnostics.iter_mut().filter(|found| is_summary(found) && found.path.starts_with("yum_repos.")) {
        "expected `baseurl`, `metalink` or `mirrorlist`, found none of them".clone_into(&mut found.message);
        found.help = Some("add one of them".into());
        explained.insert(found.path.clone());
    }
    diagnostics.retain(|found| found.rule.code != rules::MISSING_KEY.code || !explained.contains(&found.path));
}

/// A value that a template would replace does not fit for that reason.
fn merge_template_header(document: &CloudConfig<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let is_header = |found: &Diagnostic| found.rule.code == rules::TEMPLATE_WITHOUT_HEADER.code;
    let Some(header) = diagnostics.iter().find(|found| is_header(found)).cloned() else { return };
    let Some(place) = header.span else { return };
    let holds_expression = |found: &Diagnostic| {
        let text =
            found.span.filter(|span| span.end - span.start <= MAX_VALUE_BYTES).map(|span| document.source.slice(span));
        text.is_some_and(|text| text.contains("{{") && text.contains("}}"))
    };
    let covers = |found: &Diagnostic| found.span.is_some_and(|span| span.start <= place.start && place.end <= span.end);
    let mut is_said = false;
    for found in diagnostics.iter_mut().filter(|found| is_error(found) && holds_expression(found)) {
        found.help.clone_from(&header.help);
        is_said |= covers(found);
    }
    diagnostics.retain(|found| {
        if is_header(found) { !is_said } else { is_error(found) || !(holds_expression(found) && covers(found)) }
    });
}

fn drop_explained(diagnostics: &mut Vec<Diagnostic>) {
    /// The key or the entry that a finding is about.
    fn entry(found: &Diagnostic) -> &str {
        const FILES: &str = "write_files.";
        let end = found.path.strip_prefix(FILES).and_then(|rest| Some(FILES.len() + rest.find('.')?));
        &found.path[..end.unwrap_or(found.path.len())]
    }
    for (kept, dropped) in EXPLAINED {
        let of = |rule: &Rule, found: &Diagnostic| found.rule.code == rule.code;
        let explained: BTreeSet<_> =
            diagnostics.iter().filter(|found| of(kept, found)).map(|found| entry(found).to_owned()).collect();
        if !explained.is_empty() {
            diagnostics.retain(|found| !of(dropped, found) || !explained.contains(entry(found)));
        }
    }
}
