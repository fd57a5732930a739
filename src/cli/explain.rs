//! `mkimg explain CODE`.

use std::borrow::Cow;

use super::Global;
use super::error::{ErrorKind, ExpectedError, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rule's code, such as MK101, or its name
    code: String,
}

#[derive(Debug, thiserror::Error)]
#[error("expected the code or name of a rule, such as MK101; found {code}")]
struct UnknownRule {
    code: String,
    help: String,
}

impl ExpectedError for UnknownRule {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(self.help.clone().into())
    }
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
    Err(UnknownRule { code, help }.into())
}
