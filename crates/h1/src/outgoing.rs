//! A message on its way out: its head, and its body piece by piece. A small body that is there already goes out in one write with the head.
//! How its body is framed was decided before, and what a failure means is decided by who sends it.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

/// Pieces up to so many bytes are copied behind what is to be sent, larger ones are sent from where they are.
const COPIED: usize = 8 * 1024;
/// With so many bytes unsent the body is asked for no more.
const ENOUGH: usize = 16 * 1024;
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

/// How a body's end is told.
#[derive(Debug)]
pub(crate) enum Framing {
    /// By its length; so much of it is still to come.
    Length(u64),
    /// By chunks. These of its trailers are sent.
    Chunked(Vec<HeaderName>),
    /// By the end of the connection.
    Close,
}

/// What can be wrong with a body.
#[derive(Debug)]
pub(crate) enum Trouble<E> {
    /// It broke.
    Body(E),
    /// It is longer or shorter than its length says.
    Length,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outgoing<B> {
    /// To be sent; `sent` of it is.
    out: Vec<u8>,
    sent: usize,
    /// What is left of the body. Boxed: few requests have one, and an answer's is gone when it is written.
    rest: Option<Box<Rest<B>>>,
}

#[derive(Debug)]
struct Rest<B> {
    body: B,
    framing: Framing,
    /// Sent behind `out`, and behind it the piece's own line end.
    piece: Bytes,
    tail: &'static [u8],
    over: bool,
}

impl<B> Outgoing<B> {
    pub(crate) fn new(head: Vec<u8>, body: Option<(Framing, B)>) -> Self {
        let rest = body.map(|(framing, body)| {
            Box::new(Rest {
                body,
                framing,
                piece: Bytes::new(),
                tail: b"",
                over: false,
            })
        });
        Self {
            out: head,
            sent: 0,
            rest,
        }
    }

    /// Whether all there will ever be was sent.
    pub(crate) fn is_over(&self) -> bool {
        self.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.over)
    }

    /// Drops what was not sent.
    pub(crate) fn discard(&mut self) {
        *self = Self::new(Vec::new(), None);
    }

    #[cfg(test)]
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    fn is_empty(&self) -> bool {
        let nothing = |rest: &Rest<B>| rest.piece.is_empty() && rest.tail.is_empty();
        self.out.len() == self.sent && self.rest.as_deref().is_none_or(nothing)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Outgoing<B> {
    /// Takes from the body what it has ready, up to a bound. Pending: it has no more for now.
    ///
    /// # Errors
    /// What is wrong with the body.
    pub(crate) fn gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Trouble<B::Error>>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(Ok(()));
        };
        while !rest.over
            && rest.piece.is_empty()
            && rest.tail.is_empty()
            && self.out.len() - self.sent < ENOUGH
        {
            let frame = ready!(Pin::new(&mut rest.body).poll_frame(cx)).transpose();
            let frame = frame.map_err(Trouble::Body)?.map(Frame::into_data);
            if self.out.capacity() == 0 {
                self.out = buffer();
            }
            match frame {
                Some(Ok(data)) => rest.take(data, &mut self.out)?,
                Some(Err(frame)) => rest.end(frame.trailers_ref(), &mut self.out)?,
                None => rest.end(None, &mut self.out)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what was gathered and flushes it. Ready: nothing of it is left here.
    ///
    /// # Errors
    /// The other side takes nothing more. [`Outgoing::poll_send`] has `begun` set before if it took anything.
    pub(crate) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        begun: &mut bool,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let left = &self.out[self.sent..];
            let (piece, tail): (&[u8], &[u8]) = match &self.rest {
                Some(rest) => (&rest.piece, rest.tail),
                None => (b"", b""),
            };
            let written = if piece.is_empty() && tail.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(cx, left))?
            } else {
                let slices = [left, piece, tail].map(IoSlice::new);
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *begun = true;
            self.advance(written);
        }
        ready!(Pin::new(&mut *io).poll_flush(cx))?;
        // A stream between two events holds no buffer.
        spare(std::mem::take(&mut self.out));
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        let head = written.min(self.out.len() - self.sent);
        self.sent += head;
        written -= head;
        if self.sent > ENOUGH {
            // More is put behind before all of it is sent: what is sent must go, or it would grow with the message.
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        if let Some(rest) = &mut self.rest {
            let piece = written.min(rest.piece.len());
            rest.piece.advance(piece);
            rest.tail = &rest.tail[written - piece..];
        }
    }
}

impl<B: Body<Data = Bytes>> Rest<B> {
    fn take(&mut self, data: Bytes, out: &mut Vec<u8>) -> Result<(), Trouble<B::Error>> {
        if data.is_empty() {
            return Ok(());
        }
        let tail: &'static [u8] = match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Trouble::Length)?;
                self.over = *left == 0;
                b""
            }
            Framing::Chunked(_) => {
                size_line(data.len(), out);
                self.over = self.body.is_end_stream();
                if self.over { b"\r\n0\r\n\r\n" } else { b"\r\n" }
            }
            Framing::Close => {
                self.over = self.body.is_end_stream();
                b""
            }
        };
        if data.len() <= COPIED {
            out.extend_from_slice(&data);
            out.extend_from_slice(tail);
        } else {
            (self.piece, self.tail) = (data, tail);
        }
        Ok(())
    }

    fn end(
        &mut self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<(), Trouble<B::Error>> {
        self.over = true;
        match &self.framing {
            Framing::Length(0) | Framing::Close => {}
            Framing::Length(_) => return Err(Trouble::Length),
            Framing::Chunked(announced) => {
                out.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    if announced.contains(name) {
                        line(out, name, value.as_bytes());
                    }
                }
                out.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }
}

/// A chunk's size. By hand, since `write!` takes 250 instructions for it, as many as gathering the piece itself.
fn size_line(size: usize, out: &mut Vec<u8>) {
    let mut line = *b"0000000000000000\r\n";
    let (mut at, mut left) = (16, size);
    while left > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[left % 16];
        left /= 16;
    }
    out.extend_from_slice(&line[at..]);
}

/// A header line. The value is one: it cannot end the line.
pub(crate) fn line(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::StreamBody;

    use super::*;

    /// Takes little at a time, and waits in between.
    struct Slow(bool);

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0 = !self.0;
            if self.0 {
                Poll::Ready(Ok(bytes.len().min(5000)))
            } else {
                Poll::Pending
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn the_size_of_a_chunk_is_in_hexadecimal() {
        for size in [1, 9, 10, 0x10, 0xabc, 131_072, usize::MAX] {
            let mut line = Vec::new();
            size_line(size, &mut line);
            assert_eq!(line, format!("{size:x}\r\n").into_bytes());
        }
    }

    #[test]
    fn a_slow_reader_makes_it_hold_no_more() {
        let piece = || Ok::<_, io::Error>(Frame::data(Bytes::from_static(&[0; 4000])));
        let body = StreamBody::new(futures_util::stream::iter((0..500).map(move |_| piece())));
        let framing = Framing::Length(500 * 4000);
        let mut outgoing = Outgoing::new(Vec::new(), Some((framing, body)));
        let (mut io, mut most) = (Slow(false), 0);
        let mut cx = Context::from_waker(Waker::noop());
        while !outgoing.is_over() {
            assert!(!matches!(outgoing.gather(&mut cx), Poll::Ready(Err(_))));
            let _ = outgoing.poll_send(&mut io, &mut cx, &mut false);
            most = most.max(outgoing.out.len());
        }
        assert!(most <= 3 * ENOUGH, "{most}");
    }
}
