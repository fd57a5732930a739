//! `mkimg completions SHELL`.

use clap_complete::Shell;

use super::Global;
use super::error::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::description(), "mkimg", &mut script);
    global.terminal.print_raw(&script)
}
