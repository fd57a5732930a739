//! SARIF 2.1.0, for code scanning services and editors.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::harmless::harmless_json;
use super::{Describe, Diagnostic, Report, Severity, places};
use crate::source::{Position, Source};

pub(super) fn render(report: &Report, describe: Describe<'_>) -> String {
    let diagnostics = || report.documents.iter().flat_map(|document| &document.findings.diagnostics);
    let rules: BTreeMap<&str, &Diagnostic> = diagnostics().map(|diagnostic| (diagnostic.code, diagnostic)).collect();
    let indices: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(index, code)| (*code, index)).collect();
    let rules: Vec<_> = rules
        .values()
        .map(|rule| {
            let description = describe(rule.code).unwrap_or_else(|| rule.name.replace('-', " "));
            json!({
                "id": rule.code,
                "name": rule.name,
                "shortDescription": {"text": description},
                "help": {"text": format!("Run `mkimg explain {}`.", rule.code)},
                "defaultConfiguration": {"level": level(rule.severity)},
                "properties": {"origin": rule.origin.name()},
            })
        })
        .collect();
    let results: Vec<_> = report
        .documents
        .iter()
        .flat_map(|document| {
            let source = &document.findings.source;
            let indices = &indices;
            document.findings.diagnostics.iter().map(move |diagnostic| result(source, diagnostic, indices))
        })
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "mkimg", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    harmless_json(&serde_json::to_string_pretty(&log).unwrap_or_default()) + "\n"
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning | Severity::Deprecated => "warning",
        Severity::Info => "note",
    }
}

fn result(source: &Source, diagnostic: &Diagnostic, indices: &BTreeMap<&str, usize>) -> Value {
    let message = match &diagnostic.help {
        Some(help) => format!("{}. Help: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let (start, end) = places(source, diagnostic);
    let mut location = json!({"physicalLocation": physical(source, start, end)});
    if !diagnostic.path.is_empty() {
        location["logicalLocations"] = json!([{"fullyQualifiedName": diagnostic.path}]);
    }
    let mut result = json!({
        "ruleId": diagnostic.code,
        "ruleIndex": indices.get(diagnostic.code),
        "level": level(diagnostic.severity),
        "message": {"text": message},
        "locations": [location],
    });
    if !diagnostic.related.is_empty() {
        let related = diagnostic.related.iter().enumerate().map(|(id, (span, label))| {
            json!({
                "id": id,
                "physicalLocation": physical(source, source.position(span.start), source.position(span.end)),
                "message": {"text": label},
            })
        });
        result["relatedLocations"] = related.collect();
    }
    result
}

fn physical(source: &Source, start: Position, end: Position) -> Value {
    json!({
        "artifactLocation": {"uri": uri(source.name())},
        "region": {"startLine": start.line, "startColumn": start.column, "endLine": end.line, "endColumn": end.column},
    })
}

/// A file's name as a URI reference: what a URI may not hold as it is becomes an escape.
fn uri(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
