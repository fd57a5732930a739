//! Asks a droplet for its status. Who does not hold the bake's key learns nothing from us, not even the token: it is sent
//! only inside a connection whose other side has proved to hold the pinned certificate's key.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode, redirect};
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};

use super::credentials::{Credentials, CredentialsError, server_name};
use super::pin::Pinned;
use crate::bake::ports::{Marker, MarkerError, Status};

/// No status is larger: 64 KiB of log, escaped, and the steps.
const MAX_STATUS: usize = 512 * 1024;
/// The whole log is at most 4 MiB.
const MAX_LOG: usize = 4 * 1024 * 1024 + 64 * 1024;

/// How long a droplet may take to answer.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until there is a connection with TLS.
    pub connect: Duration,
    /// A whole request, its answer's body included.
    pub request: Duration,
    /// The request for the whole log.
    pub log: Duration,
}

impl Default for Limits {
    /// QEMU's user network accepts a connection before the guest listens: short limits, many tries.
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), request: Duration::from_secs(8), log: Duration::from_secs(30) }
    }
}

/// The client of one droplet's status channel.
pub struct Client {
    port: u16,
    bake: String,
    host: String,
    token: SecretString,
    limits: Limits,
    tls: rustls::ClientConfig,
    /// One connection pool per address; a droplet has one address, so there is one.
    http: Mutex<Option<(IpAddr, reqwest::Client)>>,
}

impl Client {
    /// A client that believes only the holder of these credentials' key.
    pub fn new(credentials: &Credentials, port: u16, limits: Limits) -> Result<Self, CredentialsError> {
        let unreadable = |error: &dyn std::fmt::Display| CredentialsError::Unreadable(error.to_string());
        let certificate = STANDARD.decode(&credentials.certificate).map_err(|error| unreadable(&error))?;
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let pinned = Pinned::new(CertificateDer::from(certificate), crypto.clone());
        let tls = rustls::ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .map_err(|error| unreadable(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        Ok(Self {
            port,
            bake: credentials.bake.to_string(),
            host: server_name(&credentials.bake),
            token: credentials.token.clone(),
            limits,
            tls,
            http: Mutex::new(None),
        })
    }

    fn http(&self, address: IpAddr) -> Result<reqwest::Client, MarkerError> {
        let mut cached = self.http.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((known, client)) = &*cached
            && *known == address
        {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .https_only(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .resolve(&self.host, SocketAddr::new(address, self.port))
            .connect_timeout(self.limits.connect)
            .pool_idle_timeout(Duration::from_secs(20))
            .build()
            .map_err(|error| self.hostile(address, error.to_string()))?;
        *cached = Some((address, client.clone()));
        Ok(client)
    }

    fn place(&self, address: IpAddr) -> String {
        SocketAddr::new(address, self.port).to_string()
    }

    fn hostile(&self, address: IpAddr, reason: impl Into<String>) -> MarkerError {
        MarkerError::Hostile { address: self.place(address), reason: reason.into() }
    }

    async fn ask(
        &self,
        address: IpAddr,
        method: Method,
        path: &str,
        limit: Duration,
        max: usize,
    ) -> Result<(StatusCode, Vec<u8>), MarkerError> {
        let url = format!("https://{}:{}{path}", self.host, self.port);
        let request = self.http(address)?.request(method, url).timeout(limit).bearer_auth(self.token.expose_secret());
        let mut response = request.send().await.map_err(|error| self.explain(address, &error))?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.cut_short(address, &error))? {
            if body.len() + piece.len() > max {
                return Err(self.hostile(address, format!("its answer is longer than {max} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok((response.status(), body))
    }

    /// Nobody there yet, or somebody else?
    fn explain(&self, address: IpAddr, error: &reqwest::Error) -> MarkerError {
        for cause in causes(error) {
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                let reason = match tls {
                    rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
                        "it shows another certificate than the one this bake made".to_owned()
                    }
                    other => format!("the TLS handshake fails: {other}"),
                };
                return MarkerError::WrongServer { address: self.place(address), reason };
            }
            // It holds our key, or there would be a TLS error above.
            if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                return self.hostile(address, "its answer is no HTTP");
            }
        }
        MarkerError::NotUp(self.place(address))
    }

    /// The other side holds our key and has begun to answer.
    fn cut_short(&self, address: IpAddr, error: &reqwest::Error) -> MarkerError {
        if error.is_timeout() {
            return self.hostile(address, "its answer is too slow");
        }
        let cause = causes(error).last().map(|cause| format!(": {cause}")).unwrap_or_default();
        self.hostile(address, format!("its answer is cut short{cause}"))
    }
}

/// The causes of an error, those included that an io error carries inside instead of naming them as its source.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), cause_of)
}

fn cause_of<'e>(error: &&'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let error: &'e (dyn Error + 'static) = *error;
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

#[async_trait]
impl Marker for Client {
    async fn status(&self, address: IpAddr, log_offset: u64) -> Result<Status, MarkerError> {
        let (code, body) = self
            .ask(address, Method::GET, &format!("/v1/status?log={log_offset}"), self.limits.request, MAX_STATUS)
            .await?;
        if code != StatusCode::OK {
            return Err(self.hostile(address, format!("it answers {code} to our token")));
        }
        let status: Status = serde_json::from_slice(&body)
            .map_err(|error| self.hostile(address, format!("its status is no valid JSON: {error}")))?;
        if status.bake != self.bake {
            return Err(self.hostile(address, "its status is that of another bake"));
        }
        Ok(status)
    }

    async fn acknowledge(&self, address: IpAddr) -> Result<(), MarkerError> {
        let (code, _) = self.ask(address, Method::POST, "/v1/acknowledge", self.limits.request, MAX_STATUS).await?;
        if code == StatusCode::ACCEPTED {
            Ok(())
        } else {
            Err(self.hostile(address, format!("it answers {code} to the acknowledgement")))
        }
    }

    async fn log(&self, address: IpAddr) -> Result<String, MarkerError> {
        let (code, body) = self.ask(address, Method::GET, "/v1/log", self.limits.log, MAX_LOG).await?;
        if code != StatusCode::OK {
            return Err(self.hostile(address, format!("it answers {code} to the request for its log")));
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}
