//! One download: requests, ranges and retries.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::Url;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER};
use reqwest::redirect::{Action, Attempt};
use sha2::Digest as _;

use super::error::{DownloadError, root_cause};
use super::progress::{PartialDownload, remove_saved};
use super::{Options, Progress};
use crate::model::Pin;

/// Limit of a publisher's checksum file.
const MAX_CHECKSUM_FILE_BYTES: u64 = 1 << 20;

/// Limit of an artifact, as on the droplet.
const MAX_ARTIFACT_BYTES: u64 = 8 << 30;

/// How many bytes to receive before the progress is saved again: a killed process loses no more
/// than this.
const SAVE_INTERVAL_BYTES: u64 = 8 << 20;

/// A longer `retry-after` is an error.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How often a file may change during its download.
const MAX_CHANGES: usize = 3;

const MAX_REDIRECTS: usize = 10;

/// A download in progress. If it is dropped early (Ctrl-C, timeout), it saves its progress.
pub(super) struct Transfer<'a> {
    client: &'a reqwest::Client,
    options: &'a Options,
    url: &'a str,
    partial: PartialDownload,
    saved: u64,
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.save();
    }
}

impl<'a> Transfer<'a> {
    /// Starts a download, or resumes that of an earlier process.
    pub(super) fn resume(client: &'a reqwest::Client, options: &'a Options, url: &'a str) -> Self {
        let partial = options.folder.as_deref().map(|folder| PartialDownload::load(folder, url)).unwrap_or_default();
        Self { client, options, url, saved: partial.received, partial }
    }

    /// Returns the bytes received of the current version of the file.
    pub(super) fn received(&self) -> u64 {
        self.partial.received
    }

    /// Starts again from the first byte.
    pub(super) fn reset(&mut self) {
        self.partial = PartialDownload::default();
        self.saved = 0;
        if let Some(folder) = &self.options.folder {
            remove_saved(folder, self.url);
        }
    }

    fn save(&mut self) {
        if let Some(folder) = self.options.folder.as_deref().filter(|_| self.partial.received != self.saved) {
            self.partial.save(folder, self.url);
            self.saved = self.partial.received;
        }
    }

    /// Downloads to the end. An attempt that brings new bytes resets the number of retries.
    pub(super) async fn run(&mut self, progress: Progress<'_>) -> Result<Pin, DownloadError> {
        let (mut pauses, mut furthest, mut changes) = (backoff(self.options), self.partial.received, 0);
        loop {
            let error = match self.attempt(progress).await {
                Ok(Outcome::Complete) => {
                    self.save();
                    return Ok(self.partial.pin());
                }
                Ok(Outcome::Changed) if changes < MAX_CHANGES => {
                    self.reset();
                    changes += 1;
                    continue;
                }
                Ok(Outcome::Changed) => return Err(DownloadError::Changing { url: self.url.to_owned() }),
                Err(error) => error,
            };
            self.save();
            if self.partial.received > furthest {
                furthest = self.partial.received;
                pauses = backoff(self.options);
            }
            wait(error, &mut pauses).await?;
        }
    }

