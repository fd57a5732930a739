//! `mkimg explain CODE`.

use super::{Failure, Global};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rule's code, such as MK101, or its name
    code: String,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    if let Some(rule) = lint_rules::find(&args.code) {
        return global.terminal.print(rule.page);
    }
    let help = match lint_rules::similar(&args.code) {
        Some(similar) => format!("did you mean {similar}? `mkimg rules` lists all"),
        None => "`mkimg rules` lists all".into(),
    };
    let code = diagnostics::quoted(&args.code);
    Err(Failure::usage(format!("expected the code or name of a rule, such as MK101; found {code}")).with_help(help))
}
