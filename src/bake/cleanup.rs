//! Destroying what a bake made: which droplets and snapshots those are, and in which order they go (`destruction` has how
//! one goes). What could not be destroyed, or not even looked up, is named in the outcome.

use std::collections::BTreeSet;

use super::failure::{Failure, FailureKind};
use super::journal::{Entry, Role};
use super::left::Left;
use super::machine::{Machine, Stop};
use super::ports::{ActionOf, ActionStatus, ProviderErrorKind, Snapshot};
use super::spec::Stage;
use super::wait::{LAG, Wait};

impl Machine<'_> {
    /// Destroys every droplet of this bake, on the way forward: what cannot be destroyed fails the bake.
    pub(super) async fn destroy_all(&mut self, stage: Stage) -> Result<(), Stop> {
        let mut ids: BTreeSet<u64> = BTreeSet::new();
        for role in [Role::Build, Role::Verification] {
            let record = self.ledger.droplet(role);
            if let (Some(id), false) = (record.id, record.gone) {
                ids.insert(id);
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        let (provider, tag) = (self.ports.provider, self.spec.tag().to_string());
        let wait = Wait {
            stage,
            what: "looking up the bake's droplets".to_owned(),
            limit: self.spec.limits.destroy,
            option: "",
        };
        // A create whose answer was lost may have made a second one after we looked.
        ids.extend(
            self.wait(&wait, async || provider.droplets_tagged(&tag).await.map(Some)).await?.iter().map(|d| d.id),
        );
        for id in ids {
            self.stage(stage, format!("destroying droplet {id}"));
            self.record(&Entry::DeletingDroplet { droplet: id })?;
            self.destroy_droplet(id, stage).await?;
            self.record(&Entry::DropletGone { droplet: id })?;
        }
        Ok(())
    }

    /// After a failure or a stop: destroys all of it, and says what could not be.
    pub(super) async fn clean_up(&mut self, why: String) -> Vec<Left> {
        // A request that was refused after one that was lost has settled nothing.
        let known = [Role::Build, Role::Verification].iter().any(|role| self.ledger.droplet(*role).id.is_some());
        let untouched = self.ledger.asked_for == 0 && !known;
        if untouched && self.ledger.snapshot.is_none() {
            return Vec::new();
        }
        self.stage(Stage::CleanUp, "destroying what this bake made");
        if self.ledger.failing.is_none() {
            // Journal errors are warnings from here on, so this cannot fail.
            let _ = self.record(&Entry::CleaningUp { failure: why });
        }
        let mut left = Vec::new();
        for role in [Role::Build, Role::Verification] {
            if self.ledger.droplet(role).unsettled {
                match self.look_up(role, Stage::CleanUp).await {
                    Ok(Some(found)) => {
                        let _ = self.record(&Entry::Created { role, droplet: found.id });
                    }
                    Ok(None) => {}
                    Err(stop) => left.push(self.unknown(&stop)),
                }
            }
        }
        let (snapshots, looked_up) = self.clean_up_snapshots(false).await;
        // A snapshot that may be there, and could not be looked up, has no tag yet: its droplet alone leads to it.
        let leads = self.ledger.snapshot.is_none() && snapshots.iter().any(|left| matches!(left, Left::Unknown { .. }));
        left.extend(snapshots);
        left.extend(self.clean_up_droplets(leads).await);
        // Once more: a snapshot that was finished while its droplet went is found by the droplet's number. Where nothing is
        // heard any more, and the droplet is named, it leads to what there may be.
        if self.ledger.build.gone || !self.is_unheard() {
            left.extend(self.clean_up_snapshots(looked_up).await.0);
        }
        // Looked at twice, named once.
        let mut named: Vec<Left> = Vec::new();
        left.retain(|one| {
            !named.contains(one) && {
                named.push(one.clone());
                true
            }
        });
        if left.is_empty() {
            let tag = self.spec.tag().to_string();
            // An empty tag costs nothing.
            let _ = self.change(self.ports.provider.delete_tag(&tag)).await;
        }
        left
    }

    fn unknown(&self, stop: &Stop) -> Left {
        Left::Unknown { tag: self.spec.tag().to_string(), why: reason(stop) }
    }

    /// Destroys the bake's droplets; not the build droplet while it leads to something.
    async fn clean_up_droplets(&mut self, leads: bool) -> Vec<Left> {
        let mut ids: BTreeSet<u64> = BTreeSet::new();
        for role in [Role::Build, Role::Verification] {
            let record = self.ledger.droplet(role);
            if let (Some(id), false) = (record.id, record.gone) {
                ids.insert(id);
            }
        }
        let mut left = Vec::new();
        let (provider, tag) = (self.ports.provider, self.spec.tag().to_string());
        let wait = Wait {
            stage: Stage::CleanUp,
            what: "looking up the bake's droplets".to_owned(),
            limit: self.spec.limits.destroy,
            option: "",
        };
        match self.wait(&wait, async || provider.droplets_tagged(&tag).await.map(Some)).await {
            Ok(found) => ids.extend(found.iter().map(|d| d.id)),
            // More were asked for than are known, as far as it goes: an answer was lost.
            Err(stop) if self.ledger.asked_for > ids.len() => left.push(self.unknown(&stop)),
            Err(_) => {}
        }
        if let Some(build) = self.ledger.build.id.filter(|id| leads && ids.remove(id)) {
            let why = "kept, because it leads to a snapshot that may be there and could not be looked up";
            left.push(Left::Droplet { id: build, why: why.to_owned() });
        }
        for id in ids {
            self.stage(Stage::CleanUp, format!("destroying droplet {id}"));
            let _ = self.record(&Entry::DeletingDroplet { droplet: id });
            match self.destroy_droplet(id, Stage::CleanUp).await {
                Ok(()) => {
                    let _ = self.record(&Entry::DropletGone { droplet: id });
                }
                Err(stop) => left.push(Left::Droplet { id, why: reason(&stop) }),
            }
        }
        left
    }

    /// Deletes the snapshots that this bake's droplet was made into, the one under way included; one with tags, none of
    /// them the bake's, was made by a person. Says what is left, and whether it could be looked up; `again`: it was before.
    async fn clean_up_snapshots(&mut self, again: bool) -> (Vec<Left>, bool) {
        let Some(droplet) = self.ledger.build.id else { return (Vec::new(), true) };
        if self.ledger.snapshot.is_none() && !self.ledger.snapshot_unsettled {
            return (Vec::new(), true);
        }
        let provider = self.ports.provider;
        let wait = Wait {
            stage: Stage::CleanUp,
            what: "the snapshot under way".to_owned(),
            limit: self.spec.limits.snapshot,
            option: "--timeout-snapshot",
        };
        // A snapshot was asked for, and may be there before any list shows it.
        let mut expected = self.ledger.snapshot.is_none();
        if expected && !self.ledger.build.gone {
            // A snapshot can't be stopped, and holds its droplet until it is done.
            let action = self.ledger.snapshot_action;
            let done = self
                .wait(&wait, async || {
                    if let Some(action) = action {
                        let status = provider.action(action, ActionOf::Droplet(droplet)).await?.status;
                        if status != ActionStatus::InProgress {
                            return Ok(Some(status == ActionStatus::Completed));
                        }
                    }
                    Ok((!provider.droplet(droplet).await?.locked).then_some(true))
                })
                .await;
            match done {
                Err(Stop::Stopped) => return (vec![self.unknown(&Stop::Stopped)], false),
                Ok(false) => expected = false,
                Ok(true) | Err(Stop::Failed(_)) => {}
            }
        }
        let mut ids: BTreeSet<String> = BTreeSet::new();
        if let (Some(id), false) = (&self.ledger.snapshot, self.ledger.snapshot_gone) {
            ids.insert(id.clone());
        }
        let (tag, name) = (self.spec.tag().to_string(), self.spec.snapshot.name.clone());
        let (clock, start) = (self.ports.clock, self.ports.clock.now());
        let ours = async || {
            let began = clock.now();
            let all = match provider.snapshots().await {
                Ok(all) => all,
                // Those of the droplet are all that there can be.
                Err(error) => provider.droplet_snapshots(droplet).await.map_err(|_| error)?,
            };
            let is_ours = |s: &Snapshot| s.tags.contains(&tag) || (s.droplet == Some(droplet) && s.tags.is_empty());
            let (ours, others): (Vec<Snapshot>, Vec<Snapshot>) = all.into_iter().partition(is_ours);
            let waits = expected && ours.is_empty() && began.saturating_sub(start) < LAG;
            let ids: Vec<String> = ours.into_iter().map(|s| s.id).collect();
            Ok((!waits).then_some((ids, others)))
        };
        let mut left = Vec::new();
        let wait = Wait {
            stage: Stage::CleanUp,
            what: "looking up the bake's snapshots".to_owned(),
            limit: self.spec.limits.destroy,
            option: "",
        };
        let found = self.wait(&wait, ours).await;
        let mut strangers = Vec::new();
        let looked_up = match found {
            Ok((found, others)) => {
                ids.extend(found);
                strangers = others;
                true
            }
            // A service without such a list, and its droplet gone: it was looked up while that was there, or all that was
            // asked for is known.
            Err(stop) if (again || !expected) && is_not_found(&stop) => true,
            Err(stop) => {
                left.push(self.unknown(&stop));
                false
            }
        };
        // Those that the list does not show yet; where it could not be read, they were asked for already.
        let mut of_droplet = None;
        if looked_up && !self.ledger.build.gone {
            of_droplet = self.unless_stopped(provider.droplet_snapshots(droplet)).await.ok().and_then(Result::ok);
            let found = of_droplet.iter().flatten();
            ids.extend(found.filter(|s| s.tags.is_empty() || s.tags.contains(&tag)).map(|s| s.id.clone()));
        }
        if expected {
            if let (1, Some(id)) = (ids.len(), ids.first()) {
                let _ = self.record(&Entry::Snapshot { id: id.clone() });
            }
            // A service that does not say what a snapshot was made of: one with our name is ours as far as anybody knows, and
            // that is too little to delete it.
            let bears_our_name = |s: &Snapshot| s.droplet.is_none() && s.tags.is_empty() && s.name == name;
            if of_droplet.is_none() {
                left.extend(strangers.into_iter().filter(|s| bears_our_name(s) && !ids.contains(&s.id)).map(|s| {
                    let why = "it bears the name that this bake gives, and the API does not say of which droplet it is";
                    Left::Snapshot { id: s.id, why: why.to_owned() }
                }));
            }
        }
        for id in ids {
            self.stage(Stage::CleanUp, format!("deleting snapshot {id}"));
            let _ = self.record(&Entry::DeletingSnapshot { id: id.clone() });
            match self.delete_snapshot(&id).await {
                Ok(()) => {
                    let _ = self.record(&Entry::SnapshotGone { id });
                }
                Err(stop) => left.push(Left::Snapshot { id, why: reason(&stop) }),
            }
        }
        (left, looked_up)
    }
}

fn is_not_found(stop: &Stop) -> bool {
    matches!(stop, Stop::Failed(Failure { kind: FailureKind::Provider(error), .. }) if error.kind == ProviderErrorKind::NotFound)
}

fn reason(stop: &Stop) -> String {
    match stop {
        Stop::Stopped => "stopped before it was seen to be gone".to_owned(),
        Stop::Failed(Failure { kind: FailureKind::Provider(error), .. }) => error.to_string(),
        // What was waited for is the thing that this stands beside.
        Stop::Failed(Failure { kind: FailureKind::Silent { limit, last, .. }, .. }) => {
            format!("no usable answer for {limit}; last: {last}")
        }
        Stop::Failed(failure) => failure.kind.to_string(),
    }
}
