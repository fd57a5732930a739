//! Request bodies: JSON objects of a bounded size, read field by field, with the service's kind of error messages.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use super::problem::Problem;

/// Bytes that a request's body may have. User-data, escaped, fits several times.
const LIMIT: usize = 1 << 20;

/// A request's body: a JSON object.
#[derive(Debug)]
pub(super) struct Fields(pub(super) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = to_bytes(request.into_body(), LIMIT).await.map_err(|_| Problem::too_large())?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Problem::bad_request("The request's body must be a JSON object.")),
            Err(error) => Err(Problem::bad_request(format!("The request's body is not JSON: {error}"))),
        }
    }
}

fn wrong(name: &str, wanted: &str) -> Problem {
    Problem::unprocessable(format!("{name} must be {wanted}."))
}

impl Fields {
    /// A field's value; null counts as not given.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    pub(super) fn required_text(&self, name: &str) -> Result<String, Problem> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Problem::unprocessable(format!("{name} is required."))),
        }
    }

    /// A flag; as words too, which is how python-digitalocean sends `disk`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(word)) if word == "true" => Ok(true),
            Some(Value::String(word)) if word == "false" => Ok(false),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A list of strings and, where the service takes ids too, numbers (as text).
    pub(super) fn list(&self, name: &str, ids: bool) -> Result<Vec<String>, Problem> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let Value::Array(items) = value else { return Err(wrong(name, "a list")) };
        items
            .iter()
            .map(|item| match item {
                Value::String(text) => Ok(text.clone()),
                Value::Number(number) if ids => Ok(number.to_string()),
                _ => Err(wrong(name, if ids { "a list of ids or strings" } else { "a list of strings" })),
            })
            .collect()
    }
}
