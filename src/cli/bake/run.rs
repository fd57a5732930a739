//! The bakes of one command. They are checked together before anything is created, then run in
//! parallel with one API client (and so one rate limit), one Ctrl-C handler, one terminal, and a
//! journal each.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use futures_util::stream::{self, StreamExt as _};
use secrecy::SecretString;
use serde_json::json;

use super::advice;
use super::api::Api;
use super::args::Args;
use super::artifacts::ArtifactDirectory;
use super::documents::{BakeDocuments, DocumentWithCredentials};
use super::output::{self, SharedTerminal, Watcher};
use super::prepare::{Prepared, TemplatePlaces};
use super::state::{self, FileJournal};
use super::upload;
use crate::bake::journal::{Journal as _, JournalEntry, ServedArtifacts};
use crate::bake::ports::Account;
use crate::bake::report::Report;
use crate::bake::untrusted::UntrustedText as _;
use crate::bake::{self, BakeId, BakeState, Machine, Outcome, Ports, Spec, duration, preflight};
use crate::cli::Global;
use crate::cli::error::{ErrorKind, ExitStatus, ExpectedError, Failure, NoRandomness};
use crate::cli::escape::one_line;
use crate::cli::options::{OutputFormat, Variant};
use crate::cli::runtime::{AbortOnDrop, StopRequests, SystemClock, unix_time};
use crate::render::UploadIndex;

/// A new or resumed bake; the journal has its first line.
pub(crate) struct BakeRun<'s> {
    pub(crate) global: &'s Global,
    pub(crate) api: &'s Api,
    pub(crate) documents: BakeDocuments,
    pub(crate) journal: FileJournal,
    pub(crate) state: BakeState,
    pub(crate) report: Report,
    pub(crate) format: OutputFormat,
    pub(crate) report_path: Option<&'s Path>,
    /// Counts since before the journal's first line.
    pub(crate) stops: &'s StopRequests,
    pub(crate) shared: SharedTerminal,
    /// Distinguishes it from the other bakes of the same command.
    pub(crate) label: Option<String>,
    /// Where the template says what cloud-init does; empty if the bake is resumed.
    pub(crate) places: TemplatePlaces,
}

/// A bake that has ended, and its report.
pub(crate) struct BakeResult {
    pub(crate) outcome: Outcome,
    pub(crate) report: Report,
}

impl BakeResult {
    /// Whether a local droplet was kept, which runs as long as this process.
    pub(crate) fn is_kept(&self, api: &Api) -> bool {
        api.is_local() && keeps_resources(&self.outcome)
    }
}

/// Whether a failed bake that cannot be resumed keeps what it made.
fn keeps_resources(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { .. }) && !outcome.remaining().is_empty() && !outcome.is_resumable()
}

/// Ends the command with this exit status; everything has been printed.
fn exit(status: u8) -> Result<(), Failure> {
    match status {
        0 => Ok(()),
        1 => Err(Failure::Reported(ExitStatus::Finding)),
        2 => Err(Failure::Reported(ExitStatus::Error)),
        3 => Err(Failure::Reported(ExitStatus::FailedClean)),
        4 => Err(Failure::Reported(ExitStatus::FailedRemaining)),
        _ => Err(Failure::Reported(ExitStatus::Interrupted)),
    }
}

/// The errors of local droplets' virtual machines, each with its droplet's id.
fn droplet_errors<'d>(api: &Api, droplets: impl Iterator<Item = &'d u64>) -> Vec<String> {
    droplets.flat_map(|id| api.droplet_errors(*id).into_iter().map(move |why| format!("droplet {id}: {why}"))).collect()
}

