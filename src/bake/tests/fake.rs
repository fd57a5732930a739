//! A provider, a droplet, a journal and a clock in memory.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::bake::journal::{Entry, Ledger};
use crate::bake::ports::*;
use crate::bake::{BakeId, Limits, Machine, MarkerKind, OnError, Outcome, Ports, Secrets, Spec};

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails and has no effect.
    Before(ProviderErrorKind),
    /// It has its effect, and the answer is lost.
    After,
}

/// How the world behaves.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) faults: BTreeMap<u64, Fault>,
    /// Ctrl-C arrives with this request (and, if given, a second one with that request).
    pub(super) stop_at: Option<u64>,
    pub(super) stop_again_at: Option<u64>,
    pub(super) active_after: Option<u64>,
    pub(super) provision: u64,
    pub(super) final_state: RunnerState,
    pub(super) marker_answers: bool,
    pub(super) heeds_acknowledgement: bool,
    pub(super) heeds_shutdown: bool,
    pub(super) snapshot_errors: bool,
    pub(super) transfer_errors: bool,
    /// Seconds that lists lag behind.
    pub(super) lag: u64,
    /// Crashes this long after it became active.
    pub(super) crash_after: Option<u64>,
    pub(super) journal_full_after: Option<usize>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            faults: BTreeMap::new(),
            stop_at: None,
            stop_again_at: None,
            active_after: Some(5),
            provision: 20,
            final_state: RunnerState::Passed,
            marker_answers: true,
            heeds_acknowledgement: true,
            heeds_shutdown: true,
            snapshot_errors: false,
            transfer_errors: false,
            lag: 0,
            crash_after: None,
            journal_full_after: None,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct FakeDroplet {
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    born: u64,
    image: String,
    off_at: Option<u64>,
    gone_at: Option<u64>,
    locked_until: u64,
}

#[derive(Debug, Clone)]
struct FakeAction {
    kind: String,
    droplet: Option<u64>,
    done_at: u64,
    errored: bool,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) droplets: BTreeMap<u64, FakeDroplet>,
    pub(super) snapshots: BTreeMap<String, (Snapshot, u64)>,
    actions: BTreeMap<u64, FakeAction>,
    transfers: Vec<(String, String, u64)>,
    next: u64,
    pub(super) requests: Vec<String>,
    pub(super) created: u32,
}

pub(super) struct Fake {
    pub(super) world: World,
    pub(super) state: Mutex<State>,
    start: Instant,
    stop: watch::Sender<u32>,
    pub(super) journal: Mutex<Vec<Entry>>,
    pub(super) written: tokio::sync::Notify,
    pub(super) events: Mutex<Vec<Event>>,
    pub(super) saved: Mutex<BTreeMap<String, Vec<u8>>>,
}

pub(super) fn spec() -> Spec {
    let droplet = crate::bake::spec::DropletSpec {
        name: "build".into(),
        region: "nyc3".into(),
        size: "s-1vcpu-1gb".into(),
        image: "debian-12-x64".into(),
        vpc_uuid: None,
        ipv6: false,
        monitoring: false,
        ssh_keys: vec![],
        tags: vec!["mine".into()],
    };
    let snapshot = crate::bake::spec::SnapshotSpec {
        name: "product".into(),
        regions: vec!["fra1".into()],
        tags: vec!["release".into()],
    };
    let limits = Limits {
        create: Duration::from_secs(60),
        provision: Duration::from_secs(300),
        power_off: Duration::from_secs(30),
        snapshot: Duration::from_secs(120),
        transfer: Duration::from_secs(120),
        verify: Duration::from_secs(120),
        destroy: Duration::from_secs(60),
    };
    Spec {
        id: BakeId::new(0, [1, 2, 3]),
        deadline: 10_000,
        droplet,
        snapshot,
        marker: MarkerKind::Https,
        on_error: OnError::Destroy,
        verify: true,
        limits,
        poll_ms: 2_000,
    }
}

impl Fake {
    pub(super) fn new(world: World) -> Self {
        Self {
            world,
            state: Mutex::default(),
            start: Instant::now(),
            stop: watch::channel(0).0,
            journal: Mutex::default(),
            written: tokio::sync::Notify::new(),
            events: Mutex::default(),
            saved: Mutex::default(),
        }
    }

    pub(super) async fn bake(&self, spec: &Spec) -> Outcome {
        self.go_on(spec, Ledger::default()).await
    }

    pub(super) async fn go_on(&self, spec: &Spec, ledger: Ledger) -> Outcome {
        let secrets = Secrets {
            user_data: SecretString::from("#cloud-config"),
            verification: Some(SecretString::from("#cloud-config")),
        };
        let https = spec.marker == MarkerKind::Https;
        let ports = Ports {
            provider: self,
            marker: https.then_some(self as &dyn Marker),
            verification: https.then_some(self as &dyn Marker),
            journal: self,
            clock: self,
            observer: self,
            stops: self.stop.subscribe(),
        };
        // Nothing may hang, however long the provider takes.
        tokio::time::timeout(Duration::from_secs(7_200), Machine::new(spec, &secrets, ports, ledger).run())
            .await
            .expect("a bake ends")
    }

