//! The status channel of a scripted droplet: HTTPS with the bake's own certificate, one request per
//! connection, as the first-boot runner serves it; or a hostile server instead.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::scenario::{HostileAnswer, Progress, RunState, Scenario};
use super::upload::{Part, Upload};

const MAX_HEAD_BYTES: usize = 8 << 10;
/// A chunk of an upload has at most as much, as in the runner.
const MAX_BODY_BYTES: usize = 4 << 20;
/// For handshake, request and answer together, as in the runner.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a hostile server holds a connection.
const HOSTILE_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the bake's own entry is among the `write_files` of a droplet.
const ENTRY_PATH: &str = "/run/mkimg/bake.json";
const MAX_ENTRY_BYTES: u64 = 1 << 20;

/// What a bake tells its droplet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct BakeEntry {
    bake: String,
    /// `https` or `poweroff`.
    channel: String,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    token: String,
    /// DER, in base64.
    #[serde(default)]
    certificate: String,
    /// PKCS #8 DER, in base64.
    #[serde(default)]
    key: String,
    /// How long a droplet that has passed waits for the acknowledgement.
    #[serde(default, deserialize_with = "seconds")]
    power_off_after: Duration,
    /// The index of the files that the bake uploads.
    #[serde(default)]
    upload: Option<Part>,
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

#[derive(Deserialize)]
struct CloudConfig {
    #[serde(default)]
    write_files: Vec<FileEntry>,
}

#[derive(Deserialize)]
struct FileEntry {
    path: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    encoding: Option<String>,
}

impl BakeEntry {
    /// The bake's entry in this user-data, if it has one.
    pub(super) fn find(user_data: &str) -> Option<Self> {
        let document: CloudConfig = serde_yaml::from_str(user_data).ok()?;
        let file = document.write_files.into_iter().rev().find(|file| file.path == ENTRY_PATH)?;
        let bytes = match file.encoding.as_deref() {
            None | Some("" | "text/plain") => file.content.into_bytes(),
            Some("b64" | "base64") => STANDARD.decode(file.content.trim()).ok()?,
            Some("gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64") => {
                let packed = STANDARD.decode(file.content.trim()).ok()?;
                let mut bytes = Vec::new();
                flate2::read::GzDecoder::new(packed.as_slice()).take(MAX_ENTRY_BYTES).read_to_end(&mut bytes).ok()?;
                bytes
            }
            Some(_) => return None,
        };
        serde_json::from_slice(&bytes).ok()
    }
}