impl BakeRun<'_> {
    /// Runs the bake, prints its result, and waits as long as a kept local droplet is to run.
    pub(crate) async fn run(self, spec: &Spec) -> Result<(), Failure> {
        let (global, api, stops) = (self.global, self.api, self.stops);
        let ended = self.finish(spec).await?;
        if ended.is_kept(api) {
            output::wait_for_stop(global, stops.count.clone()).await;
        }
        exit(ended.outcome.exit_status())
    }

    /// Runs the bake and prints its result.
    async fn finish(self, spec: &Spec) -> Result<BakeResult, Failure> {
        let Self { global, api, documents, journal, state, report, format, report_path, stops, shared, label, places } =
            self;
        for secret in documents.secret_texts() {
            global.terminal.redaction().hide(&secret);
        }
        let json = format == OutputFormat::Json;
        let watcher = Watcher::new(global, json, report, &shared, label.clone());
        let clock = SystemClock::default();
        let secrets = documents.secrets();
        let ports = Ports {
            provider: api.client(),
            marker: documents.build.marker(),
            verification: documents.verification.as_ref().and_then(DocumentWithCredentials::marker),
            journal: &journal,
            clock: &clock,
            observer: &watcher,
            stops: stops.count.clone(),
        };
        let outcome = Machine::new(spec, &secrets, ports, state).run().await;
        watcher.finish();
        // A process that resumes the bake needs them.
        let removed = if outcome.is_resumable() { Ok(()) } else { journal.remove_secrets() };
        let elapsed = watcher.elapsed();
        let report = {
            let mut report = watcher.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            report.end(elapsed, &outcome);
            if !report.remaining.is_empty() {
                report.remove = Some(format!("mkimg gc{} {}", api.options(), spec.id));
            }
            if outcome.is_resumable() {
                report.resume = Some(format!("mkimg resume {}", spec.id));
            }
            if matches!(outcome, Outcome::Failed { .. }) {
                report.droplet_errors = droplet_errors(api, watcher.droplets().keys());
            }
            report.for_each_text(&mut |text| global.terminal.redaction().clean_in_place(text));
            report.clone()
        };
        shared.progress.suspend(|| {
            if let Err(error) = removed {
                global.terminal.warning(&error.to_string());
            }
            if let Some(path) = report_path {
                output::write_reports(global, path, &[&report]);
            }
            let (outcome, report, droplets) = (&outcome, &report, watcher.droplets());
            let ending =
                output::ResultPrinter { global, spec, outcome, report, api, json, label, droplets, places: &places };
            // A result that cannot be printed does not change the bake's exit status.
            if let Err(failure) = ending.print() {
                failure.print(&global.terminal);
                if let Outcome::Done(product) = outcome {
                    let snapshot = &product.snapshot;
                    global.terminal.note(&format!("the bake is done: snapshot {} ({})", snapshot.name, snapshot.id));
                }
            }
        });
        Ok(BakeResult { outcome, report })
    }
}

/// Default of --parallel.
const DEFAULT_PARALLEL: usize = 4;

/// A bake ready to begin.
struct PlannedBake {
    label: Option<String>,
    spec: Spec,
    prepared: Prepared,
}

/// How one of the bakes ended.
struct BatchResult {
    label: Option<String>,
    exit: u8,
    ended: Option<BakeResult>,
}

/// How many bakes run in parallel; virtual machines are limited by this machine's processors.
fn parallelism(args: &Args, global: &Global, local: bool, bakes: usize) -> usize {
    let asked = args.parallel.map(std::num::NonZeroUsize::get);
    let mut parallel = asked.unwrap_or(DEFAULT_PARALLEL).min(bakes);
    if local {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let most = (processors / 2).max(1);
        if parallel > most {
            if asked.is_some() {
                global.terminal.warning(&format!(
                    "this machine has {processors} processors: running {most} local bakes in parallel"
                ));
            }
            parallel = most;
        }
    }
    parallel
}

/// The account cannot do what the bakes need, or the API did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", advice::describe(failure))]
struct PreflightError {
    failure: bake::Failure,
    help: Option<String>,
}

impl ExpectedError for PreflightError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Service
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        self.help.clone().map(Into::into)
    }
}

