//! `mkimg man DIR`.

use std::path::PathBuf;

use super::{Failure, Global};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to write them; made if it is missing
    directory: PathBuf,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let directory = global.path(&args.directory);
    let wrote =
        std::fs::create_dir_all(&directory).and_then(|()| clap_mangen::generate_to(super::description(), &directory));
    wrote.map_err(|error| {
        Failure::usage(format!("cannot write man pages to {}: {error}", directory.display()))
            .with_help("name a directory that you may write to")
    })
}
