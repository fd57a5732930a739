//! Bakes as processes against an emulator in another process, and the programs that run on the machine: the first-boot
//! runner and the image's stubs.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "edge: tests read files and the environment, wait by the clock and start processes"
)]

#[path = "../harness/mod.rs"]
mod harness;

#[cfg(target_os = "linux")]
mod kills;
mod none;
#[cfg(unix)]
mod runner;
mod stubs;
#[cfg(unix)]
mod wrong;
