//! Bakes whose process is interrupted, killed, suspended or loses its disk, against a separate `mkimg emulate`. The tests check
//! the account afterwards, and after `mkimg resume` and `mkimg gc`.
//!
//! By default a sample of cases runs. `MKIMG_SWEEP=kills` (or `all`) runs every journal entry with every signal.

mod collected;
mod disk;
mod secrets;
mod signals;
mod suspended;
mod terminal;