pub(crate) async fn run_all(
    args: &Args,
    global: &Global,
    prepared: Vec<(Variant, Prepared)>,
    api: &Api,
) -> Result<(), Failure> {
    let terminal = &global.terminal;
    if prepared.iter().any(|(_, prepared)| prepared.stubs) {
        terminal.warning(
            "STUBS: this bake installs test programs instead of the real ones; its snapshot is not for production",
        );
    }
    let mut bakes = Vec::new();
    for (variant, prepared) in prepared {
        let mut random = [0; 3];
        getrandom::fill(&mut random).map_err(NoRandomness)?;
        let spec = args.spec(&prepared.plan, prepared.stubs, &BakeId::new(unix_time(), random), api)?;
        bakes.push(PlannedBake { label: variant.label, spec, prepared });
    }
    let provider = api.client();
    let image = bakes[0].spec.droplet.image.clone();
    let refused = |failure: bake::Failure| {
        let help = advice::for_failure(&failure).or_else(|| {
            api.is_local().then(|| format!("if the base image is missing, `mkimg base build {image}` builds it"))
        });
        PreflightError { failure, help }
    };
    let account = preflight::account(provider).await.map_err(refused)?;
    terminal.note(&format!("account {}, token from {}", account.name, api.origin()));
    let parallel = parallelism(args, global, api.is_local(), bakes.len());
    let specs: Vec<&Spec> = bakes.iter().map(|bake| &bake.spec).collect();
    let results = preflight::check(provider, &specs, &account, parallel).await.map_err(refused)?;
    for warning in results.iter().flat_map(|result| &result.warnings) {
        terminal.warning(warning);
    }
    if args.dry_run {
        let mut text = String::new();
        for (bake, result) in bakes.iter().zip(&results) {
            if let Some(label) = &bake.label {
                let _ = writeln!(text, "[{label}]");
            }
            text.push_str(&output::plan(&bake.spec, result, &bake.prepared.document, api));
        }
        text.push_str("nothing was created (--dry-run)\n");
        return terminal.print(text);
    }
    // From here on, a signal stops the command before anything is created.
    let stops = StopRequests::watch(global)?;
    let shared = SharedTerminal::default();
    let batch = Batch { args, global, api, account: &account, shared: &shared, stops: &stops };
    if bakes.len() == 1 {
        return match bakes.pop() {
            Some(bake) => batch.run_single(bake).await,
            None => Ok(()),
        };
    }
    batch.run_parallel(bakes, parallel).await
}

/// What all bakes of a command share.
struct Batch<'w> {
    args: &'w Args,
    global: &'w Global,
    api: &'w Api,
    account: &'w Account,
    shared: &'w SharedTerminal,
    stops: &'w StopRequests,
}

