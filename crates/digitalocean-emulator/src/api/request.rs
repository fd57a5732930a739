//! Reading requests: ids in paths, fields of JSON bodies, names, pages and filters; and answering
//! with pages.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::cloud::Cloud;

/// What every handler gets.
pub(super) type Account = State<Arc<Cloud>>;
/// What most handlers return.
pub(super) type Answer = Result<Response, ApiError>;

const MAX_BODY_BYTES: usize = 1 << 20;
const MAX_NAME_LENGTH: usize = 255;
const DEFAULT_PER_PAGE: usize = 20;
/// Larger pages are not refused, only cut.
const MAX_PER_PAGE: usize = 200;

/// 200 with one value under its key, or 404.
pub(super) fn found(key: &str, value: Option<impl Serialize>) -> Answer {
    let value = value.ok_or_else(ApiError::not_found)?;
    Ok(Json(json!({key: value})).into_response())
}

/// 201 with one value under its key.
#[allow(clippy::unnecessary_wraps, reason = "the end of a handler, like `found`")]
pub(super) fn created(key: &str, value: impl Serialize) -> Answer {
    Ok((StatusCode::CREATED, Json(json!({key: value}))).into_response())
}

/// 204.
#[allow(clippy::unnecessary_wraps, reason = "the end of a handler, like `found`")]
pub(super) fn no_content() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Parameters of the path. Unlike axum's own, one that cannot be read (`%ff`) is the service's 404.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(value)| Self(value)).map_err(|_| ApiError::not_found())
    }
}

/// A request's body: a JSON object.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.map_err(|_| ApiError::too_large())?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(ApiError::bad_request("The request's body must be a JSON object.")),
            Err(error) => Err(ApiError::bad_request(format!("The request's body is not JSON: {error}"))),
        }
    }
}

impl Fields {
    /// A field's value, unless it is null.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong_type(name, "a string")),
        }
    }

    /// A text that is not empty.
    pub(super) fn some_text(&self, name: &str) -> Result<Option<String>, ApiError> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    pub(super) fn required_text(&self, name: &str) -> Result<String, ApiError> {
        self.some_text(name)?.ok_or_else(|| ApiError::unprocessable(format!("{name} is required.")))
    }

    /// A flag. python-digitalocean sends `disk` as a string.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(word)) if word == "true" => Ok(true),
            Some(Value::String(word)) if word == "false" => Ok(false),
            Some(_) => Err(wrong_type(name, "true or false")),
        }
    }

    /// A list of strings and, where the service accepts ids too, of numbers (as text).
    pub(super) fn list(&self, name: &str, ids: bool) -> Result<Vec<String>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let Value::Array(items) = value else { return Err(wrong_type(name, "a list")) };
        let read = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) if ids => Ok(number.to_string()),
            _ => Err(wrong_type(name, if ids { "a list of ids or strings" } else { "a list of strings" })),
        };
        items.iter().map(read).collect()
    }
}

fn wrong_type(name: &str, wanted: &str) -> ApiError {
    ApiError::unprocessable(format!("{name} must be {wanted}."))
}

/// `^[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]$`, at most 255 characters.
pub(super) fn check_droplet_name(name: &str) -> Result<(), ApiError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    check_length("Name", name)?;
    if name.bytes().all(is_allowed) && name.ends_with(|last: char| last.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(ApiError::unprocessable("Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)"))
    }
}

/// `^[a-zA-Z0-9_\-\:]+$`, at most 255 characters.
pub(super) fn check_tag(name: &str) -> Result<(), ApiError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte);
    check_length("Tag name", name)?;
    if name.bytes().all(is_allowed) {
        Ok(())
    } else {
        Err(ApiError::unprocessable("Tag names may hold letters, numbers, colons, dashes and underscores only"))
    }
}

pub(super) fn check_tags(names: Vec<String>) -> Result<BTreeSet<String>, ApiError> {
    names.iter().try_for_each(|name| check_tag(name))?;
    Ok(names.into_iter().collect())
}

/// Names of snapshots and keys are free, but must be one line that is not blank.
pub(super) fn check_free_name(name: &str) -> Result<(), ApiError> {
    check_length("Name", name)?;
    if name.chars().any(char::is_control) {
        return Err(ApiError::unprocessable("Name may not hold control characters"));
    }
    Ok(())
}

fn check_length(what: &str, name: &str) -> Result<(), ApiError> {
    if name.trim().is_empty() {
        Err(ApiError::unprocessable(format!("{what} can't be blank")))
    } else if name.chars().count() > MAX_NAME_LENGTH {
        Err(ApiError::unprocessable(format!("{what} is too long (maximum is {MAX_NAME_LENGTH} characters)")))
    } else {
        Ok(())
    }
}

pub(super) fn parse_id(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::not_found())
}

/// The query of a list: the page that is asked for, and the filters.
#[derive(Debug, Clone)]
pub(super) struct Paging {
    path: String,
    query: Vec<(String, String)>,
    page: usize,
    per_page: usize,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Self::parse(&parts.uri)
    }
}

