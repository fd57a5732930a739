//! Shows one finding in each output format: `cargo run -p mkimg-diagnostics --example formats`

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Findings, Format, LintedDocument, Origin, Report, Severity, Verdict};

fn main() {
    let source = Source::new("user-data.yaml", "#cloud-config\npakages: [git]\n");
    let finding = Diagnostic {
        code: "MK101",
        name: "unknown-key",
        origin: Origin::CloudInit,
        severity: Severity::Error,
        path: "pakages".into(),
        message: "unknown key `pakages`".into(),
        help: Some("did you mean `packages`?".into()),
        span: Some(Span::new(14, 21)),
        related: Vec::new(),
    };
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
        println!("--- {format:?}\n{}", report.render(format, false, &|_| None));
    }
}
