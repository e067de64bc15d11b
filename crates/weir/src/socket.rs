//! The client's socket as whoever speaks HTTP sees it, and as the connection's task watches it beside.
//!
//! The end of a connection is not read while bytes lie there that nobody asked for (a stray CRLF, a pipelined request, a body nobody
//! reads), so a client that leaves then would never be missed. The socket is therefore shared: HTTP is read and written through
//! [`Socket`], while [`left`] waits on the same registration for the peer to close its sending side.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BufMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// So few bytes in several pieces (the head and the body of a small answer, an event between the marks of its chunk) are copied together
/// before they are written: one `send` costs the kernel less than a `writev` of two or three.
const FLAT: usize = 1024;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Socket(Arc<TcpStream>);

impl Socket {
    pub(crate) fn new(stream: Arc<TcpStream>) -> Self {
        Self(stream)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match try_read(&self.0, buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Written first and asked after: it nearly always takes all.
        loop {
            match self.0.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
            ready!(self.0.poll_write_ready(cx))?;
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = bufs.iter().map(|buf| buf.len()).sum();
        if size <= FLAT {
            let (mut flat, mut filled) = ([0; FLAT], 0);
            for buf in bufs {
                flat[filled..filled + buf.len()].copy_from_slice(buf);
                filled += buf.len();
            }
            return self.poll_write(cx, &flat[..size]);
        }
        loop {
            match self.0.try_write_vectored(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
            ready!(self.0.poll_write_ready(cx))?;
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written is the kernel's already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shut_down_writing(&self.0))
    }
}

/// Reads what is there, into the room of `buf`.
pub(crate) fn try_read(stream: &TcpStream, buf: &mut impl BufMut) -> io::Result<usize> {
    let room = buf.remaining_mut();
    // Not by `TcpStream::try_read`: it wants the buffer zeroed, which costs more than the read's own work.
    let read = stream.try_read_buf(buf)?;
    if (1..room).contains(&read) {
        drained(stream);
    }
    Ok(read)
}

/// Notes that the socket has nothing more for now, which a read that did not fill its room has shown: saves the next read, a system call
/// that would only say so (`TcpStream`'s own `AsyncRead` does the same; `try_read_buf`, which a shared socket needs, does not).
///
/// Only where readiness comes by edges: what arrives from here on is told anew. Nothing can have been told since the read, because a
/// worker's thread runs its own reactor.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn drained(stream: &TcpStream) {
    let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
    let _ = stream.try_io(tokio::io::Interest::READABLE, nothing);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn drained(_: &TcpStream) {}

fn shut_down_writing(stream: &TcpStream) -> io::Result<()> {
    match socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write) {
        // The peer was quicker; there is nobody left to tell.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        done => done,
    }
}

/// Waits until the peer has closed its sending side, or reset the connection.
///
/// Waiting for READABLE would return at once, and again and again, in just the cases this is for: unread bytes lie in the socket.
/// On Linux a wait for PRIORITY wakes for the closed read side too; urgent data cannot wake it, the socket is not registered for that.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) async fn left(stream: &TcpStream) {
    while let Ok(ready) = stream.ready(tokio::io::Interest::PRIORITY).await {
        if ready.is_read_closed() || ready.is_error() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Elsewhere it is noticed by reading alone, unless bytes of the client lie unread.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) async fn left(_: &TcpStream) {
    std::future::pending().await
}

/// Whether [`left`] can be relied upon, so that a half-closed connection need not count as gone.
pub(crate) const SEES_CLIENTS_LEAVE: bool = cfg!(any(target_os = "linux", target_os = "android"));