    pub(super) fn seconds(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    /// What is there and costs money.
    pub(super) fn there(&self) -> Vec<String> {
        // An action under way ends by itself: look at what is there when it has.
        let state = self.state.lock().unwrap();
        let mut there: Vec<String> =
            state.droplets.iter().filter(|(_, d)| d.gone_at.is_none()).map(|(id, _)| format!("droplet {id}")).collect();
        there.extend(state.snapshots.keys().map(|id| format!("snapshot {id}")));
        there
    }

    pub(super) fn said(&self, text: &str) -> bool {
        format!("{:?}", self.events.lock().unwrap()).contains(text)
    }

    fn error(kind: ProviderErrorKind, request: &str) -> ProviderError {
        ProviderError {
            kind,
            request: request.to_owned(),
            status: None,
            request_id: Some("r-1".into()),
            message: "as told".into(),
            advice: None,
        }
    }

    fn answer<T>(
        &self,
        request: &str,
        handle: impl FnOnce(&mut State, u64) -> Result<T, ProviderErrorKind>,
    ) -> Result<T, ProviderError> {
        let now = self.seconds();
        let mut state = self.state.lock().unwrap();
        state.requests.push(request.to_owned());
        let number = state.requests.len() as u64;
        for at in [self.world.stop_at, self.world.stop_again_at].into_iter().flatten() {
            if number == at {
                self.stop.send_modify(|count| *count += 1);
            }
        }
        match self.world.faults.get(&number) {
            Some(Fault::Before(kind)) => Err(Self::error(*kind, request)),
            Some(Fault::After) => {
                let _ = handle(&mut state, now);
                Err(Self::error(ProviderErrorKind::Unanswered, request))
            }
            None => handle(&mut state, now).map_err(|kind| Self::error(kind, request)),
        }
    }

    fn status(&self, droplet: &FakeDroplet, now: u64) -> DropletStatus {
        let Some(after) = self.world.active_after else { return DropletStatus::New };
        if now < droplet.born + after {
            return DropletStatus::New;
        }
        let crash = self.world.crash_after.is_some_and(|crash| now >= droplet.born + after + crash);
        if crash || droplet.off_at.is_some_and(|off| off <= now) { DropletStatus::Off } else { DropletStatus::Active }
    }

    fn show(&self, id: u64, droplet: &FakeDroplet, now: u64) -> Droplet {
        Droplet {
            id,
            name: droplet.name.clone(),
            status: self.status(droplet, now),
            locked: now < droplet.locked_until,
            address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            tags: droplet.tags.clone(),
        }
    }
}

#[async_trait]
impl Provider for Fake {
    async fn account(&self) -> Result<Account, ProviderError> {
        self.answer("account", |_, _| {
            Ok(Account { name: "me".into(), status: "active".into(), status_message: String::new(), droplet_limit: 10 })
        })
    }
    async fn droplet_count(&self) -> Result<u64, ProviderError> {
        self.answer("count", |state, _| Ok(state.droplets.len() as u64))
    }
    async fn size(&self, slug: &str) -> Result<Option<Size>, ProviderError> {
        let size = Size {
            slug: slug.to_owned(),
            available: true,
            regions: vec!["nyc3".into()],
            price_hourly: 0.009,
            disk_gib: 25,
        };
        self.answer("size", |_, _| Ok((slug == "s-1vcpu-1gb").then_some(size)))
    }
    async fn region(&self, slug: &str) -> Result<Option<Region>, ProviderError> {
        self.answer("region", |_, _| Ok((slug != "mars1").then(|| Region { slug: slug.to_owned(), available: true })))
    }
    async fn image(&self, name: &str) -> Result<Option<Image>, ProviderError> {
        self.answer("image", |_, _| {
            Ok(Some(Image { name: name.to_owned(), regions: vec!["nyc3".into()], status: "available".into() }))
        })
    }
    async fn snapshots(&self) -> Result<Vec<Snapshot>, ProviderError> {
        self.answer("snapshots", |state, now| {
            Ok(state.snapshots.values().filter(|(_, at)| at + self.world.lag <= now).map(|(s, _)| s.clone()).collect())
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
        self.answer("create", |state, now| {
            state.next += 1;
            state.created += 1;
            let id = state.next;
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
        self.answer("tagged", |state, now| {
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
            let droplet =
                state.droplets.get_mut(&id).filter(|d| d.gone_at.is_none()).ok_or(ProviderErrorKind::NotFound)?;
            if now < droplet.locked_until {
                return Err(ProviderErrorKind::Pending);
            }
            let (kind, seconds, errored) = match action {
                DropletAction::Shutdown => {
                    if self.world.heeds_shutdown {
                        droplet.off_at.get_or_insert(now + 2);
                    }
                    ("shutdown", 2, false)
                }
                DropletAction::PowerOff => {
                    droplet.off_at.get_or_insert(now + 1);
                    ("power_off", 1, false)
                }
                DropletAction::Snapshot(name) => {
                    if self.status(droplet, now) != DropletStatus::Off {
                        return Err(ProviderErrorKind::Refused);
                    }
                    if !self.world.snapshot_errors {
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
                    ("snapshot", 10, self.world.snapshot_errors)
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
    async fn action(&self, id: u64) -> Result<Action, ProviderError> {
        self.answer("action", |state, now| {
            let found = state.actions.get(&id).ok_or(ProviderErrorKind::NotFound)?;
            Ok(Action { id, kind: found.kind.clone(), status: stands(found, now) })
        })
    }
    async fn droplet_snapshots(&self, id: u64) -> Result<Vec<Snapshot>, ProviderError> {
        self.answer("droplet snapshots", |state, now| {
            let of = state.snapshots.values().filter(|(s, at)| s.droplet == Some(id) && at + self.world.lag <= now);
            Ok(of.map(|(s, _)| s.clone()).collect())
        })
    }
    async fn tag_snapshot(&self, id: &str, tag: &str) -> Result<(), ProviderError> {
        self.answer("tag", |state, _| {
            let (snapshot, _) = state.snapshots.get_mut(id).ok_or(ProviderErrorKind::NotFound)?;
            if !snapshot.tags.iter().any(|t| t == tag) {
                snapshot.tags.push(tag.to_owned());
            }
            Ok(())
        })
    }
    async fn untag_snapshot(&self, id: &str, tag: &str) -> Result<(), ProviderError> {
        self.answer("untag", |state, _| {
            let (snapshot, _) = state.snapshots.get_mut(id).ok_or(ProviderErrorKind::NotFound)?;
            snapshot.tags.retain(|t| t != tag);
            Ok(())
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
            if state.transfers.iter().any(|(s, _, at)| s == snapshot && *at > now) {
                return Err(ProviderErrorKind::Pending);
            }
            state.next += 1;
            let id = state.next;
            if !self.world.transfer_errors {
                state.transfers.push((snapshot.to_owned(), region.to_owned(), now + 5));
            }
            state.actions.insert(
                id,
                FakeAction {
                    kind: "transfer".into(),
                    droplet: None,
                    done_at: now + 5,
                    errored: self.world.transfer_errors,
                },
            );
            Ok(Action { id, kind: "transfer".into(), status: ActionStatus::InProgress })
        })
    }
    async fn delete_droplet(&self, id: u64) -> Result<(), ProviderError> {
        self.answer("delete droplet", |state, now| {
            let droplet =
                state.droplets.get_mut(&id).filter(|d| d.gone_at.is_none()).ok_or(ProviderErrorKind::NotFound)?;
            if now < droplet.locked_until {
                return Err(ProviderErrorKind::Pending);
            }
            droplet.gone_at = Some(now + 2);
            Ok(())
        })
    }
    async fn delete_snapshot(&self, id: &str) -> Result<(), ProviderError> {
        self.answer("delete snapshot", |state, _| {
            state.snapshots.remove(id).map(drop).ok_or(ProviderErrorKind::NotFound)
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
        let finished = now >= droplet.born + self.world.active_after.unwrap_or(0) + self.world.provision;
        let failed = finished && self.world.final_state == RunnerState::Failed;
        let text = if log_offset == 0 { "hello from the droplet\n" } else { "" };
        Ok(Status {
            bake: "x".into(),
            state: if finished { self.world.final_state } else { RunnerState::Running },
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
                seconds: Some(1.0),
                exit: None,
            }],
            log: LogPiece { next: log_offset + text.len() as u64, text: text.into() },
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
        })
    }
    async fn acknowledge(&self, _address: IpAddr) -> Result<(), MarkerError> {
        let now = self.seconds();
        if self.world.heeds_acknowledgement {
            for droplet in self.state.lock().unwrap().droplets.values_mut() {
                droplet.off_at.get_or_insert(now + 3);
            }
        }
        Ok(())
    }
    async fn log(&self, _address: IpAddr) -> Result<String, MarkerError> {
        Ok("the whole log".into())
    }
}

impl Journal for Fake {
    fn append(&self, _at: u64, entry: &Entry) -> Result<(), JournalError> {
        let mut journal = self.journal.lock().unwrap();
        if self.world.journal_full_after.is_some_and(|full| journal.len() >= full) {
            return Err(JournalError { path: "journal.jsonl".into(), reason: "no space left on device".into() });
        }
        journal.push(entry.clone());
        self.written.notify_one();
        Ok(())
    }
    fn save(&self, name: &str, contents: &[u8]) -> Result<String, JournalError> {
        self.saved.lock().unwrap().insert(name.to_owned(), contents.to_vec());
        Ok(format!("state/{name}"))
    }
}

#[async_trait]
impl Clock for Fake {
    fn unix(&self) -> u64 {
        self.seconds()
    }
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[async_trait]
impl Observer for Fake {
    fn event(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
    }
}
