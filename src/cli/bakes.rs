//! `mkimg bakes`: what was started from here and where it stands, and what is left in the account.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::bake::{ApiArgs, FormatArg, Known, known, unix};
use super::{Failure, Global};
use crate::bake::BakeId;
use crate::bake::journal::{Entry, Ledger, Line};
use crate::bake::leftovers::Leftover;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The account is looked at where there is a token, or with --local. What is left there may come from other machines."
)]
pub(super) struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// How the list is written
    #[arg(long, value_enum, default_value_t = FormatArg::Human)]
    format: FormatArg,
}

/// One bake, for `--format json`.
#[derive(Debug, Serialize)]
struct Row {
    bake: BakeId,
    /// `at-work`, `interrupted`, `done`, `failed`, `left` or `unreadable`.
    state: &'static str,
    /// More of it, in words.
    detail: String,
    /// The stage that it is at or was interrupted at.
    stage: Option<String>,
    /// RFC 3339.
    started: Option<String>,
    /// The snapshot that it makes or made.
    snapshot: Option<String>,
    snapshot_id: Option<String>,
    /// The API's address, or `local`.
    api: Option<String>,
}

#[derive(Debug, Serialize)]
struct Left {
    what: String,
    name: String,
    bake: BakeId,
    deadline: u64,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let rows: Vec<Row> = known()?.into_iter().map(row).collect();
    if args.format == FormatArg::Human {
        global.terminal.print(table(&rows))?;
        if rows.is_empty() {
            global.terminal.note("no bake was started from here");
        }
    }
    // Without a token there is no account to look at; the list stands all the same.
    let Ok(target) = args.api.target() else {
        global.terminal.note("no token: what is left in the account is not known");
        return if args.format == FormatArg::Json { json(global, &rows, None) } else { Ok(()) };
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::usage)?;
    let found = runtime.block_on(async {
        let api = args.api.open(target, global).await?;
        let found = api.leftovers().await;
        let options = api.options();
        api.close(global).await;
        found.map(|found| (found, options))
    });
    match args.format {
        FormatArg::Json => {
            json(global, &rows, found.as_ref().ok().map(|(found, _)| found.as_slice()))?;
            found.map(drop)
        }
        FormatArg::Human => {
            let (found, options) = found?;
            left(global, &rows, &found, &options)
        }
    }
}

fn row(known: Known) -> Row {
    let mut row = Row {
        bake: known.bake,
        state: "unreadable",
        detail: String::new(),
        stage: None,
        started: None,
        snapshot: None,
        snapshot_id: None,
        api: None,
    };
    let lines = match known.lines {
        Ok(lines) => lines,
        Err(reason) => {
            row.detail = reason;
            return row;
        }
    };
    let ledger = Ledger::replay(lines.iter().map(|line| &line.entry));
    if let Some(line) = lines.first()
        && let Entry::Began { spec, api_url, .. } = &line.entry
    {
        let time = std::time::UNIX_EPOCH + Duration::from_secs(line.at);
        row.started = Some(humantime::format_rfc3339_seconds(time).to_string());
        row.snapshot = Some(spec.snapshot.name.clone());
        row.api = Some(api_url.clone());
    }
    let name = row.snapshot.clone().unwrap_or_default();
    let ended = lines.iter().rev().find_map(|line| match &line.entry {
        Entry::Ended { exit, failure, left } => Some((*exit, failure.clone().unwrap_or_default(), left.clone())),
        _ => None,
    });
    let things = |left: &[crate::bake::Left]| left.iter().map(crate::bake::Left::name).collect::<Vec<_>>().join(", ");
    let halted = match lines.last() {
        Some(Line { entry: Entry::Halted { failure, left }, .. }) if !known.at_work => Some((failure, left)),
        _ => None,
    };
    if let Some((failure, left)) = halted {
        row.stage = Some(ledger.stage().to_string());
        row.state = "left";
        row.detail = format!("{}; go on: mkimg resume {}; {failure}", things(left), row.bake);
        return row;
    }
    (row.state, row.detail) = match ended {
        Some((0, ..)) => {
            row.snapshot_id.clone_from(&ledger.snapshot);
            ("done", format!("snapshot {name} ({})", ledger.snapshot.as_deref().unwrap_or("?")))
        }
        Some((_, failure, left)) if !left.is_empty() => ("left", format!("{}; {failure}", things(&left))),
        Some((130, ..)) => ("failed", "stopped, nothing is left".to_owned()),
        Some((_, failure, _)) => ("failed", failure),
        None => {
            let stage = ledger.stage().to_string();
            let detail = format!("at stage `{stage}` of snapshot {name}");
            row.stage = Some(stage);
            match (known.at_work, lines.is_empty()) {
                (true, _) => ("at-work", detail),
                (false, true) => ("interrupted", "before it asked for anything".to_owned()),
                (false, false) => ("interrupted", format!("{detail}; go on: mkimg resume {}", row.bake)),
            }
        }
    };
    row
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        // Times are in the names already.
        let first = crate::bake::printable(row.detail.lines().next().unwrap_or_default());
        let _ = writeln!(text, "{}  {:<11}  {first}", row.bake, row.state);
    }
    text
}

fn left(global: &Global, rows: &[Row], found: &[Leftover], options: &str) -> Result<(), Failure> {
    if found.is_empty() {
        global.terminal.note("nothing of any bake is left in the account");
        return Ok(());
    }
    let now = unix();
    let mut text = String::from("left in the account:\n");
    for leftover in found {
        let tag = &leftover.tag;
        let time = |seconds| humantime::format_duration(Duration::from_secs(seconds)).to_string();
        let deadline = match tag.deadline.checked_sub(now) {
            Some(remaining) if remaining > 0 => format!("its deadline is in {}", time(remaining)),
            _ => format!("past its deadline since {}", time(now.saturating_sub(tag.deadline))),
        };
        let here = rows.iter().find(|row| row.bake == tag.id).map_or("not started from here", |row| row.state);
        let _ = writeln!(text, "  {} `{}` of bake {} ({here}; {deadline})", leftover.what, leftover.name, tag.id);
    }
    global.terminal.print(text)?;
    global.terminal.help(&format!(
        "remove what one bake left: mkimg gc{options} BAKE; what is past its deadline: mkimg gc{options}"
    ));
    Ok(())
}

fn json(global: &Global, rows: &[Row], found: Option<&[Leftover]>) -> Result<(), Failure> {
    let left: Option<Vec<Left>> = found.map(|found| {
        let one = |leftover: &Leftover| Left {
            what: leftover.what.to_string(),
            name: leftover.name.clone(),
            bake: leftover.tag.id.clone(),
            deadline: leftover.tag.deadline,
        };
        found.iter().map(one).collect()
    });
    let list = serde_json::json!({"version": 1, "bakes": rows, "left": left});
    global.terminal.print(format!("{list}\n"))
}
