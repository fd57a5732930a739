//! What is said at the end of a bake: the product, or what failed, what to do, what is left and how to remove it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use serde_json::json;
use tokio::sync::watch;

use super::super::{Failure, Global};
use super::api::Api;
use super::progress::check_lines;
use crate::bake::foreign::Foreign;
use crate::bake::preflight::Preflight;
use crate::bake::report::{Report, duration};
use crate::bake::{FailureKind, Left, MarkerKind, OnError, Outcome, Product, Spec, printable};
use crate::render::{DOCUMENT_LIMIT, Document};
use crate::workspace::write_atomically;

/// US dollars for a GB of a snapshot and a month, whatever the number of its regions: DigitalOcean's price list
/// (docs.digitalocean.com, "Snapshots Pricing", November 2026). No API says it.
const SNAPSHOT_GB_MONTH: f64 = 0.06;

/// The end of one bake.
pub(super) struct Ending<'e> {
    pub(super) global: &'e Global,
    pub(super) spec: &'e Spec,
    pub(super) outcome: &'e Outcome,
    pub(super) report: &'e Report,
    pub(super) api: &'e Api,
    pub(super) json: bool,
    /// What tells it from the other bakes of the same command, which then print one summary.
    pub(super) label: Option<String>,
    /// Its droplets, and their addresses as far as they were seen.
    pub(super) droplets: BTreeMap<u64, Option<IpAddr>>,
}

