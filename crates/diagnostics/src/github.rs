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
            let title = format!("{} {}", diagnostic.rule.code, diagnostic.rule.name);
            let [line, column, end_line, end_column] =
                [start.line, start.column, end.line, end.column].map(|number| number.to_string());
            let mut properties = vec![("file", source.name()), ("line", &line)];
            // GitHub accepts columns only if start and end are on one line.
            if start.line == end.line {
                properties.extend([("col", column.as_str()), ("endLine", &end_line), ("endColumn", &end_column)]);
            } else {
                properties.push(("endLine", &end_line));
            }
            properties.push(("title", &title));
            out.push_str(&workflow_command(level, &properties, &message));
        }
    }
    out
}

/// Returns a command to a GitHub workflow with its end of line: `::error file=a.yaml::message`. Names and values are escaped.
#[must_use]
pub fn workflow_command(command: &str, properties: &[(&str, &str)], message: &str) -> String {
    let properties: Vec<_> =
        properties.iter().map(|(name, value)| format!("{name}={}", escape_property(value))).collect();
    format!("::{command} {}::{}\n", properties.join(","), escape_message(message))
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
