//! Published base images: downloaded and checked against the publisher's signed list of checksums.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{BaseImage, BaseInfo, Boot, Error, WorkDir, read_disk_header};
use crate::support::{find_program, hexadecimal, tool};

/// Published images: slug, URL of the folder, name of the file.
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

/// The list of checksums beside the image.
const CHECKSUM_LIST: &str = "SHA256SUMS";
const MAX_CHECKSUM_LIST_BYTES: usize = 1 << 20;
/// The publisher's signature of the list, beside it.
const SIGNATURE: &str = "SHA256SUMS.gpg";
/// The publisher's public keys, from Ubuntu's package `ubuntu-cloudimage-keyring` or Debian's `ubuntu-keyring`.
const KEYRING: &str = "/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg";
const MAX_IMAGE_BYTES: u64 = 16 << 30;
const MAX_REDIRECTS: usize = 10;

/// What to download.
#[derive(Debug, Clone)]
pub struct PullRequest<'a> {
    /// A slug of [`PUBLISHED`].
    pub slug: &'a str,
    /// The folder of base images.
    pub cache: &'a Path,
    /// The URL of a mirror of the publisher's folder: https, or http on loopback.
    pub base_url: Option<&'a str>,
    /// How long everything may take.
    pub time_limit: Duration,
    /// The `user-agent` of the requests, such as `program/1.0`.
    pub user_agent: &'a str,
}

/// Downloads a base image. `report` gets a line for each stage and its progress.
pub async fn pull(request: &PullRequest<'_>, report: &(dyn Fn(&str) + Sync)) -> Result<BaseImage, Error> {
    pull_with(reqwest::Client::builder(), Path::new(KEYRING), request, report).await
}

/// [`pull`] with a prepared client and keys, for tests.
async fn pull_with(
    client: reqwest::ClientBuilder,
    keyring: &Path,
    request: &PullRequest<'_>,
    report: &(dyn Fn(&str) + Sync),
) -> Result<BaseImage, Error> {
    let Some((slug, publisher, file)) = PUBLISHED.into_iter().find(|(slug, ..)| *slug == request.slug) else {
        let known = PUBLISHED.into_iter().map(|(slug, ..)| slug).collect();
        return Err(Error::Unknown { slug: request.slug.to_owned(), verb: "pulled", known });
    };
    let folder = request.base_url.unwrap_or(publisher).trim_end_matches('/');
    let client = configure(client.user_agent(request.user_agent), folder)?;
    let url = format!("{folder}/{file}");
    report(&format!("{slug}: {url}"));
    let work = WorkDir::open(request.cache)?;
    let disk = work.image().join("disk.qcow2");
    let received = AtomicU64::new(0);
    let downloads = async {
        let list_url = format!("{folder}/{CHECKSUM_LIST}");
        let list = fetch_small(&client, &list_url).await?;
        match find_gpgv(keyring) {
            Ok(gpgv) => {
                let signature_url = format!("{folder}/{SIGNATURE}");
                let signature = fetch_small(&client, &signature_url).await?;
                verify_signature(&gpgv, keyring, &list, &signature, work.path())
                    .await
                    .map_err(|reason| Error::Signature { list: list_url.clone(), signature: signature_url, reason })?;
                report(&format!("the signature of {CHECKSUM_LIST} is the publisher's"));
            }
            Err(reason) => report(&format!(
                "warning: the publisher's signature of {CHECKSUM_LIST} was not verified: {reason}; install with: \
                 apt-get install gpgv ubuntu-keyring (on Ubuntu: ubuntu-cloudimage-keyring)"
            )),
        }
        let expected = find_checksum(&String::from_utf8_lossy(&list), file)
            .ok_or_else(|| Error::Download { url: list_url, reason: format!("it has no sha256 of {file}") })?;
        Ok((expected, download(&client, &url, &disk, &received, report).await?))
    };
    // The client's own limits are for each part of an answer: a server that drips keeps them.
    let (expected, found) = tokio::time::timeout(request.time_limit, downloads).await.unwrap_or_else(|_| {
        let received = received.load(Ordering::Relaxed);
        Err(Error::Slow { url: url.clone(), limit: request.time_limit, received })
    })?;
    if found != expected {
        return Err(Error::Checksum { url, expected, found });
    }
    report("sha256 matches the publisher's list");
    let header = read_disk_header(&disk).map_err(|reason| Error::Download { url: url.clone(), reason })?;
    if let Some(other) = header.other_file {
        // QEMU would read that file from this machine.
        let reason = format!("it is not a complete disk: it names another file as its {other}; it was not kept");
        return Err(Error::Download { url, reason });
    }
    work.publish(BaseInfo::new(slug, Boot::Loader, header.virtual_size, url))
}

