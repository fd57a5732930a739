//! `mkimg lock`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::bake::variants::variants;
use super::interrupted::Interrupted;
use super::{Failure, Global, Status, project};
use crate::model::{self, Lock, PlanError};
use crate::workspace::{self, DownloadError, Downloads, Wanted};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The lock is written once, when everything is pinned. If a download fails, nothing is written, and the next run continues \
where this one stopped. Pins that are not asked for this time stay (--var arch=arm64 adds to what is there); --prune \
removes them.")]
pub(super) struct Args {
    /// The image template; without it, the only one in templates/
    template: Option<PathBuf>,
    /// Download pinned artifacts again, and pin what they are now
    #[arg(long)]
    update: bool,
    /// Remove the pins that are not asked for this time
    #[arg(long)]
    prune: bool,
    /// Pin for each of these values, as `bake` would bake each (repeatable: all combinations)
    #[arg(long, value_name = "NAME=VALUE,VALUE")]
    matrix: Vec<String>,
    /// Print the artifacts' addresses, one per line; download and write nothing
    #[arg(long, conflicts_with_all = ["update", "prune"])]
    list: bool,
    /// Download and write nothing: exit status 1 if an artifact is not pinned
    #[arg(long, conflicts_with_all = ["update", "prune", "list"])]
    locked: bool,
    #[command(flatten)]
    fetching: Fetching,
    /// The lock to write instead of the project's
    #[arg(long, value_name = "FILE", hide = true)]
    lock: Option<PathBuf>,
}

/// How downloads are done.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Fetching {
    /// How many downloads at once
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=32))]
    parallel: u8,
    /// How long one download may take, all its attempts together
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    timeout_download: Duration,
    /// How long a server may be silent
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration, hide_short_help = true)]
    timeout_silence: Duration,
    /// The first pause before another attempt; it doubles, up to 4s
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = humantime::parse_duration, hide_short_help = true)]
    retry_wait: Duration,
}

impl Default for Fetching {
    fn default() -> Self {
        let usual = workspace::DownloadOptions::default();
        Self {
            parallel: 4,
            timeout_download: usual.time_limit,
            timeout_silence: usual.silence,
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
            let assignment = model::assignment(text);
            assignments.push(assignment.map_err(|error| Failure::usage(error.clone()).with_help(error.help()))?);
        }
        for artifact in opened.resolve(global, assignments)?.spec.artifacts {
            let one = Wanted { url: artifact.url, checksum: artifact.checksum };
            if !wanted.contains(&one) {
                wanted.push(one);
            }
        }
    }
    if args.list {
        let lines: Vec<String> = wanted.iter().map(|wanted| format!("{}\n", wanted.url)).collect();
        return global.terminal.print(lines.concat());
    }
    let path = opened.lock_path(global, args.lock.as_deref());
    let before = project::lock(&path)?;
    let missing: Vec<Wanted> =
        wanted.iter().filter(|wanted| args.update || before.get(&wanted.url).is_none()).cloned().collect();
    if args.locked {
        return all_pinned(global, &path, &missing);
    }
    let downloads = downloads(&args.fetching)?;
    let fetched = fetch(global, &downloads, &missing, &args.fetching, true)?;
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
        global.terminal.note(&format!("{} pins every artifact already", path.display()));
    } else {
        workspace::write_lock(&path, &lock).map_err(|error| {
            let help = error.help();
            Failure::usage(error).with_help(help)
        })?;
        let count = lock.iter().count();
        global.terminal.note(&format!("{} pins {}", path.display(), artifacts(count)));
    }
    // Only now: what was downloaded for a lock that could not be written need not be fetched again.
    for wanted in &missing {
        downloads.forget(&wanted.url);
    }
    let others = lock.iter().filter(|(url, _)| !asked_for(url)).count();
    if others > 0 {
        global.terminal.note(&format!("{others} of them not asked for this time; --prune takes such out"));
    }
    Ok(())
}

