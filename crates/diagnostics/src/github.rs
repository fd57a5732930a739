//! `--format github`: workflow commands that annotate the lines of a pull request.

use std::fmt::Write;

use super::{Report, Severity, escape_control, positions};

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
            let (start, end) = positions(source, diagnostic);
            let mut message = diagnostic.message.clone();
            if let Some(help) = &diagnostic.help {
                let _ = write!(message, "\nhelp: {help}");
            }
            let _ = write!(out, "::{level} file={},line={},", escape_property(source.name()), start.line);
            // GitHub accepts columns only if start and end are on one line.
            let _ = if start.line == end.line {
                write!(out, "col={},endLine={},endColumn={},", start.column, end.line, end.column)
            } else {
                write!(out, "endLine={},", end.line)
            };
            let title = escape_property(&format!("{} {}", diagnostic.rule.code, diagnostic.rule.name));
            let _ = writeln!(out, "title={title}::{}", escape_message(&message));
        }
    }
    out
}

/// Escapes the message of a command. Line ends are kept.
fn escape_message(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D");
    let lines: Vec<_> = text.split('\n').map(|line| escape_control(line).into_owned()).collect();
    lines.join("%0A")
}

/// Escapes the value of a property.
fn escape_property(text: &str) -> String {
    escape_message(text).replace(':', "%3A").replace(',', "%2C")
}
