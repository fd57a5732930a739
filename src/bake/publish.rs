//! The snapshot's tags and regions, and the commit: the bake's tag comes off, and nothing cleans the snapshot up any more.

use super::failure::{Failure, FailureKind};
use super::journal::Entry;
use super::machine::{Machine, Product, Stop};
use super::ports::{ActionStatus, ProviderError, ProviderErrorKind, Snapshot};
use super::spec::Stage;
use super::wait::{Pace, Wait};

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
        let wait = Wait {
            stage,
            what: "the provider's answer".to_owned(),
            limit: std::time::Duration::from_secs(120),
            option: "",
        };
        self.wait(&wait, async || send().await.map(Some)).await
    }

    /// Copies the snapshot to its other regions, all at once, and makes sure that it is there.
    pub(super) async fn transfer(&mut self, snapshot: &Snapshot) -> Result<(), Stop> {
        let there = |region: &String, ledger: &super::journal::Ledger| {
            snapshot.regions.contains(region) || ledger.transferred.contains(region)
        };
        let mut wanted: Vec<String> =
            self.spec.snapshot.regions.iter().filter(|r| !there(r, &self.ledger)).cloned().collect();
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
        let provider = self.ports.provider;
        let start = self.ports.clock.now();
        let mut actions: Vec<(String, Option<u64>)> = Vec::new();
        let mut pace = Pace::new(self.poll());
        for region in &wanted {
            self.record(&Entry::Transferring { region: region.clone() })?;
            loop {
                match self.change(provider.transfer(&snapshot.id, region)).await? {
                    Ok(action) => {
                        actions.push((region.clone(), Some(action.id)));
                        break;
                    }
                    // Another transfer of the same image may hold it.
                    Err(error)
                        if error.kind == ProviderErrorKind::Pending && self.elapsed_since(start) < wait.limit =>
                    {
                        self.pause(pace.next()).await?;
                    }
                    // Whether it is under way is seen from where the snapshot turns up; a second request is then refused.
                    Err(error) if error.is_transient() => {
                        self.warn(format!("{error}; watching whether the snapshot arrives in {region}"));
                        actions.push((region.clone(), None));
                        break;
                    }
                    Err(error) => return Err(Stop::Failed(Failure::provider(Stage::Transfer, error))),
                }
            }
        }
        for (region, action) in actions {
            self.await_region(snapshot, &region, action, &wait).await?;
            self.record(&Entry::Transferred { region: region.clone() })?;
            self.note(format!("snapshot {} is in {region}", snapshot.id));
        }
        Ok(())
    }

    async fn await_region(
        &self,
        snapshot: &Snapshot,
        region: &str,
        action: Option<u64>,
        wait: &Wait,
    ) -> Result<(), Stop> {
        let provider = self.ports.provider;
        let start = self.ports.clock.now();
        let mut asked_again = action.is_some();
        let mut pace = Pace::new(self.poll());
        loop {
            let spent = self.elapsed_since(start);
            let now = self.unless_stopped(provider.snapshot(&snapshot.id)).await?;
            if now.as_ref().is_ok_and(|s| s.regions.iter().any(|r| r == region)) {
                return Ok(());
            }
            if let Some(action) = action
                && let Ok(seen) = self.unless_stopped(provider.action(action)).await?
                && seen.status == ActionStatus::Errored
            {
                return Err(Stop::Failed(Failure::new(
                    Stage::Transfer,
                    FailureKind::Errored { action, what: format!("transfer to {region}") },
                )));
            }
            if !asked_again && spent >= super::wait::LAG {
                asked_again = true;
                // Refused because it is under way, or taken: both lead to the same place.
                if let Err(error) = self.change(provider.transfer(&snapshot.id, region)).await? {
                    self.note(error.to_string());
                }
            }
            if spent >= wait.limit {
                return Err(wait.timeout(now.err().map(|e| e.to_string()).or_else(|| Some(format!("not in {region}")))));
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
            limit: std::time::Duration::from_secs(120),
            option: "",
        };
        if !self.ledger.committed {
            self.stage(Stage::Commit, format!("snapshot {} stays", snapshot.id));
            let now = self.wait(&wait, async || provider.snapshot(&snapshot.id).await.map(Some)).await?;
            let missing: Vec<&str> =
                self.spec.snapshot.regions.iter().filter(|r| !now.regions.contains(r)).map(String::as_str).collect();
            if !missing.is_empty() {
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
