//! Base images that a publisher offers: downloaded with the publisher's list of sums, and checked against it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Base, Boot, Error, Listed, VERSION, Workshop};
use crate::cloud::{hex, now};

/// A published image: slug, the folder it is in, its file there.
pub const PUBLISHED: [(&str, &str, &str); 2] = [
    (
        "ubuntu-22-04-x64",
        "https://cloud-images.ubuntu.com/releases/jammy/release",
        "ubuntu-22.04-server-cloudimg-amd64.img",
    ),
    (
        "ubuntu-24-04-x64",
        "https://cloud-images.ubuntu.com/releases/noble/release",
        "ubuntu-24.04-server-cloudimg-amd64.img",
    ),
];

/// The list of sums beside the image.
const SUMS: &str = "SHA256SUMS";
/// Bytes that the list may have.
const SUMS_LIMIT: usize = 1 << 20;
/// Redirects that are followed.
const MAX_REDIRECTS: usize = 10;

/// What is to be downloaded.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub slug: &'a str,
    pub cache: &'a Path,
    /// The folder to download from, in the publisher's place: a mirror of it. https, or http on loopback.
    pub base_url: Option<&'a str>,
}

/// Downloads a base image; `say` hears of each stage and of its progress.
pub async fn pull(request: &Request<'_>, say: &(dyn Fn(&str) + Sync)) -> Result<Listed, Error> {
    pull_with(reqwest::Client::builder, request, say).await
}

/// [`pull`] with a client that a test may have prepared.
async fn pull_with(
    builder: impl FnOnce() -> reqwest::ClientBuilder,
    request: &Request<'_>,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Listed, Error> {
    let Some((slug, publisher, file)) = PUBLISHED.into_iter().find(|(slug, ..)| *slug == request.slug) else {
        let known = PUBLISHED.into_iter().map(|(slug, ..)| slug).collect();
        return Err(Error::Unknown { slug: request.slug.to_owned(), verb: "pulled", known });
    };
    let folder = request.base_url.unwrap_or(publisher).trim_end_matches('/');
    let client = client(builder, folder)?;
    let url = format!("{folder}/{file}");
    say(&format!("{slug}: {url}"));
    let expected = expected_sum(&client, &format!("{folder}/{SUMS}"), file).await?;
    let workshop = Workshop::open(request.cache)?;
    let image = workshop.path().join("image");
    std::fs::create_dir(&image).map_err(|error| Error::io("can't make", &image, error))?;
    let disk = image.join("disk.qcow2");
    let found = download(&client, &url, &disk, say).await?;
    if found != expected {
        return Err(Error::Sum { url, expected, found });
    }
    say("sha256 is the publisher's");
    let virtual_size = virtual_size(&disk).map_err(|reason| Error::Download { url: url.clone(), reason })?;
    let base =
        Base { version: VERSION, slug: slug.to_owned(), boot: Boot::Loader, virtual_size, origin: url, made_at: now() };
    workshop.deliver(&base)
}

fn client(builder: impl FnOnce() -> reqwest::ClientBuilder, folder: &str) -> Result<reqwest::Client, Error> {
    let failed = |reason: String| Error::Download { url: folder.to_owned(), reason };
    let url = reqwest::Url::parse(folder).map_err(|error| failed(error.to_string()))?;
    if !is_protected(&url) {
        return Err(failed("expected an https address (or http on loopback)".to_owned()));
    }
    // If another provider is installed already, it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirects = reqwest::redirect::Policy::custom(|attempt| {
        let downgrade = attempt.previous().last().is_some_and(|from| from.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else if !is_protected(attempt.url()) || downgrade && attempt.url().scheme() != "https" {
            let to = attempt.url().to_string();
            attempt.error(format!("it redirects to {to}, which is not https"))
        } else {
            attempt.follow()
        }
    });
    builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .redirect(redirects)
        .user_agent(concat!("mkimg/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failed(reason(&error)))
}

/// Whether nobody between here and the server can change what is downloaded: https, or http that stays on this machine.
fn is_protected(url: &reqwest::Url) -> bool {
    let loopback = match url.host_str().map(|host| host.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

/// An error with its causes: reqwest's own text names only the outermost.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ".to_owned(), error.to_string()]);
        cause = error.source();
    }
    text
}

async fn get(client: &reqwest::Client, url: &str) -> Result<reqwest::Response, Error> {
    let failed = |reason| Error::Download { url: url.to_owned(), reason };
    let response = client.get(url).send().await.map_err(|error| failed(reason(&error)))?;
    if !response.status().is_success() {
        return Err(failed(format!("the server answered {}", response.status())));
    }
    Ok(response)
}

async fn expected_sum(client: &reqwest::Client, url: &str, file: &str) -> Result<String, Error> {
    let failed = |reason: String| Error::Download { url: url.to_owned(), reason };
    let mut response = get(client, url).await?;
    let mut list = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(reason(&error)))? {
        list.extend_from_slice(&chunk);
        if list.len() > SUMS_LIMIT {
            return Err(failed("it is far too large for a list of sums".to_owned()));
        }
    }
    sum_of(&String::from_utf8_lossy(&list), file).ok_or_else(|| failed(format!("it has no sha256 of {file}")))
}

