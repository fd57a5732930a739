//! The provider in memory (202 first, locks, pending events, lists that lag), and the droplet's status channel.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::ExposeSecret as _;

use super::{Fake, FakeAction, FakeDroplet, State};
use crate::bake::ResourceId;
use crate::bake::ports::*;

#[async_trait]
impl Provider for Fake {
    async fn account(&self) -> Result<Account, ProviderError> {
        self.answer("account", |_, _| {
            let (status, droplet_limit) = self.world.account;
            Ok(Account { name: "me".into(), status: status.into(), status_message: "unpaid".into(), droplet_limit })
        })
    }
    async fn droplet_count(&self) -> Result<u64, ProviderError> {
        self.answer("count", |state, _| Ok(state.droplets.len() as u64))
    }
    async fn sizes(&self) -> Result<Vec<Size>, ProviderError> {
        let size = |slug: &str, available, regions: &[&str]| Size {
            slug: slug.to_owned(),
            available,
            regions: Some(regions.iter().map(|&region| region.to_owned()).collect()),
            price_hourly: Some(0.009),
            price_monthly: Some(6.0),
            disk_gib: if slug == "s-free" { 0 } else { 25 },
        };
        let all = vec![
            size("s-1vcpu-1gb", true, &["nyc3"]),
            size("s-old", false, &[]),
            size("s-ams", true, &["ams3"]),
            size("s-free", true, &["nyc3"]),
        ];
        self.answer("sizes", |_, _| Ok(if self.world.empty_catalogue { Vec::new() } else { all }))
    }
    async fn regions(&self) -> Result<Vec<Region>, ProviderError> {
        let region = |slug: &str, available| Region { slug: slug.to_owned(), available };
        let all = vec![region("nyc3", true), region("fra1", true), region("ams3", true), region("sfo1", false)];
        self.answer("regions", |_, _| Ok(if self.world.empty_catalogue { Vec::new() } else { all }))
    }
    async fn image(&self, name: &str) -> Result<Option<Image>, ProviderError> {
        let image = Image {
            name: name.to_owned(),
            regions: if name == "anywhere" { Vec::new() } else { vec!["nyc3".into()] },
            status: if ["retired", "deleted"].contains(&name) { name } else { "available" }.into(),
            min_disk_gib: Some(self.world.image_min_disk),
        };
        self.answer("image", |_, _| Ok((name != "none").then_some(image)))
    }
    async fn vpc_region(&self, uuid: &str) -> Result<Option<String>, ProviderError> {
        self.answer("vpc", |_, _| Ok((uuid != "none").then(|| if uuid == "anywhere" { "" } else { "ams3" }.into())))
    }
    async fn has_ssh_key(&self, key: &str) -> Result<bool, ProviderError> {
        self.answer("ssh key", |_, _| Ok(key == "17"))
    }
    async fn snapshots(&self) -> Result<Vec<Snapshot>, ProviderError> {
        self.answer("snapshots", |state, now| {
            if self.world.has_no_snapshot_list {
                return Err(ProviderErrorKind::NotFound);
            }
            let seen = state.snapshots.values().filter(|(_, at)| at + self.world.lag <= now).map(|(s, _)| s.clone());
            let said = |s: Snapshot| Snapshot { droplet: s.droplet.filter(|_| !self.world.omits_droplets), ..s };
            Ok(seen.map(said).collect())
        })
    }
    async fn snapshot(&self, id: &str) -> Result<Snapshot, ProviderError> {
        self.answer("snapshot", |state, now| {
            for (snapshot, region, at) in &state.transfers {
                if *at <= now
                    && let Some((found, _)) = state.snapshots.get_mut(snapshot)
                    && !found.regions.contains(region)
                {
                    found.regions.push(region.clone());
                }
            }
            state
                .snapshots
                .get(id)
                .filter(|(_, at)| *at <= now)
                .map(|(s, _)| s.clone())
                .ok_or(ProviderErrorKind::NotFound)
        })
    }
    async fn create_droplet(&self, request: &CreateDroplet<'_>) -> Result<Droplet, ProviderError> {
        let is_for_verification = request.user_data.expose_secret().contains("verification");
        assert_eq!(is_for_verification, request.name.ends_with("-verification"), "each droplet gets its own document");
        self.answer("create", |state, now| {
            state.next += 1;
            state.created += 1;
            let id = state.next;
            let errored = self.world.creation_errors;
            let action = FakeAction { kind: "create".into(), droplet: Some(id), done_at: now + 2, errored };
            state.actions.insert(1_000_000 + id, action);
            if self.world.earlier_snapshot_failed {
                let failed = FakeAction { kind: "snapshot".into(), droplet: Some(id), done_at: now, errored: true };
                state.actions.insert(2_000_000 + id, failed);
            }
            let droplet = FakeDroplet {
                name: request.name.to_owned(),
                tags: request.tags.clone(),
                born: now,
                image: request.image.to_owned(),
                off_at: None,
                gone_at: None,
                locked_until: now + 3,
            };
            let shown = self.show(id, &droplet, now);
            state.droplets.insert(id, droplet);
            Ok(shown)
        })
    }
    async fn droplet(&self, id: u64) -> Result<Droplet, ProviderError> {
        self.answer("droplet", |state, now| {
            let found = state.droplets.get(&id).filter(|d| d.gone_at.is_none_or(|gone| now < gone));
            found.map(|d| self.show(id, d, now)).ok_or(ProviderErrorKind::NotFound)
        })
    }
    async fn droplets_tagged(&self, tag: &str) -> Result<Vec<Droplet>, ProviderError> {
        self.answer("list tagged", |state, now| {
            let seen = |d: &&FakeDroplet| {
                d.born + self.world.lag <= now && d.gone_at.is_none_or(|gone| now < gone + self.world.lag)
            };
            let found = state.droplets.iter().filter(|(_, d)| seen(d) && d.tags.iter().any(|t| t == tag));
            Ok(found.map(|(id, d)| self.show(*id, d, now)).collect())
        })
    }
    async fn droplet_action(&self, id: u64, action: DropletAction<'_>) -> Result<Action, ProviderError> {
        self.answer(&format!("action {action:?}"), |state, now| {
            state.next += 1;
            let number = state.next;
            let has_no_effect = self.has_no_effect(state, &format!("action {action:?}"));
            let droplet =
                state.droplets.get_mut(&id).filter(|d| d.gone_at.is_none()).ok_or(ProviderErrorKind::NotFound)?;
            if now < droplet.locked_until {
                return Err(ProviderErrorKind::Pending);
            }
            let (kind, seconds, errored) = match action {
                DropletAction::Shutdown => {
                    if self.world.accepts_shutdown {
                        droplet.off_at.get_or_insert(now + 2);
                    }
                    ("shutdown", 2, self.world.shutdown_errors)
                }
                DropletAction::PowerOff => {
                    if !has_no_effect {
                        droplet.off_at.get_or_insert(now + 1);
                    }
                    ("power_off", 1, false)
                }
                DropletAction::Snapshot(name) => {
                    if self.status(droplet, now) != DropletStatus::Off {
                        return Err(ProviderErrorKind::Refused);
                    }
                    if !self.world.snapshot_errors && !has_no_effect {
                        let snapshot = Snapshot {
                            id: number.to_string(),
                            name: name.to_owned(),
                            regions: vec!["nyc3".into()],
                            tags: vec![],
                            droplet: Some(id),
                            size_gb: 1.5,
                        };
                        state.snapshots.insert(number.to_string(), (snapshot, now + 10));
                    }
                    ("snapshot", if has_no_effect { NEVER } else { 10 }, self.world.snapshot_errors)
                }
            };
            droplet.locked_until = now + seconds;
            state
                .actions
                .insert(number, FakeAction { kind: kind.into(), droplet: Some(id), done_at: now + seconds, errored });
            Ok(Action { id: number, kind: kind.into(), status: ActionStatus::InProgress })
        })
    }
    async fn droplet_actions(&self, id: u64) -> Result<Vec<Action>, ProviderError> {
        self.answer("actions", |state, now| {
            let of = state.actions.iter().rev().filter(|(_, a)| a.droplet == Some(id));
            Ok(of.map(|(number, a)| Action { id: *number, kind: a.kind.clone(), status: stands(a, now) }).collect())
        })
    }
    async fn action(&self, id: u64, _of: &ResourceId) -> Result<Action, ProviderError> {
        self.answer("action", |state, now| {
            let found = state.actions.get(&id).ok_or(ProviderErrorKind::NotFound)?;
            Ok(Action { id, kind: found.kind.clone(), status: stands(found, now) })
        })
    }
    async fn droplet_snapshots(&self, id: u64) -> Result<Vec<Snapshot>, ProviderError> {
        self.answer("droplet snapshots", |state, now| {
            if self.world.omits_droplets {
                return Err(ProviderErrorKind::NotFound);
            }
            let of = state.snapshots.values().filter(|(s, at)| s.droplet == Some(id) && at + self.world.lag <= now);
            Ok(of.map(|(s, _)| s.clone()).collect())
        })
    }
    async fn tag_snapshot(&self, id: &str, tag: &str) -> Result<(), ProviderError> {
        self.answer("tag", |state, _| {
            state.tagged.push(tag.to_owned());
            let times = state.tagged.iter().filter(|one| *one == tag).count();
            if self.world.ignored_tag.is_some_and(|(ignored, most)| ignored == tag && times <= most) {
                return Ok(());
            }
            let (snapshot, _) = state.snapshots.get_mut(id).ok_or(ProviderErrorKind::NotFound)?;
            if !snapshot.tags.iter().any(|t| t == tag) {
                snapshot.tags.push(tag.to_owned());
            }
            Ok(())
        })
    }
    async fn untag_snapshot(&self, id: &str, tag: &str) -> Result<(), ProviderError> {
        self.answer("untag", |state, _| {
            let has_no_effect = self.has_no_effect(state, "untag");
            let (snapshot, _) = state.snapshots.get_mut(id).ok_or(ProviderErrorKind::NotFound)?;
            let before = snapshot.tags.len();
            if has_no_effect {
                return Ok(());
            }
            snapshot.tags.retain(|t| t != tag);
            if snapshot.tags.len() < before { Ok(()) } else { Err(ProviderErrorKind::NotFound) }
        })
    }
    async fn delete_tag(&self, _tag: &str) -> Result<(), ProviderError> {
        self.answer("delete tag", |_, _| Ok(()))
    }
    async fn transfer(&self, snapshot: &str, region: &str) -> Result<Action, ProviderError> {
        self.answer("transfer", |state, now| {
            if !state.snapshots.contains_key(snapshot) {
                return Err(ProviderErrorKind::NotFound);
            }
            let busy = |(s, r, at): &(String, String, u64)| {
                s == snapshot && *at > now && (self.world.one_transfer_at_a_time || r == region)
            };
            if state.transfers.iter().any(busy) {
                return Err(ProviderErrorKind::Pending);
            }
            state.next += 1;
            let id = state.next;
            let seconds = if self.has_no_effect(state, "transfer") { NEVER } else { 5 };
            if !self.world.transfer_errors && !self.world.transfers_vanish {
                state.transfers.push((snapshot.to_owned(), region.to_owned(), now + seconds));
            }
            state.actions.insert(
                id,
                FakeAction {
                    kind: "transfer".into(),
                    droplet: None,
                    done_at: now + seconds,
                    errored: self.world.transfer_errors,
                },
            );
            Ok(Action { id, kind: "transfer".into(), status: ActionStatus::InProgress })
        })
    }
    async fn delete_droplet(&self, id: u64) -> Result<(), ProviderError> {
        self.answer("delete droplet", |state, now| {
            let has_no_effect = self.has_no_effect(state, "delete droplet");
            let droplet =
                state.droplets.get_mut(&id).filter(|d| d.gone_at.is_none()).ok_or(ProviderErrorKind::NotFound)?;
            if now < droplet.locked_until {
                return Err(ProviderErrorKind::Pending);
            }
            if !has_no_effect {
                droplet.gone_at = Some(now + 2);
            }
            Ok(())
        })
    }
    async fn delete_snapshot(&self, id: &str) -> Result<(), ProviderError> {
        self.answer("delete snapshot", |state, _| {
            state.snapshots.remove(id).map(drop).ok_or(ProviderErrorKind::NotFound)
        })
    }
    fn requests_sent(&self) -> u64 {
        self.state.lock().unwrap().requests.len() as u64
    }
}

