//! One process at work on one bake, from its first request or from its journal: who watches, who may stop it, how it ends.

use std::path::Path;

use super::clock::SystemClock;
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
    pub(in crate::cli) spec: &'s Spec,
    pub(in crate::cli) sealed: Sealed,
    pub(in crate::cli) journal: FileJournal,
    pub(in crate::cli) ledger: Ledger,
    pub(in crate::cli) report: Report,
    pub(in crate::cli) format: FormatArg,
    pub(in crate::cli) report_path: Option<&'s Path>,
    /// Watched since before the journal's first line.
    pub(in crate::cli) stops: Stops,
}

impl Session<'_> {
    /// Works until the end, and says it.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let Self { global, api, spec, sealed, journal, ledger, report, format, report_path, stops } = self;
        let Stops { count: stops, .. } = &stops;
        for secret in sealed.redact() {
            global.terminal.redaction().hide(&secret);
        }
        let json = format == FormatArg::Json;
        let watcher = Watcher::new(global, json, report);
        let clock = SystemClock::default();
        let secrets = sealed.secrets();
        let ports = Ports {
            provider: api.client(),
            marker: sealed.build.marker(),
            verification: sealed.verification.as_ref().and_then(SealedDocument::marker),
            journal: &journal,
            clock: &clock,
            observer: &watcher,
            stops: stops.clone(),
        };
        let outcome = Machine::new(spec, &secrets, ports, ledger).run().await;
        watcher.finish();
        if let Err(error) = journal.remove_secrets() {
            global.terminal.warning(&error.to_string());
        }
        let seconds = watcher.seconds();
        let report = {
            let mut report = watcher.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            report.end(seconds, &outcome);
            report.each_text(&mut |text| global.terminal.redaction().clean_in_place(text));
            report.clone()
        };
        if let Some(path) = report_path {
            ending::write_report(global, path, &report);
        }
        // Where nobody can read the result, the bake has ended as it has all the same.
        if let Err(failure) = (ending::Ending { global, spec, outcome: &outcome, report: &report, api, json }).say() {
            failure.show(&global.terminal);
            if let Outcome::Done(product) = &outcome {
                let snapshot = &product.snapshot;
                global.terminal.note(&format!("the bake is done: snapshot {} ({})", snapshot.name, snapshot.id));
            }
        }
        if api.is_local() && !outcome.left().is_empty() && matches!(outcome, Outcome::Failed { .. }) {
            ending::wait_for_stop(global, stops.clone()).await;
        }
        match outcome.exit_status() {
            0 => Ok(()),
            2 => Err(Failure::said(Status::Usage)),
            3 => Err(Failure::said(Status::FailedClean)),
            4 => Err(Failure::said(Status::FailedLeft)),
            _ => Err(Failure::said(Status::Interrupted)),
        }
    }
}
