//! The HTTP surface: DigitalOcean's paths, JSON, errors, pages and headers.
//!
//! One file per kind of resource; what they send is in `wire.rs`, which the emulator shares with nobody.
//! To add a route: one function in its file and one line in [`router`].

mod account;
mod actions;
mod body;
mod catalog;
mod droplet_actions;
mod droplets;
mod images;
mod names;
mod page;
mod problem;
mod snapshots;
mod tags;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use secrecy::ExposeSecret;

use self::problem::Problem;
use crate::emulator::cloud::{Cloud, random_uuid};

/// What every handler gets.
type Account = State<Arc<Cloud>>;

/// The service's limit, in requests an hour and token. Reported, not enforced.
const HOURLY_LIMIT: u64 = 5000;

/// All routes, behind the token.
pub(super) fn router(cloud: Arc<Cloud>) -> Router {
    let gate = Arc::new(Gate { cloud: Arc::clone(&cloud), requests: AtomicU64::new(0) });
    Router::new()
        .route("/v2/account", get(account::show))
        .route("/v2/account/keys", get(account::list_keys).post(account::add_key))
        .route("/v2/account/keys/{key}", get(account::show_key).put(account::rename_key).delete(account::delete_key))
        .route("/v2/regions", get(catalog::regions))
        .route("/v2/sizes", get(catalog::sizes))
        .route("/v2/images", get(images::list))
        .route("/v2/images/{image}", get(images::show).put(images::update).delete(images::delete))
        .route("/v2/images/{image}/actions", get(actions::of_image).post(images::act))
        .route("/v2/images/{image}/actions/{action}", get(actions::one_of_image))
        .route("/v2/snapshots", get(snapshots::list))
        .route("/v2/snapshots/{snapshot}", get(snapshots::show).delete(snapshots::delete))
        .route("/v2/droplets", get(droplets::list).post(droplets::create).delete(droplets::delete_tagged))
        .route("/v2/droplets/actions", post(droplet_actions::act_tagged))
        .route("/v2/droplets/{droplet}", get(droplets::show).delete(droplets::delete))
        .route("/v2/droplets/{droplet}/actions", get(actions::of_droplet).post(droplet_actions::act))
        .route("/v2/droplets/{droplet}/actions/{action}", get(actions::one_of_droplet))
        .route("/v2/droplets/{droplet}/snapshots", get(droplets::snapshots))
        .route("/v2/droplets/{droplet}/backups", get(droplets::backups))
        .route("/v2/droplets/{droplet}/kernels", get(droplets::kernels))
        .route("/v2/droplets/{droplet}/neighbors", get(droplets::neighbors))
        .route("/v2/droplets/{droplet}/firewalls", get(droplets::firewalls))
        .route("/v2/actions", get(actions::list))
        .route("/v2/actions/{action}", get(actions::show))
        .route("/v2/tags", get(tags::list).post(tags::create))
        .route("/v2/tags/{tag}", get(tags::show).delete(tags::delete))
        .route("/v2/tags/{tag}/resources", post(tags::tag).delete(tags::untag))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn_with_state(gate, pass))
        .with_state(cloud)
}

/// What stands before every route: the token, the request's id, the rate limit's headers.
struct Gate {
    cloud: Arc<Cloud>,
    requests: AtomicU64,
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let id = random_uuid();
    let used = gate.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let response =
        if is_authorized(&gate, &request) { next.run(request).await } else { Problem::unauthorized().into_response() };
    let mut response = problem::with_request_id(response, &id);
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-request-id", id);
    set("ratelimit-limit", HOURLY_LIMIT.to_string());
    set("ratelimit-remaining", HOURLY_LIMIT.saturating_sub(used % HOURLY_LIMIT).to_string());
    set("ratelimit-reset", (since_epoch + 3600).to_string());
    response
}

fn is_authorized(gate: &Gate, request: &Request) -> bool {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, token)) = shown.and_then(|value| value.split_once(' ')) else { return false };
    let expected = gate.cloud.token().expose_secret().as_bytes();
    let token = token.trim().as_bytes();
    // Every byte is looked at, whatever the first difference: the time taken tells nothing about the token.
    let same = token.iter().zip(expected).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0;
    scheme.eq_ignore_ascii_case("bearer") && !expected.is_empty() && same && token.len() == expected.len()
}
