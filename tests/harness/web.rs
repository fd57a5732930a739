//! A web server on loopback. A test decides each answer, down to its bytes and what happens to the connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a client asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
}

/// What the server sends.
pub(crate) struct Answer {
    bytes: Vec<u8>,
    /// Whether the connection then stays open, silent, until the client closes it.
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

    /// A complete file. With an empty `tag` the server does not say which version it is.
    pub(crate) fn whole(body: &[u8], tag: &str) -> Self {
        Self::cut(body, tag, body.len())
    }

    /// The same, but the connection ends after `sent` bytes.
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

    /// The answer of a server that supports ranges.
    pub(crate) fn ranged(request: &Request, body: &[u8], tag: &str) -> Self {
        let offset = request.range.as_ref().filter(|_| request.if_range.as_deref() == Some(tag));
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

/// A server that runs until the process of the test ends.
pub(crate) struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// A server with fixed files by path; it answers 404 for the rest.
    pub(crate) fn with_files(files: &[(&str, &[u8])]) -> Self {
        let files: Vec<(String, Vec<u8>)> =
            files.iter().map(|(path, body)| ((*path).to_owned(), body.to_vec())).collect();
        Self::start(move |request, _| match files.iter().find(|(path, _)| *path == request.path) {
            Some((_, body)) => Answer::whole(body, ""),
            None => Answer::missing(),
        })
    }

    /// `answer` gets each request, and how many requests came before it.
    pub(crate) fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer, before) = (Arc::clone(&requests), Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (seen, answer, before) = (Arc::clone(&seen), Arc::clone(&answer), Arc::clone(&before));
                std::thread::spawn(move || serve(connection, &seen, &before, answer.as_ref()));
            }
        });
        Self { url, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The requests since the last call.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().expect("the lock is not poisoned"))
    }

    /// The paths of the requests since the last call.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.path).collect()
    }

    /// The ranges of the requests since the last call.
    pub(crate) fn ranges(&self) -> Vec<Option<String>> {
        self.requests().into_iter().map(|request| request.range).collect()
    }
}

fn serve(
    mut connection: TcpStream,
    seen: &Mutex<Vec<Request>>,
    before: &AtomicUsize,
    answer: &dyn Fn(&Request, usize) -> Answer,
) {
    let Some(request) = read(&mut connection) else { return };
    // Recorded before the answer goes out: a client that has its answer finds its request here.
    seen.lock().expect("the lock is not poisoned").push(request.clone());
    let answer = answer(&request, before.fetch_add(1, Ordering::SeqCst));
    let _ = connection.write_all(&answer.bytes);
    if answer.hangs {
        // Until the other side goes away.
        let _ = connection.set_read_timeout(None);
        let _ = connection.read(&mut [0]);
    }
}

fn read(connection: &mut TcpStream) -> Option<Request> {
    connection.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < 16 << 10 {
        let count = connection.read(&mut buffer).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&buffer[..count]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    Some(Request { path: head.split(' ').nth(1)?.to_owned(), range: header("range"), if_range: header("if-range") })
}
