//! Bakes whose process is stopped, killed, suspended or cut off from its disk, against a separate `mkimg emulate`: what is
//! in the account afterwards, and after `mkimg resume` and `mkimg gc`.
//!
//! A sample is always played; `MKIMG_SWEEP=kills` (or `all`) plays every journal entry with every signal. To add a case: a
//! test in the file of its kind; what they stand on is in `support.rs`.

mod collected;
mod disk;
mod halted;
mod secrets;
mod signals;
mod support;
mod suspended;
mod terminal;
