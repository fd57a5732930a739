//! The machine: the order of the stages, and what happens when one of them fails.
//!
//! Each stage is an `impl Machine` in a file of its own. This file has what all of them use.

use std::future::Future;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::watch;

use super::journal::{Journal, JournalEntry};
use super::outcome::{Failure, FailureKind, Outcome, Product, Stop};
use super::poll::{Poller, SharedOutage, Wait, WaitPoller, unless_stopped};
use super::ports::{Clock, Event, Marker, Observer, Provider, ProviderErrorKind};
use super::resources::{RemainingResource, ResourceId};
use super::spec::{LimitKind, OnError, Spec, Stage};
use super::state::{BakeState, DropletProgress, DropletRole, Phase, SnapshotProgress};

/// Everything outside the machine.
#[derive(Clone)]
pub struct Ports<'p> {
    pub provider: &'p dyn Provider,
    /// The build droplet's status channel; `None` where powering off is the marker.
    pub marker: Option<&'p dyn Marker>,
    /// The verification droplet's status channel.
    pub verification: Option<&'p dyn Marker>,
    pub journal: &'p dyn Journal,
    pub clock: &'p dyn Clock,
    pub observer: &'p dyn Observer,
    /// How often the user has asked to stop.
    pub stops: watch::Receiver<u32>,
}

/// What is sent to droplets and must not be seen elsewhere.
#[derive(Debug)]
pub struct Secrets {
    /// The document of the build droplet.
    pub user_data: SecretString,
    /// The document of the verification droplet, if there is to be one.
    pub verification: Option<SecretString>,
}

/// Where the machine is going: it decides how often the user must ask to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// To the snapshot: the first request to stop ends it.
    Forward,
    /// Everything is being destroyed: only a second request ends that.
    CleaningUp,
}

impl Direction {
    /// How many requests to stop end the work.
    fn stop_threshold(self) -> u32 {
        match self {
            Self::Forward => 1,
            Self::CleaningUp => 2,
        }
    }
}

/// What happens when the journal cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JournalErrors {
    Fail,
    /// Continue with a warning: a full disk must not leave a droplet running.
    Warn,
    /// The warning was already printed.
    Ignore,
}

pub struct Machine<'p> {
    pub(super) spec: &'p Spec,
    pub(super) secrets: &'p Secrets,
    pub(super) ports: Ports<'p>,
    pub(super) state: BakeState,
    direction: Direction,
    journal_errors: JournalErrors,
    /// The outage that all waits of the clean-up share.
    clean_up_outage: Arc<SharedOutage>,
}

impl<'p> Machine<'p> {
    /// A new bake, or (with the state of its journal) one that is resumed.
    pub fn new(spec: &'p Spec, secrets: &'p Secrets, ports: Ports<'p>, state: BakeState) -> Self {
        Self {
            spec,
            secrets,
            ports,
            state,
            direction: Direction::Forward,
            journal_errors: JournalErrors::Fail,
            clean_up_outage: Arc::default(),
        }
    }

    /// Bakes. Whatever happens, the outcome names what remains.
    pub async fn run(mut self) -> Outcome {
        let result = match &self.state.phase {
            // It was cleaning up when its process ended: it cannot continue.
            Phase::CleaningUp { failure } => Err(Stop::failed(Stage::CleanUp, FailureKind::Earlier(failure.clone()))),
            _ => match self.forward().await {
                Err(Stop::Failed(failure)) if self.is_resumable_after(&failure) && !self.has_waited_long(&failure) => {
                    self.warn(format!("{failure}; trying once more"));
                    self.forward().await
                }
                result => result,
            },
        };
        let outcome = match result {
            Ok(product) => Outcome::Done(product),
            Err(Stop::Failed(failure)) if self.is_resumable_after(&failure) => {
                // The droplet is not needed any more, and costs money. If it remains, it is named.
                if self.is_transferring() && !matches!(failure.kind, FailureKind::Unavailable { .. }) {
                    let _ = self.destroy_droplets(Stage::Destroy).await;
                }
                return self.suspend(failure);
            }
            Err(stop) => {
                self.direction = Direction::CleaningUp;
                self.tolerate_journal_errors();
                let remaining = self.keep_or_clean_up(&stop).await;
                match stop {
                    Stop::Interrupted => Outcome::Interrupted { remaining },
                    Stop::Failed(failure) => Outcome::Failed { failure, remaining, resumable: false },
                }
            }
        };
        let failure = match &outcome {
            Outcome::Failed { failure, .. } => Some(failure.to_string()),
            _ => None,
        };
        self.tolerate_journal_errors();
        let (exit, remaining) = (outcome.exit_status(), outcome.remaining().to_vec());
        // The outcome is the same whether or not its last line could be written: `record` warns.
        let _ = self.record(&JournalEntry::Ended { exit, failure, remaining });
        outcome
    }