impl Paging {
    fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| ApiError::bad_request("The query can't be read."))?;
        let number = |name: &str, default: usize| match query.iter().find(|(key, _)| key == name) {
            None => Ok(default),
            Some((_, text)) => text
                .parse::<usize>()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| ApiError::bad_request(format!("{name} must be a whole number, at least 1."))),
        };
        let (page, per_page) = (number("page", 1)?, number("per_page", DEFAULT_PER_PAGE)?.min(MAX_PER_PAGE));
        Ok(Self { path: uri.path().to_owned(), query, page, per_page })
    }

    /// A filter's value, unless it is empty.
    pub(super) fn filter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A filter without which the request makes no sense.
    pub(super) fn required_filter(&self, name: &str) -> Result<&str, ApiError> {
        self.filter(name).ok_or_else(|| ApiError::bad_request(format!("{name} is required.")))
    }

    /// One page of the rows, under `key`.
    pub(super) fn answer<T: Serialize>(&self, url: &str, key: &str, rows: Vec<T>) -> Response {
        let total = rows.len();
        let start = (self.page - 1).saturating_mul(self.per_page);
        let rows: Vec<T> = rows.into_iter().skip(start).take(self.per_page).collect();
        Json(json!({key: rows, "links": self.links(url, total), "meta": {"total": total}})).into_response()
    }

    fn links(&self, url: &str, total: usize) -> Value {
        let last = total.div_ceil(self.per_page).max(1);
        let mut pages = Map::new();
        let mut add = |name: &str, page: usize| {
            pages.insert(name.to_owned(), Value::String(self.link(url, page)));
        };
        if self.page > 1 {
            add("first", 1);
            add("prev", (self.page - 1).min(last));
        }
        if self.page < last {
            add("next", self.page + 1);
            add("last", last);
        }
        if pages.is_empty() { json!({}) } else { json!({ "pages": pages }) }
    }

    /// The URL of another page of the same list, with the same filters.
    fn link(&self, url: &str, page: usize) -> String {
        /// The unreserved characters of RFC 3986.
        const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        let mut link = format!("{url}{}?page={page}&per_page={}", self.path, self.per_page);
        for (key, value) in self.query.iter().filter(|(key, _)| key != "page" && key != "per_page") {
            let [key, value] = [key, value].map(|text| utf8_percent_encode(text, RESERVED));
            link.extend(["&".to_owned(), key.to_string(), "=".to_owned(), value.to_string()]);
        }
        link
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn droplet_names_are_host_names() {
        for good in ["a", "web-1", "example.com", "9x", "-a", ".a", "A.B-c9", &"a".repeat(255)] {
            assert!(check_droplet_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a-", "a.", "a_b", "ä", "a b", "a\n", &"a".repeat(256)] {
            assert!(check_droplet_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_may_have_colons_and_underscores() {
        for good in ["a", "mkimg:bake:x_1", "1-2", &"a".repeat(255)] {
            assert!(check_tag(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a.b", "ä", "a/b", &"a".repeat(256)] {
            assert!(check_tag(bad).is_err(), "{bad}");
        }
    }

    fn paging(uri: &str) -> Result<Paging, ApiError> {
        Paging::parse(&uri.parse().unwrap())
    }

    #[test]
    fn links_lead_to_every_page_and_keep_the_filters() {
        let links = paging("/v2/droplets?per_page=2&page=2&tag_name=a%3Ab").unwrap().links("http://x", 5);
        assert_eq!(
            links,
            json!({"pages": {
                "first": "http://x/v2/droplets?page=1&per_page=2&tag_name=a%3Ab",
                "prev": "http://x/v2/droplets?page=1&per_page=2&tag_name=a%3Ab",
                "next": "http://x/v2/droplets?page=3&per_page=2&tag_name=a%3Ab",
                "last": "http://x/v2/droplets?page=3&per_page=2&tag_name=a%3Ab",
            }})
        );
        let default = paging("/v2/droplets").unwrap();
        assert_eq!(default.links("http://x", 20), json!({}));
        assert_eq!(default.links("http://x", 21)["pages"]["last"], "http://x/v2/droplets?page=2&per_page=20");
        let odd = paging("/v2/droplets?name=a-b._~%20%C3%A4").unwrap();
        assert_eq!(odd.link("", 1), "/v2/droplets?page=1&per_page=20&name=a-b._~%20%C3%A4");
    }

    #[test]
    fn a_page_has_at_most_200_rows_and_numbers_must_be_numbers() {
        for (asked, given) in [(1, 1), (199, 199), (200, 200), (201, 200), (1000, 200)] {
            assert_eq!(paging(&format!("/v2/images?per_page={asked}")).unwrap().per_page, given);
        }
        for bad in ["page=0", "per_page=0", "per_page=-1", "page=99999999999999999999", "page=two"] {
            assert!(paging(&format!("/v2/images?{bad}")).is_err(), "{bad}");
        }
    }
}
