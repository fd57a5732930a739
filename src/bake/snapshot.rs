//! The snapshot of a droplet that is off.
//!
//! It cannot be tagged in the request that makes it. Until it is tagged it is found through its droplet, which carries the
//! bake's tag.

use super::journal::JournalEntry;
use super::machine::Machine;
use super::outcome::{FailureKind, Stop};
use super::poll::{LIST_LAG, Outage, Poll};
use super::ports::{ActionStatus, DropletAction, Provider, ProviderError, ProviderErrorKind, Snapshot};
use super::resources::ResourceId;
use super::spec::{LimitKind, Stage};
use super::state::SnapshotState;

/// How often a snapshot request whose answer is lost may be sent again.
const MAX_LOST_ANSWERS: u32 = 2;

/// The effect of a snapshot request that was not answered.
enum RequestEffect {
    /// The provider is making the snapshot.
    Action(u64),
    /// The snapshot exists.
    Exists,
    /// None.
    Nothing,
}

impl Machine<'_> {
    /// Makes the snapshot, or finds the one that the journal names.
    pub(super) async fn snapshot(&mut self) -> Result<Snapshot, Stop> {
        let provider = self.ports.provider;
        if let Some(id) = self.state.snapshot.id().map(str::to_owned) {
            let wait = self.wait(Stage::Snapshot, LimitKind::Snapshot, "the snapshot");
            return wait.look_until(async || provider.snapshot(&id).await.map(Some)).await;
        }
        let Some(droplet) = self.state.build.id() else {
            let reason = "the journal names neither droplet nor snapshot".to_owned();
            return Err(Stop::failed(Stage::Snapshot, FailureKind::Snapshot(reason)));
        };
        let name = self.spec.snapshot.name.clone();
        self.stage(Stage::Snapshot, format!("snapshot `{name}` of droplet {droplet}"));
        let requested = match self.state.snapshot {
            SnapshotState::Requested { action } => Some(action),
            _ => None,
        };
        let action = match requested.flatten() {
            Some(action) => Some(action),
            None => self.request_snapshot(droplet, &name, requested.is_some()).await?,
        };
        if let Some(action) = action {
            self.wait_for_snapshot_action(action, droplet, &name).await?;
        }
        let wait = self.wait(Stage::Snapshot, LimitKind::Snapshot, "the finished snapshot appearing at its droplet");
        let snapshot = wait.look_until(async || find_by_name(provider, droplet, &name).await).await?;
        self.record(&JournalEntry::Snapshot { id: snapshot.id.clone() })?;
        Ok(snapshot)
    }

    /// Requests the snapshot; returns its action, or `None` if the snapshot exists already. `unsettled`: an earlier request
    /// may have had an effect.
    async fn request_snapshot(&mut self, droplet: u64, name: &str, mut unsettled: bool) -> Result<Option<u64>, Stop> {
        let provider = self.ports.provider;
        let limit = self.spec.limits.snapshot;
        let mut lost_answers = 0;
        let mut refusals = Outage::default();
        let outage = self.wait(Stage::Snapshot, LimitKind::Snapshot, "the snapshot");
        let action = self
            .wait_without_limit(Stage::Snapshot, "the snapshot")
            .poll_until(async |attempt| {
                if unsettled {
                    match self.find_request_effect(droplet, name).await? {
                        RequestEffect::Action(action) => return Ok(Poll::Ready(Some(action))),
                        RequestEffect::Exists => return Ok(Poll::Ready(None)),
                        RequestEffect::Nothing => {}
                    }
                }
                self.check_stopped().await?;
                self.record(&JournalEntry::Snapshotting)?;
                // Measured before the request: one that was not answered because the process was suspended is looked into.
                let began = self.ports.clock.now();
                let is_late = began.saturating_sub(attempt.start) >= limit;
                let error = match self.change(provider.droplet_action(droplet, DropletAction::Snapshot(name))).await? {
                    Ok(action) => return Ok(Poll::Ready(Some(action.id))),
                    Err(error) => error,
                };
                match error.kind {
                    // The power-off may still hold the droplet, or our own request, whose answer was lost.
                    ProviderErrorKind::Pending if !is_late => {
                        // When no event holds the droplet, the refusal says nothing.
                        match self.unless_stopped(provider.droplet(droplet)).await? {
                            Ok(droplet) if droplet.locked => refusals.reset(),
                            _ => outage.count_outage(&mut refusals, began, &error)?,
                        }
                    }
                    ProviderErrorKind::Unanswered if lost_answers < MAX_LOST_ANSWERS && !is_late => {
                        lost_answers += 1;
                        self.warn(format!("{error}; checking whether the snapshot is under way"));
                        unsettled = true;
                    }
                    ProviderErrorKind::Unanswered => return Err(Stop::provider(Stage::Snapshot, error)),
                    _ => {
                        if !unsettled {
                            self.record(&JournalEntry::SnapshotRefused)?;
                        }
                        return Err(Stop::provider(Stage::Snapshot, error));
                    }
                }
                Ok(Poll::Pending(None))
            })
            .await?;
        if let Some(action) = action {
            self.record(&JournalEntry::SnapshotStarted { action })?;
        }
        Ok(action)
    }

    /// The effect of a request whose answer was lost. The droplet's actions tell; where they cannot be read, its lock and
    /// its snapshots do. `Nothing` is returned only for what was seen: a second request may make a second snapshot.
    async fn find_request_effect(&self, droplet: u64, name: &str) -> Result<RequestEffect, Stop> {
        let provider = self.ports.provider;
        let limit = self.spec.limits.snapshot;
        self.wait_without_limit(Stage::Snapshot, "the effect of the request")
            .poll_until(async |attempt| {
                let actions = self.unless_stopped(provider.droplet_actions(droplet)).await?;
                let is_ours = |action: &&super::ports::Action| {
                    action.kind == "snapshot" && action.status != ActionStatus::Errored
                };
                if let Some(found) = actions.iter().flatten().find(is_ours) {
                    return Ok(Poll::Ready(RequestEffect::Action(found.id)));
                }
                let listed = self.unless_stopped(find_by_name(provider, droplet, name)).await?;
                if let Ok(Some(_)) = listed {
                    return Ok(Poll::Ready(RequestEffect::Exists));
                }
                let is_settled = attempt.elapsed() >= LIST_LAG;
                let locked = if is_settled {
                    self.unless_stopped(provider.droplet(droplet)).await?.map(|droplet| droplet.locked)
                } else {
                    Ok(false)
                };
                let is_held = matches!(locked, Ok(true));
                let is_known = actions.is_ok() || (listed.is_ok() && locked.is_ok());
                if is_settled && ((is_known && !is_held) || attempt.elapsed() >= limit) {
                    return Ok(Poll::Ready(RequestEffect::Nothing));
                }
                Ok(match actions.err().or(listed.err()).or(locked.err()) {
                    Some(error) if !(is_known || is_held) => Poll::Outage(error),
                    _ => Poll::Pending(None),
                })
            })
            .await
    }

    /// Waits for the action that makes the snapshot; `errored` is seen at once.
    async fn wait_for_snapshot_action(&self, action: u64, droplet: u64, name: &str) -> Result<(), Stop> {
        let (provider, droplet) = (self.ports.provider, ResourceId::Droplet(droplet));
        let status = self
            .wait(Stage::Snapshot, LimitKind::Snapshot, "the snapshot")
            .look_until(async || {
                let action = provider.action(action, &droplet).await?;
                Ok((action.status != ActionStatus::InProgress).then_some(action.status))
            })
            .await?;
        if status == ActionStatus::Errored {
            let what = format!("snapshot `{name}`");
            return Err(Stop::failed(Stage::Snapshot, FailureKind::ActionErrored { action, what }));
        }
        Ok(())
    }
}

async fn find_by_name(provider: &dyn Provider, droplet: u64, name: &str) -> Result<Option<Snapshot>, ProviderError> {
    Ok(provider.droplet_snapshots(droplet).await?.into_iter().find(|snapshot| snapshot.name == name))
}
