//! `mkimg render [TEMPLATE]`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::{CannotWrite, ErrorKind, ExpectedError, Failure};
use super::escape::escape_json;
use super::options::Limit;
use super::{Global, project};
use crate::render::{self, DOCUMENT_LIMIT, RenderedDocument};
use crate::workspace::{self, FilePath, Readers, write_for};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image template [default: the only one in templates/]
    template: Option<PathBuf>,
    /// Write the document to this file, all of it or nothing; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print on standard error how many bytes each entry takes
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "human")]
    stats: Option<Stats>,
    /// Maximum size of the document in bytes; `none` for no limit
    #[arg(long, value_name = "N|none", default_value_t = Limit(Some(DOCUMENT_LIMIT)))]
    limit: Limit,
    /// Fail if mkimg.lock does not pin an artifact
    #[arg(long)]
    locked: bool,
    /// The lock to read instead of the project's
    #[arg(long, value_name = "FILE", hide = true)]
    lock: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Stats {
    Human,
    Json,
}

/// `--stats json`: `json` was taken for the template.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {0}: it does not exist")]
struct StatsInTwoWords(String);

impl ExpectedError for StatsInTwoWords {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(format!("write --stats={}, in one word", self.0).into())
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    if let Some(format @ ("json" | "human")) = args.template.as_deref().and_then(Path::to_str)
        && args.stats.is_some()
        && !global.path(Path::new(format)).exists()
    {
        return Err(StatsInTwoWords(format.to_owned()).into());
    }
    let opened = project::open(global, args.template.as_deref())?;
    let lock_path = opened.lock_path(global, args.lock.as_deref());
    let assignments = project::assignments(global)?;
    let has_secrets = !opened.secrets(assignments.clone()).is_empty();
    let plan = opened.plan(global, assignments, &workspace::read_lock(&lock_path)?)?;
    project::check_locked(global, &plan, &lock_path, args.locked)?;
    let document = project::document(&plan, args.limit.0)?;
    match args.output.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            // A document is as secret as the values that the template puts into it.
            let readers = if has_secrets { Readers::Owner } else { Readers::Usual };
            let path = FilePath::typed_for_project(&opened.project.root, global.path(path));
            write_for(readers, &path, document.text.as_bytes())
                .map_err(CannotWrite::new("name a file in a writable directory, on a disk with free space"))?;
        }
        None => global.terminal.print_raw(document.text.as_bytes())?,
    }
    match args.stats {
        Some(Stats::Human) => global.terminal.eprint(&human(&document, args.limit.0)),
        Some(Stats::Json) => global.terminal.eprint(&escape_json(format!("{}\n", machine(&document, args.limit.0)))),
        None => {}
    }
    Ok(())
}

fn human(document: &RenderedDocument, limit: Option<usize>) -> String {
    let bytes = document.text.len();
    let of = limit.map_or_else(String::new, |limit| {
        let percent = bytes * 100 / limit.max(1);
        format!(" of {limit} ({percent} %)")
    });
    let carried = match document.embedded.as_slice() {
        [] => String::new(),
        paths => format!("embedded in {}, to make room: {}\n", render::runner::PATH, paths.join(", ")),
    };
    format!("{}\n{carried}{bytes} bytes{of}, {}\n", render::Listing(&document.entries), document.digest)
}

fn machine(document: &RenderedDocument, limit: Option<usize>) -> serde_json::Value {
    let entries = document.entries.iter().map(|entry| {
        json!({
            "path": entry.path,
            "raw_bytes": entry.raw_bytes,
            "stored_bytes": entry.stored_bytes,
            "encoding": entry.encoding.name(),
        })
    });
    json!({
        "bytes": document.text.len(),
        "limit": limit,
        "entries": entries.collect::<Vec<_>>(),
        "carried": document.embedded,
        "digest": document.digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        assert_error(StatsInTwoWords("json".into()), 2, "write --stats=json, in one word");
    }
}
