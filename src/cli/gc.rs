//! `mkimg gc [BAKE…]`: destroys what bakes have left, found by their tags, from any machine with the token.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bake::{Api, ApiArgs, SystemClock, close, unix};
use super::{Failure, Global, Status};
use crate::bake::BakeId;
use crate::bake::leftovers::{self, Selection};

/// Destroys what bakes have left in the account
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

async fn with_api(args: &Args, global: &Global, selection: &Selection, api: &Api) -> Result<(), Failure> {
    let terminal = &global.terminal;
    let client = api.client();
    let found = leftovers::find(client).await.map_err(|error| {
        let advice = error.advice.clone();
        let failure = Failure::usage(error);
        match advice {
            Some(advice) => failure.with_help(advice),
            None => failure,
        }
    })?;
    let (going, staying): (Vec<_>, Vec<_>) = found.into_iter().partition(|leftover| selection.takes(&leftover.tag));
    for leftover in staying.iter().filter(|_| selection.named.is_empty()) {
        let remaining = Duration::from_secs(leftover.tag.deadline.saturating_sub(selection.now));
        terminal.note(&format!(
            "{} of bake {} stays: its deadline is in {}",
            leftover.what,
            leftover.tag.id,
            humantime::format_duration(remaining)
        ));
    }
    if going.is_empty() {
        terminal.note("nothing to destroy");
    }
    let mut left = 0;
    let mut gone: BTreeSet<BakeId> = selection.named.iter().cloned().collect();
    gone.extend(going.iter().map(|leftover| leftover.tag.id.clone()));
    for leftover in &going {
        let what = format!("{} `{}` of bake {}", leftover.what, leftover.name, leftover.tag.id);
        if args.dry_run {
            terminal.print(format!("would destroy {what}\n"))?;
            continue;
        }
        match leftovers::remove(client, &SystemClock::default(), leftover, Duration::from_secs(300)).await {
            Ok(()) => terminal.print(format!("destroyed {what}\n"))?,
            Err(still) => {
                left += 1;
                gone.remove(&leftover.tag.id);
                terminal.error(&format!("still there: {still}"));
            }
        }
    }
    if !args.dry_run {
        for bake in &gone {
            // A bake whose droplets are gone cannot be resumed: its secrets are of no use to anybody.
            if let Err(error) = close(bake, unix(), &api.journalled()) {
                terminal.warning(&error.to_string());
            }
        }
    }
    if left > 0 {
        return Err(Failure::new(Status::FailedLeft, format!("{left} of {} could not be destroyed", going.len()))
            .with_help("run it again later"));
    }
    Ok(())
}
