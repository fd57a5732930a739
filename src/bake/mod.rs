//! The bake: a journalled state machine that turns a user-data document into a snapshot, and leaves nothing else.
//!
//! Everything outside is a port: the provider's API, the droplet's status channel, the clock, whoever watches (`ports`), and
//! the journal (`journal`). The machine (`machine`, with one file per stage) only decides. Three rules hold everywhere:
//!
//! 1. What may change something is written down before it is asked for (`journal`), so that a bake can be taken up
//!    from its journal at any point.
//! 2. What costs money carries the bake's tag (`id`), so that a lost answer is settled by looking, never by asking twice.
//! 3. A wait has a limit, polls at an adapting pace, stops when the person says so, and is given up sooner where nothing
//!    is heard of the service at all (`silence`).
//!
//! To add a stage: a file beside `power_off.rs` with an `impl Machine` of one method, its entries in `journal::Entry`,
//! one line in `machine::Machine::forward`, and what it leaves behind in `cleanup`.

mod cleanup;
mod create;
mod destruction;
pub mod failure;
pub mod foreign;
mod halt;
pub mod id;
pub mod journal;
pub mod left;
pub mod leftovers;
mod machine;
mod outcome;
pub mod ports;
mod power_off;
pub mod preflight;
mod provision;
mod publish;
pub mod report;
pub mod silence;
mod snapshot;
pub mod spec;
mod verification;
mod wait;

#[cfg(test)]
mod tests;

pub use failure::{Failure, FailureKind};
pub use id::{BakeId, BakeTag};
pub use left::Left;
pub use machine::{Machine, Ports, Secrets};
pub use outcome::{Outcome, Product};
pub use provision::POWER_OFF_AFTER;
pub(crate) use provision::printable;
pub use spec::{Limits, MarkerKind, OnError, Spec, Stage};
