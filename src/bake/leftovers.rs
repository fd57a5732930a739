//! What bakes have left in an account: found by tags alone, with or without a journal, from any machine with the token.
//!
//! Only what carries a bake's tag is ever touched, and only past its deadline: others may be at work elsewhere.

use std::time::Duration;

use super::id::{BakeId, BakeTag, MKIMG_TAG};
use super::journal::Ledger;
use super::left::Left;
use super::ports::{ActionStatus, Clock, Droplet, Provider, ProviderError, ProviderErrorKind, Snapshot};
use super::silence::Patience;
use super::wait::{LAG, Pace};

/// Something that a bake left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Whose it is, and until when nobody else touches it.
    pub tag: BakeTag,
    /// A droplet's number, or a snapshot's id.
    pub what: Thing,
    /// Its name.
    pub name: String,
}

/// A droplet or a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// A droplet.
    Droplet(u64),
    /// A snapshot.
    Snapshot(String),
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Droplet(id) => write!(f, "droplet {id}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
        }
    }
}

/// Which leftovers may go.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Now, in seconds since 1970.
    pub now: u64,
    /// Only those whose deadline passed this long ago.
    pub older_than: Duration,
    /// These bakes, whatever their deadline: the person named them.
    pub named: Vec<BakeId>,
}

impl Selection {
    /// Whether this one may go.
    pub fn takes(&self, tag: &BakeTag) -> bool {
        if !self.named.is_empty() {
            return self.named.contains(&tag.id);
        }
        tag.deadline.saturating_add(self.older_than.as_secs()) <= self.now
    }
}

/// All that bakes have left, droplets first: [`remove`] takes their snapshots with them, the one in the making included.
pub async fn find(provider: &dyn Provider) -> Result<Vec<Leftover>, ProviderError> {
    let mut found = Vec::new();
    let droplets = provider.droplets_tagged(MKIMG_TAG).await?;
    for snapshot in provider.snapshots().await? {
        let tag = match owner(&snapshot.tags) {
            Some(tag) => Some(tag),
            None => of_droplet(provider, &droplets, &snapshot).await?,
        };
        if let Some(tag) = tag {
            found.push(Leftover { tag, what: Thing::Snapshot(snapshot.id), name: snapshot.name });
        }
    }
    for droplet in &droplets {
        if let Some(tag) = owner(&droplet.tags) {
            found.push(Leftover { tag, what: Thing::Droplet(droplet.id), name: droplet.name.clone() });
        }
    }
    found.sort_by(|a, b| (&a.tag.id, &a.what).cmp(&(&b.tag.id, &b.what)));
    Ok(found)
}

fn owner(tags: &[String]) -> Option<BakeTag> {
    tags.iter().find_map(|tag| BakeTag::parse(tag))
}

