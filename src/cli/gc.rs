//! `mkimg gc [BAKE…]`: destroys the remaining resources of bakes. It finds them by tag, from any
//! machine with the token.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::Global;
use super::bake::{AccountUnknown, Api, ApiArgs, close_journal, known_bakes};
use super::error::{ErrorKind, ExpectedError, Failure};
use super::escape::one_line;
use super::runtime::{SystemClock, block_on, unix_time};
use crate::bake::journal::{JournalEntry, JournalLine};
use crate::bake::orphans::{Collector, Orphan, Selection};
use crate::bake::ports::{Provider, ProviderError, ProviderErrorKind};
use crate::bake::spec::DEFAULT_POLL_INTERVAL;
use crate::bake::state::{Phase, SnapshotProgress};
use crate::bake::{BakeId, BakeState, BakeTag, ResourceId, duration};

/// How long the removal of one resource may take.
const REMOVAL_LIMIT: Duration = Duration::from_secs(300);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Only resources with the tag of a bake are destroyed, and only after the bake's deadline: bakes of other machines may still be running.\nResources of a named bake are destroyed regardless of its deadline."
)]
pub(super) struct Args {
    /// The bakes to clean up, regardless of their deadline [default: all bakes past their deadline]
    bakes: Vec<String>,
    #[command(flatten)]
    api: ApiArgs,
    /// Only clean up bakes whose deadline passed at least this long ago
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    older_than: Duration,
    /// How long the API may give no usable answer [default: 3m; 30s if the API is on this machine]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout_unreachable: Option<Duration>,
    /// Print what would be destroyed, and destroy nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    block_on(collect(args, global))
}

async fn collect(args: &Args, global: &Global) -> Result<(), Failure> {
    let named = args.bakes.iter().map(|text| BakeId::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let api = args.api.open(args.api.target()?, global).await?;
    let selection = Selection { now: unix_time(), older_than: args.older_than, named };
    let result = with_api(args, global, &selection, &api).await;
    api.close(global).await;
    result
}

#[derive(Debug, thiserror::Error)]
enum GcError {
    #[error("a process on this machine is working on bake {0}")]
    Running(BakeId),
    #[error("it is not known whether a snapshot of these bakes is kept")]
    SnapshotUnknown { again: String },
    #[error("{remaining} of {all} could not be destroyed")]
    Remaining { remaining: usize, all: usize, again: String },
    #[error("{remaining} of {all} may still exist: the API gave no usable answer for {limit}")]
    Unreachable { remaining: usize, all: usize, limit: String, again: String },
}

impl ExpectedError for GcError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Running(_) => ErrorKind::Usage,
            _ => ErrorKind::Remaining,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Running(_) => "stop it with Ctrl-C: it cleans up itself".into(),
            Self::SnapshotUnknown { again } | Self::Remaining { again, .. } => {
                format!("run it again later: {again}").into()
            }
            Self::Unreachable { again, .. } => {
                format!("run it again when the API answers: {again}; --timeout-unreachable sets a longer outage budget")
                    .into()
            }
        })
    }
}

/// A named bake with a journal on this machine, at this API.
struct Journalled {
    tag: BakeTag,
    poll_interval: Duration,
    state: BakeState,
}

/// What this machine knows: the bakes that are running, and the journals of the named ones.
struct LocalBakes {
    running: BTreeSet<BakeId>,
    journalled: Vec<Journalled>,
}