/// Plays the scenario. Returns when the droplet powers off, with an error if the scenario cannot be
/// played.
pub(super) async fn play(scenario: &Scenario, entry: Option<BakeEntry>, address: Ipv4Addr) -> Result<(), String> {
    let dies = async {
        match scenario.dies {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let lives = async {
        tokio::time::sleep(scenario.boot).await;
        match entry {
            // Not a bake's document: the droplet just runs.
            None => std::future::pending().await,
            Some(entry) if entry.channel == "https" => serve(scenario, entry, address).await,
            Some(_) => {
                wait_until_passed(scenario, Instant::now()).await;
                Ok(())
            }
        }
    };
    tokio::select! {
        () = dies => Ok(()),
        ended = lives => ended,
    }
}

/// Returns when the scenario has passed; never if it fails.
async fn wait_until_passed(scenario: &Scenario, up: Instant) {
    loop {
        match Progress::at(scenario, up.elapsed()).state {
            RunState::Passed => return,
            RunState::Failed => std::future::pending().await,
            RunState::Running | RunState::Complete => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(scenario: &Scenario, entry: BakeEntry, address: Ipv4Addr) -> Result<(), String> {
    let listener = TcpListener::bind((address, entry.port))
        .await
        .map_err(|error| format!("the status channel cannot listen on {address}:{}: {error}", entry.port))?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|error| format!("the bake's entry is not base64: {error}"));
    let own = tls_acceptor(decode(&entry.certificate)?, decode(&entry.key)?)?;
    let other = rcgen::generate_simple_self_signed(vec!["stranger.invalid".to_owned()])
        .map_err(|error| format!("cannot make another certificate: {error}"))?;
    let other = tls_acceptor(other.cert.der().to_vec(), other.signing_key.serialize_der())?;
    let (power_off_after, deaf) = (entry.power_off_after, scenario.deaf);
    let upload = entry.upload.clone();
    let channel = Arc::new(StatusChannel {
        scenario: scenario.clone(),
        entry,
        run: Mutex::new(upload.map_or_else(|| Run::Steps(Instant::now()), |index| Run::Upload(Upload::new(index)))),
        begun: Notify::new(),
        own,
        other,
        connections: AtomicU64::new(0),
        acknowledged: Notify::new(),
    });
    let over = async {
        wait_until_passed(&channel.scenario, channel.steps_begin().await).await;
        if deaf {
            std::future::pending::<()>().await;
        }
        let _ = tokio::time::timeout(power_off_after, channel.acknowledged.notified()).await;
    };
    let mut open = JoinSet::new();
    let accept = async {
        loop {
            while open.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    open.spawn(Arc::clone(&channel).answer(stream));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::select! {
        () = over => {}
        () = accept => {}
    }
    // Answers under way are finished, above all that of the acknowledgement.
    drop(listener);
    let _ = tokio::time::timeout(Duration::from_secs(1), async { while open.join_next().await.is_some() {} }).await;
    Ok(())
}

fn tls_acceptor(certificate: Vec<u8>, key: Vec<u8>) -> Result<TlsAcceptor, String> {
    let certificate = CertificateDer::from(certificate);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let unusable = |error: rustls::Error| format!("the bake's certificate cannot be used: {error}");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(unusable)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What the droplet does.
enum Run {
    /// It waits for the files of the bake.
    Upload(Upload),
    /// What arrived was not what was announced.
    Failed(String),
    /// It plays the scenario, since this time.
    Steps(Instant),
}

/// The server of one droplet.
struct StatusChannel {
    scenario: Scenario,
    entry: BakeEntry,
    run: Mutex<Run>,
    /// The scenario's steps have begun.
    begun: Notify,
    own: TlsAcceptor,
    other: TlsAcceptor,
    connections: AtomicU64,
    acknowledged: Notify,
}

impl StatusChannel {
    async fn answer(self: Arc<Self>, stream: TcpStream) {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let hostile = self.scenario.hostile.filter(|server| server.connections.is_none_or(|count| number < count));
        // Clients that hang up or do not speak TLS are ignored.
        let _ = match hostile {
            None => tokio::time::timeout(CONNECTION_TIMEOUT, self.answer_honestly(stream)).await.unwrap_or(Ok(())),
            Some(server) => {
                let answer = self.answer_hostilely(server.answer, stream);
                tokio::time::timeout(HOSTILE_TIMEOUT, answer).await.unwrap_or(Ok(()))
            }
        };
    }

    async fn answer_honestly(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = self.own.accept(stream).await?;
        let (head, body) = read_request(&mut stream).await?;
        let (code, kind, body) = self.route(&head, &body);
        respond(&mut stream, code, kind, body.as_bytes()).await?;
        if head.starts_with("POST ") && code.starts_with("202") {
            self.acknowledged.notify_one();
        }
        Ok(())
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the scenario's steps begin; never returns if the upload fails.
    async fn steps_begin(&self) -> Instant {
        loop {
            if let Run::Steps(since) = *self.run() {
                return since;
            }
            self.begun.notified().await;
        }
    }

    /// Takes a chunk of the upload; the answer says where the next one begins.
    fn accept(&self, offset: u64, chunk: &[u8]) -> serde_json::Value {
        let mut run = self.run();
        if let Run::Upload(upload) = &mut *run {
            match upload.accept(offset, chunk) {
                Ok(false) => return json!({"next": upload.next()}),
                Ok(true) => {
                    *run = Run::Steps(Instant::now());
                    self.begun.notify_one();
                }
                Err(reason) => *run = Run::Failed(reason),
            }
        }
        json!({"next": null})
    }

    fn progress(&self) -> (Progress, Option<u64>) {
        match &*self.run() {
            Run::Upload(upload) => (Progress::of_upload(None), Some(upload.next())),
            Run::Failed(reason) => (Progress::of_upload(Some(reason)), None),
            Run::Steps(since) => (Progress::at(&self.scenario, since.elapsed()), None),
        }
    }

    /// Status line, content type and body for a request.
    fn route(&self, head: &str, chunk: &[u8]) -> (&'static str, &'static str, String) {
        let empty = |code| (code, "", String::new());
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let is_authorized = lines.filter_map(|line| line.split_once(':')).any(|(name, value)| {
            let (scheme, token) = value.trim().split_once(' ').unwrap_or_default();
            name.eq_ignore_ascii_case("authorization")
                && scheme.eq_ignore_ascii_case("bearer")
                && token == self.entry.token
        });
        if !is_authorized {
            return empty("401 Unauthorized");
        }
        let (progress, upload) = self.progress();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match (method, path) {
            ("GET", "/v1/status") => {
                let offset = query.strip_prefix("log=").and_then(|text| text.parse().ok()).unwrap_or(0);
                let mut status = progress.status(&self.entry.bake, offset);
                status["upload"] = json!(upload);
                ("200 OK", "application/json", status.to_string())
            }
            ("POST", "/v1/upload") => match query.strip_prefix("offset=").and_then(|text| text.parse().ok()) {
                Some(offset) => ("200 OK", "application/json", self.accept(offset, chunk).to_string()),
                None => empty("400 Bad Request"),
            },
            ("GET", "/v1/log") => ("200 OK", "text/plain; charset=utf-8", progress.log),
            ("POST", "/v1/acknowledge") if progress.state == RunState::Passed => empty("202 Accepted"),
            ("POST", "/v1/acknowledge") => empty("409 Conflict"),
            (_, "/v1/status" | "/v1/log" | "/v1/acknowledge" | "/v1/upload") => empty("405 Method Not Allowed"),
            _ => empty("404 Not Found"),
        }
    }

    async fn answer_hostilely(&self, answer: HostileAnswer, mut stream: TcpStream) -> std::io::Result<()> {
        let passed = |bake: &str| Progress::at(&Scenario::default(), Duration::ZERO).status(bake, 0).to_string();
        let acceptor = match answer {
            HostileAnswer::PlainHttp => {
                let page = "<html><title>It works</title></html>";
                let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{page}", page.len());
                return stream.write_all(head.as_bytes()).await;
            }
            HostileAnswer::Silent => std::future::pending().await,
            HostileAnswer::Closed => return Ok(()),
            HostileAnswer::WrongCertificate => &self.other,
            _ => &self.own,
        };
        let mut stream = acceptor.accept(stream).await?;
        read_request(&mut stream).await?;
        let body = match answer {
            HostileAnswer::Unauthorized => return respond(&mut stream, "401 Unauthorized", "", b"").await,
            HostileAnswer::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"log\": \"").await?;
                loop {
                    stream.write_all(&[b'x'; 16 << 10]).await?;
                }
            }
            HostileAnswer::Slow => {
                let body = passed(&self.entry.bake);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).await?;
                for byte in body.bytes() {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                return Ok(());
            }
            HostileAnswer::Garbage => b"\x00\x1f{\"state\": passed, \xff\xfe".to_vec(),
            HostileAnswer::OtherBake => passed("20000101-000000-000000").into_bytes(),
            _ => passed(&self.entry.bake).into_bytes(),
        };
        respond(&mut stream, "200 OK", "application/json", &body).await
    }
}

/// Reads the head of a request, and its body.
async fn read_request(stream: &mut TlsStream<TcpStream>) -> std::io::Result<(String, Vec<u8>)> {
    let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if read.len() > MAX_HEAD_BYTES || stream.read_buf(&mut read).await? == 0 {
            return Err(invalid());
        }
    };
    let mut body = read.split_off(end);
    let head = String::from_utf8_lossy(&read).into_owned();
    let lengths = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let length = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    let length: usize = length.last().unwrap_or("0").parse().map_err(|_| invalid())?;
    if length > MAX_BODY_BYTES {
        return Err(invalid());
    }
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(invalid());
        }
    }
    Ok((head, body))
}

async fn respond(stream: &mut TlsStream<TcpStream>, code: &str, kind: &str, body: &[u8]) -> std::io::Result<()> {
    let kind = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
    let head = format!("HTTP/1.1 {code}\r\ncontent-length: {}\r\nconnection: close\r\n{kind}\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_in_each_encoding() {
        let json = r#"{"version": 1, "bake": "b", "channel": "poweroff", "power_off_after": 900}"#;
        let document = |entry: &str| {
            format!(
                "#cloud-config\nwrite_files:\n- {{path: /etc/motd, content: hello}}\n- {{path: {ENTRY_PATH}, {entry}}}\n"
            )
        };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, json.as_bytes()).unwrap();
        for text in [
            document(&format!("content: '{json}', permissions: '0600'")),
            document(&format!("content: {}, encoding: b64", STANDARD.encode(json))),
            document(&format!("content: {}, encoding: gz+b64", STANDARD.encode(gzip.finish().unwrap()))),
        ] {
            let entry = BakeEntry::find(&text).unwrap();
            assert_eq!((entry.bake.as_str(), entry.channel.as_str()), ("b", "poweroff"), "{text}");
            assert_eq!(entry.power_off_after, Duration::from_secs(900));
        }
        for none in ["", "#!/bin/sh\n", "#cloud-config\nruncmd: [true]\n", "#cloud-config\nwrite_files: 3\n"] {
            assert_eq!(BakeEntry::find(none), None, "{none}");
        }
    }

    fn entry(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>, port: u16) -> BakeEntry {
        BakeEntry {
            bake: "b".to_owned(),
            channel: "https".to_owned(),
            port,
            token: "secret".to_owned(),
            certificate: STANDARD.encode(certificate.cert.der()),
            key: STANDARD.encode(certificate.signing_key.serialize_der()),
            power_off_after: Duration::from_secs(600),
            upload: None,
        }
    }

    /// Plays a scenario on loopback, and a client that asks for the status until the droplet itself
    /// has answered. Returns how many requests failed before.
    async fn play_with_client(scenario: &str, acknowledge: bool) -> usize {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let identity = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let root = reqwest::Certificate::from_der(identity.cert.der()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([root]).no_proxy().pool_max_idle_per_host(0);
        let http = builder.timeout(Duration::from_secs(20)).build().unwrap();
        let scenario: Scenario = scenario.parse().unwrap();
        let url = format!("https://127.0.0.1:{port}/v1");
        let client = async {
            let mut failed = 0;
            loop {
                let answer = http.get(format!("{url}/status")).bearer_auth("secret").send().await;
                match answer.and_then(reqwest::Response::error_for_status) {
                    Ok(answer) => {
                        let status: serde_json::Value = answer.json().await.unwrap();
                        assert_eq!((&status["bake"], &status["state"]), (&"b".into(), &"passed".into()));
                        break;
                    }
                    // Before the server listens, connecting fails.
                    Err(error) if error.is_connect() && format!("{error:?}").contains("refused") => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err(_) => failed += 1,
                }
            }
            let wrong = http.get(format!("{url}/status")).bearer_auth("secre").send().await.unwrap();
            assert_eq!(wrong.status(), 401);
            if acknowledge {
                let answer = http.post(format!("{url}/acknowledge")).bearer_auth("secret").send().await.unwrap();
                assert_eq!(answer.status(), 202);
            }
            failed
        };
        let played = play(&scenario, Some(entry(&identity, port)), Ipv4Addr::LOCALHOST);
        if acknowledge && !scenario.deaf {
            let (failed, ended) = tokio::join!(client, tokio::time::timeout(Duration::from_secs(60), played));
            assert_eq!(ended, Ok(Ok(())));
            return failed;
        }
        let mut played = std::pin::pin!(played);
        let failed = tokio::select! {
            failed = client => failed,
            ended = &mut played => panic!("it ended early: {ended:?}"),
        };
        let ended = tokio::time::timeout(Duration::from_millis(500), played).await;
        assert!(ended.is_err(), "it ended without an acknowledgement: {ended:?}");
        failed
    }

    #[tokio::test]
    async fn a_droplet_powers_off_when_its_result_is_acknowledged() {
        assert_eq!(play_with_client("check: {passed: 9}", true).await, 0);
        assert_eq!(play_with_client("check: {passed: 9}", false).await, 0);
        assert_eq!(play_with_client("{check: {passed: 9}, deaf: true}", true).await, 0);
    }

    #[tokio::test]
    async fn a_hostile_server_answers_as_often_as_it_is_told() {
        for answer in ["closed", "unauthorized", "plain-http", "wrong-certificate"] {
            let scenario = format!("hostile: {{answer: {answer}, connections: 3}}");
            assert_eq!(play_with_client(&scenario, true).await, 3, "{answer}");
        }
    }

    /// The runner's answers to what does not fit its state.
    #[tokio::test]
    async fn a_droplet_that_has_not_passed_is_not_acknowledged() {
        use reqwest::Method;

        let _ = rustls::crypto::ring::default_provider().install_default();
        let identity = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let root = reqwest::Certificate::from_der(identity.cert.der()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([root]).no_proxy().build().unwrap();
        let url = format!("https://127.0.0.1:{port}/v1");
        let ask = async |method: reqwest::Method, path: &str, body: &str| loop {
            let request = http.request(method.clone(), format!("{url}{path}")).bearer_auth("secret");
            match request.body(body.to_owned()).send().await {
                Ok(answer) => break (answer.status().as_u16(), answer.text().await.unwrap()),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let scenario: Scenario = "steps: [{name: a, endless: true}]".parse().unwrap();
        let index = serde_json::json!([{"path": "/x", "size": 5, "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}]);
        let upload = serde_json::json!({"size": index.to_string().len(), "sha256": sum(&index.to_string())});
        let entry = BakeEntry { upload: serde_json::from_value(upload).unwrap(), ..entry(&identity, port) };
        let client = async {
            let status =
                async || serde_json::from_str::<serde_json::Value>(&ask(Method::GET, "/status", "").await.1).unwrap();
            let waiting = status().await;
            assert_eq!((&waiting["state"], &waiting["upload"]), (&"running".into(), &0.into()));
            assert_eq!(waiting["steps"][0]["name"], "upload");
            for (method, path, expected) in [
                (Method::POST, "/acknowledge", 409),
                (Method::GET, "/acknowledge", 405),
                (Method::POST, "/status", 405),
                (Method::GET, "/upload?offset=0", 405),
                (Method::POST, "/upload", 400),
                (Method::GET, "/nothing", 404),
            ] {
                assert_eq!(ask(method, path, "").await.0, expected, "{path}");
            }
            let next = index.to_string().len() as u64;
            let answer = ask(Method::POST, "/upload?offset=0", &index.to_string()).await;
            assert_eq!(answer, (200, format!("{{\"next\":{next}}}")));
            let answer = ask(Method::POST, &format!("/upload?offset={next}"), "hello").await;
            assert_eq!(answer, (200, "{\"next\":null}".to_owned()));
            let begun = status().await;
            assert_eq!((&begun["upload"], &begun["steps"][0]["name"]), (&serde_json::Value::Null, &"a".into()));
            assert_eq!(ask(Method::POST, "/acknowledge", "").await.0, 409);
        };
        tokio::select! {
            () = client => {}
            ended = play(&scenario, Some(entry), Ipv4Addr::LOCALHOST) => panic!("it ended: {ended:?}"),
        }
    }

    fn sum(text: &str) -> String {
        use sha2::Digest as _;
        crate::support::hexadecimal(&sha2::Sha256::digest(text))
    }
}
