//! The snapshot's tags and regions, and the commit: the bake's tag comes off, and nothing cleans the snapshot up any more.

use std::time::Duration;

use futures_util::future::join_all;

use super::failure::{Failure, FailureKind};
use super::journal::Entry;
use super::machine::{Machine, Stop};
use super::outcome::Product;
use super::ports::{ActionOf, ActionStatus, ProviderError, ProviderErrorKind, Snapshot};
use super::silence::Silence;
use super::spec::Stage;
use super::wait::{LAG, Pace, Wait};

/// How long a completed transfer may take to be seen at the snapshot.
const ARRIVAL: Duration = Duration::from_secs(120);

/// The way of a snapshot to one region.
struct Transfer {
    region: String,
    /// It is in the journal that it is asked for.
    recorded: bool,
    /// Since when it is, or may be, under way.
    asked: Option<Duration>,
    /// A later request was refused: it is under way, or there.
    settled: bool,
    action: Option<u64>,
    /// Since when its action is completed.
    completed: Option<Duration>,
    /// What its requests were not answered for.
    silence: Silence,
}

impl Transfer {
    fn new(region: String) -> Self {
        Self {
            region,
            recorded: false,
            asked: None,
            settled: false,
            action: None,
            completed: None,
            silence: Silence::default(),
        }
    }

    /// Whether it is to be asked for: not yet taken, or its answer was lost and nothing has come of it for `patience`.
    fn is_due(&self, now: Duration, patience: Duration) -> bool {
        match self.asked {
            None => true,
            Some(at) => self.action.is_none() && !self.settled && now.saturating_sub(at) >= patience,
        }
    }
}