    async fn attempt(&mut self, progress: Progress<'_>) -> Result<Outcome, DownloadError> {
        if self.partial.validator.is_none() {
            self.partial = PartialDownload::default();
        }
        // The last byte of a complete file is requested again, to find out whether the file has
        // changed.
        let offset =
            if self.partial.is_complete() { self.partial.received.saturating_sub(1) } else { self.partial.received };
        let mut request = self.client.get(self.url).header(ACCEPT_ENCODING, "identity");
        let range = self.partial.validator.clone().filter(|_| self.partial.received > 0);
        if let Some(validator) = &range {
            request = request.header(RANGE, format!("bytes={offset}-")).header(IF_RANGE, validator);
        }
        let mut response = request.send().await.map_err(|error| transport_error(self.url, &error))?;
        match (response.status().as_u16(), range) {
            (206, Some(validator)) => {
                let total = total_size(response.headers(), offset);
                let is_same = |size: u64| self.partial.size.is_none_or(|known| known == size);
                let Some(size) = total.filter(|size| is_same(*size) && has_validator(response.headers(), &validator))
                else {
                    return Ok(Outcome::Changed);
                };
                if self.partial.is_complete() {
                    return Ok(Outcome::Complete);
                }
                self.partial.size = Some(size);
            }
            (416, Some(_)) => return Ok(Outcome::Changed),
            (200, _) => {
                self.reset();
                self.partial.size = response.content_length();
                self.partial.validator = validator(response.headers());
            }
            _ => return Err(status_error(self.url, &response)),
        }
        progress(self.partial.received, self.partial.size);
        while let Some(chunk) = response.chunk().await.map_err(|error| transport_error(self.url, &error))? {
            self.partial.sum.update(&chunk);
            self.partial.received += chunk.len() as u64;
            progress(self.partial.received, self.partial.size);
            if self.partial.received > MAX_ARTIFACT_BYTES {
                return Err(DownloadError::TooLarge { url: self.url.to_owned(), limit: MAX_ARTIFACT_BYTES });
            }
            if self.partial.received - self.saved >= SAVE_INTERVAL_BYTES {
                self.save();
            }
        }
        match self.partial.size {
            Some(expected) if expected < self.partial.received => Ok(Outcome::Changed),
            Some(expected) if expected > self.partial.received => {
                Err(DownloadError::Short { url: self.url.to_owned(), expected, found: self.partial.received })
            }
            _ => {
                self.partial.size = Some(self.partial.received);
                Ok(Outcome::Complete)
            }
        }
    }
}

/// The result of an attempt.
enum Outcome {
    Complete,
    /// The file is not the same as before.
    Changed,
}

/// Downloads a checksum file.
pub(super) async fn download_text(
    client: &reqwest::Client,
    options: &Options,
    url: &str,
) -> Result<String, DownloadError> {
    let attempt = || async {
        let mut response = client.get(url).send().await.map_err(|error| transport_error(url, &error))?;
        if !response.status().is_success() {
            return Err(status_error(url, &response));
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| transport_error(url, &error))? {
            text.extend_from_slice(&chunk);
            if text.len() as u64 > MAX_CHECKSUM_FILE_BYTES {
                return Err(DownloadError::TooLarge { url: url.to_owned(), limit: MAX_CHECKSUM_FILE_BYTES });
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let mut pauses = backoff(options);
    loop {
        match attempt().await {
            Ok(text) => return Ok(text),
            Err(error) => wait(error, &mut pauses).await?,
        }
    }
}

/// Waits before another attempt. Returns the error if there is none left.
async fn wait(error: DownloadError, pauses: &mut impl Iterator<Item = Duration>) -> Result<(), DownloadError> {
    match next_pause(&error, pauses) {
        Some(pause) => {
            tokio::time::sleep(pause).await;
            Ok(())
        }
        None => Err(error),
    }
}

fn next_pause(error: &DownloadError, pauses: &mut impl Iterator<Item = Duration>) -> Option<Duration> {
    let retry_after = error.retry_after();
    if !error.is_transient() || retry_after.is_some_and(|pause| pause > MAX_RETRY_AFTER) {
        return None;
    }
    pauses.next().map(|pause| retry_after.unwrap_or(pause))
}

fn backoff(options: &Options) -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(options.retry_wait)
        .with_max_delay(options.retry_wait_max.max(options.retry_wait))
        .with_max_times(options.retries)
        .build()
}

/// Follows redirects, but not from https to http.
pub(super) fn redirect(attempt: Attempt<'_>) -> Action {
    match redirect_error(attempt.previous(), attempt.url()) {
        Some(error) => attempt.error(error),
        None => attempt.follow(),
    }
}

fn redirect_error(previous: &[Url], next: &Url) -> Option<&'static str> {
    if previous.iter().any(|url| url.scheme() == "https") && next.scheme() != "https" {
        return Some("the server redirects from https to http");
    }
    (previous.len() > MAX_REDIRECTS).then_some("more than 10 redirects")
}

/// Returns the size of the whole file from an answer that contains everything from `offset` to the
/// end.
fn total_size(headers: &HeaderMap, offset: u64) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total: u64 = total.parse().ok()?;
    (first.parse() == Ok(offset) && last.parse::<u64>().ok()?.checked_add(1)? == total).then_some(total)
}

