//! `mkimg schema`.

use super::{Failure, Global};

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, global: &Global) -> Result<(), Failure> {
    global.terminal.print_raw(format!("{:#}\n", crate::model::schema()).as_bytes())
}
