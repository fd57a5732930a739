//! `mkimg gc [BAKE…]`: destroys what bakes have left, found by their tags, from any machine with the token.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::bake::{Api, ApiArgs, SystemClock, close, known, not_known, unix};
use super::{Failure, Global, Status};
use crate::bake::journal::{Entry, Ledger, Line};
use crate::bake::leftovers::{self, Leftover, Selection, Thing};
use crate::bake::ports::{Provider, ProviderError, ProviderErrorKind};
use crate::bake::silence::Patience;
use crate::bake::{BakeId, BakeTag};

/// How long one thing may take to go.
const LIMIT: Duration = Duration::from_secs(300);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Only what carries a bake's tag is touched, and only past the bake's deadline: others may be at work elsewhere.\nA bake that is named goes whatever its deadline."
)]
pub(super) struct Args {
    /// These bakes, whatever their deadline; without one, all that are past it
    bakes: Vec<String>,
    #[command(flatten)]
    api: ApiArgs,
    /// Only bakes whose deadline passed this long ago
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    older_than: Duration,
    /// How long no usable answer may come from the API. 3m; 30s where the API is on this machine
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout_unreachable: Option<Duration>,
    /// Say what would go, and destroy nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::usage)?
        .block_on(collect(args, global))
}

async fn collect(args: &Args, global: &Global) -> Result<(), Failure> {
    let named =
        args.bakes.iter().map(|text| BakeId::parse(text)).collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
    let api = args.api.open(args.api.target()?, global).await?;
    let selection = Selection { now: unix(), older_than: args.older_than, named };
    let result = with_api(args, global, &selection, &api).await;
    api.close(global).await;
    result
}

/// A named bake of which there is a journal here, at this API.
struct Journalled {
    tag: BakeTag,
    ledger: Ledger,
}

/// Which bakes a process of this machine is at work on, and what the journals say of the named ones.
struct Here {
    at_work: BTreeSet<BakeId>,
    journalled: Vec<Journalled>,
}

impl Here {
    fn look(selection: &Selection, api: &Api, global: &Global) -> Result<Self, Failure> {
        let mut here = Self { at_work: BTreeSet::new(), journalled: Vec::new() };
        for known in known()? {
            let named = selection.named.contains(&known.bake);
            if known.at_work && named {
                return Err(Failure::usage(format!("a process of this machine is at work on bake {}", known.bake))
                    .with_help("end it with Ctrl-C: it cleans up itself"));
            }
            if known.at_work {
                here.at_work.insert(known.bake);
                continue;
            }
            match known.lines {
                Err(reason) if named => {
                    let text =
                        format!("the journal of bake {} is of no help: {reason}; going by tags alone", known.bake);
                    global.terminal.warning(&text);
                }
                Ok(lines) if named => {
                    if let Some(Line { entry: Entry::Began { spec, api_url, .. }, .. }) = lines.first()
                        && *api_url == api.journalled()
                    {
                        let ledger = Ledger::replay(lines.iter().map(|line| &line.entry));
                        here.journalled.push(Journalled { tag: spec.tag(), ledger });
                    }
                }
                _ => {}
            }
        }
        Ok(here)
    }
}