impl Batch<'_> {
    async fn run_single(&self, mut bake: PlannedBake) -> Result<(), Failure> {
        let (run, _server) = self.begin(&mut bake).await?;
        run.run(&bake.spec).await
    }

    /// Writes the first line of a bake's journal.
    async fn begin(&self, bake: &mut PlannedBake) -> Result<(BakeRun<'_>, Option<AbortOnDrop>), Failure> {
        let Self { args, global, api, .. } = *self;
        // It may have waited for another bake to end.
        bake.spec.deadline = unix_time().saturating_add(bake.spec.limits.total().as_secs());
        let PlannedBake { spec, prepared, label } = bake;
        let (artifacts, server) = match prepared.folder.take() {
            Some(folder) => serve(folder).await.map(|(artifacts, server)| (Some(artifacts), Some(server)))?,
            None => (None, None),
        };
        let url = artifacts.as_ref().map(|served| api.serve_droplets(served.port));
        let journal = FileJournal::create(&state::bake_directory(&spec.id)?, global.terminal.redaction())?;
        let sensitive = std::mem::take(&mut prepared.sensitive);
        let documents = write_documents(&journal, spec, prepared, url, sensitive).inspect_err(|_| journal.discard())?;
        let now = unix_time();
        let began = JournalEntry::Began {
            version: crate::bake::journal::VERSION,
            spec: Box::new(spec.clone()),
            api_url: api.journal_url(),
            account: self.account.name.clone(),
            document: prepared.document.digest.clone(),
            stand_ins: prepared.stubs,
            artifacts,
        };
        journal.append(now, &began)?;
        let of = label.as_ref().map(|label| format!(" [{label}]")).unwrap_or_default();
        self.shared.progress.suspend(|| {
            global.terminal.note(&format!("bake {}{of}, journal in {}", spec.id, journal.folder().display()));
        });
        let report = Report::new(spec, now, prepared.document.digest.clone(), prepared.stubs);
        let run = BakeRun {
            global,
            api,
            documents,
            journal,
            state: BakeState::default(),
            report,
            format: args.format,
            report_path: args.report.as_deref().filter(|_| label.is_none()),
            stops: self.stops,
            shared: self.shared.clone(),
            label: label.clone(),
            places: std::mem::take(&mut prepared.places),
        };
        Ok((run, server))
    }

    async fn run_one(&self, mut bake: PlannedBake) -> BatchResult {
        let label = bake.label.clone();
        if *self.stops.count.borrow() > 0 {
            // It has not begun: there is nothing to clean up.
            return BatchResult { label, exit: ExitStatus::Interrupted as u8, ended: None };
        }
        let worked = match self.begin(&mut bake).await {
            Ok((run, _server)) => run.finish(&bake.spec).await,
            Err(failure) => Err(failure),
        };
        match worked {
            Ok(ended) => BatchResult { label, exit: ended.outcome.exit_status(), ended: Some(ended) },
            Err(failure) => {
                self.shared.progress.suspend(|| failure.print(&self.global.terminal));
                BatchResult { label, exit: failure.exit_status() as u8, ended: None }
            }
        }
    }

    async fn run_parallel(&self, bakes: Vec<PlannedBake>, parallel: usize) -> Result<(), Failure> {
        let Self { args, global, api, stops, .. } = *self;
        global.terminal.note(&format!("{} bakes, {parallel} in parallel", bakes.len()));
        let labels: Vec<Option<String>> = bakes.iter().map(|bake| bake.label.clone()).collect();
        let mut results: Vec<BatchResult> =
            stream::iter(bakes).map(|bake| self.run_one(bake)).buffer_unordered(parallel).collect().await;
        results.sort_by_key(|result| labels.iter().position(|label| *label == result.label));
        let worst = results.iter().map(|result| result.exit).max_by_key(|exit| severity(*exit)).unwrap_or(0);
        if let Some(path) = &args.report {
            let reports: Vec<&Report> = results.iter().filter_map(|r| r.ended.as_ref().map(|e| &e.report)).collect();
            output::write_reports(global, path, &reports);
        }
        // A summary that cannot be printed does not change the exit status.
        let summary = summary(&results, worst, args.format, api.client().requests_sent());
        let printed = match args.format {
            OutputFormat::Json => global.terminal.print_json(summary),
            OutputFormat::Human => global.terminal.print(summary),
        };
        if let Err(failure) = printed {
            failure.print(&global.terminal);
        }
        let kept = results.iter().filter_map(|result| result.ended.as_ref()).any(|ended| ended.is_kept(api));
        if kept {
            output::wait_for_stop(global, stops.count.clone()).await;
        }
        exit(worst)
    }
}

/// The order of exit statuses: remaining resources are worse than an interruption, an interruption
/// than a failure.
fn severity(exit: u8) -> u8 {
    match exit {
        4 => 5,
        130 => 4,
        other => other,
    }
}

/// Writes what the bake sends into its directory.
fn write_documents(
    journal: &FileJournal,
    spec: &Spec,
    prepared: &Prepared,
    artifacts_url: Option<String>,
    sensitive: Vec<SecretString>,
) -> Result<BakeDocuments, Failure> {
    let upload = match prepared.document.uploads.as_slice() {
        [] => None,
        files => Some(journal.write_upload(|file, name| upload::copy(&prepared.root, files, file, name))?),
    };
    let index = upload.as_deref().map(UploadIndex::new);
    let build = DocumentWithCredentials::new(&prepared.document, spec, artifacts_url.clone(), index)?;
    let verification = spec
        .verify
        .then(|| DocumentWithCredentials::new(&prepared.verification, spec, artifacts_url, None))
        .transpose()?;
    let mut documents = BakeDocuments { build, verification, sensitive, upload: upload.map(Into::into) };
    documents.attach_upload(&journal.upload_path());
    journal.write_secrets(&documents.to_json()?)?;
    Ok(documents)
}

