//! Which API, with which token: DigitalOcean's, another URL's, or the embedded emulator's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};

use super::state::{private_folder, state_home};
use super::token;
use super::{Failure, Global};
use crate::bake::Limits;
use crate::bake::leftovers::{self, Leftover};
use crate::bake::ports::ProviderError;
use crate::emulator::{self, Running};
use crate::providers::digitalocean::{API_URL, Client, Options, RequestLog, is_on_this_machine};

/// What the journal says of a bake at the embedded emulator.
const LOCAL: &str = "local";
/// How long an API on this machine is waited for that does not answer.
const UNREACHABLE_HERE: Duration = Duration::from_secs(30);

/// Options of every command that talks to the API.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ApiArgs {
    /// Use the embedded emulator: droplets are virtual machines on this machine, no account is needed
    #[arg(long)]
    local: bool,
    /// The API's address; a token is sent to https:// or to this machine only
    #[arg(long, value_name = "URL", env = "DIGITALOCEAN_API_URL", hide_env_values = true)]
    api_url: Option<String>,
    /// How long one request may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout_request: Duration,
    /// How often a request is sent again after a failure that may go away
    #[arg(long, value_name = "N", default_value_t = 3, hide_short_help = true)]
    retries: usize,
    /// The pause before the first of them, at most (it is drawn by lot); each next one may be twice as long
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = humantime::parse_duration, hide_short_help = true)]
    retry_wait: Duration,
    /// The longest of these pauses; what the API asks for with retry-after counts more
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = humantime::parse_duration, hide_short_help = true)]
    retry_wait_max: Duration,
}

/// What was chosen, before anything is started.
pub(in crate::cli) enum Target {
    Local,
    Remote { url: String, found: token::Found },
}

impl Target {
    /// Whether droplets run on this machine.
    pub(in crate::cli) fn is_local(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Remote { url, .. } => is_on_this_machine(url),
        }
    }
}

impl ApiArgs {
    /// Chooses; fails without a token where one is needed.
    pub(in crate::cli) fn target(&self) -> Result<Target, Failure> {
        if self.local {
            return Ok(Target::Local);
        }
        let url = self.api_url.clone().filter(|url| !url.is_empty()).unwrap_or_else(|| API_URL.to_owned());
        Ok(Target::Remote { url, found: token::find()? })
    }

    /// Chooses for a bake that began at an API (as [`Api::journalled`] wrote it).
    pub(in crate::cli) fn target_of(&self, began_at: &str, global: &Global) -> Result<Target, Failure> {
        match (began_at, self.local) {
            (LOCAL, _) => return Ok(Target::Local),
            (_, true) => {
                return Err(Failure::usage(format!("the bake began at {began_at}, not with --local"))
                    .with_help("leave --local out"));
            }
            _ => {}
        }
        let url = self.api_url.clone().filter(|url| !url.is_empty()).unwrap_or_else(|| began_at.to_owned());
        if url != began_at {
            global.terminal.warning(&format!("the bake began at {began_at}, and goes on at {url}"));
        }
        Ok(Target::Remote { url, found: token::find()? })
    }

    /// Makes the client, and starts the emulator where it is wanted.
    pub(in crate::cli) async fn open(&self, target: Target, global: &Global) -> Result<Api, Failure> {
        let log: Option<RequestLog> = (global.terminal.verbosity() > 1).then(|| {
            let terminal = global.terminal.of_task();
            let said: RequestLog = Arc::new(move |line: &str| terminal.detail(line));
            said
        });
        let options = Options {
            timeout: self.timeout_request,
            retries: self.retries,
            retry_wait: self.retry_wait,
            retry_wait_max: self.retry_wait_max,
            log,
        };
        let (url, token, origin, running) = match target {
            Target::Remote { url, found } => (url, found.token, found.origin, None),
            Target::Local => {
                let running = start(global).await?;
                let (token, running) = running;
                (running.url(), token, "the embedded emulator".to_owned(), Some(running))
            }
        };
        global.terminal.redaction().hide(token.expose_secret());
        let client = Client::new(&url, &token, options).map_err(|error| {
            Failure::usage(error).with_help("--api-url takes an https:// address, or http:// on this machine")
        })?;
        Ok(Api { client, url, origin, running })
    }
}

