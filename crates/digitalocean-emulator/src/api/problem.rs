//! Errors as the service writes them: a status, and `{"id", "message", "request_id"}`.

use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::cloud::Refusal;

/// An answer that is an error.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    id: &'static str,
    message: String,
}

#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    message: &'a str,
    request_id: &'a str,
}

impl Problem {
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unable to authenticate you")
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "The resource you were accessing could not be found.")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed for this resource.")
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_entity_too_large", "The request's body is too large.")
    }

    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable_entity", message)
    }

    pub(super) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "You are not authorized to perform this operation")
    }

    pub(super) fn too_many() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "API rate limit exceeded.")
    }

    pub(super) fn server_error() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "Unexpected server-side error")
    }

    pub(super) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", "Server is temporarily unavailable")
    }

    fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Self {
        Self { status, id, message: message.into() }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::not_found(),
            Refusal::Unprocessable(message) => Self::unprocessable(message),
            Refusal::Internal(message) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message),
        }
    }
}

impl IntoResponse for Problem {
    /// The body is filled in by [`with_request_id`], which knows the id.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives an error its body; other answers pass.
pub(super) fn with_request_id(mut response: Response, request_id: &str) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => {
            let body = Json(Wire { id: problem.id, message: &problem.message, request_id });
            let mut whole = (problem.status, body).into_response();
            // What it was given besides its body, such as `retry-after`.
            whole.headers_mut().extend(response.headers().clone());
            whole
        }
        None => response,
    }
}
