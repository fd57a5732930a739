//! The snapshot of a droplet that is off.
//!
//! It cannot be tagged when it is made, so it is found through its droplet, which carries the bake's tag until then.

use super::failure::{Failure, FailureKind};
use super::journal::Entry;
use super::machine::{Machine, Stop};
use super::ports::{ActionOf, ActionStatus, DropletAction, Provider, ProviderError, ProviderErrorKind, Snapshot};
use super::silence::Silence;
use super::spec::Stage;
use super::wait::{LAG, Pace, Wait};

/// What is known of a snapshot whose request was not answered.
enum Settled {
    /// The provider is at it.
    Action(u64),
    /// It exists.
    Exists,
    /// Nothing came of the request.
    Nothing,
}

impl Machine<'_> {
    pub(super) async fn snapshot(&mut self) -> Result<Snapshot, Stop> {
        let wait = self.snapshot_wait("the snapshot");
        if let Some(id) = self.ledger.snapshot.clone() {
            let provider = self.ports.provider;
            return self.wait(&wait, async || provider.snapshot(&id).await.map(Some)).await;
        }
        let Some(droplet) = self.ledger.build.id else {
            let reason = "the journal names neither droplet nor snapshot".to_owned();
            return Err(Stop::Failed(Failure::new(Stage::Snapshot, FailureKind::Snapshot(reason))));
        };
        let name = self.spec.snapshot.name.clone();
        self.stage(Stage::Snapshot, format!("snapshot `{name}` of droplet {droplet}"));
        if self.ledger.snapshot_action.is_none() {
            let before = self.ledger.snapshot_unsettled;
            self.ask_for_snapshot(droplet, &name, before, &wait).await?;
        }
        if let Some(action) = self.ledger.snapshot_action {
            self.await_action(action, droplet, &format!("snapshot `{name}`"), &wait).await?;
        }
        let provider = self.ports.provider;
        let found = self.snapshot_wait("the finished snapshot appearing at its droplet");
        let snapshot = self.wait(&found, async || named(provider, droplet, &name).await).await?;
        self.record(&Entry::Snapshot { id: snapshot.id.clone() })?;
        Ok(snapshot)
    }

    fn snapshot_wait(&self, what: &str) -> Wait {
        Wait {
            stage: Stage::Snapshot,
            what: what.to_owned(),
            limit: self.spec.limits.snapshot,
            option: "--timeout-snapshot",
        }
    }

    async fn ask_for_snapshot(
        &mut self,
        droplet: u64,
        name: &str,
        mut unsettled: bool,
        wait: &Wait,
    ) -> Result<(), Stop> {
        let start = self.ports.clock.now();
        let mut pace = Pace::new(self.poll());
        let provider = self.ports.provider;
        let mut attempts = 0;
        let mut silence = Silence::default();
        loop {
            if unsettled {
                match self.settle_snapshot(droplet, name).await? {
                    Settled::Action(action) => return self.record(&Entry::SnapshotStarted { action }),
                    Settled::Exists => return Ok(()),
                    Settled::Nothing => {}
                }
            }
            self.unless_stopped(std::future::ready(())).await?;
            self.record(&Entry::Snapshotting)?;
            // Seen from before the request: one that was not answered because the process was stopped is looked into.
            let began = self.ports.clock.now();
            let late = began.saturating_sub(start) >= wait.limit;
            match self.change(provider.droplet_action(droplet, DropletAction::Snapshot(name))).await? {
                Ok(action) => return self.record(&Entry::SnapshotStarted { action: action.id }),
                Err(error) => {
                    match error.kind {
                        // The power off may hold the droplet still; or our own request, whose answer was lost.
                        ProviderErrorKind::Pending if !late => {
                            // An event holds its droplet. Where none does, the refusal says nothing.
                            match self.unless_stopped(provider.droplet(droplet)).await? {
                                Ok(droplet) if droplet.locked => silence.heard(),
                                _ => self.missed(&mut silence, began, Stage::Snapshot, &wait.what, &error)?,
                            }
                        }
                        ProviderErrorKind::Unanswered if attempts < 2 && !late => {
                            attempts += 1;
                            self.warn(format!("{error}; looking whether the snapshot is under way"));
                            unsettled = true;
                        }
                        ProviderErrorKind::Unanswered => {
                            return Err(Stop::Failed(Failure::provider(Stage::Snapshot, error)));
                        }
                        _ => {
                            if !unsettled {
                                self.record(&Entry::SnapshotRefused)?;
                            }
                            return Err(Stop::Failed(Failure::provider(Stage::Snapshot, error)));
                        }
                    }
                }
            }
            self.pause(pace.next()).await?;
        }
    }

    /// What came of a request whose answer was lost. The droplet's actions say it; where they cannot be read, its lock and
    /// its snapshots do. That nothing came of it is said only of what was seen: a second request may be a second snapshot.
    async fn settle_snapshot(&self, droplet: u64, name: &str) -> Result<Settled, Stop> {
        let provider = self.ports.provider;
        let start = self.ports.clock.now();
        let mut pace = Pace::new(self.poll());
        let mut silence = Silence::default();
        loop {
            let spent = self.elapsed_since(start);
            let actions = self.unless_stopped(provider.droplet_actions(droplet)).await?;
            if let Ok(actions) = &actions
                && let Some(found) = actions.iter().find(|a| a.kind == "snapshot" && a.status != ActionStatus::Errored)
            {
                return Ok(Settled::Action(found.id));
            }
            let listed = self.unless_stopped(named(provider, droplet, name)).await?;
            if let Ok(Some(_)) = listed {
                return Ok(Settled::Exists);
            }
            let late = spent >= LAG;
            let locked = if late {
                self.unless_stopped(provider.droplet(droplet)).await?.map(|droplet| droplet.locked)
            } else {
                Ok(false)
            };
            let held = matches!(locked, Ok(true));
            let known = actions.is_ok() || (listed.is_ok() && locked.is_ok());
            if late && ((known && !held) || spent >= self.spec.limits.snapshot) {
                return Ok(Settled::Nothing);
            }
            match actions.err().or(listed.err()).or(locked.err()) {
                Some(error) if !(known || held) => {
                    self.missed(&mut silence, start + spent, Stage::Snapshot, "what came of the request", &error)?;
                }
                _ => silence.heard(),
            }
            self.pause(pace.next()).await?;
        }
    }

    /// Waits for an action of a droplet; `errored` is seen at once.
    async fn await_action(&self, action: u64, droplet: u64, what: &str, wait: &Wait) -> Result<(), Stop> {
        let provider = self.ports.provider;
        let status = self
            .wait(wait, async || {
                let action = provider.action(action, ActionOf::Droplet(droplet)).await?;
                Ok((action.status != ActionStatus::InProgress).then_some(action.status))
            })
            .await?;
        match status {
            ActionStatus::Errored => {
                Err(Stop::Failed(Failure::new(wait.stage, FailureKind::Errored { action, what: what.to_owned() })))
            }
            ActionStatus::Completed | ActionStatus::InProgress => Ok(()),
        }
    }
}

async fn named(provider: &dyn Provider, droplet: u64, name: &str) -> Result<Option<Snapshot>, ProviderError> {
    Ok(provider.droplet_snapshots(droplet).await?.into_iter().find(|snapshot| snapshot.name == name))
}
