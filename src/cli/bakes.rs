//! `mkimg bakes`: lists the bakes started from here with their state, and resources that remain in
//! the account.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::Global;
use super::bake::{ApiArgs, KnownBake, known_bakes};
use super::error::Failure;
use super::escape::one_line;
use super::options::OutputFormat;
use super::runtime::{block_on, unix_time};
use crate::bake::journal::{JournalEntry, JournalLine};
use crate::bake::orphans::Orphan;
use crate::bake::{BakeId, BakeState};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The account is searched if there is a token, or with --local. Resources found there may come from other machines."
)]
pub(super) struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t = OutputFormat::Human)]
    format: OutputFormat,
}

/// One bake, for `--format json`.
#[derive(Debug, Serialize)]
struct Row {
    bake: BakeId,
    /// `at-work`, `interrupted`, `done`, `failed`, `left` or `unreadable`.
    state: &'static str,
    /// Details for people.
    detail: String,
    /// The current stage, or the one at which it was interrupted.
    stage: Option<String>,
    /// RFC 3339.
    started: Option<String>,
    /// The name of its snapshot.
    snapshot: Option<String>,
    snapshot_id: Option<String>,
    /// The API's address, or `local`.
    api: Option<String>,
}

#[derive(Debug, Serialize)]
struct RemainingResource {
    what: String,
    name: String,
    bake: BakeId,
    deadline: u64,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let rows: Vec<Row> = known_bakes()?.into_iter().map(row).collect();
    if args.format == OutputFormat::Human {
        global.terminal.print(table(&rows))?;
        if rows.is_empty() {
            global.terminal.note("no bake was started from here");
        }
    }
    // Without a token, the list is still useful.
    let Ok(target) = args.api.target() else {
        global.terminal.note("no token: the account was not searched for remaining resources");
        return if args.format == OutputFormat::Json { print_json(global, &rows, None) } else { Ok(()) };
    };
    let found = block_on(async {
        let api = args.api.open(target, global).await?;
        let found = api.orphans().await;
        let options = api.options();
        api.close(global).await;
        found.map(|found| (found, options))
    });
    match args.format {
        OutputFormat::Json => {
            print_json(global, &rows, found.as_ref().ok().map(|(found, _)| found.as_slice()))?;
            found.map(drop)
        }
        OutputFormat::Human => {
            let (found, options) = found?;
            print_remaining(global, &rows, &found, &options)
        }
    }
}

fn row(known: KnownBake) -> Row {
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
    let state = BakeState::replay(lines.iter().map(|line| &line.entry));
    if let Some(line) = lines.first()
        && let JournalEntry::Began { spec, api_url, .. } = &line.entry
    {
        let time = std::time::UNIX_EPOCH + Duration::from_secs(line.at);
        row.started = Some(humantime::format_rfc3339_seconds(time).to_string());
        row.snapshot = Some(spec.snapshot.name.clone());
        row.api = Some(api_url.clone());
    }
    let name = row.snapshot.clone().unwrap_or_default();
    let ended = lines.iter().rev().find_map(|line| match &line.entry {
        JournalEntry::Ended { exit, failure, remaining: left } => {
            Some((*exit, failure.clone().unwrap_or_default(), left.clone()))
        }
        _ => None,
    });
    let things = |left: &[crate::bake::RemainingResource]| {
        left.iter().map(crate::bake::RemainingResource::name).collect::<Vec<_>>().join(", ")
    };
    let halted = match lines.last() {
        Some(JournalLine { entry: JournalEntry::Suspended { failure, remaining: left }, .. }) if !known.at_work => {
            Some((failure, left))
        }
        _ => None,
    };
    if let Some((failure, left)) = halted {
        row.stage = Some(state.stage().to_string());
        row.state = "left";
        row.detail = format!("{}; continue: mkimg resume {}; {failure}", things(left), row.bake);
        return row;
    }
    (row.state, row.detail) = match ended {
        Some((0, ..)) => {
            row.snapshot_id = state.snapshot.id().map(str::to_owned);
            ("done", format!("snapshot {name} ({})", state.snapshot.id().unwrap_or("?")))
        }
        Some((_, failure, left)) if !left.is_empty() => ("left", format!("{}; {failure}", things(&left))),
        Some((130, ..)) => ("failed", "stopped; nothing remains".to_owned()),
        Some((_, failure, _)) => ("failed", failure),
        None => {
            let reached = state.stage().to_string();
            let detail = format!("at stage `{reached}` of snapshot {name}");
            row.stage = Some(reached);
            match (known.at_work, lines.is_empty()) {
                (true, _) => ("at-work", detail),
                (false, true) => ("interrupted", "before its first request".to_owned()),
                (false, false) => ("interrupted", format!("{detail}; continue: mkimg resume {}", row.bake)),
            }
        }
    };
    row
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        // The id holds the time.
        let first = one_line(row.detail.lines().next().unwrap_or_default());
        let _ = writeln!(text, "{}  {:<11}  {first}", row.bake, row.state);
    }
    text
}

