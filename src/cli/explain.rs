//! `mkimg explain CODE`.

use super::{Failure, Global};
use crate::validate::rules;
use crate::{import, model, workspace};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rule's code, such as MK101, or its name
    code: String,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    if let Some(rule) = rules::find(&args.code) {
        return global.terminal.print(rules::page(rule));
    }
    let mut faults = model::FAULTS.iter().chain(workspace::FAULTS).chain(import::FAULTS);
    let wanted =
        |fault: &&model::Fault| [fault.code, fault.name].iter().any(|known| known.eq_ignore_ascii_case(&args.code));
    if let Some(fault) = faults.find(wanted) {
        let text = format!(
            "# {} {}\n\n{}\n\nmkimg finds this in the image template or in what it names.\n",
            fault.code, fault.name, fault.explanation
        );
        return global.terminal.print(text);
    }
    let help = match rules::similar(&args.code) {
        Some(similar) => format!("did you mean {similar}? `mkimg rules` lists all"),
        None => "`mkimg rules` lists all".into(),
    };
    let code = crate::diag::quoted(&args.code);
    Err(Failure::usage(format!("expected the code or name of a rule, such as MK101; found {code}")).with_help(help))
}
