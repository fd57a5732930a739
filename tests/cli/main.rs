//! The commands of mkimg that need no cloud: what they print, what they write and how they exit.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "edge: tests read files and the environment, wait by the clock and start processes"
)]

#[path = "../harness/mod.rs"]
mod harness;

#[cfg(unix)]
mod commands;
#[cfg(unix)]
mod docs;
#[cfg(unix)]
mod examples;
#[cfg(unix)]
mod first_mistakes;
#[cfg(unix)]
mod import;
#[cfg(unix)]
mod lock;
mod render;
mod template_rules;
mod validate_cases;
#[cfg(unix)]
mod validate_command;
mod validate_good;
mod validate_sarif;
