//! Requests a droplet's status. A server without the bake's key learns nothing, not even the token: the token is sent only
//! inside a connection whose other side has proved that it has the pinned certificate's key.

use std::io::SeekFrom;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode, redirect};
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::credentials::{Credentials, CredentialsError, server_name};
use super::pin::Pinned;
use crate::bake::ports::{Marker, MarkerError, Status};
use crate::causes::causes;

/// A status has at most 64 KiB of log, escaped, and the steps.
const MAX_STATUS_BYTES: usize = 512 * 1024;
/// The whole log is at most 4 MiB.
const MAX_LOG_BYTES: usize = 4 * 1024 * 1024 + 64 * 1024;
/// The contents of one chunk of an upload; the runner takes at most 4 MiB.
pub(super) const CHUNK_BYTES: u64 = 2 * 1024 * 1024;

/// How long a droplet may take to answer.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until there is a connection with TLS.
    pub connect: Duration,
    /// A whole request, its answer's body included.
    pub request: Duration,
    /// The request for the whole log.
    pub log: Duration,
    /// A request with a chunk of an upload.
    pub upload: Duration,
}

impl Default for Limits {
    /// QEMU's user network accepts a connection before the guest listens: short limits, many attempts.
    fn default() -> Self {
        let [connect, request, log, upload] = [3, 8, 30, 120].map(Duration::from_secs);
        Self { connect, request, log, upload }
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
    upload: Option<Upload>,
}

/// What the droplet wants to have uploaded: an index, then contents.
pub(super) struct Upload {
    pub(super) index: Vec<u8>,
    pub(super) contents: PathBuf,
}

impl Upload {
    /// Reads the chunk at `offset`; an empty one if that is the end.
    pub(super) async fn chunk(&self, offset: u64) -> std::io::Result<Vec<u8>> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.index.get(offset..)).unwrap_or_default();
        let mut chunk = Vec::new();
        rest.take(CHUNK_BYTES).read_to_end(&mut chunk).await?;
        let mut contents = tokio::fs::File::open(&self.contents).await?;
        contents.seek(SeekFrom::Start(offset.saturating_sub(self.index.len() as u64))).await?;
        contents.take(CHUNK_BYTES.saturating_sub(chunk.len() as u64)).read_to_end(&mut chunk).await?;
        Ok(chunk)
    }
}

impl Client {
    /// A client that trusts only the holder of these credentials' key.
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
            upload: None,
        })
    }

    /// Sends this index and the contents of this file if the droplet asks for an upload.
    pub fn attach_upload(&mut self, index: Vec<u8>, contents: PathBuf) {
        self.upload = Some(Upload { index, contents });
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
            .map_err(|error| self.bad_answer(address, error.to_string()))?;
        *cached = Some((address, client.clone()));
        Ok(client)
    }

    fn socket(&self, address: IpAddr) -> String {
        SocketAddr::new(address, self.port).to_string()
    }

    fn bad_answer(&self, address: IpAddr, reason: impl Into<String>) -> MarkerError {
        MarkerError::BadAnswer { address: self.socket(address), reason: reason.into() }
    }

    async fn request(
        &self,
        address: IpAddr,
        method: Method,
        path: &str,
        body: Vec<u8>,
        limit: Duration,
        max: usize,
    ) -> Result<(StatusCode, Vec<u8>), MarkerError> {
        let url = format!("https://{}:{}{path}", self.host, self.port);
        let request = self.http(address)?.request(method, url).timeout(limit).bearer_auth(self.token.expose_secret());
        let request = if body.is_empty() { request } else { request.body(body) };
        let mut response = request.send().await.map_err(|error| self.explain(address, &error))?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.cut_short(address, &error))? {
            if body.len() + piece.len() > max {
                return Err(self.bad_answer(address, format!("its answer is longer than {max} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok((response.status(), body))
    }

    /// No server yet, or another server?
    fn explain(&self, address: IpAddr, error: &reqwest::Error) -> MarkerError {
        for cause in causes(error) {
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                let reason = match tls {
                    rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
                        "it shows another certificate than the one this bake made".to_owned()
                    }
                    other => format!("the TLS handshake fails: {other}"),
                };
                return MarkerError::WrongServer { address: self.socket(address), reason };
            }
            // It has our key, or there would be a TLS error.
            if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                return self.bad_answer(address, "its answer is not HTTP");
            }
        }
        MarkerError::NotUp(self.socket(address))
    }

    /// The server has our key and has begun to answer.
    fn cut_short(&self, address: IpAddr, error: &reqwest::Error) -> MarkerError {
        if error.is_timeout() {
            return self.bad_answer(address, "its answer is too slow");
        }
        let cause = causes(error).last().map(|cause| format!(": {cause}")).unwrap_or_default();
        self.bad_answer(address, format!("its answer is cut short{cause}"))
    }
}

#[async_trait]
impl Marker for Client {
    async fn status(&self, address: IpAddr, log_offset: u64) -> Result<Status, MarkerError> {
        let (code, body) = self
            .request(
                address,
                Method::GET,
                &format!("/v1/status?log={log_offset}"),
                Vec::new(),
                self.limits.request,
                MAX_STATUS_BYTES,
            )
            .await?;
        if code != StatusCode::OK {
            return Err(self.bad_answer(address, format!("it answers {code} to our token")));
        }
        let status: Status = serde_json::from_slice(&body)
            .map_err(|error| self.bad_answer(address, format!("its status is not valid JSON: {error}")))?;
        if status.bake != self.bake {
            return Err(self.bad_answer(address, "its status is that of another bake"));
        }
        Ok(status)
    }

    async fn acknowledge(&self, address: IpAddr) -> Result<(), MarkerError> {
        let (code, _) = self
            .request(address, Method::POST, "/v1/acknowledge", Vec::new(), self.limits.request, MAX_STATUS_BYTES)
            .await?;
        if code == StatusCode::ACCEPTED {
            Ok(())
        } else {
            Err(self.bad_answer(address, format!("it answers {code} to the acknowledgement")))
        }
    }

    async fn log(&self, address: IpAddr) -> Result<String, MarkerError> {
        let (code, body) =
            self.request(address, Method::GET, "/v1/log", Vec::new(), self.limits.log, MAX_LOG_BYTES).await?;
        if code != StatusCode::OK {
            return Err(self.bad_answer(address, format!("it answers {code} to the request for its log")));
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn upload(&self, address: IpAddr, offset: u64) -> Result<Option<u64>, MarkerError> {
        let Some(upload) = &self.upload else {
            return Err(self.bad_answer(address, "it waits for an upload, and this bake has none"));
        };
        let unreadable = |error: std::io::Error| MarkerError::Upload {
            path: upload.contents.display().to_string(),
            reason: error.to_string(),
        };
        let chunk = upload.chunk(offset).await.map_err(unreadable)?;
        if chunk.is_empty() {
            return Ok(Some(offset));
        }
        let path = format!("/v1/upload?offset={offset}");
        let (code, body) =
            self.request(address, Method::POST, &path, chunk, self.limits.upload, MAX_STATUS_BYTES).await?;
        if code != StatusCode::OK {
            return Err(self.bad_answer(address, format!("it answers {code} to a chunk of the upload")));
        }
        let accepted: Accepted = serde_json::from_slice(&body)
            .map_err(|error| self.bad_answer(address, format!("its answer to a chunk is not valid JSON: {error}")))?;
        Ok(accepted.next)
    }
}

/// The answer to a chunk of an upload.
#[derive(serde::Deserialize)]
struct Accepted {
    next: Option<u64>,
}
