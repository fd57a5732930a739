//! What an answer says, where it is no body that was asked for: how long to wait, why it is a refusal, what is wrong with it.
//! Answers come from strangers: what is quoted of them is one short line.

use std::error::Error as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::HeaderMap;

use super::wire::ErrorBody;

/// `retry-after` in seconds or as a date, or `ratelimit-reset` in seconds since 1970 where nothing remains.
pub(super) fn pause(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if let Some(seconds) = number("retry-after") {
        return Some(Duration::from_secs(seconds));
    }
    if let Some(date) = headers.get("retry-after").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok())
    {
        return Some(date.duration_since(SystemTime::now()).unwrap_or_default());
    }
    if number("ratelimit-remaining")? > 0 {
        return None;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(number("ratelimit-reset")?.saturating_sub(now)))
}

/// The message of a refusal; some come as HTML from a load balancer, some are cut.
pub(super) fn refusal(bytes: &[u8], status: u16) -> (String, Option<String>) {
    if let Ok(body) = serde_json::from_slice::<ErrorBody>(bytes)
        && !(body.message.is_empty() && body.id.is_empty())
    {
        let message = if body.message.is_empty() { body.id } else { body.message };
        return (clean(&message), body.request_id);
    }
    let text = String::from_utf8_lossy(bytes);
    let title =
        text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map(|(title, _)| clean(title));
    let message = match title {
        Some(title) => format!("an HTML page instead of JSON: {title}"),
        None if text.trim().is_empty() => reqwest::StatusCode::from_u16(status)
            .ok()
            .and_then(|s| s.canonical_reason())
            .unwrap_or("no reason given")
            .to_owned(),
        None => format!("an answer that is no JSON: {}", clean(&text)),
    };
    (message, None)
}

pub(super) fn unreadable(bytes: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
    if text.trim_start().starts_with('<') {
        "an HTML page instead of JSON".to_owned()
    } else {
        format!("the answer cannot be read: {error}")
    }
}

/// One short line of foreign text.
fn clean(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(300).collect()
}

/// An error and its causes; reqwest's own text would repeat the address.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        source = cause.source();
    }
    if text.is_empty() { "the exchange failed".to_owned() } else { text }
}