/// `--locked`: says whether something would have to be pinned.
fn all_pinned(global: &Global, lock: &Path, missing: &[Wanted]) -> Result<(), Failure> {
    if missing.is_empty() {
        global.terminal.note(&format!("{} pins every artifact", lock.display()));
        return Ok(());
    }
    let urls = missing.iter().map(|wanted| wanted.url.clone()).collect();
    let error = PlanError::NotLocked { lock: lock.display().to_string(), urls };
    let help = error.help();
    Err(Failure::finding(error).with_help(help))
}

fn artifacts(count: usize) -> String {
    format!("{count} artifact{}", if count == 1 { "" } else { "s" })
}

/// The lock with every artifact pinned. Nothing is written, and no signal is caught: what a bake begins with.
pub(super) fn complete(global: &Global, before: &Lock, wanted: &[Wanted]) -> Result<Lock, Failure> {
    let missing: Vec<Wanted> = wanted.iter().filter(|wanted| before.get(&wanted.url).is_none()).cloned().collect();
    let fetching = Fetching::default();
    let downloads = downloads(&fetching)?;
    let mut lock = before.clone();
    for (wanted, pin) in missing.iter().zip(fetch(global, &downloads, &missing, &fetching, false)?) {
        lock.insert(&wanted.url, pin);
        downloads.forget(&wanted.url);
    }
    Ok(lock)
}

fn failed(error: DownloadError) -> Failure {
    let help = error.help();
    Failure::usage(error).with_help(help)
}

fn downloads(fetching: &Fetching) -> Result<Downloads, Failure> {
    Downloads::new(workspace::DownloadOptions {
        silence: fetching.timeout_silence,
        time_limit: fetching.timeout_download,
        retry_wait: fetching.retry_wait,
        ..workspace::DownloadOptions::default()
    })
    .map_err(failed)
}

/// Pins, in the order of what is wanted. Every download is tried, and every failure is said: the last one is returned.
fn fetch(
    global: &Global,
    downloads: &Downloads,
    wanted: &[Wanted],
    fetching: &Fetching,
    heed_signals: bool,
) -> Result<Vec<model::Pin>, Failure> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start downloads: {error}")))?;
    let bars = MultiProgress::with_draw_target(if global.terminal.is_interactive() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    let all = async {
        let each = wanted.iter().map(|wanted| pin(global, downloads, wanted, &bars));
        let mut results = futures_util::stream::iter(each).buffered(usize::from(fetching.parallel));
        let (mut pins, mut failures) = (Vec::new(), Vec::new());
        for wanted in wanted {
            match results.next().await {
                Some(Ok(pin)) => {
                    let text = format!("{}  {} ({} bytes)", pin.sha256, wanted.url, pin.size);
                    bars.suspend(|| global.terminal.note(&text));
                    pins.push(pin);
                }
                Some(Err(error)) => failures.push(failed(error)),
                None => break,
            }
        }
        (pins, failures)
    };
    let (pins, mut failures) = runtime.block_on(async {
        if !heed_signals {
            return Ok(all.await);
        }
        let mut interrupted = Interrupted::watch().map_err(Failure::usage)?;
        tokio::select! {
            result = all => Ok(result),
            () = interrupted.again() => {
                let _ = bars.clear();
                let failure = Failure::new(Status::Interrupted, "interrupted: the lock is as it was");
                Err(failure.with_help("the next `mkimg lock` goes on where this one stopped, where the servers allow that"))
            }
        }
    })?;
    let _ = bars.clear();
    let Some(last) = failures.pop() else { return Ok(pins) };
    for failure in failures {
        failure.show(&global.terminal);
    }
    Err(last)
}

async fn pin(
    global: &Global,
    downloads: &Downloads,
    wanted: &Wanted,
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
    bar.with_message(url.rsplit('/').next().unwrap_or(url).to_owned())
}
