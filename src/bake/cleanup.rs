//! Destroys what a bake made: which droplets and snapshots, in which order, and when one counts as
//! gone. The outcome names everything that could not be destroyed or looked up.
//!
//! One answer is never enough: a resource counts as gone when a lookup or another delete request
//! answers that it does not exist, and no list shows it. If the list cannot be read, two other
//! answers are enough: the delete request was accepted, and lookups have failed to find the
//! resource for longer than lists lag.

use std::collections::BTreeSet;
use std::time::Duration;

use super::duration;
use super::journal::JournalEntry;
use super::machine::Machine;
use super::outcome::{Failure, FailureKind, Stop};
use super::poll::{LIST_LAG, Poll};
use super::ports::{ActionStatus, ProviderError, ProviderErrorKind, Snapshot};
use super::resources::{RemainingResource, ResourceId};
use super::spec::{LimitKind, Stage};
use super::state::{DropletRole, SnapshotState};

impl Machine<'_> {
    /// Destroys every droplet of this bake on the way forward: a droplet that cannot be destroyed fails the bake.
    pub(super) async fn destroy_droplets(&mut self, stage: Stage) -> Result<(), Stop> {
        let mut ids = self.state.present_droplets();
        if ids.is_empty() {
            return Ok(());
        }
        // A create request whose answer was lost may have made a second droplet after the last
        // lookup.
        ids.extend(self.list_droplets(stage).await?);
        for id in ids {
            self.destroy_droplet(id, stage).await?;
        }
        Ok(())
    }

    /// The droplets with the bake's tag.
    async fn list_droplets(&self, stage: Stage) -> Result<Vec<u64>, Stop> {
        let (provider, tag) = (self.ports.provider, self.spec.tag().to_string());
        let wait = self.wait(stage, LimitKind::Destroy, "looking up the bake's droplets");
        let listed = wait.look_until(async || provider.droplets_tagged(&tag).await.map(Some)).await?;
        Ok(listed.iter().map(|droplet| droplet.id).collect())
    }

    async fn destroy_droplet(&mut self, id: u64, stage: Stage) -> Result<(), Stop> {
        self.stage(stage, format!("destroying droplet {id}"));
        self.record(&JournalEntry::DeletingDroplet { droplet: id })?;
        self.destroy(&ResourceId::Droplet(id), stage).await?;
        self.record(&JournalEntry::DropletGone { droplet: id })
    }

    /// After a failure or an interrupt: destroys everything, and returns what remains.
    pub(super) async fn clean_up(&mut self, why: String) -> Vec<RemainingResource> {
        // A refusal after a lost answer does not show whether the first request took effect.
        let is_any_known = DropletRole::ALL.iter().any(|role| self.state.droplet(*role).id().is_some());
        if self.state.possible_droplets == 0 && !is_any_known && self.state.snapshot.id().is_none() {
            return Vec::new();
        }
        self.stage(Stage::CleanUp, "destroying what this bake made");
        if self.state.clean_up_reason().is_none() {
            // Journal errors are warnings from here on, so this cannot fail.
            let _ = self.record(&JournalEntry::CleaningUp { failure: why });
        }
        let mut remaining = Vec::new();
        for role in DropletRole::ALL {
            if self.state.droplet(role).is_unsettled() {
                match self.find_droplet(role, Stage::CleanUp).await {
                    Ok(Some(found)) => {
                        let _ = self.record(&JournalEntry::Created { role, droplet: found.id });
                    }
                    Ok(None) => {}
                    Err(stop) => remaining.push(self.unknown_resource(&stop)),
                }
            }
        }
        let (snapshots, were_listed) = self.clean_up_snapshots(false).await;
        // A snapshot that may exist, and could not be looked up, has no tag yet: only its droplet leads to it.
        let is_hidden = self.state.snapshot.id().is_none()
            && snapshots.iter().any(|resource| matches!(resource, RemainingResource::Unknown { .. }));
        remaining.extend(snapshots);
        remaining.extend(self.clean_up_droplets(is_hidden).await);
        // Look again: a snapshot that finished while its droplet was being destroyed is found by
        // the droplet's id. If the outage budget is spent, the outcome names the droplet, which
        // leads to its snapshots.
        if self.state.build.is_gone() || !self.is_outage_budget_spent() {
            remaining.extend(self.clean_up_snapshots(were_listed).await.0);
        }
        // The same resource may have been found twice.
        let mut named: Vec<RemainingResource> = Vec::new();
        for resource in remaining {
            if !named.contains(&resource) {
                named.push(resource);
            }
        }
        if named.is_empty() {
            let tag = self.spec.tag().to_string();
            // An empty tag costs nothing.
            let _ = self.change(self.ports.provider.delete_tag(&tag)).await;
        }
        named
    }

    fn unknown_resource(&self, stop: &Stop) -> RemainingResource {
        RemainingResource::Unknown { tag: self.spec.tag().to_string(), why: why_remaining(stop) }
    }

    /// Destroys the bake's droplets, except for the build droplet while only it leads to a snapshot.
    async fn clean_up_droplets(&mut self, leads_to_snapshot: bool) -> Vec<RemainingResource> {
        let mut ids = self.state.present_droplets();
        let mut remaining = Vec::new();
        match self.list_droplets(Stage::CleanUp).await {
            Ok(listed) => ids.extend(listed),
            // An answer was lost, so more droplets may exist than are known.
            Err(stop) if self.state.possible_droplets > ids.len() => remaining.push(self.unknown_resource(&stop)),
            Err(_) => {}
        }
        if let Some(build) = self.state.build.id().filter(|id| leads_to_snapshot && ids.remove(id)) {
            let why = "kept, because it leads to a snapshot that may exist and could not be looked up";
            remaining.push(ResourceId::Droplet(build).remaining(why));
        }
        for id in ids {
            if let Err(stop) = self.destroy_droplet(id, Stage::CleanUp).await {
                remaining.push(ResourceId::Droplet(id).remaining(why_remaining(&stop)));
            }
        }
        remaining
    }

    /// Waits until the snapshot under way is finished: it cannot be stopped, and it holds its droplet until then. Returns
    /// whether there may be a snapshot.
    async fn wait_for_snapshot_under_way(&self, droplet: u64, action: Option<u64>) -> Result<bool, Stop> {
        let (provider, resource) = (self.ports.provider, ResourceId::Droplet(droplet));
        let finished = self
            .wait(Stage::CleanUp, LimitKind::Snapshot, "the snapshot under way")
            .look_until(async || {
                if let Some(action) = action {
                    let status = provider.action(action, &resource).await?.status;
                    if status != ActionStatus::InProgress {
                        return Ok(Some(status == ActionStatus::Completed));
                    }
                }
                Ok((!provider.droplet(droplet).await?.locked).then_some(true))
            })
            .await;
        match finished {
            Err(Stop::Failed(_)) => Ok(true),
            other => other,
        }
    }

    /// Deletes the snapshots of this bake's droplet, including one in progress. A snapshot that has
    /// tags, but not the bake's, was made by a person and stays. Returns what remains, and whether
    /// the snapshots could be listed. `were_listed`: whether an earlier call could list them.
    async fn clean_up_snapshots(&mut self, were_listed: bool) -> (Vec<RemainingResource>, bool) {
        let Some(droplet) = self.state.build.id() else { return (Vec::new(), true) };
        // Whether a snapshot was requested that no list may show yet.
        let mut is_expected = match self.state.snapshot {
            SnapshotState::Absent => return (Vec::new(), true),
            SnapshotState::Requested { .. } => true,
            SnapshotState::Present { .. } | SnapshotState::Gone { .. } => false,
        };
        if let SnapshotState::Requested { action } = self.state.snapshot
            && !self.state.build.is_gone()
        {
            match self.wait_for_snapshot_under_way(droplet, action).await {
                Ok(may_exist) => is_expected = may_exist,
                Err(stop) => return (vec![self.unknown_resource(&stop)], false),
            }
        }
        let mut ids: BTreeSet<String> = self.state.snapshot.present_id().map(str::to_owned).into_iter().collect();
        let mut remaining = Vec::new();
        let mut others = Vec::new();
        let is_listed = match self.list_snapshots(droplet, is_expected).await {
            Ok((own, rest)) => {
                ids.extend(own);
                others = rest;
                true
            }
            // The service has no such list, and the droplet is gone: its snapshots were listed
            // while it existed, or every requested one is known.
            Err(stop) if (were_listed || !is_expected) && is_not_found(&stop) => true,
            Err(stop) => {
                remaining.push(self.unknown_resource(&stop));
                false
            }
        };
        // The droplet's own list, for those that the first list does not show yet. When the first could not be read, this
        // one was requested already.
        let mut of_droplet = None;
        if is_listed && !self.state.build.is_gone() {
            let provider = self.ports.provider;
            of_droplet = self.unless_stopped(provider.droplet_snapshots(droplet)).await.ok().and_then(Result::ok);
            let tag = self.spec.tag().to_string();
            let is_own = |snapshot: &&Snapshot| snapshot.tags.is_empty() || snapshot.tags.contains(&tag);
            ids.extend(of_droplet.iter().flatten().filter(is_own).map(|snapshot| snapshot.id.clone()));
        }
        if is_expected {
            if let (1, Some(id)) = (ids.len(), ids.first()) {
                let _ = self.record(&JournalEntry::Snapshot { id: id.clone() });
            }
            // A service that does not report a snapshot's droplet: one with the bake's name is probably the bake's, and that
            // is not enough to delete it.
            if of_droplet.is_none() {
                let has_own_name = |snapshot: &Snapshot| {
                    snapshot.droplet.is_none()
                        && snapshot.tags.is_empty()
                        && snapshot.name == self.spec.snapshot.name
                        && !ids.contains(&snapshot.id)
                };
                let why = "it has this bake's snapshot name, and the API does not say from which droplet it was made";
                let named = others.into_iter().filter(has_own_name);
                remaining.extend(named.map(|snapshot| ResourceId::Snapshot(snapshot.id).remaining(why)));
            }
        }
        for id in ids {
            self.stage(Stage::CleanUp, format!("deleting snapshot {id}"));
            let _ = self.record(&JournalEntry::DeletingSnapshot { id: id.clone() });
            let snapshot = ResourceId::Snapshot(id.clone());
            match self.destroy(&snapshot, Stage::CleanUp).await {
                Ok(()) => {
                    let _ = self.record(&JournalEntry::SnapshotGone { id });
                }
                Err(stop) => remaining.push(snapshot.remaining(why_remaining(&stop))),
            }
        }
        (remaining, is_listed)
    }

    /// Returns the ids of the bake's own snapshots, and all other snapshots. Waits for an expected
    /// snapshot for as long as lists may lag.
    async fn list_snapshots(&self, droplet: u64, is_expected: bool) -> Result<(BTreeSet<String>, Vec<Snapshot>), Stop> {
        let (provider, clock, tag) = (self.ports.provider, self.ports.clock, self.spec.tag().to_string());
        let start = clock.now();
        self.wait(Stage::CleanUp, LimitKind::Destroy, "looking up the bake's snapshots")
            .look_until(async || {
                let began = clock.now();
                let all = match provider.snapshots().await {
                    Ok(all) => all,
                    // Only the droplet's own list remains.
                    Err(error) => provider.droplet_snapshots(droplet).await.map_err(|_| error)?,
                };
                let is_own = |snapshot: &Snapshot| {
                    snapshot.tags.contains(&tag) || (snapshot.droplet == Some(droplet) && snapshot.tags.is_empty())
                };
                let (own, others): (Vec<Snapshot>, Vec<Snapshot>) = all.into_iter().partition(is_own);
                let is_awaited = is_expected && own.is_empty() && began.saturating_sub(start) < LIST_LAG;
                Ok((!is_awaited).then(|| (own.into_iter().map(|snapshot| snapshot.id).collect(), others)))
            })
            .await
    }

    /// Destroys a droplet or a snapshot and waits until it is gone.
    async fn destroy(&self, resource: &ResourceId, stage: Stage) -> Result<(), Stop> {
        let clock = self.ports.clock;
        let (mut requested, mut was_refused): (Option<Duration>, bool) = (None, false);
        // When a delete request was first accepted.
        let mut granted: Option<Duration> = None;
        // The error of the last delete request, if it was that the resource does not exist.
        let mut denied: Option<ProviderError> = None;
        // Since when lookups have not found the resource.
        let mut missing_since: Option<Duration> = None;
        self.wait(stage, LimitKind::Destroy, format!("{resource} going away"))
            .poll_until(async |attempt| {
                let began = attempt.began;
                let mut last: Option<ProviderError> = None;
                let (mut is_unknown, mut is_held) = (false, false);
                // Request again from time to time: the success may not have come from the API
                // itself.
                if requested.is_none_or(|at| began.saturating_sub(at) >= LIST_LAG) {
                    match self.change(self.request_destruction(resource)).await? {
                        Ok(()) => {
                            (requested, denied) = (Some(began), None);
                            // A request that was cut off because the computer slept does not use up the limit.
                            attempt.deadline_start = *granted.get_or_insert(clock.now());
                        }
                        Err(error) if error.kind == ProviderErrorKind::NotFound => {
                            (requested, is_unknown, denied) = (Some(began), true, Some(error));
                        }
                        Err(error) if error.is_transient() => {
                            is_held = error.kind == ProviderErrorKind::Pending;
                            last = Some(error);
                        }
                        // A resource costs money, so one refusal is not enough to give up.
                        Err(error) if !was_refused => {
                            (requested, was_refused, last) = (Some(began), true, Some(error));
                        }
                        Err(error) => return Err(Stop::provider(stage, error)),
                    }
                }
                match self.unless_stopped(self.is_locked(resource)).await? {
                    Err(error) if error.kind == ProviderErrorKind::NotFound => is_unknown = true,
                    Ok(locked) => {
                        is_unknown = false;
                        is_held &= locked;
                        // The resource exists, so the earlier error was wrong.
                        last = last.or_else(|| denied.clone());
                    }
                    Err(error) => last = Some(error),
                }
                if is_unknown {
                    let since = *missing_since.get_or_insert(began);
                    match self.unless_stopped(self.is_listed(resource)).await? {
                        Ok(false) => return Ok(Poll::Ready(())),
                        Ok(true) => {}
                        Err(_) if granted.is_some() && began.saturating_sub(since) >= LIST_LAG => {
                            return Ok(Poll::Ready(()));
                        }
                        Err(error) => last = Some(error),
                    }
                } else {
                    missing_since = None;
                }
                Ok(match last {
                    // A refusal because an event holds it is a usable answer.
                    Some(error) if !is_held => Poll::Outage(error),
                    last => Poll::Pending(last.map(|error| error.to_string())),
                })
            })
            .await
    }

    async fn request_destruction(&self, resource: &ResourceId) -> Result<(), ProviderError> {
        match resource {
            ResourceId::Droplet(id) => self.ports.provider.delete_droplet(*id).await,
            ResourceId::Snapshot(id) => self.ports.provider.delete_snapshot(id).await,
        }
    }

    /// Whether an event may hold the resource. Snapshots do not report this.
    async fn is_locked(&self, resource: &ResourceId) -> Result<bool, ProviderError> {
        match resource {
            ResourceId::Droplet(id) => Ok(self.ports.provider.droplet(*id).await?.locked),
            ResourceId::Snapshot(id) => self.ports.provider.snapshot(id).await.map(|_| true),
        }
    }

    async fn is_listed(&self, resource: &ResourceId) -> Result<bool, ProviderError> {
        let provider = self.ports.provider;
        match resource {
            ResourceId::Droplet(id) => {
                let listed = provider.droplets_tagged(&self.spec.tag().to_string()).await?;
                Ok(listed.iter().any(|droplet| droplet.id == *id))
            }
            ResourceId::Snapshot(id) => Ok(provider.snapshots().await?.iter().any(|snapshot| snapshot.id == *id)),
        }
    }
}

fn is_not_found(stop: &Stop) -> bool {
    matches!(stop, Stop::Failed(Failure { kind: FailureKind::Provider(error), .. }) if error.kind == ProviderErrorKind::NotFound)
}

fn why_remaining(stop: &Stop) -> String {
    match stop {
        Stop::Interrupted => "interrupted before it was seen to be gone".to_owned(),
        Stop::Failed(Failure { kind: FailureKind::Provider(error), .. }) => error.to_string(),
        // The text is printed next to the name of what was awaited.
        Stop::Failed(Failure { kind: FailureKind::Unavailable { budget, last, .. }, .. }) => {
            format!("no usable answer for {}; last: {last}", duration::exact(*budget))
        }
        Stop::Failed(failure) => failure.kind.to_string(),
    }
}
