//! One case: an emulator with faults, a bake, and a verdict by what is in the account afterwards.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use digitalocean_emulator::{BackendKind, Config, Emulator, Scenario, Timing, start};
use mkimg::bake::journal::JournalEntry;
use mkimg::bake::orphans::{Collector, Selection};
use mkimg::bake::ports::Provider;
use mkimg::bake::{MarkerKind, Outcome, RemainingResource, Spec};
use mkimg::providers::{self, Options};
use serde_json::Value;

use crate::harness::TOKEN;

use super::bake::{DiskJournal, FastClock, bake, go_on, spec};

/// A case that takes longer hangs. The longest one takes a few seconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(300);
/// The request timeout of cases in which a request hangs.
const HANGING_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The request timeout of the other cases. It is long, because a busy machine may answer late, and a request that is sent again
/// would shift the numbers by which faults are played.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// How the bake notices that the droplet has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Poweroff,
    Https,
}

/// How a case ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// One snapshot, as requested, and nothing else.
    Done,
    /// It failed before anything was begun.
    Nothing,
    /// It failed, and nothing is left.
    Clean,
    /// It failed and named what remains, and the command that it printed removed that.
    Left,
    /// It was suspended with a complete snapshot, and named what remains. One command that it printed finished the bake, the other
    /// removed everything.
    Resumed,
    /// None of these.
    Wrong(String),
}

/// A case to play.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) mode: Mode,
    pub(crate) faults: Vec<String>,
    pub(crate) scenario: &'static str,
    pub(crate) off_after: Option<Duration>,
    pub(crate) list_lag: Duration,
    pub(crate) rate_limit: Option<&'static str>,
    /// The exit status that it must end with, if that is known.
    pub(crate) ends: Option<u8>,
    /// There is one fault, at one request: the bake may fail only where that makes success impossible.
    pub(crate) is_single: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.mode, self.faults)?;
        if self.scenario != QUICK {
            write!(f, " {}", self.scenario)?;
        }
        if !self.list_lag.is_zero() {
            write!(f, " lag {:?}", self.list_lag)?;
        }
        Ok(())
    }
}

/// A droplet that reports success at once.
const QUICK: &str = "check: {passed: 3}";

impl Case {
    pub(crate) fn happy(mode: Mode) -> Self {
        Self {
            mode,
            faults: Vec::new(),
            scenario: QUICK,
            off_after: Some(Duration::from_millis(1)),
            list_lag: Duration::ZERO,
            rate_limit: None,
            ends: None,
            is_single: false,
        }
    }

    pub(crate) fn with(mode: Mode, faults: &[String]) -> Self {
        Self { faults: faults.to_vec(), ..Self::happy(mode) }
    }

    pub(crate) async fn play(self) -> Verdict {
        self.play_and_tell().await.0
    }

    /// Plays it. Returns the requests, too.
    pub(crate) async fn play_and_tell(self) -> (Verdict, Vec<String>) {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let folder = tempfile::tempdir().unwrap();
        let (verdict, ended) = match tokio::time::timeout(LIMIT, self.check_end(folder.path(), &requests)).await {
            Ok((Verdict::Wrong(why), ended)) => {
                let asked = requests.lock().unwrap().join("\n  ");
                (Verdict::Wrong(format!("{why}\n  {asked}")), ended)
            }
            Ok(result) => result,
            Err(_) => {
                let asked = requests.lock().unwrap().join("\n  ");
                (Verdict::Wrong(format!("it hangs\n  {asked}")), None)
            }
        };
        let asked = requests.lock().unwrap().clone();
        if let Some(why) = self.unjustified_failure(&verdict, &asked) {
            return (Verdict::Wrong(format!("{why}\n  {}", asked.join("\n  "))), Vec::new());
        }
        match (self.ends, ended) {
            (Some(wanted), Some(ended)) if wanted != ended && !matches!(verdict, Verdict::Wrong(_)) => {
                let asked = asked.join("\n  ");
                (Verdict::Wrong(format!("it should end with {wanted}, not with {ended}\n  {asked}")), Vec::new())
            }
            _ => (verdict, asked),
        }
    }

    /// Why a single fault must not have ended the bake in this way.
    fn unjustified_failure(&self, verdict: &Verdict, asked: &[String]) -> Option<String> {
        if !self.is_single || !matches!(verdict, Verdict::Nothing | Verdict::Clean | Verdict::Left | Verdict::Resumed) {
            return None;
        }
        let (number, fault) = self.faults[0].split_once(':').unwrap();
        let index = number.parse::<usize>().unwrap() - 1;
        let request = asked.get(index).map_or("", |line| line.split(": ").next().unwrap_or_default());
        let first = |start: &str| asked.iter().position(|line| line.starts_with(start)).unwrap_or(usize::MAX);
        let wrong = || Some(format!("{fault} at `{request}` must not end it with {verdict:?}"));
        if !["401", "404", "422"].contains(&fault) {
            return wrong();
        }
        match verdict {
            // Before the first request that changes something.
            Verdict::Nothing if index < first("POST /v2/droplets: ") => None,
            // The last steps are tried twice, so the fault came before the snapshot was complete.
            Verdict::Clean if index < first("DELETE /v2/droplets/") => {
                let is_change = request.starts_with("POST ");
                let is_needed_read = (request.starts_with("GET /v2/droplets/")
                    || request.starts_with("GET /v2/actions/"))
                    && fault != "404";
                if is_change || is_needed_read { None } else { wrong() }
            }
            _ => wrong(),
        }
    }

