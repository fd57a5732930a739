//! Connections that can be cut in the middle of an answer, or before it: for faults that no HTTP server can be asked for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// What still gets through to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing.
    All,
    /// The next answer's head and so many bytes of its body; of an answer without a body, half of the head.
    Body(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Through {
    #[default]
    Everything,
    Asked(Cut),
    /// So many bytes more.
    Bytes(usize),
}

/// A handler's hand on the connection that its request came by.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Arc<Mutex<Through>>);

impl Line {
    /// From now on no more gets through than this; then the connection is closed.
    pub(super) fn cut(&self, cut: Cut) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Through::Asked(cut);
    }

    /// How much of this piece gets through; `None` for all of it.
    fn allowed(&self, piece: &[u8]) -> Option<usize> {
        let mut through = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Through::Asked(cut) = *through {
            *through = Through::Bytes(match cut {
                Cut::All => 0,
                // hyper writes a head in one piece.
                Cut::Body(length) => match piece.windows(4).position(|four| four == b"\r\n\r\n") {
                    Some(end) if length > 0 => end + 4 + length,
                    _ => piece.len() / 2,
                },
            });
        }
        match &mut *through {
            Through::Bytes(left) => {
                let now = piece.len().min(*left);
                *left -= now;
                Some(now)
            }
            _ => None,
        }
    }
}

impl Connected<IncomingStream<'_, Door>> for Line {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().line.clone()
    }
}

/// Where connections come in.
pub(crate) struct Door(pub(crate) TcpListener);

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        // axum's own: it waits where the system has no file descriptors left.
        let (stream, address) = Listener::accept(&mut self.0).await;
        (Wire { stream, line: Line::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    line: Line,
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        match self.line.allowed(piece) {
            None => Pin::new(&mut self.stream).poll_write(cx, piece),
            Some(0) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            // A piece this small goes into the socket's buffer whole.
            Some(allowed) => Pin::new(&mut self.stream).poll_write(cx, &piece[..allowed]),
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
    fn a_line_lets_through_what_it_was_told() {
        let answer = b"HTTP/1.1 200 OK\r\n\r\n0123456789";
        assert_eq!(Line::default().allowed(answer), None);
        let line = Line::default();
        line.cut(Cut::All);
        assert_eq!(line.allowed(answer), Some(0));
        let line = Line::default();
        line.cut(Cut::Body(5));
        assert_eq!((line.allowed(answer), line.allowed(b"more")), (Some(24), Some(0)));
        let line = Line::default();
        line.cut(Cut::Body(0));
        assert_eq!((line.allowed(&answer[..19]), line.allowed(b"")), (Some(9), Some(0)));
    }
}
