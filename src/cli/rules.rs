//! `mkimg rules`.

use serde_json::json;

use super::{Failure, Global};
use crate::validate::rules::REGISTRY;
use crate::{import, model, workspace};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How the list is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    #[default]
    Human,
    Json,
}

/// A line of the list: code, name, origin, severity, and what it finds.
struct Line {
    code: &'static str,
    name: &'static str,
    origin: &'static str,
    severity: &'static str,
    summary: &'static str,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let judged = REGISTRY.iter().map(|rule| Line {
        code: rule.code,
        name: rule.name,
        origin: rule.origin.name(),
        severity: rule.severity.name(),
        summary: rule.summary,
    });
    // Faults of the template and of the files that it names: they have codes of their own, and no examples.
    let faults = model::FAULTS.iter().chain(workspace::FAULTS).chain(import::FAULTS).map(|fault| Line {
        code: fault.code,
        name: fault.name,
        origin: "mkimg",
        severity: "error",
        summary: fault.explanation,
    });
    let lines: Vec<Line> = judged.chain(faults).collect();
    match args.format {
        Format::Json => {
            let rules: Vec<_> = lines
                .iter()
                .map(|line| {
                    json!({"code": line.code, "name": line.name, "origin": line.origin, "severity": line.severity,
                           "summary": line.summary})
                })
                .collect();
            let text = serde_json::to_string_pretty(&json!({"version": 1, "rules": rules})).unwrap_or_default();
            global.terminal.print(text + "\n")
        }
        Format::Human => {
            let width = lines.iter().map(|line| line.name.len()).max().unwrap_or_default();
            let shown = lines.iter().map(|line| {
                format!(
                    "{}  {:width$}  {:10}  {:10}  {}\n",
                    line.code, line.name, line.origin, line.severity, line.summary
                )
            });
            global.terminal.print(shown.collect::<String>())
        }
    }
}
