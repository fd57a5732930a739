//! `mkimg resume BAKE`: goes on with a bake whose process was killed, or that halted, from its journal.

use std::path::PathBuf;
use std::time::Duration;

use super::bake::{
    Api, ApiArgs, Crew, FileJournal, Folder, FormatArg, Sealed, Session, SystemClock, report_path, stops, unix,
};
use super::{Failure, Global};
use crate::bake::journal::{Artifacts, Entry, Journal as _, Ledger, Line};
use crate::bake::leftovers::{self, Leftover, Thing};
use crate::bake::report::Report;
use crate::bake::silence::Patience;
use crate::bake::{BakeId, Spec, preflight};
use secrecy::ExposeSecret as _;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A bake that was stopped with Ctrl-C has cleaned up: there is nothing to go on with.\nThe bake goes on at the API that it began at, with the options that it began with."
)]
pub(super) struct Args {
    /// The bake; `mkimg bakes` lists them
    bake: String,
    #[command(flatten)]
    api: ApiArgs,
    /// Write a report: .json for programs, .html for people
    #[arg(long, value_name = "FILE", value_parser = report_path)]
    report: Option<PathBuf>,
    /// How progress and result are written
    #[arg(long, value_enum, default_value_t = FormatArg::Human)]
    format: FormatArg,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let bake = BakeId::parse(&args.bake).map_err(Failure::usage)?;
    let (journal, lines) = FileJournal::open(&bake, global.terminal.redaction())?;
    let taken = Taken::read(&bake, journal, &lines)?;
    let target = args.api.target_of(&taken.api_url, global)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::usage)?;
    let result = runtime.block_on(async {
        let api = args.api.open(target, global).await?;
        let result = taken.go_on(args, global, &api).await;
        api.close(global).await;
        result
    });
    // A question that nobody answered may still wait at the terminal.
    runtime.shutdown_background();
    result
}

/// A bake that was taken up from its journal.
struct Taken {
    spec: Spec,
    api_url: String,
    account: String,
    document: String,
    stand_ins: bool,
    artifacts: Option<Artifacts>,
    began: u64,
    sealed: Sealed,
    journal: FileJournal,
    ledger: Ledger,
}

impl Taken {
    fn read(bake: &BakeId, journal: FileJournal, lines: &[Line]) -> Result<Self, Failure> {
        let Some(Line { at, entry: Entry::Began { spec, api_url, account, document, stand_ins, artifacts, .. } }) =
            lines.first()
        else {
            journal.remove_secrets().map_err(Failure::usage)?;
            return Err(Failure::usage(format!(
                "bake {bake} ended before it asked for anything: there is nothing to go on with"
            ))
            .with_help("start a new one: mkimg bake"));
        };
        let ledger = Ledger::replay(lines.iter().map(|line| &line.entry));
        if ledger.ended.is_some() {
            // Killed between its last line and this.
            journal.remove_secrets().map_err(Failure::usage)?;
        }
        match (ledger.ended, &ledger.snapshot) {
            (None, _) => {}
            (Some(0), Some(snapshot)) => {
                return Err(Failure::usage(format!("bake {bake} is done: snapshot {snapshot}")));
            }
            (Some(exit), _) => {
                return Err(Failure::usage(format!(
                    "bake {bake} has ended, with exit status {exit}: there is nothing to go on with"
                ))
                .with_help(format!(
                    "`mkimg gc {bake}` removes what it left, if anything; `mkimg bake` starts a new one"
                )));
            }
        }
        let gone = |reason: String| {
            Failure::usage(format!("bake {bake} cannot go on without its secrets: {reason}"))
                .with_help(format!("remove what it left: mkimg gc {bake}"))
        };
        let text = journal.read_secrets().map_err(|error| gone(error.to_string()))?;
        let sealed = Sealed::from_json(text.expose_secret()).map_err(gone)?;
        Ok(Self {
            spec: Spec::clone(spec),
            api_url: api_url.clone(),
            account: account.clone(),
            document: document.clone(),
            stand_ins: *stand_ins,
            artifacts: artifacts.clone(),
            began: *at,
            sealed,
            journal,
            ledger,
        })
    }

    async fn go_on(mut self, args: &Args, global: &Global, api: &Api) -> Result<(), Failure> {
        let terminal = &global.terminal;
        let account = preflight::account(api.client()).await.map_err(|failure| {
            let error = Failure::usage(failure.to_string());
            failure.advice().map_or(error, |help| Failure::usage(failure.to_string()).with_help(help))
        })?;
        terminal.note(&format!("account {}, token from {}", account.name, api.origin()));
        if account.name != self.account {
            return Err(Failure::usage(format!(
                "the bake began in account {}, and this token is of account {}",
                self.account, account.name
            ))
            .with_help("use a token of the account that it began in"));
        }
        if unix() >= self.spec.deadline {
            terminal
                .warning("the bake's deadline has passed: `mkimg gc`, run by anybody, may take away what it has made");
        }
        if api.is_local() {
            self.after_a_restart(api).await?;
        }
        let _server = match self.artifacts.take() {
            Some(served) if !self.ledger.build.passed && self.ledger.failing.is_none() => {
                Some(Folder::read(&served.folder)?.serve(served.port).await?.1)
            }
            _ => None,
        };
        terminal.note(&format!(
            "bake {}, journal in {}: goes on with stage `{}`",
            self.spec.id,
            self.journal.folder().display(),
            self.ledger.stage()
        ));
        let stops = stops(global)?;
        let report = Report::new(&self.spec, self.began, self.document, self.stand_ins);
        let session = Session {
            global,
            api,
            sealed: self.sealed,
            journal: self.journal,
            ledger: self.ledger,
            report,
            format: args.format,
            report_path: args.report.as_deref(),
            stops: &stops,
            crew: Crew::default(),
            label: None,
        };
        session.run(&self.spec).await
    }

    /// Droplets of the embedded emulator ended with the process that was killed. One that is off has all that counts on
    /// its disk; one that ran has lost what it was doing.
    async fn after_a_restart(&mut self, api: &Api) -> Result<(), Failure> {
        if self.ledger.failing.is_none() && !self.ledger.off && !self.ledger.build.gone {
            let stage = self.ledger.stage();
            self.note_down(&Entry::CleaningUp {
                failure: format!("{stage}: the local droplet ended with the command that ran it"),
            })?;
        }
        if let (Some(droplet), false) = (self.ledger.verification.id, self.ledger.verification.passed) {
            let leftover =
                Leftover { tag: self.spec.tag(), what: Thing::Droplet(droplet), name: "verification".to_owned() };
            let clock = SystemClock::default();
            let patience = Patience::new(&clock, self.spec.limits.unreachable);
            leftovers::remove(api.client(), &patience, &leftover, Duration::from_secs(60))
                .await
                .map_err(|left| Failure::usage(format!("{left} is in the way")))?;
            self.note_down(&Entry::DropletGone { droplet })?;
        }
        Ok(())
    }

    fn note_down(&mut self, entry: &Entry) -> Result<(), Failure> {
        self.journal.append(unix(), entry).map_err(Failure::usage)?;
        self.ledger.apply(entry);
        Ok(())
    }
}
