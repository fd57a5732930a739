//! The bakes of one command: judged together before anything is created, then at work side by side, with one API client
//! (and so one budget of requests), one Ctrl-C, one terminal, and a journal each.

use std::fmt::Write as _;

use futures_util::stream::{self, StreamExt as _};
use serde_json::json;

use super::super::{Failure, Global, Status};
use super::artifacts::Folder;
use super::crew::Crew;
use super::prepare::Prepared;
use super::secrets::SealedDocument;
use super::session::Ended;
use super::signals::{Stops, stops};
use super::variants::Variant;
use super::{AbortOnDrop, Api, Args, FileJournal, FormatArg, Sealed, Session, ending, state, unix};
use crate::bake::journal::{Artifacts, Entry, Journal as _, Ledger};
use crate::bake::ports::{Account, Provider};
use crate::bake::report::{Report, duration};
use crate::bake::{BakeId, Outcome, Spec, preflight};

/// So many bakes run at a time if nothing else is said.
const TOGETHER: usize = 4;

/// A bake that is ready to begin.
struct Planned {
    label: Option<String>,
    spec: Spec,
    prepared: Prepared,
}

/// How one of the bakes ended.
struct Finished {
    label: Option<String>,
    exit: u8,
    ended: Option<Ended>,
}

/// How many bakes run at a time; virtual machines are limited by this machine's processors.
fn together(args: &Args, global: &Global, local: bool, bakes: usize) -> usize {
    let asked = args.parallel.map(std::num::NonZeroUsize::get);
    let mut together = asked.unwrap_or(TOGETHER).min(bakes);
    if local {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let most = (processors / 2).max(1);
        if together > most {
            if asked.is_some() {
                global
                    .terminal
                    .warning(&format!("this machine has {processors} processors: local bakes run {most} at a time"));
            }
            together = most;
        }
    }
    together
}

pub(super) async fn at_api(
    args: &Args,
    global: &Global,
    prepared: Vec<(Variant, Prepared)>,
    api: &Api,
) -> Result<(), Failure> {
    let terminal = &global.terminal;
    if prepared.iter().any(|(_, prepared)| prepared.stand_ins) {
        terminal.warning("STAND-INS: this bake installs test programs in the place of the real ones; its snapshot is not for production");
    }
    let mut bakes = Vec::new();
    for (variant, prepared) in prepared {
        let mut random = [0; 3];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::usage(format!("the system gives no random bytes: {error}")))?;
        let spec = args.spec(&prepared, &BakeId::new(unix(), random), api)?;
        bakes.push(Planned { label: variant.label, spec, prepared });
    }
    let provider: &dyn Provider = api.client();
    let image = bakes[0].spec.droplet.image.clone();
    let refused = |failure: crate::bake::Failure| {
        let help = failure.advice().or_else(|| {
            api.is_local().then(|| format!("is the base image there? `mkimg base build {image}` makes it"))
        });
        let error = Failure::usage(failure.to_string());
        match help {
            Some(help) => error.with_help(help),
            None => error,
        }
    };
    let account = preflight::account(provider).await.map_err(refused)?;
    terminal.note(&format!("account {}, token from {}", account.name, api.origin()));
    let together = together(args, global, api.is_local(), bakes.len());
    let specs: Vec<&Spec> = bakes.iter().map(|bake| &bake.spec).collect();
    let looked = preflight::look(provider, &specs, &account, together).await.map_err(refused)?;
    for warning in looked.iter().flat_map(|looked| &looked.warnings) {
        terminal.warning(warning);
    }
    if args.dry_run {
        let mut text = String::new();
        for (bake, looked) in bakes.iter().zip(&looked) {
            if let Some(label) = &bake.label {
                let _ = writeln!(text, "[{label}]");
            }
            text.push_str(&ending::plan(&bake.spec, looked, &bake.prepared.document, api.is_local()));
        }
        text.push_str("nothing was created (--dry-run)\n");
        return terminal.print(text);
    }
    // A signal from here on is heeded before anything is created: nothing stays of a bake that never began.
    let stops = stops(global)?;
    let crew = Crew::default();
    let at_work = Work { args, global, api, account: &account, crew: &crew, stops: &stops };
    if bakes.len() == 1 {
        return match bakes.pop() {
            Some(bake) => at_work.alone(bake).await,
            None => Ok(()),
        };
    }
    at_work.several(bakes, together).await
}

