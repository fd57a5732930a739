//! The machine: the order of the stages, and what happens when one of them fails.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::watch;

use super::failure::{Failure, FailureKind};
use super::journal::{Entry, Journal, Ledger, Role};
use super::left::Left;
use super::outcome::{Outcome, Product};
use super::ports::{Clock, Event, Marker, Observer, Provider};
use super::silence::Spent;
use super::spec::{OnError, Spec, Stage};

/// Everything outside the machine.
#[derive(Clone)]
pub struct Ports<'p> {
    /// The API.
    pub provider: &'p dyn Provider,
    /// The build droplet's status channel; `None` where powering off is the marker.
    pub marker: Option<&'p dyn Marker>,
    /// The verification droplet's status channel.
    pub verification: Option<&'p dyn Marker>,
    /// Where it is written down.
    pub journal: &'p dyn Journal,
    /// Time.
    pub clock: &'p dyn Clock,
    /// Who watches.
    pub observer: &'p dyn Observer,
    /// How often the person has said stop.
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

/// Why the way forward ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The person said so.
    Stopped,
    /// It failed.
    Failed(Failure),
}

/// One bake.
pub struct Machine<'p> {
    pub(super) spec: &'p Spec,
    pub(super) secrets: &'p Secrets,
    pub(super) ports: Ports<'p>,
    pub(super) ledger: Ledger,
    /// How many stops end what is done now: one on the way forward, two while cleaning up.
    pub(super) threshold: u32,
    /// How long the clean-up has listened in vain.
    pub(super) unheard: Spent,
    /// While cleaning up a journal that cannot be written is no reason to leave a droplet running.
    pub(super) journal_matters: bool,
    /// It was said that the journal cannot be written.
    journal_given_up: bool,
}

impl<'p> Machine<'p> {
    /// A bake that begins, or (with the ledger of its journal) one that goes on.
    pub fn new(spec: &'p Spec, secrets: &'p Secrets, ports: Ports<'p>, ledger: Ledger) -> Self {
        Self {
            spec,
            secrets,
            ports,
            ledger,
            threshold: 1,
            unheard: Spent::default(),
            journal_matters: true,
            journal_given_up: false,
        }
    }

    /// Bakes. Whatever happens, the outcome says what is left.
    pub async fn run(mut self) -> Outcome {
        let way = match self.ledger.failing.clone() {
            // It was cleaning up when its process ended: there is no way forward from there.
            Some(why) => Err(Stop::Failed(Failure::new(Stage::CleanUp, FailureKind::Earlier(why)))),
            None => match self.forward().await {
                Err(Stop::Failed(failure)) if self.may_go_on(&failure) => {
                    self.warn(format!("{failure}; trying once more"));
                    self.forward().await
                }
                way => way,
            },
        };
        let way = match way {
            Err(Stop::Failed(failure)) if self.may_go_on(&failure) => return self.halt(failure),
            way => way,
        };
        let outcome = match way {
            Ok(product) => Outcome::Done(product),
            Err(stop) => {
                self.threshold = 2;
                self.journal_matters = false;
                let left = self.after(&stop).await;
                match stop {
                    Stop::Stopped => Outcome::Interrupted { left },
                    Stop::Failed(failure) => Outcome::Failed { failure, left, resumable: false },
                }
            }
        };
        let failure = match &outcome {
            Outcome::Failed { failure, .. } => Some(failure.to_string()),
            _ => None,
        };
        self.journal_matters = false;
        // The answer stands whether or not its last line could be written: `record` warns.
        let _ = self.record(&Entry::Ended { exit: outcome.exit_status(), failure, left: outcome.left().to_vec() });
        outcome
    }

    async fn forward(&mut self) -> Result<Product, Stop> {
        if !self.ledger.build.gone {
            self.create(Role::Build).await?;
            self.boot(Role::Build).await?;
            self.provision(Role::Build).await?;
            self.power_off().await?;
        }
        let snapshot = self.snapshot().await?;
        self.tag(&snapshot).await?;
        if !self.ledger.whole {
            self.transfer(&snapshot).await?;
            self.record(&Entry::Whole)?;
        }
        // A verification that was under way when the last process ended goes on.
        if !self.ledger.build.gone {
            self.destroy_all(Stage::Destroy).await?;
        }
        let verified = self.verify(&snapshot).await?;
        self.commit(&snapshot, verified).await
    }

