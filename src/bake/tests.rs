//! The machine against a provider and a droplet that exist in memory, in paused time.
//!
//! [`fake`] behaves as the service does (202 first, locks, pending events, snapshots found through their droplet), and
//! fails at any request it is told to, before or after it has taken effect.

mod fake;
mod faults;
mod halts;
mod kills;
mod outages;
mod outcomes;
mod preflight;
mod transfers;

pub(in crate::bake) use fake::spec;
