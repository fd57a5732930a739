//! A web server on loopback whose every answer a test decides: bytes as they go over the line, and what becomes of the connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
}

/// What is sent.
pub(crate) struct Answer {
    bytes: Vec<u8>,
    /// Whether the connection stays open, silent, as long as the test runs.
    hangs: bool,
}

impl Answer {
    /// A status line, headers without line ends, and a body.
    pub(crate) fn new(status: &str, headers: &[String], body: &[u8]) -> Self {
        let mut bytes = format!("HTTP/1.1 {status}\r\nconnection: close\r\n").into_bytes();
        for header in headers {
            bytes.extend_from_slice(format!("{header}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        Self { bytes, hangs: false }
    }

    /// A whole file; with an empty `tag` the server says nothing of its version.
    pub(crate) fn whole(body: &[u8], tag: &str) -> Self {
        Self::cut(body, tag, body.len())
    }

    /// The same, but the connection ends after some bytes.
    pub(crate) fn cut(body: &[u8], tag: &str, sent: usize) -> Self {
        let mut headers = vec![format!("content-length: {}", body.len())];
        if !tag.is_empty() {
            headers.push(format!("etag: {tag}"));
        }
        Self::new("200 OK", &headers, &body[..sent])
    }

    /// The rest of a file from an offset.
    pub(crate) fn rest(body: &[u8], tag: &str, offset: usize) -> Self {
        let (last, whole) = (body.len() - 1, body.len());
        let range = format!("content-range: bytes {offset}-{last}/{whole}");
        let length = format!("content-length: {}", whole - offset);
        Self::new("206 Partial Content", &[range, length, format!("etag: {tag}")], &body[offset..])
    }

    /// What a server that knows ranges answers.
    pub(crate) fn ranged(asked: &Asked, body: &[u8], tag: &str) -> Self {
        let offset = asked.range.as_ref().filter(|_| asked.if_range.as_deref() == Some(tag));
        match offset.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()) {
            Some(offset) if offset < body.len() => Self::rest(body, tag, offset),
            Some(_) => Self::new("416 Range Not Satisfiable", &[], b""),
            None => Self::whole(body, tag),
        }
    }

    pub(crate) fn missing() -> Self {
        Self::new("404 Not Found", &["content-length: 0".to_owned()], b"")
    }

    pub(crate) fn and_hang(mut self) -> Self {
        self.hangs = true;
        self
    }
}

/// A server that answers as long as the test runs; it ends with the test's process.
pub(crate) struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// `answer` gets what is asked, and how many requests came before it.
    pub(crate) fn start(answer: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer, before) = (Arc::clone(&asked), Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (seen, answer, before) = (Arc::clone(&seen), Arc::clone(&answer), Arc::clone(&before));
                std::thread::spawn(move || serve(connection, &seen, &before, answer.as_ref()));
            }
        });
        Self { url, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// What was asked since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().expect("nobody panics with it"))
    }

    /// The ranges that were asked for since the last call.
    pub(crate) fn ranges(&self) -> Vec<Option<String>> {
        self.asked().into_iter().map(|asked| asked.range).collect()
    }
}

fn serve(
    mut connection: TcpStream,
    seen: &Mutex<Vec<Asked>>,
    before: &AtomicUsize,
    answer: &dyn Fn(&Asked, usize) -> Answer,
) {
    let Some(asked) = read(&mut connection) else { return };
    seen.lock().expect("nobody panics with it").push(asked.clone());
    let answer = answer(&asked, before.fetch_add(1, Ordering::SeqCst));
    let _ = connection.write_all(&answer.bytes);
    if answer.hangs {
        // Until the other side goes away.
        let _ = connection.set_read_timeout(None);
        let _ = connection.read(&mut [0]);
    }
}

fn read(connection: &mut TcpStream) -> Option<Asked> {
    connection.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < 16 << 10 {
        let count = connection.read(&mut piece).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&piece[..count]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    Some(Asked { path: head.split(' ').nth(1)?.to_owned(), range: header("range"), if_range: header("if-range") })
}
