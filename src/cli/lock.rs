//! `mkimg lock`.

use std::path::PathBuf;

use super::{Failure, Global, project};
use crate::model::Lock;
use crate::workspace::{self, Wanted};

/// Pins the sha256 of every artifact in mkimg.lock
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image template; without it, the only one in templates/
    template: Option<PathBuf>,
    /// Look again at artifacts that are pinned already
    #[arg(long)]
    update: bool,
    /// Print the artifacts' addresses, one a line, and do nothing else: nothing is downloaded or written
    #[arg(long, conflicts_with = "update")]
    list: bool,
    /// The lock to write instead of the project's
    #[arg(long, value_name = "FILE", hide = true)]
    lock: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let opened = project::open(global, args.template.as_deref())?;
    let spec = opened.resolve(global, project::assignments(global)?)?.spec;
    if args.list {
        let lines: Vec<String> = spec.artifacts.iter().map(|artifact| format!("{}\n", artifact.url)).collect();
        return global.terminal.print(lines.concat());
    }
    let path = opened.lock_path(global, args.lock.as_deref());
    let before = project::lock(&path)?;
    let wanted: Vec<Wanted<'_>> = spec
        .artifacts
        .iter()
        .map(|artifact| Wanted { url: &artifact.url, checksum: artifact.checksum.as_deref() })
        .collect();
    let lock = complete(global, &before, &wanted, args.update)?;
    if lock == before && path.exists() {
        global.terminal.note(&format!("{} pins every artifact already", path.display()));
        return Ok(());
    }
    workspace::write_lock(&path, &lock).map_err(|error| {
        let help = error.help();
        Failure::usage(error).with_help(help)
    })?;
    let count = wanted.len();
    global.terminal.note(&format!("{} pins {count} artifact{}", path.display(), if count == 1 { "" } else { "s" }));
    Ok(())
}

/// The lock with every artifact pinned, and none that is not wanted. Nothing is written.
pub(super) fn complete(global: &Global, before: &Lock, wanted: &[Wanted<'_>], again: bool) -> Result<Lock, Failure> {
    let mut lock = before.clone();
    lock.retain(|url| wanted.iter().any(|wanted| wanted.url == url));
    let missing: Vec<&Wanted<'_>> = wanted.iter().filter(|wanted| again || lock.get(wanted.url).is_none()).collect();
    if missing.is_empty() {
        return Ok(lock);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start downloads: {error}")))?;
    let failed = |error: workspace::DownloadError| {
        let help = error.help();
        Failure::usage(error).with_help(help)
    };
    let client = workspace::client().map_err(failed)?;
    for wanted in missing {
        global.terminal.detail(&format!("downloading {}", wanted.url));
        let bar = bar(global, wanted.url);
        let progress = |bytes: u64, of: Option<u64>| {
            if let Some(of) = of {
                bar.set_length(of);
            }
            bar.set_position(bytes);
        };
        let pin = runtime.block_on(workspace::pin(&client, *wanted, &progress));
        bar.finish_and_clear();
        let pin = pin.map_err(failed)?;
        global.terminal.note(&format!("{}  {} ({} bytes)", pin.sha256, wanted.url, pin.size));
        lock.insert(wanted.url, pin);
    }
    Ok(lock)
}

fn bar(global: &Global, url: &str) -> indicatif::ProgressBar {
    if !global.terminal.is_interactive() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(0);
    let style = "{spinner} {bytes}/{total_bytes} {bytes_per_sec} {eta}  {msg}";
    if let Ok(style) = indicatif::ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.with_message(url.rsplit('/').next().unwrap_or(url).to_owned())
}