/// A snapshot without any tag belongs to the bake of its droplet for as long as that is there: the bake's tag is the first
/// that it gets, it comes before the droplet goes, and is taken off last. One that has tags, but no bake's, is a person's.
async fn of_droplet(
    provider: &dyn Provider,
    listed: &[Droplet],
    snapshot: &Snapshot,
) -> Result<Option<BakeTag>, ProviderError> {
    let Some(droplet) = listed.iter().find(|d| Some(d.id) == snapshot.droplet && snapshot.tags.is_empty()) else {
        return Ok(None);
    };
    // Lists lag: a droplet that has just gone must not take a finished snapshot with it.
    match provider.droplet(droplet.id).await {
        Ok(droplet) => Ok(owner(&droplet.tags)),
        Err(error) if error.kind == ProviderErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a bake of which there is a journal has left, lists or no lists: what the journal names is looked at itself, and
/// what a request that was not answered may have made is looked for as long as lists may lag.
pub async fn find_of(
    provider: &dyn Provider,
    clock: &dyn Clock,
    tag: &BakeTag,
    ledger: &Ledger,
) -> Result<Vec<Leftover>, ProviderError> {
    let records = [&ledger.build, &ledger.verification];
    let expected = records.iter().filter(|record| !record.gone && record.unsettled && record.id.is_none()).count();
    let start = clock.now();
    let mut pace = Pace::new(Duration::from_secs(1));
    loop {
        let asked = clock.now();
        let mut found: Vec<Leftover> = find(provider).await?.into_iter().filter(|left| left.tag == *tag).collect();
        for id in records.iter().filter(|record| !record.gone).filter_map(|record| record.id) {
            match provider.droplet(id).await {
                Ok(droplet) if droplet.tags.contains(&tag.to_string()) => {
                    found.push(Leftover { tag: tag.clone(), what: Thing::Droplet(id), name: droplet.name });
                }
                Ok(_) => {}
                Err(error) if error.kind == ProviderErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if let (Some(id), false) = (&ledger.snapshot, ledger.snapshot_gone) {
            match provider.snapshot(id).await {
                // Without its tag: killed before it had one, and its droplet went by another way; or taken off by a
                // commit that was never confirmed, so that the bake failed or halted and named it.
                Ok(snapshot)
                    if snapshot.tags.contains(&tag.to_string())
                        || !(ledger.tagged || ledger.committing)
                        || ledger.failing.is_some()
                        || ledger.halted =>
                {
                    found.push(Leftover { tag: tag.clone(), what: Thing::Snapshot(id.clone()), name: snapshot.name });
                }
                Ok(_) => {}
                Err(error) if error.kind == ProviderErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        // What the bake said it had left, told by its name alone: whoever names the bake now was told so.
        for left in &ledger.left {
            let Left::Snapshot { id, .. } = left else { continue };
            match provider.snapshot(id).await {
                Ok(snapshot) if snapshot.tags.is_empty() => {
                    found.push(Leftover { tag: tag.clone(), what: Thing::Snapshot(id.clone()), name: snapshot.name });
                }
                Ok(_) => {}
                Err(error) if error.kind == ProviderErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|a, b| a.what.cmp(&b.what));
        found.dedup_by(|a, b| a.what == b.what);
        let unknown = |left: &&Leftover| match left.what {
            Thing::Droplet(id) => records.iter().all(|record| record.id != Some(id)),
            Thing::Snapshot(_) => false,
        };
        if found.iter().filter(unknown).count() >= expected || asked.saturating_sub(start) >= LAG {
            return Ok(found);
        }
        clock.sleep(pace.next()).await;
    }
}

/// Removes one; waits until it is gone, for at most `limit`, and no longer than the command has patience. A droplet's
/// snapshots go with it, the one in the making included. Says everything that went.
pub async fn remove(
    provider: &dyn Provider,
    patience: &Patience<'_>,
    leftover: &Leftover,
    limit: Duration,
) -> Result<Vec<Leftover>, Left> {
    let Thing::Droplet(id) = leftover.what else {
        take_away(provider, patience, &leftover.what, limit).await?;
        return Ok(vec![leftover.clone()]);
    };
    let still = |why: String| Left::Droplet { id, why };
    let mut gone = Vec::new();
    for snapshot in snapshots_of(provider, patience, id, limit).await.map_err(still)? {
        let ours = owner(&snapshot.tags).is_some_and(|tag| tag == leftover.tag);
        if ours || snapshot.tags.is_empty() {
            let what = Thing::Snapshot(snapshot.id);
            take_away(provider, patience, &what, limit).await?;
            gone.push(Leftover { tag: leftover.tag.clone(), what, name: snapshot.name });
        }
    }
    if take_away(provider, patience, &leftover.what, limit).await? {
        // Something held it: perhaps a snapshot that was asked for after we had looked.
        for snapshot in provider.snapshots().await.map_err(|error| still(error.to_string()))? {
            if snapshot.droplet == Some(id) && snapshot.tags.is_empty() {
                let what = Thing::Snapshot(snapshot.id);
                take_away(provider, patience, &what, limit).await?;
                gone.push(Leftover { tag: leftover.tag.clone(), what, name: snapshot.name });
            }
        }
    }
    gone.push(leftover.clone());
    Ok(gone)
}

/// The snapshots of a droplet. One in the making is waited for: it cannot be stopped, and nothing leads to it once its
/// droplet has gone. One that was made is waited for until the lists show it.
async fn snapshots_of(
    provider: &dyn Provider,
    patience: &Patience<'_>,
    droplet: u64,
    limit: Duration,
) -> Result<Vec<Snapshot>, String> {
    let clock = patience.clock();
    let start = clock.now();
    let mut made_at = None;
    let mut pace = Pace::new(Duration::from_secs(2));
    loop {
        let asked = clock.now();
        let late = asked.saturating_sub(start) >= limit;
        let looked = match provider.droplet_actions(droplet).await {
            Ok(actions) => provider.droplet_snapshots(droplet).await.map(|found| (actions, found)),
            Err(error) => Err(error),
        };
        patience.count(asked, looked.as_ref().err()).map_err(|unheard| unheard.to_string())?;
        match looked {
            Ok((actions, found)) => {
                let snapshots = || actions.iter().filter(|action| action.kind == "snapshot");
                let making = snapshots().any(|action| action.status == ActionStatus::InProgress);
                let made = snapshots().filter(|action| action.status == ActionStatus::Completed).count();
                let lagging = found.len() < made && asked.saturating_sub(*made_at.get_or_insert(asked)) < LAG;
                if late || !(making || lagging) {
                    return Ok(found);
                }
            }
            Err(error) if error.kind == ProviderErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) if error.is_transient() && !late => {}
            Err(error) => return Err(error.to_string()),
        }
        clock.sleep(pace.next()).await;
    }
}

/// Deletes it until it is neither found nor listed. Whether it was held by something for a while.
async fn take_away(
    provider: &dyn Provider,
    patience: &Patience<'_>,
    what: &Thing,
    limit: Duration,
) -> Result<bool, Left> {
    let clock = patience.clock();
    let left = |why: String| match what {
        Thing::Droplet(id) => Left::Droplet { id: *id, why },
        Thing::Snapshot(id) => Left::Snapshot { id: id.clone(), why },
    };
    let start = clock.now();
    let mut pace = Pace::new(Duration::from_secs(2));
    let mut held = false;
    loop {
        // A look that began after the limit is the last one: a process that was stopped for long looks once more.
        let began = clock.now();
        let asked = match what {
            Thing::Droplet(id) => provider.delete_droplet(*id).await,
            Thing::Snapshot(id) => provider.delete_snapshot(id).await,
        };
        held |= asked.as_ref().is_err_and(ProviderError::is_transient);
        let unanswered = patience.count_request(began, asked.as_ref().err());
        let seen = match what {
            Thing::Droplet(id) => provider.droplet(*id).await.map(drop),
            Thing::Snapshot(id) => provider.snapshot(id).await.map(drop),
        };
        let gone = matches!(&seen, Err(error) if error.kind == ProviderErrorKind::NotFound);
        let listed = match (what, gone) {
            (Thing::Droplet(id), true) => {
                provider.droplets_tagged(MKIMG_TAG).await.map(|all| all.iter().any(|d| d.id == *id))
            }
            (Thing::Snapshot(id), true) => provider.snapshots().await.map(|all| all.iter().any(|s| s.id == *id)),
            _ => Ok(true),
        };
        if matches!(listed, Ok(false)) {
            patience.count(began, None).map_err(|unheard| left(unheard.to_string()))?;
            return Ok(held);
        }
        // A thing that cannot be destroyed is no reason to give up the others: the service is silent where looks are too.
        patience.count(began, seen.as_ref().err()).map_err(|unheard| left(unheard.to_string()))?;
        unanswered.map_err(|unheard| left(unheard.to_string()))?;
        let hopeless = asked.as_ref().is_err_and(|e| !e.is_transient() && e.kind != ProviderErrorKind::NotFound);
        if hopeless || began.saturating_sub(start) >= limit {
            return Err(left(match (asked, seen, listed) {
                (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => error.to_string(),
                _ => format!("still there after {}", humantime::format_duration(limit)),
            }));
        }
        clock.sleep(pace.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bakes_past_their_deadline_or_named_ones_go() {
        let tag = |deadline| BakeTag { id: BakeId::new(0, [1, 1, 1]), deadline };
        let mut selection = Selection { now: 1_000, older_than: Duration::ZERO, named: Vec::new() };
        assert!(selection.takes(&tag(1_000)));
        assert!(!selection.takes(&tag(1_001)));
        selection.older_than = Duration::from_secs(10);
        assert!(!selection.takes(&tag(1_000)));
        assert!(selection.takes(&tag(990)));
        assert!(!selection.takes(&tag(u64::MAX)));
        selection.named = vec![BakeId::new(0, [1, 1, 1])];
        assert!(selection.takes(&tag(u64::MAX)));
        selection.named = vec![BakeId::new(0, [2, 2, 2])];
        assert!(!selection.takes(&tag(1)));
    }
}
