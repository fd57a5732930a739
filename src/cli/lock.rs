//! `mkimg lock`.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::error::{ErrorKind, ExpectedError, Failure};
use super::escape::one_line;
use super::options::variants;
use super::runtime::{StopSignals, block_on};
use super::{Global, project};
use crate::model::{self, Lock, PlanError};
use crate::workspace::{self, ArtifactRequest, DownloadError, Downloads, FilePath};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The lock is written once, when everything is pinned. If a download fails, nothing is written, and the next run continues \
where this one stopped. Pins of artifacts that this run does not ask for stay (--var arch=arm64 adds pins); --prune \
removes them.")]
pub(super) struct Args {
    /// The image template [default: the only one in templates/]
    template: Option<PathBuf>,
    /// Download pinned artifacts again, and pin their current contents
    #[arg(long)]
    update: bool,
    /// Remove the pins of artifacts that this run does not ask for
    #[arg(long)]
    prune: bool,
    /// Pin the artifacts for each of these values, as with `bake --matrix`; repeat for all
    /// combinations
    #[arg(long, value_name = "NAME=VALUE,VALUE")]
    matrix: Vec<String>,
    /// Print the URLs of the artifacts, one per line; download and write nothing
    #[arg(long, conflicts_with_all = ["update", "prune"])]
    list: bool,
    /// Exit with status 1 if an artifact is not pinned; download and write nothing
    #[arg(long, conflicts_with_all = ["update", "prune", "list"])]
    locked: bool,
    #[command(flatten)]
    download: DownloadArgs,
    /// The lock to write instead of the project's
    #[arg(long, value_name = "FILE", hide = true)]
    lock: Option<PathBuf>,
}

// Options for downloads. No doc comment: clap would use it as help of the command.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DownloadArgs {
    /// Maximum number of parallel downloads
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=32))]
    parallel: u8,
    /// How long one download may take, including all retries
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    timeout_download: Duration,
    /// How long to wait for data from a server before retrying
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration, hide_short_help = true)]
    timeout_silence: Duration,
    /// Initial retry delay; doubles with each retry, up to 4s
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = humantime::parse_duration, hide_short_help = true)]
    retry_wait: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("interrupted: the lock was not changed")]
struct Interrupted;

impl ExpectedError for Interrupted {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Interrupted
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("the next `mkimg lock` continues where this one stopped, if the servers allow it".into())
    }
}

