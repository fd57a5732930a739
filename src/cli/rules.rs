//! `mkimg rules`.

use lint_rules::REGISTRY;
use serde_json::json;

use super::Global;
use super::error::Failure;
use super::options::OutputFormat;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Output format of the list
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: OutputFormat,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    match args.format {
        OutputFormat::Json => {
            let rules: Vec<_> = REGISTRY
                .iter()
                .map(|rule| {
                    json!({"code": rule.code, "name": rule.name, "origin": rule.origin.name(),
                           "severity": rule.severity.name(), "summary": rule.summary})
                })
                .collect();
            let text = serde_json::to_string_pretty(&json!({"version": 1, "rules": rules})).unwrap_or_default();
            global.terminal.print(text + "\n")
        }
        OutputFormat::Human => {
            let width = REGISTRY.iter().map(|rule| rule.name.len()).max().unwrap_or_default();
            let lines = REGISTRY.iter().map(|rule| {
                let (origin, severity) = (rule.origin.name(), rule.severity.name());
                format!("{}  {:width$}  {origin:10}  {severity:10}  {}\n", rule.code, rule.name, rule.summary)
            });
            global.terminal.print(lines.collect::<String>())
        }
    }
}
