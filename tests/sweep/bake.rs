//! One bake through the library, composed as `mkimg bake` does, with a clock that runs faster.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mkimg::bake::journal::{Journal, JournalEntry, JournalError, JournalLine};
use mkimg::bake::ports::{Clock, Event, Marker, Observer, Provider};
use mkimg::bake::spec::{DropletSpec, SnapshotSpec};
use mkimg::bake::state::Phase;
use mkimg::bake::{
    BakeId, BakeState, Failure, Limits, Machine, MarkerKind, OnError, Outcome, Ports, Secrets, Spec, preflight,
};
use mkimg::marker::{Client as MarkerClient, Credentials, Limits as MarkerLimits, PORT};
use mkimg::model::hexadecimal;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

/// How much faster the machine's time runs than ours.
const FASTER: u32 = 20;

/// A clock that runs faster, so that the machine's polls and waits take only a moment.
pub(crate) struct FastClock {
    /// The machine's time, and the real time at which it was read.
    at: Mutex<(Duration, Instant)>,
    /// The most that counts between two readings of the clock, apart from sleeps.
    most: Duration,
}

impl FastClock {
    /// For a service in which a request hangs: the whole time of the hang counts.
    pub(crate) fn new() -> Self {
        Self { at: Mutex::new((Duration::ZERO, Instant::now())), most: Duration::MAX }
    }

    /// For a service in which nothing hangs: a delay of one second on a busy machine must not count
    /// as twenty.
    pub(crate) fn of_a_service_that_answers() -> Self {
        Self { most: Duration::from_secs(2), ..Self::new() }
    }

    fn advance(&self, most: Duration) -> Duration {
        let mut at = self.at.lock().unwrap();
        let now = at.0 + (at.1.elapsed() * FASTER).min(most);
        *at = (now, Instant::now());
        now
    }
}

#[async_trait]
impl Clock for FastClock {
    fn unix(&self) -> u64 {
        1_800_000_000 + self.now().as_secs()
    }

    fn now(&self) -> Duration {
        self.advance(self.most)
    }

    async fn sleep(&self, duration: Duration) {
        self.now();
        tokio::time::sleep(duration / FASTER).await;
        self.advance(self.most.saturating_add(duration));
    }
}

/// A journal on disk, one entry a line.
pub(crate) struct DiskJournal {
    path: PathBuf,
    file: Mutex<File>,
}

impl DiskJournal {
    /// Opens the journal, or creates it.
    pub(crate) fn open(folder: &Path) -> Self {
        let path = folder.join("journal.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        Self { path, file: Mutex::new(file) }
    }

    /// The entries of a journal.
    pub(crate) fn entries(folder: &Path) -> Vec<JournalEntry> {
        let text = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<JournalLine>(line).unwrap());
        lines.map(|line| line.entry).collect()
    }

    /// The state of a bake with this journal.
    pub(crate) fn state(folder: &Path) -> BakeState {
        BakeState::replay(&Self::entries(folder))
    }
}

impl Journal for DiskJournal {
    fn append(&self, at: u64, entry: &JournalEntry) -> Result<(), JournalError> {
        let text = serde_json::to_string(&JournalLine { at, entry: entry.clone() }).unwrap() + "\n";
        self.file.lock().unwrap().write_all(text.as_bytes()).unwrap();
        Ok(())
    }

    fn save(&self, name: &str, contents: &[u8]) -> Result<String, JournalError> {
        let path = self.path.with_file_name(name);
        std::fs::write(&path, contents).unwrap();
        Ok(path.display().to_string())
    }
}

/// Records the messages of a bake, for cases that fail.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<String>>);

#[async_trait]
impl Observer for Heard {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(match event {
            Event::Stage { stage, detail } => format!("{stage}: {detail}"),
            Event::Warning { message } | Event::Note { message } => message.clone(),
            _ => return,
        });
    }
}

