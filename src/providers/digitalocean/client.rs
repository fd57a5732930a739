//! Sending requests: time limits, bounded bodies, retries.
//!
//! GET, PUT and DELETE are repeated after a transient failure. A POST is repeated only if it cannot have taken effect (no
//! connection, 429): the machine settles everything else by looking. Connections are reused; all requests share one rate
//! limit (`rate_limit`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{STATUS_ADVICE, advice, chain, error_kind, refusal, retry_after, unreadable};
use super::rate_limit::RateLimit;
use super::wire::Page;
use crate::bake::ports::{ProviderError, ProviderErrorKind as Kind};
use crate::providers::{ConnectError, Options, is_loopback, without_credentials};

/// Larger answers are refused.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// A longer list means that the server repeats itself.
const MAX_PAGES: usize = 1_000;
/// The longest `retry-after` that is waited out here; a longer one is a failure, and the machine waits.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(75);

/// A request that is not answered is repeated for at least this long, however short its time limit is.
const MIN_RETRY_TIME: Duration = Duration::from_secs(10);

/// A client of one API with one token.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    authorization: HeaderValue,
    options: Options,
    budget: RateLimit,
    pub(super) sent: AtomicU64,
}

impl Client {
    /// A client of the API at `base` (with or without `/v2`).
    pub(super) fn new(base: &str, token: &SecretString, options: Options) -> Result<Self, ConnectError> {
        let shown = without_credentials(base);
        let url = Url::parse(base).map_err(|error| ConnectError::Unreadable(shown.clone(), error.to_string()))?;
        let loopback = is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(ConnectError::Insecure(shown)),
            other => {
                return Err(ConnectError::Unreadable(shown, format!("`{other}` is neither https nor http")));
            }
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConnectError::Credentials(shown));
        }
        let base = url.as_str().trim_end_matches('/').trim_end_matches("/v2").trim_end_matches('/').to_owned();
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| ConnectError::BadToken)?;
        authorization.set_sensitive(true);
        // A second call finds it installed: that is what was wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("mkimg/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(options.timeout.min(Duration::from_secs(5)))
            .read_timeout(options.timeout)
            .timeout(options.timeout)
            // A request on a connection that the server has closed is lost, so close idle
            // connections first.
            .pool_idle_timeout(Duration::from_secs(20));
        if loopback {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| ConnectError::Tls(chain(&error)))?;
        Ok(Self { http, base, authorization, options, budget: RateLimit::new(!loopback), sent: AtomicU64::new(0) })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ProviderError> {
        self.send(Method::GET, path, None).await
    }

    /// A whole list. The next page is requested by its number at our own base URL: the token is not sent to a URL from an
    /// answer.
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

    /// A resource by its path; `None` if there is none. A 404 may also mean that the API has no such route, because it is not
    /// DigitalOcean's: `list`, a list of such resources, tells; if that is missing too, the 404 is returned.
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
            // serde's message quotes one token of the answer at most, and answers contain no secret of ours.
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
            // An answer that is not the API's does not show that the request had an effect.
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
        let (begun, retry_time) = (tokio::time::Instant::now(), (self.options.timeout * 2).max(MIN_RETRY_TIME));
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
                failed.pause.is_none_or(|pause| pause <= MAX_RETRY_AFTER)
                    && match failed.error.kind {
                        Kind::RateLimited => true,
                        // Longer outages are left to the machine, which sees more than this request.
                        Kind::Unreachable => begun.elapsed() < retry_time,
                        Kind::Unanswered => repeatable && begun.elapsed() < retry_time,
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
        let failed = |kind, status, request_id, message, advice: Option<String>| Failed {
            error: ProviderError {
                kind,
                request: format!("{method} {path}"),
                status,
                request_id,
                message,
                advice: advice.or_else(|| (kind == Kind::Unanswered).then(|| STATUS_ADVICE.to_owned())),
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
        let pause = retry_after(response.headers());
        let refused_for = pause.filter(|_| status == 429).map(|pause| pause.min(MAX_RETRY_AFTER));
        self.budget.update(response.headers(), refused_for);
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if bytes.len() + piece.len() <= MAX_BODY_BYTES => bytes.extend_from_slice(&piece),
                // A refusal stays a refusal, however long or short its text is.
                Ok(Some(_)) | Err(_) if status >= 400 => break,
                Ok(Some(_)) => {
                    return Err(failed(
                        Kind::Unanswered,
                        Some(status),
                        request_id,
                        format!("the answer is longer than {MAX_BODY_BYTES} bytes"),
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
            error_kind(status, &message),
            Some(status),
            request_id.or(id),
            message.clone(),
            advice(status, method, path, &message),
        );
        if matches!(status, 429 | 503) {
            failed.pause = pause;
            failed.error.retry_after = pause;
        }
        Err(failed)
    }
}

struct Failed {
    error: ProviderError,
    /// How long the server wants us to wait.
    pause: Option<Duration>,
}

/// Anything between zero and the delay: clients that failed together do not come back together.
fn full_jitter(delay: Duration) -> Duration {
    let random = f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX);
    delay.mul_f64(random)
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
