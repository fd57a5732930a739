//! Shows one finding in each output format: `cargo run -p mkimg-diagnostics --example formats`

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Findings, Format, LintedDocument, Origin, Report, Rule, Severity, Verdict};

static UNKNOWN_KEY: Rule = Rule {
    code: "MK101",
    name: "unknown-key",
    origin: Origin::CloudInit,
    severity: Severity::Error,
    summary: "A key that cloud-init does not know.",
    page: "# MK101 unknown-key",
    ..Rule::EMPTY
};

fn main() {
    let source = Source::new("user-data.yaml", "#cloud-config\npakages: [git]\n");
    let finding = Diagnostic::new(&UNKNOWN_KEY, "pakages", Span::new(14, 21), "unknown key `pakages`")
        .with_help("did you mean `packages`?");
    let report = Report {
        documents: vec![LintedDocument {
            kind: "cloud-config",
            verdict: Verdict::Invalid,
            findings: Findings { source, diagnostics: vec![finding] },
            parts: Vec::new(),
            suppressed: Vec::new(),
        }],
    };
    for format in [Format::Human, Format::Json, Format::Github, Format::Sarif] {
        println!("--- {format:?}\n{}", report.render(format, false));
    }
}
