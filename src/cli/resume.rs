//! `mkimg resume BAKE`: continues a bake from its journal, if its process was killed or its last
//! steps failed.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use super::Global;
use super::bake::{
    Api, ApiArgs, ArtifactDirectory, BakeDocuments, BakeRun, FileJournal, SharedTerminal, advice, report_path,
};
use super::error::{ErrorKind, ExpectedError, Failure};
use super::options::OutputFormat;
use super::runtime::{StopRequests, SystemClock, block_on, unix_time};
use crate::bake::journal::{Journal as _, JournalEntry, JournalLine, ServedArtifacts};
use crate::bake::orphans::{Collector, Orphan};
use crate::bake::report::Report;
use crate::bake::state::DropletProgress;
use crate::bake::{BakeId, BakeState, ResourceId, Spec, preflight};
use secrecy::ExposeSecret as _;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A bake that was stopped with Ctrl-C has cleaned up and cannot be resumed.\nThe bake continues at the API where it began, with its original options."
)]
pub(super) struct Args {
    /// The id of the bake; `mkimg bakes` lists them
    bake: String,
    #[command(flatten)]
    api: ApiArgs,
    /// Write a report to this file: .json for programs, .html for people
    #[arg(long, value_name = "FILE", value_parser = report_path)]
    report: Option<PathBuf>,
    /// Output format of progress and result
    #[arg(long, value_enum, default_value_t = OutputFormat::Human)]
    format: OutputFormat,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let bake = BakeId::parse(&args.bake)?;
    let (journal, lines) = FileJournal::open(&bake, global.terminal.redaction())?;
    let resumed = ResumedBake::read(&bake, journal, &lines)?;
    let target = args.api.target_of(&resumed.api_url, global)?;
    block_on(async {
        let api = args.api.open(target, global).await?;
        let result = Box::pin(resumed.run(args, global, &api)).await;
        api.close(global).await;
        result
    })
}

#[derive(Debug, thiserror::Error)]
enum ResumeError {
    #[error("bake {0} ended before its first request: there is nothing to resume")]
    NotBegun(BakeId),
    #[error("bake {bake} is done: snapshot {snapshot}")]
    Done { bake: BakeId, snapshot: String },
    #[error("bake {bake} has ended with exit status {exit}: there is nothing to resume")]
    Ended { bake: BakeId, exit: u8 },
    #[error("cannot resume bake {bake} without its secrets: {reason}")]
    NoSecrets { bake: BakeId, reason: String },
    #[error(transparent)]
    Account(#[from] crate::bake::Failure),
    #[error("the bake began in account {began_in}, and this token belongs to account {account}")]
    OtherAccount { began_in: String, account: String },
    #[error("cannot remove {0}, which is in the way")]
    InTheWay(String),
}

impl ExpectedError for ResumeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotBegun(_) | Self::Done { .. } | Self::Ended { .. } | Self::OtherAccount { .. } => ErrorKind::Usage,
            Self::NoSecrets { .. } => ErrorKind::System,
            Self::Account(_) | Self::InTheWay(_) => ErrorKind::Service,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NotBegun(_) => Some("start a new one: mkimg bake".into()),
            Self::Done { .. } => None,
            Self::Ended { bake, .. } => {
                Some(format!("`mkimg gc {bake}` destroys its resources, if any; `mkimg bake` starts a new bake").into())
            }
            Self::NoSecrets { bake, .. } => Some(format!("destroy its resources: mkimg gc {bake}").into()),
            Self::Account(failure) => advice::for_failure(failure).map(Into::into),
            Self::OtherAccount { .. } => Some("use a token of the account in which it began".into()),
            Self::InTheWay(_) => Some("run it again later".into()),
        }
    }
}

/// A bake read back from its journal.
struct ResumedBake {
    spec: Spec,
    api_url: String,
    account: String,
    document: String,
    stand_ins: bool,
    artifacts: Option<ServedArtifacts>,
    began: u64,
    documents: BakeDocuments,
    journal: FileJournal,
    state: BakeState,
}

