//! What a bake needs from outside: the provider's API, the status channel, the clock, somebody who watches. (The journal's port
//! is with what is written there: `journal`.)
//!
//! To add a provider: implement [`Provider`] (`ports/provider.rs`) in a folder of `providers/`; its error must say whether the request may have
//! taken effect, because that decides whether the machine looks or asks again.

mod marker;
mod provider;
mod provider_error;

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::left::Left;
use super::spec::Stage;
pub use marker::{Check, CheckFinding, LogPiece, Marker, MarkerError, RunnerError, RunnerState, RunnerStep, Status};
pub use provider::{
    Account, Action, ActionOf, ActionStatus, CreateDroplet, Droplet, DropletAction, DropletStatus, Image, Provider,
    Region, Size, Snapshot,
};
pub use provider_error::{ProviderError, ProviderErrorKind};

/// Time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Seconds since 1970, for tags and the journal only: it may jump.
    fn unix(&self) -> u64;
    /// Time since some moment; never goes back.
    fn now(&self) -> Duration;
    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// What a bake says while it works.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A stage begins.
    Stage {
        /// Which.
        stage: Stage,
        /// What for.
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
    /// Something odd that does not stop the bake.
    Warning {
        /// What.
        message: String,
    },
    /// Something worth knowing.
    Note {
        /// What.
        message: String,
    },
}

/// Somebody who watches a bake.
#[async_trait]
pub trait Observer: Send + Sync {
    /// Is told.
    fn event(&self, event: &Event);
    /// `--on-error ask`: whether what is left is to be kept.
    async fn keep(&self, why: &str, left: &[Left]) -> bool {
        let _ = (why, left);
        false
    }
}
