//! Suppressions: findings that the author allows, by a comment in the document or by the allow list
//! of the template.
//!
//! A suppressed finding is neither shown nor counted, but is kept with its reason. The verdict does
//! not change: it is cloud-init's, and cloud-init does not read these comments. So errors of
//! cloud-init cannot be suppressed. MK008 can: only the command `cloud-init schema` reports it.

mod comment;

use super::places::finding;
use super::{Options, Version};
use crate::rules::{self, Rule};
use diagnostics::did_you_mean;
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Origin, Part, Severity, Suppressed, quoted};

/// An entry of the allow list of an image template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Code or name of a rule.
    pub rule: String,
    /// A path in the document (`write_files.3`, with everything below it), or the path of a file
    /// that `write_files` writes (`/etc/motd`). `None` for the whole document.
    pub path: Option<String>,
    /// Why the finding is allowed.
    pub reason: String,
}

/// An entry of `write_files`.
pub(super) struct WrittenFile {
    pub index: usize,
    pub path: String,
    /// How many bytes of the document the entry takes.
    pub bytes: usize,
}

/// Whether a rule is about suppressions themselves.
fn is_about_suppressions(rule: &Rule) -> bool {
    [
        &rules::UNUSED_SUPPRESSION,
        &rules::SUPPRESSION_WITHOUT_REASON,
        &rules::SUPPRESSION_OF_UNKNOWN_RULE,
        &rules::SUPPRESSION_OF_ERROR,
        &rules::MALFORMED_SUPPRESSION,
    ]
    .iter()
    .any(|one| one.code == rule.code)
}

/// Whether a finding with this severity can be suppressed. The origin is the rule's, because
/// findings in parts have the origin `mkimg`, and MK008 is not about what happens at boot.
fn can_be_allowed(rule: &Rule, severity: Severity) -> bool {
    let of_cloud_init = rule.origin == Origin::CloudInit && severity == Severity::Error;
    !is_about_suppressions(rule) && !of_cloud_init
}

fn is_allowable(found: &Diagnostic) -> bool {
    can_be_allowed(found.rule, found.severity)
}

/// Rules after which the rest of a document is not checked, so unused suppressions cannot be known.
const INCOMPLETE: &[&Rule] = &[
    &rules::MISSING_HEADER,
    &rules::INVALID_YAML,
    &rules::NOT_A_MAPPING,
    &rules::UNREADABLE_DOCUMENT,
    &rules::TOO_COMPLEX,
    &rules::NOT_CHECKED,
    &rules::INVALID_JINJA,
];

fn is_incomplete(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|found| INCOMPLETE.iter().any(|rule| rule.code == found.rule.code))
}

/// Applies the comments of a document. Comments in parts have been applied with the part.
pub(super) fn in_document(
    source: &Source,
    options: &Options,
    parts: &[Part],
    diagnostics: &mut Vec<Diagnostic>,
    suppressed: &mut Vec<Suppressed>,
) {
    let asked = |rule: &Rule| {
        let other_version = rule.origin == Origin::CloudInit && options.cloud_init != Version::LATEST;
        let no_limit = rule.code == rules::OVER_PROVIDER_LIMIT.code && options.max_bytes().is_none();
        !other_version && !no_limit
    };
    let within = |span: Span| parts.iter().any(|part| part.span.start <= span.start && span.end <= part.span.end);
    apply(source, &within, &asked, diagnostics, suppressed);
}

/// Applies the comments of a file that is checked on its own. Invalid and unused comments are
/// reported with the document that writes the file.
pub(super) fn in_file(source: &Source, diagnostics: &mut Vec<Diagnostic>, suppressed: &mut Vec<Suppressed>) {
    apply(source, &|_| false, &|_| false, diagnostics, suppressed);
    diagnostics.retain(|found| !is_about_suppressions(found.rule));
}

/// Applies the comments of an image template to what was found in it.
pub(super) fn in_template(source: &Source, diagnostics: &mut Vec<Diagnostic>, suppressed: &mut Vec<Suppressed>) {
    // Unused comments are not reported if the template has errors: some of its checks did not run.
    let complete = !diagnostics.iter().any(|found| found.severity == Severity::Error);
    apply(source, &|_| false, &|_| complete, diagnostics, suppressed);
}