/// What to bake: one region besides the droplet's own, one tag.
pub(crate) fn spec(marker: MarkerKind) -> Spec {
    let mut random = [0; 3];
    getrandom::fill(&mut random).unwrap();
    let seconds = Duration::from_secs;
    Spec {
        id: BakeId::new(1_800_000_000, random),
        deadline: 1_900_000_000,
        droplet: DropletSpec {
            name: "build".to_owned(),
            region: "nyc3".to_owned(),
            size: "s-1vcpu-1gb".to_owned(),
            image: "debian-12-x64".to_owned(),
            vpc_uuid: None,
            ipv6: false,
            monitoring: false,
            droplet_agent: false,
            ssh_keys: Vec::new(),
            tags: vec!["team".to_owned()],
        },
        snapshot: SnapshotSpec {
            name: "baked".to_owned(),
            regions: vec!["fra1".to_owned()],
            await_transfers: true,
            tags: vec!["release".to_owned()],
        },
        marker,
        on_error: OnError::Destroy,
        verify: false,
        limits: Limits {
            create: seconds(100),
            provision: seconds(160),
            power_off: seconds(40),
            snapshot: seconds(100),
            transfer: seconds(100),
            verify: seconds(160),
            destroy: seconds(100),
            unreachable: seconds(60),
        },
        poll_interval: seconds(1),
    }
}

/// The content of the file that each bake with a status channel uploads.
const UPLOADED: &str = "hello\n";

/// A document with the bake's own entry, and the client of the status channel in that entry.
fn document(spec: &Spec, folder: &Path) -> (Secrets, Option<MarkerClient>) {
    let mut entry = json!({"version": 1, "bake": spec.id, "channel": "poweroff", "power_off_after": 900});
    let mut client = None;
    if spec.marker == MarkerKind::Https {
        let credentials = Credentials::new(&spec.id).unwrap();
        entry["channel"] = json!("https");
        entry["port"] = json!(PORT);
        entry["token"] = json!(credentials.token.expose_secret());
        entry["certificate"] = json!(credentials.certificate);
        entry["key"] = json!(credentials.key.expose_secret());
        // Some droplets never answer, so the limit is short. The others answer in time even on a
        // busy machine.
        let limit = Duration::from_secs(2);
        let limits = MarkerLimits { connect: limit, request: limit, log: limit, upload: limit };
        let mut sending = MarkerClient::new(&credentials, PORT, limits).unwrap();
        let file = json!([{"path": "/etc/hello", "mode": "0644", "owner": "root:root", "size": UPLOADED.len(), "sha256": sum(UPLOADED)}]);
        let index = format!("{file}\n");
        entry["upload"] = json!({"size": index.len(), "sha256": sum(&index)});
        std::fs::write(folder.join("upload"), UPLOADED).unwrap();
        sending.attach_upload(index.into_bytes(), folder.join("upload"));
        client = Some(sending);
    }
    let text = format!("#cloud-config\nwrite_files:\n- path: /run/mkimg/bake.json\n  content: '{entry}'\n");
    (Secrets { user_data: text.into(), verification: None }, client)
}

fn sum(text: &str) -> String {
    hexadecimal(&Sha256::digest(text))
}

/// How the bake ended, and its messages. A failure before the bake began is a preflight failure.
pub(crate) async fn bake(
    provider: &dyn Provider,
    clock: &FastClock,
    spec: &Spec,
    folder: &Path,
) -> (Outcome, Vec<String>) {
    let refused = |failure: Failure| (Outcome::Failed { failure, remaining: Vec::new(), resumable: false }, Vec::new());
    let account = match preflight::account(provider).await {
        Ok(account) => account,
        Err(failure) => return refused(failure),
    };
    if let Err(failure) = preflight::check(provider, &[spec], &account, 1).await {
        return refused(failure);
    }
    let (outcome, heard) = go_on(provider, clock, spec, folder, BakeState::default()).await;
    let state = DiskJournal::state(folder);
    let exit = if outcome.is_resumable() { None } else { Some(outcome.exit_status()) };
    let is_suspended = state.phase == Phase::Suspended;
    assert_eq!((state.exit_status(), is_suspended), (exit, exit.is_none()), "the journal has the end of the bake");
    (outcome, heard)
}

/// Continues a bake from this state, as a new process would.
pub(crate) async fn go_on(
    provider: &dyn Provider,
    clock: &FastClock,
    spec: &Spec,
    folder: &Path,
    state: BakeState,
) -> (Outcome, Vec<String>) {
    let heard = Heard::default();
    let (secrets, marker) = document(spec, folder);
    let journal = DiskJournal::open(folder);
    let (_stop, stops) = watch::channel(0);
    let ports = Ports {
        provider,
        marker: marker.as_ref().map(|client| client as &dyn Marker),
        verification: None,
        journal: &journal,
        clock,
        observer: &heard,
        stops,
    };
    let outcome = Machine::new(spec, &secrets, ports, state).run().await;
    (outcome, heard.0.into_inner().unwrap())
}
