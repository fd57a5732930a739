//! `--format sarif`: SARIF 2.1.0, for code scanning services and editors.
//!
//! Includes what GitHub's code scanning uses: rules with help in Markdown, paths relative to the
//! repository (`%SRCROOT%`), and a fingerprint that recognises an alert when lines above it change.

use std::collections::{BTreeMap, HashMap};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::escape::escape_control_in_json;
use super::{Diagnostic, LintedDocument, Report, Rule, Severity, Suppressed, positions};
use crate::source::{Position, Source};

/// The project's repository, if Cargo.toml names one.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
/// Maximum part of a line that goes into its fingerprint, on each side of the finding.
const MAX_FINGERPRINT_BYTES: usize = 500;
/// Line ends that positions count; SARIF's default is the first two.
const LINE_ENDS: [&str; 6] = ["\r\n", "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"];

/// A finding, and the suppression that allows it.
type Finding<'a> = (&'a Diagnostic, Option<&'a Suppressed>);

fn findings(document: &LintedDocument) -> impl Iterator<Item = Finding<'_>> {
    let suppressed = document.suppressed.iter().map(|allowed| (&allowed.diagnostic, Some(allowed)));
    document.findings.diagnostics.iter().map(|found| (found, None)).chain(suppressed)
}

pub(super) fn render(report: &Report) -> String {
    let all = || report.documents.iter().flat_map(findings);
    let rules: BTreeMap<&str, &Rule> = all().map(|(found, _)| (found.rule.code, found.rule)).collect();
    let indices: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(index, code)| (*code, index)).collect();
    let rules: Vec<_> = rules.into_values().map(describe).collect();
    let any_suppressed = report.documents.iter().any(|document| !document.suppressed.is_empty());
    let run = Run {
        tool: json!({"driver": {
            "name": "mkimg",
            "version": env!("CARGO_PKG_VERSION"),
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": rules,
        }}),
        invocations: json!([{"executionSuccessful": true}]),
        original_uri_base_ids: json!({"%SRCROOT%": {"description": {"text": "the directory in which mkimg was called"}}}),
        newline_sequences: LINE_ENDS,
        column_kind: "unicodeCodePoints",
        results: Results { report, indices, any_suppressed },
    };
    let log = Log { schema: "https://json.schemastore.org/sarif-2.1.0.json", version: "2.1.0", runs: [run] };
    escape_control_in_json(serde_json::to_string_pretty(&log).unwrap_or_default()) + "\n"
}

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Value,
    invocations: Value,
    original_uri_base_ids: Value,
    newline_sequences: [&'static str; 6],
    column_kind: &'static str,
    results: Results<'a>,
}

/// Results, each built when it is serialized: building all at once takes several times the memory of
/// their text.
struct Results<'a> {
    report: &'a Report,
    indices: BTreeMap<&'a str, usize>,
    /// SARIF wants `suppressions` in every result or in none.
    any_suppressed: bool,
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seen = HashMap::new();
        let all = self.report.documents.iter().flat_map(|document| {
            findings(document).map(|(found, allowed)| (&document.findings.source, found, allowed))
        });
        serializer.collect_seq(all.map(|(source, found, allowed)| {
            let mut result = result(source, found, &self.indices);
            let fingerprint = fingerprint(source, found, &mut seen);
            result["partialFingerprints"] = json!({"primaryLocationLineHash": fingerprint});
            if self.any_suppressed {
                result["suppressions"] = allowed.map(|allowed| suppression(source, allowed)).into_iter().collect();
            }
            result
        }))
    }
}

fn describe(rule: &Rule) -> Value {
    let mut description = json!({
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.summary},
        "help": {"text": format!("Run `mkimg explain {}`.", rule.code), "markdown": rule.page},
        "defaultConfiguration": {"level": level(rule.severity)},
        "properties": {"origin": rule.origin.name(), "tags": ["cloud-init"]},
    });
    if !REPOSITORY.is_empty() {
        description["helpUri"] =
            Value::from(format!("{REPOSITORY}/blob/main/crates/lint-rules/pages/{}.md", rule.code));
    }
    description
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
    let (start, end) = positions(source, diagnostic);
    let mut location = json!({"physicalLocation": physical(source, start, end)});
    if !diagnostic.path.is_empty() {
        location["logicalLocations"] = json!([{"fullyQualifiedName": diagnostic.path}]);
    }
    let mut result = json!({
        "ruleId": diagnostic.rule.code,
        "ruleIndex": indices.get(diagnostic.rule.code),
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

/// Hash of the line without white space, and the number of earlier findings of the rule on equal lines.
/// Stays the same when other lines change.
fn fingerprint(source: &Source, found: &Diagnostic, seen: &mut HashMap<(String, &str, u64), usize>) -> String {
    let text = source.text().as_bytes();
    let at = found.span.unwrap_or_default().start.min(text.len());
    let from =
        text[at.saturating_sub(MAX_FINGERPRINT_BYTES)..at].iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    let from = from
        .map_or(at.saturating_sub(MAX_FINGERPRINT_BYTES), |line| at.saturating_sub(MAX_FINGERPRINT_BYTES) + line + 1);
    let mut hash = Sha256::new();
    let line = text[from..].iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).take(2 * MAX_FINGERPRINT_BYTES);
    let line: Vec<u8> = line.copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    hash.update(&line);
    let digest = hash.finalize();
    let number = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    let count = seen.entry((source.name().to_owned(), found.rule.code, number)).or_default();
    *count += 1;
    format!("{number:016x}:{count}")
}

fn suppression(source: &Source, allowed: &Suppressed) -> Value {
    let mut suppression = json!({
        "kind": if allowed.allowed_at.is_some() { "inSource" } else { "external" },
        "status": "accepted",
        "justification": allowed.reason,
    });
    if let Some(span) = allowed.allowed_at {
        let (start, end) = (source.position(span.start), source.position(span.end));
        suppression["location"] = json!({"physicalLocation": physical(source, start, end)});
    }
    suppression
}

fn physical(source: &Source, start: Position, end: Position) -> Value {
    json!({
        "artifactLocation": artifact(source.name()),
        "region": {"startLine": start.line, "startColumn": start.column, "endLine": end.line, "endColumn": end.column},
    })
}

/// The location of a file: relative to the current directory, or absolute.
fn artifact(name: &str) -> Value {
    if name.starts_with('/') {
        return json!({"uri": format!("file://{}", uri(name))});
    }
    let name = name.strip_prefix("./").unwrap_or(name);
    // Standard input is under no directory.
    if name == "-" { json!({"uri": "-"}) } else { json!({"uri": uri(name), "uriBaseId": "%SRCROOT%"}) }
}

/// Percent-encodes a file name.
fn uri(name: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
    utf8_percent_encode(name, ESCAPED).to_string()
}
