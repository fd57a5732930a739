//! Fetches artifacts and publishers' checksum files, to learn what `mkimg.lock` shall pin (edge: network).
//!
//! Nothing is kept: the bytes are hashed as they come. There is no resuming; a download that breaks is begun again.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::model::Pin;

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// How often a download is begun.
const ATTEMPTS: usize = 3;

/// Publishers' checksum files are a few lines.
const CHECKSUM_FILE_LIMIT: usize = 1 << 20;

/// Why something cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("cannot download {url}: {reason}")]
    Transport { url: String, reason: String },
    #[error("{url}: the server answers {status}")]
    Status { url: String, status: u16 },
    #[error("{url} ends early: {found} of {expected} bytes")]
    Short { url: String, expected: u64, found: u64 },
    #[error("{url} holds no sha256 for {name}")]
    NoSum { url: String, name: String },
    #[error("{url} has the sha256 {found}, but its publisher's {checksum} says {expected}")]
    Mismatch { url: String, checksum: String, expected: String, found: String },
}

impl DownloadError {
    /// What to do next.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Transport { .. } | Self::Short { .. } => "see whether this machine reaches the server, and try again",
            Self::Status { .. } => "see whether the address and the version in it are right",
            Self::NoSum { .. } => {
                "see whether `checksum:` names the right file; without it, mkimg pins what it downloads"
            }
            Self::Mismatch { .. } => "do not use this file: ask its publisher",
        }
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Short { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            Self::NoSum { .. } | Self::Mismatch { .. } => false,
        }
    }
}

/// What is to be pinned, and what its publisher says of it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub url: &'a str,
    /// The publisher's checksum file.
    pub checksum: Option<&'a str>,
}

/// Bytes so far, and of how many if that is known.
pub type Progress<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// Downloads and hashes one artifact; with a checksum file, the two must agree.
pub async fn pin(client: &reqwest::Client, wanted: Wanted<'_>, progress: Progress<'_>) -> Result<Pin, DownloadError> {
    let published = match wanted.checksum {
        Some(checksum) => Some((checksum, published_sum(client, checksum, wanted.url).await?)),
        None => None,
    };
    let mut attempt = 1;
    let pin = loop {
        match hash(client, wanted.url, progress).await {
            Err(error) if error.may_pass() && attempt < ATTEMPTS => {
                tokio::time::sleep(Duration::from_secs(attempt as u64)).await;
                attempt += 1;
            }
            other => break other?,
        }
    };
    match published {
        Some((checksum, expected)) if expected != pin.sha256 => Err(DownloadError::Mismatch {
            url: wanted.url.to_owned(),
            checksum: checksum.to_owned(),
            expected,
            found: pin.sha256,
        }),
        _ => Ok(pin),
    }
}

/// A client for downloads: redirects are followed, time limits are on silence, not on the whole.
pub fn client() -> Result<reqwest::Client, DownloadError> {
    // Another part of the program may have chosen the provider already: then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("mkimg/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(SILENCE)
        .read_timeout(SILENCE)
        .build()
        .map_err(|error| DownloadError::Transport { url: "anything".to_owned(), reason: causes(&error) })
}

async fn hash(client: &reqwest::Client, url: &str, progress: Progress<'_>) -> Result<Pin, DownloadError> {
    let mut response = get(client, url).await?;
    let expected = response.content_length();
    let (mut size, mut sum) = (0, Sha256::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(url, &error))? {
        sum.update(&chunk);
        size += chunk.len() as u64;
        progress(size, expected);
    }
    match expected {
        Some(expected) if expected != size => Err(DownloadError::Short { url: url.to_owned(), expected, found: size }),
        _ => Ok(Pin { sha256: crate::model::hexadecimal(&sum.finalize()), size }),
    }
}

async fn get(client: &reqwest::Client, url: &str) -> Result<reqwest::Response, DownloadError> {
    let response = client.get(url).send().await.map_err(|error| transport(url, &error))?;
    let status = response.status();
    if status.is_success() {
        Ok(response)
    } else {
        Err(DownloadError::Status { url: url.to_owned(), status: status.as_u16() })
    }
}

async fn published_sum(client: &reqwest::Client, checksum: &str, url: &str) -> Result<String, DownloadError> {
    let mut response = get(client, checksum).await?;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(checksum, &error))? {
        text.extend_from_slice(&chunk);
        if text.len() > CHECKSUM_FILE_LIMIT {
            break;
        }
    }
    let name = url.split(['?', '#']).next().unwrap_or(url).rsplit('/').next().unwrap_or(url);
    sum_of(&String::from_utf8_lossy(&text), name)
        .ok_or_else(|| DownloadError::NoSum { url: checksum.to_owned(), name: name.to_owned() })
}

/// Finds a file's sum: `SUM  NAME` lines as sha256sum writes them, BSD's `SHA256 (NAME) = SUM`, or a lone sum.
fn sum_of(text: &str, name: &str) -> Option<String> {
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
    // A file that holds one sum without a name can only mean this artifact.
    match sums.as_slice() {
        [(sum, true)] => Some(sum.clone()),
        _ => None,
    }
}

fn transport(url: &str, error: &reqwest::Error) -> DownloadError {
    DownloadError::Transport { url: url.to_owned(), reason: causes(error) }
}

/// reqwest says the useful part last.
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::sum_of;

    #[test]
    fn sums_are_found_in_the_forms_that_publishers_use() {
        let sum = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let other = "0".repeat(64);
        for text in [
            format!("{sum}  x.tgz\n"),
            format!("{other}  y.tgz\n{sum} *./x.tgz\n"),
            format!("SHA256 (x.tgz) = {sum}\n"),
            format!("{}\n", sum.to_uppercase()),
        ] {
            assert_eq!(sum_of(&text, "x.tgz").as_deref(), Some(sum), "{text}");
        }
        for text in [String::new(), format!("{sum}  y.tgz\n"), format!("{sum}\n{other}\n"), "abc  x.tgz\n".to_owned()] {
            assert_eq!(sum_of(&text, "x.tgz"), None, "{text}");
        }
    }
}
