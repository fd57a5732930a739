//! The API that a command uses: the provider's, one at another URL, or the embedded emulator's.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use digitalocean_emulator::{self as emulator, Emulator, HostPorts};
use secrecy::{ExposeSecret as _, SecretString};

use super::state::{create_private_directory, state_home};
use crate::bake::Limits;
use crate::bake::orphans::{self, Orphan};
use crate::bake::ports::{Provider, ProviderError};
use crate::cli::Global;
use crate::cli::error::{ErrorKind, ExpectedError, Failure};
use crate::cli::runtime::random_token;
use crate::providers::{self, Options, ProviderInfo, RequestLog, Token, is_on_this_machine, without_credentials};

/// The address in the journal of a bake at the embedded emulator.
const LOCAL: &str = "local";
/// The outage budget of an API on this machine.
const LOCAL_OUTAGE_BUDGET: Duration = Duration::from_secs(30);

// Options of every command that talks to the API. No doc comment: clap would use it as help of the
// command.
#[derive(Debug, clap::Args)]
pub(crate) struct ApiArgs {
    /// Use the embedded emulator: droplets are virtual machines on this machine, without an account
    #[arg(long)]
    local: bool,
    /// Where droplets are created
    #[arg(long, value_name = "NAME", value_parser = providers::find, default_value = providers::ALL[0].name, conflicts_with = "local", hide = providers::ALL.len() == 1)]
    provider: &'static ProviderInfo,
    #[arg(long, value_name = "URL", help = api_url_help())]
    api_url: Option<String>,
    /// How long one request may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout_request: Duration,
    /// How often to retry a request after a temporary failure
    #[arg(long, value_name = "N", default_value_t = 3, hide_short_help = true)]
    retries: usize,
    /// Initial retry delay; doubles with each retry, with random jitter
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = humantime::parse_duration, hide_short_help = true)]
    retry_wait: Duration,
    /// Maximum retry delay; a retry-after of the API overrides it
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = humantime::parse_duration, hide_short_help = true)]
    retry_wait_max: Duration,
}

fn api_url_help() -> String {
    let variables: Vec<_> = providers::ALL.iter().map(|provider| provider.api_url_variable).collect();
    format!("Base URL of the API; a token is sent to https:// or to this machine only [env: {}]", variables.join(", "))
}

/// The chosen API, before anything is started.
pub(crate) enum Target {
    Local,
    Remote { provider: &'static ProviderInfo, url: String, token: Token },
}

impl Target {
    /// Finds the token; never on the command line, which other users can read.
    fn remote(provider: &'static ProviderInfo, url: String) -> Result<Self, Failure> {
        let token = (provider.find_token)().ok_or(ApiError::NoToken(provider))?;
        Ok(Self::Remote { provider, url, token })
    }

    /// Whether droplets run on this machine.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Remote { url, .. } => is_on_this_machine(url),
        }
    }
}

impl ApiArgs {
    /// Chooses an API; fails if it needs a token and there is none.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        if self.local {
            return Ok(Target::Local);
        }
        let url = self.api_url(self.provider).unwrap_or_else(|| self.provider.api_url.to_owned());
        Target::remote(self.provider, url)
    }

    /// The URL that the user chose, by the option or in the environment.
    fn api_url(&self, provider: &ProviderInfo) -> Option<String> {
        let url = self.api_url.clone().or_else(|| std::env::var(provider.api_url_variable).ok());
        url.filter(|url| !url.is_empty())
    }

    /// Chooses the API for a bake that began at `began_at` (from [`Api::journal_url`]).
    pub(crate) fn target_of(&self, began_at: &str, global: &Global) -> Result<Target, Failure> {
        match (began_at, self.local) {
            (LOCAL, _) => return Ok(Target::Local),
            (_, true) => {
                return Err(ApiError::NotLocal { began_at: without_credentials(began_at) }.into());
            }
            _ => {}
        }
        // The token of one provider is not sent to the API of another.
        let provider = providers::ALL.iter().find(|provider| provider.api_url == began_at).unwrap_or(&self.provider);
        let url = self.api_url(provider).unwrap_or_else(|| began_at.to_owned());
        if url != began_at {
            global.terminal.warning(&format!(
                "the bake began at {} and continues at {}",
                without_credentials(began_at),
                without_credentials(&url)
            ));
        }
        Target::remote(provider, url)
    }

    /// Creates the client, and starts the emulator if it is the target.
    pub(crate) async fn open(&self, target: Target, global: &Global) -> Result<Api, Failure> {
        let log: Option<RequestLog> = (global.terminal.verbosity() > 1).then(|| {
            let terminal = global.terminal.for_task();
            let log: RequestLog = Arc::new(move |line: &str| terminal.detail(line));
            log
        });
        let options = Options {
            timeout: self.timeout_request,
            retries: self.retries,
            retry_wait: self.retry_wait,
            retry_wait_max: self.retry_wait_max,
            log,
        };
        let host_ports = HostPorts::default();
        let (provider, url, token, origin, running) = match target {
            Target::Remote { provider, url, token } => (provider, url, token.value, token.origin, None),
            Target::Local => {
                let (token, running) = start_emulator(global, host_ports.clone()).await?;
                (providers::ALL[0], running.url(), token, "the embedded emulator".to_owned(), Some(running))
            }
        };
        global.terminal.redaction().hide(token.expose_secret());
        let client = (provider.connect)(&url, &token, options)?;
        Ok(Api { provider, client, url, origin, running, host_ports })
    }
}