/// A client for this folder: limits, and redirects that stay protected.
fn configure(client: reqwest::ClientBuilder, folder: &str) -> Result<reqwest::Client, Error> {
    let failed = |reason: String| Error::Download { url: folder.to_owned(), reason };
    let url = reqwest::Url::parse(folder).map_err(|error| failed(error.to_string()))?;
    if !is_protected(&url) {
        return Err(failed("expected an https address (or http on loopback)".to_owned()));
    }
    let redirects = reqwest::redirect::Policy::custom(|attempt| {
        let was_https = attempt.previous().last().is_some_and(|from| from.scheme() == "https");
        let is_allowed = is_protected(attempt.url()) && (!was_https || attempt.url().scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else if is_allowed {
            attempt.follow()
        } else {
            let to = attempt.url().to_string();
            attempt.error(format!("it redirects to {to}, which is not https"))
        }
    });
    // If another provider is installed already, it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    client
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .redirect(redirects)
        .build()
        .map_err(|error| failed(with_causes(&error)))
}

/// Whether a download from this URL is protected against changes on the way: https, or http that
/// stays on this machine.
fn is_protected(url: &reqwest::Url) -> bool {
    let is_loopback = match url.host_str().map(|host| host.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

/// An error with its causes: reqwest's own text has only the outermost one.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn get(client: &reqwest::Client, url: &str) -> Result<reqwest::Response, Error> {
    let failed = |reason| Error::Download { url: url.to_owned(), reason };
    let response = client.get(url).send().await.map_err(|error| failed(with_causes(&error)))?;
    if !response.status().is_success() {
        return Err(failed(format!("the server answered {}", response.status())));
    }
    Ok(response)
}

/// Downloads a list of checksums or a signature.
async fn fetch_small(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, Error> {
    let failed = |reason: String| Error::Download { url: url.to_owned(), reason };
    let mut response = get(client, url).await?;
    let mut list = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(with_causes(&error)))? {
        list.extend_from_slice(&chunk);
        if list.len() > MAX_CHECKSUM_LIST_BYTES {
            return Err(failed("it is too large for a list of checksums".to_owned()));
        }
    }
    Ok(list)
}

/// The program that verifies signatures, if the publisher's keys are here, too.
fn find_gpgv(keyring: &Path) -> Result<PathBuf, String> {
    if !keyring.is_file() {
        return Err(format!("{} does not exist", keyring.display()));
    }
    find_program("gpgv").ok_or_else(|| "gpgv is not installed".to_owned())
}

/// Whether the publisher has signed this list; the error says why not.
async fn verify_signature(
    gpgv: &Path,
    keyring: &Path,
    list: &[u8],
    signature: &[u8],
    folder: &Path,
) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let (list_file, signature_file) = (folder.join(CHECKSUM_LIST), folder.join(SIGNATURE));
    std::fs::write(&list_file, list).and_then(|()| std::fs::write(&signature_file, signature)).map_err(failed)?;
    let output = tool(gpgv)
        .arg("--keyring")
        .arg(std::path::absolute(keyring).map_err(failed)?)
        .args(["--homedir".as_ref(), folder, &signature_file, &list_file])
        .output()
        .await
        .map_err(failed)?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// The checksum of a file in a list as `sha256sum` writes it: `HEX *NAME` or `HEX  NAME`.
fn find_checksum(list: &str, file: &str) -> Option<String> {
    list.lines().find_map(|line| {
        let (sum, name) = line.split_once(' ')?;
        let is_file = name.trim_start_matches([' ', '*']) == file;
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_file && is_sum).then(|| sum.to_ascii_lowercase())
    })
}

/// Downloads to a file and returns its sha256.
async fn download(
    client: &reqwest::Client,
    url: &str,
    to: &Path,
    received: &AtomicU64,
    report: &(dyn Fn(&str) + Sync),
) -> Result<String, Error> {
    let mut response = get(client, url).await?;
    let length = response.content_length();
    let mut file = std::fs::File::create(to).map_err(|error| Error::io("can't write", to, error))?;
    let mut sum = Sha256::new();
    let mut reported = 0;
    let failed = |error| Error::Download { url: url.to_owned(), reason: with_causes(&error) };
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        sum.update(&chunk);
        file.write_all(&chunk).map_err(|error| Error::io("can't write", to, error))?;
        let bytes = received.fetch_add(chunk.len() as u64, Ordering::Relaxed) + chunk.len() as u64;
        if bytes > MAX_IMAGE_BYTES {
            return Err(Error::Download { url: url.to_owned(), reason: "it is too large for an image".to_owned() });
        }
        // A line every 64 MiB.
        if bytes >> 26 > reported {
            reported = bytes >> 26;
            let total = length.map_or(String::new(), |length| format!(" of {}", length >> 20));
            report(&format!("  {}{total} MiB", bytes >> 20));
        }
    }
    Ok(hexadecimal(&sum.finalize()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::routing::get;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn disk(backing: u8) -> Vec<u8> {
        let mut disk = b"QFI\xfb\0\0\0\x03".to_vec();
        disk.resize(4096, 0);
        disk[15] = backing;
        disk[27] = 2;
        disk
    }

    /// A key, and its signature of the list that [`publisher`] has for `disk(0)`.
    const TEST_KEY: &str = "mDMEZZIAgBYJKwYBBAHaRw8BAQdAcg+8YvX8J5b9jM+ud41sEh2ptXwsPkY9q9g5UbP67BK0BHRlc3SIkAQTFggAOBYhBMnujlOL\
        y4OkJYySYVYVWuX2H+oEBQJlkgCAAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEFYVWuX2H+oE/dYBANwBQM2K6zL7WnfeMc1Lj9AFGFw+Bn/9Ngu\
        kT99j5fV+AQCkooVUH+hkcmMlot8Y8Q+/S+rRNMhIYR24S4brD3XTDg==";
    const TEST_SIGNATURE: &str = "iHUEABYIAB0WIQTJ7o5Ti8uDpCWMkmFWFVrl9h/qBAUCZZNSAAAKCRBWFVrl9h/qBP4zAQDO+YUHw8B0PJ9N6TF2qQnkotAQITug\
        TmAXKQgDJBNM4wD/dsiql4Zx8Y+mtNBgs8FNOA9lJLHtFT7f2mXiKnClVQQ=";

    /// Serves a disk and a list of checksums on loopback; returns the folder's URL.
    async fn publisher(disk: Vec<u8>, sum: Option<String>) -> String {
        let file = PUBLISHED[1].2;
        let sum = sum.unwrap_or_else(|| hexadecimal(&Sha256::digest(&disk)));
        let list = format!("{} *other.img\n{sum} *{file}\n", "0".repeat(64));
        let disk = Arc::new(disk);
        let router = Router::new()
            .route("/noble/SHA256SUMS", get(move || async move { list.clone() }))
            .route("/noble/SHA256SUMS.gpg", get(|| async { STANDARD.decode(TEST_SIGNATURE).unwrap() }))
            .route(&format!("/noble/{file}"), get(move || async move { disk.as_ref().clone() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/noble/")
    }

    fn request<'a>(url: &'a str, cache: &'a Path) -> PullRequest<'a> {
        let time_limit = Duration::from_secs(60);
        PullRequest { slug: "ubuntu-24-04-x64", cache, base_url: Some(url), time_limit, user_agent: "test/1" }
    }

    /// The keys of no publisher are at hand.
    async fn pulled(url: &str, cache: &Path) -> Result<BaseImage, Error> {
        pull_with(reqwest::Client::builder(), Path::new("/nowhere"), &request(url, cache), &|_| ()).await
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
        let names = std::fs::read_dir(cache.path()).unwrap().flatten().map(|entry| entry.file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, [".lock", "ubuntu-24-04-x64"]);
    }

    #[tokio::test]
    async fn a_wrong_disk_is_not_kept() {
        let cache = tempfile::tempdir().unwrap();
        let wrong = publisher(disk(0), Some("a".repeat(64))).await;
        assert!(
            matches!(pulled(&wrong, cache.path()).await, Err(Error::Checksum { expected, .. }) if expected == "a".repeat(64))
        );
        // Bit 2 of the incompatible features, and the extension that names the file.
        let with_bit = || {
            let mut disk = disk(0);
            disk[79] = 4;
            disk
        };
        let with_extension = || {
            let mut disk = disk(0);
            disk[103] = 104;
            disk[104..108].copy_from_slice(&[0xe2, 0x79, 0x2a, 0xca]);
            disk[111] = 3;
            disk[120..128].copy_from_slice(&[0x44, 0x41, 0x54, 0x41, 0, 0, 0, 4]);
            disk
        };
        for (hostile, what) in [(disk(104), "backing file"), (with_bit(), "data file"), (with_extension(), "data file")]
        {
            let url = publisher(hostile, None).await;
            let error = pulled(&url, cache.path()).await.unwrap_err().to_string();
            assert!(error.contains(&format!("names another file as its {what}; it was not kept")), "{error}");
        }
        let html = publisher(b"<html>".to_vec(), None).await;
        assert!(matches!(pulled(&html, cache.path()).await, Err(Error::Download { .. })));
        let missing = pulled(&wrong.replace("noble", "none"), cache.path()).await.unwrap_err().to_string();
        assert!(missing.contains("404"), "{missing}");
        assert!(pulled("http://images.example/noble", cache.path()).await.unwrap_err().to_string().contains("https"));
        assert_eq!(super::super::list(cache.path()).unwrap(), []);
    }

    #[tokio::test]
    async fn the_list_must_have_the_publishers_signature() {
        if find_program("gpgv").is_none() {
            eprintln!("SKIPPED: gpgv is not installed");
            return;
        }
        let cache = tempfile::tempdir().unwrap();
        let keyring = cache.path().join(".keyring");
        std::fs::write(&keyring, STANDARD.decode(TEST_KEY).unwrap()).unwrap();
        let said = std::sync::Mutex::new(String::new());
        let report = |line: &str| said.lock().unwrap().push_str(line);
        let pulled = async |url: &str, keyring: &Path| {
            pull_with(reqwest::Client::builder(), keyring, &request(url, cache.path()), &report).await
        };
        let signed = publisher(disk(0), None).await;
        pulled(&signed, &keyring).await.unwrap();
        assert!(said.lock().unwrap().contains("the signature of SHA256SUMS is the publisher's"));

        let mut other = disk(0);
        other[4000] = 1;
        let forged = publisher(other, None).await;
        let error = pulled(&forged, &keyring).await.unwrap_err().to_string();
        assert!(error.contains("BAD signature"), "{error}");
        said.lock().unwrap().clear();
        pulled(&forged, Path::new("/nowhere")).await.unwrap();
        assert!(said.lock().unwrap().contains("was not verified: /nowhere does not exist"), "{}", said.lock().unwrap());
    }

    #[tokio::test]
    async fn a_download_that_drips_ends_at_its_time_limit() {
        // Without a limit, this list would be complete after some seconds.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/noble", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let _ = std::io::Read::read(&mut connection, &mut [0; 4096]);
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\nconnection: close\r\n\r\n");
            for _ in 0..40 {
                std::thread::sleep(Duration::from_millis(100));
                let _ = connection.write_all(b"x");
            }
        });
        let cache = tempfile::tempdir().unwrap();
        let request = PullRequest { time_limit: Duration::from_millis(300), ..request(&url, cache.path()) };
        let error = pull(&request, &|_| ()).await.unwrap_err();
        assert!(matches!(error, Error::Slow { .. }), "{error}");
    }

    #[test]
    fn a_checksum_is_64_hexadecimal_digits_beside_the_files_name() {
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
            assert_eq!(find_checksum(&list, "x.img"), expected, "{list}");
        }
    }

    /// Serves this answer to every request.
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
    async fn a_list_of_checksums_may_have_exactly_1_mib() {
        let cache = tempfile::tempdir().unwrap();
        for (length, why) in [(MAX_CHECKSUM_LIST_BYTES, "has no sha256"), (MAX_CHECKSUM_LIST_BYTES + 1, "too large")] {
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
        // The disk arrives instead of the list of checksums: the redirect was followed.
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
        let client = reqwest::Client::builder().tls_certs_only([root]);
        let error = pull_with(client, Path::new("/nowhere"), &request(&url, cache.path()), &|_| ()).await.unwrap_err();
        assert!(error.to_string().contains(&format!("redirects to {plain}SHA256SUMS, which is not https")), "{error}");
    }
}
