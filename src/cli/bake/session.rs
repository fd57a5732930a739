//! One process at work on one bake, from its first request or from its journal: who watches, who may stop it, how it ends.

use std::path::Path;

use super::clock::SystemClock;
use super::crew::Crew;
use super::progress::Watcher;
use super::secrets::{Sealed, SealedDocument};
use super::signals::Stops;
use super::state::FileJournal;
use super::{Api, Failure, FormatArg, Global, Status, ending};
use crate::bake::foreign::Foreign as _;
use crate::bake::journal::Ledger;
use crate::bake::report::Report;
use crate::bake::{Machine, Outcome, Ports, Spec};

/// A bake that begins or goes on: the journal has its first line.
pub(in crate::cli) struct Session<'s> {
    pub(in crate::cli) global: &'s Global,
    pub(in crate::cli) api: &'s Api,
    pub(in crate::cli) sealed: Sealed,
    pub(in crate::cli) journal: FileJournal,
    pub(in crate::cli) ledger: Ledger,
    pub(in crate::cli) report: Report,
    pub(in crate::cli) format: FormatArg,
    pub(in crate::cli) report_path: Option<&'s Path>,
    /// Watched since before the journal's first line.
    pub(in crate::cli) stops: &'s Stops,
    pub(in crate::cli) crew: Crew,
    /// What tells it from the other bakes of the same command.
    pub(in crate::cli) label: Option<String>,
}

/// A bake that has ended, and all that was said of it.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) report: Report,
}

impl Ended {
    /// Whether a local droplet was kept: it runs as long as this process does.
    pub(super) fn is_kept(&self, api: &Api) -> bool {
        let kept = !self.outcome.left().is_empty() && !self.outcome.is_resumable();
        api.is_local() && kept && matches!(self.outcome, Outcome::Failed { .. })
    }
}

/// The end of a command by its exit status; what there was to say has been said.
pub(super) fn exit(status: u8) -> Result<(), Failure> {
    match status {
        0 => Ok(()),
        1 => Err(Failure::said(Status::Finding)),
        2 => Err(Failure::said(Status::Usage)),
        3 => Err(Failure::said(Status::FailedClean)),
        4 => Err(Failure::said(Status::FailedLeft)),
        _ => Err(Failure::said(Status::Interrupted)),
    }
}

/// What went wrong with local droplets, each with its number.
fn mishaps<'d>(api: &Api, droplets: impl Iterator<Item = &'d u64>) -> Vec<String> {
    droplets.flat_map(|id| api.mishaps(*id).into_iter().map(move |why| format!("droplet {id}: {why}"))).collect()
}

impl Session<'_> {
    /// Works until the end, says it, and waits as long as a kept local droplet is to run.
    pub(in crate::cli) async fn run(self, spec: &Spec) -> Result<(), Failure> {
        let (global, api, stops) = (self.global, self.api, self.stops);
        let ended = self.work(spec).await?;
        if ended.is_kept(api) {
            ending::wait_for_stop(global, stops.count.clone()).await;
        }
        exit(ended.outcome.exit_status())
    }

    /// Works until the end, and says it.
    pub(super) async fn work(self, spec: &Spec) -> Result<Ended, Failure> {
        let Self { global, api, sealed, journal, ledger, report, format, report_path, stops, crew, label } = self;
        for secret in sealed.redact() {
            global.terminal.redaction().hide(&secret);
        }
        let json = format == FormatArg::Json;
        let watcher = Watcher::new(global, json, report, &crew, label.clone());
        let clock = SystemClock::default();
        let secrets = sealed.secrets();
        let ports = Ports {
            provider: api.client(),
            marker: sealed.build.marker(),
            verification: sealed.verification.as_ref().and_then(SealedDocument::marker),
            journal: &journal,
            clock: &clock,
            observer: &watcher,
            stops: stops.count.clone(),
        };
        let outcome = Machine::new(spec, &secrets, ports, ledger).run().await;
        watcher.finish();
        // Another process may need them.
        let removed = if outcome.is_resumable() { Ok(()) } else { journal.remove_secrets() };
        let seconds = watcher.seconds();
        let report = {
            let mut report = watcher.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            report.end(seconds, &outcome);
            if !report.left.is_empty() {
                report.remove = Some(format!("mkimg gc{} {}", api.options(), spec.id));
            }
            if outcome.is_resumable() {
                report.resume = Some(format!("mkimg resume {}", spec.id));
            }
            if matches!(outcome, Outcome::Failed { .. }) {
                report.mishaps = mishaps(api, watcher.droplets().keys());
            }
            report.each_text(&mut |text| global.terminal.redaction().clean_in_place(text));
            report.clone()
        };
        crew.lines.suspend(|| {
            if let Err(error) = removed {
                global.terminal.warning(&error.to_string());
            }
            if let Some(path) = report_path {
                ending::write_reports(global, path, &[&report]);
            }
            let (outcome, report, droplets) = (&outcome, &report, watcher.droplets());
            let ending = ending::Ending { global, spec, outcome, report, api, json, label, droplets };
            // Where nobody can read the result, the bake has ended as it has all the same.
            if let Err(failure) = ending.say() {
                failure.show(&global.terminal);
                if let Outcome::Done(product) = outcome {
                    let snapshot = &product.snapshot;
                    global.terminal.note(&format!("the bake is done: snapshot {} ({})", snapshot.name, snapshot.id));
                }
            }
        });
        Ok(Ended { outcome, report })
    }
}