/// The sum of a file in a list as `sha256sum` writes it: `HEX *NAME` or `HEX  NAME`.
fn sum_of(list: &str, file: &str) -> Option<String> {
    list.lines().find_map(|line| {
        let (sum, name) = line.split_once(' ')?;
        let named = name.trim_start_matches([' ', '*']) == file;
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        (named && is_sum).then(|| sum.to_ascii_lowercase())
    })
}

/// Downloads to a file; returns its sha256.
async fn download(
    client: &reqwest::Client,
    url: &str,
    to: &Path,
    say: &(dyn Fn(&str) + Sync),
) -> Result<String, Error> {
    let mut response = get(client, url).await?;
    let length = response.content_length();
    let mut file = std::fs::File::create(to).map_err(|error| Error::io("can't write", to, error))?;
    let mut sum = Sha256::new();
    let (mut got, mut said) = (0_u64, 0_u64);
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| Error::Download { url: url.to_owned(), reason: reason(&error) })?;
        let Some(chunk) = chunk else { break };
        sum.update(&chunk);
        file.write_all(&chunk).map_err(|error| Error::io("can't write", to, error))?;
        got += chunk.len() as u64;
        // A line every 64 MiB.
        if got >> 26 > said {
            said = got >> 26;
            match length {
                Some(length) => say(&format!("  {} of {} MiB", got >> 20, length >> 20)),
                None => say(&format!("  {} MiB", got >> 20)),
            }
        }
    }
    Ok(hex(&sum.finalize()))
}

