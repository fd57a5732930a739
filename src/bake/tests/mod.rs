//! The machine against a provider and a droplet in memory, with a clock that only sleeps move.
//!
//! [`support`] behaves as the service does (202 first, locks, pending events, snapshots found through their droplet), and
//! fails at any chosen request, before or after it has taken effect.

mod faults;
mod kills;
mod outages;
mod outcomes;
pub(crate) mod support;
mod suspended;