impl Ending<'_> {
    pub(super) fn say(&self) -> Result<(), Failure> {
        let terminal = &self.global.terminal;
        let of = self.of();
        match self.outcome {
            Outcome::Done(product) => return self.done(product),
            Outcome::Failed { failure, .. } => {
                terminal.error(&format!("{of}{failure}"));
                if let FailureKind::Runner(runner) = &failure.kind {
                    for line in runner.error.tail.lines() {
                        terminal.eprint(&format!("  | {}\n", printable(line)));
                    }
                    for line in runner.check.iter().flat_map(check_lines) {
                        terminal.eprint(&format!("  {line}\n"));
                    }
                }
                for mishap in &self.report.mishaps {
                    let mut lines = mishap.lines().map(printable);
                    terminal.note(&format!("{of}{}", lines.next().unwrap_or_default()));
                    lines.for_each(|line| terminal.eprint(&format!("  | {line}\n")));
                }
                if let Some(advice) = failure.advice() {
                    terminal.help(&advice);
                }
            }
            Outcome::Interrupted { .. } => terminal.error(&format!("{of}interrupted")),
        }
        self.left();
        if self.json {
            let mut left = self.outcome.left().to_vec();
            for one in &mut left {
                self.clean(one);
            }
            let failure = match self.outcome {
                Outcome::Failed { failure, .. } => Some(failure),
                _ => None,
            };
            let mut step = failure.and_then(|failure| match &failure.kind {
                FailureKind::Runner(runner) => Some(runner.error.step.clone()),
                _ => None,
            });
            if let Some(step) = &mut step {
                self.global.terminal.redaction().clean_in_place(step);
            }
            let end = json!({
                "event": "failed",
                "bake": self.spec.id,
                "exit": self.outcome.exit_status(),
                "failure": self.report.failure,
                "stage": failure.map(|failure| failure.stage),
                "step": step,
                "tail": self.report.tail,
                "check": self.report.check,
                "mishaps": self.report.mishaps,
                "log": failure.and_then(|failure| failure.log()),
                "left": left,
                "remove": self.report.remove,
                "resume": self.report.resume,
                "requests": self.api.client().sent(),
                "seconds": self.report.seconds,
            });
            terminal.print(format!("{end}\n"))?;
        }
        Ok(())
    }

    /// What an API or a droplet said, without secrets: standard output is not looked through as a whole, since names and
    /// numbers in it must stay as they are.
    fn clean(&self, foreign: &mut impl Foreign) {
        foreign.each_text(&mut |text| self.global.terminal.redaction().clean_in_place(text));
    }

    fn of(&self) -> String {
        self.label.as_ref().map(|label| format!("[{label}] ")).unwrap_or_default()
    }

    fn left(&self) {
        let terminal = &self.global.terminal;
        let of = self.of();
        if self.outcome.left().is_empty() {
            terminal.note(&format!("{of}nothing is left that costs money"));
            return;
        }
        for left in self.outcome.left() {
            terminal.error(&format!("{of}still there: {left}"));
            if let Left::Droplet { id, .. } = left
                && let Some(console) = self.api.console(*id)
            {
                terminal.note(&format!("its console: {}", console.display()));
            }
        }
        if let Some(command) = &self.report.resume {
            terminal.note(&format!("{of}the snapshot is finished, so nothing was deleted"));
            terminal.help(&format!("finish the bake: {command}"));
        }
        if let Some(command) = &self.report.remove {
            terminal.help(&format!("remove it: {command}"));
        }
        if self.api.is_local() || self.report.resume.is_some() {
            return;
        }
        for id in self.outcome.left().iter().filter_map(|left| match left {
            Left::Droplet { id, .. } => Some(id),
            _ => None,
        }) {
            self.look_inside(*id);
        }
    }

    /// How to look into a droplet that is kept.
    fn look_inside(&self, droplet: u64) {
        let terminal = &self.global.terminal;
        let address = self.droplets.get(&droplet).copied().flatten();
        match (self.spec.droplet.ssh_keys.is_empty(), address) {
            (false, Some(address)) => terminal.help(&format!("look inside: ssh root@{address}")),
            (false, None) => terminal.help(&format!("look inside: doctl compute ssh {droplet}")),
            (true, _) => terminal.help("next time --ssh-key lets you in with ssh; until then there is its console:"),
        }
        terminal.help(&format!("its console: https://cloud.digitalocean.com/droplets/{droplet}/console"));
        terminal.help(&format!(
            "what it is doing: doctl compute droplet get {droplet}; doctl compute droplet actions {droplet}"
        ));
    }

    fn done(&self, product: &Product) -> Result<(), Failure> {
        let terminal = &self.global.terminal;
        let snapshot = &product.snapshot;
        let place = self.api.snapshot_dir(&snapshot.id);
        let mut check = product.check.clone();
        if let Some(check) = &mut check {
            self.clean(check);
        }
        if self.json {
            let end = json!({
                "event": "done",
                "snapshot": {"id": snapshot.id, "name": snapshot.name, "regions": snapshot.regions, "tags": snapshot.tags, "path": place},
                "bake": self.spec.id,
                "verified": product.verified,
                "stand_ins": self.report.stand_ins,
                "check": check,
                "requests": self.api.client().sent(),
                "seconds": self.report.seconds,
            });
            return terminal.print(format!("{end}\n"));
        }
        if self.label.is_some() {
            terminal.note(&format!("{}snapshot {} ({}) is done", self.of(), snapshot.name, snapshot.id));
            return Ok(());
        }
        let mut text = String::new();
        let _ = write!(text, "snapshot {} ({})", snapshot.name, snapshot.id);
        if snapshot.size_gb > 0.0 {
            let _ = write!(text, ", {:.2} GB", snapshot.size_gb);
        }
        if !snapshot.regions.is_empty() {
            let _ = write!(text, ", in {}", snapshot.regions.join(", "));
        }
        text.push('\n');
        if let Some(place) = place {
            let _ = writeln!(text, "  at {}", place.display());
        }
        if let Some(check) = &check {
            let _ = writeln!(text, "  {}", check_lines(check).join("\n  "));
        }
        let verified = if product.verified {
            "verified: an instance of it was started and proved"
        } else {
            "not verified: --verify starts an instance of it and proves it"
        };
        let _ = writeln!(text, "  {verified}");
        if self.report.stand_ins {
            let _ = writeln!(text, "  STAND-INS: test programs in the place of the real ones; not for production");
        }
        let _ =
            writeln!(text, "  baked in {}, {} API requests", duration(self.report.seconds), self.api.client().sent());
        terminal.print(text)
    }
}