    async fn forward(&mut self) -> Result<Product, Stop> {
        if !self.state.build.is_gone() {
            self.create(DropletRole::Build).await?;
            self.boot(DropletRole::Build).await?;
            self.provision(DropletRole::Build).await?;
            self.power_off().await?;
        }
        let snapshot = self.snapshot().await?;
        self.tag(&snapshot).await?;
        if !self.state.snapshot.has_reached(SnapshotProgress::Complete) {
            self.transfer(&snapshot).await?;
            self.record(&JournalEntry::Complete)?;
        }
        // A verification that was under way when the last process ended continues.
        if !self.state.build.is_gone() {
            self.destroy_droplets(Stage::Destroy).await?;
        }
        let verified = self.verify(&snapshot).await?;
        self.commit(&snapshot, verified).await
    }

    /// After a failure or an interrupt: everything is destroyed, unless it is to be kept.
    async fn keep_or_clean_up(&mut self, stop: &Stop) -> Vec<RemainingResource> {
        let why = match stop {
            Stop::Interrupted => "it was interrupted".to_owned(),
            Stop::Failed(failure) => failure.to_string(),
        };
        if matches!(stop, Stop::Failed(_)) && self.state.clean_up_reason().is_none() {
            let known = self.known_resources("kept", "kept");
            let keep = match self.spec.on_error {
                OnError::Destroy => false,
                OnError::Keep => true,
                OnError::Ask if known.is_empty() => false,
                OnError::Ask => {
                    let question = self.ports.observer.keep(&why, &known);
                    // Ctrl-C at the question means no.
                    unless_stopped(self.ports.stops.clone(), 1, question).await.unwrap_or(false)
                }
            };
            if keep && (!known.is_empty() || !self.state.build.is_unsettled()) {
                return known;
            }
        }
        self.clean_up(why).await
    }

    /// What is known to exist, with the reason for droplets and for the snapshot.
    fn known_resources(&self, droplet: &str, snapshot: &str) -> Vec<RemainingResource> {
        let mut known = Vec::new();
        for role in DropletRole::ALL {
            if let Some(id) = self.state.droplet(role).present_id() {
                known.push(ResourceId::Droplet(id).remaining(format!("{} droplet, {droplet}", role.name())));
            }
        }
        if let Some(id) = self.state.snapshot.present_id() {
            known.push(ResourceId::Snapshot(id.to_owned()).remaining(snapshot));
        }
        known
    }

