//! One TLS session, seen from two sides: hyper reads and writes through it, and the connection's task looks beside hyper for the client
//! saying goodbye. Both run in one task, so the lock is never waited for.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use weir_proxy::downstream::Downstream;

use crate::socket::Socket;

/// See the module.
#[derive(Clone)]
pub(crate) struct Session(Arc<Mutex<Inner>>);

struct Inner {
    stream: TlsStream<Socket>,
    /// Bytes lie decrypted that were read beside hyper, and hyper was told.
    ahead: bool,
}

impl Session {
    pub(super) fn new(stream: TlsStream<Socket>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            stream,
            ahead: false,
        })))
    }

    /// Resolves when the client has said close_notify, or has broken the session, while an exchange waits on an upstream.
    ///
    /// Goodbyes stand in the stream of records, behind whatever was sent before. So while hyper does not read, this reads on until rustls
    /// holds decrypted bytes that hyper has not taken: at most what one read of the socket brings, some 16 KiB. A close_notify behind more than that
    /// cannot be seen until hyper reads; a client that really leaves closes its socket too, which `socket::left` sees in any case.
    pub(crate) async fn left(&self, downstream: &Downstream) {
        poll_fn(|cx| {
            // Asked anew each time the task runs, after hyper had its turn: the exchange may have begun in that turn.
            if downstream.is_waiting() {
                self.poll_left(cx)
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        let Inner { stream, ahead } = &mut *inner;
        match Pin::new(&mut *stream).poll_fill_buf(cx) {
            Poll::Ready(Ok([])) | Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(_)) => {}
            Poll::Pending => return Poll::Pending,
        }
        // In the same read as the bytes before it.
        let state = stream.get_mut().1.process_new_packets();
        if state.is_err() || state.is_ok_and(|state| state.peer_has_closed()) {
            return Poll::Ready(());
        }
        if !std::mem::replace(ahead, true) {
            // hyper may wait for just these bytes, and the socket will not wake it any more.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// A last word without waiting: what the socket does not take at once is lost.
    pub(crate) fn say(&self, bytes: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut inner = self.lock();
        let mut stream = Pin::new(&mut inner.stream);
        if stream.as_mut().poll_write(&mut cx, bytes).is_ready() {
            let _ = stream.poll_flush(&mut cx);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Session {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        inner.ahead = false;
        Pin::new(&mut inner.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Session {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Ready when every record is the kernel's.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_flush(cx)
    }

    /// Says close_notify, then closes the sending side.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_shutdown(cx)
    }
}
