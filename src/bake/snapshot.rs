//! The snapshot: requested of a droplet that is off, tagged, transferred to its regions, and committed.
//!
//! It cannot be tagged in the request that makes it. Until it is tagged it is found through its droplet, which carries the
//! bake's tag. The commit takes the bake's tag off: after that no clean-up deletes the snapshot.

use std::time::Duration;

use futures_util::future::join_all;

use super::duration;
use super::journal::JournalEntry;
use super::machine::Machine;
use super::outcome::{FailureKind, Product, Stop};
use super::poll::{LIST_LAG, Outage, Poll, WaitPoller};
use super::ports::{Action, ActionStatus, DropletAction, Provider, ProviderError, ProviderErrorKind, Snapshot};
use super::resources::ResourceId;
use super::spec::{LimitKind, Stage};
use super::state::{SnapshotProgress, SnapshotState};

/// How often a snapshot request whose answer is lost may be sent again.
const MAX_LOST_ANSWERS: u32 = 2;

/// The effect of a snapshot request that was not answered.
enum RequestEffect {
    /// The provider is making the snapshot.
    Action(u64),
    Exists,
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
                // Measured before the request, so that an answer lost because the process was
                // suspended is checked as well.
                let began = self.ports.clock.now();
                let is_late = began.saturating_sub(attempt.start) >= limit;
                let error = match self.change(provider.droplet_action(droplet, DropletAction::Snapshot(name))).await? {
                    Ok(action) => return Ok(Poll::Ready(Some(action.id))),
                    Err(error) => error,
                };
                match error.kind {
                    // The power-off may still hold the droplet, or our own request, whose answer was lost.
                    ProviderErrorKind::Pending if !is_late => {
                        // If no event holds the droplet, the refusal proves nothing.
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
                let is_ours = |action: &&Action| action.kind == "snapshot" && action.status != ActionStatus::Errored;
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

/// How long a snapshot may take to be seen in a region after its transfer was completed.
const MAX_ARRIVAL: Duration = Duration::from_secs(120);

/// How far the transfer to one region has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TransferState {
    /// Not accepted yet.
    Wanted,
    /// Requested at this time; the answer was lost.
    Unanswered(Duration),
    /// A later request was refused: it is under way, or complete.
    Accepted,
    Running {
        action: u64,
        /// Since when its action is completed.
        completed: Option<Duration>,
    },
}

struct Transfer {
    region: String,
    state: TransferState,
    /// The journal says that it is requested.
    recorded: bool,
    outage: Outage,
}

impl Transfer {
    /// Whether to request the transfer: the first time, or again if the answer was lost and the
    /// snapshot has not arrived within `retry_after`.
    fn is_due(&self, now: Duration, retry_after: Duration) -> bool {
        match self.state {
            TransferState::Wanted => true,
            TransferState::Unanswered(at) => now.saturating_sub(at) >= retry_after,
            TransferState::Accepted | TransferState::Running { .. } => false,
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.state, TransferState::Running { .. })
    }
}

fn regions_of(transfers: &[Transfer]) -> String {
    transfers.iter().map(|transfer| transfer.region.as_str()).collect::<Vec<_>>().join(", ")
}

impl Machine<'_> {
    /// Puts the bake's tag on the snapshot first (from then on it is found without its droplet), then its own tags.
    pub(super) async fn tag(&mut self, snapshot: &Snapshot) -> Result<(), Stop> {
        if self.state.snapshot.has_reached(SnapshotProgress::Tagged) {
            return Ok(());
        }
        self.stage(Stage::Tag, format!("tagging snapshot {}", snapshot.id));
        let mut tags = vec![self.spec.tag().to_string()];
        tags.extend(self.spec.snapshot.tags.iter().cloned());
        let provider = self.ports.provider;
        for tag in &tags {
            self.record(&JournalEntry::Tagging { tag: tag.clone() })?;
            self.repeat(Stage::Tag, async || provider.tag_snapshot(&snapshot.id, tag).await).await?;
        }
        self.record(&JournalEntry::Tagged)
    }

    /// Sends a request that may be sent twice until it is answered.
    async fn repeat(&self, stage: Stage, mut send: impl AsyncFnMut() -> Result<(), ProviderError>) -> Result<(), Stop> {
        let wait = self.wait(stage, LimitKind::Unreachable, "the provider's answer");
        wait.look_until(async || send().await.map(Some)).await
    }

    /// Copies the snapshot to its other regions, all at the same time, and makes sure that it arrives.
    pub(super) async fn transfer(&mut self, snapshot: &Snapshot) -> Result<(), Stop> {
        let mut regions: Vec<String> = self.spec.snapshot.regions.clone();
        regions.retain(|region| !snapshot.regions.contains(region) && !self.state.transferred.contains(region));
        regions.sort();
        regions.dedup();
        if regions.is_empty() {
            return Ok(());
        }
        self.stage(Stage::Transfer, format!("to {}", regions.join(", ")));
        let new =
            |region| Transfer { region, state: TransferState::Wanted, recorded: false, outage: Outage::default() };
        let mut transfers: Vec<Transfer> = regions.into_iter().map(new).collect();
        let wait = self.wait(Stage::Transfer, LimitKind::Transfer, "the transfer");
        let clock = self.ports.clock;
        // At least twice within the limit, however short it is.
        let retry_after = LIST_LAG.min(wait.wait.limit / 2);
        wait.poll_until(async |attempt| {
            let mut is_busy = transfers.iter().any(Transfer::is_running);
            for transfer in &mut transfers {
                if transfer.is_due(clock.now(), retry_after) {
                    self.request_transfer(snapshot, transfer, is_busy).await?;
                    if transfer.state != TransferState::Wanted {
                        // The last request has all of the limit: the computer may have slept before it.
                        attempt.deadline_start = clock.now();
                    }
                    is_busy |= transfer.is_running();
                }
            }
            let are_requested = transfers.iter().all(|transfer| transfer.state != TransferState::Wanted);
            if !self.spec.snapshot.await_transfers && are_requested {
                let regions = regions_of(&transfers);
                self.note(format!("the transfers to {regions} are under way, and not waited for"));
                return Ok(Poll::Ready(()));
            }
            if let Some(error) = self.check_transfers(snapshot, &mut transfers).await? {
                return Ok(Poll::Outage(error));
            }
            if transfers.is_empty() {
                return Ok(Poll::Ready(()));
            }
            Ok(Poll::Pending(Some(format!("not in {}", regions_of(&transfers)))))
        })
        .await
    }

    async fn request_transfer(
        &mut self,
        snapshot: &Snapshot,
        transfer: &mut Transfer,
        is_busy: bool,
    ) -> Result<(), Stop> {
        let (provider, clock, region) = (self.ports.provider, self.ports.clock, &transfer.region);
        let wait = self.wait(Stage::Transfer, LimitKind::Transfer, format!("the transfer to {region}"));
        let began = clock.now();
        if !transfer.recorded {
            self.record(&JournalEntry::Transferring { region: region.clone() })?;
            transfer.recorded = true;
        }
        match self.change(provider.transfer(&snapshot.id, region)).await? {
            Ok(action) => transfer.state = TransferState::Running { action: action.id, completed: None },
            // Another event of the same image holds it: it is requested again after the next interval. When that event is
            // not one of our transfers, the refusal is believed for a while only.
            Err(error) if error.kind == ProviderErrorKind::Pending => {
                if !is_busy {
                    wait.count_outage(&mut transfer.outage, began, &error)?;
                }
            }
            // Whether it is under way is seen when the snapshot arrives; a second request is then refused.
            Err(error) if error.is_transient() => {
                if transfer.state == TransferState::Wanted {
                    self.warn(format!("{error}; watching whether the snapshot arrives in {region}"));
                }
                wait.count_outage(&mut transfer.outage, began, &error)?;
                transfer.state = TransferState::Unanswered(clock.now());
            }
            Err(error) => {
                // The reason may be an earlier request, whose answer was lost or whose process was killed.
                let has_arrived = match self.unless_stopped(provider.snapshot(&snapshot.id)).await? {
                    Ok(now) => now.regions.contains(region),
                    Err(_) => false,
                };
                let is_under_way = error.message.to_ascii_lowercase().contains("already");
                if !has_arrived && !is_under_way && transfer.state == TransferState::Wanted {
                    return Err(Stop::provider(Stage::Transfer, error));
                }
                self.note(error.to_string());
                transfer.state = TransferState::Accepted;
            }
        }
        Ok(())
    }

    /// Removes the transfers that are complete; returns the error if the snapshot could not be seen.
    async fn check_transfers(
        &mut self,
        snapshot: &Snapshot,
        transfers: &mut Vec<Transfer>,
    ) -> Result<Option<ProviderError>, Stop> {
        let (provider, began) = (self.ports.provider, self.ports.clock.now());
        let now = match self.unless_stopped(provider.snapshot(&snapshot.id)).await? {
            Ok(now) => now,
            Err(error) => return Ok(Some(error)),
        };
        let (arrived, waiting) = std::mem::take(transfers)
            .into_iter()
            .partition::<Vec<_>, _>(|transfer| now.regions.contains(&transfer.region));
        *transfers = waiting;
        for Transfer { region, .. } in arrived {
            self.record(&JournalEntry::Transferred { region: region.clone() })?;
            self.note(format!("snapshot {} is in {region}", snapshot.id));
        }
        let image = ResourceId::Snapshot(snapshot.id.clone());
        let running = transfers.iter_mut().filter_map(|transfer| match &mut transfer.state {
            TransferState::Running { action, completed } => Some((*action, &transfer.region, completed)),
            _ => None,
        });
        let checks = join_all(running.map(async |(action, region, completed)| {
            (action, region, completed, provider.action(action, &image).await)
        }));
        for (action, region, completed, checked) in self.unless_stopped(checks).await? {
            match checked.map(|checked| checked.status) {
                Ok(ActionStatus::Errored) => {
                    let what = format!("transfer to {region}");
                    return Err(Stop::failed(Stage::Transfer, FailureKind::ActionErrored { action, what }));
                }
                Ok(ActionStatus::Completed) if began.saturating_sub(*completed.get_or_insert(began)) >= MAX_ARRIVAL => {
                    let limit = duration::exact(MAX_ARRIVAL);
                    let reason = format!(
                        "the transfer to {region} (action {action}) was completed {limit} ago, and snapshot {} is not \
                         there",
                        snapshot.id
                    );
                    return Err(Stop::failed(Stage::Transfer, FailureKind::Snapshot(reason)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The snapshot with all its tags. If one is missing, the answer to its request was wrong. A
    /// service that does not show the bake's tag does not show any tags.
    async fn with_all_tags(&self, snapshot: &Snapshot) -> Result<Snapshot, Stop> {
        let (provider, own_tag) = (self.ports.provider, self.spec.tag().to_string());
        let wait = self.commit_wait();
        let limit = wait.wait.limit;
        wait.poll_until(async |attempt| {
            let now = self.commit_wait().look_until(async || provider.snapshot(&snapshot.id).await.map(Some)).await?;
            let missing: Vec<&str> =
                self.spec.snapshot.tags.iter().filter(|tag| !now.tags.contains(tag)).map(String::as_str).collect();
            if missing.is_empty() || !now.tags.contains(&own_tag) {
                return Ok(Poll::Ready(now));
            }
            if attempt.elapsed() >= limit {
                let reason = format!("snapshot {} does not take the tag {}", snapshot.id, missing.join(", "));
                return Err(Stop::failed(Stage::Commit, FailureKind::Snapshot(reason)));
            }
            for tag in missing {
                self.repeat(Stage::Commit, async || provider.tag_snapshot(&snapshot.id, tag).await).await?;
            }
            Ok(Poll::Pending(None))
        })
        .await
    }

    fn commit_wait(&self) -> WaitPoller<'_> {
        self.wait(Stage::Commit, LimitKind::Unreachable, "the bake's tag leaving the snapshot")
    }

    /// Takes the bake's tag off the snapshot, after a check that the snapshot is complete and in all its regions.
    pub(super) async fn commit(&mut self, snapshot: &Snapshot, verified: bool) -> Result<Product, Stop> {
        let (provider, tag) = (self.ports.provider, self.spec.tag().to_string());
        if !self.state.snapshot.has_reached(SnapshotProgress::Committed) {
            self.stage(Stage::Commit, format!("snapshot {} stays", snapshot.id));
            let now = self.with_all_tags(snapshot).await?;
            let regions = &self.spec.snapshot.regions;
            let missing: Vec<&str> =
                regions.iter().filter(|region| !now.regions.contains(region)).map(String::as_str).collect();
            if self.spec.snapshot.await_transfers && !missing.is_empty() {
                let reason = format!("snapshot {} is not in {} any more", snapshot.id, missing.join(", "));
                return Err(Stop::failed(Stage::Commit, FailureKind::Snapshot(reason)));
            }
            self.record(&JournalEntry::Committing)?;
            self.untag(snapshot, &tag).await?;
        }
        let snapshot = self
            .commit_wait()
            .poll_until(async |attempt| {
                if attempt.number > 1 {
                    self.untag(snapshot, &tag).await?;
                }
                let wait = self.commit_wait();
                let now = wait.look_until(async || provider.snapshot(&snapshot.id).await.map(Some)).await?;
                Ok(if now.tags.contains(&tag) { Poll::Pending(None) } else { Poll::Ready(now) })
            })
            .await?;
        self.record(&JournalEntry::Committed)?;
        // An empty tag costs nothing; it only clutters the account.
        if let Ok(Err(error)) = self.change(provider.delete_tag(&tag)).await
            && error.kind != ProviderErrorKind::NotFound
        {
            self.note(format!("the empty tag {tag} stays: {error}"));
        }
        Ok(Product { snapshot, check: self.state.check.clone(), verified })
    }

    async fn untag(&self, snapshot: &Snapshot, tag: &str) -> Result<(), Stop> {
        let provider = self.ports.provider;
        self.repeat(Stage::Commit, async || match provider.untag_snapshot(&snapshot.id, tag).await {
            // There is nothing to take off: an earlier request succeeded, although its answer was
            // lost. The following lookup decides.
            Err(error) if error.kind == ProviderErrorKind::NotFound => Ok(()),
            other => other,
        })
        .await
    }
}
