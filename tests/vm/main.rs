//! Virtual machines: a local bake, and machines started from its image. They take minutes, so they are ignored unless
//! `make vm` or `make test-long` runs them.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "edge: tests read files and the environment, wait by the clock and start processes"
)]
#![cfg(all(feature = "qemu", target_os = "linux"))]

#[path = "../harness/mod.rs"]
mod harness;

mod bake;
mod cluster;
mod droplet;
mod droplets;
mod image;
