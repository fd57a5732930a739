//! GitHub workflow commands: each finding becomes an annotation on the changed line.

use std::fmt::Write;

use super::{Report, Severity, harmless, places};

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    for document in &report.documents {
        let source = &document.findings.source;
        for diagnostic in &document.findings.diagnostics {
            let level = match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning | Severity::Deprecated => "warning",
                Severity::Info => "notice",
            };
            let (start, end) = places(source, diagnostic);
            let mut message = diagnostic.message.clone();
            if let Some(help) = &diagnostic.help {
                let _ = write!(message, "\nhelp: {help}");
            }
            let _ = write!(out, "::{level} file={},line={},", property(source.name()), start.line);
            // GitHub takes columns within one line only.
            let _ = if start.line == end.line {
                write!(out, "col={},endLine={},endColumn={},", start.column, end.line, end.column)
            } else {
                write!(out, "endLine={},", end.line)
            };
            let title = property(&format!("{} {}", diagnostic.code, diagnostic.name));
            let _ = writeln!(out, "title={title}::{}", data(&message));
        }
    }
    out
}

/// The text of a command. Line ends survive as escapes; other control characters do not.
fn data(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D");
    let lines: Vec<_> = text.split('\n').map(|line| harmless(line).into_owned()).collect();
    lines.join("%0A")
}

/// A property's value: it must not end the property or the list of them.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
