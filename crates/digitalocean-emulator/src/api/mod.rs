//! The HTTP surface: DigitalOcean's paths, JSON, errors, pages and headers.
//!
//! One file per kind of resource; what they send is in `wire.rs`, which the emulator shares with nobody.
//! To add a route: one function in its file and one line in [`router`].

mod absent;
mod account;
mod actions;
mod body;
mod catalog;
mod connection;
mod droplet_actions;
mod droplets;
mod faults;
mod images;
mod names;
mod page;
mod path;
mod problem;
mod rate;
mod snapshots;
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
use axum::routing::{get, post};
use secrecy::ExposeSecret;

use self::connection::{Door, Line};
use self::problem::Problem;
pub use self::rate::RateLimit;
use self::rate::{Meter, Standing};
use crate::cloud::{Cloud, random_uuid};

/// What every handler gets.
type Account = State<Arc<Cloud>>;

/// Serves the API until the task is ended.
pub(super) async fn serve(listener: tokio::net::TcpListener, cloud: Arc<Cloud>, limit: Option<RateLimit>) {
    let service = router(cloud, limit).into_make_service_with_connect_info::<Line>();
    // Accept errors are retried by axum itself.
    let _ = axum::serve(Door(listener), service).await;
}

/// All routes, behind the token.
fn router(cloud: Arc<Cloud>, limit: Option<RateLimit>) -> Router {
    let gate = Arc::new(Gate { cloud: Arc::clone(&cloud), meter: Meter::new(limit) });
    let routes = Router::new()
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
        .merge(absent::routes())
        .route("/v2/tags", get(tags::list).post(tags::create))
        .route("/v2/tags/{tag}", get(tags::show).delete(tags::delete))
        .route("/v2/tags/{tag}/resources", post(tags::tag).delete(tags::untag))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn_with_state(gate, pass))
        .with_state(cloud);
    // A layer sees a request before the router inside it does, not before its own.
    Router::new().fallback_service(routes).layer(map_request(without_last_slash))
}

/// `/v2/droplets/1/` is `/v2/droplets/1`, as at the service: some clients write their paths so.
async fn without_last_slash(mut request: Request) -> Request {
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

/// What stands before every route: how long it takes, the token, faults, the request's id, the rate limit.
struct Gate {
    cloud: Arc<Cloud>,
    meter: Meter,
}

async fn pass(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
    next: Next,
) -> Response {
    let id = random_uuid();
    let (timing, uri) = (gate.cloud.timing(), request.uri());
    let fault = gate.cloud.faults().of_request(request.method().as_str(), uri.path(), uri.query());
    timing.pause(timing.request).await;
    let standing = gate.meter.take(Instant::now());
    let response = if !is_authorized(&gate, &request) {
        Problem::unauthorized().into_response()
    } else if let Some(pause) = standing.refused {
        faults::too_many(pause)
    } else if let Some(fault) = fault {
        faults::play(fault, request, next, &line).await
    } else {
        next.run(request).await
    };
    let mut response = problem::with_request_id(response, &id);
    let Standing { limit, remaining, reset, .. } = standing;
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-request-id", id);
    set("ratelimit-limit", limit.to_string());
    set("ratelimit-remaining", remaining.to_string());
    set("ratelimit-reset", whole_seconds(since_epoch + reset).to_string());
    response
}

/// Seconds, a begun one counted as whole: who waits that long has waited long enough.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
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

#[cfg(test)]
mod bounds {
    use super::*;

    #[test]
    fn a_client_that_waits_whole_seconds_has_waited_long_enough() {
        for (milliseconds, seconds) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), seconds, "{milliseconds}");
        }
    }
}
