//! Projects on disk: finds them, reads what a template names, reads and writes locks, and downloads
//! artifacts.
//!
//! All input is checked here; the result is bytes with an owner, a mode and a path on the machine.
//! A problem with a file is a [`TreeError`]; to add one, add a variant with its rule, message and
//! help.

#![allow(clippy::disallowed_methods, reason = "edge: reads and writes files")]

mod collect;
mod download;
mod error;
mod files;
mod project;

pub use collect::{Collected, collect};
pub use download::{ArtifactRequest, DownloadError, Downloads, Options as DownloadOptions, Progress};
pub use error::{TreeError, TreeFault};
pub use files::{
    NewFiles, Readers, TextError, WriteError, read_error_reason, read_standard_input, read_text, write_atomically,
    write_for,
};
pub use project::{LockError, Project, ProjectError, read_lock, write_lock};
