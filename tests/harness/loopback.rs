//! A web server on loopback for tests: fixed answers by path, 404 for the rest.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A server that answers as long as the test runs; it ends with the test's process.
pub(crate) struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(answers: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answers: BTreeMap<String, Vec<u8>> =
            answers.iter().map(|(path, body)| ((*path).to_owned(), body.to_vec())).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let _ = answer(connection, &answers, &seen);
            }
        });
        Self { url, asked }
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The paths that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

/// What was asked is noted before the answer goes out: who has the answer finds its request noted.
fn answer(mut connection: TcpStream, answers: &BTreeMap<String, Vec<u8>>, seen: &Mutex<Vec<String>>) -> Option<()> {
    connection.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < 16 << 10 {
        let count = connection.read(&mut piece).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&piece[..count]);
    }
    let path = String::from_utf8_lossy(&head).split(' ').nth(1)?.to_owned();
    seen.lock().expect("nobody panics with it").push(path.clone());
    let (status, body) = match answers.get(&path) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", b"".as_slice()),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body)).ok()
}
