//! SARIF 2.1.0, for code scanning services and editors.
//!
//! What GitHub's code scanning wants is here: rules with help in Markdown, places relative to the repository (`%SRCROOT%`), and a
//! fingerprint by which an alert is known again when lines above it change.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::harmless::harmless_json;
use super::{Describe, Diagnostic, Document, Report, Severity, Suppressed, places};
use crate::source::{Position, Source};

/// The page of a rule in the project's repository, where Cargo.toml names one.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
/// So much of a line is looked at for its fingerprint, in bytes.
const FINGERPRINTED: usize = 500;
/// The line ends by which we count; SARIF's own are the first two.
const LINE_ENDS: [&str; 6] = ["\r\n", "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"];

/// A finding, and what allows it.
type Finding<'a> = (&'a Diagnostic, Option<&'a Suppressed>);

fn findings(document: &Document) -> impl Iterator<Item = Finding<'_>> {
    let suppressed = document.suppressed.iter().map(|allowed| (&allowed.diagnostic, Some(allowed)));
    document.findings.diagnostics.iter().map(|found| (found, None)).chain(suppressed)
}

pub(super) fn render(report: &Report, describe: Describe<'_>) -> String {
    let all = || report.documents.iter().flat_map(findings);
    let rules: BTreeMap<&str, &Diagnostic> = all().map(|(found, _)| (found.code, found)).collect();
    let indices: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(index, code)| (*code, index)).collect();
    let rules: Vec<_> = rules.values().map(|found| rule(found, describe)).collect();
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
    harmless_json(serde_json::to_string_pretty(&log).unwrap_or_default()) + "\n"
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

/// The results, each made when it is written: all of them at once would take several times as much memory as their text.
struct Results<'a> {
    report: &'a Report,
    indices: BTreeMap<&'a str, usize>,
    /// Either every result says whether it is suppressed, or none does.
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

fn rule(found: &Diagnostic, describe: Describe<'_>) -> Value {
    let explain = format!("Run `mkimg explain {}`.", found.code);
    let about = describe(found.code);
    let summary = about.as_ref().map_or_else(|| found.name.replace('-', " "), |about| about.summary.clone());
    let page = about.map_or_else(|| explain.clone(), |about| about.page);
    let mut rule = json!({
        "id": found.code,
        "name": found.name,
        "shortDescription": {"text": summary},
        "fullDescription": {"text": summary},
        "help": {"text": explain, "markdown": page},
        "defaultConfiguration": {"level": level(found.severity)},
        "properties": {"origin": found.origin.name(), "tags": ["cloud-init"]},
    });
    if !REPOSITORY.is_empty() {
        rule["helpUri"] = Value::from(format!("{REPOSITORY}/blob/main/docs/rules/{}.md", found.code));
    }
    rule
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

/// The line's text, white space aside, and how often a finding of the rule stood on such a line before: what stays the same when
/// lines are added elsewhere.
fn fingerprint(source: &Source, found: &Diagnostic, seen: &mut HashMap<(String, &str, u64), usize>) -> String {
    let text = source.text().as_bytes();
    let at = found.span.unwrap_or_default().start.min(text.len());
    let from = text[at.saturating_sub(FINGERPRINTED)..at].iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    let from = from.map_or(at.saturating_sub(FINGERPRINTED), |line| at.saturating_sub(FINGERPRINTED) + line + 1);
    let mut hash = Sha256::new();
    let line = text[from..].iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).take(2 * FINGERPRINTED);
    let line: Vec<u8> = line.copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    hash.update(&line);
    let digest = hash.finalize();
    let number = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    let count = seen.entry((source.name().to_owned(), found.code, number)).or_default();
    *count += 1;
    format!("{number:016x}:{count}")
}

fn suppression(source: &Source, allowed: &Suppressed) -> Value {
    let mut suppression = json!({
        "kind": if allowed.place.is_some() { "inSource" } else { "external" },
        "status": "accepted",
        "justification": allowed.reason,
    });
    if let Some(place) = allowed.place {
        let (start, end) = (source.position(place.start), source.position(place.end));
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

/// A file by its name: relative to where mkimg was called, or absolute.
fn artifact(name: &str) -> Value {
    if name.starts_with('/') {
        return json!({"uri": format!("file://{}", uri(name))});
    }
    let name = name.strip_prefix("./").unwrap_or(name);
    // Standard input has no place under any directory.
    if name == "-" { json!({"uri": "-"}) } else { json!({"uri": uri(name), "uriBaseId": "%SRCROOT%"}) }
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
