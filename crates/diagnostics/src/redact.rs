//! Redacts secret values in a document's text and in its findings.
//!
//! Each character is replaced by one of the same length in bytes, so that spans stay valid.

use super::{Diagnostic, LintedDocument};
use crate::escape::MAX_QUOTE_CHARS;
use crate::source::{Source, Span};

/// Shorter values, and shorter lines of values, are not redacted: that would only make the document
/// unreadable.
const MIN_SECRET_BYTES: usize = 4;

/// Redacts values in a checked document, in the forms in which YAML represents them as text. Base64 and
/// compressed values are not redacted.
pub fn redact(document: &mut LintedDocument, values: &[String]) {
    let needles = needles(values);
    if needles.is_empty() {
        return;
    }
    let source = &document.findings.source;
    let (text, hidden) = masked(source.text(), &needles);
    let suppressed = document.suppressed.iter_mut().map(|allowed| &mut allowed.diagnostic);
    for found in document.findings.diagnostics.iter_mut().chain(suppressed) {
        redact_finding(found, &needles, &hidden);
    }
    document.findings.source = Source::new(source.name(), text);
}

/// The texts to redact, longest first.
fn needles(values: &[String]) -> Vec<String> {
    let mut needles = Vec::new();
    for line in
        values.iter().flat_map(|value| value.lines()).map(str::trim).filter(|line| line.len() >= MIN_SECRET_BYTES)
    {
        needles.push(line.to_owned());
        needles.push(line.replace('\'', "''"));
        needles.push(line.replace('\\', "\\\\").replace('"', "\\\""));
        if let Some((end, _)) = line.char_indices().nth(MAX_QUOTE_CHARS) {
            needles.push(line[..end].to_owned());
        }
    }
    needles.sort_by(|one, two| two.len().cmp(&one.len()).then_with(|| one.cmp(two)));
    needles.dedup();
    needles
}

/// The redacted text, and the spans that were redacted.
fn masked(text: &str, needles: &[String]) -> (String, Vec<Span>) {
    let mut hidden: Vec<Span> = Vec::new();
    let mut masked = text.to_owned();
    for needle in needles {
        let places: Vec<_> = masked.match_indices(needle.as_str()).map(|(at, _)| at).collect();
        for at in places {
            let end = at + needle.len();
            masked.replace_range(at..end, &mask(needle));
            hidden.push(Span::new(at, end));
        }
    }
    (masked, hidden)
}

fn mask(text: &str) -> String {
    text.chars().map(|character| ['*', '\u{b7}', '\u{2022}', '\u{1f512}'][character.len_utf8() - 1]).collect()
}

fn redact_finding(found: &mut Diagnostic, needles: &[String], hidden: &[Span]) {
    let touches = |span: Span| hidden.iter().any(|secret| secret.start < span.end && span.start < secret.end);
    let is_about_one = found.span.is_some_and(touches);
    let clean = |text: &mut String| {
        for needle in needles.iter().filter(|needle| text.contains(needle.as_str())).collect::<Vec<_>>() {
            *text = text.replace(needle.as_str(), &mask(needle));
        }
        // A truncated quotation may end in the middle of a value.
        if is_about_one && text.contains("…`") {
            let pieces: Vec<_> = text.split('`').map(|piece| if piece.ends_with('…') { "…" } else { piece }).collect();
            *text = pieces.join("`");
        }
    };
    clean(&mut found.message);
    clean(&mut found.path);
    found.help.iter_mut().for_each(clean);
    found.related.iter_mut().for_each(|(_, label)| clean(label));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{WRONG_TYPE, report};
    use crate::{Format, quoted};

    #[test]
    fn no_format_shows_redacted_values() {
        let long = "s3cr3t-".repeat(20);
        let text = format!("#cloud-config\na: hunter2é: 'it''s'\nb: xx{long}\nc: |\n  line one\n  line two\n");
        let mut report = report(vec![]);
        let document = &mut report.documents[0];
        document.findings.source = Source::new("t", text.as_str());
        for line in ["a: hunter2é: 'it''s'", &format!("b: xx{long}"), "line two"] {
            let start = text.find(line).unwrap();
            let (span, message) =
                (Span::new(start, start + line.len()), format!("expected a number, found {}", quoted(line)));
            let mut finding =
                Diagnostic::new(&WRONG_TYPE, line, span, message).with_help(format!("put {line} in quotes"));
            finding.related = vec![(Span::new(start, start + 1), line.into())];
            document.findings.diagnostics.push(finding);
        }
        let values = ["hunter2é", "it's", &long, "line one\nline two\n", "ab"].map(str::to_owned);
        let allowed = document.findings.diagnostics[0].clone();
        document.suppressed.push(crate::Suppressed { diagnostic: allowed, reason: "x".into(), allowed_at: None });
        redact(document, &values);
        for format in [Format::Human, Format::Json, Format::Github, Format::Sarif] {
            let shown = report.render(format, false);
            for secret in ["hunter2", "it''s", "it's", "s3cr", "line one", "line two"] {
                assert!(!shown.contains(secret), "{format:?}: {secret} in {shown}");
            }
        }
        let masked = report.documents[0].findings.source.text();
        assert_eq!(masked.len(), text.len());
        assert!(masked.contains("a: *******·: '*****'\n"), "{masked}");
    }
}