/// What `--dry-run` prints. `local`: droplets are virtual machines of this machine.
pub(super) fn plan(spec: &Spec, looked: &Preflight, document: &Document, local: bool) -> String {
    let droplet = &spec.droplet;
    let within = |limit: std::time::Duration| humantime::format_duration(limit).to_string().replace(' ', "");
    let marker = match spec.marker {
        MarkerKind::Https => "the droplet's status channel, over TLS",
        MarkerKind::Poweroff => "the droplet powering itself off",
    };
    let mut regions = vec![droplet.region.as_str()];
    regions.extend(spec.snapshot.regions.iter().map(String::as_str).filter(|region| *region != droplet.region));
    let disk = looked.disk_gib.map(|disk| format!(", at most {disk} GiB")).unwrap_or_default();
    let tags = match spec.snapshot.tags.as_slice() {
        [] => String::new(),
        tags => format!(", tags {}", tags.join(", ")),
    };
    let lines = [
        ("account", looked.account.clone()),
        ("document", format!("{} of {DOCUMENT_LIMIT} bytes, {}", document.text.len(), document.digest)),
        ("droplet", format!("{} in {}, from {}", droplet.size, droplet.region, droplet.image)),
        ("marker", format!("{marker}, within {}", within(spec.limits.provision))),
        ("snapshot", format!("{} in {}{disk}{tags}", spec.snapshot.name, regions.join(", "))),
        ("price", if local { "nothing: it is all on this machine".to_owned() } else { price(looked) }),
        (
            "verification",
            if spec.verify {
                format!("a droplet is started from the snapshot and proved, within {}", within(spec.limits.verify))
            } else {
                "none (--verify asks for it)".to_owned()
            },
        ),
        (
            "on error",
            match spec.on_error {
                OnError::Destroy => "everything that was made is destroyed",
                OnError::Keep => "what was made is kept, and named",
                OnError::Ask => "it is asked whether to keep what was made",
            }
            .to_owned(),
        ),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        let _ = writeln!(text, "{name:<12}  {value}");
    }
    text
}

/// What the provider's price list says; an estimate, as the time and the snapshot's size are not known yet.
fn price(looked: &Preflight) -> String {
    let droplet = match (looked.price_hourly, looked.price_monthly) {
        (Some(hour), Some(month)) => format!("droplet ${hour:.5} an hour (${month:.2} a month)"),
        (Some(hour), None) => format!("droplet ${hour:.5} an hour"),
        (None, _) => "droplet not known".to_owned(),
    };
    let most = |gib: u64| {
        // A compressed snapshot of a full disk; no disk has more GiB than a u32 counts.
        let most = f64::from(u32::try_from(gib).unwrap_or(u32::MAX)) * SNAPSHOT_GB_MONTH;
        format!(", at most ${most:.2}")
    };
    let most = looked.disk_gib.map(most).unwrap_or_default();
    format!("{droplet}; snapshot ${SNAPSHOT_GB_MONTH:.2} a GB and month{most} (estimate)")
}

/// Writes the report, or that of several bakes; a bake that is done is not undone because its report cannot be written.
pub(super) fn write_reports(global: &Global, path: &Path, reports: &[&Report]) {
    let path = global.path(path);
    let text = if path.extension().is_some_and(|ending| ending == "html") {
        Ok(Report::html(reports))
    } else {
        match reports {
            [report] => serde_json::to_string_pretty(report),
            several => serde_json::to_string_pretty(&json!({"version": 1, "bakes": several})),
        }
        .map(|text| text + "\n")
    };
    let written = text
        .map_err(|error| error.to_string())
        .and_then(|text| write_atomically(&path, text.as_bytes()).map_err(|error| error.to_string()));
    match written {
        Ok(()) => global.terminal.note(&format!("report: {}", path.display())),
        Err(error) => global.terminal.warning(&format!("the report is not written: {error}")),
    }
}

/// A local droplet that is kept runs as long as this process does.
pub(super) async fn wait_for_stop(global: &Global, mut stops: watch::Receiver<u32>) {
    let now = *stops.borrow();
    global.terminal.note("the kept droplet runs as long as this command does: Ctrl-C ends it");
    // An error means that nobody can say stop any more: then there is nothing to wait for.
    let _ = stops.wait_for(|count| *count > now).await;
}
