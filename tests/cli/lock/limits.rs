//! The limits of downloads at their bounds, and redirects out of TLS.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use super::project::{BODY, HALF, Project, TAG};
use crate::harness::{Answer, Server, sha256};

#[test]
fn ten_redirects_are_followed_and_no_more() {
    for (redirects, followed) in [(10, true), (11, false)] {
        let server = Server::start(|request, _| match request.path[1..].parse::<usize>() {
            Ok(0) => Answer::whole(BODY, ""),
            Ok(left) => Answer::new("302 Found", &[format!("location: /{}", left - 1)], b""),
            Err(_) => Answer::missing(),
        });
        let url = server.url(&format!("/{redirects}"));
        let project = Project::of(&url);
        if followed {
            project.pins(&[]);
            assert!(project.pins_only(BODY));
        } else {
            project.fails(&[], &format!("error: cannot download {url}: more than 10 redirects\n"));
        }
    }
}

#[test]
fn a_checksum_file_may_have_one_mebibyte() {
    for (bytes, accepted) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let server = Server::start(move |request, _| match request.path.as_str() {
            "/tool" => Answer::whole(BODY, ""),
            _ => {
                let mut sums = format!("{}  tool\n", sha256(BODY)).into_bytes();
                sums.resize(bytes, b'\n');
                Answer::whole(&sums, "")
            }
        });
        let (tool, sums) = (server.url("/tool"), server.url("/sums"));
        let project = Project::new(&format!("- {{url: '{tool}', checksum: '{sums}', to: /usr/local/bin/tool}}\n"));
        if accepted {
            project.pins(&[]);
            assert!(project.pins_only(BODY));
        } else {
            project.fails(&[], &format!("error: {sums} is larger than 1048576 bytes\n"));
        }
    }
}

/// Each version breaks off half way, and the request for its rest is refused.
#[test]
fn a_file_may_change_three_times_during_a_download() {
    for (changes, succeeds) in [(3, true), (4, false)] {
        let server = Server::start(move |_, before| match before {
            _ if before >= 2 * changes => Answer::whole(BODY, TAG),
            _ if before % 2 == 0 => Answer::cut(BODY, TAG, HALF),
            _ => Answer::new("416 Range Not Satisfiable", &[], b""),
        });
        let url = server.url("/tool");
        let project = Project::of(&url);
        if succeeds {
            project.pins(&[]);
            assert!(project.pins_only(BODY));
        } else {
            project.fails(&[], &format!("error: {url} changes repeatedly during the download"));
        }
        assert_eq!(server.requests().len(), if succeeds { 7 } else { 8 });
    }
}

#[test]
fn a_server_may_delay_a_retry_by_one_minute() {
    for (seconds, waits) in [(60, true), (61, false)] {
        let server = Server::start(move |_, _| {
            Answer::new("503 Service Unavailable", &[format!("retry-after: {seconds}")], b"")
        });
        let url = server.url("/tool");
        let reason = if waits { "is not complete after 1s: " } else { "the server answers 503" };
        let separator = if waits { " " } else { ": " };
        Project::of(&url).fails(&["--timeout-download", "1s"], &format!("error: {url}{separator}{reason}"));
        assert_eq!(server.requests().len(), 1);
    }
}

/// A server with TLS that redirects every request to `target`. Returns its address and its certificate.
fn redirect_from_tls(target: String) -> (String, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key).unwrap());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(tls, connection);
            if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                let head = format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.flush());
            }
        }
    });
    (url, made.cert.pem())
}

#[test]
fn a_redirect_out_of_tls_is_refused() {
    let plain = Server::with_files(&[("/tool", BODY)]);
    let (url, certificate) = redirect_from_tls(plain.url("/tool"));
    let project = Project::of(&format!("{url}/tool"));
    let file = project.0.path().join("certificate.pem");
    fs::write(&file, certificate).unwrap();
    let run = project.mkimg(&["--retry-wait", "1ms"]).env("SSL_CERT_FILE", &file).run();
    run.stderr_has("the server redirects from https to http").refused();
    assert_eq!((project.lock(), plain.paths()), (None, Vec::new()));
}
