//! What bakes have left behind in an account: found by tags alone, with or without a journal, from any machine with the
//! token.
//!
//! Only what carries a bake's tag is ever deleted, and only past its deadline: the bake may be running elsewhere.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::duration;
use super::id::{BakeId, BakeTag, MKIMG_TAG};
use super::poll::{LIST_LAG, Outage, Poll, PollEnd, Poller};
use super::ports::{ActionStatus, Clock, Droplet, Provider, ProviderError, ProviderErrorKind, Snapshot};
use super::resources::{RemainingResource, ResourceId};
use super::state::{BakeState, DropletState, Phase, SnapshotProgress};

/// A droplet or a snapshot that a bake left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The bake that owns it, and the time before which nothing else may delete it.
    pub tag: BakeTag,
    pub resource: ResourceId,
    pub name: String,
}

/// Which orphans may be deleted.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Now, in seconds since 1970.
    pub now: u64,
    /// Only those whose deadline passed this long ago.
    pub older_than: Duration,
    /// These bakes, whatever their deadline: the user named them.
    pub named: Vec<BakeId>,
}

impl Selection {
    /// Whether what carries this tag may be deleted.
    pub fn includes(&self, tag: &BakeTag) -> bool {
        if !self.named.is_empty() {
            return self.named.contains(&tag.id);
        }
        tag.deadline.saturating_add(self.older_than.as_secs()) <= self.now
    }
}

/// All orphans, droplets first: [`Collector::remove`] deletes their snapshots with them, also one that is being made.
pub async fn find(provider: &dyn Provider) -> Result<Vec<Orphan>, ProviderError> {
    let mut found = Vec::new();
    let droplets = provider.droplets_tagged(MKIMG_TAG).await?;
    for snapshot in provider.snapshots().await? {
        let tag = match bake_tag(&snapshot.tags) {
            Some(tag) => Some(tag),
            None => tag_of_droplet(provider, &droplets, &snapshot).await?,
        };
        if let Some(tag) = tag {
            found.push(Orphan { tag, resource: ResourceId::Snapshot(snapshot.id), name: snapshot.name });
        }
    }
    for droplet in &droplets {
        if let Some(tag) = bake_tag(&droplet.tags) {
            found.push(Orphan { tag, resource: ResourceId::Droplet(droplet.id), name: droplet.name.clone() });
        }
    }
    found.sort_by(|a, b| (&a.tag.id, &a.resource).cmp(&(&b.tag.id, &b.resource)));
    Ok(found)
}

fn bake_tag(tags: &[String]) -> Option<BakeTag> {
    tags.iter().find_map(|tag| BakeTag::parse(tag))
}

/// A snapshot without any tag belongs to the bake of its droplet while that droplet exists: the bake's tag is the first one
/// it gets, before the droplet is destroyed, and the last one that is taken off. A snapshot that has tags, but no bake's,
/// is a person's.
async fn tag_of_droplet(
    provider: &dyn Provider,
    listed: &[Droplet],
    snapshot: &Snapshot,
) -> Result<Option<BakeTag>, ProviderError> {
    let is_source = |droplet: &&Droplet| Some(droplet.id) == snapshot.droplet && snapshot.tags.is_empty();
    let Some(droplet) = listed.iter().find(is_source) else { return Ok(None) };
    // Lists lag: a droplet that has just been destroyed must not take a finished snapshot with it.
    let droplet = unless_missing(provider.droplet(droplet.id).await)?;
    Ok(droplet.and_then(|droplet| bake_tag(&droplet.tags)))
}

fn unless_missing<T>(found: Result<T, ProviderError>) -> Result<Option<T>, ProviderError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == ProviderErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Finds and deletes orphans for one command. When the API has given no usable answer for too long, it requests nothing
/// more.
pub struct Collector<'c> {
    provider: &'c dyn Provider,
    clock: &'c dyn Clock,
    poll_interval: Duration,
    budget: OutageBudget<'c>,
}

impl<'c> Collector<'c> {
    /// `poll_interval`: the longest interval between two attempts. `outage_budget`: how long the API may give no usable
    /// answer.
    pub fn new(
        provider: &'c dyn Provider,
        clock: &'c dyn Clock,
        poll_interval: Duration,
        outage_budget: Duration,
    ) -> Self {
        let budget = OutageBudget { clock, budget: outage_budget, state: Mutex::default() };
        Self { provider, clock, poll_interval, budget }
    }

