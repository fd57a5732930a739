//! Fetches artifacts and publishers' checksum files, to learn what `mkimg.lock` shall pin (edge: network, files).
//!
//! The bytes are hashed as they come and not kept. A download that breaks goes on where it stopped, in this process and in
//! the next: what is needed for that is the hash's own state, some hundred bytes ([`progress`]), and a server that says by
//! `ETag` or `Last-Modified` that the file is the same. Anything else begins again.
//!
//! One file a subject: [`transfer`] speaks to servers, [`progress`] remembers, [`checksum`] reads publishers' sums.

mod checksum;
mod fault;
mod progress;
mod transfer;

use std::path::PathBuf;
use std::time::Duration;

pub use fault::DownloadError;
use transfer::Transfer;

use crate::model::Pin;

/// How a download is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a server may be silent: before it is connected, before it answers, and between two pieces.
    pub silence: Duration,
    /// How long one download may take, all its attempts together.
    pub time_limit: Duration,
    /// How often in a row an attempt may bring nothing new before the download has failed; the first attempt not counted.
    pub retries: usize,
    /// The first pause before another attempt; it doubles, up to `retry_wait_max`. What `retry-after` says counts more.
    pub retry_wait: Duration,
    pub retry_wait_max: Duration,
    /// Where interrupted downloads are remembered; `None`: they begin again in the next process.
    pub folder: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            time_limit: Duration::from_secs(3600),
            retries: 4,
            retry_wait: Duration::from_millis(250),
            retry_wait_max: Duration::from_secs(4),
            folder: default_folder(),
        }
    }
}

/// `$XDG_CACHE_HOME/mkimg/downloads`; `None` where no home is known.
fn default_folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("mkimg").join("downloads"))
}

/// What is to be pinned, and what its publisher says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub url: String,
    /// The publisher's checksum file.
    pub checksum: Option<String>,
}

/// Bytes so far, and of how many if that is known.
pub type Progress<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// Downloads and hashes; may be shared by several downloads at once.
#[derive(Debug)]
pub struct Downloads {
    client: reqwest::Client,
    options: Options,
}

impl Downloads {
    /// A client that follows redirects, but not from https to http.
    pub fn new(options: Options) -> Result<Self, DownloadError> {
        // Another part of the program may have chosen the provider already: then that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("mkimg/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.silence)
            .read_timeout(options.silence)
            .redirect(reqwest::redirect::Policy::custom(transfer::redirect))
            .build()
            .map_err(|error| DownloadError::Transport { url: "anything".to_owned(), reason: fault::causes(&error) })?;
        Ok(Self { client, options })
    }

    /// Downloads and hashes one artifact; with a checksum file, the two must agree.
    pub async fn pin(&self, wanted: &Wanted, progress: Progress<'_>) -> Result<Pin, DownloadError> {
        // Outside of what is timed: it remembers how far it came when it is dropped.
        let mut transfer = Transfer::resume(&self.client, &self.options, &wanted.url);
        let work = async {
            let published = match &wanted.checksum {
                Some(checksum) => Some((checksum, self.published(checksum, &wanted.url).await?)),
                None => None,
            };
            let pin = transfer.run(progress).await?;
            match published {
                Some((checksum, expected)) if expected != pin.sha256 => Err(DownloadError::Mismatch {
                    url: wanted.url.clone(),
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
                url: wanted.url.clone(),
                limit: self.options.time_limit,
                found: transfer.received(),
            }),
        };
        if matches!(result, Err(DownloadError::Mismatch { .. } | DownloadError::TooLarge { .. })) {
            transfer.forget();
        }
        result
    }

    /// What a publisher's file says of an artifact.
    async fn published(&self, checksum: &str, url: &str) -> Result<String, DownloadError> {
        let text = transfer::text(&self.client, &self.options, checksum).await?;
        let name = checksum::file_name(url);
        checksum::sum_of(&text, name)
            .ok_or_else(|| DownloadError::NoSum { url: checksum.to_owned(), name: name.to_owned() })
    }

    /// Forgets how far a download came: its pin is written.
    pub fn forget(&self, url: &str) {
        if let Some(folder) = &self.options.folder {
            progress::forget(folder, url);
        }
    }
}
