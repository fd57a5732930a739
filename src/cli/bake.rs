//! `mkimg bake [TEMPLATE]`: composes project, document, validator, provider, status channel and journal into one bake.

mod api;
mod artifacts;
mod ending;
mod progress;
mod state;
mod token;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

pub(super) use api::{Api, ApiArgs};
pub(super) use state::state_home;

use super::{Failure, Global, Status, project};
use crate::bake::journal::{Entry, Ledger};
use crate::bake::ports::{Clock, Journal as _, Marker, Provider};
use crate::bake::report::Report;
use crate::bake::spec::{DropletSpec, SnapshotSpec};
use crate::bake::{BakeId, Limits, Machine, MarkerKind, OnError, Outcome, Ports, Secrets, Spec, id, preflight};
use crate::diag::Verdict;
use crate::marker::{Client as MarkerClient, Credentials, PORT};
use crate::model::{Lock, Plan};
use crate::render::{self, BakeEntry, Channel, DOCUMENT_LIMIT, Document, HttpsChannel};
use crate::source::Source;
use crate::workspace::Wanted;
use artifacts::Folder;
use progress::Watcher;
use state::FileJournal;

/// Renders, validates, creates a build droplet, follows it, has it checked, and makes a snapshot of it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image template; without it, the only one in templates/
    template: Option<PathBuf>,
    #[command(flatten)]
    api: ApiArgs,
    /// Use the stand-ins that fixtures/stand-ins/build made in target/stand-ins, not the real downloads
    #[arg(long, conflicts_with = "artifacts")]
    stand_ins: bool,
    /// Take artifacts from this folder, their sha256 checked (local droplets only)
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// Refuse artifacts that mkimg.lock does not pin
    #[arg(long)]
    locked: bool,
    /// What says that the droplet is finished: its status channel, or that it powers itself off
    #[arg(long, value_enum, default_value_t = MarkerArg::Https)]
    marker: MarkerArg,
    /// What happens to the droplet of a bake that fails
    #[arg(long, value_enum, default_value_t = OnErrorArg::Destroy)]
    on_error: OnErrorArg,
    /// An SSH key of the account (id or fingerprint) for the build droplet, to look inside with --on-error keep; the
    /// image's own cleanup removes it
    #[arg(long, value_name = "KEY")]
    ssh_key: Vec<String>,
    /// Boot the snapshot and prove it; the default with --local
    #[arg(long, overrides_with = "no_verify")]
    verify: bool,
    /// Do not boot the snapshot; the default without --local
    #[arg(long)]
    no_verify: bool,
    /// The longest pause between two looks; the first ones are shorter
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    poll_interval: Duration,
    /// Until the droplet is active
    #[arg(long, value_name = "DURATION", default_value = "6m", value_parser = humantime::parse_duration)]
    timeout_create: Duration,
    /// From active until the marker
    #[arg(long, value_name = "DURATION", default_value = "45m", value_parser = humantime::parse_duration)]
    timeout_provision: Duration,
    /// Until the droplet is off; then it is shut down, then switched off
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = humantime::parse_duration)]
    timeout_power_off: Duration,
    /// The snapshot
    #[arg(long, value_name = "DURATION", default_value = "60m", value_parser = humantime::parse_duration)]
    timeout_snapshot: Duration,
    /// The transfers to other regions
    #[arg(long, value_name = "DURATION", default_value = "60m", value_parser = humantime::parse_duration)]
    timeout_transfer: Duration,
    /// The verification
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = humantime::parse_duration)]
    timeout_verify: Duration,
    /// Write a report: .json for programs, .html for people
    #[arg(long, value_name = "FILE", value_parser = report_path)]
    report: Option<PathBuf>,
    /// How progress and result are written
    #[arg(long, value_enum, default_value_t = FormatArg::Human)]
    format: FormatArg,
    /// Stop before anything is created, and show the plan
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum MarkerArg {
    Https,
    Poweroff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnErrorArg {
    Destroy,
    Keep,
    Ask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    Human,
    Json,
}

fn report_path(text: &str) -> Result<PathBuf, String> {
    match std::path::Path::new(text).extension().and_then(|ending| ending.to_str()) {
        Some("json" | "html") => Ok(text.into()),
        _ => Err("the name must end in .json or .html".to_owned()),
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    // A missing token is said before anything else is read.
    let target = args.api.target()?;
    let prepared = prepare(args, global, target.is_local())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::usage)?;
    runtime.block_on(bake(args, global, target, prepared))
}

/// Everything that is decided before the API is asked anything.
struct Prepared {
    plan: Plan,
    document: Document,
    verification: Document,
    folder: Option<Folder>,
    stand_ins: bool,
    redact: Vec<String>,
}

async fn bake(args: &Args, global: &Global, target: api::Target, prepared: Prepared) -> Result<(), Failure> {
    let api = args.api.open(target, global).await?;
    let result = at_api(args, global, prepared, &api).await;
    api.close(global).await;
    result
}

/// Completes the project's lock; where the downloads cannot be reached from here, the droplet may reach them all the
/// same, so that is a warning (`judge_locks` says what it means).
fn complete_lock(global: &Global, plan: &Plan, lock: &Lock, path: &std::path::Path) -> Option<Lock> {
    let wanted: Vec<Wanted<'_>> =
        plan.artifacts.iter().map(|a| Wanted { url: &a.url, checksum: a.checksum_url.as_deref() }).collect();
    let completed = super::lock::complete(global, lock, &wanted, false)
        .and_then(|lock| crate::workspace::write_lock(path, &lock).map(|()| lock).map_err(Failure::usage));
    match completed {
        Ok(lock) => {
            global.terminal.note(&format!("{} was completed: commit it", path.display()));
            Some(lock)
        }
        Err(failure) => {
            global.terminal.warning("the lock could not be completed:");
            failure.show(&global.terminal);
            None
        }
    }
}

fn prepare(args: &Args, global: &Global, local: bool) -> Result<Prepared, Failure> {
    let opened = project::open(global, args.template.as_deref())?;
    let stand_ins = opened.project.root.join("target").join("stand-ins");
    let directory =
        if args.stand_ins { Some(stand_ins.clone()) } else { args.artifacts.as_ref().map(|path| global.path(path)) };
    if directory.is_some() && !local {
        return Err(Failure::usage("--artifacts and --stand-ins work with local droplets only: a droplet at DigitalOcean cannot reach a folder of this machine")
            .with_help("use --local; or put the files on a web server and their URLs into the template"));
    }
    if args.stand_ins && !stand_ins.join("mkimg.lock").is_file() {
        return Err(Failure::usage(format!("there are no stand-ins in {}", stand_ins.display()))
            .with_help("make them: fixtures/stand-ins/build target/stand-ins"));
    }
    let lock_path = if args.stand_ins { stand_ins.join("mkimg.lock") } else { opened.project.lock_path() };
    let mut lock: Lock = project::lock(&lock_path)?;
    let folder = directory.as_deref().map(Folder::read).transpose()?;
    let plan = opened.plan(global, project::assignments(global)?, &lock)?;
    let plan = match &folder {
        Some(folder) if !args.locked => {
            let unlocked: Vec<String> = plan.unlocked().map(str::to_owned).collect();
            let pinned = folder.pin(&unlocked, &mut lock);
            if pinned.is_empty() {
                plan
            } else {
                global
                    .terminal
                    .warning(&format!("mkimg.lock does not pin {}: taken as the folder has it", pinned.join(", ")));
                opened.plan(global, project::assignments(global)?, &lock)?
            }
        }
        None if !args.locked && plan.unlocked().next().is_some() => {
            match complete_lock(global, &plan, &lock, &lock_path) {
                Some(lock) => opened.plan(global, project::assignments(global)?, &lock)?,
                None => plan,
            }
        }
        _ => plan,
    };
    if let Some(folder) = &folder {
        folder.check(&plan.artifacts)?;
    }
    project::judge_locks(global, &plan, &lock_path, args.locked)?;
    let document = project::document(&plan, Some(DOCUMENT_LIMIT))?;
    judge(global, &document)?;
    let verification = render::verification_document(&plan).map_err(Failure::usage)?;
    let secret = |name: &str| std::env::var(crate::model::environment_name(name)).ok();
    let redact = opened.template.sensitive().filter_map(secret).collect();
    Ok(Prepared { plan, document, verification, folder, stand_ins: args.stand_ins, redact })
}

/// A document that cloud-init would refuse is not sent.
fn judge(global: &Global, document: &Document) -> Result<(), Failure> {
    let source = Source::new("rendered document", document.text.clone());
    let report = crate::validate::validate(&source, &crate::validate::Options::default());
    let counts = report.counts();
    if counts.errors + counts.warnings > 0 {
        global.terminal.eprint(&report.render(crate::diag::Format::Human, global.terminal.stderr_color(), &|_| None));
    }
    let refused = report.documents.iter().any(|judged| matches!(judged.verdict, Verdict::Invalid | Verdict::Skipped));
    if refused || counts.errors > 0 {
        return Err(Failure::finding("the rendered document is not valid: nothing was created")
            .with_help("`mkimg validate` shows where each finding comes from"));
    }
    Ok(())
}

impl Args {
    fn spec(&self, prepared: &Prepared, id: &BakeId, local: bool) -> Result<Spec, Failure> {
        let plan = &prepared.plan;
        let Some(droplet) = &plan.droplet else {
            return Err(Failure::usage("the template has no `droplet:`: there is nothing to bake on")
                .with_help("add droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}"));
        };
        let limits = Limits {
            create: self.timeout_create,
            provision: self.timeout_provision,
            power_off: self.timeout_power_off,
            snapshot: self.timeout_snapshot,
            transfer: self.timeout_transfer,
            verify: self.timeout_verify,
            ..Limits::default()
        };
        let mut tags = plan.snapshot.tags.clone();
        if prepared.stand_ins {
            tags.push(id::STAND_INS_TAG.to_owned());
        }
        Ok(Spec {
            id: id.clone(),
            deadline: unix().saturating_add(limits.total().as_secs()),
            droplet: DropletSpec {
                name: format!("mkimg-{id}"),
                region: droplet.region.clone(),
                size: droplet.size.clone(),
                image: droplet.image.clone(),
                vpc_uuid: droplet.vpc_uuid.clone(),
                ipv6: droplet.ipv6,
                monitoring: droplet.monitoring,
                ssh_keys: self.ssh_key.clone(),
                tags: droplet.tags.clone(),
            },
            snapshot: SnapshotSpec { name: plan.snapshot.name.clone(), regions: plan.snapshot.regions.clone(), tags },
            marker: match self.marker {
                MarkerArg::Https => MarkerKind::Https,
                MarkerArg::Poweroff => MarkerKind::Poweroff,
            },
            on_error: match self.on_error {
                OnErrorArg::Destroy => OnError::Destroy,
                OnErrorArg::Keep => OnError::Keep,
                OnErrorArg::Ask => OnError::Ask,
            },
            // A droplet that may open no port cannot say what runs on it, so there is nothing to verify by default.
            verify: self.verify || (local && !self.no_verify && self.marker == MarkerArg::Https),
            limits,
            poll_ms: u64::try_from(self.poll_interval.as_millis()).unwrap_or(u64::MAX).max(1),
        })
    }
}

async fn at_api(args: &Args, global: &Global, prepared: Prepared, api: &Api) -> Result<(), Failure> {
    let terminal = &global.terminal;
    if prepared.stand_ins {
        terminal.warning("STAND-INS: this bake installs test programs in the place of the real ones; its snapshot is not for production");
    }
    let mut random = [0; 3];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::usage(format!("the system gives no random bytes: {error}")))?;
    let bake_id = BakeId::new(unix(), random);
    let spec = args.spec(&prepared, &bake_id, api.is_local())?;
    let provider: &dyn Provider = api.client();
    let refused = |failure: crate::bake::Failure| {
        let help = failure.advice().or_else(|| {
            api.is_local()
                .then(|| format!("is the base image there? `mkimg base build {}` makes it", spec.droplet.image))
        });
        let error = Failure::usage(failure.to_string());
        match help {
            Some(help) => error.with_help(help),
            None => error,
        }
    };
    let account = preflight::account(provider).await.map_err(refused)?;
    terminal.note(&format!("account {}, token from {}", account.name, api.origin()));
    let looked = preflight::look(provider, &spec, &account).await.map_err(refused)?;
    for warning in &looked.warnings {
        terminal.warning(warning);
    }
    if args.dry_run {
        return terminal.print(ending::plan(&spec, &looked, &prepared.document));
    }
    let (artifacts_url, _server) = match prepared.folder {
        Some(folder) => {
            let (port, server) = folder.serve().await?;
            (Some(format!("http://{}:{port}", crate::emulator::GATEWAY)), Some(AbortOnDrop(server)))
        }
        None => (None, None),
    };
    let build = Sealed::new(&prepared.document, &spec, artifacts_url.clone())?;
    let proof = spec.verify.then(|| Sealed::new(&prepared.verification, &spec, artifacts_url)).transpose()?;

    let folder = state_home()?.join("bakes").join(bake_id.as_str());
    let journal = FileJournal::create(&folder)?;
    let mut redact = prepared.redact;
    redact.push(api.token().expose_secret().to_owned());
    redact.extend([Some(&build), proof.as_ref()].into_iter().flatten().flat_map(Sealed::secrets));
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let report = Report::new(&spec, started, prepared.document.digest.clone(), prepared.stand_ins);
    let watcher = Watcher::new(global, args.format == FormatArg::Json, redact, report);
    let clock = SystemClock::default();
    let began = Entry::Began { spec: Box::new(spec.clone()), api_url: api.journalled() };
    journal
        .append(clock.unix(), &began)
        .map_err(|error| Failure::usage(error).with_help("set XDG_STATE_HOME to another disk"))?;
    terminal.note(&format!("bake {bake_id}, journal in {}", folder.display()));

    let (stops, _signals) = stops(global);
    let secrets =
        Secrets { user_data: build.text.clone(), verification: proof.as_ref().map(|sealed| sealed.text.clone()) };
    let ports = Ports {
        provider,
        marker: build.marker(),
        verification: proof.as_ref().and_then(Sealed::marker),
        journal: &journal,
        clock: &clock,
        observer: &watcher,
        stops: stops.clone(),
    };
    let outcome = Machine::new(&spec, &secrets, ports, Ledger::default()).run().await;
    watcher.finish();
    let seconds = watcher.seconds();
    let report = {
        let mut report = watcher.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        report.end(seconds, &outcome);
        report.clone()
    };
    if let Some(path) = &args.report {
        ending::write_report(global, path, &report);
    }
    let end = ending::Ending {
        global,
        spec: &spec,
        outcome: &outcome,
        report: &report,
        api,
        json: args.format == FormatArg::Json,
    };
    end.say()?;
    if api.is_local() && !outcome.left().is_empty() && matches!(outcome, Outcome::Failed { .. }) {
        ending::wait_for_stop(global, stops).await;
    }
    match outcome.exit_status() {
        0 => Ok(()),
        2 => Err(Failure::said(Status::Usage)),
        3 => Err(Failure::said(Status::FailedClean)),
        4 => Err(Failure::said(Status::FailedLeft)),
        _ => Err(Failure::said(Status::Interrupted)),
    }
}

