//! What a refusal means, and what to do about it.

use reqwest::Method;

use crate::bake::ports::ProviderErrorKind as Kind;

/// What kind of failure a status is. 422 is told apart by its message, as DigitalOcean gives no code for it.
pub(super) fn kind(status: u16, message: &str) -> Kind {
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

/// What to do about it.
pub(super) fn advice(status: u16, method: &Method, path: &str, message: &str) -> Option<String> {
    let message = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match status {
        300..=399 => {
            Some("the token is not sent on to another address: give --api-url the address of the API itself".to_owned())
        }
        401 => Some(
            "the token is not valid (any more): make one at https://cloud.digitalocean.com/account/api/tokens"
                .to_owned(),
        ),
        403 | 422 if has(&["limit"]) => Some(
            "destroy a droplet (`mkimg gc` finds leftovers of bakes), or ask DigitalOcean for a higher limit"
                .to_owned(),
        ),
        403 => Some(format!("the token lacks the scope `{}`", scope(method, path))),
        422 if has(&["size", "region", "available"]) => {
            Some("choose another size or region for the droplet: the template's `droplet:`, or --var".to_owned())
        }
        422 if has(&["image"]) => Some("choose another base image: the template's `droplet.image`".to_owned()),
        422 if has(&["user_data", "user data"]) => {
            Some("the document is too large or malformed for the provider: `mkimg render --stats`".to_owned())
        }
        422 if has(&["pending event"]) => Some("another event holds the droplet: wait until it is over".to_owned()),
        429 => Some("too many requests with this account's tokens: wait, or use a longer --poll-interval".to_owned()),
        _ => None,
    }
}

/// The scope that a request needs (`resource:action`, as the control panel shows them).
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
        assert_eq!(kind(422, "Droplet already has a pending event."), Kind::Pending);
        assert_eq!(kind(422, "Image is not available in that region"), Kind::Refused);
        assert_eq!(kind(504, ""), Kind::Unanswered);
    }
}
