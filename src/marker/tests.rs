//! The client against a TLS server that is the right droplet, another server, or a misbehaving one.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use secrecy::ExposeSecret as _;

use super::client::{CHUNK_BYTES, Upload};
use super::{Client, Credentials, Limits};
use crate::bake::BakeId;
use crate::bake::ports::{Marker as _, MarkerError, RunnerState};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// For servers that answer, correctly or not. Even a busy machine needs less.
const PATIENT: Limits = limits(Duration::from_secs(30));
/// For servers that never answer: the client waits this long in vain.
const SHORT: Limits = limits(Duration::from_secs(1));
/// How long an endless answer lasts, unless the client disconnects.
const ENDLESS: Duration = Duration::from_secs(60);

const fn limits(limit: Duration) -> Limits {
    Limits { connect: limit, request: limit, log: limit, upload: limit }
}

type Serve = Box<dyn FnOnce(&mut Tls) + Send>;
type Tls = StreamOwned<ServerConnection, TcpStream>;

fn credentials() -> Credentials {
    Credentials::new(&BakeId::new(0, [1, 2, 3])).unwrap()
}

/// Presents a certificate, with or without its key.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn tls(certificate: &Credentials, key: &Credentials) -> Arc<ServerConfig> {
    let provider = rustls::crypto::ring::default_provider();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(STANDARD.decode(key.key.expose_secret()).unwrap()));
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certificate = CertificateDer::from(STANDARD.decode(&certificate.certificate).unwrap());
    let shown = CertifiedKey::new(vec![certificate], key);
    let config = ServerConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_cert_resolver(Arc::new(Shows(Arc::new(shown)))))
}

/// Serves one plain TCP connection, without TLS.
fn plain(serve: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_read_timeout(Some(ENDLESS)).unwrap();
            serve(stream);
        }
    });
    port
}

fn over_tls(config: Arc<ServerConfig>, answer: impl FnOnce(&mut Tls) + Send + 'static) -> (u16, Receiver<String>) {
    let (sender, receiver) = channel();
    let port = plain(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            request.push(byte[0]);
        }
        let _ = sender.send(String::from_utf8(request).unwrap());
        answer(&mut stream);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    });
    (port, receiver)
}

