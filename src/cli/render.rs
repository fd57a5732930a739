//! `mkimg render [TEMPLATE]`.

use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::{CannotWrite, ErrorKind, ExpectedError, Failure};
use super::escape::escape_json;
use super::options::Limit;
use super::{Global, project};
use userdata_lint::provider::{DIGITALOCEAN, ProviderArgument};

use crate::render::{self, Container, DOCUMENT_LIMIT, RenderedDocument, Target};
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
    /// Render for another provider: its limit, and a gzip of the document where it takes bytes
    #[arg(long, value_name = "NAME", default_value_t = ProviderArgument(DIGITALOCEAN))]
    provider: ProviderArgument,
    /// Maximum size in bytes instead of the provider's limit; `none` for no limit
    #[arg(long, value_name = "N|none")]
    limit: Option<Limit>,
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

/// Compressed bytes would go to a terminal.
#[derive(Debug, thiserror::Error)]
#[error("a document for {0} is compressed, and a terminal cannot show it")]
struct BytesForTerminal(&'static str);

impl ExpectedError for BytesForTerminal {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("name a file with `-o FILE`".into())
    }
}

impl Args {
    fn target(&self) -> Target {
        let provider = self.provider.0;
        let container = if provider.takes_bytes { Container::Gzip } else { Container::Text };
        // A bake adds its own entry, at DigitalOcean.
        let limit = if provider == DIGITALOCEAN { DOCUMENT_LIMIT } else { provider.max_bytes() };
        Target { limit: self.limit.as_ref().map_or(Some(limit), |limit| limit.0), container, can_upload: false }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    if let Some(format @ ("json" | "human")) = args.template.as_deref().and_then(Path::to_str)
        && args.stats.is_some()
        && !global.path(Path::new(format)).exists()
    {
        return Err(StatsInTwoWords(format.to_owned()).into());
    }
    let file = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if file.is_none() && args.target().container != Container::Text && std::io::stdout().is_terminal() {
        return Err(BytesForTerminal(args.provider.0.title).into());
    }
    let opened = project::open(global, args.template.as_deref())?;
    let lock_path = opened.lock_path(global, args.lock.as_deref());
    let assignments = project::assignments(global)?;
    let has_secrets = !opened.secrets(assignments.clone()).is_empty();
    let plan = opened.plan(global, assignments, &workspace::read_lock(&lock_path)?)?;
    project::check_locked(global, &plan, &lock_path, args.locked)?;
    let target = args.target();
    let document = project::document(&plan, target)?;
    let bytes = target.container.pack(&document.text);
    match file {
        Some(path) => {
            // A document is as secret as the values that the template puts into it.
            let readers = if has_secrets { Readers::Owner } else { Readers::Usual };
            let path = FilePath::typed_for_project(&opened.project.root, global.path(path));
            write_for(readers, &path, &bytes)
                .map_err(CannotWrite::new("name a file in a writable directory, on a disk with free space"))?;
        }
        None => global.terminal.print_raw(&bytes)?,
    }
    match args.stats {
        Some(Stats::Human) => global.terminal.eprint(&human(&document, bytes.len(), target.limit)),
        Some(Stats::Json) => {
            global.terminal.eprint(&escape_json(format!("{}\n", machine(&document, bytes.len(), target.limit))));
        }
        None => {}
    }
    Ok(())
}

fn human(document: &RenderedDocument, bytes: usize, limit: Option<usize>) -> String {
    let of = limit.map_or_else(String::new, |limit| {
        let percent = bytes * 100 / limit.max(1);
        format!(" of {limit} ({percent} %)")
    });
    format!("{}\n{bytes} bytes{of}, {}\n", render::Listing(&document.entries), document.digest)
}

fn machine(document: &RenderedDocument, bytes: usize, limit: Option<usize>) -> serde_json::Value {
    let entries = document.entries.iter().map(|entry| {
        json!({
            "path": entry.path,
            "raw_bytes": entry.raw_bytes,
            "stored_bytes": entry.stored_bytes,
            "encoding": entry.encoding.name(),
        })
    });
    json!({
        "bytes": bytes,
        "limit": limit,
        "entries": entries.collect::<Vec<_>>(),
        "carried": document.bundled().collect::<Vec<_>>(),
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
        assert_error(BytesForTerminal("Amazon EC2"), 2, "name a file with `-o FILE`");
    }
}
