//! A message on its way out: its head, and its body piece by piece. A small body that is there already goes out in one write with the head.
//! How its body is framed was decided before, and what a failure means is decided by who sends it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::unsent::Unsent;

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
    unsent: Unsent,
    /// What is left of the body. Boxed: few requests have one, and an answer's is gone when it is written.
    rest: Option<Box<Rest<B>>>,
}

#[derive(Debug)]
struct Rest<B> {
    body: B,
    framing: Framing,
    over: bool,
}

impl<B> Outgoing<B> {
    pub(crate) fn new(head: Vec<u8>, body: Option<(Framing, B)>) -> Self {
        let rest = |(framing, body)| {
            Box::new(Rest {
                body,
                framing,
                over: false,
            })
        };
        Self {
            unsent: Unsent::new(head),
            rest: body.map(rest),
        }
    }

    /// Whether all there will ever be was sent.
    pub(crate) fn is_over(&self) -> bool {
        self.unsent.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.over)
    }

    /// Whether it is under way and its head does not tell its length.
    pub(crate) fn is_open(&self) -> bool {
        let rest = self.rest.as_ref();
        rest.is_some_and(|rest| !matches!(rest.framing, Framing::Length(_)))
    }

    /// Drops what was not sent.
    pub(crate) fn discard(&mut self) {
        *self = Self::new(Vec::new(), None);
    }

    /// Sends what was gathered, see [`Unsent::poll_send`].
    pub(crate) fn poll_send(
        &mut self,
        io: &mut (dyn AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        begun: &mut bool,
    ) -> Poll<io::Result<()>> {
        self.unsent.poll_send(io, cx, begun)
    }

    #[cfg(test)]
    pub(crate) fn unsent(&self) -> &[u8] {
        self.unsent.out()
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
        while !rest.over && self.unsent.takes_more() {
            match ready!(Pin::new(&mut rest.body).poll_frame(cx)) {
                // Not by `into_data`, which hands the whole frame back where it holds none: it is a hundred bytes.
                Some(Ok(mut frame)) => match frame.data_mut() {
                    Some(data) => rest.take(std::mem::take(data), &mut self.unsent)?,
                    None => rest.end(frame.trailers_ref(), self.unsent.end())?,
                },
                Some(Err(error)) => return Poll::Ready(Err(Trouble::Body(error))),
                None => rest.end(None, self.unsent.end())?,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<B: Body<Data = Bytes>> Rest<B> {
    fn take(&mut self, data: Bytes, unsent: &mut Unsent) -> Result<(), Trouble<B::Error>> {
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
                size_line(data.len(), unsent.end());
                self.over = self.body.is_end_stream();
                if self.over { b"\r\n0\r\n\r\n" } else { b"\r\n" }
            }
            Framing::Close => {
                self.over = self.body.is_end_stream();
                b""
            }
        };
        unsent.push(data, tail);
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

    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::unsent::ENOUGH;

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
            most = most.max(outgoing.unsent.held());
        }
        assert!(most <= 3 * ENOUGH, "{most}");
    }
}