fn answer(status: &'static str, body: String) -> impl FnOnce(&mut Tls) + Send {
    move |stream| {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        // The client may have disconnected.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    }
}

fn status(bake: &Credentials) -> String {
    format!(
        r#"{{"version": 1, "bake": "{}", "state": "running", "steps": [], "log": {{"next": 3, "text": "abc"}}}}"#,
        bake.bake
    )
}

async fn ask(credentials: &Credentials, port: u16) -> Result<crate::bake::ports::Status, MarkerError> {
    ask_within(PATIENT, credentials, port).await
}

async fn ask_within(
    limits: Limits,
    credentials: &Credentials,
    port: u16,
) -> Result<crate::bake::ports::Status, MarkerError> {
    let start = Instant::now();
    let result = Client::new(credentials, port, limits).unwrap().status(HERE, 7).await;
    assert!(start.elapsed() < ENDLESS, "there is a limit: {:?}", start.elapsed());
    result
}

#[tokio::test]
async fn the_right_droplet_is_believed() {
    let ours = credentials();
    let (port, heard) = over_tls(tls(&ours, &ours), answer("200 OK", status(&ours)));
    let status = ask(&ours, port).await.unwrap();
    assert_eq!((status.state, status.log.text.as_str()), (RunnerState::Running, "abc"));
    let request = heard.recv().unwrap();
    assert!(request.starts_with("GET /v1/status?log=7 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("Bearer {}", ours.token.expose_secret())));
}

#[tokio::test]
async fn another_certificate_gets_nothing_not_even_the_token() {
    let (ours, theirs) = (credentials(), credentials());
    for (shown, held, text) in [(&theirs, &theirs, "another certificate"), (&ours, &theirs, "TLS handshake fails")] {
        let (port, heard) = over_tls(tls(shown, held), |_| {});
        let error = ask(&ours, port).await.unwrap_err();
        assert!(matches!(&error, MarkerError::WrongServer { reason, .. } if reason.contains(text)), "{error}");
        assert_eq!(heard.recv().unwrap(), "", "nothing is said to it");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_another_server() {
    for greeting in ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n"] {
        let port = plain(|mut stream| {
            let _ = stream.write_all(greeting.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let error = ask(&credentials(), port).await.unwrap_err();
        assert!(matches!(error, MarkerError::WrongServer { .. }), "{greeting}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_up() {
    // Nothing listens on this port. The test keeps it bound, so that no other process can take it.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = held.local_addr().unwrap().port();
    let silent = plain(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let gone = plain(drop);
    for (port, limits) in [(closed, PATIENT), (silent, SHORT), (gone, PATIENT)] {
        let error = ask_within(limits, &credentials(), port).await.unwrap_err();
        assert!(matches!(error, MarkerError::NotUp(_)), "{error:?}");
    }
    // This is our droplet, busy or shutting down: the client may try again.
    let ours = credentials();
    let (port, _heard) = over_tls(tls(&ours, &ours), |stream| drop(stream.read(&mut [0])));
    let error = ask_within(SHORT, &ours, port).await.unwrap_err();
    assert!(matches!(error, MarkerError::NotUp(_)), "{error:?}");
    let (port, _heard) = over_tls(tls(&ours, &ours), |_| {});
    let error = ask(&ours, port).await.unwrap_err();
    assert!(matches!(error, MarkerError::NotUp(_)), "{error:?}");
}

#[tokio::test]
async fn our_key_and_a_broken_contract() {
    let ours = credentials();
    let other = Credentials::new(&BakeId::new(9, [9, 9, 9])).unwrap();
    let garbage = |stream: &mut Tls| drop(stream.write_all(b"\x00\x01garbage\r\n\r\n"));
    let drip = for_ever(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n", b" ".to_vec(), Duration::from_millis(100));
    let cut = |stream: &mut Tls| drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"bake\":"));
    let away = |stream: &mut Tls| {
        drop(stream.write_all(b"HTTP/1.1 307 X\r\nlocation: https://a.example/\r\ncontent-length: 0\r\n\r\n"));
    };
    // The droplet must begin to answer before the limit, on a busy machine too.
    let (port, _heard) = over_tls(tls(&ours, &ours), drip);
    let error = ask_within(limits(Duration::from_secs(4)), &ours, port).await.unwrap_err();
    assert!(matches!(&error, MarkerError::BadAnswer { reason, .. } if reason.contains("too slow")), "{error:?}");
    let cases: Vec<(Serve, &str)> = vec![
        (Box::new(answer("401 Unauthorized", String::new())), "401 Unauthorized to our token"),
        (Box::new(answer("200 OK", "x".repeat(600 * 1024))), "longer than 524288 bytes"),
        (Box::new(answer("200 OK", "nonsense".to_owned())), "not valid JSON"),
        (Box::new(answer("200 OK", status(&other))), "another bake"),
        (Box::new(garbage), "not HTTP"),
        (Box::new(cut), "cut short"),
        (Box::new(away), "307"),
    ];
    for (serve, text) in cases {
        let (port, _heard) = over_tls(tls(&ours, &ours), serve);
        let error = ask(&ours, port).await.unwrap_err();
        assert!(matches!(&error, MarkerError::BadAnswer { reason, .. } if reason.contains(text)), "{text}: {error:?}");
        assert!(!error.to_string().contains(ours.token.expose_secret()));
    }
}

#[tokio::test]
async fn an_acknowledgement_is_taken_or_not() {
    let ours = credentials();
    for (code, taken) in [("202 Accepted", true), ("409 Conflict", false)] {
        let (port, heard) = over_tls(tls(&ours, &ours), answer(code, String::new()));
        let result = Client::new(&ours, port, PATIENT).unwrap().acknowledge(HERE).await;
        assert_eq!(result.is_ok(), taken, "{code}: {result:?}");
        assert!(heard.recv().unwrap().starts_with("POST /v1/acknowledge "));
    }
}

/// Writes a chunk again and again until the client disconnects.
fn for_ever(head: &'static [u8], piece: Vec<u8>, pause: Duration) -> Serve {
    Box::new(move |stream| {
        let mut written = stream.write_all(head);
        let end = Instant::now() + ENDLESS;
        while written.is_ok() && Instant::now() < end {
            std::thread::sleep(pause);
            written = stream.write_all(&piece).and_then(|()| stream.flush());
        }
    })
}

#[tokio::test]
async fn an_answer_is_bounded_however_it_grows() {
    let ours = credentials();
    let now = Duration::ZERO;
    let chunk = [b"8000\r\n".to_vec(), vec![b'x'; 0x8000], b"\r\n".to_vec()].concat();
    let nested = format!("{{\"bake\": {}", "[".repeat(100_000));
    let cases: Vec<(Serve, &str)> = vec![
        // A header without an end: many lines, or one.
        (for_ever(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n".repeat(500), now), "not HTTP"),
        (for_ever(b"HTTP/1.1 200 OK\r\nx-a: ", vec![b'b'; 64 * 1024], now), "not HTTP"),
        // A body without an end, and lengths that promise too much.
        (for_ever(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk, now), "longer than 524288 bytes"),
        (
            for_ever(b"HTTP/1.1 200 OK\r\ncontent-length: 9000000000000000000\r\n\r\n", vec![b'x'; 64 * 1024], now),
            "longer than 524288 bytes",
        ),
        (for_ever(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n", vec![b'x'], now), "not HTTP"),
        // A client's greeting of HTTP/2, and a server's.
        (for_ever(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", vec![b'x'], now), "not HTTP"),
        (for_ever(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", vec![0], now), "not HTTP"),
        (Box::new(answer("200 OK", nested)), "not valid JSON"),
    ];
    for (serve, text) in cases {
        let (port, _heard) = over_tls(tls(&ours, &ours), serve);
        let error = ask(&ours, port).await.unwrap_err();
        assert!(matches!(&error, MarkerError::BadAnswer { reason, .. } if reason.contains(text)), "{text}: {error:?}");
    }
    // A server that never completes an answer is not up yet: a header that arrives byte by byte, or
    // endless `100 Continue`.
    for (head, piece) in [(&b"HTTP/1.1 200 OK\r\nx-a: "[..], &b"b"[..]), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")] {
        let (port, _heard) = over_tls(tls(&ours, &ours), for_ever(head, piece.to_vec(), Duration::from_millis(50)));
        let error = ask_within(SHORT, &ours, port).await.unwrap_err();
        assert!(matches!(error, MarkerError::NotUp(_)), "{error:?}");
    }
}

#[tokio::test]
async fn broken_or_outdated_tls_is_another_server() {
    // The alert `protocol_version`, a ServerHello of TLS 1.0, and a record longer than any may be.
    let hello = [&[0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    for bytes in [vec![0x15, 3, 1, 0, 2, 2, 70], hello, [&[0x16, 3, 3, 0xff, 0xff][..], &[0; 4096]].concat()] {
        let port = plain(move |mut stream| {
            let mut first = [0; 1024];
            let _ = stream.read(&mut first);
            let _ = stream.write_all(&bytes);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let error = ask(&credentials(), port).await.unwrap_err();
        assert!(matches!(error, MarkerError::WrongServer { .. }), "{error:?}");
    }
}

/// The pin counts, not a date: a clock that is wrong by years, here or on the droplet, must not fail a bake. A certificate
/// that only says the same is not the pinned one.
#[tokio::test]
async fn a_pinned_certificate_is_believed_after_its_date_and_one_like_it_is_not() {
    let expired = |seed| {
        let ours = Credentials::new(&BakeId::new(0, [seed, 2, 3])).unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = rcgen::CertificateParams::new(vec![super::credentials::server_name(&ours.bake)]).unwrap();
        params.not_before = rcgen::date_time_ymd(1990, 1, 1);
        params.not_after = rcgen::date_time_ymd(1991, 1, 1);
        let certificate = STANDARD.encode(params.self_signed(&key).unwrap().der());
        Credentials { certificate, key: STANDARD.encode(key.serialize_der()).into(), ..ours }
    };
    let ours = expired(1);
    let (port, _heard) = over_tls(tls(&ours, &ours), answer("200 OK", status(&ours)));
    assert_eq!(ask(&ours, port).await.unwrap().state, RunnerState::Running);
    let same_name = expired(1);
    let (port, heard) = over_tls(tls(&same_name, &same_name), |_| {});
    let error = ask(&ours, port).await.unwrap_err();
    assert!(matches!(error, MarkerError::WrongServer { .. }), "{error:?}");
    assert_eq!(heard.recv().unwrap(), "", "nothing is said to it");
}

#[tokio::test]
async fn an_upload_is_read_in_chunks_from_any_offset() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let contents: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_be_bytes()[2]).collect();
    std::fs::write(file.path(), &contents).unwrap();
    // An index that is larger than a chunk.
    let index: Vec<u8> = (0..5_000_000_u32).map(|number| number.to_be_bytes()[1]).collect();
    let stream = [index.clone(), contents].concat();
    let upload = Upload { index, contents: file.path().to_path_buf() };
    let mut read = Vec::new();
    loop {
        let chunk = upload.chunk(read.len() as u64).await.unwrap();
        assert!(chunk.len() as u64 <= CHUNK_BYTES);
        if chunk.is_empty() {
            break;
        }
        read.extend(chunk);
    }
    assert!(read == stream);
    assert_eq!(upload.chunk(stream.len() as u64 - 3).await.unwrap(), stream[stream.len() - 3..]);
    std::fs::remove_file(file.path()).unwrap();
    assert!(upload.chunk(0).await.is_err());
}