async fn with_api(args: &Args, global: &Global, selection: &Selection, api: &Api) -> Result<(), Failure> {
    let terminal = &global.terminal;
    let (client, clock) = (api.client(), SystemClock::default());
    let here = Here::look(selection, api, global)?;
    let mut found = api.leftovers().await?;
    for bake in &here.journalled {
        let more =
            leftovers::find_of(client, &clock, &bake.tag, &bake.ledger).await.map_err(|error| not_known(&error))?;
        found.extend(
            more.into_iter().filter(|left| found.iter().all(|known| known.what != left.what)).collect::<Vec<_>>(),
        );
    }
    found.sort_by(|a, b| (&a.tag.id, &a.what).cmp(&(&b.tag.id, &b.what)));
    let takes = |left: &Leftover| selection.takes(&left.tag) && !here.at_work.contains(&left.tag.id);
    let (going, staying): (Vec<_>, Vec<_>) = found.into_iter().partition(takes);
    for leftover in staying.iter().filter(|_| selection.named.is_empty()) {
        let remaining = Duration::from_secs(leftover.tag.deadline.saturating_sub(selection.now));
        let why = match (here.at_work.contains(&leftover.tag.id), remaining.is_zero()) {
            (true, _) => "a process of this machine is at work on it".to_owned(),
            (false, false) => format!("its deadline is in {}", humantime::format_duration(remaining)),
            (false, true) => format!(
                "its deadline passed {} ago",
                humantime::format_duration(Duration::from_secs(selection.now.saturating_sub(leftover.tag.deadline)))
            ),
        };
        terminal.note(&format!("{} of bake {} stays: {why}", leftover.what, leftover.tag.id));
    }
    if going.is_empty() {
        terminal.note("nothing to destroy");
        if !staying.is_empty() && selection.named.is_empty() {
            terminal.help(&format!("what one bake left, whatever its deadline: mkimg gc{} BAKE", api.options()));
        }
    }
    if args.dry_run {
        return going.iter().try_for_each(|one| terminal.print(format!("would destroy {}\n", named(one))));
    }
    let patience = Patience::new(&clock, args.timeout_unreachable.unwrap_or_else(|| api.unreachable()));
    let mut left = 0;
    let mut gone: BTreeSet<BakeId> = selection.named.iter().cloned().collect();
    gone.extend(going.iter().map(|leftover| leftover.tag.id.clone()));
    let mut said: Vec<Thing> = Vec::new();
    for leftover in &going {
        if said.contains(&leftover.what) {
            // It went with its droplet.
            continue;
        }
        let removed = match patience.over() {
            None => leftovers::remove(client, &patience, leftover, LIMIT).await.map_err(|left| left.to_string()),
            Some(_) => Err(format!("{} (not asked for any more)", leftover.what)),
        };
        match removed {
            Ok(removed) => {
                for one in removed.into_iter().filter(|one| !said.contains(&one.what)).collect::<Vec<_>>() {
                    terminal.print(format!("destroyed {}\n", named(&one)))?;
                    said.push(one.what);
                }
            }
            Err(still) => {
                left += 1;
                gone.remove(&leftover.tag.id);
                terminal.error(&format!("still there: {still}"));
            }
        }
    }
    let unclear = close_journals(&gone, &here, api, global).await;
    let (all, again) = (going.len(), again(selection, api));
    match (left, unclear, patience.over()) {
        (0, 0, _) => Ok(()),
        (0, ..) => Err(Failure::new(Status::FailedLeft, "it is not known whether a snapshot of these bakes stays")
            .with_help(format!("run it again later: {again}"))),
        (_, _, None) => Err(Failure::new(Status::FailedLeft, format!("{left} of {all} could not be destroyed"))
            .with_help(format!("run it again later: {again}"))),
        (.., Some(unheard)) => Err(Failure::new(
            Status::FailedLeft,
            format!("{left} of {all} are not known to be gone: the API gave no usable answer for {}", unheard.limit),
        )
        .with_help(format!("run it again when the API answers: {again}; a longer patience: --timeout-unreachable"))),
    }
}

/// Ends the journals of bakes of which nothing is left. Of how many it could not be looked up what is to be written.
async fn close_journals(gone: &BTreeSet<BakeId>, here: &Here, api: &Api, global: &Global) -> usize {
    let terminal = &global.terminal;
    let mut unclear = 0;
    for bake in gone {
        let ledger = here.journalled.iter().find(|known| known.tag.id == *bake).map(|known| &known.ledger);
        let kept = match ledger {
            Some(ledger) => committed(api.client(), ledger).await,
            None => Ok(None),
        };
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) => {
                unclear += 1;
                terminal.error(&format!("whether the snapshot of bake {bake} stays is not known: {error}"));
                continue;
            }
        };
        if let Some(snapshot) = &kept {
            terminal
                .note(&format!("snapshot {snapshot} of bake {bake} stays: it was finished, and nothing else is left"));
        }
        // A bake whose droplets are gone cannot be resumed: its secrets are of no use to anybody.
        if let Err(error) = close(bake, unix(), &api.journalled(), kept.is_some(), terminal.redaction()) {
            terminal.warning(&error.to_string());
        }
    }
    unclear
}

/// The command that does the same once more.
fn again(selection: &Selection, api: &Api) -> String {
    let mut text = format!("mkimg gc{}", api.options());
    if !selection.older_than.is_zero() {
        let _ = write!(
            text,
            " --older-than {}",
            humantime::format_duration(selection.older_than).to_string().replace(' ', "")
        );
    }
    for bake in &selection.named {
        let _ = write!(text, " {bake}");
    }
    text
}

fn named(leftover: &Leftover) -> String {
    format!("{} `{}` of bake {}", leftover.what, leftover.name, leftover.tag.id)
}

/// The snapshot of a bake that is done, or was killed at its last step: its tag is off already, and the product stands. One
/// that halted there has named its snapshot as left, with the command that removes it.
async fn committed(provider: &dyn Provider, ledger: &Ledger) -> Result<Option<String>, ProviderError> {
    let stands = ledger.committing && !ledger.halted && ledger.ended.is_none_or(|exit| exit == 0);
    let (true, Some(id)) = (stands, &ledger.snapshot) else { return Ok(None) };
    match provider.snapshot(id).await {
        Ok(_) => Ok(Some(id.clone())),
        Err(error) if error.kind == ProviderErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