/// Seconds of an action that never ends.
const NEVER: u64 = 100_000;

impl Fake {
    /// Whether this request is one of those without an effect. It is counted already.
    fn has_no_effect(&self, state: &State, request: &str) -> bool {
        self.world.without_effect.is_some_and(|(name, most)| {
            request.starts_with(name) && state.requests.iter().filter(|one| one.starts_with(name)).count() <= most
        })
    }
}

fn stands(action: &FakeAction, now: u64) -> ActionStatus {
    match (now >= action.done_at, action.errored) {
        (false, _) => ActionStatus::InProgress,
        (true, true) => ActionStatus::Errored,
        (true, false) => ActionStatus::Completed,
    }
}

#[async_trait]
impl Marker for Fake {
    async fn status(&self, address: IpAddr, log_offset: u64) -> Result<Status, MarkerError> {
        let now = self.seconds();
        let state = self.state.lock().unwrap();
        let up = state.droplets.values().rfind(|d| d.gone_at.is_none() && self.status(d, now) == DropletStatus::Active);
        let (Some(droplet), true) = (up, self.world.marker_answers) else {
            return Err(MarkerError::NotUp(address.to_string()));
        };
        if self.wrong_answers.fetch_add(1, Ordering::Relaxed) < self.world.wrong_answers {
            let reason = "it has another certificate".into();
            return Err(MarkerError::WrongServer { address: address.to_string(), reason });
        }
        let provision = match self.world.verification {
            Some(seconds) if droplet.name.ends_with("-verification") => seconds,
            _ => self.world.provision,
        };
        let uploaded = state.uploaded >= self.world.upload_chunks;
        let finished = uploaded && now >= droplet.born + self.world.active_after.unwrap_or(0) + provision;
        let failed = finished && self.world.final_state == RunnerState::Failed;
        let is_complete = now + self.world.complete >= droplet.born + self.world.active_after.unwrap_or(0) + provision;
        let text = if log_offset == 0 { self.world.log } else { "" };
        Ok(Status {
            bake: "x".into(),
            state: match (finished, is_complete) {
                (true, _) => self.world.final_state,
                (false, true) => RunnerState::Complete,
                (false, false) => RunnerState::Running,
            },
            steps: vec![RunnerStep {
                name: format!("script 01 of {}", droplet.image),
                state: if failed {
                    "failed"
                } else if finished {
                    "passed"
                } else {
                    "running"
                }
                .into(),
                elapsed: Some(Duration::from_secs(1)),
                exit: None,
            }],
            log: LogChunk { next: log_offset + text.len() as u64, text: text.into() },
            check: finished.then(|| Check {
                exit: Some(0),
                passed: 8,
                warnings: 0,
                failed: u64::from(failed),
                findings: vec![],
            }),
            error: failed.then(|| RunnerError {
                step: "check 99-img-check.sh".into(),
                message: "exit status 1".into(),
                exit: Some(1),
                tail: "[FAIL] ufw".into(),
            }),
            upload: (!uploaded).then_some(state.uploaded),
        })
    }
    async fn acknowledge(&self, address: IpAddr) -> Result<(), MarkerError> {
        let now = self.seconds();
        if self.world.acknowledgement_fails {
            return Err(MarkerError::NotUp(address.to_string()));
        }
        if self.world.accepts_acknowledgement {
            for droplet in self.state.lock().unwrap().droplets.values_mut() {
                droplet.off_at.get_or_insert(now + 3);
            }
        }
        Ok(())
    }
    async fn log(&self, _address: IpAddr) -> Result<String, MarkerError> {
        Ok("the whole log".into())
    }
    async fn upload(&self, address: IpAddr, offset: u64) -> Result<Option<u64>, MarkerError> {
        let mut state = self.state.lock().unwrap();
        let uploaded = state.uploaded;
        if offset == uploaded {
            state.uploaded += 1;
        }
        // Some answers are lost.
        if uploaded % 3 == 1 {
            return Err(MarkerError::NotUp(address.to_string()));
        }
        Ok((state.uploaded < self.world.upload_chunks).then_some(state.uploaded))
    }
}
