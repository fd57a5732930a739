//! Checks user-data documents: `cargo run -p userdata-lint --example lint -- FILE…`
#![allow(clippy::disallowed_methods, reason = "an example reads files")]

use std::process::ExitCode;

use diagnostics::{Format, Report};
use userdata_lint::{Options, lint_bytes};

fn main() -> ExitCode {
    let mut report = Report::default();
    for name in std::env::args().skip(1) {
        match std::fs::read(&name) {
            Ok(bytes) => report.documents.extend(lint_bytes(&name, bytes, &Options::default()).documents),
            Err(error) => {
                eprintln!("cannot read {name}: {error}");
                return ExitCode::from(2);
            }
        }
    }
    print!("{}", report.render(Format::Human, false));
    ExitCode::from(u8::from(report.counts().errors > 0))
}