impl Machine<'_> {
    /// Puts the bake's tag on the snapshot first (from then on it is found without its droplet), then its own tags.
    pub(super) async fn tag(&mut self, snapshot: &Snapshot) -> Result<(), Stop> {
        if self.ledger.tagged {
            return Ok(());
        }
        self.stage(Stage::Tag, format!("tagging snapshot {}", snapshot.id));
        let mut tags = vec![self.spec.tag().to_string()];
        tags.extend(self.spec.snapshot.tags.iter().cloned());
        let provider = self.ports.provider;
        for tag in &tags {
            self.record(&Entry::Tagging { tag: tag.clone() })?;
            self.repeat(Stage::Tag, async || provider.tag_snapshot(&snapshot.id, tag).await).await?;
        }
        self.record(&Entry::Tagged)
    }

    /// Sends a request that may be sent twice until it is answered.
    async fn repeat(&self, stage: Stage, mut send: impl AsyncFnMut() -> Result<(), ProviderError>) -> Result<(), Stop> {
        let wait =
            Wait { stage, what: "the provider's answer".to_owned(), limit: self.spec.limits.unreachable, option: "" };
        self.wait(&wait, async || send().await.map(Some)).await
    }

    /// Copies the snapshot to its other regions, all at the same time, and makes sure that it is there.
    pub(super) async fn transfer(&mut self, snapshot: &Snapshot) -> Result<(), Stop> {
        let mut wanted: Vec<String> = self.spec.snapshot.regions.clone();
        wanted.retain(|region| !snapshot.regions.contains(region) && !self.ledger.transferred.contains(region));
        wanted.sort();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        self.stage(Stage::Transfer, format!("to {}", wanted.join(", ")));
        let wait = Wait {
            stage: Stage::Transfer,
            what: "the transfer".to_owned(),
            limit: self.spec.limits.transfer,
            option: "--timeout-transfer",
        };
        let start = self.ports.clock.now();
        let mut transfers: Vec<Transfer> = wanted.into_iter().map(Transfer::new).collect();
        let mut pace = Pace::new(self.poll());
        let mut silence = Silence::default();
        // Twice at least within the limit, however short that is.
        let patience = LAG.min(wait.limit / 2);
        loop {
            let mut busy = transfers.iter().any(|transfer| transfer.action.is_some());
            for transfer in &mut transfers {
                if transfer.is_due(self.elapsed_since(start), patience) {
                    self.ask_for_transfer(snapshot, transfer, start, busy).await?;
                    busy |= transfer.action.is_some();
                }
            }
            if !self.spec.snapshot.await_transfers && transfers.iter().all(|transfer| transfer.asked.is_some()) {
                let regions: Vec<&str> = transfers.iter().map(|transfer| transfer.region.as_str()).collect();
                self.note(format!("the transfers to {} are under way, and not waited for", regions.join(", ")));
                return Ok(());
            }
            // Measured before the look: a laptop that slept must not fail what finished meanwhile. And from the last request on: one
            // that a sleep has cut off is sent again, and that has the time that the first would have had.
            let asked = transfers.iter().filter_map(|transfer| transfer.asked).max().unwrap_or_default();
            let spent = self.elapsed_since(start).saturating_sub(asked);
            let last = self.look_at_transfers(snapshot, &mut transfers, &mut silence).await?;
            if transfers.is_empty() {
                return Ok(());
            }
            if spent >= wait.limit {
                let regions: Vec<&str> = transfers.iter().map(|transfer| transfer.region.as_str()).collect();
                return Err(wait.timeout(last.or_else(|| Some(format!("not in {}", regions.join(", "))))));
            }
            self.pause(pace.next()).await?;
        }
    }

    async fn ask_for_transfer(
        &mut self,
        snapshot: &Snapshot,
        transfer: &mut Transfer,
        start: Duration,
        busy: bool,
    ) -> Result<(), Stop> {
        let (provider, region, began) = (self.ports.provider, &transfer.region, self.ports.clock.now());
        if !transfer.recorded {
            self.record(&Entry::Transferring { region: region.clone() })?;
            transfer.recorded = true;
        }
        match self.change(provider.transfer(&snapshot.id, region)).await? {
            Ok(action) => {
                transfer.asked = Some(self.elapsed_since(start));
                transfer.action = Some(action.id);
            }
            // Another event of the same image holds it: asked for again after the next pause. Where it is none of ours, that
            // is believed for a while.
            Err(error) if error.kind == ProviderErrorKind::Pending => {
                if !busy {
                    let what = format!("the transfer to {region}");
                    self.missed(&mut transfer.silence, began, Stage::Transfer, &what, &error)?;
                }
            }
            // Whether it is under way is seen from where the snapshot turns up; a second request is then refused.
            Err(error) if error.is_transient() => {
                if transfer.asked.is_none() {
                    self.warn(format!("{error}; watching whether the snapshot arrives in {region}"));
                }
                let what = format!("the transfer to {region}");
                self.missed(&mut transfer.silence, began, Stage::Transfer, &what, &error)?;
                transfer.asked = Some(self.elapsed_since(start));
            }
            Err(error) => {
                // An earlier request, whose answer was lost or whose process was killed, may be what it is refused for.
                let there = match self.unless_stopped(provider.snapshot(&snapshot.id)).await? {
                    Ok(now) => now.regions.contains(region),
                    Err(_) => false,
                };
                let under_way = error.message.to_ascii_lowercase().contains("already");
                if !there && !under_way && transfer.asked.is_none() {
                    return Err(Stop::Failed(Failure::provider(Stage::Transfer, error)));
                }
                self.note(error.to_string());
                transfer.asked = Some(self.elapsed_since(start));
                transfer.settled = true;
            }
        }
        Ok(())
    }

    /// Takes out what has arrived; says why it could not be seen, if it could not.
    async fn look_at_transfers(
        &mut self,
        snapshot: &Snapshot,
        transfers: &mut Vec<Transfer>,
        silence: &mut Silence,
    ) -> Result<Option<String>, Stop> {
        let (provider, began) = (self.ports.provider, self.ports.clock.now());
        let now = match self.unless_stopped(provider.snapshot(&snapshot.id)).await? {
            Ok(now) => now,
            Err(error) => {
                self.missed(silence, began, Stage::Transfer, "where the snapshot is", &error)?;
                return Ok(Some(error.to_string()));
            }
        };
        silence.heard();
        let (arrived, waiting) =
            std::mem::take(transfers).into_iter().partition::<Vec<_>, _>(|one| now.regions.contains(&one.region));
        *transfers = waiting;
        for Transfer { region, .. } in arrived {
            self.record(&Entry::Transferred { region: region.clone() })?;
            self.note(format!("snapshot {} is in {region}", snapshot.id));
        }
        let actions = transfers.iter_mut().filter_map(|transfer| Some((transfer.action?, transfer)));
        let seen = join_all(actions.map(async |(action, transfer)| {
            (action, transfer, provider.action(action, ActionOf::Snapshot(&snapshot.id)).await)
        }));
        for (action, transfer, seen) in self.unless_stopped(seen).await? {
            let region = &transfer.region;
            match seen.map(|seen| seen.status) {
                Ok(ActionStatus::Errored) => {
                    let what = format!("transfer to {region}");
                    return Err(Stop::Failed(Failure::new(Stage::Transfer, FailureKind::Errored { action, what })));
                }
                Ok(ActionStatus::Completed)
                    if began.saturating_sub(*transfer.completed.get_or_insert(began)) >= ARRIVAL =>
                {
                    let limit = humantime::format_duration(ARRIVAL);
                    let reason = format!(
                        "the provider calls the transfer to {region} (action {action}) completed, and {limit} later snapshot {} is not there",
                        snapshot.id
                    );
                    return Err(Stop::Failed(Failure::new(Stage::Transfer, FailureKind::Snapshot(reason))));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The snapshot with all the tags that it keeps: where one is not to be seen, the answer to its request was wrong. A
    /// service that does not even show the bake's tag shows none.
    async fn with_its_tags(&self, snapshot: &Snapshot, wait: &Wait) -> Result<Snapshot, Stop> {
        let (provider, own) = (self.ports.provider, self.spec.tag().to_string());
        let start = self.ports.clock.now();
        let mut pace = Pace::new(self.poll());
        loop {
            let spent = self.elapsed_since(start);
            let now = self.wait(wait, async || provider.snapshot(&snapshot.id).await.map(Some)).await?;
            let missing: Vec<&String> = self.spec.snapshot.tags.iter().filter(|tag| !now.tags.contains(tag)).collect();
            if missing.is_empty() || !now.tags.contains(&own) {
                return Ok(now);
            }
            if spent >= wait.limit {
                let missing: Vec<&str> = missing.into_iter().map(String::as_str).collect();
                let reason = format!("snapshot {} does not take the tag {}", snapshot.id, missing.join(", "));
                return Err(Stop::Failed(Failure::new(wait.stage, FailureKind::Snapshot(reason))));
            }
            for tag in missing {
                self.repeat(wait.stage, async || provider.tag_snapshot(&snapshot.id, tag).await).await?;
            }
            self.pause(pace.next()).await?;
        }
    }

    /// Takes the bake's tag off the snapshot, having looked that it is whole and where it should be.
    pub(super) async fn commit(&mut self, snapshot: &Snapshot, verified: bool) -> Result<Product, Stop> {
        let (provider, tag) = (self.ports.provider, self.spec.tag().to_string());
        let wait = Wait {
            stage: Stage::Commit,
            what: "the bake's tag leaving the snapshot".to_owned(),
            limit: self.spec.limits.unreachable,
            option: "",
        };
        if !self.ledger.committed {
            self.stage(Stage::Commit, format!("snapshot {} stays", snapshot.id));
            let now = self.with_its_tags(snapshot, &wait).await?;
            let missing: Vec<&str> =
                self.spec.snapshot.regions.iter().filter(|r| !now.regions.contains(r)).map(String::as_str).collect();
            if self.spec.snapshot.await_transfers && !missing.is_empty() {
                let reason = format!("snapshot {} is not in {} any more", snapshot.id, missing.join(", "));
                return Err(Stop::Failed(Failure::new(Stage::Commit, FailureKind::Snapshot(reason))));
            }
            self.record(&Entry::Committing)?;
            self.repeat(Stage::Commit, async || match provider.untag_snapshot(&snapshot.id, &tag).await {
                // Nothing to take off: an earlier request took it, though its answer was lost. The look below decides.
                Err(error) if error.kind == ProviderErrorKind::NotFound => Ok(()),
                other => other,
            })
            .await?;
        }
        let mut pace = Pace::new(self.poll());
        let start = self.ports.clock.now();
        let snapshot = loop {
            let spent = self.elapsed_since(start);
            let now = self.wait(&wait, async || provider.snapshot(&snapshot.id).await.map(Some)).await?;
            if !now.tags.contains(&tag) {
                break now;
            }
            if spent >= wait.limit {
                return Err(wait.timeout(None));
            }
            self.pause(pace.next()).await?;
            self.repeat(Stage::Commit, async || match provider.untag_snapshot(&snapshot.id, &tag).await {
                Err(error) if error.kind == ProviderErrorKind::NotFound => Ok(()),
                other => other,
            })
            .await?;
        };
        self.record(&Entry::Committed)?;
        // An empty tag costs nothing; it only clutters the account.
        if let Ok(Err(error)) = self.change(provider.delete_tag(&tag)).await
            && error.kind != ProviderErrorKind::NotFound
        {
            self.note(format!("the empty tag {tag} stays: {error}"));
        }
        Ok(Product { snapshot, check: self.ledger.check.clone(), verified })
    }
}
