//! What a fault does to a request and its answer, with connections that can be cut in the middle of
//! an answer.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::extract::connect_info::Connected;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::error::{ApiError, too_many_requests};
use crate::faults::RequestFault;

const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Injects the fault into this request.
pub(super) async fn inject(fault: RequestFault, request: Request, next: Next, connection: &Connection) -> Response {
    match fault {
        RequestFault::ServerError => ApiError::server_error("Unexpected server-side error").into_response(),
        RequestFault::BadGateway => {
            let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
            (StatusCode::BAD_GATEWAY, [(header::CONTENT_TYPE, "text/html")], page).into_response()
        }
        RequestFault::Unavailable => ApiError::unavailable().into_response(),
        RequestFault::TooManyRequests(wait) => too_many_requests(wait),
        RequestFault::Closed => {
            connection.cut(Cut::Everything);
            StatusCode::NO_CONTENT.into_response()
        }
        RequestFault::Lost => {
            let response = next.run(request).await;
            connection.cut(Cut::Everything);
            response
        }
        RequestFault::HandledError => {
            next.run(request).await;
            ApiError::server_error("Unexpected server-side error").into_response()
        }
        RequestFault::Hang => pending().await,
        RequestFault::HandledHang => {
            next.run(request).await;
            pending().await
        }
        RequestFault::Truncated => {
            let (head, body) = next.run(request).await.into_parts();
            let bytes: Bytes = to_bytes(body, MAX_ANSWER_BYTES).await.unwrap_or_default();
            connection.cut(Cut::AfterBodyBytes(bytes.len() / 2));
            Response::from_parts(head, Body::from(bytes))
        }
        RequestFault::Garbage => {
            let (mut head, _) = next.run(request).await.into_parts();
            head.headers.remove(header::CONTENT_LENGTH);
            if head.status == StatusCode::NO_CONTENT {
                head.status = StatusCode::OK;
            }
            Response::from_parts(head, Body::from(&b"\x00\x1f{\"drop\": [lets, \xff\xfe;;"[..]))
        }
        RequestFault::NotFound => ApiError::not_found().into_response(),
        RequestFault::Unauthorized => ApiError::unauthorized().into_response(),
        RequestFault::Forbidden => ApiError::forbidden().into_response(),
        RequestFault::Unprocessable => {
            ApiError::unprocessable("The request can't be done, as a fault demanded.").into_response()
        }
        RequestFault::PendingEvent => ApiError::unprocessable("Droplet already has a pending event.").into_response(),
        RequestFault::Slow(time) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
    }
}

/// Where an answer is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Everything,
    /// After the head and this many bytes of the body; in the middle of the head if there is no
    /// body.
    AfterBodyBytes(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Permission {
    #[default]
    Everything,
    /// Up to the cut; the head of the next answer decides how many bytes that is.
    UntilCut(Cut),
    Bytes(usize),
}

/// The connection of a request, as its handler sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct Connection(Arc<Mutex<Permission>>);

impl Connection {
    /// Closes the connection once the client has received this much.
    fn cut(&self, cut: Cut) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Permission::UntilCut(cut);
    }

    /// How many bytes of this write the client may receive; `None` if there is no limit.
    fn allowed(&self, write: &[u8]) -> Option<usize> {
        let mut permission = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Permission::UntilCut(cut) = *permission {
            *permission = Permission::Bytes(match cut {
                Cut::Everything => 0,
                // hyper writes a head at once.
                Cut::AfterBodyBytes(length) => match write.windows(4).position(|four| four == b"\r\n\r\n") {
                    Some(end) if length > 0 => end + 4 + length,
                    _ => write.len() / 2,
                },
            });
        }
        match &mut *permission {
            Permission::Bytes(remaining) => {
                let now = write.len().min(*remaining);
                *remaining -= now;
                Some(now)
            }
            _ => None,
        }
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().connection.clone()
    }
}

/// A listener whose connections can be cut.
pub(crate) struct CuttableListener(pub(crate) TcpListener);

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        // axum's own accept, which waits when the system has no file descriptors left.
        let (stream, address) = Listener::accept(&mut self.0).await;
        (CuttableStream { stream, connection: Connection::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

pub(crate) struct CuttableStream {
    stream: TcpStream,
    connection: Connection,
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, write: &[u8]) -> Poll<io::Result<usize>> {
        match self.connection.allowed(write) {
            None => Pin::new(&mut self.stream).poll_write(cx, write),
            Some(0) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            // So few bytes fit into the socket's buffer at once.
            Some(allowed) => Pin::new(&mut self.stream).poll_write(cx, &write[..allowed]),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_cut_where_it_was_told() {
        let answer = b"HTTP/1.1 200 OK\r\n\r\n0123456789";
        let cut_at = |cut| {
            let connection = Connection::default();
            connection.cut(cut);
            connection
        };
        assert_eq!(Connection::default().allowed(answer), None);
        assert_eq!(cut_at(Cut::Everything).allowed(answer), Some(0));
        let connection = cut_at(Cut::AfterBodyBytes(5));
        assert_eq!((connection.allowed(answer), connection.allowed(b"more")), (Some(24), Some(0)));
        let connection = cut_at(Cut::AfterBodyBytes(0));
        assert_eq!((connection.allowed(&answer[..19]), connection.allowed(b"")), (Some(9), Some(0)));
    }
}
