//! What a bake needs from outside: the provider's API, the status channel, the clock, an observer. (The journal's port is
//! in `journal`, with its entries.)
//!
//! To add a provider, implement [`Provider`] in a folder of `providers/`. Its errors must say whether the request may have
//! taken effect: that decides whether the machine looks first or requests again.

mod marker;
mod provider;

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::resources::RemainingResource;
use super::spec::Stage;
pub use marker::{Check, CheckFinding, LogChunk, Marker, MarkerError, RunnerError, RunnerState, RunnerStep, Status};
pub use provider::{
    Account, Action, ActionStatus, CreateDroplet, Droplet, DropletAction, DropletStatus, Image, Provider,
    ProviderError, ProviderErrorKind, Region, Size, Snapshot,
};

/// Time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Seconds since 1970. For tags and the journal only: it may jump.
    fn unix(&self) -> u64;
    /// Time since some moment. It never goes back.
    fn now(&self) -> Duration;
    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// What a bake reports while it works.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A stage begins.
    Stage {
        /// The stage.
        stage: Stage,
        /// What it does.
        detail: String,
    },
    /// A droplet exists.
    Droplet {
        /// Its number.
        id: u64,
        /// `build` or `verification`.
        role: String,
        /// Its address.
        address: Option<IpAddr>,
    },
    /// A step of the runner changed.
    Step(RunnerStep),
    /// A line of the droplet's log.
    Log {
        /// The line.
        line: String,
    },
    /// The completion marker was seen.
    Complete,
    /// The check script's result.
    Checked(Check),
    /// Something unexpected that does not stop the bake.
    Warning {
        /// The text.
        message: String,
    },
    /// Something worth knowing.
    Note {
        /// The text.
        message: String,
    },
}

/// Watches a bake.
#[async_trait]
pub trait Observer: Send + Sync {
    /// Receives an event.
    fn event(&self, event: &Event);
    /// Asks whether to keep what a failed bake made.
    async fn keep(&self, why: &str, remaining: &[RemainingResource]) -> bool {
        let _ = (why, remaining);
        false
    }
}
