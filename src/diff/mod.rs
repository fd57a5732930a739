//! Two user-data documents compared: exactly, and so that a person can read what differs.
//!
//! Payloads are decoded first (base64, gzip), so that the difference is shown in the file that lands on the machine and
//! not in its encoding. A difference of bytes that decode to the same is still a difference, and is said as such. To add
//! an encoding, add it to `payload`.

mod document;
mod payload;
mod report;

pub use document::{Part, Parts, parts};
pub use report::{Difference, differences};
