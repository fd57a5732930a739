//! `mkimg man DIR`.

use std::path::PathBuf;

use super::Global;
use super::error::{Failure, FileError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory to write to; created if it does not exist
    directory: PathBuf,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let directory = global.path(&args.directory);
    let written =
        std::fs::create_dir_all(&directory).and_then(|()| clap_mangen::generate_to(super::description(), &directory));
    Ok(written.map_err(|error| {
        FileError::new("write man pages to", &directory, &error).with_help("name a writable directory")
    })?)
}