fn print_remaining(global: &Global, rows: &[Row], found: &[Orphan], options: &str) -> Result<(), Failure> {
    if found.is_empty() {
        global.terminal.note("no resources of bakes remain in the account");
        return Ok(());
    }
    let now = unix_time();
    let mut text = String::from("remaining in the account:\n");
    for orphan in found {
        let tag = &orphan.tag;
        let time = |seconds| humantime::format_duration(Duration::from_secs(seconds)).to_string();
        let deadline = match tag.deadline.checked_sub(now) {
            Some(remaining) if remaining > 0 => format!("its deadline is in {}", time(remaining)),
            _ => format!("its deadline passed {} ago", time(now.saturating_sub(tag.deadline))),
        };
        let here = rows.iter().find(|row| row.bake == tag.id).map_or("not started from here", |row| row.state);
        let _ = writeln!(
            text,
            "  {} `{}` of bake {} ({here}; {deadline})",
            orphan.resource,
            one_line(&orphan.name),
            tag.id
        );
    }
    global.terminal.print(text)?;
    global.terminal.help(&format!(
        "remove the resources of one bake: mkimg gc{options} BAKE; everything past its deadline: mkimg gc{options}"
    ));
    Ok(())
}

fn print_json(global: &Global, rows: &[Row], found: Option<&[Orphan]>) -> Result<(), Failure> {
    let left: Option<Vec<RemainingResource>> = found.map(|found| {
        let resource = |orphan: &Orphan| RemainingResource {
            what: orphan.resource.to_string(),
            name: orphan.name.clone(),
            bake: orphan.tag.id.clone(),
            deadline: orphan.tag.deadline,
        };
        found.iter().map(resource).collect()
    });
    let list = serde_json::json!({"version": 1, "bakes": rows, "left": left});
    global.terminal.print_json(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bake::journal::VERSION;
    use crate::bake::state::DropletRole;
    use crate::bake::tests::support::spec;
    use crate::bake::{RemainingResource as Remaining, ResourceId};

    /// The state, the stage and the details of a bake with these entries after the first one.
    fn shown(entries: &[JournalEntry], at_work: bool) -> (&'static str, String, String, Option<String>) {
        let began = JournalEntry::Began {
            version: VERSION,
            spec: Box::new(spec()),
            api_url: "https://api.example".into(),
            account: "me".into(),
            document: String::new(),
            stand_ins: false,
            artifacts: None,
        };
        let lines = std::iter::once(&began).chain(entries).map(|entry| JournalLine { at: 60, entry: entry.clone() });
        let row = row(KnownBake { bake: spec().id, lines: Ok(lines.collect()), at_work });
        assert_eq!(
            (row.started.as_deref(), row.snapshot.as_deref(), row.api.as_deref()),
            (Some("1970-01-01T00:01:00Z"), Some("product"), Some("https://api.example"))
        );
        (row.state, row.stage.unwrap_or_default(), row.detail, row.snapshot_id)
    }

    #[test]
    fn each_end_of_a_journal_has_its_state() {
        let role = DropletRole::Build;
        let created = [JournalEntry::Creating { role }, JournalEntry::Created { role, droplet: 7 }];
        let droplet: Vec<Remaining> = vec![ResourceId::Droplet(7).remaining("kept")];
        let ended = |exit, failure: Option<&str>, remaining: &[Remaining]| JournalEntry::Ended {
            exit,
            failure: failure.map(str::to_owned),
            remaining: remaining.to_vec(),
        };
        let suspended = JournalEntry::Suspended { failure: "destroy: no".into(), remaining: droplet.clone() };
        let snapshot = JournalEntry::Snapshot { id: "77".into() };
        let with = |more: &[JournalEntry]| [&created[..], more].concat();
        let bake = spec().id;
        for (entries, at_work, state, stage, detail) in [
            (vec![], true, "at-work", "create", "at stage `create` of snapshot product".to_owned()),
            (with(&[]), true, "at-work", "boot", "at stage `boot` of snapshot product".to_owned()),
            (
                with(&[]),
                false,
                "interrupted",
                "boot",
                format!("at stage `boot` of snapshot product; continue: mkimg resume {bake}"),
            ),
            (with(&[snapshot.clone(), ended(0, None, &[])]), false, "done", "", "snapshot product (77)".to_owned()),
            (with(&[ended(3, Some("boot: no"), &[])]), false, "failed", "", "boot: no".to_owned()),
            (with(&[ended(130, None, &[])]), false, "failed", "", "stopped; nothing remains".to_owned()),
            (with(&[ended(4, Some("boot: no"), &droplet)]), false, "left", "", "droplet 7; boot: no".to_owned()),
            (with(&[ended(130, None, &droplet)]), false, "left", "", "droplet 7; ".to_owned()),
            (
                with(&[snapshot.clone(), suspended.clone()]),
                false,
                "left",
                "tag",
                format!("droplet 7; continue: mkimg resume {bake}; destroy: no"),
            ),
            (with(&[snapshot, suspended]), true, "at-work", "tag", "at stage `tag` of snapshot product".to_owned()),
        ] {
            let id = (state == "done").then(|| "77".to_owned());
            assert_eq!(shown(&entries, at_work), (state, stage.to_owned(), detail, id), "{entries:?}");
        }
        let unreadable = row(KnownBake { bake: bake.clone(), lines: Err("line 3".into()), at_work: false });
        let empty = row(KnownBake { bake: bake.clone(), lines: Ok(Vec::new()), at_work: false });
        assert_eq!(
            table(&[unreadable, empty]),
            format!("{bake}  unreadable   line 3\n{bake}  interrupted  before its first request\n")
        );
    }
}
