//! Sending requests: time limits, bounded bodies, retries.
//!
//! GET, PUT and DELETE are sent again after a failure that may go away. A POST is sent again only where it cannot have
//! taken effect (no connection, 429): the machine settles everything else by looking. Connections are kept and used again;
//! all requests share one budget (`rate_limit`).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{chain, pause, refusal, unreadable};
use super::explain;
use super::rate_limit::RateLimit;
use super::wire::Page;
use crate::bake::ports::{ProviderError, ProviderErrorKind as Kind};

/// No answer that is read is larger.
const MAX_BODY: usize = 8 * 1024 * 1024;
/// A list longer than this many pages is a server that turns in circles.
const MAX_PAGES: usize = 1_000;
/// The longest pause that a `retry-after` may ask for; a longer one is passed on as a failure, and the machine waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(75);

/// A request that is not answered may be sent again for so long at least, however short its time limit is.
const SHORT: Duration = Duration::from_secs(10);

/// Who is told of requests.
pub type RequestLog = Arc<dyn Fn(&str) + Send + Sync>;

/// How the client behaves.
pub struct Options {
    /// Limit of a whole request, its answer's body included.
    pub timeout: Duration,
    /// How often a request is sent again after a failure that may go away.
    pub retries: usize,
    /// The longest pause before the first of them; it is drawn by lot (full jitter), from twice as much before each next one.
    pub retry_wait: Duration,
    /// The longest of these pauses. What `retry-after` says counts more.
    pub retry_wait_max: Duration,
    /// Is told of every request, for `-v`: method, path, result and duration. Never a body or a header.
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

/// A client of one API with one token.
pub struct Client {
    http: reqwest::Client,
    base: String,
    authorization: HeaderValue,
    options: Options,
    budget: RateLimit,
    sent: AtomicU64,
}

/// An API address that the token must not be sent to, or that is none.
#[derive(Debug, thiserror::Error)]
pub enum BadApiUrl {
    /// Not an address.
    #[error("`{0}` is no URL: {1}")]
    Unreadable(String, String),
    /// Plain HTTP to another machine.
    #[error("the token is sent to https:// or to this machine only, not to `{0}`")]
    Insecure(String),
    /// The token holds characters that no token has.
    #[error("the token holds characters that cannot be sent (a line break from copying?)")]
    BadToken,
    /// The system's TLS is unusable.
    #[error("no HTTPS client can be made here: {0}; are the system's CA certificates installed?")]
    Tls(String),
}

impl Client {
    /// A client of the API at `base` (with or without `/v2`).
    pub fn new(base: &str, token: &SecretString, options: Options) -> Result<Self, BadApiUrl> {
        let url = Url::parse(base).map_err(|error| BadApiUrl::Unreadable(base.to_owned(), error.to_string()))?;
        let loopback = is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(BadApiUrl::Insecure(base.to_owned())),
            other => {
                return Err(BadApiUrl::Unreadable(base.to_owned(), format!("`{other}` is neither https nor http")));
            }
        }
        let base = url.as_str().trim_end_matches('/').trim_end_matches("/v2").trim_end_matches('/').to_owned();
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| BadApiUrl::BadToken)?;
        authorization.set_sensitive(true);
        // A second call finds it installed: that is what was wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("mkimg/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(options.timeout.min(Duration::from_secs(5)))
            .read_timeout(options.timeout)
            .timeout(options.timeout)
            // A connection that the other side has given up loses a request: better ours than theirs.
            .pool_idle_timeout(Duration::from_secs(20));
        if loopback {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| BadApiUrl::Tls(chain(&error)))?;
        Ok(Self { http, base, authorization, options, budget: RateLimit::new(!loopback), sent: AtomicU64::new(0) })
    }

    /// How many requests were sent, retries included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ProviderError> {
        self.send(Method::GET, path, None).await
    }

    /// A whole list. The next page is asked for by its number at our own base: an address in an answer is no place to send a token to.
    pub(super) async fn pages<P: Page>(&self, path: &str) -> Result<Vec<P::Item>, ProviderError> {
        let mut items = Vec::new();
        let mut page = 1;
        while page <= MAX_PAGES {
            let path = if page == 1 { path.to_owned() } else { format!("{path}&page={page}") };
            let (mut more, next) = self.get::<P>(&path).await?.take();
            let empty = more.is_empty();
            items.append(&mut more);
            match next {
                Some(_) if !empty => page += 1,
                _ => return Ok(items),
            }
        }
        Err(ProviderError {
            kind: Kind::Refused,
            request: format!("GET {path}"),
            status: None,
            request_id: None,
            message: format!("the list has more than {MAX_PAGES} pages"),
            advice: None,
            retry_after: None,
        })
    }

    /// A thing by its path, `None` where there is none. A 404 may also mean that the API does not know such things at all
    /// (it is not DigitalOcean's): `list`, a list of them, tells; if that is not known either, the 404 is passed on.
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &str, list: &str) -> Result<Option<T>, ProviderError> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(missing) if missing.kind == Kind::NotFound => {
                self.get::<serde::de::IgnoredAny>(list).await.map(|_| None).map_err(|_| missing)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ProviderError> {
        self.retried(&method, path, body, |bytes| {
            // serde's message quotes no more than a token of the answer, and answers hold no secret of ours.
            serde_json::from_slice(bytes).map_err(|error| unreadable(bytes, &error))
        })
        .await
    }

    pub(super) async fn send_empty(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(), ProviderError> {
        self.retried(&method, path, body, |bytes| {
            // What is no answer of the API says nothing of whether the request was heeded.
            if bytes.is_empty() {
                return Ok(());
            }
            serde_json::from_slice(bytes).map(|serde::de::IgnoredAny| ()).map_err(|error| unreadable(bytes, &error))
        })
        .await
    }

    async fn retried<T>(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, ProviderError> {
        let repeatable = *method != Method::POST;
        let (begun, patience) = (tokio::time::Instant::now(), (self.options.timeout * 2).max(SHORT));
        let backoff = ExponentialBuilder::default()
            .with_min_delay(self.options.retry_wait)
            .with_max_delay(self.options.retry_wait_max.max(self.options.retry_wait))
            .with_max_times(self.options.retries);
        let attempt = || async {
            let waited = self.budget.admit(*method == Method::GET).await;
            if let Some(log) = self.options.log.as_ref().filter(|_| waited >= Duration::from_millis(500)) {
                log(&format!("waited {} ms for the budget of requests", waited.as_millis()));
            }
            let started = tokio::time::Instant::now();
            let result = self.once(method, path, body, &read).await;
            if let Some(log) = &self.options.log {
                // An error names its request.
                let said = match &result {
                    Ok(_) => format!("{method} {path}: ok"),
                    Err(failed) => failed.error.to_string(),
                };
                log(&format!("{said} ({} ms)", started.elapsed().as_millis()));
            }
            result
        };
        attempt
            .retry(backoff)
            .when(|failed| {
                failed.pause.is_none_or(|pause| pause <= LONGEST_PAUSE)
                    && match failed.error.kind {
                        Kind::RateLimited => true,
                        // One that is not answered at all is left to the machine, which looks at more than this request.
                        Kind::Unreachable => begun.elapsed() < patience,
                        Kind::Unanswered => repeatable && begun.elapsed() < patience,
                        _ => false,
                    }
            })
            .adjust(|failed, delay| delay.map(|delay| failed.pause.unwrap_or_else(|| full_jitter(delay))))
            .await
            .map_err(|failed| failed.error)
    }

    async fn once<T>(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, Failed> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let failed = |kind, status, request_id, message, advice| Failed {
            error: ProviderError {
                kind,
                request: format!("{method} {path}"),
                status,
                request_id,
                message,
                advice,
                retry_after: None,
            },
            pause: None,
        };
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base))
            .header(AUTHORIZATION, self.authorization.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                return Err(failed(
                    Kind::Unreachable,
                    None,
                    None,
                    format!("no connection to {}: {}", self.base, chain(&error)),
                    None,
                ));
            }
            Err(error) if error.is_timeout() => {
                let message = format!("no answer within {}", humantime::format_duration(self.options.timeout));
                return Err(failed(Kind::Unanswered, None, None, message, None));
            }
            Err(error) => {
                return Err(failed(Kind::Unanswered, None, None, format!("no answer: {}", chain(&error)), None));
            }
        };
        let status = response.status().as_u16();
        let request_id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let pause = pause(response.headers());
        let refused_for = pause.filter(|_| status == 429).map(|pause| pause.min(LONGEST_PAUSE));
        self.budget.saw(response.headers(), refused_for);
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if bytes.len() + piece.len() <= MAX_BODY => bytes.extend_from_slice(&piece),
                // A refusal is one, however long or short its text is.
                Ok(Some(_)) | Err(_) if status >= 400 => break,
                Ok(Some(_)) => {
                    return Err(failed(
                        Kind::Unanswered,
                        Some(status),
                        request_id,
                        format!("the answer is longer than {MAX_BODY} bytes"),
                        None,
                    ));
                }
                Ok(None) => break,
                Err(error) => {
                    return Err(failed(
                        Kind::Unanswered,
                        Some(status),
                        request_id,
                        format!("the answer is cut short: {}", chain(&error)),
                        None,
                    ));
                }
            }
        }
        if (200..300).contains(&status) {
            return read(&bytes).map_err(|message| failed(Kind::Unanswered, Some(status), request_id, message, None));
        }
        let (message, id) = refusal(&bytes, status);
        let mut failed = failed(
            explain::kind(status, &message),
            Some(status),
            request_id.or(id),
            message.clone(),
            explain::advice(status, method, path, &message),
        );
        if matches!(status, 429 | 503) {
            failed.pause = pause;
            failed.error.retry_after = pause.map(|pause| u32::try_from(pause.as_secs()).unwrap_or(u32::MAX));
        }
        Err(failed)
    }
}

struct Failed {
    error: ProviderError,
    /// How long the server wants us to wait.
    pause: Option<Duration>,
}

/// Anything between nothing and the delay: many clients that failed together do not come back together.
fn full_jitter(delay: Duration) -> Duration {
    let random = f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX);
    delay.mul_f64(random)
}

/// Whether an address is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A value as one segment of a path or one value of a query.
pub(super) fn segment(value: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