    /// Why nothing more is requested, once the outage budget is spent.
    pub fn unavailable(&self) -> Option<ServiceUnavailable> {
        self.budget.state().spent.clone()
    }

    /// Polls without an outage budget: the attempts count against the collector's own.
    fn poller(&self) -> Poller<'c> {
        Poller {
            clock: self.clock,
            interval: self.poll_interval.max(Duration::from_millis(1)),
            stops: None,
            outage_budget: Duration::MAX,
            shared_outage: None,
        }
    }

    /// Finds what a bake with a journal has left behind, even if lists do not show it. Looks up the
    /// resources that the journal names, and searches for the effects of lost requests for as long
    /// as lists may lag.
    pub async fn find_bake(&self, tag: &BakeTag, state: &BakeState) -> Result<Vec<Orphan>, ProviderError> {
        let droplets = [&state.build, &state.verification];
        let expected = droplets.iter().filter(|droplet| droplet.is_unsettled()).count();
        let mut found = Vec::new();
        // An error of `None` is the end of the wait: everything that exists was found.
        let polled = self
            .poller()
            .poll_until(
                LIST_LAG,
                |_| None,
                async |_| {
                    found = find(self.provider).await.map_err(Some)?;
                    found.retain(|orphan| orphan.tag == *tag);
                    found.extend(self.find_recorded(tag, state).await.map_err(Some)?);
                    found.sort_by(|a, b| a.resource.cmp(&b.resource));
                    found.dedup_by(|a, b| a.resource == b.resource);
                    let is_new = |orphan: &&Orphan| match orphan.resource {
                        ResourceId::Droplet(id) => droplets.iter().all(|droplet| droplet.id() != Some(id)),
                        ResourceId::Snapshot(_) => false,
                    };
                    let is_complete = found.iter().filter(is_new).count() >= expected;
                    Ok(if is_complete { Poll::Ready(()) } else { Poll::Pending(None) })
                },
            )
            .await;
        match polled {
            Ok(()) | Err(None) => Ok(found),
            Err(Some(error)) => Err(error),
        }
    }

    /// Resources that the journal names and that still exist.
    async fn find_recorded(&self, tag: &BakeTag, state: &BakeState) -> Result<Vec<Orphan>, ProviderError> {
        let orphan = |resource, name| Orphan { tag: tag.clone(), resource, name };
        let mut found = Vec::new();
        for id in [&state.build, &state.verification].into_iter().filter_map(DropletState::present_id) {
            let droplet = unless_missing(self.provider.droplet(id).await)?;
            if let Some(droplet) = droplet.filter(|droplet| droplet.tags.contains(&tag.to_string())) {
                found.push(orphan(ResourceId::Droplet(id), droplet.name));
            }
        }
        if let Some(id) = state.snapshot.present_id()
            && let Some(snapshot) = unless_missing(self.provider.snapshot(id).await)?
        {
            // The snapshot has no tag in two cases. The bake was killed before tagging it, and its
            // droplet was deleted by other means. Or a commit removed the tag but was never
            // confirmed, so the bake failed or was suspended, and named the snapshot.
            let was_tagged = state.snapshot.has_reached(SnapshotProgress::Tagged);
            let has_failed = state.clean_up_reason().is_some() || state.phase == Phase::Suspended;
            if snapshot.tags.contains(&tag.to_string()) || !was_tagged || has_failed {
                found.push(orphan(ResourceId::Snapshot(id.to_owned()), snapshot.name));
            }
        }
        // Snapshots that the bake named as remaining. The user has seen them if they now name the
        // bake.
        for resource in state.remaining() {
            let RemainingResource::Snapshot { id, .. } = resource else { continue };
            let snapshot = unless_missing(self.provider.snapshot(id).await)?;
            if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.tags.is_empty()) {
                found.push(orphan(ResourceId::Snapshot(id.clone()), snapshot.name));
            }
        }
        Ok(found)
    }

    /// Deletes an orphan and waits until it is gone, for at most `limit`. A droplet's snapshots are deleted with it, also
    /// one that is being made. Returns everything that was deleted.
    pub async fn remove(&self, orphan: &Orphan, limit: Duration) -> Result<Vec<Orphan>, RemainingResource> {
        let ResourceId::Droplet(droplet) = orphan.resource else {
            self.delete(&orphan.resource, limit).await?;
            return Ok(vec![orphan.clone()]);
        };
        let mut removed = Vec::new();
        let snapshots = self.droplet_snapshots(droplet, limit).await.map_err(|why| orphan.resource.remaining(why))?;
        for snapshot in snapshots {
            if snapshot.tags.is_empty() || bake_tag(&snapshot.tags).is_some_and(|tag| tag == orphan.tag) {
                removed.push(self.remove_snapshot(orphan, snapshot, limit).await?);
            }
        }
        if self.delete(&orphan.resource, limit).await? {
            // Something held it: perhaps a snapshot that was requested after they were listed.
            let all = self.provider.snapshots().await;
            for snapshot in all.map_err(|error| orphan.resource.remaining(error.to_string()))? {
                if snapshot.droplet == Some(droplet) && snapshot.tags.is_empty() {
                    removed.push(self.remove_snapshot(orphan, snapshot, limit).await?);
                }
            }
        }
        removed.push(orphan.clone());
        Ok(removed)
    }

    async fn remove_snapshot(
        &self,
        droplet: &Orphan,
        snapshot: Snapshot,
        limit: Duration,
    ) -> Result<Orphan, RemainingResource> {
        let resource = ResourceId::Snapshot(snapshot.id);
        self.delete(&resource, limit).await?;
        Ok(Orphan { tag: droplet.tag.clone(), resource, name: snapshot.name })
    }

    /// The snapshots of a droplet. Waits for a snapshot in progress, because it cannot be stopped
    /// and nothing leads to it once its droplet is gone. Waits for a finished one until the lists
    /// show it.
    async fn droplet_snapshots(&self, droplet: u64, limit: Duration) -> Result<Vec<Snapshot>, String> {
        let mut finished_at = None;
        let mut last = Ok(Vec::new());
        // An error of `None` is the end of the wait: the last answer counts.
        let polled = self
            .poller()
            .poll_until(
                limit,
                |_| None,
                async |attempt| {
                    let looked = match self.provider.droplet_actions(droplet).await {
                        Ok(actions) => self.provider.droplet_snapshots(droplet).await.map(|found| (actions, found)),
                        Err(error) => Err(error),
                    };
                    let counted = self.budget.count_read(attempt.began, looked.as_ref().err());
                    counted.map_err(|error| Some(error.to_string()))?;
                    let (actions, found) = match looked {
                        Ok(looked) => looked,
                        Err(error) if error.kind == ProviderErrorKind::NotFound => return Ok(Poll::Ready(Vec::new())),
                        Err(error) if error.is_transient() => {
                            last = Err(error.to_string());
                            return Ok(Poll::Pending(None));
                        }
                        Err(error) => return Err(Some(error.to_string())),
                    };
                    let count = |status| {
                        actions.iter().filter(|action| action.kind == "snapshot" && action.status == status).count()
                    };
                    let is_lagging = found.len() < count(ActionStatus::Completed)
                        && attempt.began.saturating_sub(*finished_at.get_or_insert(attempt.began)) < LIST_LAG;
                    if count(ActionStatus::InProgress) == 0 && !is_lagging {
                        return Ok(Poll::Ready(found));
                    }
                    last = Ok(found);
                    Ok(Poll::Pending(None))
                },
            )
            .await;
        match polled {
            Ok(found) => Ok(found),
            Err(None) => last,
            Err(Some(error)) => Err(error),
        }
    }

    /// Deletes a resource until it is neither found nor listed. Returns whether something held it for a while.
    async fn delete(&self, resource: &ResourceId, limit: Duration) -> Result<bool, RemainingResource> {
        let mut was_held = false;
        let end = |end| {
            let last = match end {
                PollEnd::TimedOut { last } => last,
                PollEnd::Interrupted | PollEnd::Unavailable { .. } => None,
            };
            resource.remaining(last.unwrap_or_else(|| format!("still there after {}", duration::exact(limit))))
        };
        self.poller()
            .poll_until(limit, end, async |attempt| {
                let began = attempt.began;
                let requested = match resource {
                    ResourceId::Droplet(id) => self.provider.delete_droplet(*id).await,
                    ResourceId::Snapshot(id) => self.provider.delete_snapshot(id).await,
                };
                was_held |= requested.as_ref().is_err_and(ProviderError::is_transient);
                let change = self.budget.count_change(began, requested.as_ref().err());
                let seen = match resource {
                    ResourceId::Droplet(id) => self.provider.droplet(*id).await.map(drop),
                    ResourceId::Snapshot(id) => self.provider.snapshot(id).await.map(drop),
                };
                let is_missing = matches!(&seen, Err(error) if error.kind == ProviderErrorKind::NotFound);
                let listed = if is_missing { self.is_listed(resource).await } else { Ok(true) };
                let unavailable = |error: ServiceUnavailable| resource.remaining(error.to_string());
                if matches!(listed, Ok(false)) {
                    self.budget.count_read(began, None).map_err(unavailable)?;
                    return Ok(Poll::Ready(was_held));
                }
                // Continue with the other resources if one cannot be deleted. The service is
                // unavailable only if reads fail, too.
                self.budget.count_read(began, seen.as_ref().err()).map_err(unavailable)?;
                change.map_err(unavailable)?;
                let is_refused = requested
                    .as_ref()
                    .is_err_and(|error| !error.is_transient() && error.kind != ProviderErrorKind::NotFound);
                let last = match (requested, seen, listed) {
                    (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => Some(error.to_string()),
                    _ => None,
                };
                match last {
                    Some(refusal) if is_refused => Err(resource.remaining(refusal)),
                    last => Ok(Poll::Pending(last)),
                }
            })
            .await
    }

    async fn is_listed(&self, resource: &ResourceId) -> Result<bool, ProviderError> {
        match resource {
            ResourceId::Droplet(id) => {
                let listed = self.provider.droplets_tagged(MKIMG_TAG).await?;
                Ok(listed.iter().any(|droplet| droplet.id == *id))
            }
            ResourceId::Snapshot(id) => Ok(self.provider.snapshots().await?.iter().any(|snapshot| snapshot.id == *id)),
        }
    }
}