/// Checks that it is a qcow2 disk that stands alone, and says how large the guest sees it, in bytes.
fn virtual_size(disk: &Path) -> Result<u64, String> {
    use std::io::Read;
    let mut header = [0; 32];
    std::fs::File::open(disk).and_then(|mut file| file.read_exact(&mut header)).map_err(|error| error.to_string())?;
    if &header[..4] != b"QFI\xfb" {
        return Err("it is not a qcow2 disk".to_owned());
    }
    let number = |at: usize| header[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    // Another file that the disk names would be read from this machine.
    if number(8) != 0 {
        return Err("it is not a whole disk: it names another file as its base".to_owned());
    }
    Ok(number(24))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::routing::get;

    use super::*;

    fn disk(backing: u8) -> Vec<u8> {
        let mut disk = b"QFI\xfb\0\0\0\x03".to_vec();
        disk.resize(4096, 0);
        disk[15] = backing;
        disk[27] = 2;
        disk
    }

    /// Serves a disk and a list of sums on loopback; returns the folder's address.
    async fn publisher(disk: Vec<u8>, sum: Option<String>) -> String {
        let file = PUBLISHED[1].2;
        let sum = sum.unwrap_or_else(|| hex(&Sha256::digest(&disk)));
        let list = format!("{} *other.img\n{sum} *{file}\n", "0".repeat(64));
        let disk = Arc::new(disk);
        let router = Router::new()
            .route("/noble/SHA256SUMS", get(move || async move { list.clone() }))
            .route(&format!("/noble/{file}"), get(move || async move { disk.as_ref().clone() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/noble/")
    }

    async fn pulled(url: &str, cache: &Path) -> Result<Listed, Error> {
        pull(&Request { slug: "ubuntu-24-04-x64", cache, base_url: Some(url) }, &|_| ()).await
    }

    #[tokio::test]
    async fn an_image_is_downloaded_checked_listed_and_replaced() {
        let cache = tempfile::tempdir().unwrap();
        let url = publisher(disk(0), None).await;
        for _ in 0..2 {
            let listed = pulled(&url, cache.path()).await.unwrap();
            assert_eq!((listed.bytes, listed.base.virtual_size, &listed.base.boot), (4096, 2 << 32, &Boot::Loader));
            assert_eq!(super::super::list(cache.path()).unwrap(), [listed]);
        }
        let left = std::fs::read_dir(cache.path()).unwrap().flatten().map(|entry| entry.file_name());
        let mut left: Vec<_> = left.collect();
        left.sort();
        assert_eq!(left, [".lock", "ubuntu-24-04-x64"]);
    }

    #[tokio::test]
    async fn what_is_wrong_is_not_kept() {
        let cache = tempfile::tempdir().unwrap();
        let wrong = publisher(disk(0), Some("a".repeat(64))).await;
        assert!(
            matches!(pulled(&wrong, cache.path()).await, Err(Error::Sum { expected, .. }) if expected == "a".repeat(64))
        );
        let hostile = publisher(disk(104), None).await;
        assert!(pulled(&hostile, cache.path()).await.unwrap_err().to_string().contains("names another file"));
        let html = publisher(b"<html>".to_vec(), None).await;
        assert!(matches!(pulled(&html, cache.path()).await, Err(Error::Download { .. })));
        let missing = pulled(&wrong.replace("noble", "none"), cache.path()).await.unwrap_err().to_string();
        assert!(missing.contains("404"), "{missing}");
        assert!(pulled("http://images.example/noble", cache.path()).await.unwrap_err().to_string().contains("https"));
        assert_eq!(super::super::list(cache.path()).unwrap(), []);
    }

    #[test]
    fn a_sum_is_64_hexadecimal_digits_beside_the_files_name() {
        let sum = "aB".repeat(32);
        let lower = sum.to_ascii_lowercase();
        for (list, expected) in [
            (format!("{sum} *x.img\n"), Some(lower.clone())),
            (format!("{sum}  x.img\n"), Some(lower)),
            (format!("{sum} *x.img.torrent\n"), None),
            (format!("{}  x.img\n", &sum[1..]), None),
            (format!("{sum}0  x.img\n"), None),
            (format!("{}g  x.img\n", &sum[1..]), None),
        ] {
            assert_eq!(sum_of(&list, "x.img"), expected, "{list}");
        }
    }

    /// Answers every request with this, as often as it is asked.
    async fn server(answer: impl Fn() -> axum::response::Response + Clone + Send + Sync + 'static) -> String {
        let router = Router::new().fallback(move || {
            let answer = answer();
            async move { answer }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn a_list_of_sums_may_have_exactly_1_mib() {
        let cache = tempfile::tempdir().unwrap();
        for (length, why) in [(SUMS_LIMIT, "has no sha256"), (SUMS_LIMIT + 1, "too large")] {
            let url = server(move || axum::response::IntoResponse::into_response("x".repeat(length))).await;
            let error = pulled(&url, cache.path()).await.unwrap_err().to_string();
            assert!(error.contains(why), "{length}: {error}");
        }
    }

    #[tokio::test]
    async fn redirects_stay_on_https_or_on_this_machine() {
        use axum::response::{IntoResponse, Redirect};
        let cache = tempfile::tempdir().unwrap();
        let good = publisher(disk(0), None).await;
        let elsewhere = server(move || Redirect::temporary(&format!("{good}{}", PUBLISHED[1].2)).into_response()).await;
        // The disk comes where the list of sums was expected: the redirect was followed.
        let error = pulled(&elsewhere, cache.path()).await.unwrap_err().to_string();
        assert!(error.contains("has no sha256"), "{error}");
        let away = server(|| Redirect::temporary("http://images.invalid/noble").into_response()).await;
        let error = pulled(&away, cache.path()).await.unwrap_err().to_string();
        assert!(error.contains("redirects to http://images.invalid/noble, which is not https"), "{error}");
        let itself = server(|| Redirect::temporary("/again").into_response()).await;
        let error = pulled(&itself, cache.path()).await.unwrap_err().to_string();
        assert!(error.contains("too many redirects"), "{error}");
    }

    #[tokio::test]
    async fn https_never_becomes_http() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let plain = publisher(disk(0), None).await;
        let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = identity.cert.der().clone();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = plain.clone();
        tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = format!("HTTP/1.1 302 Found\r\nlocation: {to}SHA256SUMS\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let cache = tempfile::tempdir().unwrap();
        let root = reqwest::Certificate::from_der(&certificate).unwrap();
        let url = format!("https://localhost:{port}/noble");
        let request = Request { slug: "ubuntu-24-04-x64", cache: cache.path(), base_url: Some(&url) };
        let error =
            pull_with(|| reqwest::Client::builder().tls_certs_only([root]), &request, &|_| ()).await.unwrap_err();
        assert!(error.to_string().contains(&format!("redirects to {plain}SHA256SUMS, which is not https")), "{error}");
    }
}
