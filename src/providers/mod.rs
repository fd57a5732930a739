//! Providers that bakes can run at.
//!
//! A provider is a folder, its `mod` line and its entry in [`ALL`]. The folder has wire types of its own, an implementation of
//! [`crate::bake::ports::Provider`], and a [`ProviderInfo`]: where its API is, how its token is found, and what its users
//! should know. Nothing outside the folder knows the provider's names.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

use crate::bake::ports::Provider;

mod digitalocean;

/// All providers. The first one is used unless another is chosen; the embedded emulator serves its API.
pub const ALL: &[&ProviderInfo] = &[&digitalocean::INFO];

/// Finds a provider by its name, in any case.
pub fn find(written: &str) -> Result<&'static ProviderInfo, String> {
    let names: Vec<&str> = ALL.iter().map(|provider| provider.name).collect();
    let found = ALL.iter().copied().find(|provider| provider.name.eq_ignore_ascii_case(written));
    found.ok_or_else(|| format!("expected one of {}", names.join(", ")))
}

/// Makes a client of the API at a base URL.
pub type Connect = fn(&str, &SecretString, Options) -> Result<Box<dyn Provider>, ConnectError>;

/// What the command line needs to know about a provider.
#[derive(Debug)]
pub struct ProviderInfo {
    pub name: &'static str,
    pub api_url: &'static str,
    /// The environment variable that overrides it.
    pub api_url_variable: &'static str,
    /// US dollars for a GB of a snapshot and a month, according to its price list; no API tells.
    pub snapshot_gb_month: f64,
    /// Finds a token in the environment or in the configuration of the provider's own tools.
    pub find_token: fn() -> Option<Token>,
    /// How to provide a token.
    pub token_help: &'static str,
    /// Makes a client of the API at a base URL.
    pub connect: Connect,
    /// How to log in to a droplet without a key of one's own.
    pub login_command: fn(u64) -> String,
    /// The web page with a droplet's console.
    pub console_page: fn(u64) -> String,
    /// Commands that show what a droplet is doing.
    pub inspect_commands: fn(u64) -> String,
}

/// An API token and its source.
pub struct Token {
    pub value: SecretString,
    /// Where it was found: a variable's name, or a file.
    pub origin: String,
}

/// Receives a line for each request.
pub type RequestLog = Arc<dyn Fn(&str) + Send + Sync>;

/// How a client sends requests.
pub struct Options {
    /// Time limit of a request, its answer's body included.
    pub timeout: Duration,
    /// How often a request is repeated after a transient failure.
    pub retries: usize,
    /// Initial retry delay; doubles with each retry, with random jitter.
    pub retry_wait: Duration,
    /// Maximum retry delay. `retry-after` has priority.
    pub retry_wait_max: Duration,
    /// Receives method, path, result and duration of every request, but never a body or a header.
    pub log: Option<RequestLog>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            retries: 3,
            retry_wait: Duration::from_millis(250),
            retry_wait_max: Duration::from_secs(4),
            log: None,
        }
    }
}

/// No client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not a URL.
    #[error("`{0}` is not a URL: {1}")]
    Unreadable(String, String),
    /// A user name or a password in the URL.
    #[error("{0} contains a user name or a password: the API knows its token only")]
    Credentials(String),
    /// Plain HTTP to another machine.
    #[error("the token is sent to https:// or to this machine only, not to `{0}`")]
    Insecure(String),
    /// The token contains characters that cannot be in a header.
    #[error("the token contains characters that cannot be sent (a line break from copying?)")]
    BadToken,
    /// The system's TLS is unusable.
    #[error("cannot make an HTTPS client: {0}; are the system's CA certificates installed?")]
    Tls(String),
}

/// A URL for messages: without the user name and the password that it may contain, even if it is not a valid URL.
pub(crate) fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    // The last one: a password may contain anything.
    match rest.rfind('@') {
        Some(at) => format!("{scheme}[redacted]{}", &rest[at..]),
        None => url.to_owned(),
    }
}

/// Whether an API's URL is on this machine.
pub fn is_on_this_machine(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| is_loopback(&url))
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn urls_are_shown_without_credentials() {
        for (url, shown) in [
            ("https://me:pass@api.example/v2", "https://[redacted]@api.example/v2"),
            ("me:pa/ss@api.example", "[redacted]@api.example"),
            ("htps://me:p@ss@api.example", "htps://[redacted]@api.example"),
            ("https://api.example/v2", "https://api.example/v2"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