/// The service gave no usable answer for too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the API gave no usable answer for {}; last: {last}", duration::exact(*budget))]
pub struct ServiceUnavailable {
    pub budget: Duration,
    pub last: Box<ProviderError>,
}

/// How long a whole command continues with a service that gives no usable answer. One usable answer restores the budget.
struct OutageBudget<'c> {
    clock: &'c dyn Clock,
    budget: Duration,
    state: Mutex<BudgetState>,
}

#[derive(Default)]
struct BudgetState {
    reads: Outage,
    /// Requests that change something may fail where reads are answered.
    changes: Outage,
    spent: Option<ServiceUnavailable>,
}

impl OutageBudget<'_> {
    /// Counts a read that began at `began`. A transient failure is an outage, except for an event
    /// that holds a resource. Every other answer is usable. Fails when the budget is spent.
    fn count_read(&self, began: Duration, failed: Option<&ProviderError>) -> Result<(), ServiceUnavailable> {
        let state = &mut *self.state();
        self.count(&mut state.reads, began, failed).inspect_err(|error| state.spent = Some(error.clone()))
    }

    /// Counts a request that changes something in the same way, but for all resources together. If
    /// none was answered for too long, each further resource gets one request.
    fn count_change(&self, began: Duration, failed: Option<&ProviderError>) -> Result<(), ServiceUnavailable> {
        self.count(&mut self.state().changes, began, failed)
    }

    fn count(
        &self,
        outage: &mut Outage,
        began: Duration,
        failed: Option<&ProviderError>,
    ) -> Result<(), ServiceUnavailable> {
        let unusable = |error: &&ProviderError| error.is_transient() && error.kind != ProviderErrorKind::Pending;
        let Some(error) = failed.filter(unusable) else {
            outage.reset();
            return Ok(());
        };
        outage.count(began, self.clock.now(), error, self.budget);
        if outage.total < self.budget {
            return Ok(());
        }
        Err(ServiceUnavailable { budget: self.budget, last: Box::new(error.clone()) })
    }

    fn state(&self) -> MutexGuard<'_, BudgetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bakes_past_their_deadline_or_named_ones_go() {
        let tag = |deadline| BakeTag { id: BakeId::new(0, [1, 1, 1]), deadline };
        let mut selection = Selection { now: 1_000, older_than: Duration::ZERO, named: Vec::new() };
        assert!(selection.includes(&tag(1_000)));
        assert!(!selection.includes(&tag(1_001)));
        selection.older_than = Duration::from_secs(10);
        assert!(!selection.includes(&tag(1_000)));
        assert!(selection.includes(&tag(990)));
        assert!(!selection.includes(&tag(u64::MAX)));
        selection.named = vec![BakeId::new(0, [1, 1, 1])];
        assert!(selection.includes(&tag(u64::MAX)));
        selection.named = vec![BakeId::new(0, [2, 2, 2])];
        assert!(!selection.includes(&tag(1)));
    }
}