impl LocalBakes {
    fn read(selection: &Selection, api: &Api, global: &Global) -> Result<Self, Failure> {
        let mut here = Self { running: BTreeSet::new(), journalled: Vec::new() };
        for known in known_bakes()? {
            let named = selection.named.contains(&known.bake);
            if known.at_work && named {
                return Err(GcError::Running(known.bake).into());
            }
            if known.at_work {
                here.running.insert(known.bake);
                continue;
            }
            match known.lines {
                Err(reason) if named => {
                    let text = format!("the journal of bake {} cannot be used: {reason}; using tags alone", known.bake);
                    global.terminal.warning(&text);
                }
                Ok(lines) if named => {
                    if let Some(JournalLine { entry: JournalEntry::Began { spec, api_url, .. }, .. }) = lines.first()
                        && *api_url == api.journal_url()
                    {
                        let state = BakeState::replay(lines.iter().map(|line| &line.entry));
                        here.journalled.push(Journalled { tag: spec.tag(), poll_interval: spec.poll_interval, state });
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
    let here = LocalBakes::read(selection, api, global)?;
    let outage_budget = args.timeout_unreachable.unwrap_or_else(|| api.unreachable());
    let mut found = api.orphans().await?;
    for bake in &here.journalled {
        let collector = Collector::new(client, &clock, bake.poll_interval, outage_budget);
        let mut more = collector.find_bake(&bake.tag, &bake.state).await.map_err(AccountUnknown)?;
        more.retain(|new| found.iter().all(|known| known.resource != new.resource));
        found.extend(more);
    }
    found.sort_by(|a, b| (&a.tag.id, &a.resource).cmp(&(&b.tag.id, &b.resource)));
    let is_selected = |orphan: &Orphan| selection.includes(&orphan.tag) && !here.running.contains(&orphan.tag.id);
    let (selected, kept): (Vec<_>, Vec<_>) = found.into_iter().partition(is_selected);
    for orphan in kept.iter().filter(|_| selection.named.is_empty()) {
        let remaining = Duration::from_secs(orphan.tag.deadline.saturating_sub(selection.now));
        let why = match (here.running.contains(&orphan.tag.id), remaining.is_zero()) {
            (true, _) => "a process on this machine is working on it".to_owned(),
            (false, false) => format!("its deadline is in {}", humantime::format_duration(remaining)),
            (false, true) => format!(
                "its deadline passed {} ago",
                humantime::format_duration(Duration::from_secs(selection.now.saturating_sub(orphan.tag.deadline)))
            ),
        };
        terminal.note(&format!("keeping {} of bake {}: {why}", orphan.resource, orphan.tag.id));
    }
    if selected.is_empty() {
        terminal.note("nothing to destroy");
        if !kept.is_empty() && selection.named.is_empty() {
            terminal.help(&format!(
                "to destroy the resources of one bake regardless of its deadline: mkimg gc{} BAKE",
                api.options()
            ));
        }
    }
    if args.dry_run {
        return selected.iter().try_for_each(|orphan| terminal.print(format!("would destroy {}\n", describe(orphan))));
    }
    let collector = Collector::new(client, &clock, DEFAULT_POLL_INTERVAL, outage_budget);
    let mut remaining = 0;
    let mut gone: BTreeSet<BakeId> = selection.named.iter().cloned().collect();
    gone.extend(selected.iter().map(|orphan| orphan.tag.id.clone()));
    let mut destroyed: Vec<ResourceId> = Vec::new();
    for orphan in &selected {
        if destroyed.contains(&orphan.resource) {
            // It was destroyed with its droplet.
            continue;
        }
        let removed = match collector.unavailable() {
            None => collector.remove(orphan, REMOVAL_LIMIT).await.map_err(|remaining| remaining.to_string()),
            Some(_) => Err(format!("{} (not requested any more)", orphan.resource)),
        };
        match removed {
            Ok(removed) => {
                for removed in removed {
                    if !destroyed.contains(&removed.resource) {
                        terminal.print(format!("destroyed {}\n", describe(&removed)))?;
                        destroyed.push(removed.resource);
                    }
                }
            }
            Err(still) => {
                remaining += 1;
                gone.remove(&orphan.tag.id);
                terminal.error(&format!("still exists: {still}"));
            }
        }
    }
    let unclear = close_journals(&gone, &here, api, global).await;
    let (all, again) = (selected.len(), repeat_command(selection, api));
    match (remaining, unclear, collector.unavailable()) {
        (0, 0, _) => Ok(()),
        (0, ..) => Err(GcError::SnapshotUnknown { again }.into()),
        (remaining, _, None) => Err(GcError::Remaining { remaining, all, again }.into()),
        (remaining, _, Some(outage)) => {
            Err(GcError::Unreachable { remaining, all, limit: duration::exact(outage.budget), again }.into())
        }
    }
}

/// Ends the journals of bakes with no remaining resources. Returns for how many the end is unknown.
async fn close_journals(gone: &BTreeSet<BakeId>, here: &LocalBakes, api: &Api, global: &Global) -> usize {
    let terminal = &global.terminal;
    let mut unclear = 0;
    for bake in gone {
        let state = here.journalled.iter().find(|known| known.tag.id == *bake).map(|known| &known.state);
        let kept = match state {
            Some(state) => committed_snapshot(api.client(), state).await,
            None => Ok(None),
        };
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) => {
                unclear += 1;
                terminal.error(&format!("it is not known whether the snapshot of bake {bake} is kept: {error}"));
                continue;
            }
        };
        if let Some(snapshot) = &kept {
            terminal
                .note(&format!("keeping snapshot {snapshot} of bake {bake}: it is finished, and nothing else remains"));
        }
        // A bake without its droplets cannot be resumed, so its secrets are not needed any more.
        if let Err(error) = close_journal(bake, unix_time(), &api.journal_url(), kept.is_some(), terminal.redaction()) {
            terminal.warning(&error.to_string());
        }
    }
    unclear
}

/// The command that does the same again.
fn repeat_command(selection: &Selection, api: &Api) -> String {
    let mut text = format!("mkimg gc{}", api.options());
    if !selection.older_than.is_zero() {
        let _ = write!(text, " --older-than {}", duration::exact(selection.older_than));
    }
    for bake in &selection.named {
        let _ = write!(text, " {bake}");
    }
    text
}

fn describe(orphan: &Orphan) -> String {
    format!("{} `{}` of bake {}", orphan.resource, one_line(&orphan.name), orphan.tag.id)
}

/// The snapshot of a bake that is done, or was killed at its last step: its tag is removed already,
/// and it is kept. A bake that was suspended there has reported its snapshot as remaining, with the
/// command that removes it.
async fn committed_snapshot(provider: &dyn Provider, state: &BakeState) -> Result<Option<String>, ProviderError> {
    let is_product = state.snapshot.has_reached(SnapshotProgress::Committing)
        && state.phase != Phase::Suspended
        && state.exit_status().is_none_or(|exit| exit == 0);
    let (true, Some(id)) = (is_product, state.snapshot.present_id()) else { return Ok(None) };
    match provider.snapshot(id).await {
        Ok(_) => Ok(Some(id.to_owned())),
        Err(error) if error.kind == ProviderErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        let again = || "mkimg gc".to_owned();
        assert_error(GcError::Running(BakeId::new(0, [1, 2, 3])), 2, "stop it with Ctrl-C");
        assert_error(GcError::SnapshotUnknown { again: again() }, 4, "run it again later: mkimg gc");
        assert_error(GcError::Remaining { remaining: 1, all: 2, again: again() }, 4, "run it again later: mkimg gc");
        let away = GcError::Unreachable { remaining: 1, all: 2, limit: "3m".into(), again: again() };
        assert_error(away, 4, "run it again when the API answers: mkimg gc");
    }

    #[test]
    fn the_command_that_does_the_same_again_has_the_same_options() {
        let bake = |n| BakeId::new(0, [1, 2, n]);
        for (url, older_than, named, expected) in [
            ("https://api.digitalocean.com", 0, vec![], "mkimg gc"),
            ("https://api.example", 5_400, vec![], "mkimg gc --api-url https://api.example --older-than 1h30m"),
            (
                "https://api.digitalocean.com",
                0,
                vec![bake(3), bake(4)],
                "mkimg gc 19700101-000000-010203 19700101-000000-010204",
            ),
        ] {
            let selection = Selection { now: 0, older_than: Duration::from_secs(older_than), named };
            assert_eq!(repeat_command(&selection, &crate::cli::bake::unused_api(url)), expected);
        }
    }
}
