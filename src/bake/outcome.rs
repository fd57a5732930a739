//! How a bake ends: what it made, or why it made nothing, and what is left.

use serde::Serialize;

use super::failure::Failure;
use super::left::Left;
use super::ports::{Check, Snapshot};
use super::spec::Stage;

/// What a bake made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Product {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What the check script found.
    pub check: Option<Check>,
    /// Whether an instance of it was started and proved.
    pub verified: bool,
}

/// How a bake ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// There is a snapshot, and nothing else.
    Done(Product),
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// What costs money and is still there.
        left: Vec<Left>,
        /// A whole snapshot is among it, and `mkimg resume` goes on from here.
        resumable: bool,
    },
    /// Somebody said stop.
    Interrupted {
        /// What costs money and is still there.
        left: Vec<Left>,
    },
}

impl Outcome {
    /// The exit status of the command line: 0 done, 3 failed and nothing left, 4 failed and something left, 130 stopped.
    /// A failed preflight has created nothing and is 2.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Done(_) => 0,
            Self::Failed { failure, left, .. } if failure.stage == Stage::Preflight && left.is_empty() => 2,
            Self::Failed { left, .. } if left.is_empty() => 3,
            Self::Failed { .. } => 4,
            Self::Interrupted { .. } => 130,
        }
    }

    /// What costs money and is still there.
    pub fn left(&self) -> &[Left] {
        match self {
            Self::Done(_) => &[],
            Self::Failed { left, .. } | Self::Interrupted { left } => left,
        }
    }

    /// Whether another process can go on with it.
    pub fn is_resumable(&self) -> bool {
        matches!(self, Self::Failed { resumable: true, .. })
    }
}