#[cfg(feature = "qemu")]
fn cache() -> Result<PathBuf, Failure> {
    Ok(emulator::base::default_cache("mkimg")?)
}

#[cfg(not(feature = "qemu"))]
fn cache() -> Result<PathBuf, Failure> {
    Err(ApiError::NoQemu.into())
}

async fn start_emulator(global: &Global, host_ports: HostPorts) -> Result<(SecretString, Emulator), Failure> {
    let token = random_token()?;
    let state = state_home()?.join("local");
    create_private_directory(&state)?;
    let mut config = emulator::Config::new(token.clone(), state, cache()?);
    // The status channel must be reachable: a port in use is reported before anything is baked.
    config.forward = vec![crate::marker::PORT];
    config.base_hint = Some(crate::cli::base::hint);
    config.host_ports = host_ports;
    let running = emulator::start(config).await?;
    for warning in running.warnings() {
        global.terminal.warning(warning);
    }
    Ok((token, running))
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the bake began at {began_at}, not with --local")]
    NotLocal { began_at: String },
    #[error("there is no {} API token", .0.name)]
    NoToken(&'static ProviderInfo),
    #[cfg(not(feature = "qemu"))]
    #[error("this mkimg was built without QEMU droplets")]
    NoQemu,
}

impl ExpectedError for ApiError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        let help = match self {
            Self::NotLocal { .. } => "leave --local out",
            Self::NoToken(provider) => {
                let help = provider.token_help;
                return Some(format!("{help}, or use --local to bake on this machine without an account").into());
            }
            #[cfg(not(feature = "qemu"))]
            Self::NoQemu => "build it with the default features",
        };
        Some(help.into())
    }
}

/// The account could not be searched.
#[derive(Debug, thiserror::Error)]
#[error("cannot list the resources of bakes in the account: {0}")]
pub(crate) struct AccountUnknown(pub(crate) ProviderError);

impl ExpectedError for AccountUnknown {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Service
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        super::advice::for_provider_error(&self.0).map(Into::into)
    }
}

/// An open API.
pub(crate) struct Api {
    provider: &'static ProviderInfo,
    client: Box<dyn Provider>,
    url: String,
    origin: String,
    running: Option<Emulator>,
    host_ports: HostPorts,
}

impl Api {
    /// Lets local droplets reach a port of this machine's loopback interface; returns its URL for them.
    pub(crate) fn serve_droplets(&self, port: u16) -> String {
        self.host_ports.allow(port);
        format!("http://{}:{port}", emulator::GATEWAY)
    }

    pub(crate) fn client(&self) -> &dyn Provider {
        self.client.as_ref()
    }

    pub(crate) fn provider(&self) -> &'static ProviderInfo {
        self.provider
    }

    /// The source of the token.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether the emulator runs in this process.
    pub(crate) fn is_local(&self) -> bool {
        self.running.is_some()
    }

    /// Whether the API is reached without a network.
    pub(crate) fn is_on_this_machine(&self) -> bool {
        is_on_this_machine(&self.url)
    }

    /// The default outage budget.
    pub(crate) fn unreachable(&self) -> Duration {
        if self.is_on_this_machine() { LOCAL_OUTAGE_BUDGET } else { Limits::default().unreachable }
    }

    /// The remaining resources of bakes in the account.
    pub(crate) async fn orphans(&self) -> Result<Vec<Orphan>, Failure> {
        Ok(orphans::find(self.client()).await.map_err(AccountUnknown)?)
    }

    /// The address for the journal; the emulator's own changes with every start.
    pub(crate) fn journal_url(&self) -> String {
        if self.is_local() { LOCAL.to_owned() } else { self.url.clone() }
    }

    /// The options with which another command reaches the same API.
    pub(crate) fn options(&self) -> String {
        if self.is_local() {
            return " --local".to_owned();
        }
        let mut options = String::new();
        if self.provider.name != providers::ALL[0].name {
            let _ = write!(options, " --provider {}", self.provider.name);
        }
        if self.url != self.provider.api_url {
            let _ = write!(options, " --api-url {}", self.url);
        }
        options
    }

    /// The directory of a local snapshot.
    pub(crate) fn snapshot_dir(&self, id: &str) -> Option<PathBuf> {
        self.running.as_ref()?.snapshot_dir(id.parse().ok()?)
    }

    /// The console log of a local droplet.
    pub(crate) fn console(&self, droplet: u64) -> Option<PathBuf> {
        self.running.as_ref()?.console_log(droplet)
    }

    /// Errors of a local droplet's virtual machine; a remote API does not report them.
    pub(crate) fn droplet_errors(&self, droplet: u64) -> Vec<String> {
        self.running.as_ref().map(|running| running.failures(droplet)).unwrap_or_default()
    }

    pub(crate) async fn close(self, global: &Global) {
        if let Some(running) = self.running
            && let Err(error) = running.stop().await
        {
            global.terminal.warning(&format!("the emulator did not stop cleanly: {error}"));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    /// An API that gets no request.
    pub(crate) fn unused_api(url: &str) -> Api {
        let provider = providers::ALL[0];
        let client = (provider.connect)(url, &SecretString::from("token"), Options::default()).unwrap();
        let host_ports = HostPorts::default();
        Api { provider, client, url: url.to_owned(), origin: String::new(), running: None, host_ports }
    }

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        assert_error(ApiError::NoToken(providers::ALL[0]), 2, providers::ALL[0].token_help);
        assert_error(ApiError::NotLocal { began_at: "https://x".into() }, 2, "leave --local out");
    }
}
