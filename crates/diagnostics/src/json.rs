//! `--format json`: one object with a stable shape (docs/validate.md).

use serde::Serialize;

use super::escape::escape_control_in_json;
use super::{Diagnostic, LintedDocument, Report, Suppressed, Verdict, positions};
use crate::source::Source;

#[derive(Serialize)]
struct Wire<'a> {
    version: u32,
    documents: Vec<WireDocument<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct WireDocument<'a> {
    file: &'a str,
    kind: &'a str,
    verdict: &'a str,
    diagnostics: Vec<WireDiagnostic<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<WirePart<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressed: Vec<WireSuppressed<'a>>,
}

#[derive(Serialize)]
struct WireSuppressed<'a> {
    #[serde(flatten)]
    diagnostic: WireDiagnostic<'a>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_at: Option<WirePosition>,
}

#[derive(Serialize)]
struct WirePosition {
    line: usize,
    column: usize,
}

#[derive(Serialize)]
struct WirePart<'a> {
    kind: &'a str,
    verdict: &'a str,
    line: usize,
    column: usize,
}

#[derive(Serialize)]
struct WireDiagnostic<'a> {
    code: &'a str,
    name: &'a str,
    origin: &'a str,
    severity: &'a str,
    path: &'a str,
    message: &'a str,
    help: Option<&'a str>,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Related<'a>>,
}

#[derive(Serialize)]
struct Related<'a> {
    message: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

#[derive(Serialize, Default)]
struct Summary {
    documents: usize,
    valid: usize,
    deprecated: usize,
    invalid: usize,
    skipped: usize,
    #[serde(skip_serializing_if = "is_zero")]
    suppressed: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

pub(super) fn render(report: &Report) -> String {
    let suppressed = report.counts().suppressed;
    let mut summary = Summary { documents: report.documents.len(), suppressed, ..Summary::default() };
    for document in &report.documents {
        *match document.verdict {
            Verdict::Valid => &mut summary.valid,
            Verdict::Deprecated => &mut summary.deprecated,
            Verdict::Invalid => &mut summary.invalid,
            Verdict::Skipped => &mut summary.skipped,
        } += 1;
    }
    let wire = Wire { version: 1, documents: report.documents.iter().map(document).collect(), summary };
    let text = serde_json::to_string_pretty(&wire).unwrap_or_default();
    escape_control_in_json(text) + "\n"
}

fn document(document: &LintedDocument) -> WireDocument<'_> {
    let source = &document.findings.source;
    let diagnostics = document.findings.diagnostics.iter().map(|found| diagnostic(source, found));
    let suppressed = document.suppressed.iter().map(|allowed| {
        let Suppressed { diagnostic: found, reason, allowed_at } = allowed;
        let allowed_at = allowed_at.map(|span| source.position(span.start));
        let allowed_at = allowed_at.map(|at| WirePosition { line: at.line, column: at.column });
        WireSuppressed { diagnostic: diagnostic(source, found), reason, allowed_at }
    });
    let parts = document.parts.iter().map(|part| {
        let place = source.position(part.span.start);
        WirePart { kind: part.kind, verdict: part.verdict.name(), line: place.line, column: place.column }
    });
    WireDocument {
        file: source.name(),
        kind: document.kind,
        verdict: document.verdict.name(),
        diagnostics: diagnostics.collect(),
        parts: parts.collect(),
        suppressed: suppressed.collect(),
    }
}

fn diagnostic<'a>(source: &Source, diagnostic: &'a Diagnostic) -> WireDiagnostic<'a> {
    let (start, end) = positions(source, diagnostic);
    let related = diagnostic.related.iter().map(|(span, message)| {
        let (start, end) = (source.position(span.start), source.position(span.end));
        Related { message, line: start.line, column: start.column, end_line: end.line, end_column: end.column }
    });
    WireDiagnostic {
        code: diagnostic.rule.code,
        name: diagnostic.rule.name,
        origin: diagnostic.origin.name(),
        severity: diagnostic.severity.name(),
        path: &diagnostic.path,
        message: &diagnostic.message,
        help: diagnostic.help.as_deref(),
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        related: related.collect(),
    }
}