/// Where local droplets and snapshots are kept.
fn local_state() -> Result<PathBuf, Failure> {
    Ok(state_home()?.join("local"))
}

#[cfg(feature = "qemu")]
fn cache() -> Result<PathBuf, Failure> {
    emulator::base::default_cache().map_err(Failure::usage)
}

#[cfg(not(feature = "qemu"))]
fn cache() -> Result<PathBuf, Failure> {
    Err(Failure::usage("this mkimg was built without QEMU droplets").with_help("build it with the default features"))
}

async fn start(global: &Global) -> Result<(SecretString, Running), Failure> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::usage(format!("the system gives no random bytes: {error}")))?;
    let token: SecretString = URL_SAFE_NO_PAD.encode(bytes).into();
    let state = local_state()?;
    private_folder(&state)?;
    let mut config = emulator::Config::new(token.clone(), state, cache()?);
    // The status channel must be reachable; a port taken is said before anything is baked.
    config.forward = vec![crate::marker::PORT];
    let running = emulator::start(config).await.map_err(Failure::usage)?;
    for warning in running.warnings() {
        global.terminal.warning(warning);
    }
    Ok((token, running))
}

/// The account could not be looked at.
pub(in crate::cli) fn not_known(error: &ProviderError) -> Failure {
    let help = error.help();
    let failure = Failure::usage(format!("what is left in the account is not known: {error}"));
    match help {
        Some(help) => failure.with_help(help),
        None => failure,
    }
}

/// An API that is open.
pub(in crate::cli) struct Api {
    client: Client,
    url: String,
    origin: String,
    running: Option<Running>,
}

impl Api {
    pub(in crate::cli) fn client(&self) -> &Client {
        &self.client
    }

    /// Where the token came from.
    pub(in crate::cli) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether the emulator runs in this process.
    pub(in crate::cli) fn is_local(&self) -> bool {
        self.running.is_some()
    }

    /// Whether no network lies between it and us.
    pub(in crate::cli) fn is_on_this_machine(&self) -> bool {
        is_on_this_machine(&self.url)
    }

    /// How long it is waited for when nothing of use is heard of it.
    pub(in crate::cli) fn unreachable(&self) -> Duration {
        if self.is_on_this_machine() { UNREACHABLE_HERE } else { Limits::default().unreachable }
    }

    /// All that bakes have left in the account.
    pub(in crate::cli) async fn leftovers(&self) -> Result<Vec<Leftover>, Failure> {
        leftovers::find(&self.client).await.map_err(|error| not_known(&error))
    }

    /// The address for the journal; the emulator's changes with every start.
    pub(in crate::cli) fn journalled(&self) -> String {
        if self.is_local() { LOCAL.to_owned() } else { self.url.clone() }
    }

    /// The options with which another command reaches the same API.
    pub(in crate::cli) fn options(&self) -> String {
        match (self.is_local(), self.url.as_str()) {
            (true, _) => " --local".to_owned(),
            (false, API_URL) => String::new(),
            (false, url) => format!(" --api-url {url}"),
        }
    }

    /// Where a local snapshot lies.
    pub(in crate::cli) fn snapshot_dir(&self, id: &str) -> Option<PathBuf> {
        self.running.as_ref()?.snapshot_dir(id.parse().ok()?)
    }

    /// A local droplet's console.
    pub(in crate::cli) fn console(&self, droplet: u64) -> Option<PathBuf> {
        self.running.as_ref()?.console_log(droplet)
    }

    /// What went wrong with a local droplet; a service does not say.
    pub(in crate::cli) fn mishaps(&self, droplet: u64) -> Vec<String> {
        self.running.as_ref().map(|running| running.mishaps(droplet)).unwrap_or_default()
    }

    pub(in crate::cli) async fn close(self, global: &Global) {
        if let Some(running) = self.running
            && let Err(error) = running.stop().await
        {
            global.terminal.warning(&format!("the emulator did not stop well: {error}"));
        }
    }
}