/// What all bakes of a command need.
struct Work<'w> {
    args: &'w Args,
    global: &'w Global,
    api: &'w Api,
    account: &'w Account,
    crew: &'w Crew,
    stops: &'w Stops,
}

impl Work<'_> {
    async fn alone(&self, mut bake: Planned) -> Result<(), Failure> {
        let (session, _server) = self.begin(&mut bake).await?;
        session.run(&bake.spec).await
    }

    /// Writes the first line of a bake's journal.
    async fn begin(&self, bake: &mut Planned) -> Result<(Session<'_>, Option<AbortOnDrop>), Failure> {
        let Self { args, global, api, .. } = *self;
        // It may have waited for its turn.
        bake.spec.deadline = unix().saturating_add(bake.spec.limits.total().as_secs());
        let Planned { spec, prepared, label } = bake;
        let (artifacts, server) = match prepared.folder.take() {
            Some(folder) => serve(folder).await.map(|(artifacts, server)| (Some(artifacts), Some(server)))?,
            None => (None, None),
        };
        let url = artifacts.as_ref().map(|served| format!("http://{}:{}", crate::emulator::GATEWAY, served.port));
        let build = SealedDocument::new(&prepared.document, spec, url.clone())?;
        let verification = spec.verify.then(|| SealedDocument::new(&prepared.verification, spec, url)).transpose()?;
        let sealed = Sealed { build, verification, sensitive: std::mem::take(&mut prepared.sensitive) };
        let journal = FileJournal::create(&state::folder(&spec.id)?, global.terminal.redaction())?;
        let unwritable = |error| Failure::usage(error).with_help("set XDG_STATE_HOME to another disk");
        journal.write_secrets(&sealed.to_json()?).map_err(unwritable)?;
        let now = unix();
        let began = Entry::Began {
            version: crate::bake::journal::VERSION,
            spec: Box::new(spec.clone()),
            api_url: api.journalled(),
            account: self.account.name.clone(),
            document: prepared.document.digest.clone(),
            stand_ins: prepared.stand_ins,
            artifacts,
        };
        journal.append(now, &began).map_err(unwritable)?;
        let of = label.as_ref().map(|label| format!(" [{label}]")).unwrap_or_default();
        self.crew.lines.suspend(|| {
            global.terminal.note(&format!("bake {}{of}, journal in {}", spec.id, journal.folder().display()));
        });
        let report = Report::new(spec, now, prepared.document.digest.clone(), prepared.stand_ins);
        let session = Session {
            global,
            api,
            sealed,
            journal,
            ledger: Ledger::default(),
            report,
            format: args.format,
            report_path: args.report.as_deref().filter(|_| label.is_none()),
            stops: self.stops,
            crew: self.crew.clone(),
            label: label.clone(),
        };
        Ok((session, server))
    }

    async fn one(&self, mut bake: Planned) -> Finished {
        let label = bake.label.clone();
        if *self.stops.count.borrow() > 0 {
            // It has not begun, and there is nothing to clean up.
            return Finished { label, exit: Status::Interrupted as u8, ended: None };
        }
        let worked = match self.begin(&mut bake).await {
            Ok((session, _server)) => session.work(&bake.spec).await,
            Err(failure) => Err(failure),
        };
        match worked {
            Ok(ended) => Finished { label, exit: ended.outcome.exit_status(), ended: Some(ended) },
            Err(failure) => {
                self.crew.lines.suspend(|| failure.show(&self.global.terminal));
                Finished { label, exit: failure.status() as u8, ended: None }
            }
        }
    }

    async fn several(&self, bakes: Vec<Planned>, together: usize) -> Result<(), Failure> {
        let Self { args, global, api, stops, .. } = *self;
        global.terminal.note(&format!("{} bakes, {together} at a time", bakes.len()));
        let labels: Vec<Option<String>> = bakes.iter().map(|bake| bake.label.clone()).collect();
        let mut results: Vec<Finished> =
            stream::iter(bakes).map(|bake| self.one(bake)).buffer_unordered(together).collect().await;
        results.sort_by_key(|result| labels.iter().position(|label| *label == result.label));
        let worst = results.iter().map(|result| result.exit).max_by_key(|exit| severity(*exit)).unwrap_or(0);
        if let Some(path) = &args.report {
            let reports: Vec<&Report> = results.iter().filter_map(|r| r.ended.as_ref().map(|e| &e.report)).collect();
            ending::write_reports(global, path, &reports);
        }
        // Where nobody can read it, the bakes have ended as they have all the same.
        if let Err(failure) = global.terminal.print(summary(&results, worst, args.format, api.client().sent())) {
            failure.show(&global.terminal);
        }
        let kept = results.iter().filter_map(|result| result.ended.as_ref()).any(|ended| ended.is_kept(api));
        if kept {
            ending::wait_for_stop(global, stops.count.clone()).await;
        }
        super::session::exit(worst)
    }
}

