//! What bakes have left in an account: found by tags alone, with or without a journal, from any machine with the token.
//!
//! Only what carries a bake's tag is ever touched, and only past its deadline: others may be at work elsewhere.

use std::time::Duration;

use super::failure::Left;
use super::id::{BakeId, BakeTag, MKIMG_TAG};
use super::ports::{Clock, Provider, ProviderError, ProviderErrorKind};
use super::wait::Pace;

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
    /// A snapshot.
    Snapshot(String),
    /// A droplet.
    Droplet(u64),
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

/// All that bakes have left, snapshots first: a droplet leads to its snapshots, so it goes last.
pub async fn find(provider: &dyn Provider) -> Result<Vec<Leftover>, ProviderError> {
    let mut found = Vec::new();
    let droplets = provider.droplets_tagged(MKIMG_TAG).await?;
    let snapshots = provider.snapshots().await?;
    let owner = |tags: &[String]| tags.iter().find_map(|tag| BakeTag::parse(tag));
    for snapshot in &snapshots {
        // A snapshot without a tag of its own belongs to the bake of its droplet for as long as that is there: the tag
        // comes before the droplet goes, and is taken off last.
        let of_droplet = || droplets.iter().find(|d| Some(d.id) == snapshot.droplet).and_then(|d| owner(&d.tags));
        if let Some(tag) = owner(&snapshot.tags).or_else(of_droplet) {
            found.push(Leftover { tag, what: Thing::Snapshot(snapshot.id.clone()), name: snapshot.name.clone() });
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

/// Removes one; waits until it is gone, for at most `limit`.
pub async fn remove(
    provider: &dyn Provider,
    clock: &dyn Clock,
    leftover: &Leftover,
    limit: Duration,
) -> Result<(), Left> {
    let start = clock.now();
    let mut pace = Pace::new(Duration::from_secs(2));
    loop {
        let asked = match &leftover.what {
            Thing::Droplet(id) => provider.delete_droplet(*id).await,
            Thing::Snapshot(id) => provider.delete_snapshot(id).await,
        };
        let seen = match &leftover.what {
            Thing::Droplet(id) => provider.droplet(*id).await.map(drop),
            Thing::Snapshot(id) => provider.snapshot(id).await.map(drop),
        };
        let gone = matches!(&seen, Err(error) if error.kind == ProviderErrorKind::NotFound);
        let listed = match (&leftover.what, gone) {
            (Thing::Droplet(id), true) => {
                provider.droplets_tagged(MKIMG_TAG).await.map(|all| all.iter().any(|d| d.id == *id))
            }
            (Thing::Snapshot(id), true) => provider.snapshots().await.map(|all| all.iter().any(|s| s.id == *id)),
            _ => Ok(true),
        };
        if matches!(listed, Ok(false)) {
            return Ok(());
        }
        let spent = clock.now().saturating_sub(start);
        let hopeless = asked.as_ref().is_err_and(|e| !e.is_transient() && e.kind != ProviderErrorKind::NotFound);
        if hopeless || spent >= limit {
            let why = match (asked, seen, listed) {
                (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => error.to_string(),
                _ => format!("still there after {}", humantime::format_duration(limit)),
            };
            return Err(match &leftover.what {
                Thing::Droplet(id) => Left::Droplet { id: *id, why },
                Thing::Snapshot(id) => Left::Snapshot { id: id.clone(), why },
            });
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
