//! A provider, a droplet, a journal and a clock in memory.

mod ports;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::watch;

use crate::bake::journal::{Journal, JournalEntry, JournalError};
use crate::bake::ports::*;
use crate::bake::{
    BakeId, BakeState, Limits, Machine, MarkerKind, OnError, Outcome, Ports, RemainingResource, Secrets, Spec,
};

/// A fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bake) enum Fault {
    /// The request fails without effect.
    Before(ProviderErrorKind),
    /// The request has its effect, but the answer is lost.
    After,
}

/// For how many seconds a process is suspended.
const ASLEEP: u64 = 3_600;

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

/// How the simulated service, droplet and process behave.
#[derive(Debug, Clone)]
pub(in crate::bake) struct World {
    pub(in crate::bake) faults: BTreeMap<u64, Fault>,
    /// Requests with this prefix fail permanently, from the n-th one on.
    pub(in crate::bake) permanent_failure: Option<(String, usize, Fault)>,
    /// From this request on, no request is answered for this many seconds.
    pub(in crate::bake) outage: Option<(u64, u64)>,
    /// Requests with this prefix succeed for some seconds, then fail for some seconds, repeatedly.
    pub(in crate::bake) intermittent_failure: Option<(&'static str, u64, u64)>,
    /// From the request for a snapshot on, no list of snapshots can be read.
    pub(in crate::bake) permanent_failures_of_lists: bool,
    /// This number of requests with this name are accepted at first and have no effect.
    pub(in crate::bake) without_effect: Option<(&'static str, usize)>,
    /// At this request, a person makes a snapshot of the build droplet and tags it.
    pub(in crate::bake) persons_snapshot_at: Option<u64>,
    /// The smallest disk, in GiB, that the base image fits on.
    pub(in crate::bake) image_min_disk: u64,
    /// How many seconds an unanswered request takes.
    pub(in crate::bake) seconds_per_lost_request: u64,
    /// Ctrl-C arrives with the request `stop_at`, and a second one with `stop_again_at`.
    pub(in crate::bake) stop_at: Option<u64>,
    pub(in crate::bake) stop_again_at: Option<u64>,
    pub(in crate::bake) active_after: Option<u64>,
    /// How many seconds after its creation a droplet has an address.
    pub(in crate::bake) address_after: u64,
    pub(in crate::bake) provision: u64,
    /// The same for the verification droplet, if it differs.
    pub(in crate::bake) verification: Option<u64>,
    /// How many chunks are uploaded before a build droplet passes.
    pub(in crate::bake) upload_chunks: u64,
    pub(in crate::bake) final_state: RunnerState,
    pub(in crate::bake) marker_answers: bool,
    pub(in crate::bake) accepts_acknowledgement: bool,
    /// The droplet does not answer to an acknowledgement.
    pub(in crate::bake) acknowledgement_fails: bool,
    /// How many answers of the status channel come from another server.
    pub(in crate::bake) wrong_answers: usize,
    /// For how many seconds before its end the runner is complete.
    pub(in crate::bake) complete: u64,
    pub(in crate::bake) log: &'static str,
    /// How often the service accepts this tag without an effect.
    pub(in crate::bake) ignored_tag: Option<(&'static str, usize)>,
    /// The lists of regions and sizes are empty.
    pub(in crate::bake) empty_catalogue: bool,
    pub(in crate::bake) accepts_shutdown: bool,
    /// The action that creates a droplet ends with `errored`.
    pub(in crate::bake) creation_errors: bool,
    pub(in crate::bake) shutdown_errors: bool,
    /// A snapshot of each droplet has failed before.
    pub(in crate::bake) earlier_snapshot_failed: bool,
    pub(in crate::bake) snapshot_errors: bool,
    pub(in crate::bake) transfer_errors: bool,
    /// Transfers are completed, and the snapshot does not arrive.
    pub(in crate::bake) transfers_vanish: bool,
    /// An image cannot be transferred while another transfer of it is in progress.
    pub(in crate::bake) one_transfer_at_a_time: bool,
    /// What the user answers whether to keep what a failed bake made; `None`: Ctrl-C.
    pub(in crate::bake) keep: Option<bool>,
    /// Status and droplet limit of the account.
    pub(in crate::bake) account: (&'static str, u64),
    /// The service lists snapshots without their droplets, and cannot list the snapshots of a
    /// droplet.
    pub(in crate::bake) omits_droplets: bool,
    /// The service cannot list all snapshots.
    pub(in crate::bake) has_no_snapshot_list: bool,
    /// By how many seconds lists lag behind changes.
    pub(in crate::bake) lag: u64,
    /// The droplet crashes this many seconds after it becomes active.
    pub(in crate::bake) crash_after: Option<u64>,
    pub(in crate::bake) journal_full_after: Option<usize>,
    /// The process is killed during this request: before it arrives (`false`) or after its effect.
    pub(in crate::bake) killed_at: Option<(u64, bool)>,
    /// From this request on, the date is wrong by this many seconds.
    pub(in crate::bake) clock_jump: Option<(u64, i64)>,
    /// The process is suspended for an hour after this request.
    pub(in crate::bake) suspended_at: Option<u64>,
}

impl World {
    /// A world in which a bake fails for good when its droplet and its snapshot exist.
    pub(in crate::bake) fn failing_after_snapshot() -> Self {
        let refused = Fault::Before(ProviderErrorKind::Refused);
        Self { permanent_failure: Some(("tag".into(), 2, refused)), ..Self::default() }
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            faults: BTreeMap::new(),
            permanent_failure: None,
            outage: None,
            intermittent_failure: None,
            permanent_failures_of_lists: false,
            without_effect: None,
            persons_snapshot_at: None,
            image_min_disk: 7,
            seconds_per_lost_request: 0,
            stop_at: None,
            stop_again_at: None,
            active_after: Some(5),
            address_after: 0,
            provision: 20,
            verification: None,
            upload_chunks: 5,
            final_state: RunnerState::Passed,
            marker_answers: true,
            accepts_acknowledgement: true,
            acknowledgement_fails: false,
            wrong_answers: 0,
            complete: 0,
            log: "hello from the droplet\n",
            ignored_tag: None,
            empty_catalogue: false,
            accepts_shutdown: true,
            creation_errors: false,
            shutdown_errors: false,
            earlier_snapshot_failed: false,
            snapshot_errors: false,
            transfer_errors: false,
            transfers_vanish: false,
            one_transfer_at_a_time: false,
            keep: Some(false),
            account: ("active", 10),
            omits_droplets: false,
            has_no_snapshot_list: false,
            lag: 0,
            crash_after: None,
            journal_full_after: None,
            killed_at: None,
            clock_jump: None,
            suspended_at: None,
        }
    }
}

#[derive(Debug, Clone)]
pub(in crate::bake) struct FakeDroplet {
    pub(in crate::bake) name: String,
    pub(in crate::bake) tags: Vec<String>,
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
pub(in crate::bake) struct State {
    pub(in crate::bake) droplets: BTreeMap<u64, FakeDroplet>,
    pub(in crate::bake) snapshots: BTreeMap<String, (Snapshot, u64)>,
    actions: BTreeMap<u64, FakeAction>,
    transfers: Vec<(String, String, u64)>,
    next: u64,
    /// Every tag that was put on a snapshot.
    tagged: Vec<String>,
    pub(in crate::bake) requests: Vec<String>,
    pub(in crate::bake) created: u32,
    /// When the current outage began.
    outage_since: Option<u64>,
    /// The chunks that have arrived.
    pub(in crate::bake) uploaded: u64,
}

impl State {
    /// Locks all droplets until this time, as for an event.
    pub(in crate::bake) fn hold_droplets_until(&mut self, until: u64) {
        for droplet in self.droplets.values_mut() {
            droplet.locked_until = until;
        }
    }
}

pub(in crate::bake) struct Fake {
    pub(in crate::bake) world: World,
    pub(in crate::bake) state: Mutex<State>,
    /// Simulated time in nanoseconds. It advances only when something sleeps.
    time: AtomicU64,
    /// If a bake still runs at this time, the test fails.
    deadline: AtomicU64,
    stop: watch::Sender<u32>,
    pub(in crate::bake) journal: Mutex<Vec<JournalEntry>>,
    /// When each entry was written.
    pub(in crate::bake) entry_times: Mutex<Vec<u64>>,
    /// Whether the process was killed, so that its actions have no effect.
    dead: AtomicBool,
    pub(in crate::bake) killed: tokio::sync::Notify,
    pub(in crate::bake) written: tokio::sync::Notify,
    pub(in crate::bake) events: Mutex<Vec<Event>>,
    pub(in crate::bake) saved: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Whether the bake verifies its snapshot.
    pub(in crate::bake) verifies: AtomicBool,
    /// How many answers of the status channel were another server's.
    wrong_answers: AtomicUsize,
    /// Every sleep, in order.
    pub(in crate::bake) sleeps: Mutex<Vec<Duration>>,
}

/// The snapshot that a person makes of the build droplet.
pub(in crate::bake) const PERSONS_SNAPSHOT: &str = "777";

/// A bake for tests.
pub(crate) fn spec() -> Spec {
    let droplet = crate::bake::spec::DropletSpec {
        name: "build".into(),
        region: "nyc3".into(),
        size: "s-1vcpu-1gb".into(),
        image: "debian-12-x64".into(),
        vpc_uuid: None,
        ipv6: false,
        monitoring: false,
        droplet_agent: false,
        ssh_keys: vec![],
        tags: vec!["mine".into()],
    };
    let snapshot = crate::bake::spec::SnapshotSpec {
        name: "product".into(),
        regions: vec!["fra1".into()],
        await_transfers: true,
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
        unreachable: Duration::from_secs(45),
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
        poll_interval: Duration::from_secs(2),
    }
}

impl Fake {
    pub(in crate::bake) fn new(world: World) -> Self {
        Self {
            world,
            state: Mutex::default(),
            time: AtomicU64::new(0),
            deadline: AtomicU64::new(u64::MAX),
            stop: watch::channel(0).0,
            journal: Mutex::default(),
            entry_times: Mutex::default(),
            dead: AtomicBool::new(false),
            killed: tokio::sync::Notify::new(),
            written: tokio::sync::Notify::new(),
            events: Mutex::default(),
            saved: Mutex::default(),
            verifies: AtomicBool::new(false),
            wrong_answers: AtomicUsize::new(0),
            sleeps: Mutex::default(),
        }
    }

    pub(in crate::bake) async fn bake(&self, spec: &Spec) -> Outcome {
        self.resume(spec, BakeState::default()).await
    }

    pub(in crate::bake) async fn resume(&self, spec: &Spec, state: BakeState) -> Outcome {
        let secrets = Secrets {
            user_data: SecretString::from("#cloud-config"),
            verification: Some(SecretString::from("#cloud-config\n# verification")),
        };
        self.restart_process();
        self.verifies.store(spec.verify, Ordering::Relaxed);
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
        // Nothing may hang, however long the provider takes and the process sleeps.
        let deadline = self.time.load(Ordering::Relaxed) + nanoseconds(Duration::from_secs(7_200 + ASLEEP));
        self.deadline.store(deadline, Ordering::Relaxed);
        Machine::new(spec, &secrets, ports, state).run().await
    }

    pub(in crate::bake) fn count_requests(&self, name: &str) -> usize {
        self.state.lock().unwrap().requests.iter().filter(|request| *request == name).count()
    }

    /// Continues as another process.
    pub(in crate::bake) fn restart_process(&self) {
        self.dead.store(false, Ordering::Relaxed);
    }

    pub(in crate::bake) fn is_killed(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(in crate::bake) fn seconds(&self) -> u64 {
        self.now().as_secs()
    }

    /// The resources that exist and cost money.
    pub(in crate::bake) fn existing_resources(&self) -> Vec<String> {
        // Actions in progress end by themselves, so check what exists after that.
        let state = self.state.lock().unwrap();
        let mut existing: Vec<String> =
            state.droplets.iter().filter(|(_, d)| d.gone_at.is_none()).map(|(id, _)| format!("droplet {id}")).collect();
        existing.extend(state.snapshots.keys().map(|id| format!("snapshot {id}")));
        existing
    }

    /// When the first entry of this kind was written.
    pub(in crate::bake) fn time_of(&self, is_wanted: impl Fn(&JournalEntry) -> bool) -> Option<u64> {
        let at = self.journal.lock().unwrap().iter().position(is_wanted)?;
        Some(self.entry_times.lock().unwrap()[at])
    }

    pub(in crate::bake) fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let warning = |event: &Event| match event {
            Event::Warning { message } => Some(message.clone()),
            _ => None,
        };
        events.iter().filter_map(warning).collect()
    }

    pub(in crate::bake) fn has_event(&self, text: &str) -> bool {
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
            retry_after: None,
        }
    }

    fn answer<T>(
        &self,
        request: &str,
        handle: impl FnOnce(&mut State, u64) -> Result<T, ProviderErrorKind>,
    ) -> Result<T, ProviderError> {
        let now = self.seconds();
        let mut state = self.state.lock().unwrap();
        if self.dead.load(Ordering::Relaxed) {
            return Err(Self::error(ProviderErrorKind::Unreachable, request));
        }
        state.requests.push(request.to_owned());
        let number = state.requests.len() as u64;
        for at in [self.world.stop_at, self.world.stop_again_at].into_iter().flatten() {
            if number == at {
                self.stop.send_modify(|count| *count += 1);
            }
        }
        if self.world.persons_snapshot_at == Some(number) {
            let build = state.droplets.keys().next().copied();
            let snapshot = Snapshot {
                id: PERSONS_SNAPSHOT.into(),
                name: "product".into(),
                regions: vec!["nyc3".into()],
                tags: vec!["forensics".into()],
                droplet: build,
                size_gb: 1.0,
            };
            state.snapshots.insert(PERSONS_SNAPSHOT.into(), (snapshot, now));
        }
        if let Some((_, arrives)) = self.world.killed_at.filter(|(at, _)| *at == number) {
            if arrives {
                let _ = handle(&mut state, now);
            }
            self.dead.store(true, Ordering::Relaxed);
            self.killed.notify_one();
            return Err(Self::error(ProviderErrorKind::Unanswered, request));
        }
        let answer = self.faulty(number, request, &mut state, now, handle);
        if self.world.suspended_at == Some(number) {
            self.time.fetch_add(nanoseconds(Duration::from_secs(ASLEEP)), Ordering::Relaxed);
        }
        answer
    }

    fn faulty<T>(
        &self,
        number: u64,
        request: &str,
        state: &mut State,
        now: u64,
        handle: impl FnOnce(&mut State, u64) -> Result<T, ProviderErrorKind>,
    ) -> Result<T, ProviderError> {
        if let Some((from, seconds)) = self.world.outage.filter(|(from, _)| number >= *from)
            && now < *state.outage_since.get_or_insert(now) + seconds
        {
            let _ = from;
            self.time
                .fetch_add(nanoseconds(Duration::from_secs(self.world.seconds_per_lost_request)), Ordering::Relaxed);
            return Err(Self::error(ProviderErrorKind::Unreachable, request));
        }
        if let Some((what, up, down)) = self.world.intermittent_failure
            && request.starts_with(what)
            && now % (up + down) >= up
        {
            return Err(Self::error(ProviderErrorKind::Unreachable, request));
        }
        let lasting = self.world.permanent_failure.as_ref().filter(|(what, from, _)| {
            request.starts_with(what.as_str())
                && state.requests.iter().filter(|one| one.starts_with(what.as_str())).count() >= *from
        });
        if self.world.permanent_failures_of_lists
            && (request == "snapshots" || request == "droplet snapshots")
            && state.requests.iter().any(|one| one.contains("Snapshot("))
        {
            return Err(Self::error(ProviderErrorKind::Unreachable, request));
        }
        match lasting.map(|(.., fault)| fault).or_else(|| self.world.faults.get(&number)) {
            Some(Fault::Before(kind)) => Err(Self::error(*kind, request)),
            Some(Fault::After) => {
                let _ = handle(state, now);
                Err(Self::error(ProviderErrorKind::Unanswered, request))
            }
            None => handle(state, now).map_err(|kind| Self::error(kind, request)),
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
            address: (now >= droplet.born + self.world.address_after).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            tags: droplet.tags.clone(),
        }
    }
}

impl Journal for Fake {
    fn append(&self, _at: u64, entry: &JournalEntry) -> Result<(), JournalError> {
        if self.dead.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut journal = self.journal.lock().unwrap();
        if self.world.journal_full_after.is_some_and(|full| journal.len() >= full) {
            return Err(JournalError { path: "journal.jsonl".into(), reason: "no space left on device".into() });
        }
        journal.push(entry.clone());
        self.entry_times.lock().unwrap().push(self.seconds());
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
        let requests = self.state.lock().unwrap().requests.len() as u64;
        let wrong = self.world.clock_jump.filter(|(at, _)| requests >= *at).map_or(0, |(_, by)| by);
        (2_000_000_000 + self.seconds()).saturating_add_signed(wrong)
    }
    fn now(&self) -> Duration {
        Duration::from_nanos(self.time.load(Ordering::Relaxed))
    }
    async fn sleep(&self, duration: Duration) {
        let before = self.time.fetch_add(nanoseconds(duration), Ordering::Relaxed);
        self.sleeps.lock().unwrap().push(duration);
        assert!(before < self.deadline.load(Ordering::Relaxed), "a bake ends");
        // Let other tasks run.
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Observer for Fake {
    fn event(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
    }
    async fn keep(&self, why: &str, remaining: &[RemainingResource]) -> bool {
        let named: Vec<String> = remaining.iter().map(ToString::to_string).collect();
        self.event(&Event::Note { message: format!("asked: {why}: {}", named.join(", ")) });
        if let Some(answer) = self.world.keep {
            return answer;
        }
        self.stop.send_modify(|count| *count += 1);
        std::future::pending().await
    }
}
