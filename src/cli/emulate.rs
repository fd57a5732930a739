//! `mkimg emulate`: DigitalOcean's API on this machine, until it is interrupted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use digitalocean_emulator::{
    BackendKind, Config, FaultSpec, ParseScenarioError, RateLimit, Scenario, Timing, USUAL_PORTS, remove_abandoned,
    start,
};
use secrecy::{ExposeSecret, SecretString};

use super::Global;
use super::error::{ErrorKind, ExpectedError, Failure, FileError, NoRandomness};
use super::runtime::{StopSignals, block_on};

/// How the names of temporary state directories begin.
const TEMPORARY: &str = "mkimg-emulate-";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The first line of standard output is the API's URL. Interrupt it (Ctrl-C) to end it and its droplets."
)]
pub(super) struct Args {
    /// Where the API listens: a loopback address; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The token that clients must show; otherwise a random one, printed on standard error
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Where droplets and snapshots are kept; otherwise a temporary directory that goes with the emulator
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// What droplets are
    #[arg(long, value_name = "BACKEND", default_value = BackendKind::default().name(), value_parser = backends())]
    backend: BackendKind,
    /// A port that must be reachable at every droplet's address (repeatable); 22, 80, 443 and 8443 are where they are free
    #[arg(long, value_name = "PORT")]
    forward: Vec<u16>,
    /// With `--backend none`: how long after its start a droplet powers itself off
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    off_after: Option<Duration>,
    /// With `--backend scripted`: what a droplet does, a file or a name (repeatable: one for each droplet, the last for
    /// all that follow)
    #[arg(long, value_name = "FILE|NAME", default_value = "passes")]
    scenario: Vec<String>,
    /// A fault to play: WHEN:FAULT, such as 3:hang, POST /v2/droplets#1:lost, snapshot:errored (repeatable)
    #[arg(long, value_name = "SPEC")]
    fault: Vec<FaultSpec>,
    /// How long things take: create=5s,power=3s,snapshot=10s,transfer=20s,destroy=1s,request=20ms,jitter=30%
    #[arg(long, value_name = "TIMES")]
    latency: Option<Timing>,
    /// How far lists, and look-ups by tag, lag behind what was done
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    list_lag: Duration,
    /// Refuse more requests than this with 429: 5000/hour, 250/minute, 10/second
    #[arg(long, value_name = "N/TIME")]
    rate_limit: Option<RateLimit>,
    /// Where base images are kept
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// The values of `--backend`, from the registry.
fn backends() -> impl TypedValueParser<Value = BackendKind> {
    let value = |kind: BackendKind| PossibleValue::new(kind.name()).help(kind.description());
    PossibleValuesParser::new(BackendKind::all().map(value)).try_map(|name| name.parse::<BackendKind>())
}

#[cfg(feature = "qemu")]
fn default_cache() -> Result<PathBuf, Failure> {
    Ok(digitalocean_emulator::base::default_cache("mkimg")?)
}

#[cfg(not(feature = "qemu"))]
#[allow(clippy::unnecessary_wraps, reason = "the same shape as its twin")]
fn default_cache() -> Result<PathBuf, Failure> {
    Ok(PathBuf::new())
}

#[derive(Debug, thiserror::Error)]
enum EmulateError {
    #[error("--token: expected a text without white space")]
    BadToken,
    #[error("{0}: {1}")]
    Scenario(String, ParseScenarioError),
}

impl ExpectedError for EmulateError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    if args.token.as_ref().is_some_and(|token| token.trim().is_empty() || token.contains(char::is_whitespace)) {
        return Err(EmulateError::BadToken.into());
    }
    let token = match &args.token {
        Some(token) => SecretString::from(token.clone()),
        None => random_token()?,
    };
    // Gone with the command; if it is killed, with the next one.
    let temporary = match args.state {
        Some(_) => None,
        None => {
            let left = remove_abandoned(&std::env::temp_dir(), TEMPORARY);
            if left > 0 {
                global.terminal.note(&format!(
                    "removed the droplets and snapshots that emulators left when they were killed: {left}"
                ));
            }
            Some(
                tempfile::Builder::new()
                    .prefix(TEMPORARY)
                    .tempdir()
                    .map_err(|error| FileError::new("create a directory in", &std::env::temp_dir(), &error))?,
            )
        }
    };
    let state = match (&args.state, &temporary) {
        (Some(state), _) => global.path(state),
        (None, Some(folder)) => folder.path().to_path_buf(),
        (None, None) => unreachable!("without --state there is a temporary directory"),
    };
    let cache = match &args.cache {
        Some(cache) => global.path(cache),
        None => default_cache()?,
    };
    let scenarios = args.scenario.iter().map(|scenario| read_scenario(scenario, global)).collect::<Result<_, _>>()?;
    let config = Config {
        listen: args.listen,
        token: token.clone(),
        state,
        cache,
        backend: args.backend,
        off_after: args.off_after,
        scenarios,
        base_hint: Some(super::base::hint),
        forward: args.forward.clone(),
        forward_if_free: USUAL_PORTS.to_vec(),
        timing: args.latency.clone().unwrap_or_default(),
        faults: args.fault.clone(),
        list_lag: args.list_lag,
        rate_limit: args.rate_limit,
    };
    block_on(async {
        // Before anything is started: a signal in between must not leave anything.
        let mut signals = StopSignals::watch()?;
        let running = start(config).await?;
        global.terminal.print(format!("{}\n", running.url()))?;
        if args.token.is_none() {
            global.terminal.eprint(&format!("token: {}\n", token.expose_secret()));
        }
        for warning in running.warnings() {
            global.terminal.warning(warning);
        }
        global.terminal.note(&format!("state: {}", running.state().display()));
        signals.next().await;
        global.terminal.note("ending all droplets");
        Ok(running.stop().await?)
    })
}

/// A scenario from a file, or one that comes with the emulator.
fn read_scenario(name: &str, global: &Global) -> Result<Scenario, Failure> {
    let path = global.path(std::path::Path::new(name));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.parse().map_err(|error| EmulateError::Scenario(path.display().to_string(), error))?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Scenario::named(name).map_err(|error| EmulateError::Scenario("--scenario".to_owned(), error))?)
        }
        Err(error) => Err(FileError::new("read", &path, &error).into()),
    }
}

fn random_token() -> Result<SecretString, Failure> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(SecretString::from(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)))
}
