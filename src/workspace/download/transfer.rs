//! One download: requests, ranges, attempts.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER};
use reqwest::redirect::{Action, Attempt};
use sha2::Digest as _;

use super::fault::causes;
use super::progress::{self, Came};
use super::{DownloadError, Options, Progress};
use crate::model::Pin;

/// Publishers' checksum files are a few lines. Bytes.
const TEXT_LIMIT: u64 = 1 << 20;

/// What a droplet takes at most. Bytes.
const SIZE_LIMIT: u64 = 8 << 30;

/// How much may come between two records: a process that is killed has to fetch no more than this again. Bytes.
const BETWEEN_RECORDS: u64 = 8 << 20;

/// The longest that a `retry-after` is waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often a file may turn out to be another one than before.
const CHANGES: usize = 3;

/// A download under way. Dropped in the middle (Ctrl-C, a time limit), it remembers how far it came.
pub(super) struct Transfer<'a> {
    client: &'a reqwest::Client,
    options: &'a Options,
    url: &'a str,
    came: Came,
    recorded: u64,
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.record();
    }
}

impl<'a> Transfer<'a> {
    /// Goes on where an earlier process stopped, if there was one.
    pub(super) fn resume(client: &'a reqwest::Client, options: &'a Options, url: &'a str) -> Self {
        let came = options.folder.as_deref().map(|folder| Came::load(folder, url)).unwrap_or_default();
        Self { client, options, url, recorded: came.received, came }
    }

    /// Bytes that came, of the file as it is now.
    pub(super) fn received(&self) -> u64 {
        self.came.received
    }

    /// Begins again, here and in the next process.
    pub(super) fn forget(&mut self) {
        self.came = Came::default();
        self.recorded = 0;
        if let Some(folder) = &self.options.folder {
            progress::forget(folder, self.url);
        }
    }

    fn record(&mut self) {
        if let Some(folder) = self.options.folder.as_deref().filter(|_| self.came.received != self.recorded) {
            self.came.save(folder, self.url);
            self.recorded = self.came.received;
        }
    }

    /// Downloads to the end. Attempts that bring something new do not count as failed ones.
    pub(super) async fn run(&mut self, progress: Progress<'_>) -> Result<Pin, DownloadError> {
        let (mut pauses, mut furthest, mut changes) = (pauses(self.options), self.came.received, 0);
        loop {
            let error = match self.attempt(progress).await {
                Ok(Outcome::Complete) => {
                    self.record();
                    return Ok(self.came.pin());
                }
                Ok(Outcome::Changed) if changes < CHANGES => {
                    self.forget();
                    changes += 1;
                    continue;
                }
                Ok(Outcome::Changed) => return Err(DownloadError::Changing { url: self.url.to_owned() }),
                Err(error) => error,
            };
            self.record();
            if self.came.received > furthest {
                furthest = self.came.received;
                pauses = self::pauses(self.options);
            }
            wait(error, &mut pauses).await?;
        }
    }

    async fn attempt(&mut self, progress: Progress<'_>) -> Result<Outcome, DownloadError> {
        if self.came.validator.is_none() {
            self.came = Came::default();
        }
        // Of a complete file the last byte is asked for once more: the answer says whether it is the same file still.
        let offset = if self.came.is_complete() { self.came.received.saturating_sub(1) } else { self.came.received };
        let mut request = self.client.get(self.url).header(ACCEPT_ENCODING, "identity");
        let range = self.came.validator.clone().filter(|_| self.came.received > 0);
        if let Some(validator) = &range {
            request = request.header(RANGE, format!("bytes={offset}-")).header(IF_RANGE, validator);
        }
        let mut response = request.send().await.map_err(|error| transport(self.url, &error))?;
        match (response.status().as_u16(), range) {
            (206, Some(validator)) => {
                let whole = rest(response.headers(), offset);
                let same = |size: u64| self.came.size.is_none_or(|known| known == size);
                let Some(size) = whole.filter(|size| same(*size) && is_of(response.headers(), &validator)) else {
                    return Ok(Outcome::Changed);
                };
                if self.came.is_complete() {
                    return Ok(Outcome::Complete);
                }
                self.came.size = Some(size);
            }
            (416, Some(_)) => return Ok(Outcome::Changed),
            (200, _) => {
                self.forget();
                self.came.size = response.content_length();
                self.came.validator = validator(response.headers());
            }
            _ => return Err(refused(self.url, &response)),
        }
        progress(self.came.received, self.came.size);
        while let Some(chunk) = response.chunk().await.map_err(|error| transport(self.url, &error))? {
            self.came.sum.update(&chunk);
            self.came.received += chunk.len() as u64;
            progress(self.came.received, self.came.size);
            if self.came.received > SIZE_LIMIT {
                return Err(DownloadError::TooLarge { url: self.url.to_owned(), limit: SIZE_LIMIT });
            }
            if self.came.received - self.recorded >= BETWEEN_RECORDS {
                self.record();
            }
        }
        match self.came.size {
            Some(expected) if expected < self.came.received => Ok(Outcome::Changed),
            Some(expected) if expected > self.came.received => {
                Err(DownloadError::Short { url: self.url.to_owned(), expected, found: self.came.received })
            }
            _ => {
                self.came.size = Some(self.came.received);
                Ok(Outcome::Complete)
            }
        }
    }
}