/// Which of several exit statuses is said: something left is worse than a stop, a stop than a failure.
fn severity(exit: u8) -> u8 {
    match exit {
        4 => 5,
        130 => 4,
        other => other,
    }
}

async fn serve(folder: Folder) -> Result<(Artifacts, AbortOnDrop), Failure> {
    let path = folder.path().to_owned();
    let (port, server) = folder.serve(0).await?;
    Ok((Artifacts { folder: path, port }, server))
}

/// The end of all of it: a line for each.
fn summary(results: &[Finished], worst: u8, format: FormatArg, requests: u64) -> String {
    if format == FormatArg::Json {
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
                    "left": report.map(|report| &report.left),
                    "resume": report.and_then(|report| report.resume.as_ref()),
                    "seconds": report.map(|report| report.seconds),
                })
            })
            .collect();
        return format!("{}\n", json!({"event": "summary", "bakes": bakes, "requests": requests, "exit": worst}));
    }
    let width = results.iter().filter_map(|result| result.label.as_ref()).map(|label| label.chars().count()).max();
    let mut text = String::new();
    for result in results {
        let label = result.label.as_deref().unwrap_or_default();
        let said = match &result.ended {
            Some(Ended { outcome: Outcome::Done(product), report }) => {
                let snapshot = &product.snapshot;
                let verified = if product.verified { ", verified" } else { "" };
                let regions = snapshot.regions.join(", ");
                format!(
                    "done         snapshot {} ({}) in {regions}{verified}, {}",
                    snapshot.name,
                    snapshot.id,
                    duration(report.seconds)
                )
            }
            Some(Ended { outcome: Outcome::Failed { failure, left, resumable }, report }) => {
                let left = match (left.is_empty(), resumable) {
                    (true, _) => String::new(),
                    (false, false) => "; SOMETHING IS LEFT".to_owned(),
                    (false, true) => format!("; SOMETHING IS LEFT: mkimg resume {}", report.bake),
                };
                format!("failed       {}{left}", failure.to_string().lines().next().unwrap_or_default())
            }
            Some(Ended { outcome: Outcome::Interrupted { left }, .. }) => {
                let left = if left.is_empty() { "nothing is left" } else { "SOMETHING IS LEFT" };
                format!("interrupted  {left}")
            }
            None if result.exit == Status::Interrupted as u8 => "interrupted  it had not begun".to_owned(),
            None => "failed       it did not begin".to_owned(),
        };
        let _ = writeln!(text, "{label:<width$}  {said}", width = width.unwrap_or(0));
    }
    let done = results.iter().filter(|result| result.exit == 0).count();
    let _ = writeln!(text, "{done} of {} done, {requests} API requests", results.len());
    text
}
