//! The emulator over its API, its state on disk and its base images.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "edge: tests read files and the environment, wait by the clock and start processes"
)]
#![allow(clippy::needless_pass_by_value, reason = "requests are written where they are sent")]

#[path = "../harness/mod.rs"]
mod harness;

mod api;
#[cfg(all(feature = "qemu", target_os = "linux"))]
mod base;
mod client;
mod contract;
#[cfg(all(feature = "qemu", target_os = "linux"))]
mod disk;
mod faults;