/// How an attempt ended that did not fail.
enum Outcome {
    Complete,
    /// It is another file than before.
    Changed,
}

/// A small text, whole.
pub(super) async fn text(client: &reqwest::Client, options: &Options, url: &str) -> Result<String, DownloadError> {
    let attempt = || async {
        let mut response = client.get(url).send().await.map_err(|error| transport(url, &error))?;
        if !response.status().is_success() {
            return Err(refused(url, &response));
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| transport(url, &error))? {
            text.extend_from_slice(&chunk);
            if text.len() as u64 > TEXT_LIMIT {
                return Err(DownloadError::TooLarge { url: url.to_owned(), limit: TEXT_LIMIT });
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let mut pauses = pauses(options);
    loop {
        match attempt().await {
            Ok(text) => return Ok(text),
            Err(error) => wait(error, &mut pauses).await?,
        }
    }
}

/// Waits before another attempt; gives the error back where there shall be none.
async fn wait(error: DownloadError, pauses: &mut impl Iterator<Item = Duration>) -> Result<(), DownloadError> {
    let asked = error.pause();
    let next = if error.may_pass() && asked.is_none_or(|pause| pause <= LONGEST_PAUSE) { pauses.next() } else { None };
    match next {
        Some(pause) => {
            tokio::time::sleep(asked.unwrap_or(pause)).await;
            Ok(())
        }
        None => Err(error),
    }
}

fn pauses(options: &Options) -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(options.retry_wait)
        .with_max_delay(options.retry_wait_max.max(options.retry_wait))
        .with_max_times(options.retries)
        .build()
}

/// Redirects are followed, but not out of TLS.
pub(super) fn redirect(attempt: Attempt<'_>) -> Action {
    const MOST: usize = 10;
    let secure = attempt.previous().iter().any(|url| url.scheme() == "https");
    if secure && attempt.url().scheme() != "https" {
        return attempt.error("the server redirects from https to http");
    }
    if attempt.previous().len() > MOST {
        return attempt.error("more than 10 redirects");
    }
    attempt.follow()
}

/// The whole file's size, of an answer that begins at `offset` and goes on to the file's end.
fn rest(headers: &HeaderMap, offset: u64) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let whole: u64 = whole.parse().ok()?;
    (first.parse() == Ok(offset) && last.parse::<u64>().ok()?.checked_add(1)? == whole).then_some(whole)
}

/// What tells this version of a file from others. A weak `ETag` does not tell bytes apart.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok());
    let strong = text(ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

/// Whether an answer to `If-Range` is of that version: some servers do not heed it. One that says nothing has compared.
fn is_of(headers: &HeaderMap, asked: &str) -> bool {
    let name = if asked.starts_with('"') { ETAG } else { LAST_MODIFIED };
    headers.get(name).is_none_or(|value| value.as_bytes() == asked.as_bytes())
}

fn refused(url: &str, response: &reqwest::Response) -> DownloadError {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let status = response.status().as_u16();
    DownloadError::Status { url: url.to_owned(), status, pause: seconds.map(Duration::from_secs) }
}

fn transport(url: &str, error: &reqwest::Error) -> DownloadError {
    DownloadError::Transport { url: url.to_owned(), reason: causes(error) }
}
