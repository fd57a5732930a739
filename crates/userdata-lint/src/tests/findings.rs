//! What each finding says: its severity, path, place, message, help and related places.
//!
//! `findings.txt` has a block for each bad example of a rule's page, and blocks with documents for
//! the other forms of the messages. A block is `== name`, the document (without a line
//! `#cloud-config` at its begin;
//! the examples of pages are not repeated), and a line for each finding, which begins with `--`.

use std::fmt::Write as _;

use crate::rules::REGISTRY;
use crate::{Options, lint_bytes};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/findings.txt");

/// How many findings of a document are shown; of the others, only the number.
const MAX_SHOWN: usize = 24;

/// The lines of the findings of a document.
fn findings(text: &[u8], options: &Options) -> String {
    let mut out = String::new();
    for document in lint_bytes("t", text, options).documents {
        let source = &document.findings.source;
        let place = |span: diagnostics::source::Span| {
            let (start, end) = (source.position(span.start), source.position(span.end));
            format!("{}:{}-{}:{}", start.line, start.column, end.line, end.column)
        };
        let all = &document.findings.diagnostics;
        for found in all.iter().take(MAX_SHOWN) {
            let at = found.span.map(place).unwrap_or_default();
            let (severity, path) = (found.severity.name(), &found.path);
            let _ =
                write!(out, "-- {} {severity} {path} {at}: {}", found.rule.code, found.message.replace('\n', "\\n"));
            let _ = found.help.iter().try_for_each(|help| write!(out, " | {}", help.replace('\n', "\\n")));
            for (span, label) in &found.related {
                let _ = write!(out, " | {} {label}", place(*span));
            }
            out.push('\n');
        }
        if all.len() > MAX_SHOWN {
            let _ = writeln!(out, "-- {} more", all.len() - MAX_SHOWN);
        }
    }
    out
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test reads and writes a file")]
fn findings_say_what_is_expected() {
    let expected = std::fs::read_to_string(FILE).unwrap_or_default();
    let mut found = String::new();
    for rule in REGISTRY.iter().filter(|rule| !rule.about_templates) {
        let options = Options { limit: rule.example_limit, ..Options::default() };
        for (index, bad) in rule.bad.iter().enumerate() {
            let _ = write!(found, "== page {} {index}\n{}\n", rule.code, findings(bad, &options));
        }
    }
    for block in expected.split("== ").filter(|block| !block.is_empty() && !block.starts_with("page ")) {
        let (name, rest) = block.split_once('\n').unwrap_or((block, ""));
        let document: String =
            rest.split_inclusive('\n').filter(|line| !line.starts_with("-- ") && !line.trim().is_empty()).collect();
        let header = if document.starts_with('#') && !document.starts_with("# mkimg") { "" } else { "#cloud-config\n" };
        let lines = findings(format!("{header}{document}").as_bytes(), &Options::default());
        let _ = write!(found, "== {name}\n{document}{lines}\n");
    }
    if std::env::var_os("MKIMG_BLESS").is_some_and(|value| !value.is_empty()) {
        std::fs::write(FILE, &found).expect("the file is writable");
        return;
    }
    for (index, (one, other)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(one, other, "findings.txt:{}; `make bless` accepts the change", index + 1);
    }
    assert_eq!(expected.lines().count(), found.lines().count(), "findings.txt; `make bless` accepts the change");
}
