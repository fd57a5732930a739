//! `mkimg bake [TEMPLATE]`: composes project, document, validator, provider, status channel and journal into one bake.

mod api;
mod artifacts;
mod clock;
mod crew;
mod ending;
mod prepare;
mod progress;
mod secrets;
mod session;
mod several;
mod signals;
mod state;
mod token;
pub(super) mod variants;

use std::path::PathBuf;
use std::time::Duration;

pub(super) use api::{Api, ApiArgs, not_known};
pub(super) use artifacts::Folder;
pub(super) use clock::{SystemClock, unix};
pub(super) use crew::Crew;
pub(super) use secrets::Sealed;
pub(super) use session::Session;
pub(super) use signals::{AbortOnDrop, stops};
pub(super) use state::{FileJournal, Known, close, known};

use super::{Failure, Global, Status, project};
use crate::bake::spec::{DropletSpec, SnapshotSpec};
use crate::bake::{BakeId, Limits, MarkerKind, OnError, Spec, id};
use prepare::{Prepared, prepare};
use variants::Variant;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image templates; without one, the only one in templates/. Several are several bakes
    template: Vec<PathBuf>,
    /// Values for a variable of the template, a bake for each; with several --matrix, for each combination
    #[arg(long, value_name = "NAME=VALUE,VALUE")]
    matrix: Vec<String>,
    /// How many of them run at a time; at most 4 without it, and with --local half of the processors
    #[arg(long, value_name = "N")]
    parallel: Option<std::num::NonZeroUsize>,
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
    /// What happens to the droplet of a bake that fails; a finished snapshot stays, and `mkimg resume` goes on
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
    /// How long no usable answer may come from the API: in one wait, and in all of a clean-up. 3m; 30s where the API is on this
    /// machine, where no network can be away for a while
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout_unreachable: Option<Duration>,
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
    let variants = variants::variants(&args.template, &args.matrix)?;
    // Where there is nothing to bake, a token is not what is missing.
    for variant in &variants {
        project::find(global, variant.template.as_deref())?;
    }
    let target = args.api.target()?;
    let mut prepared = Vec::new();
    for variant in variants {
        let made = prepare(args, global, &variant, target.is_local())?;
        prepared.push((variant, made));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::usage)?;
    let result = runtime.block_on(bake(args, global, target, prepared));
    // A question that nobody answered may still wait at the terminal.
    runtime.shutdown_background();
    result
}

async fn bake(
    args: &Args,
    global: &Global,
    target: api::Target,
    prepared: Vec<(Variant, Prepared)>,
) -> Result<(), Failure> {
    let api = args.api.open(target, global).await?;
    let result = Box::pin(several::at_api(args, global, prepared, &api)).await;
    api.close(global).await;
    result
}

impl Args {
    fn spec(&self, prepared: &Prepared, id: &BakeId, api: &Api) -> Result<Spec, Failure> {
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
            unreachable: self.timeout_unreachable.unwrap_or_else(|| api.unreachable()),
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
            verify: self.verify || (api.is_local() && !self.no_verify && self.marker == MarkerArg::Https),
            limits,
            poll_ms: u64::try_from(self.poll_interval.as_millis()).unwrap_or(u64::MAX).max(1),
        })
    }
}
