//! Projects on disk: finds them, reads what a template names, reads and writes locks, and downloads
//! artifacts.
//!
//! All input is checked here; the result is bytes with an owner, a mode and a path on the machine.
//! A problem with a file is a [`TreeError`]; to add one, add a variant with its rule, message and
//! help.

#![allow(clippy::disallowed_methods, reason = "edge: reads and writes files")]

mod collect;
mod directory;
mod download;
mod error;
mod files;
mod names;
mod project;
mod staged;

pub use collect::{Collected, MAX_FILE_BYTES, collect};
pub use download::{ArtifactRequest, DownloadError, Downloads, Options as DownloadOptions, Progress};
pub use error::{TreeError, TreeFault};
pub use files::{
    FilePath, LINK_HELP, ReadError, Readers, WriteError, describe_kind, is_temporary, open_regular, read_document,
    read_error_reason, read_regular, read_text, write_atomically, write_for,
};
pub use project::{LockError, Project, ProjectError, read_lock, write_lock};
pub use staged::StagedProject;
