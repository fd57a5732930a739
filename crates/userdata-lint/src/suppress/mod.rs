//! Findings that the author allows: by a comment in the document, or by a list in the template that it is rendered from.
//!
//! A suppression takes a finding out of what is shown and counted, and keeps it with its reason in
//! [`JudgedDocument::suppressed`]. It never changes a verdict: that is cloud-init's, and cloud-init reads no comments. So an error of
//! cloud-init's own cannot be allowed, but for the one that says that only its command refuses a kind of user-data. What a suppression does wrong is a finding of the rules in `rules/suppressions.rs`.

mod comment;

use super::message::finding;
use super::{JudgedDocument, Options, Version};
use crate::rules;
use diagnostics::closest;
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Origin, Part, Severity, Suppressed, quoted};
use yaml11::NodeKind;

/// A finding that is allowed from outside of the document: a line of a template's `allow:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Code or name of a rule.
    pub rule: String,
    /// Where: a path in the document (`write_files.3`, which holds for all below it), or, when it begins with `/`, a file on the machine
    /// that `write_files` writes. `None` for the whole document.
    pub path: Option<String>,
    /// Why.
    pub reason: String,
}

/// What is known of a code or a name.
enum Known {
    Rule(&'static str),
    /// A rule that cannot be allowed.
    Never(&'static str),
    Unknown(Option<&'static str>),
}

fn known(written: &str) -> Known {
    match rules::find(written) {
        Some(rule) if can_be_allowed(rule.code, rule.origin, rule.severity) => Known::Rule(rule.code),
        Some(rule) => Known::Never(rule.code),
        None => Known::Unknown(rules::similar(written)),
    }
}

/// Whether a rule is about suppressions themselves.
fn is_about_suppressions(code: &str) -> bool {
    [
        &rules::UNUSED_SUPPRESSION,
        &rules::SUPPRESSION_WITHOUT_REASON,
        &rules::SUPPRESSION_OF_UNKNOWN_RULE,
        &rules::SUPPRESSION_OF_ERROR,
        &rules::MALFORMED_SUPPRESSION,
    ]
    .iter()
    .any(|rule| rule.code == code)
}

fn can_be_allowed(code: &str, origin: Origin, severity: Severity) -> bool {
    let about_suppressions = is_about_suppressions(code);
    let of_cloud_init = origin == Origin::CloudInit && severity == Severity::Error;
    let of_the_command_alone = code == rules::REFUSED_BY_SCHEMA_COMMAND.code;
    !about_suppressions && (!of_cloud_init || of_the_command_alone)
}

/// Whether a finding can be allowed: by its rule, as what is found in a part is said to come from mkimg.
fn is_allowable(found: &Diagnostic) -> bool {
    match rules::find(found.code) {
        Some(rule) => can_be_allowed(rule.code, rule.origin, found.severity),
        // A fault of a template, which leaves no document.
        None => found.severity != Severity::Error,
    }
}

/// Rules that say that a document was not judged to its end: what is allowed in the rest cannot be known.
const INCOMPLETE: &[&rules::Rule] = &[
    &rules::MISSING_HEADER,
    &rules::INVALID_YAML,
    &rules::NOT_A_MAPPING,
    &rules::UNREADABLE_DOCUMENT,
    &rules::TOO_COMPLEX,
    &rules::NOT_CHECKED,
    &rules::INVALID_JINJA,
];

fn is_incomplete(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|found| INCOMPLETE.iter().any(|rule| rule.code == found.code))
}

/// Applies the comments of a text to what was found in it. Comments in parts were applied there.
pub(super) fn in_document(
    source: &Source,
    options: &Options,
    parts: &[Part],
    diagnostics: &mut Vec<Diagnostic>,
    suppressed: &mut Vec<Suppressed>,
) {
    let asked = |code: &str| {
        let depends_on_version = rules::find(code).is_some_and(|rule| rule.origin == Origin::CloudInit);
        let other_version = depends_on_version && options.cloud_init != Version::LATEST;
        let no_limit = code == rules::OVER_PROVIDER_LIMIT.code && options.most().is_none();
        !other_version && !no_limit
    };
    let within = |span: Span| parts.iter().any(|part| part.span.start <= span.start && span.end <= part.span.end);
    apply(source, &within, &asked, diagnostics, suppressed);
}

/// Applies the comments of a file that a document writes. What is wrong with a comment, or whether it is of use, is said where the
/// document is judged that has the file in it.
pub(super) fn in_file(source: &Source, diagnostics: &mut Vec<Diagnostic>, suppressed: &mut Vec<Suppressed>) {
    apply(source, &|_| false, &|_| false, diagnostics, suppressed);
    diagnostics.retain(|found| !is_about_suppressions(found.code));
}

/// Applies the comments of an image template to what was found in it.
pub fn in_template(document: &mut JudgedDocument) {
    let source = document.findings.source.clone();
    // Nothing is said of unused ones where the template has no values.
    let complete = !document.findings.diagnostics.iter().any(|found| found.severity == Severity::Error);
    apply(&source, &|_| false, &|_| complete, &mut document.findings.diagnostics, &mut document.suppressed);
    document.findings.diagnostics.sort_by_key(|found| found.span);
}

/// `asked` says of a code whether one that allows nothing is worth a finding.
fn apply(
    source: &Source,
    elsewhere: &dyn Fn(Span) -> bool,
    asked: &dyn Fn(&str) -> bool,
    diagnostics: &mut Vec<Diagnostic>,
    suppressed: &mut Vec<Suppressed>,
) {
    let (mut comments, too_many) = comment::comments(source.text());
    comments.retain(|comment| !elsewhere(comment.span));
    if comments.is_empty() {
        return;
    }
    let complete = !is_incomplete(diagnostics);
    let mut faults = Vec::new();
    // Code, comment, and the place of the code.
    let mut allowed: Vec<(&'static str, &comment::Comment, Span, bool)> = Vec::new();
    for comment in &comments {
        if comment.rules.is_empty() {
            faults.push(malformed(comment.span, "expected `allow`, a code, and a reason".into()));
        }
        for (written, span) in &comment.rules {
            match judge(written, &comment.reason) {
                Ok(code) => allowed.push((code, comment, *span, false)),
                Err((rule, message, help)) => faults.push(finding(rule, String::new(), *span, message, help)),
            }
        }
    }
    if too_many && let Some(last) = comments.last() {
        let message = format!("expected at most {} such comments, found more: they are not read", comment::MOST);
        faults.push(malformed(last.span, message));
    }
    let mut kept = Vec::with_capacity(diagnostics.len());
    for found in diagnostics.drain(..) {
        // The innermost one is the one that is meant: it begins last.
        let holds = |(code, comment, ..): &&mut (&'static str, &comment::Comment, Span, bool)| {
            *code == found.code
                && comment.range.is_none_or(|range| {
                    let begins = |span: Span| range.start <= span.start && span.start < range.end;
                    // What is said of a whole script can be allowed in the script.
                    let about = |span: Span| span.start <= comment.span.start && comment.span.end <= span.end;
                    found.span.is_some_and(|span| begins(span) || about(span))
                })
        };
        match allowed.iter_mut().rev().find(holds).filter(|_| is_allowable(&found)) {
            Some((_, comment, _, used)) => {
                *used = true;
                let (reason, place) = (comment.reason.clone(), Some(comment.span));
                suppressed.push(Suppressed { diagnostic: found, reason, allowed_at: place });
            }
            None => kept.push(found),
        }
    }
    let unused = allowed.into_iter().filter(|(code, .., used)| !used && complete && asked(code));
    faults.extend(unused.map(|(code, comment, span, _)| {
        let place = if comment.range.is_some() { "where it is allowed" } else { "in the document" };
        unused_finding(code, span, String::new(), place)
    }));
    *diagnostics = kept;
    diagnostics.append(&mut faults);
}

/// The code that a suppression is about, or what is wrong with it.
fn judge(written: &str, reason: &str) -> Result<&'static str, (&'static rules::Rule, String, Option<String>)> {
    match known(written) {
        Known::Unknown(similar) => {
            let message = format!("expected the code or name of a rule, found {}", quoted(written));
            let help = match similar {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => "`mkimg rules` lists all; several are separated by commas, and the reason comes last".into(),
            };
            Err((&rules::SUPPRESSION_OF_UNKNOWN_RULE, message, Some(help)))
        }
        Known::Never(code) => {
            let message = format!("{code} cannot be allowed: it stays an error, and the verdict what cloud-init gives");
            let message = if is_about_suppressions(code) {
                format!("{code} cannot be allowed: it is about suppressions themselves")
            } else {
                message
            };
            Err((&rules::SUPPRESSION_OF_ERROR, message, Some("correct the document, and remove this".into())))
        }
        Known::Rule(code) if reason.trim().is_empty() => {
            let message = format!("expected a reason why {code} is allowed, found none");
            let help = format!("write why, after the code: `# mkimg: allow {code} the reason`");
            Err((&rules::SUPPRESSION_WITHOUT_REASON, message, Some(help)))
        }
        Known::Rule(code) => Ok(code),
    }
}

fn malformed(span: Span, message: String) -> Diagnostic {
    let help = "write `# mkimg: allow MK201 the reason`".to_string();
    finding(&rules::MALFORMED_SUPPRESSION, String::new(), span, message, Some(help))
}

fn unused_finding(code: &str, span: Span, path: String, place: &str) -> Diagnostic {
    let message = format!("{code} is allowed, and does not occur {place}");
    finding(&rules::UNUSED_SUPPRESSION, path, span, message, Some("remove it".into()))
}

/// Takes out of a judged document what is allowed from outside. The result has a finding for each line that is wrong or that
/// allows nothing, with the line's index as its path (`allow.0`) and its place by `place`.
#[must_use]
pub fn from_outside(
    judged: &mut JudgedDocument,
    allowances: &[Allowance],
    place: &dyn Fn(&str) -> Span,
) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    let destinations = if allowances.iter().any(|allowance| is_file(allowance.path.as_deref())) {
        destinations(&judged.findings.source)
    } else {
        Vec::new()
    };
    let complete = !is_incomplete(&judged.findings.diagnostics);
    for (index, allowance) in allowances.iter().enumerate() {
        let path = format!("allow.{index}");
        let code = match judge(&allowance.rule, &allowance.reason) {
            Ok(code) => code,
            Err((rule, message, help)) => {
                let help = help.filter(|help| !help.contains('#'));
                faults.push(finding(rule, path.clone(), place(&path), message, help));
                continue;
            }
        };
        let here = |found: &Diagnostic| match allowance.path.as_deref() {
            None => true,
            Some(file) if is_file(Some(file)) => {
                let entry = found.path.strip_prefix("write_files.").and_then(|rest| rest.split('.').next());
                let written = entry.and_then(|index| destinations.get(index.parse::<usize>().ok()?));
                written.is_some_and(|written| written.as_deref() == Some(file))
            }
            Some(wanted) => {
                found.path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
        };
        let (out, kept) = std::mem::take(&mut judged.findings.diagnostics)
            .into_iter()
            .partition::<Vec<_>, _>(|found| found.code == code && is_allowable(found) && here(found));
        judged.findings.diagnostics = kept;
        if out.is_empty() && complete {
            let mut fault = unused_finding(code, place(&path), path, "in the rendered document");
            if let Some(file) = allowance.path.as_deref().filter(|file| is_file(Some(file)))
                && !destinations.iter().flatten().any(|known| known == file)
            {
                let near = closest(file, destinations.iter().flatten().map(String::as_str));
                let help = near.map(|near| format!("did you mean {}?", quoted(near)));
                fault.help = Some(help.unwrap_or_else(|| format!("`write_files` writes no {}", quoted(file))));
            }
            faults.push(fault);
        }
        judged.suppressed.extend(out.into_iter().map(|diagnostic| Suppressed {
            diagnostic,
            reason: allowance.reason.clone(),
            allowed_at: None,
        }));
    }
    faults
}

fn is_file(path: Option<&str>) -> bool {
    path.is_some_and(|path| path.starts_with('/'))
}

/// Where each entry of `write_files` goes.
fn destinations(source: &Source) -> Vec<Option<String>> {
    let Ok(tree) = yaml11::parse(source.text()) else { return Vec::new() };
    let entries = tree.root().and_then(|root| root.get("write_files"));
    let Some(NodeKind::Sequence(entries)) = entries.map(yaml11::Node::kind) else { return Vec::new() };
    let path = |entry: &yaml11::Child| tree.node(*entry).get("path").and_then(|path| path.as_str().map(str::to_owned));
    entries.iter().map(path).collect()
}

#[cfg(test)]
mod tests;