    fn config(&self, state: &Path, faults: bool) -> Config {
        let specs = self.faults.iter().filter(|_| faults);
        let (backend, scenarios) = match self.mode {
            Mode::Poweroff => (BackendKind::NONE, Vec::new()),
            Mode::Https => {
                let read = || Scenario::named(self.scenario).or_else(|_| self.scenario.parse());
                (BackendKind::SCRIPTED, vec![read().expect("a scenario")])
            }
        };
        Config {
            backend,
            off_after: self.off_after,
            scenarios,
            timing: Timing::none(),
            faults: specs.map(|spec| spec.parse().unwrap_or_else(|error| panic!("{spec}: {error}"))).collect(),
            list_lag: if faults { self.list_lag } else { Duration::ZERO },
            rate_limit: self.rate_limit.filter(|_| faults).map(|limit| limit.parse().expect("a limit")),
            ..Config::new(TOKEN.to_owned().into(), state.to_path_buf(), state.join("cache"))
        }
    }

    /// The same account at a service without faults. Returns its state folder and the service.
    async fn well(&self, state: &Path, copy: &Path) -> (PathBuf, Emulator) {
        std::fs::create_dir(copy).unwrap();
        std::fs::copy(state.join("state.json"), copy.join("state.json")).unwrap();
        (copy.to_owned(), start(self.config(copy, false)).await.expect("an emulator"))
    }

    async fn check_end(&self, folder: &Path, requests: &Arc<Mutex<Vec<String>>>) -> (Verdict, Option<u8>) {
        let state = folder.join("cloud");
        let running = start(self.config(&state, true)).await.expect("an emulator");
        let hangs = self.faults.iter().any(|fault| fault.ends_with("hang"));
        let client = client_of(
            &running,
            if hangs { HANGING_REQUEST_TIMEOUT } else { REQUEST_TIMEOUT },
            Some(Arc::clone(requests)),
        );
        // A lasting fault is given up after a while, in which the client's own pauses count.
        let lasts = self.faults.iter().any(|fault| fault.contains("-:")) || self.ends.is_some_and(|ends| ends != 0);
        let answers = !hangs && !lasts && self.scenario == QUICK;
        let clock = if answers { FastClock::of_a_service_that_answers() } else { FastClock::new() };
        let spec = spec(match self.mode {
            Mode::Poweroff => MarkerKind::Poweroff,
            Mode::Https => MarkerKind::Https,
        });
        let (outcome, printed) = bake(client.as_ref(), &clock, &spec, folder).await;
        let there = There::read(&state);
        let exit = outcome.exit_status();
        let wrong = |why: &str| {
            let printed = printed.join("\n  ");
            (
                Verdict::Wrong(format!("{why}; there is {there:?}; it ended with {exit}: {outcome:?}\n  {printed}")),
                Some(exit),
            )
        };
        match &outcome {
            Outcome::Done(product) => {
                let Some(fault) = there.not_the_product(&product.snapshot.id) else {
                    return (Verdict::Done, Some(exit));
                };
                wrong(fault)
            }
            Outcome::Interrupted { .. } => wrong("nobody interrupted it"),
            Outcome::Failed { remaining, .. } if remaining.is_empty() => {
                if !there.is_empty() {
                    return wrong("a leak unsaid");
                }
                (if exit == 2 { Verdict::Nothing } else { Verdict::Clean }, Some(exit))
            }
            Outcome::Failed { remaining, .. } => {
                if let Some(why) = there.not_named(remaining, &spec, &DiskJournal::entries(folder)) {
                    return wrong(&why);
                }
                // The service works again, and the user runs the commands that were printed.
                running.stop().await.expect("it ends");
                if outcome.is_resumable() {
                    let (resumed, running) = self.well(&state, &folder.join("resumed")).await;
                    // A copy, since the clean-up below must start from the state before the resume.
                    let bake_state = DiskJournal::state(folder);
                    let client = client_of(&running, REQUEST_TIMEOUT, None);
                    let (outcome, _) = go_on(client.as_ref(), &FastClock::new(), &spec, &resumed, bake_state).await;
                    let Outcome::Done(product) = &outcome else {
                        return wrong(&format!("`mkimg resume` does not finish it: {outcome:?}"));
                    };
                    if let Some(fault) = There::read(&resumed).not_the_product(&product.snapshot.id) {
                        return wrong(&format!("after `mkimg resume`: {fault}"));
                    }
                }
                let (well, running) = self.well(&state, &folder.join("well")).await;
                if let Err(why) = collect(&running, &spec, folder).await {
                    return wrong(&format!("`mkimg gc BAKE` fails: {why}"));
                }
                if !There::read(&well).is_empty() {
                    return wrong("`mkimg gc BAKE` does not remove it all");
                }
                (if outcome.is_resumable() { Verdict::Resumed } else { Verdict::Left }, Some(exit))
            }
        }
    }
}