/// `asked` tells whether to report an unused suppression of a rule.
fn apply(
    source: &Source,
    elsewhere: &dyn Fn(Span) -> bool,
    asked: &dyn Fn(&Rule) -> bool,
    diagnostics: &mut Vec<Diagnostic>,
    suppressed: &mut Vec<Suppressed>,
) {
    let (mut comments, too_many) = comment::comments(source.text());
    comments.retain(|comment| !elsewhere(comment.span));
    if comments.is_empty() {
        return;
    }
    let complete = !is_incomplete(diagnostics);
    let mut findings = Vec::new();
    // The rule, its comment, the place of its name, and whether it is used.
    let mut allowed: Vec<(&'static Rule, &comment::Comment, Span, bool)> = Vec::new();
    for comment in &comments {
        if comment.rules.is_empty() {
            findings.push(malformed(comment.span, "expected `allow`, a code, and a reason".into()));
        }
        for (written, span) in &comment.rules {
            match read_rule(written, &comment.reason) {
                Ok(rule) => allowed.push((rule, comment, *span, false)),
                Err((rule, message, help)) => findings.push(finding(rule, String::new(), *span, message, help)),
            }
        }
    }
    if too_many && let Some(last) = comments.last() {
        let message =
            format!("expected at most {} suppressions, found more; the others are not read", comment::MAX_COMMENTS);
        findings.push(malformed(last.span, message));
    }
    let mut kept = Vec::with_capacity(diagnostics.len());
    for found in diagnostics.drain(..) {
        // The innermost comment applies, which begins last.
        let holds = |(rule, comment, ..): &&mut (&'static Rule, &comment::Comment, Span, bool)| {
            rule.code == found.rule.code
                && comment.range.is_none_or(|range| {
                    let begins = |span: Span| range.start <= span.start && span.start < range.end;
                    // A finding about a whole script can be allowed in the script.
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
    let unused = allowed.into_iter().filter(|(rule, .., used)| !used && complete && asked(rule));
    findings.extend(unused.map(|(rule, comment, span, _)| {
        let place = if comment.range.is_some() { "where it is allowed" } else { "in the document" };
        unused_finding(rule, Some(span), String::new(), place)
    }));
    *diagnostics = kept;
    diagnostics.append(&mut findings);
}

/// The rule that a suppression names, or why it is invalid.
fn read_rule(written: &str, reason: &str) -> Result<&'static Rule, (&'static Rule, String, Option<String>)> {
    let Some(rule) = rules::find(written) else {
        let message = format!("expected the code or name of a rule, found {}", quoted(written));
        let help = match rules::similar(written) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => "`mkimg rules` lists all; several are separated by commas, and the reason comes last".into(),
        };
        return Err((&rules::SUPPRESSION_OF_UNKNOWN_RULE, message, Some(help)));
    };
    let code = rule.code;
    if !can_be_allowed(rule, rule.severity) {
        let why = if is_about_suppressions(rule) {
            "it is about suppressions themselves"
        } else {
            "cloud-init reports it as an error"
        };
        let (message, help) =
            (format!("{code} cannot be allowed: {why}"), "fix the document, and remove this suppression");
        return Err((&rules::SUPPRESSION_OF_ERROR, message, Some(help.into())));
    }
    if reason.trim().is_empty() {
        let message = format!("expected a reason for allowing {code}, found none");
        let help = format!("write the reason after the code: `# mkimg: allow {code} the reason`");
        return Err((&rules::SUPPRESSION_WITHOUT_REASON, message, Some(help)));
    }
    Ok(rule)
}

fn malformed(span: Span, message: String) -> Diagnostic {
    let help = "write `# mkimg: allow MK201 the reason`".to_string();
    finding(&rules::MALFORMED_SUPPRESSION, String::new(), span, message, Some(help))
}

fn unused_finding(rule: &Rule, span: Option<Span>, path: String, place: &str) -> Diagnostic {
    let message = format!("{} is allowed, but does not occur {place}", rule.code);
    Diagnostic::new(&rules::UNUSED_SUPPRESSION, path, span, message).with_help("remove it")
}

/// Applies the allow list of a template to the document that it renders to. Returns a finding for
/// each entry that is invalid or unused, with the path `allow.N` and without a place.
pub(super) fn by_allow_list(
    allowances: &[Allowance],
    files: &[WrittenFile],
    diagnostics: &mut Vec<Diagnostic>,
    suppressed: &mut Vec<Suppressed>,
) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let complete = !is_incomplete(diagnostics);
    let index_of = |found: &Diagnostic| -> Option<usize> {
        found.path.strip_prefix("write_files.")?.split('.').next()?.parse().ok()
    };
    for (number, allowance) in allowances.iter().enumerate() {
        let path = format!("allow.{number}");
        let rule = match read_rule(&allowance.rule, &allowance.reason) {
            Ok(rule) => rule,
            Err((rule, message, help)) => {
                // The help shows how to write a comment, which the template does not have.
                let help = help.filter(|help| !help.contains('#'));
                findings.push(Diagnostic::new(rule, path, None, message).with_help(help));
                continue;
            }
        };
        let holds = |found: &Diagnostic| match allowance.path.as_deref() {
            None => true,
            Some(file) if file.starts_with('/') => {
                let index = index_of(found);
                files.iter().any(|written| Some(written.index) == index && written.path == file)
            }
            Some(key) => found.path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
        };
        let mut used = false;
        for diagnostic in
            diagnostics.extract_if(.., |found| found.rule.code == rule.code && is_allowable(found) && holds(found))
        {
            used = true;
            suppressed.push(Suppressed { diagnostic, reason: allowance.reason.clone(), allowed_at: None });
        }
        if !used && complete {
            let mut unused = unused_finding(rule, None, path, "in the rendered document");
            let file = allowance.path.as_deref().filter(|path| path.starts_with('/'));
            if let Some(file) = file.filter(|file| files.iter().all(|written| written.path != *file)) {
                unused.help = did_you_mean(file, files.iter().map(|written| written.path.as_str()))
                    .or_else(|| Some(format!("`write_files` does not write {}", quoted(file))));
            }
            findings.push(unused);
        }
    }
    findings
}

/// Applies the allow list to a file that is checked on its own.
pub(super) fn in_file_by_allow_list(
    allowances: &[Allowance],
    destination: &str,
    diagnostics: &mut Vec<Diagnostic>,
    suppressed: &mut Vec<Suppressed>,
) {
    for allowance in allowances.iter().filter(|one| one.path.as_deref().is_none_or(|path| path == destination)) {
        let code = rules::find(&allowance.rule).map(|rule| rule.code);
        let found = diagnostics.extract_if(.., |found| Some(found.rule.code) == code);
        suppressed.extend(found.map(|diagnostic| Suppressed {
            diagnostic,
            reason: allowance.reason.clone(),
            allowed_at: None,
        }));
    }
}

#[cfg(test)]
mod tests;
