//! One TLS session, seen from two sides: HTTP is read and written through it, and the connection's task looks beside for the client
//! saying goodbye. They run on one thread, so the lock is never waited for.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::socket::Socket;

/// So many decrypted bytes may lie unread before reading beside stops: as many as one record has. It is rustls's own bound too.
const AHEAD: usize = 16 * 1024;

/// See the module.
#[derive(Clone)]
pub(crate) struct Session(Arc<Mutex<Inner>>);

struct Inner {
    stream: TlsStream<Socket>,
    /// Bytes lie decrypted that were read beside, and the reader of HTTP was told.
    told: bool,
    /// Who reads: the connection, or in a task of its own what sends a body on by HTTP/2. The socket has room for one waker, and reading beside
    /// takes it.
    reader: Option<Waker>,
}

impl Session {
    pub(super) fn new(stream: TlsStream<Socket>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            stream,
            told: false,
            reader: None,
        })))
    }

    /// Ready when the client has said close_notify, or has broken the session.
    ///
    /// The goodbye stands in the stream of records, behind whatever was sent before. So while nobody asks for more, this reads on until
    /// one record's worth of decrypted bytes lies there. A close_notify behind more than that cannot be seen before HTTP is read on; a client
    /// that really leaves closes its socket too, which `socket::left` sees in any case.
    pub(crate) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        let Inner {
            stream,
            told,
            reader,
        } = &mut *inner;
        let (socket, session) = stream.get_mut();
        loop {
            let Ok(state) = session.process_new_packets() else {
                return Poll::Ready(());
            };
            if state.peer_has_closed() {
                return Poll::Ready(());
            }
            let ahead = state.plaintext_bytes_to_read();
            if ahead > 0 && !std::mem::replace(told, true) {
                // It may wait for just these bytes, and the socket will not wake it any more.
                reader.as_ref().unwrap_or_else(|| cx.waker()).wake_by_ref();
            }
            if ahead >= AHEAD {
                return Poll::Pending;
            }
            let mut reader = Now { socket, cx };
            match session.read_tls(&mut reader) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(_) => return Poll::Ready(()),
            }
        }
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

/// The socket as rustls reads it: what is not there now is `WouldBlock`, and wakes the task when it comes.
struct Now<'a, 'b> {
    socket: &'a mut Socket,
    cx: &'a mut Context<'b>,
}

impl io::Read for Now<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        match Pin::new(&mut *self.socket).poll_read(self.cx, &mut buf) {
            Poll::Ready(read) => read.map(|()| buf.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl AsyncRead for Session {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        inner.told = false;
        let read = Pin::new(&mut inner.stream).poll_read(cx, buf);
        if read.is_pending() {
            match &mut inner.reader {
                Some(reader) => reader.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        read
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
