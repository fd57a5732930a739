//! The HTTP surface: DigitalOcean's paths, JSON, errors, pages and headers.
//!
//! Each kind of resource has a file with its handlers and its `routes()`; what they send is in
//! `wire.rs`, which shares nothing with any client. To add a route: one function and its line in
//! the `routes()` of the same file.

mod account;
mod actions;
mod droplets;
mod error;
mod fault_injection;
mod images;
mod request;
mod tags;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn_with_state, map_request};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;

use self::error::{ApiError, too_many_requests, whole_seconds, with_request_id};
use self::fault_injection::{Connection, CuttableListener};
use crate::cloud::Cloud;
use crate::rate_limit::{RateLimit, RateLimitStatus, RateLimiter};
use crate::support::random_uuid;

/// Serves the API until the task is aborted.
pub(super) async fn serve(listener: tokio::net::TcpListener, cloud: Arc<Cloud>, limit: Option<RateLimit>) {
    let service = router(cloud, limit).into_make_service_with_connect_info::<Connection>();
    // axum retries failed accepts itself.
    let _ = axum::serve(CuttableListener(listener), service).await;
}

/// All routes, behind the middleware.
fn router(cloud: Arc<Cloud>, limit: Option<RateLimit>) -> Router {
    let middleware = Arc::new(Middleware { cloud: Arc::clone(&cloud), limiter: RateLimiter::new(limit) });
    let routes = Router::new()
        .merge(account::routes())
        .merge(actions::routes())
        .merge(droplets::routes())
        .merge(images::routes())
        .merge(tags::routes())
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(from_fn_with_state(middleware, handle))
        .with_state(cloud);
    // A layer rewrites requests before an inner router sees them, but not before its own routes.
    Router::new().fallback_service(routes).layer(map_request(without_trailing_slash))
}

/// `/v2/droplets/1/` is `/v2/droplets/1`, as at the service: some clients write paths like that.
async fn without_trailing_slash(mut request: Request) -> Request {
    let uri = request.uri();
    if let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty() && !path.ends_with('/')) {
        let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = format!("{path}{query}").parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// What every request passes: delay, token, rate limit, faults. Every answer gets a request id and
/// the limit's headers.
struct Middleware {
    cloud: Arc<Cloud>,
    limiter: RateLimiter,
}

async fn handle(
    State(middleware): State<Arc<Middleware>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let id = random_uuid();
    let (timing, uri) = (middleware.cloud.timing(), request.uri());
    let fault = middleware.cloud.faults().for_request(request.method().as_str(), uri.path(), uri.query());
    timing.pause(timing.request).await;
    let RateLimitStatus { limit, remaining, reset, refused } = middleware.limiter.count_request(Instant::now());
    let response = if !is_authorized(&middleware, &request) {
        ApiError::unauthorized().into_response()
    } else if let Some(wait) = refused {
        too_many_requests(wait)
    } else if let Some(fault) = fault {
        fault_injection::inject(fault, request, next, &connection).await
    } else {
        next.run(request).await
    };
    let mut response = with_request_id(response, &id);
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    for (name, value) in [
        ("x-request-id", id),
        ("ratelimit-limit", limit.to_string()),
        ("ratelimit-remaining", remaining.to_string()),
        ("ratelimit-reset", whole_seconds(since_epoch + reset).to_string()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn is_authorized(middleware: &Middleware, request: &Request) -> bool {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, token)) = header.and_then(|value| value.split_once(' ')) else { return false };
    let expected = middleware.cloud.token().expose_secret().as_bytes();
    let token = token.trim().as_bytes();
    // Compares all bytes, so that the time taken tells nothing about the token.
    let is_same = token.iter().zip(expected).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0;
    scheme.eq_ignore_ascii_case("bearer") && !expected.is_empty() && is_same && token.len() == expected.len()
}