/// A document with the bake's own entry, and the client that knows its secrets.
struct Sealed {
    text: SecretString,
    credentials: Option<Credentials>,
    client: Option<MarkerClient>,
}

impl Sealed {
    fn new(document: &Document, spec: &Spec, artifacts_url: Option<String>) -> Result<Self, Failure> {
        let credentials = match spec.marker {
            MarkerKind::Https => Some(Credentials::new(&spec.id).map_err(Failure::usage)?),
            MarkerKind::Poweroff => None,
        };
        let channel = match &credentials {
            Some(made) => Channel::Https(HttpsChannel {
                port: PORT,
                token: made.token.clone(),
                certificate: made.certificate.clone(),
                key: made.key.clone(),
            }),
            None => Channel::PowerOff,
        };
        let entry = BakeEntry { bake: spec.id.to_string(), channel, power_off_after: 900, artifacts_url };
        let text = document.with_bake_entry(&entry).map_err(Failure::usage)?.into();
        let client =
            credentials.as_ref().map(|made| MarkerClient::new(made, PORT)).transpose().map_err(Failure::usage)?;
        Ok(Self { text, credentials, client })
    }

    fn marker(&self) -> Option<&dyn Marker> {
        self.client.as_ref().map(|client| client as &dyn Marker)
    }

    fn secrets(&self) -> Vec<String> {
        let made = self.credentials.iter();
        made.flat_map(|made| [made.token.expose_secret().to_owned(), made.key.expose_secret().to_owned()]).collect()
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts Ctrl-C and SIGTERM.
fn stops(global: &Global) -> (watch::Receiver<u32>, AbortOnDrop) {
    let (sender, receiver) = watch::channel(0);
    let quiet = global.terminal.is_quiet();
    let task = tokio::spawn(async move {
        let sender = Arc::new(sender);
        let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return;
        };
        loop {
            tokio::select! {
                result = tokio::signal::ctrl_c() => if result.is_err() { return },
                _ = terminate.recv() => {}
            }
            sender.send_modify(|count| *count += 1);
            if *sender.borrow() == 1 && !quiet {
                super::terminal::Terminal::new(super::Color::Never, false, 0)
                    .note("stopping: destroying what this bake made; a second Ctrl-C stops at once");
            }
        }
    });
    (receiver, AbortOnDrop(task))
}

pub(super) fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The machine's clock.
pub(super) struct SystemClock(std::time::Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn unix(&self) -> u64 {
        unix()
    }
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
