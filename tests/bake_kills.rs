//! Bakes whose process is stopped, killed, suspended or cut off from its disk, against a separate `mkimg emulate`: what is
//! in the account afterwards, and after `mkimg resume` and `mkimg gc`.
//!
//! A sample is always played; `MKIMG_SWEEP=kills` (or `all`) plays every journal entry with every signal. To add a case: a
//! test in the file of its kind; what they stand on is in `ground.rs`.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "edge: the test starts processes and reads what they write"
)]

#[path = "bake_kills/collected.rs"]
mod collected;
#[path = "bake_kills/disk.rs"]
mod disk;
#[path = "bake_kills/ground.rs"]
mod ground;
#[path = "bake_kills/halted.rs"]
mod halted;
#[path = "bake_kills/secrets.rs"]
mod secrets;
#[path = "bake_kills/signals.rs"]
mod signals;
#[path = "bake_kills/suspended.rs"]
mod suspended;
#[path = "bake_kills/terminal.rs"]
mod terminal;
