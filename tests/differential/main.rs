//! The linter, its YAML reader and its bounds, compared with the programs that decide: cloud-init, PyYAML, shells and systemd.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "edge: tests read files and the environment, wait by the clock and start processes"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod bounds;
mod content;
mod mutations;
mod packages;
mod validate;
mod yaml;
