//! The snapshot's tags and regions, and the commit: the bake's tag comes off, and nothing cleans the snapshot up any more.

use std::time::Duration;

use futures_util::future::join_all;

use super::failure::{Failure, FailureKind};
use super::journal::Entry;
use super::machine::{Machine, Product, Stop};
use super::ports::{ActionStatus, ProviderError, ProviderErrorKind, Snapshot};
use super::spec::Stage;
use super::wait::{LAG, Pace, Wait};

/// The way of a snapshot to one region.
struct Transfer {
    region: String,
    /// It is in the journal that it is asked for.
    recorded: bool,
    /// Since when it is, or may be, under way.
    asked: Option<Duration>,
    /// Asked for a second time after an answer was lost.
    asked_again: bool,
    action: Option<u64>,
}

impl Transfer {
    fn new(region: String) -> Self {
        Self { region, recorded: false, asked: None, asked_again: false, action: None }
    }

    /// Whether it is to be asked for: not yet taken, or its answer was lost and nothing has come of it for a while.
    fn is_due(&mut self, now: Duration) -> bool {
        match self.asked {
            None => true,
            Some(at) if self.action.is_none() && !self.asked_again && now.saturating_sub(at) >= LAG => {
                self.asked_again = true;
                true
            }
            Some(_) => false,
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

    /// Sends a request that may be sent twice until it is answered, for at most two minutes.
    async fn repeat(&self, stage: Stage, mut send: impl AsyncFnMut() -> Result<(), ProviderError>) -> Result<(), Stop> {
        let wait =
            Wait { stage, what: "the provider's answer".to_owned(), limit: Duration::from_secs(120), option: "" };
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
        loop {
            // A look that began before the limit is not the last one, however long the process was stopped in it.
            let spent = self.elapsed_since(start);
            for transfer in &mut transfers {
                if transfer.is_due(self.elapsed_since(start)) {
                    self.ask_for_transfer(snapshot, transfer, start).await?;
                }
            }
            if !self.spec.snapshot.await_transfers && transfers.iter().all(|transfer| transfer.asked.is_some()) {
                let regions: Vec<&str> = transfers.iter().map(|transfer| transfer.region.as_str()).collect();
                self.note(format!("the transfers to {} are under way, and not waited for", regions.join(", ")));
                return Ok(());
            }
            let last = self.look_at_transfers(snapshot, &mut transfers).await?;
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
    ) -> Result<(), Stop> {
        let (provider, region) = (self.ports.provider, &transfer.region);
        if !transfer.recorded {
            self.record(&Entry::Transferring { region: region.clone() })?;
            transfer.recorded = true;
        }
        match self.change(provider.transfer(&snapshot.id, region)).await? {
            Ok(action) => {
                transfer.asked = Some(self.elapsed_since(start));
                transfer.action = Some(action.id);
            }
            // Another event of the same image holds it: asked for again after the next pause.
            Err(error) if error.kind == ProviderErrorKind::Pending => {}
            // Whether it is under way is seen from where the snapshot turns up; a second request is then refused.
            Err(error) if error.is_transient() => {
                self.warn(format!("{error}; watching whether the snapshot arrives in {region}"));
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
                transfer.asked_again = true;
            }
        }
        Ok(())
    }

    /// Takes out what has arrived; says why it could not be seen, if it could not.
    async fn look_at_transfers(
        &mut self,
        snapshot: &Snapshot,
        transfers: &mut Vec<Transfer>,
    ) -> Result<Option<String>, Stop> {
        let provider = self.ports.provider;
        let now = match self.unless_stopped(provider.snapshot(&snapshot.id)).await? {
            Ok(now) => now,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let (arrived, waiting) =
            std::mem::take(transfers).into_iter().partition::<Vec<_>, _>(|one| now.regions.contains(&one.region));
        *transfers = waiting;
        for Transfer { region, .. } in arrived {
            self.record(&Entry::Transferred { region: region.clone() })?;
            self.note(format!("snapshot {} is in {region}", snapshot.id));
        }
        let actions = transfers.iter().filter_map(|transfer| Some((transfer.action?, transfer)));
        let seen = join_all(actions.map(async |(action, transfer)| (action, transfer, provider.action(action).await)));
        for (action, transfer, seen) in self.unless_stopped(seen).await? {
            if seen.is_ok_and(|seen| seen.status == ActionStatus::Errored) {
                let what = format!("transfer to {}", transfer.region);
                return Err(Stop::Failed(Failure::new(Stage::Transfer, FailureKind::Errored { action, what })));
            }
        }
        Ok(None)
    }

    /// Takes the bake's tag off the snapshot, having looked that it is whole and where it should be.
    pub(super) async fn commit(&mut self, snapshot: &Snapshot, verified: bool) -> Result<Product, Stop> {
        let (provider, tag) = (self.ports.provider, self.spec.tag().to_string());
        let wait = Wait {
            stage: Stage::Commit,
            what: "the bake's tag leaving the snapshot".to_owned(),
            limit: Duration::from_secs(120),
            option: "",
        };
        if !self.ledger.committed {
            self.stage(Stage::Commit, format!("snapshot {} stays", snapshot.id));
            let now = self.wait(&wait, async || provider.snapshot(&snapshot.id).await.map(Some)).await?;
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