/// Returns what identifies this version of a file. A weak `ETag` does not identify its bytes.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok());
    let strong = text(ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

/// Returns whether an answer to `If-Range` is for that version, because some servers ignore the
/// header. An answer without a validator counts as compared.
fn has_validator(headers: &HeaderMap, asked: &str) -> bool {
    let name = if asked.starts_with('"') { ETAG } else { LAST_MODIFIED };
    headers.get(name).is_none_or(|value| value.as_bytes() == asked.as_bytes())
}

fn status_error(url: &str, response: &reqwest::Response) -> DownloadError {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let status = response.status().as_u16();
    DownloadError::Status { url: url.to_owned(), status, pause: seconds.map(Duration::from_secs) }
}

fn transport_error(url: &str, error: &reqwest::Error) -> DownloadError {
    DownloadError::Transport { url: url.to_owned(), reason: root_cause(error) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use sha2::Sha256;

    use super::*;

    #[test]
    fn redirects_stay_on_https_and_are_limited() {
        let url = |text: &str| Url::parse(text).unwrap();
        let (http, https) = (url("http://a.example/"), url("https://a.example/"));
        assert_eq!(redirect_error(std::slice::from_ref(&https), &https), None);
        assert_eq!(redirect_error(std::slice::from_ref(&http), &https), None);
        assert_eq!(redirect_error(std::slice::from_ref(&http), &http), None);
        assert!(redirect_error(std::slice::from_ref(&https), &http).is_some());
        assert!(redirect_error(&[http.clone(), https.clone()], &http).is_some());
        assert_eq!(redirect_error(&vec![http.clone(); MAX_REDIRECTS], &http), None);
        assert!(redirect_error(&vec![http.clone(); MAX_REDIRECTS + 1], &http).is_some());
    }

    #[test]
    fn only_transient_errors_and_short_pauses_are_retried() {
        let pause = |status: u16, seconds: Option<u64>| {
            let error = DownloadError::Status { url: String::new(), status, pause: seconds.map(Duration::from_secs) };
            next_pause(&error, &mut std::iter::once(Duration::from_millis(250)))
        };
        for status in [408, 425, 429, 500, 503] {
            assert_eq!(pause(status, None), Some(Duration::from_millis(250)), "{status}");
        }
        for status in [400, 404, 416, 499] {
            assert_eq!(pause(status, None), None, "{status}");
        }
        assert_eq!(pause(503, Some(60)), Some(Duration::from_secs(60)));
        assert_eq!(pause(503, Some(61)), None);
        let error = DownloadError::Short { url: String::new(), expected: 2, found: 1 };
        assert_eq!(next_pause(&error, &mut std::iter::empty()), None);
    }

    #[test]
    fn ranges_and_validators_are_compared() {
        let headers = |pairs: &[(reqwest::header::HeaderName, &str)]| {
            let pair = |(name, value): &(reqwest::header::HeaderName, &str)| (name.clone(), value.parse().unwrap());
            pairs.iter().map(pair).collect::<HeaderMap>()
        };
        let range = |text: &str| total_size(&headers(&[(CONTENT_RANGE, text)]), 5);
        assert_eq!(range("bytes 5-9/10"), Some(10));
        for wrong in ["bytes 4-9/10", "bytes 5-8/10", "bytes 5-10/10", "bytes 5-9/*", "items 5-9/10"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
        let both = headers(&[(ETAG, "\"1\""), (LAST_MODIFIED, "yesterday")]);
        assert_eq!(validator(&both).as_deref(), Some("\"1\""));
        let weak = headers(&[(ETAG, "W/\"1\""), (LAST_MODIFIED, "yesterday")]);
        assert_eq!(validator(&weak).as_deref(), Some("yesterday"));
        assert!(has_validator(&both, "\"1\"") && has_validator(&both, "yesterday") && !has_validator(&both, "\"2\""));
        assert!(has_validator(&HeaderMap::new(), "\"1\""));
    }

    /// Answers each connection with the next text, and closes it.
    fn serve(answers: Vec<String>) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/tool", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut connection, _) = listener.accept().unwrap();
                let _ = connection.read(&mut [0; 4096]);
                connection.write_all(answer.as_bytes()).unwrap();
            }
        });
        url
    }

    fn options(folder: &std::path::Path) -> Options {
        Options { folder: Some(folder.to_path_buf()), retries: 0, ..Options::default() }
    }

    #[tokio::test]
    async fn artifacts_have_a_size_limit() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        // All but the last bytes were received by an earlier process.
        for (last, is_allowed) in [(1, true), (2, false)] {
            let folder = tempfile::tempdir().unwrap();
            let received = MAX_ARTIFACT_BYTES - 1;
            let total = received + last;
            let body = "x".repeat(usize::try_from(last).unwrap());
            let url = serve(vec![format!(
                "HTTP/1.1 206 Partial Content\r\netag: \"1\"\r\ncontent-range: bytes {received}-{}/{total}\r\n\
                 content-length: {last}\r\nconnection: close\r\n\r\n{body}",
                total - 1
            )]);
            PartialDownload { sum: Sha256::new(), received, size: None, validator: Some("\"1\"".to_owned()) }
                .save(folder.path(), &url);
            let options = options(folder.path());
            let result = Transfer::resume(&client, &options, &url).run(&|_, _| {}).await;
            match result {
                Ok(pin) => assert!(is_allowed && pin.size == MAX_ARTIFACT_BYTES, "{pin:?}"),
                Err(error) => assert!(!is_allowed && matches!(error, DownloadError::TooLarge { .. }), "{error}"),
            }
        }
    }

    #[tokio::test]
    async fn checksum_files_have_a_size_limit() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        let limit = usize::try_from(MAX_CHECKSUM_FILE_BYTES).unwrap();
        for size in [limit, limit + 1] {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n");
            let url = serve(vec![head + &"x".repeat(size)]);
            let folder = tempfile::tempdir().unwrap();
            let result = download_text(&client, &options(folder.path()), &url).await;
            match result {
                Ok(text) => assert!(size == limit && text.len() == limit),
                Err(error) => assert!(size > limit && matches!(error, DownloadError::TooLarge { .. }), "{error}"),
            }
        }
    }

    #[tokio::test]
    async fn a_file_may_change_three_times() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        // More bytes than the size of the saved version: the file has changed.
        let changed = |etag: usize| {
            format!(
                "HTTP/1.1 416 Range Not Satisfiable\r\netag: \"{etag}\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
        };
        let broken = |etag: usize| {
            format!("HTTP/1.1 200 OK\r\netag: \"{etag}\"\r\ncontent-length: 9\r\nconnection: close\r\n\r\nabc")
        };
        let good = "HTTP/1.1 200 OK\r\netag: \"g\"\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc".to_owned();
        for (changes, is_allowed) in [(MAX_CHANGES, true), (MAX_CHANGES + 1, false)] {
            let mut answers: Vec<String> = (0..changes).flat_map(|etag| [broken(etag), changed(etag)]).collect();
            answers.push(good.clone());
            let url = serve(answers);
            let folder = tempfile::tempdir().unwrap();
            let wait = Duration::from_millis(1);
            let options = Options { retries: 10, retry_wait: wait, retry_wait_max: wait, ..options(folder.path()) };
            let result = Transfer::resume(&client, &options, &url).run(&|_, _| {}).await;
            assert_eq!(result.is_ok(), is_allowed, "{result:?}");
        }
    }

    /// An answer without a length ends with its connection, wherever that is.
    #[tokio::test]
    async fn a_rest_that_ends_early_is_not_the_file() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        let rest = |body: &str| {
            format!(
                "HTTP/1.1 206 Partial Content\r\netag: \"1\"\r\ncontent-range: bytes 3-9/10\r\n\
                 connection: close\r\n\r\n{body}"
            )
        };
        for (body, found) in
            [("abc", "ends early: 6 of 10 bytes"), ("abcdefg", ""), ("abcdefghi", "the server answers 206")]
        {
            let url = serve(vec![rest(body); 8]);
            let folder = tempfile::tempdir().unwrap();
            let partial =
                PartialDownload { sum: Sha256::new(), received: 3, size: None, validator: Some("\"1\"".into()) };
            let options = Options { folder: None, ..options(folder.path()) };
            let mut transfer = Transfer::resume(&client, &options, &url);
            transfer.partial = partial;
            match transfer.run(&|_, _| {}).await {
                Ok(pin) => assert!(found.is_empty() && pin.size == 10, "{body}: {pin:?}"),
                Err(error) => assert!(!found.is_empty() && error.to_string().contains(found), "{body}: {error}"),
            }
        }
    }
}