fn client_of(running: &Emulator, timeout: Duration, requests: Option<Arc<Mutex<Vec<String>>>>) -> Box<dyn Provider> {
    let log = requests.map(|requests| {
        let log: providers::RequestLog = Arc::new(move |line: &str| requests.lock().unwrap().push(line.to_owned()));
        log
    });
    let options = Options { timeout, log, ..Options::default() };
    (providers::ALL[0].connect)(&running.url(), &TOKEN.to_owned().into(), options).expect("a client")
}

/// What `mkimg gc BAKE` does on the machine with the journal of the bake.
async fn collect(running: &Emulator, spec: &Spec, folder: &Path) -> Result<(), String> {
    let (client, clock) = (client_of(running, REQUEST_TIMEOUT, None), FastClock::new());
    let selection = Selection { now: 0, older_than: Duration::ZERO, named: vec![spec.id.clone()] };
    let state = DiskJournal::state(folder);
    let collector = Collector::new(client.as_ref(), &clock, spec.poll_interval, Duration::from_secs(60));
    let found = collector.find_bake(&spec.tag(), &state).await.map_err(|error| error.to_string())?;
    for orphan in found.iter().filter(|orphan| selection.includes(&orphan.tag)) {
        let removed = collector.remove(orphan, Duration::from_secs(100)).await;
        removed.map_err(|remaining| remaining.to_string())?;
    }
    Ok(())
}

/// What is really in the account.
#[derive(Debug)]
struct There {
    droplets: Vec<u64>,
    snapshots: Vec<Snapshot>,
}

#[derive(Debug)]
struct Snapshot {
    id: String,
    name: String,
    regions: Vec<String>,
    tags: Vec<String>,
}

impl There {
    fn read(state: &Path) -> Self {
        let text = std::fs::read_to_string(state.join("state.json")).unwrap();
        let state: Value = serde_json::from_str(&text).unwrap();
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        Self {
            droplets: state["droplets"].as_object().unwrap().keys().map(|id| id.parse().unwrap()).collect(),
            snapshots: state["images"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(id, image)| Snapshot {
                    id: id.clone(),
                    name: image["name"].as_str().unwrap().to_owned(),
                    regions: texts(&image["regions"]),
                    tags: texts(&image["tags"]),
                })
                .collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.droplets.is_empty() && self.snapshots.is_empty()
    }

    /// Why the account does not fit a success; `None` if it does.
    fn not_the_product(&self, id: &str) -> Option<&'static str> {
        match self.snapshots.as_slice() {
            _ if !self.droplets.is_empty() => Some("a success with a droplet left"),
            [] => Some("a success without a snapshot"),
            [only] if only.id != id => Some("another snapshot than the one it printed"),
            [only] if only.name != "baked" || only.tags != ["release"] => Some("the snapshot is not committed"),
            [only] if only.regions != ["fra1", "nyc3"] => Some("the snapshot is not where it should be"),
            [_] => None,
            _ => Some("two snapshots"),
        }
    }

    /// The resources that exist and were not named. A resource whose id is in the journal must be
    /// named by its id. "Possibly something with this tag" covers one request whose effect could
    /// not be seen, so at most one resource.
    fn not_named(&self, remaining: &[RemainingResource], spec: &Spec, journal: &[JournalEntry]) -> Option<String> {
        let tag = spec.tag().to_string();
        let by_tag =
            |one: &&RemainingResource| matches!(one, RemainingResource::Unknown { tag: named, .. } if *named == tag);
        let possible = remaining.iter().filter(by_tag).count();
        let recorded: Vec<String> = journal
            .iter()
            .filter_map(|entry| match entry {
                JournalEntry::Created { droplet, .. } => Some(format!("droplet {droplet}")),
                JournalEntry::Snapshot { id } => Some(format!("snapshot {id}")),
                _ => None,
            })
            .collect();
        let droplets = self.droplets.iter().map(|id| format!("droplet {id}"));
        let snapshots = self.snapshots.iter().map(|snapshot| format!("snapshot {}", snapshot.id));
        let is_named = |resource: &String| remaining.iter().any(|one| one.name() == *resource);
        let unnamed: Vec<String> = droplets.chain(snapshots).filter(|resource| !is_named(resource)).collect();
        let is_wrong = unnamed.len() > possible || unnamed.iter().any(|resource| recorded.contains(resource));
        is_wrong.then(|| format!("remaining and not named: {}", unnamed.join(", ")))
    }
}