    /// What happens after a failure or a stop: all of it is destroyed, unless it is to be kept.
    async fn after(&mut self, stop: &Stop) -> Vec<Left> {
        let why = match stop {
            Stop::Stopped => "it was interrupted".to_owned(),
            Stop::Failed(failure) => failure.to_string(),
        };
        if matches!(stop, Stop::Failed(_)) && self.ledger.failing.is_none() {
            let known = self.known("kept", "kept");
            let keep = match self.spec.on_error {
                OnError::Destroy => false,
                OnError::Keep => true,
                // Ctrl-C at the question is an answer: do not keep it.
                OnError::Ask => {
                    !known.is_empty() && self.until(1, self.ports.observer.keep(&why, &known)).await.unwrap_or(false)
                }
            };
            if keep && (!known.is_empty() || !self.ledger.build.unsettled) {
                return known;
            }
        }
        self.clean_up(why).await
    }

    /// What the ledger knows to exist, and why droplets and the snapshot are still there.
    pub(super) fn known(&self, droplet: &str, snapshot: &str) -> Vec<Left> {
        let mut left = Vec::new();
        for role in [Role::Build, Role::Verification] {
            let record = self.ledger.droplet(role);
            if let (Some(id), false) = (record.id, record.gone) {
                left.push(Left::Droplet { id, why: format!("{} droplet, {droplet}", role.name()) });
            }
        }
        if let (Some(id), false) = (&self.ledger.snapshot, self.ledger.snapshot_gone) {
            left.push(Left::Snapshot { id: id.clone(), why: snapshot.to_owned() });
        }
        left
    }

    /// Writes an entry down and counts it. What happened counts even where it could not be written; what was only about
    /// to be asked for is not asked for then, and does not count.
    pub(super) fn record(&mut self, entry: &Entry) -> Result<(), Stop> {
        let written = self.ports.journal.append(self.ports.clock.unix(), entry);
        if written.is_ok() || !self.journal_matters || !entry.is_intent() {
            self.ledger.apply(entry);
        }
        match written {
            Ok(()) => Ok(()),
            Err(error) if self.journal_matters => {
                Err(Stop::Failed(Failure::new(Self::stage_of(entry), FailureKind::Journal(error))))
            }
            Err(error) => {
                if !std::mem::replace(&mut self.journal_given_up, true) {
                    self.warn(format!("{error}; going on without the journal"));
                }
                Ok(())
            }
        }
    }

    fn stage_of(entry: &Entry) -> Stage {
        match entry {
            Entry::Began { .. } | Entry::Creating { .. } | Entry::CreateRefused { .. } | Entry::Created { .. } => {
                Stage::Create
            }
            Entry::Active { .. } => Stage::Boot,
            Entry::Passed { .. } => Stage::Provision,
            Entry::Off => Stage::PowerOff,
            Entry::Snapshotting | Entry::SnapshotRefused | Entry::SnapshotStarted { .. } | Entry::Snapshot { .. } => {
                Stage::Snapshot
            }
            Entry::Tagging { .. } | Entry::Tagged => Stage::Tag,
            Entry::Transferring { .. } | Entry::Transferred { .. } | Entry::Whole => Stage::Transfer,
            Entry::Committing | Entry::Committed => Stage::Commit,
            Entry::DeletingDroplet { .. } | Entry::DropletGone { .. } => Stage::Destroy,
            Entry::DeletingSnapshot { .. }
            | Entry::SnapshotGone { .. }
            | Entry::CleaningUp { .. }
            | Entry::Halted { .. }
            | Entry::Ended { .. } => Stage::CleanUp,
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

    /// Whether there is no way forward any more.
    pub(super) fn is_cleaning_up(&self) -> bool {
        self.threshold > 1
    }

    pub(super) fn elapsed_since(&self, start: Duration) -> Duration {
        self.ports.clock.now().saturating_sub(start)
    }
}