impl Default for DownloadArgs {
    fn default() -> Self {
        let usual = workspace::DownloadOptions::default();
        Self {
            parallel: 4,
            timeout_download: usual.time_limit,
            timeout_silence: usual.idle_timeout,
            retry_wait: usual.retry_wait,
        }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let opened = project::open(global, args.template.as_deref())?;
    let mut wanted = Vec::new();
    for variant in variants(&[], &args.matrix)? {
        let mut assignments = project::assignments(global)?;
        for text in &variant.variables {
            assignments.push(project::assignment(text)?);
        }
        for artifact in opened.resolve(global, assignments)?.spec.artifacts {
            let artifact = ArtifactRequest { url: artifact.url, checksum: artifact.checksum };
            if !wanted.contains(&artifact) {
                wanted.push(artifact);
            }
        }
    }
    if args.list {
        let lines: Vec<String> = wanted.iter().map(|wanted| format!("{}\n", wanted.url)).collect();
        return global.terminal.print(lines.concat());
    }
    let path = opened.lock_path(global, args.lock.as_deref());
    let before = workspace::read_lock(&path)?;
    let missing: Vec<ArtifactRequest> =
        wanted.iter().filter(|wanted| args.update || before.get(&wanted.url).is_none()).cloned().collect();
    if args.locked {
        return check_pinned(global, &path, &missing);
    }
    warn_of_plain_http(global, &missing);
    let downloads = downloads(&args.download)?;
    let fetched = fetch(global, &downloads, &missing, &args.download, true)?;
    let mut lock = before.clone();
    for (wanted, pin) in missing.iter().zip(fetched) {
        if let Some(old) = before.get(&wanted.url).filter(|old| **old != pin) {
            global.terminal.warning(&format!("{} has changed: it was pinned with {}", wanted.url, old.sha256));
        }
        lock.insert(&wanted.url, pin);
    }
    let asked_for = |url: &str| wanted.iter().any(|wanted| wanted.url == url);
    if args.prune {
        lock.retain(asked_for);
    }
    if lock == before && path.exists() {
        global.terminal.note(&format!("{} already pins every artifact", path.display()));
    } else {
        workspace::write_lock(&path, &lock)?;
        let count = lock.iter().count();
        global.terminal.note(&format!("{} pins {}", path.display(), artifacts(count)));
    }
    // Only now: if the lock cannot be written, the next run need not download again.
    for wanted in &missing {
        downloads.forget(&wanted.url);
    }
    let others = lock.iter().filter(|(url, _)| !asked_for(url)).count();
    if others > 0 {
        global.terminal.note(&format!("this run did not ask for {others} of them; --prune removes such pins"));
    }
    Ok(())
}

/// `--locked`: fails if something is not pinned.
fn check_pinned(global: &Global, lock: &FilePath, missing: &[ArtifactRequest]) -> Result<(), Failure> {
    if missing.is_empty() {
        global.terminal.note(&format!("{} pins every artifact", lock.display()));
        return Ok(());
    }
    let urls = missing.iter().map(|wanted| wanted.url.clone()).collect();
    Err(PlanError::NotLocked { lock: lock.display().to_string(), urls }.into())
}

/// The first download decides what is pinned: over plain http, that is what anyone on the way sent.
fn warn_of_plain_http(global: &Global, missing: &[ArtifactRequest]) {
    let is_plain = |url: &&String| {
        let url = reqwest::Url::parse(url).ok();
        url.is_some_and(|url| url.scheme() == "http" && !crate::providers::is_loopback(&url))
    };
    let mut plain: Vec<&String> = missing
        .iter()
        .flat_map(|wanted| [Some(&wanted.url), wanted.checksum.as_ref()])
        .flatten()
        .filter(is_plain)
        .collect();
    plain.dedup();
    for url in plain {
        global.terminal.warning(&format!(
            "{url} is plain http: anyone on the way can change what is pinned now; use https, or compare the sha256 with \
             the publisher's"
        ));
    }
}

fn artifacts(count: usize) -> String {
    format!("{count} artifact{}", if count == 1 { "" } else { "s" })
}

/// The lock with every artifact pinned, for a bake. Nothing is written, and no signal is caught.
pub(super) fn complete(global: &Global, before: &Lock, wanted: &[ArtifactRequest]) -> Result<Lock, Failure> {
    let missing: Vec<ArtifactRequest> =
        wanted.iter().filter(|wanted| before.get(&wanted.url).is_none()).cloned().collect();
    warn_of_plain_http(global, &missing);
    let args = DownloadArgs::default();
    let downloads = downloads(&args)?;
    let mut lock = before.clone();
    for (wanted, pin) in missing.iter().zip(fetch(global, &downloads, &missing, &args, false)?) {
        lock.insert(&wanted.url, pin);
        downloads.forget(&wanted.url);
    }
    Ok(lock)
}

fn downloads(args: &DownloadArgs) -> Result<Downloads, DownloadError> {
    Downloads::new(workspace::DownloadOptions {
        idle_timeout: args.timeout_silence,
        time_limit: args.timeout_download,
        retry_wait: args.retry_wait,
        ..workspace::DownloadOptions::default()
    })
}

/// Pins in the order of `wanted`. Tries every download and prints every failure but the last one,
/// which it returns.
fn fetch(
    global: &Global,
    downloads: &Downloads,
    wanted: &[ArtifactRequest],
    args: &DownloadArgs,
    catch_signals: bool,
) -> Result<Vec<model::Pin>, Failure> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let bars = MultiProgress::with_draw_target(if global.terminal.is_interactive() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    let all = async {
        let each = wanted.iter().map(|wanted| pin(global, downloads, wanted, &bars));
        let mut results = futures_util::stream::iter(each).buffered(usize::from(args.parallel));
        let (mut pins, mut failures) = (Vec::new(), Vec::new());
        for wanted in wanted {
            match results.next().await {
                Some(Ok(pin)) => {
                    let text = format!("{}  {} ({} bytes)", pin.sha256, wanted.url, pin.size);
                    bars.suspend(|| global.terminal.note(&text));
                    pins.push(pin);
                }
                Some(Err(error)) => failures.push(Failure::from(error)),
                None => break,
            }
        }
        (pins, failures)
    };
    let (pins, mut failures) = block_on(async {
        if !catch_signals {
            return Ok(all.await);
        }
        let mut signals = StopSignals::watch()?;
        tokio::select! {
            result = all => Ok(result),
            () = signals.next() => {
                let _ = bars.clear();
                Err(Interrupted.into())
            }
        }
    })?;
    let _ = bars.clear();
    let Some(last) = failures.pop() else { return Ok(pins) };
    for failure in failures {
        failure.print(&global.terminal);
    }
    Err(last)
}

async fn pin(
    global: &Global,
    downloads: &Downloads,
    wanted: &ArtifactRequest,
    bars: &MultiProgress,
) -> Result<model::Pin, DownloadError> {
    global.terminal.detail(&format!("downloading {}", wanted.url));
    let bar = bars.add(bar(&wanted.url));
    let progress = |bytes: u64, of: Option<u64>| {
        if let Some(of) = of {
            bar.set_length(of);
        }
        bar.set_position(bytes);
    };
    let pin = downloads.pin(wanted, &progress).await;
    bar.finish_and_clear();
    bars.remove(&bar);
    pin
}

fn bar(url: &str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    let style = "{spinner} {bytes}/{total_bytes} {bytes_per_sec} {eta}  {msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.with_message(one_line(url.rsplit('/').next().unwrap_or(url)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        assert_error(Interrupted, 130, "the next `mkimg lock` continues");
    }
}
