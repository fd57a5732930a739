//! `mkimg base`: the base images of local droplets.

#[cfg(feature = "qemu")]
use std::borrow::Cow;
use std::path::PathBuf;

use clap::Subcommand;

use super::Global;
#[cfg(feature = "qemu")]
use super::error::FileError;
use super::error::{ErrorKind, ExpectedError, Failure};
use super::options::OutputFormat;
#[cfg(feature = "qemu")]
use super::runtime::block_on;

#[derive(Debug, clap::Args)]
#[command(after_help = "Base images are stored in $XDG_CACHE_HOME/mkimg/base (usually ~/.cache/mkimg/base).")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    /// Directory of the base images
    #[arg(long, value_name = "DIR", global = true)]
    cache: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Build a Debian image from its packages (debian-12-x64, debian-13-x64); needs root
    Build {
        /// DigitalOcean's slug of the image
        slug: String,
        /// URL of Debian's archive [default: the one that this machine uses]
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
        /// URL of Debian's security archive [default: this machine's, or the mirror with
        /// `-security`]
        #[arg(long, value_name = "URL")]
        security_mirror: Option<String>,
    },
    /// Download an image that its publisher offers (ubuntu-24-04-x64, ubuntu-22-04-x64)
    Pull {
        /// DigitalOcean's slug of the image
        slug: String,
        /// URL of the directory to download from, with its SHA256SUMS, instead of the publisher's
        #[arg(long, value_name = "URL")]
        base_url: Option<String>,
        /// How long the download may take
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
        timeout_download: std::time::Duration,
    },
    /// List the local images
    List {
        /// Output format of the list
        #[arg(long, value_enum, default_value_t = OutputFormat::Human)]
        format: OutputFormat,
    },
}

#[cfg(feature = "qemu")]
const USER_AGENT: &str = concat!("mkimg/", env!("CARGO_PKG_VERSION"));

/// How to get a missing base image.
pub(super) fn hint(slug: &str) -> String {
    let verb = if slug.starts_with("debian-") { "build" } else { "pull" };
    format!("get it with: mkimg base {verb} {slug}")
}

#[cfg(not(feature = "qemu"))]
pub(super) fn run(args: &Args, _global: &Global) -> Result<(), Failure> {
    let _ = (&args.what, &args.cache);
    Err(NoQemu.into())
}

#[cfg(feature = "qemu")]
pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    use digitalocean_emulator::base::build::{BuildRequest, build};
    use digitalocean_emulator::base::pull::{PullRequest, pull};
    use digitalocean_emulator::base::{default_cache, list};

    let cache = match &args.cache {
        Some(cache) => std::path::absolute(global.path(cache)).map_err(|error| FileError::new("use", cache, &error))?,
        None => default_cache("mkimg")?,
    };
    let say = |line: &str| global.terminal.eprint(&format!("{line}\n"));
    let made = match &args.what {
        What::Build { slug, mirror, security_mirror } => {
            let request = BuildRequest {
                slug,
                cache: &cache,
                mirror: mirror.as_deref(),
                security_mirror: security_mirror.as_deref(),
            };
            build(&request, &say).map_err(|error| BaseError { error, building: true })?
        }
        What::Pull { slug, base_url, timeout_download } => {
            let request = PullRequest {
                slug,
                cache: &cache,
                base_url: base_url.as_deref(),
                time_limit: *timeout_download,
                user_agent: USER_AGENT,
            };
            block_on(async { Ok(pull(&request, &say).await.map_err(|error| BaseError { error, building: false })?) })?
        }
        What::List { format } => {
            let found = list(&cache)?;
            return match format {
                OutputFormat::Human => {
                    if found.is_empty() {
                        global.terminal.eprint("no base images; build one with: mkimg base build debian-12-x64\n");
                    }
                    found.iter().try_for_each(|listed| {
                        let (base, mib) = (&listed.base, listed.bytes >> 20);
                        global.terminal.print(format!(
                            "{:<18} {mib:>5} MiB  {}  {}\n",
                            base.slug,
                            base.made_at,
                            listed.path.display()
                        ))
                    })
                }
                OutputFormat::Json => {
                    let json = serde_json::json!({"version": 1, "images": found});
                    global.terminal.print_json(format!("{json:#}"))
                }
            };
        }
    };
    global.terminal.print(format!("{}\n", made.path.display()))
}

/// An unknown slug; the other subcommand may know it.
#[cfg(feature = "qemu")]
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct BaseError {
    #[source]
    error: digitalocean_emulator::base::Error,
    /// Whether `base build` failed, not `base pull`.
    building: bool,
}

#[cfg(feature = "qemu")]
impl ExpectedError for BaseError {
    fn kind(&self) -> ErrorKind {
        self.error.kind()
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        use digitalocean_emulator::base::{Error, build::RELEASES, pull::PUBLISHED};
        if let Error::Busy { .. } = &self.error {
            return Some("afterwards, see what there is: mkimg base list".into());
        }
        let Error::Unknown { slug, .. } = &self.error else { return None };
        if self.building {
            let published = PUBLISHED.iter().any(|(known, ..)| known == slug);
            published.then(|| format!("download it: mkimg base pull {slug}").into())
        } else {
            let release = RELEASES.iter().any(|(known, ..)| known == slug);
            release.then(|| format!("build it from packages: mkimg base build {slug}").into())
        }
    }
}

/// A build of mkimg without local droplets.
#[cfg(not(feature = "qemu"))]
#[derive(Debug, thiserror::Error)]
#[error("this mkimg was built without the feature `qemu`: it has no local droplets and no base images")]
struct NoQemu;

#[cfg(not(feature = "qemu"))]
impl ExpectedError for NoQemu {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}

#[cfg(all(test, feature = "qemu"))]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn the_right_verb_is_named() {
        use digitalocean_emulator::base::Error;

        assert_eq!(hint("debian-12-x64"), "get it with: mkimg base build debian-12-x64");
        assert_eq!(hint("ubuntu-24-04-x64"), "get it with: mkimg base pull ubuntu-24-04-x64");
        for (slug, building, help) in [
            ("ubuntu-24-04-x64", true, "download it: mkimg base pull ubuntu-24-04-x64"),
            ("debian-13-x64", false, "build it from packages: mkimg base build debian-13-x64"),
            ("fedora-42-x64", true, ""),
            ("fedora-42-x64", false, ""),
        ] {
            let error = Error::Unknown { slug: slug.to_owned(), verb: "made", known: Vec::new() };
            assert_error(BaseError { error, building }, 2, help);
        }
    }
}
