//! A client's connection as whoever speaks HTTP sees it, in clear or by TLS: what passes is told to the connection's clocks and exchanges. And the
//! same connection as its task watches it beside: when the client leaves, and for a last word to an HTTP/2 client that hyper would not say.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use weir_proxy::downstream::Downstream;

use crate::{flood::Flood, patience::Patience, socket::Socket, tls::Session};

/// What bytes travel on.
#[derive(Clone)]
pub(crate) enum Wire {
    /// The socket itself.
    Clear(Socket),
    /// A TLS session over it.
    Tls(Session),
}

/// One call for either kind.
macro_rules! either {
    ($wire:expr, $io:ident => $call:expr) => {
        match $wire {
            Wire::Clear($io) => $call,
            Wire::Tls($io) => $call,
        }
    };
}

impl Wire {
    /// Ready when the client has said TLS's own goodbye while an exchange waits on an upstream. Its FIN or RST is the socket's to see.
    #[inline]
    pub(crate) fn poll_goodbye(&self, downstream: &Downstream, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tls(session) if downstream.is_waiting() => session.poll_left(cx),
            Self::Clear(_) | Self::Tls(_) => Poll::Pending,
        }
    }

    /// A last word. What cannot be written at once is lost.
    pub(crate) fn say(&self, stream: &TcpStream, bytes: &[u8]) {
        match self {
            // A socket that cannot take it needs no answer.
            Self::Clear(_) => drop(stream.try_write(bytes)),
            Self::Tls(session) => session.say(bytes),
        }
    }
}

/// See the module.
pub(crate) struct Line {
    wire: Wire,
    /// Read before it was known which protocol this is.
    ahead: Bytes,
    downstream: Arc<Downstream>,
    patience: Arc<Patience>,
    /// Of HTTP/2's frames.
    flood: Option<Flood>,
}

impl Line {
    pub(crate) fn new(
        wire: Wire,
        ahead: Bytes,
        downstream: Arc<Downstream>,
        patience: Arc<Patience>,
        flood: Option<Flood>,
    ) -> Self {
        Self {
            wire,
            ahead,
            downstream,
            patience,
            flood,
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let Some(flood) = &mut self.flood else {
            return;
        };
        if flood.read(bytes) {
            self.downstream.flooded();
        }
        if flood.has_pong() {
            self.patience.answered();
        }
    }

    fn wrote(&mut self, wrote: &Poll<io::Result<usize>>) {
        let resumed = self.patience.wrote(wrote.is_ready());
        // In HTTP/1.1 a write follows what was written before it at once, or was waited for.
        if wrote.is_ready() && (resumed || self.flood.is_some()) {
            self.patience.advanced();
        }
        if let (Poll::Ready(Ok(bytes)), Some(flood)) = (wrote, &mut self.flood) {
            flood.wrote(*bytes);
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let size = self.ahead.len().min(buf.remaining());
            let ahead = self.ahead.split_to(size);
            buf.put_slice(&ahead);
            self.read(&ahead);
            return Poll::Ready(Ok(()));
        }
        let (before, room) = (buf.filled().len(), buf.remaining());
        let read = either!(&mut self.wire, io => Pin::new(io).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.read(&buf.filled()[before..]);
        } else if room > 0 && matches!((&self.wire, &read), (Wire::Clear(_), Poll::Ready(Ok(())))) {
            self.patience.finished();
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.downstream.writing();
        let wrote = either!(&mut self.wire, io => Pin::new(io).poll_write(cx, buf));
        self.wrote(&wrote);
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.downstream.writing();
        let wrote = either!(&mut self.wire, io => Pin::new(io).poll_write_vectored(cx, bufs));
        self.wrote(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Called only when nothing is buffered above: once this is done, everything said so far is the kernel's.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = either!(&mut self.wire, io => Pin::new(io).poll_flush(cx));
        self.patience.wrote(flushed.is_ready());
        ready!(flushed)?;
        self.downstream.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A FIN or a close_notify would say that a broken answer is whole; the connection's task resets the socket instead.
        // Both sides having said their last, the close that follows is the FIN.
        if self.downstream.wants_reset() || self.patience.is_read_out() {
            return Poll::Ready(Ok(()));
        }
        either!(&mut self.wire, io => Pin::new(io).poll_shutdown(cx))
    }
}
