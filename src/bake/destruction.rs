//! Destroying one droplet or one snapshot, and making sure that it is gone.
//!
//! Nothing is believed on one word: a thing counts as gone when its number is not known any more (to a look or to another
//! request to destroy it) and no list shows it. Where the list cannot be read, two other words are enough: the request to
//! destroy it was granted, and its number is unknown for longer than lists lag.

use std::time::Duration;

use super::failure::Failure;
use super::machine::{Machine, Stop};
use super::ports::{ProviderError, ProviderErrorKind};
use super::silence::Silence;
use super::spec::Stage;
use super::wait::{LAG, Pace, Wait};

/// What goes.
#[derive(Debug, Clone, Copy)]
enum Doomed<'d> {
    Droplet(u64),
    Snapshot(&'d str),
}

impl std::fmt::Display for Doomed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Droplet(id) => write!(f, "droplet {id}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
        }
    }
}

impl Machine<'_> {
    /// Destroys a droplet and waits until it is gone.
    pub(super) async fn destroy_droplet(&self, id: u64, stage: Stage) -> Result<(), Stop> {
        self.destroy(Doomed::Droplet(id), stage).await
    }

    /// Deletes a snapshot and waits until it is gone.
    pub(super) async fn delete_snapshot(&self, id: &str) -> Result<(), Stop> {
        self.destroy(Doomed::Snapshot(id), Stage::CleanUp).await
    }

    async fn destroy(&self, doomed: Doomed<'_>, stage: Stage) -> Result<(), Stop> {
        let (clock, what, limit) = (self.ports.clock, format!("{doomed} going away"), self.spec.limits.destroy);
        let start = clock.now();
        let mut pace = Pace::new(self.poll());
        let mut silence = Silence::default();
        let (mut asked, mut refused): (Option<Duration>, bool) = (None, false);
        // When a request to destroy it was first answered well.
        let mut granted: Option<Duration> = None;
        // The last request to destroy it said that there is no such thing.
        let mut denied: Option<ProviderError> = None;
        // Since when its number is unknown.
        let mut missing: Option<Duration> = None;
        loop {
            let began = clock.now();
            let mut last: Option<ProviderError> = None;
            let (mut unknown, mut held) = (false, false);
            // Asked again now and then: an answer of success may have been somebody else's.
            if asked.is_none_or(|at| began.saturating_sub(at) >= LAG) {
                match self.change(self.ask_to_destroy(doomed)).await? {
                    Ok(()) => {
                        (asked, denied) = (Some(began), None);
                        granted.get_or_insert(self.ports.clock.now());
                    }
                    Err(error) if error.kind == ProviderErrorKind::NotFound => {
                        (asked, unknown, denied) = (Some(began), true, Some(error));
                    }
                    Err(error) if error.is_transient() => {
                        held = error.kind == ProviderErrorKind::Pending;
                        last = Some(error);
                    }
                    // What costs money is worth a second refusal.
                    Err(error) if !refused => (asked, refused, last) = (Some(began), true, Some(error)),
                    Err(error) => return Err(Stop::Failed(Failure::provider(stage, error))),
                }
            }
            match self.unless_stopped(self.look_for(doomed)).await? {
                Err(error) if error.kind == ProviderErrorKind::NotFound => unknown = true,
                Ok(locked) => {
                    unknown = false;
                    held &= locked;
                    // It is there: such an answer says nothing.
                    last = last.or_else(|| denied.clone());
                }
                Err(error) => last = Some(error),
            }
            if unknown {
                let since = *missing.get_or_insert(began);
                match self.unless_stopped(self.is_listed(doomed)).await? {
                    Ok(false) => return Ok(()),
                    Ok(true) => {}
                    Err(_) if granted.is_some() && began.saturating_sub(since) >= LAG => return Ok(()),
                    Err(error) => last = Some(error),
                }
            } else {
                missing = None;
            }
            match &last {
                // An event holds it: that was heard.
                Some(error) if !held => self.missed(&mut silence, began, stage, &what, error)?,
                _ => silence.heard(),
            }
            // A look that began after the limit is the last one. The time of a request that a sleep has cut off does not count.
            if began.saturating_sub(granted.unwrap_or(start)) >= limit {
                return Err(Wait { stage, what, limit, option: "" }.timeout(last.map(|error| error.to_string())));
            }
            self.pause(pace.next()).await?;
        }
    }

    async fn ask_to_destroy(&self, doomed: Doomed<'_>) -> Result<(), ProviderError> {
        match doomed {
            Doomed::Droplet(id) => self.ports.provider.delete_droplet(id).await,
            Doomed::Snapshot(id) => self.ports.provider.delete_snapshot(id).await,
        }
    }

    /// Whether something may hold it; a snapshot does not say.
    async fn look_for(&self, doomed: Doomed<'_>) -> Result<bool, ProviderError> {
        match doomed {
            Doomed::Droplet(id) => Ok(self.ports.provider.droplet(id).await?.locked),
            Doomed::Snapshot(id) => self.ports.provider.snapshot(id).await.map(|_| true),
        }
    }

    async fn is_listed(&self, doomed: Doomed<'_>) -> Result<bool, ProviderError> {
        let provider = self.ports.provider;
        match doomed {
            Doomed::Droplet(id) => {
                let listed = provider.droplets_tagged(&self.spec.tag().to_string()).await?;
                Ok(listed.iter().any(|droplet| droplet.id == id))
            }
            Doomed::Snapshot(id) => Ok(provider.snapshots().await?.iter().any(|snapshot| snapshot.id == id)),
        }
    }
}
