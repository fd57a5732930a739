//! Pages of lists: `page` and `per_page` in, `links.pages` and `meta.total` out.

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use crate::cloud::hex;

/// Rows on a page when the client does not say.
const USUAL: usize = 20;
/// Rows on a page at most; more are not refused, only not given.
const MOST: usize = 200;

/// The query of a list: the page that is asked for, and the filters.
#[derive(Debug, Clone)]
pub(super) struct Paging {
    path: String,
    query: Vec<(String, String)>,
    page: usize,
    per_page: usize,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::bad_request("The query can't be read."))?;
        Self::read(&parts.uri, query)
    }
}

impl Paging {
    fn read(uri: &Uri, query: Vec<(String, String)>) -> Result<Self, Problem> {
        let number = |name: &str, usual: usize| match query.iter().find(|(key, _)| key == name) {
            None => Ok(usual),
            Some((_, text)) => match text.parse::<usize>() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(Problem::bad_request(format!("{name} must be a whole number from 1 on."))),
            },
        };
        let (page, per_page) = (number("page", 1)?, number("per_page", USUAL)?.min(MOST));
        Ok(Self { path: uri.path().to_owned(), query, page, per_page })
    }

    /// A filter's value; an empty one is none.
    pub(super) fn filter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// One page of the rows, under `key`.
    pub(super) fn answer<T: Serialize>(&self, url: &str, key: &str, rows: Vec<T>) -> Response {
        let total = rows.len();
        let start = (self.page - 1).saturating_mul(self.per_page);
        let rows: Vec<T> = rows.into_iter().skip(start).take(self.per_page).collect();
        let mut body = Map::new();
        match serde_json::to_value(rows) {
            Ok(rows) => body.insert(key.to_owned(), rows),
            Err(error) => return Problem::bad_request(error.to_string()).into_response(),
        };
        body.insert("links".to_owned(), self.links(url, total));
        body.insert("meta".to_owned(), json!({ "total": total }));
        Json(Value::Object(body)).into_response()
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

    /// The same list with the same filters, at another page.
    fn link(&self, url: &str, page: usize) -> String {
        let mut link = format!("{url}{}?page={page}&per_page={}", self.path, self.per_page);
        for (key, value) in self.query.iter().filter(|(key, _)| key != "page" && key != "per_page") {
            link.extend(["&", &escape(key), "=", &escape(value)]);
        }
        link
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(uri: &str) -> Result<Paging, Problem> {
        let uri: Uri = uri.parse().unwrap();
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap();
        Paging::read(&uri, query)
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
        assert_eq!(paging("/v2/droplets").unwrap().links("http://x", 20), json!({}));
    }

    #[test]
    fn a_page_has_at_most_200_rows_and_numbers_must_be_numbers() {
        assert_eq!(paging("/v2/images?per_page=1000").unwrap().per_page, 200);
        assert!(paging("/v2/images?page=0").is_err());
        assert!(paging("/v2/images?per_page=-1").is_err());
        assert!(paging("/v2/images?page=99999999999999999999").is_err());
    }
}
