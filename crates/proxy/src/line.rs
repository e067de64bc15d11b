//! The line to a server as hyper's client reads it: answers get through that `weir-wire` vouches for, and nothing that nobody asked for.
//! What hyper does not tell of a connection is noted here: whether the server has said anything, and whether it may carry another request.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_wire::{Answers, Intake, Stop};

/// Facts about a line, for whoever holds the connection.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Set by the first byte that comes. hyper reports a connection that closed before and one that closed within the answer's head alike,
    /// but only after the first may a request be sent again.
    pub(crate) heard: AtomicBool,
    /// Bytes came that belong to no answer, or an answer whose end is doubtful: not to be used again.
    pub(crate) spent: AtomicBool,
}

/// See the module.
pub(crate) struct Line<S> {
    stream: S,
    intake: Intake<Answers>,
    facts: Arc<Facts>,
}

impl<S> Line<S> {
    pub(crate) fn new(stream: S, facts: Arc<Facts>) -> Self {
        Self {
            stream,
            intake: Intake::new(Answers::default()),
            facts,
        }
    }

    /// The first bytes after an answer's end begin the next request.
    fn writes(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() && self.intake.messages().idle() {
            self.intake
                .tell(|answers| answers.asked(bytes.starts_with(b"HEAD ")));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let count = this.intake.take(buf.initialize_unfilled());
            if count > 0 {
                buf.advance(count);
                return Poll::Ready(Ok(()));
            }
            match this.intake.stopped() {
                Some(Stop::Head(fault) | Stop::Body(fault)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
                // To hyper the server has closed.
                Some(Stop::Over) => return Poll::Ready(Ok(())),
                None => {}
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let fresh = &buf.filled()[before..];
            if fresh.is_empty() {
                this.intake.end();
                if this.intake.stopped().is_none() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            this.facts.heard.store(true, Relaxed);
            let passed = this.intake.admit(fresh);
            if this.intake.ends() || this.intake.messages().doubtful() {
                this.facts.spent.store(true, Relaxed);
            }
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes(buf);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.writes(first.map_or(&[], |buf| buf));
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
