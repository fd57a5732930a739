//! The options of `mkimg bake`, and the bake that they ask for.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use super::api::{Api, ApiArgs};
use crate::bake::spec::{DropletSpec, SnapshotSpec};
use crate::bake::{BakeId, Limits, MarkerKind, OnError, Spec, id};
use crate::cli::error::{ErrorKind, ExpectedError};
use crate::cli::options::OutputFormat;
use crate::cli::runtime::unix_time;
use crate::model::Plan;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image templates, one bake for each [default: the only one in templates/]
    pub(crate) template: Vec<PathBuf>,
    /// Values of a template variable, one bake for each; repeat for all combinations
    #[arg(long, value_name = "NAME=VALUE,VALUE")]
    pub(crate) matrix: Vec<String>,
    /// Maximum number of parallel bakes [default: 4; with --local at most half of the processors]
    #[arg(long, value_name = "N")]
    pub(crate) parallel: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// Use the stubs that fixtures/stand-ins/build wrote to target/stand-ins instead of the real
    /// downloads
    #[arg(long, conflicts_with = "artifacts")]
    pub(crate) stand_ins: bool,
    /// Take artifacts from this directory and verify their sha256 (local droplets only)
    #[arg(long, value_name = "DIR")]
    pub(crate) artifacts: Option<PathBuf>,
    /// Fail if mkimg.lock does not pin an artifact
    #[arg(long)]
    pub(crate) locked: bool,
    /// How the droplet reports that it is finished: over its status channel, or by powering itself
    /// off
    #[arg(long, value_enum, default_value_t = MarkerArg::Https)]
    pub(super) marker: MarkerArg,
    /// What to do with the droplet of a failed bake; a finished snapshot is kept, and `mkimg
    /// resume` continues
    #[arg(long, value_enum, default_value_t = OnErrorArg::Destroy)]
    on_error: OnErrorArg,
    /// SSH key of the account (id or fingerprint) to add to the build droplet, for debugging with
    /// --on-error keep; the image's own cleanup removes it
    #[arg(long, value_name = "KEY")]
    ssh_key: Vec<String>,
    /// Start an instance of the snapshot and verify it; the default with --local
    #[arg(long, overrides_with = "no_verify")]
    verify: bool,
    /// Do not verify the snapshot; the default without --local
    #[arg(long)]
    no_verify: bool,
    /// Maximum interval between status checks; checks start more often and back off to this
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    poll_interval: Duration,
    /// How long to wait for the droplet to become active
    #[arg(long, value_name = "DURATION", default_value = "6m", value_parser = humantime::parse_duration)]
    timeout_create: Duration,
    /// How long to wait for the active droplet to finish
    #[arg(long, value_name = "DURATION", default_value = "45m", value_parser = humantime::parse_duration)]
    timeout_provision: Duration,
    /// How long to wait for the droplet to power off before shutting it down
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = humantime::parse_duration)]
    timeout_power_off: Duration,
    /// How long to wait for the snapshot to finish
    #[arg(long, value_name = "DURATION", default_value = "60m", value_parser = humantime::parse_duration)]
    timeout_snapshot: Duration,
    /// How long to wait for the transfers to other regions
    #[arg(long, value_name = "DURATION", default_value = "60m", value_parser = humantime::parse_duration)]
    timeout_transfer: Duration,
    /// Do not wait for the transfers to other regions
    #[arg(long)]
    no_wait_transfer: bool,
    /// How long the verification may take
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = humantime::parse_duration)]
    timeout_verify: Duration,
    /// How long the API may give no usable answer, in one wait and in a whole clean-up [default:
    /// 3m; 30s if the API is on this machine]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout_unreachable: Option<Duration>,
    /// Write a report to this file: .json for programs, .html for people
    #[arg(long, value_name = "FILE", value_parser = report_path)]
    pub(crate) report: Option<PathBuf>,
    /// Output format of progress and result
    #[arg(long, value_enum, default_value_t = OutputFormat::Human)]
    pub(crate) format: OutputFormat,
    /// Print the plan, and stop before anything is created
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum MarkerArg {
    Https,
    Poweroff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnErrorArg {
    Destroy,
    Keep,
    Ask,
}

pub(crate) fn report_path(text: &str) -> Result<PathBuf, String> {
    match std::path::Path::new(text).extension().and_then(|ending| ending.to_str()) {
        Some("json" | "html") => Ok(text.into()),
        _ => Err("the name must end in .json or .html".to_owned()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the template has no `droplet:`, so there is nothing to bake on")]
pub(crate) struct NoDroplet;

impl ExpectedError for NoDroplet {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("add droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}".into())
    }
}

impl Args {
    /// The bake of one plan. `stubs`: its artifacts are stubs.
    pub(crate) fn spec(&self, plan: &Plan, stubs: bool, id: &BakeId, api: &Api) -> Result<Spec, NoDroplet> {
        let Some(droplet) = &plan.droplet else {
            return Err(NoDroplet);
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
        if stubs {
            tags.push(id::STUBS_TAG.to_owned());
        }
        Ok(Spec {
            id: id.clone(),
            deadline: unix_time().saturating_add(limits.total().as_secs()),
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
            // Without a status channel a droplet cannot report what runs on it, so there is nothing
            // to verify by default.
            verify: self.verify || (api.is_local() && !self.no_verify && self.marker == MarkerArg::Https),
            limits,
            poll_interval: self.poll_interval.max(Duration::from_millis(1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::cli::bake::api::tests::unused_api;
    use crate::cli::error::tests::assert_error;
    use crate::model::{FileTree, Inputs, Lock, Template};

    #[derive(clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn each_option_reaches_the_bake() {
        let text = "droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\nsnapshot: {tags: [game]}\n";
        let source = diagnostics::source::Source::new("templates/image.yaml", text);
        let template = Template::new(source, yaml11::parse(text).unwrap());
        let spec = template.resolve(&Inputs::default()).unwrap().spec;
        let plan = Plan::new("templates/image.yaml", spec, FileTree::default(), &Lock::default()).unwrap();
        for (options, url, pointer, expected) in [
            ("", "https://api.example", "/droplet/ssh_keys", json!([])),
            ("--ssh-key 7 --ssh-key aa:bb", "https://api.example", "/droplet/ssh_keys", json!(["7", "aa:bb"])),
            ("", "https://api.example", "/marker", json!("https")),
            ("--marker poweroff", "https://api.example", "/marker", json!("poweroff")),
            ("", "https://api.example", "/on_error", json!("destroy")),
            ("--on-error keep", "https://api.example", "/on_error", json!("keep")),
            ("--on-error ask", "https://api.example", "/on_error", json!("ask")),
            ("", "https://api.example", "/verify", json!(false)),
            ("--verify", "https://api.example", "/verify", json!(true)),
            ("--verify --no-verify", "https://api.example", "/verify", json!(false)),
            ("--poll-interval 5s", "https://api.example", "/poll_ms", json!(5_000)),
            ("--poll-interval 0s", "https://api.example", "/poll_ms", json!(1)),
            ("--timeout-create 7s", "https://api.example", "/limits/create", json!(7.0)),
            ("--timeout-provision 7s", "https://api.example", "/limits/provision", json!(7.0)),
            ("--timeout-power-off 7s", "https://api.example", "/limits/power_off", json!(7.0)),
            ("--timeout-snapshot 7s", "https://api.example", "/limits/snapshot", json!(7.0)),
            ("--timeout-transfer 7s", "https://api.example", "/limits/transfer", json!(7.0)),
            ("--timeout-verify 7s", "https://api.example", "/limits/verify", json!(7.0)),
            ("--timeout-unreachable 7s", "https://api.example", "/limits/unreachable", json!(7.0)),
            ("", "https://api.example", "/limits/unreachable", json!(180.0)),
            ("", "http://127.0.0.1:1", "/limits/unreachable", json!(30.0)),
            ("", "https://api.example", "/snapshot/await_transfers", json!(true)),
            ("--no-wait-transfer", "https://api.example", "/snapshot/await_transfers", json!(false)),
            ("", "https://api.example", "/snapshot/tags", json!(["game"])),
            ("", "https://api.example", "/droplet/name", json!("mkimg-20261122-153408-3f9c2a")),
        ] {
            let arguments = ["bake"].into_iter().chain(options.split_whitespace());
            let args = CommandLine::try_parse_from(arguments).unwrap().args;
            let id = BakeId::new(1_795_361_648, [0x3f, 0x9c, 0x2a]);
            let spec = args.spec(&plan, false, &id, &unused_api(url)).unwrap();
            assert!(spec.deadline >= unix_time() + spec.limits.total().as_secs() - 60, "{options}");
            let spec = serde_json::to_value(spec).unwrap();
            assert_eq!(spec.pointer(pointer), Some(&expected), "{options} {pointer}");
        }
    }

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        assert_error(NoDroplet, 2, "add droplet: {image: debian-12-x64");
    }
}
