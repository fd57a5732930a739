//! `mkimg schema`.

use super::Global;
use super::error::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, global: &Global) -> Result<(), Failure> {
    global.terminal.print_raw(format!("{:#}\n", crate::model::schema()).as_bytes())
}
