//! Answers that are not the requested body: how long to wait, why a request was refused, and what to do about it. Answers are
//! not trusted: at most one short line of them is quoted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use reqwest::header::HeaderMap;

use super::wire::ErrorBody;
use crate::bake::ports::ProviderErrorKind as Kind;
use crate::causes::with_causes;

/// How long to wait: `retry-after` in seconds or as a date, or `ratelimit-reset` in seconds since 1970 if no request remains.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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

/// The message of a refusal and its request id. Some are HTML from a load balancer, some are truncated.
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
        None => format!("an answer that is not JSON: {}", clean(&text)),
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

/// One short line of untrusted text.
fn clean(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The causes of an error; reqwest's own text would repeat the URL.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let text = with_causes(String::new(), error);
    if text.is_empty() { "the request failed".to_owned() } else { text }
}

/// The kind of error for a status. The reason of a 422 is only in its message: DigitalOcean has no code for it.
pub(super) fn error_kind(status: u16, message: &str) -> Kind {
    let message = message.to_ascii_lowercase();
    match status {
        401 => Kind::Unauthorized,
        403 => Kind::Forbidden,
        404 | 410 => Kind::NotFound,
        423 => Kind::Pending,
        422 | 409
            if message.contains("pending event")
                || message.contains("in progress")
                || message.contains("currently locked") =>
        {
            Kind::Pending
        }
        429 => Kind::RateLimited,
        408 | 500..=599 => Kind::Unanswered,
        _ => Kind::Refused,
    }
}

/// Advice where the service itself is at fault.
pub(super) const STATUS_ADVICE: &str = "https://status.digitalocean.com shows the state of the service";

/// What to do about it.
pub(super) fn advice(status: u16, method: &Method, path: &str, message: &str) -> Option<String> {
    let message = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match status {
        300..=399 => Some("the token is not sent to another address: use the address of the API itself".to_owned()),
        401 => Some(
            "the token is not valid (any more): create one at https://cloud.digitalocean.com/account/api/tokens"
                .to_owned(),
        ),
        403 | 422 if has(&["limit"]) => Some(
            "destroy a droplet (`mkimg gc` finds orphans of bakes), or ask DigitalOcean for a higher limit".to_owned(),
        ),
        403 => Some(format!("the token lacks the scope `{}`", scope(method, path))),
        422 if has(&["size", "region", "available"]) => {
            Some("choose another size or region for the droplet: the template's `droplet:`".to_owned())
        }
        422 if has(&["image"]) => Some("choose another base image: the template's `droplet.image`".to_owned()),
        422 if has(&["user_data", "user data"]) => {
            Some("the document is too large or malformed for the provider: make its largest files smaller".to_owned())
        }
        422 if has(&["pending event"]) => Some("another event holds the droplet: wait until it is over".to_owned()),
        408 | 500..=599 => Some(STATUS_ADVICE.to_owned()),
        _ => None,
    }
}

/// The scope that a request needs (`resource:action`, as in the control panel).
fn scope(method: &Method, path: &str) -> String {
    let resource = match path.trim_start_matches("/v2/").split(['/', '?']).next().unwrap_or_default() {
        "account" => "account",
        "droplets" => "droplet",
        "snapshots" => "snapshot",
        "images" => "image",
        "sizes" => "sizes",
        "regions" => "regions",
        "actions" => "actions",
        "tags" => "tag",
        other => other,
    };
    let action = match *method {
        Method::GET => "read",
        Method::DELETE => "delete",
        // An action on a droplet or an image changes it.
        Method::POST if path.contains("/actions") => "update",
        _ => "create",
    };
    format!("{resource}:{action}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_missing_scope() {
        let advice =
            |method, path| advice(403, &method, path, "You are not authorized to perform this operation").unwrap();
        assert_eq!(advice(Method::POST, "/v2/droplets"), "the token lacks the scope `droplet:create`");
        assert_eq!(advice(Method::POST, "/v2/droplets/3/actions"), "the token lacks the scope `droplet:update`");
        assert_eq!(
            advice(Method::GET, "/v2/snapshots?resource_type=droplet"),
            "the token lacks the scope `snapshot:read`"
        );
        assert_eq!(advice(Method::DELETE, "/v2/droplets/3"), "the token lacks the scope `droplet:delete`");
    }

    #[test]
    fn a_pending_event_is_waited_for() {
        assert_eq!(error_kind(422, "Droplet already has a pending event."), Kind::Pending);
        assert_eq!(error_kind(422, "Image is not available in that region"), Kind::Refused);
        for status in [408, 500, 502, 503, 504] {
            assert_eq!(error_kind(status, ""), Kind::Unanswered, "{status}");
        }
    }
}