    /// Whether the snapshot is finished, and this failure says nothing against it: for example, a transfer to one region
    /// fails, the token may not delete droplets, or the service has an outage. Then the snapshot stays, because it is what
    /// the bake was for.
    fn is_resumable_after(&self, failure: &Failure) -> bool {
        if self.is_transferring() {
            return match &failure.kind {
                // The snapshot is gone.
                FailureKind::Provider(error) => error.kind != ProviderErrorKind::NotFound,
                FailureKind::ActionErrored { .. }
                | FailureKind::Snapshot(_)
                | FailureKind::Timeout { .. }
                | FailureKind::Unavailable { .. } => true,
                _ => false,
            };
        }
        if !self.state.snapshot.has_reached(SnapshotProgress::Complete) {
            return false;
        }
        match &failure.kind {
            // The snapshot is gone.
            FailureKind::Provider(error) => error.kind != ProviderErrorKind::NotFound,
            FailureKind::Unavailable { .. } => true,
            FailureKind::Timeout { .. } => match failure.stage {
                Stage::Destroy | Stage::Commit => true,
                // Once it has passed, only its droplet remains. A droplet that has not passed in time speaks against the
                // snapshot.
                Stage::Verify => self.state.verification.has_reached(DropletProgress::Passed),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the snapshot is finished, but not in all its regions.
    fn is_transferring(&self) -> bool {
        let snapshot = &self.state.snapshot;
        snapshot.has_reached(SnapshotProgress::Tagged) && !snapshot.has_reached(SnapshotProgress::Complete)
    }

    /// Whether a transfer, or an answer to it, did not come within its limit. It may still be under way.
    fn has_waited_long(&self, failure: &Failure) -> bool {
        self.is_transferring() && matches!(failure.kind, FailureKind::Unavailable { .. } | FailureKind::Timeout { .. })
    }

    /// Ends here, leaves everything as it is and names it: `mkimg resume` continues.
    fn suspend(&mut self, failure: Failure) -> Outcome {
        self.tolerate_journal_errors();
        let mut remaining = self.known_resources("not seen to be gone", "finished");
        if self.state.possible_droplets > self.state.present_droplets().len() {
            let why = "a droplet was requested, and whether it exists is not known".to_owned();
            remaining.push(RemainingResource::Unknown { tag: self.spec.tag().to_string(), why });
        }
        // When this cannot be written, the journal is that of a bake that was killed: it can be resumed, too.
        let entry = JournalEntry::Suspended { failure: failure.to_string(), remaining: remaining.clone() };
        let _ = self.record(&entry);
        Outcome::Failed { failure, remaining, resumable: true }
    }

    fn tolerate_journal_errors(&mut self) {
        if self.journal_errors == JournalErrors::Fail {
            self.journal_errors = JournalErrors::Warn;
        }
    }

    /// Writes an entry and adds it to the state. What has happened is added even if it could not be written; what was only
    /// about to be requested is not requested then, and is not added.
    pub(super) fn record(&mut self, entry: &JournalEntry) -> Result<(), Stop> {
        let written = self.ports.journal.append(self.ports.clock.unix(), entry);
        let fatal = self.journal_errors == JournalErrors::Fail;
        if written.is_ok() || !fatal || !entry.is_intent() {
            self.state.apply(entry);
        }
        match written {
            Ok(()) => Ok(()),
            Err(error) if fatal => Err(Stop::failed(entry.stage(), FailureKind::Journal(error))),
            Err(error) => {
                if self.journal_errors == JournalErrors::Warn {
                    self.journal_errors = JournalErrors::Ignore;
                    self.warn(format!("{error}; continuing without the journal"));
                }
                Ok(())
            }
        }
    }

    pub(super) fn stage(&self, stage: Stage, detail: impl Into<String>) {
        self.ports.observer.event(&Event::Stage { stage, detail: detail.into() });
    }

    pub(super) fn warn(&self, message: impl Into<String>) {
        self.ports.observer.event(&Event::Warning { message: message.into() });
    }

    pub(super) fn note(&self, message: impl Into<String>) {
        self.ports.observer.event(&Event::Note { message: message.into() });
    }

    /// A wait with one of the spec's limits.
    pub(super) fn wait(&self, stage: Stage, kind: LimitKind, what: impl Into<String>) -> WaitPoller<'p> {
        let wait = Wait { stage, what: what.into(), kind, limit: self.spec.limits.get(kind) };
        let cleaning_up = self.direction == Direction::CleaningUp;
        let poller = Poller {
            clock: self.ports.clock,
            interval: self.poll_interval(),
            stops: Some((self.ports.stops.clone(), self.direction.stop_threshold())),
            outage_budget: self.spec.limits.unreachable,
            shared_outage: cleaning_up.then(|| self.clean_up_outage.clone()),
        };
        WaitPoller { poller, wait }
    }

    /// A wait without a deadline: the attempts decide when it ends.
    pub(super) fn wait_without_limit(&self, stage: Stage, what: impl Into<String>) -> WaitPoller<'p> {
        let mut poller = self.wait(stage, LimitKind::Unreachable, what);
        poller.wait.limit = std::time::Duration::MAX;
        poller
    }

    /// Whether the clean-up's outage budget is spent.
    pub(super) fn is_outage_budget_spent(&self) -> bool {
        self.clean_up_outage.is_over(self.spec.limits.unreachable)
    }

    fn poll_interval(&self) -> std::time::Duration {
        self.spec.poll_interval.max(std::time::Duration::from_millis(1))
    }

    /// Attempts something at most three times, a poll interval apart.
    pub(super) async fn try_three_times<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Option<T>,
    ) -> Result<Option<T>, Stop> {
        for _ in 0..3 {
            if let Some(value) = self.unless_stopped(attempt()).await? {
                return Ok(Some(value));
            }
            self.unless_stopped(self.ports.clock.sleep(self.poll_interval())).await?;
        }
        Ok(None)
    }

    /// Does something that changes nothing: it is dropped when the user asks to stop.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let threshold = self.direction.stop_threshold();
        unless_stopped(self.ports.stops.clone(), threshold, work).await.ok_or(Stop::Interrupted)
    }

    /// Ends here if the user has asked to stop.
    pub(super) async fn check_stopped(&self) -> Result<(), Stop> {
        self.unless_stopped(std::future::ready(())).await
    }

    /// Sends a request that changes something. Only a second Ctrl-C drops it: a dropped request may
    /// still arrive after the machine has looked for its effect.
    pub(super) async fn change<T>(&self, request: impl Future<Output = T>) -> Result<T, Stop> {
        unless_stopped(self.ports.stops.clone(), 2, request).await.ok_or(Stop::Interrupted)
    }
}
