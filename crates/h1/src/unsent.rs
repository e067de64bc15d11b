//! What is to be sent, of either side and whatever the socket: one function sends it, so that a thread which has just asked answers by warm
//! code. A call through a table costs less than a second copy of it.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Pieces up to so many bytes are copied behind what is to be sent, larger ones are sent from where they are.
const COPIED: usize = 8 * 1024;
/// So many bytes are enough to have unsent.
pub(crate) const ENOUGH: usize = 16 * 1024;
/// The longest buffer that is kept for the thread's next message, in bytes.
const KEPT: usize = 32 * 1024;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An empty buffer, from the thread's last message where it was small.
pub(crate) fn buffer() -> Vec<u8> {
    SPARE.take()
}

/// Keeps a buffer for the thread's next message.
fn spare(mut bytes: Vec<u8>) {
    if (1..=KEPT).contains(&bytes.capacity()) {
        bytes.clear();
        SPARE.set(bytes);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// To be sent; `sent` of it is.
    out: Vec<u8>,
    sent: usize,
    /// Sent behind `out`, and behind it the piece's own line end.
    piece: Bytes,
    tail: &'static [u8],
}

impl Unsent {
    pub(crate) fn new(out: Vec<u8>) -> Self {
        Self {
            out,
            sent: 0,
            piece: Bytes::new(),
            tail: b"",
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.out.len() == self.sent && self.is_flat()
    }

    /// Whether all of it lies in one buffer.
    fn is_flat(&self) -> bool {
        self.piece.is_empty() && self.tail.is_empty()
    }

    /// Whether more may be put behind it now.
    pub(crate) fn takes_more(&self) -> bool {
        self.is_flat() && self.out.len() - self.sent < ENOUGH
    }

    /// To write behind it.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = buffer();
        }
        &mut self.out
    }

    /// Puts a piece behind it, and what ends that.
    pub(crate) fn push(&mut self, piece: Bytes, tail: &'static [u8]) {
        if piece.len() <= COPIED {
            let end = self.end();
            end.extend_from_slice(&piece);
            end.extend_from_slice(tail);
        } else {
            (self.piece, self.tail) = (piece, tail);
        }
    }

    /// Sends it and flushes it. Ready: nothing is left here.
    ///
    /// # Errors
    /// The other side takes nothing more. `begun` is set before if it took anything.
    #[inline(never)]
    pub(crate) fn poll_send(
        &mut self,
        io: &mut (dyn AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        begun: &mut bool,
    ) -> Poll<io::Result<()>> {
        let mut io = Pin::new(io);
        while !self.is_empty() {
            let left = &self.out[self.sent..];
            let written = if self.is_flat() {
                ready!(io.as_mut().poll_write(cx, left))?
            } else {
                let slices = [left, &self.piece, self.tail].map(IoSlice::new);
                ready!(io.as_mut().poll_write_vectored(cx, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *begun = true;
            if self.is_flat() {
                self.sent += written;
            } else {
                self.advance(written);
            }
            if self.sent > ENOUGH {
                // More is put behind before all of it is sent: what is sent must go, or it would grow with the message.
                self.out.drain(..self.sent);
                self.sent = 0;
            }
        }
        ready!(io.poll_flush(cx))?;
        // A stream between two events holds no buffer.
        spare(mem::take(&mut self.out));
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// So many bytes were sent of what lies in several places.
    #[cold]
    fn advance(&mut self, written: usize) {
        let head = written.min(self.out.len() - self.sent);
        self.sent += head;
        let piece = (written - head).min(self.piece.len());
        self.piece.advance(piece);
        self.tail = &self.tail[written - head - piece..];
    }

    #[cfg(test)]
    pub(crate) fn out(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.out.len()
    }
}
