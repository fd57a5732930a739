//! `mkimg bake [TEMPLATE]`: composes project, document, validator, provider, status channel and journal into one bake.

mod api;
mod artifacts;
mod clock;
mod ending;
mod prepare;
mod progress;
mod secrets;
mod session;
mod signals;
mod state;
mod token;

use std::path::PathBuf;
use std::time::Duration;

pub(super) use api::{Api, ApiArgs};
pub(super) use artifacts::Folder;
pub(super) use clock::{SystemClock, unix};
pub(super) use secrets::Sealed;
pub(super) use session::Session;
pub(super) use signals::{AbortOnDrop, stops};
pub(super) use state::{FileJournal, Known, close, known};

use super::{Failure, Global, Status};
use crate::bake::journal::{Artifacts, Entry, Ledger};
use crate::bake::ports::{Journal as _, Provider};
use crate::bake::report::Report;
use crate::bake::spec::{DropletSpec, SnapshotSpec};
use crate::bake::{BakeId, Limits, MarkerKind, OnError, Spec, id, preflight};
use prepare::{Prepared, prepare};
use secrets::SealedDocument;

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
    /// Do not wait until the snapshot is in its other regions
    #[arg(long)]
    no_wait_transfer: bool,
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
pub(super) enum FormatArg {
    Human,
    Json,
}

pub(super) fn report_path(text: &str) -> Result<PathBuf, String> {
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
    let result = runtime.block_on(bake(args, global, target, prepared));
    // A question that nobody answered may still wait at the terminal.
    runtime.shutdown_background();
    result
}

async fn bake(args: &Args, global: &Global, target: api::Target, prepared: Prepared) -> Result<(), Failure> {
    let api = args.api.open(target, global).await?;
    let result = at_api(args, global, prepared, &api).await;
    api.close(global).await;
    result
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
                name: droplet.name.clone().unwrap_or_else(|| format!("mkimg-{id}")),
                region: droplet.region.clone(),
                size: droplet.size.clone(),
                image: droplet.image.clone(),
                vpc_uuid: droplet.vpc_uuid.clone(),
                ipv6: droplet.ipv6,
                monitoring: droplet.monitoring,
                droplet_agent: droplet.droplet_agent,
                ssh_keys: self.ssh_key.clone(),
                tags: droplet.tags.clone(),
            },
            snapshot: SnapshotSpec {
                name: plan.snapshot.name.clone(),
                regions: plan.snapshot.regions.clone(),
                await_transfers: !self.no_wait_transfer,
                tags,
            },
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
    let mut looked = preflight::look(provider, &[&spec], &account, 1).await.map_err(refused)?;
    let looked = looked.remove(0);
    for warning in &looked.warnings {
        terminal.warning(warning);
    }
    if args.dry_run {
        return terminal.print(ending::plan(&spec, &looked, &prepared.document));
    }
    let (artifacts, _server) = match prepared.folder {
        Some(folder) => {
            let path = folder.path().to_owned();
            let (port, server) = folder.serve(0).await?;
            (Some(Artifacts { folder: path, port }), Some(server))
        }
        None => (None, None),
    };
    let url = artifacts.as_ref().map(|served| format!("http://{}:{}", crate::emulator::GATEWAY, served.port));
    let build = SealedDocument::new(&prepared.document, &spec, url.clone())?;
    let verification = spec.verify.then(|| SealedDocument::new(&prepared.verification, &spec, url)).transpose()?;
    let sealed = Sealed { build, verification, sensitive: prepared.sensitive };

    // A signal from here on is heeded before anything is created: nothing stays of a bake that never began.
    let stops = stops(global)?;
    let journal = FileJournal::create(&state::folder(&bake_id)?, terminal.redaction())?;
    let unwritable = |error| Failure::usage(error).with_help("set XDG_STATE_HOME to another disk");
    journal.write_secrets(&sealed.to_json()?).map_err(unwritable)?;
    let now = unix();
    let began = Entry::Began {
        version: crate::bake::journal::VERSION,
        spec: Box::new(spec.clone()),
        api_url: api.journalled(),
        account: account.name,
        document: prepared.document.digest.clone(),
        stand_ins: prepared.stand_ins,
        artifacts,
    };
    journal.append(now, &began).map_err(unwritable)?;
    terminal.note(&format!("bake {bake_id}, journal in {}", journal.folder().display()));
    let report = Report::new(&spec, now, prepared.document.digest, prepared.stand_ins);
    let session = Session {
        global,
        api,
        spec: &spec,
        sealed,
        journal,
        ledger: Ledger::default(),
        report,
        format: args.format,
        report_path: args.report.as_deref(),
        stops,
    };
    session.run().await
}
