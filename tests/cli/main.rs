//! The commands of mkimg that need no cloud: what they print, what they write and how they exit.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "edge: tests read files and the environment, wait by the clock and start processes"
)]
#![cfg(unix)]

#[path = "../harness/mod.rs"]
mod harness;

mod commands;
mod docs;
mod first_mistakes;
mod import;
mod lock;
mod options;
mod render;
mod untrusted;
mod validate;
