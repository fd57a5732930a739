//! The bake: a journalled state machine that turns a user-data document into a snapshot, and leaves nothing else behind.
//!
//! Everything outside is a port: the provider's API, the droplet's status channel, the clock, the observer (`ports`), and
//! the journal (`journal`). The machine only decides. Three rules hold everywhere:
//!
//! 1. What may change something is in the journal before it is requested, so that a bake can be resumed from its journal
//!    at any point.
//! 2. What costs money carries the bake's tag (`id`), so that a lost answer is resolved by a lookup, never by a
//!    second request.
//! 3. Every wait goes through `poll`: it has a deadline and an outage budget, and it ends when the user interrupts.
//!
//! To add a stage: an `impl Machine` with one method in a file of its own or in `droplet` or `snapshot`; its
//! entries in `journal::JournalEntry`; their effect in `state`; one line in `Machine::forward`; and what it leaves behind
//! in `cleanup`.
//!
//! Files import each other in one direction only: `duration`, `id` → `spec`, `resources` → `ports` → `journal` → `state`,
//! `outcome` → `poll` → `machine` → the stages.

mod cleanup;
mod droplet;
pub mod duration;
pub mod id;
pub mod journal;
mod machine;
pub mod orphans;
pub mod outcome;
mod poll;
pub mod ports;
pub mod preflight;
mod provision;
pub mod report;
pub mod resources;
mod snapshot;
pub mod spec;
pub mod state;
pub mod untrusted;

#[cfg(test)]
pub(crate) mod tests;

pub use id::{BakeId, BakeTag};
pub use machine::{Machine, Ports, Secrets};
pub use outcome::{Failure, FailureKind, Outcome, Product};
pub use provision::POWER_OFF_AFTER;
pub use resources::{RemainingResource, ResourceId};
pub use spec::{LimitKind, Limits, MarkerKind, OnError, Spec, Stage};
pub use state::BakeState;