impl ResumedBake {
    fn read(bake: &BakeId, journal: FileJournal, lines: &[JournalLine]) -> Result<Self, Failure> {
        let Some(JournalLine {
            at,
            entry: JournalEntry::Began { spec, api_url, account, document, stand_ins, artifacts, .. },
        }) = lines.first()
        else {
            journal.remove_secrets()?;
            return Err(ResumeError::NotBegun(bake.clone()).into());
        };
        let state = BakeState::replay(lines.iter().map(|line| &line.entry));
        if state.exit_status().is_some() {
            // It was killed between its last line and the removal of its secrets.
            journal.remove_secrets()?;
        }
        match (state.exit_status(), state.snapshot.id()) {
            (None, _) => {}
            (Some(0), Some(snapshot)) => {
                return Err(ResumeError::Done { bake: bake.clone(), snapshot: snapshot.to_owned() }.into());
            }
            (Some(exit), _) => return Err(ResumeError::Ended { bake: bake.clone(), exit }.into()),
        }
        let no_secrets = |reason: String| ResumeError::NoSecrets { bake: bake.clone(), reason };
        let text = journal.read_secrets().map_err(|error| no_secrets(error.to_string()))?;
        let mut documents = BakeDocuments::from_json(text.expose_secret()).map_err(no_secrets)?;
        documents.attach_upload(&journal.upload_path());
        Ok(Self {
            spec: Spec::clone(spec),
            api_url: api_url.clone(),
            account: account.clone(),
            document: document.clone(),
            stand_ins: *stand_ins,
            artifacts: artifacts.clone(),
            began: *at,
            documents,
            journal,
            state,
        })
    }

    async fn run(mut self, args: &Args, global: &Global, api: &Api) -> Result<(), Failure> {
        let terminal = &global.terminal;
        let account = preflight::account(api.client()).await.map_err(ResumeError::Account)?;
        terminal.note(&format!("account {}, token from {}", account.name, api.origin()));
        if account.name != self.account {
            return Err(ResumeError::OtherAccount { began_in: self.account, account: account.name }.into());
        }
        if unix_time() >= self.spec.deadline {
            terminal.warning("the bake's deadline has passed: any `mkimg gc` may destroy its resources");
        }
        if api.is_local() {
            self.recover_local_droplets(api).await?;
        }
        let _server = match self.artifacts.take() {
            Some(served) if !self.state.build.has_passed() && self.state.clean_up_reason().is_none() => {
                api.serve_droplets(served.port);
                Some(ArtifactDirectory::read(&served.folder)?.serve(served.port).await?.1)
            }
            _ => None,
        };
        terminal.note(&format!(
            "bake {}, journal in {}: continuing with stage `{}`",
            self.spec.id,
            self.journal.folder().display(),
            self.state.stage()
        ));
        let stops = StopRequests::watch(global)?;
        let report = Report::new(&self.spec, self.began, self.document, self.stand_ins);
        let run = BakeRun {
            global,
            api,
            documents: self.documents,
            journal: self.journal,
            state: self.state,
            report,
            format: args.format,
            report_path: args.report.as_deref(),
            stops: &stops,
            shared: SharedTerminal::default(),
            label: None,
            places: Vec::new(),
        };
        run.run(&self.spec).await
    }

    /// The embedded emulator's droplets ended with the process that was killed. One that was off is
    /// complete on its disk; one that was running has lost its work.
    async fn recover_local_droplets(&mut self, api: &Api) -> Result<(), Failure> {
        let build = &self.state.build;
        let is_off = build.has_reached(DropletProgress::Off) || build.is_gone();
        if self.state.clean_up_reason().is_none() && !is_off {
            let stage = self.state.stage();
            self.append(&JournalEntry::CleaningUp {
                failure: format!("{stage}: the local droplet ended with the command that ran it"),
            })?;
        }
        let verification = &self.state.verification;
        if let Some(droplet) = verification.present_id().filter(|_| !verification.has_passed()) {
            let resource = ResourceId::Droplet(droplet);
            let orphan = Orphan { tag: self.spec.tag(), resource, name: "verification".to_owned() };
            let clock = SystemClock::default();
            let (interval, budget) = (self.spec.poll_interval, self.spec.limits.unreachable);
            Collector::new(api.client(), &clock, interval, budget)
                .remove(&orphan, Duration::from_secs(60))
                .await
                .map_err(|remaining| ResumeError::InTheWay(remaining.to_string()))?;
            self.append(&JournalEntry::DropletGone { droplet })?;
        }
        Ok(())
    }

    fn append(&mut self, entry: &JournalEntry) -> Result<(), Failure> {
        self.journal.append(unix_time(), entry)?;
        self.state.apply(entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        let bake = || BakeId::new(0, [1, 2, 3]);
        assert_error(ResumeError::NotBegun(bake()), 2, "start a new one: mkimg bake");
        assert_error(ResumeError::Done { bake: bake(), snapshot: "1".into() }, 2, "");
        assert_error(ResumeError::Ended { bake: bake(), exit: 3 }, 2, "`mkimg gc 19700101-000000-010203` destroys");
        let no_secrets = ResumeError::NoSecrets { bake: bake(), reason: "x".into() };
        assert_error(no_secrets, 2, "destroy its resources: mkimg gc 19700101-000000-010203");
        let other = ResumeError::OtherAccount { began_in: "a".into(), account: "b".into() };
        assert_error(other, 2, "use a token of the account");
        assert_error(ResumeError::InTheWay("x".into()), 2, "run it again later");
    }
}
