//! Downloads artifacts and publishers' checksum files, to compute what `mkimg.lock` pins.
//!
//! The bytes are hashed and not kept. An interrupted download resumes where it stopped, also in
//! another process: [`progress`] saves the state of the hash, about a hundred bytes. Resuming
//! requires a server that identifies the version of the file by `ETag` or `Last-Modified`;
//! otherwise the download starts again. [`transfer`] makes the requests.

mod error;
mod progress;
mod transfer;

use std::path::PathBuf;
use std::time::Duration;

pub use error::DownloadError;
use transfer::Transfer;

use crate::model::Pin;

/// Time limits and retries of downloads.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a server may send nothing: while connecting, before it answers, and between two
    /// chunks.
    pub idle_timeout: Duration,
    /// How long one download may take, with all attempts.
    pub time_limit: Duration,
    /// How many attempts in a row may bring no new bytes, not counting the first one.
    pub retries: usize,
    /// The first pause between attempts; it doubles up to `retry_wait_max`. `retry-after` takes
    /// precedence.
    pub retry_wait: Duration,
    pub retry_wait_max: Duration,
    /// Where the state of interrupted downloads is saved, if at all.
    pub folder: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            time_limit: Duration::from_secs(3600),
            retries: 4,
            retry_wait: Duration::from_millis(250),
            retry_wait_max: Duration::from_secs(4),
            folder: default_folder(),
        }
    }
}

/// Returns `$XDG_CACHE_HOME/mkimg/downloads`, or `None` without a home directory.
fn default_folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("mkimg").join("downloads"))
}

/// An artifact to pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRequest {
    pub url: String,
    /// Address of the publisher's checksum file.
    pub checksum: Option<String>,
}

/// Called with the bytes so far, and the total if it is known.
pub type Progress<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// Downloads and hashes artifacts; several downloads can share it.
#[derive(Debug)]
pub struct Downloads {
    client: reqwest::Client,
    options: Options,
}

impl Downloads {
    /// Makes a client that follows redirects, but not from https to http.
    ///
    /// # Errors
    ///
    /// Fails if the TLS library cannot be set up.
    pub fn new(options: Options) -> Result<Self, DownloadError> {
        // Fails if another part of the program has installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("mkimg/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.idle_timeout)
            .read_timeout(options.idle_timeout)
            .redirect(reqwest::redirect::Policy::custom(transfer::redirect))
            .build()
            .map_err(|error| DownloadError::Transport {
                url: "anything".to_owned(),
                reason: error::root_cause(&error),
            })?;
        Ok(Self { client, options })
    }

    /// Downloads and hashes one artifact, and compares it with the publisher's checksum file if
    /// there is one.
    ///
    /// # Errors
    ///
    /// Fails if a download fails after all retries, or if the checksums differ.
    pub async fn pin(&self, request: &ArtifactRequest, progress: Progress<'_>) -> Result<Pin, DownloadError> {
        // Outside of the timeout, so that it can save its progress.
        let mut transfer = Transfer::resume(&self.client, &self.options, &request.url);
        let work = async {
            let published = match &request.checksum {
                Some(checksum) => Some((checksum, self.published_checksum(checksum, &request.url).await?)),
                None => None,
            };
            let pin = transfer.run(progress).await?;
            match published {
                Some((checksum, expected)) if expected != pin.sha256 => Err(DownloadError::Mismatch {
                    url: request.url.clone(),
                    checksum: checksum.clone(),
                    expected,
                    found: pin.sha256,
                }),
                _ => Ok(pin),
            }
        };
        let result = match tokio::time::timeout(self.options.time_limit, work).await {
            Ok(result) => result,
            Err(_) => Err(DownloadError::Slow {
                url: request.url.clone(),
                limit: self.options.time_limit,
                found: transfer.received(),
            }),
        };
        if matches!(result, Err(DownloadError::Mismatch { .. } | DownloadError::TooLarge { .. })) {
            transfer.reset();
        }
        result
    }

    /// Downloads a checksum file and returns the checksum of an artifact.
    async fn published_checksum(&self, checksum: &str, url: &str) -> Result<String, DownloadError> {
        let text = transfer::download_text(&self.client, &self.options, checksum).await?;
        let name = file_name(url);
        find_checksum(&text, name)
            .ok_or_else(|| DownloadError::NoSum { url: checksum.to_owned(), name: name.to_owned() })
    }

    /// Removes the saved state of a download, once its pin is written.
    pub fn forget(&self, url: &str) {
        if let Some(folder) = &self.options.folder {
            progress::remove_saved(folder, url);
        }
    }
}

/// Returns the last part of an address.
fn file_name(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url).rsplit('/').next().unwrap_or(url)
}

/// Finds the checksum of a file: `SUM  NAME` lines of sha256sum, `SHA256 (NAME) = SUM` of BSD, or a
/// single sum without a name.
fn find_checksum(text: &str, name: &str) -> Option<String> {
    let is_sum = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut sums = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (sum, file) = match words.as_slice() {
            ["SHA256", file, "=", sum] => (*sum, file.trim_matches(['(', ')'])),
            [sum, file] => (*sum, file.trim_start_matches('*')),
            [sum] => (*sum, ""),
            _ => continue,
        };
        if is_sum(sum) {
            if file.rsplit('/').next() == Some(name) {
                return Some(sum.to_ascii_lowercase());
            }
            sums.push((sum.to_ascii_lowercase(), file.is_empty()));
        }
    }
    // A single sum without a name must be for this artifact.
    match sums.as_slice() {
        [(sum, true)] => Some(sum.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    use super::{ArtifactRequest, DownloadError, Downloads, Options, find_checksum};

    /// Without the limit, each of these downloads would be complete after some seconds.
    #[tokio::test]
    async fn a_download_that_drips_ends_at_its_time_limit() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/tool", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let _ = connection.read(&mut [0; 4096]);
                    let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\nconnection: close\r\n\r\n");
                    for _ in 0..40 {
                        std::thread::sleep(Duration::from_millis(100));
                        let _ = connection.write_all(b"x");
                    }
                });
            }
        });
        let limit = Duration::from_millis(300);
        let downloads = Downloads::new(Options { time_limit: limit, folder: None, ..Options::default() }).unwrap();
        for checksum in [None, Some(url.clone())] {
            let request = ArtifactRequest { url: url.clone(), checksum };
            let result = downloads.pin(&request, &|_, _| {}).await;
            assert!(matches!(result, Err(DownloadError::Slow { .. })), "{result:?}");
        }
    }

    #[test]
    fn checksums_are_found_in_all_formats() {
        let sum = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let other = "0".repeat(64);
        for text in [
            format!("{sum}  x.tgz\n"),
            format!("{other}  y.tgz\n{sum} *./x.tgz\n"),
            format!("SHA256 (x.tgz) = {sum}\n"),
            format!("{}\n", sum.to_uppercase()),
        ] {
            assert_eq!(find_checksum(&text, "x.tgz").as_deref(), Some(sum), "{text}");
        }
        for text in [
            String::new(),
            format!("{sum}  y.tgz\n"),
            format!("{sum}\n{other}\n"),
            "abc  x.tgz\n".to_owned(),
            format!("{sum}  not-x.tgz\n"),
        ] {
            assert_eq!(find_checksum(&text, "x.tgz"), None, "{text}");
        }
    }
}
