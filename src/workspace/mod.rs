//! Projects on disk: finding them, reading what a template names, locks, and writing without halves (edge: files, network).
//!
//! Everything that is read is checked here once: what comes out is bytes with an owner, a mode and a place on the machine.
//! A fault of a file is a [`TreeError`]; to add one, add a variant with its code, message and help.

#![allow(clippy::disallowed_methods, reason = "edge: files are read and written here")]

mod download;
mod fault;
mod lock;
mod project;
mod scripts;
mod text;
mod tree;
mod write;

pub use download::{DownloadError, Downloads, Options as DownloadOptions, Progress, Wanted};
pub use fault::{TreeError, TreeFault};
pub use lock::{LockError, read_lock, write_lock};
pub use project::{Project, ProjectError};
pub use text::{TextError, read_standard_input, read_text};
pub use tree::reason;
pub use write::{NewFiles, Readers, WriteError, write_atomically, write_for};

use std::path::Path;

use crate::model::{FileTree, ImageSpec};

/// What a template names on disk, and what deserves a look.
#[derive(Debug, Default)]
pub struct Collected {
    pub tree: FileTree,
    pub warnings: Vec<TreeFault>,
}

/// Reads everything that a template names. All faults are reported, not only the first.
pub fn collect(root: &Path, spec: &ImageSpec) -> Result<Collected, Vec<TreeFault>> {
    let mut faults = Vec::new();
    let mut collected = Collected::default();
    collected.tree.files = tree::files(root, spec, &mut faults, &mut collected.warnings);
    let scripts = scripts::scripts(root, spec, &mut faults);
    collected.tree.scripts = scripts.ordered;
    collected.tree.cleanup = scripts.cleanup;
    collected.tree.check = scripts.check;
    if faults.is_empty() { Ok(collected) } else { Err(faults) }
}