async fn serve(folder: ArtifactDirectory) -> Result<(ServedArtifacts, AbortOnDrop), Failure> {
    let path = folder.path().to_owned();
    let (port, server) = folder.serve(0).await?;
    Ok((ServedArtifacts { folder: path, port }, server))
}

/// A line for each bake.
fn summary(results: &[BatchResult], worst: u8, format: OutputFormat, requests: u64) -> String {
    if format == OutputFormat::Json {
        let bakes: Vec<serde_json::Value> = results
            .iter()
            .map(|result| {
                let report = result.ended.as_ref().map(|ended| &ended.report);
                json!({
                    "label": result.label,
                    "bake": report.map(|report| &report.bake),
                    "exit": result.exit,
                    "result": report.map(|report| &report.result),
                    "snapshot": report.and_then(|report| report.snapshot.as_ref()),
                    "failure": report.and_then(|report| report.failure.as_ref()),
                    "left": report.map(|report| &report.remaining),
                    "resume": report.and_then(|report| report.resume.as_ref()),
                    "seconds": report.map(|report| report.elapsed.as_secs_f64()),
                })
            })
            .collect();
        return json!({"event": "summary", "bakes": bakes, "requests": requests, "exit": worst}).to_string();
    }
    let width = results.iter().filter_map(|result| result.label.as_ref()).map(|label| label.chars().count()).max();
    let mut text = String::new();
    for result in results {
        let label = result.label.as_deref().unwrap_or_default();
        let said = match &result.ended {
            Some(BakeResult { outcome: Outcome::Done(product), report }) => {
                let snapshot = &product.snapshot;
                let verified = if product.verified { ", verified" } else { "" };
                let regions = snapshot.regions.join(", ");
                format!(
                    "done         snapshot {} ({}) in {regions}{verified}, {}",
                    snapshot.name,
                    snapshot.id,
                    duration::short(report.elapsed)
                )
            }
            Some(BakeResult { outcome: Outcome::Failed { failure, remaining, resumable }, report }) => {
                let remains = match (remaining.is_empty(), resumable) {
                    (true, _) => String::new(),
                    (false, false) => "; RESOURCES REMAIN".to_owned(),
                    (false, true) => format!("; RESOURCES REMAIN: mkimg resume {}", report.bake),
                };
                format!("failed       {}{remains}", failure.to_string().lines().next().unwrap_or_default())
            }
            Some(BakeResult { outcome: Outcome::Interrupted { remaining }, .. }) => {
                let remains = if remaining.is_empty() { "nothing remains" } else { "RESOURCES REMAIN" };
                format!("interrupted  {remains}")
            }
            None if result.exit == ExitStatus::Interrupted as u8 => "interrupted  before it began".to_owned(),
            None => "failed       before it began".to_owned(),
        };
        let _ = writeln!(text, "{label:<width$}  {}", one_line(&said), width = width.unwrap_or(0));
    }
    let done = results.iter().filter(|result| result.exit == 0).count();
    let _ = writeln!(text, "{done} of {} done, {requests} API requests", results.len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_resources_are_worse_than_everything_else() {
        let mut exits = [4, 0, 130, 3, 2, 1];
        exits.sort_by_key(|exit| severity(*exit));
        assert_eq!(exits, [0, 1, 2, 3, 130, 4]);
    }

    /// A local droplet runs as long as mkimg does, so mkimg stays if it was told to keep it.
    #[test]
    fn a_kept_droplet_outlives_its_bake() {
        use crate::bake::journal::JournalError;
        use crate::bake::outcome::{Failure as BakeFailure, FailureKind};
        use crate::bake::{ResourceId, Stage};

        let left = || vec![ResourceId::Droplet(7).remaining("kept")];
        let failed = |remaining, resumable| {
            let kind = FailureKind::Journal(JournalError { path: "p".into(), reason: "full".into() });
            Outcome::Failed { failure: BakeFailure { stage: Stage::Boot, kind }, remaining, resumable }
        };
        for (outcome, expected) in [
            (failed(left(), false), true),
            (failed(left(), true), false),
            (failed(Vec::new(), false), false),
            (Outcome::Interrupted { remaining: left() }, false),
        ] {
            assert_eq!(keeps_resources(&outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn the_summary_says_how_each_bake_ended() {
        use crate::bake::journal::JournalError;
        use crate::bake::outcome::{Failure as BakeFailure, FailureKind, Product};
        use crate::bake::ports::Snapshot;
        use crate::bake::tests::support::spec;
        use crate::bake::{ResourceId, Stage};

        let snapshot = Snapshot {
            id: "77".into(),
            name: "product".into(),
            regions: vec!["nyc3".into(), "fra1".into()],
            tags: Vec::new(),
            droplet: None,
            size_gb: 1.5,
        };
        let done = |verified| Outcome::Done(Product { snapshot: snapshot.clone(), check: None, verified });
        let left = || vec![ResourceId::Droplet(7).remaining("kept")];
        let failed = |remaining, resumable| {
            let kind = FailureKind::Journal(JournalError { path: "p".into(), reason: "full\nof files".into() });
            Outcome::Failed { failure: BakeFailure { stage: Stage::Boot, kind }, remaining, resumable }
        };
        let ended = |label: &str, outcome: Outcome| {
            let mut report = Report::new(&spec(), 0, String::new(), false);
            report.end(std::time::Duration::from_secs(61), &outcome);
            let exit = outcome.exit_status();
            BatchResult { label: Some(label.to_owned()), exit, ended: Some(BakeResult { outcome, report }) }
        };
        let unbegun = |label: &str, exit| BatchResult { label: Some(label.to_owned()), exit, ended: None };
        let results = [
            ended("a", done(true)),
            ended("bbb", done(false)),
            ended("c", failed(Vec::new(), false)),
            ended("d", failed(left(), false)),
            ended("e", failed(left(), true)),
            ended("f", Outcome::Interrupted { remaining: Vec::new() }),
            ended("g", Outcome::Interrupted { remaining: left() }),
            unbegun("h", 130),
            unbegun("i", 2),
        ];
        let bake = spec().id;
        assert_eq!(
            summary(&results, 4, OutputFormat::Human, 12),
            format!(
                "a    done         snapshot product (77) in nyc3, fra1, verified, 1m01s\n\
                 bbb  done         snapshot product (77) in nyc3, fra1, 1m01s\n\
                 c    failed       boot: cannot write p: full\n\
                 d    failed       boot: cannot write p: full; RESOURCES REMAIN\n\
                 e    failed       boot: cannot write p: full; RESOURCES REMAIN: mkimg resume {bake}\n\
                 f    interrupted  nothing remains\n\
                 g    interrupted  RESOURCES REMAIN\n\
                 h    interrupted  before it began\n\
                 i    failed       before it began\n\
                 2 of 9 done, 12 API requests\n"
            )
        );
        let json: serde_json::Value = serde_json::from_str(&summary(&results, 4, OutputFormat::Json, 12)).unwrap();
        assert_eq!((&json["event"], &json["exit"], &json["requests"]), (&json!("summary"), &json!(4), &json!(12)));
        let shown = |at: usize| json["bakes"][at].clone();
        assert_eq!(
            shown(0),
            json!({
                "label": "a", "bake": bake, "exit": 0, "result": "done", "failure": null, "left": [], "resume": null,
                "seconds": 61.0, "snapshot": snapshot,
            })
        );
        assert_eq!(
            (&shown(3)["result"], &shown(3)["left"], &shown(3)["failure"]),
            (&json!("failed"), &json!(["droplet 7 (kept)"]), &json!("boot: cannot write p: full\nof files"))
        );
        assert_eq!((&shown(7)["result"], &shown(7)["exit"]), (&json!(null), &json!(130)));
    }
}
