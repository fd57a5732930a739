//! `mkimg emulate`: serves DigitalOcean's API on this machine until it is interrupted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use digitalocean_emulator::{
    BackendKind, Config, FaultSpec, HostPorts, ParseScenarioError, RateLimit, Scenario, Timing, USUAL_PORTS,
    remove_abandoned, start,
};
use secrecy::{ExposeSecret, SecretString};

use super::Global;
use super::error::{ErrorKind, ExpectedError, Failure, FileError};
use super::runtime::{StopSignals, block_on, random_token};

/// The token, unless an option gives it.
const TOKEN_VARIABLE: &str = "MKIMG_EMULATE_TOKEN";

/// Prefix of temporary state directories.
const TEMPORARY: &str = "mkimg-emulate-";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The first line of standard output is the URL of the API. Ctrl-C stops the emulator and its droplets."
)]
pub(super) struct Args {
    /// Loopback address to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Token that clients must send; other users of this machine can read it. Better: --token-file,
    /// or MKIMG_EMULATE_TOKEN in the environment [default: a random one, printed on standard error]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// File with the token that clients must send
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Directory for droplets and snapshots [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Kind of machine behind each droplet
    #[arg(long, value_name = "BACKEND", default_value = BackendKind::default().name(), value_parser = backends())]
    backend: BackendKind,
    /// Port that must be reachable at the address of every droplet (repeatable); 22, 80, 443 and
    /// 8443 are if they are free
    #[arg(long, value_name = "PORT")]
    forward: Vec<u16>,
    /// Port of this machine's loopback interface that droplets may reach, at 10.0.2.2 (repeatable);
    /// by default they reach none
    #[arg(long, value_name = "PORT")]
    host_port: Vec<u16>,
    /// With `--backend none`: how long after its start a droplet powers off
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    off_after: Option<Duration>,
    /// With `--backend scripted`: scenario of a droplet, a file or a name (repeatable: one for each
    /// droplet; the last one is also used for all further droplets)
    #[arg(long, value_name = "FILE|NAME", default_value = "passes")]
    scenario: Vec<String>,
    /// Fault to inject: WHEN:FAULT, such as 3:hang, POST /v2/droplets#1:lost, snapshot:errored
    /// (repeatable)
    #[arg(long, value_name = "SPEC")]
    fault: Vec<FaultSpec>,
    /// How long operations take:
    /// create=5s,power=3s,snapshot=10s,transfer=20s,destroy=1s,request=20ms,jitter=30%
    #[arg(long, value_name = "TIMES")]
    latency: Option<Timing>,
    /// How far lists and searches by tag lag behind changes
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    list_lag: Duration,
    /// Maximum rate of requests, such as 5000/hour, 250/minute or 10/second; further requests get
    /// status 429
    #[arg(long, value_name = "N/TIME")]
    rate_limit: Option<RateLimit>,
    /// Directory of the base images
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
    #[error("{0}: expected a text without white space")]
    BadToken(&'static str),
    #[error("{0}: {1}")]
    Scenario(String, ParseScenarioError),
}

impl ExpectedError for EmulateError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let given = given_token(args, global)?;
    let token = match &given {
        Some(token) => token.clone(),
        None => random_token()?,
    };
    // Removed at the end; if the command is killed, by the next one.
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
    let host_ports = HostPorts::default();
    args.host_port.iter().for_each(|port| host_ports.allow(*port));
    let config = Config {
        host_ports,
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
        // Before anything is started, so that a signal in between leaves nothing behind.
        let mut signals = StopSignals::watch()?;
        let running = start(config).await?;
        global.terminal.print(format!("{}\n", running.url()))?;
        if given.is_none() {
            global.terminal.eprint(&format!("token: {}\n", token.expose_secret()));
        }
        for warning in running.warnings() {
            global.terminal.warning(warning);
        }
        global.terminal.note(&format!("state: {}", running.state().display()));
        signals.next().await;
        global.terminal.note("stopping all droplets");
        Ok(running.stop().await?)
    })
}

/// The token from a file, the command line or the environment, in this order.
fn given_token(args: &Args, global: &Global) -> Result<Option<SecretString>, Failure> {
    let (origin, token) = if let Some(file) = &args.token_file {
        let path = global.path(file);
        let text = std::fs::read_to_string(&path).map_err(|error| FileError::new("read", &path, &error))?;
        // A line end, as an editor writes it, is not part of the token.
        ("--token-file", text.trim_end().to_owned())
    } else if let Some(token) = &args.token {
        ("--token", token.clone())
    } else if let Ok(token) = std::env::var(TOKEN_VARIABLE) {
        (TOKEN_VARIABLE, token)
    } else {
        return Ok(None);
    };
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(EmulateError::BadToken(origin).into());
    }
    Ok(Some(token.into()))
}

/// A scenario from a file, or a built-in one.
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
