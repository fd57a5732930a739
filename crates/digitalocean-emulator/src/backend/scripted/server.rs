//! The status channel of a scripted droplet: HTTPS with the bake's own certificate, one request a connection, as the
//! first-boot runner serves it; or somebody hostile in its place.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::entry::Entry;
use super::scenario::{Answer, Scenario};
use super::timeline::{Moment, State};

/// A request's head at most.
const HEAD: usize = 8 << 10;
/// For handshake, request and answer together, as the runner has it.
const DEADLINE: Duration = Duration::from_secs(15);
/// How long a hostile server holds a connection.
const HOSTILE: Duration = Duration::from_secs(60);

/// A droplet that answers.
struct Droplet {
    scenario: Scenario,
    entry: Entry,
    up: Instant,
    own: TlsAcceptor,
    other: TlsAcceptor,
    connections: AtomicU64,
    acknowledged: Notify,
}

/// Plays the scenario; returns when the droplet powers off, or with the reason why it can't be played.
pub(super) async fn play(scenario: &Scenario, entry: Option<Entry>, address: Ipv4Addr) -> Result<(), String> {
    let dies = async {
        match scenario.dies {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let live = async {
        tokio::time::sleep(scenario.boot).await;
        match entry {
            // Not a bake's document: it just runs.
            None => std::future::pending().await,
            Some(entry) if entry.has_channel() => serve(scenario, entry, address).await,
            Some(_) => {
                passed(scenario, Instant::now()).await;
                Ok(())
            }
        }
    };
    tokio::select! {
        () = dies => Ok(()),
        ended = live => ended,
    }
}

/// Returns when the scenario has passed; never, if it does not.
async fn passed(scenario: &Scenario, up: Instant) {
    loop {
        match Moment::of(scenario, up.elapsed()).state {
            State::Passed => return,
            State::Failed => std::future::pending().await,
            State::Running | State::Complete => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(scenario: &Scenario, entry: Entry, address: Ipv4Addr) -> Result<(), String> {
    let listener = TcpListener::bind((address, entry.port))
        .await
        .map_err(|error| format!("the status channel can't listen on {address}:{}: {error}", entry.port))?;
    let own = acceptor(&entry.certificate, &entry.key)?;
    let stranger = rcgen::generate_simple_self_signed(vec!["stranger.invalid".to_owned()])
        .map_err(|error| format!("no certificate for a stranger: {error}"))?;
    let other =
        acceptor(&STANDARD.encode(stranger.cert.der()), &STANDARD.encode(stranger.signing_key.serialize_der()))?;
    let (patience, deaf) = (entry.patience(), scenario.deaf);
    let droplet = Arc::new(Droplet {
        scenario: scenario.clone(),
        entry,
        up: Instant::now(),
        own,
        other,
        connections: AtomicU64::new(0),
        acknowledged: Notify::new(),
    });
    let over = async {
        passed(&droplet.scenario, droplet.up).await;
        if deaf {
            std::future::pending::<()>().await;
        }
        let _ = tokio::time::timeout(patience, droplet.acknowledged.notified()).await;
    };
    let mut open = JoinSet::new();
    let accept = async {
        loop {
            while open.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    open.spawn(Arc::clone(&droplet).answer(stream));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::select! {
        () = over => {}
        () = accept => {}
    }
    // What was being said is said to its end: the acknowledgement's own answer, above all.
    drop(listener);
    let _ = tokio::time::timeout(Duration::from_secs(1), async { while open.join_next().await.is_some() {} }).await;
    Ok(())
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor, String> {
    let decode = |text: &str| STANDARD.decode(text).map_err(|error| format!("the bake's entry is no base64: {error}"));
    let certificate = CertificateDer::from(decode(certificate)?);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(decode(key)?));
    let unusable = |error: rustls::Error| format!("the bake's certificate can't be used: {error}");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(unusable)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Droplet {
    async fn answer(self: Arc<Self>, stream: TcpStream) {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let hostile = self.scenario.hostile.filter(|who| who.connections.is_none_or(|many| number < many));
        // Who hangs up, or speaks no TLS, is nobody's business.
        let _ = match hostile {
            None => tokio::time::timeout(DEADLINE, self.serve(stream)).await.unwrap_or(Ok(())),
            Some(who) => tokio::time::timeout(HOSTILE, self.mislead(who.answer, stream)).await.unwrap_or(Ok(())),
        };
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = self.own.accept(stream).await?;
        let head = read_head(&mut stream).await?;
        let (code, kind, body) = self.route(&head);
        respond(&mut stream, code, kind, body.as_bytes()).await?;
        if head.starts_with("POST ") && code.starts_with("202") {
            self.acknowledged.notify_one();
        }
        Ok(())
    }

    fn route(&self, head: &str) -> (&'static str, &'static str, String) {
        let none = |code| (code, "", String::new());
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let bearer = format!("bearer {}", self.entry.token);
        let authorized = lines.filter_map(|line| line.split_once(':')).any(|(name, value)| {
            let value = value.trim();
            name.eq_ignore_ascii_case("authorization")
                && value.len() == bearer.len()
                && value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "))
                && value.get(7..) == bearer.get(7..)
        });
        if !authorized {
            return none("401 Unauthorized");
        }
        let moment = Moment::of(&self.scenario, self.up.elapsed());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match (method, path) {
            ("GET", "/v1/status") => {
                let offset = query.strip_prefix("log=").and_then(|text| text.parse().ok()).unwrap_or(0);
                ("200 OK", "application/json", moment.status(&self.entry.bake, offset).to_string())
            }
            ("GET", "/v1/log") => ("200 OK", "text/plain; charset=utf-8", moment.log),
            ("POST", "/v1/acknowledge") if moment.state == State::Passed => none("202 Accepted"),
            ("POST", "/v1/acknowledge") => none("409 Conflict"),
            (_, "/v1/status" | "/v1/log" | "/v1/acknowledge") => none("405 Method Not Allowed"),
            _ => none("404 Not Found"),
        }
    }

    async fn mislead(&self, answer: Answer, mut stream: TcpStream) -> std::io::Result<()> {
        match answer {
            Answer::WrongCertificate => {
                let mut stream = self.other.accept(stream).await?;
                read_head(&mut stream).await?;
                let status = Moment::of(&Scenario::default(), Duration::ZERO).status(&self.entry.bake, 0);
                return respond(&mut stream, "200 OK", "application/json", status.to_string().as_bytes()).await;
            }
            Answer::PlainHttp => {
                let page = "<html><title>It works</title></html>";
                let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{page}", page.len());
                return stream.write_all(head.as_bytes()).await;
            }
            Answer::Silent => std::future::pending().await,
            Answer::Closed => return Ok(()),
            _ => {}
        }
        let mut stream = self.own.accept(stream).await?;
        read_head(&mut stream).await?;
        let passed = |bake: &str| Moment::of(&Scenario::default(), Duration::ZERO).status(bake, 0).to_string();
        match answer {
            Answer::OtherBake => {
                respond(&mut stream, "200 OK", "application/json", passed("20000101-000000-000000").as_bytes()).await
            }
            Answer::Unauthorized => respond(&mut stream, "401 Unauthorized", "", b"").await,
            Answer::Garbage => {
                respond(&mut stream, "200 OK", "application/json", b"\x00\x1f{\"state\": passed, \xff\xfe").await
            }
            Answer::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"log\": \"").await?;
                loop {
                    stream.write_all(&[b'x'; 16 << 10]).await?;
                }
            }
            _ => {
                let body = passed(&self.entry.bake);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).await?;
                for byte in body.bytes() {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Ok(())
            }
        }
    }
}

async fn read_head(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await?;
        if read == 0 || head.len() > HEAD {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&piece[..read]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

async fn respond(stream: &mut TlsStream<TcpStream>, code: &str, kind: &str, body: &[u8]) -> std::io::Result<()> {
    let kind = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
    let head = format!("HTTP/1.1 {code}\r\ncontent-length: {}\r\nconnection: close\r\n{kind}\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}
