//! What a fault of an exchange (`fault::http`) does to a request and its answer. One arm each.

use std::future::pending;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::connection::{Cut, Line};
use super::problem::Problem;
use super::whole_seconds;
use crate::fault::http::Http;

/// Bytes of the largest answer.
const LARGEST: usize = 64 << 20;

/// Plays the fault on this request.
pub(super) async fn play(fault: Http, request: Request, next: Next, line: &Line) -> Response {
    match fault {
        Http::ServerError => Problem::server_error().into_response(),
        Http::BadGateway => {
            let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
            (StatusCode::BAD_GATEWAY, [(header::CONTENT_TYPE, "text/html")], page).into_response()
        }
        Http::Unavailable => Problem::unavailable().into_response(),
        Http::TooMany(pause) => too_many(pause),
        Http::Closed => {
            line.cut(Cut::All);
            StatusCode::NO_CONTENT.into_response()
        }
        Http::Lost => {
            let response = next.run(request).await;
            line.cut(Cut::All);
            response
        }
        Http::HandledError => {
            next.run(request).await;
            Problem::server_error().into_response()
        }
        Http::Hang => pending().await,
        Http::HandledHang => {
            next.run(request).await;
            pending().await
        }
        Http::Truncated => {
            let (response, length) = whole(next.run(request).await).await;
            line.cut(Cut::Body(length / 2));
            response
        }
        Http::Garbage => {
            let (mut head, _) = next.run(request).await.into_parts();
            head.headers.remove(header::CONTENT_LENGTH);
            if head.status == StatusCode::NO_CONTENT {
                head.status = StatusCode::OK;
            }
            Response::from_parts(head, Body::from(&b"\x00\x1f{\"drop\": [lets, \xff\xfe;;"[..]))
        }
        Http::NotFound => Problem::not_found().into_response(),
        Http::Unauthorized => Problem::unauthorized().into_response(),
        Http::Forbidden => Problem::forbidden().into_response(),
        Http::Unprocessable => {
            Problem::unprocessable("The request can't be done: a fault was asked for.").into_response()
        }
        Http::Pending => Problem::unprocessable("Droplet already has a pending event.").into_response(),
        Http::Slow(time) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
    }
}

/// 429, and how long to wait.
pub(super) fn too_many(pause: Duration) -> Response {
    let mut response = Problem::too_many().into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(pause)));
    response
}

/// The answer with its body in one piece, and how long that is.
async fn whole(response: Response) -> (Response, usize) {
    let (head, body) = response.into_parts();
    let bytes: Bytes = to_bytes(body, LARGEST).await.unwrap_or_default();
    let length = bytes.len();
    (Response::from_parts(head, Body::from(bytes)), length)
}
