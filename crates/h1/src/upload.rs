//! A request on its way out: its head, and its body piece by piece, beside the answer. A small body that is there already goes out in one
//! write with the head. Trailers of a request are not sent: nothing that weir fronts reads them, and they are a way past every header rule.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::{Fault, request::spare};

/// Pieces up to so many bytes are copied behind what is to be sent, larger ones are sent from where they are.
const COPIED: usize = 8 * 1024;
/// With so many bytes unsent the body is asked for no more.
const ENOUGH: usize = 16 * 1024;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How a body's end is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing {
    /// By its length; so much of it is still to come.
    Length(u64),
    /// By chunks.
    Chunked,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Upload<B> {
    /// To be sent; `sent` of it is.
    out: Vec<u8>,
    sent: usize,
    /// What is left of the body. Boxed: few requests have one.
    rest: Option<Box<Rest<B>>>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Untouched,
    Begun,
    Done,
    /// The server takes no more. It may have answered all the same.
    Refused,
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

impl<B> Upload<B> {
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
            state: State::Untouched,
        }
    }

    /// Whether the whole request was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether none of it was.
    pub(crate) fn is_untouched(&self) -> bool {
        self.state == State::Untouched
    }

    /// Whether there is still something to do.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Untouched | State::Begun)
    }

    #[cfg(test)]
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.out[self.sent..]
    }
}

impl<B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin> Upload<B> {
    /// Sends as much as goes. A server that takes no more is no error here: its answer may say why.
    ///
    /// # Errors
    /// What is wrong with the body, or a connection that took nothing at all.
    pub(crate) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Result<(), Fault<B::Error>> {
        while self.is_under_way() {
            self.gather(cx)?;
            let written = match self.poll_write(io, cx) {
                Poll::Ready(written) => written,
                Poll::Pending => break,
            };
            match written {
                Ok(true) => {}
                // Everything is out, and the body has no more for now.
                Ok(false) => break,
                // Not a byte: what could be heard now is no answer to it.
                Err(error) if self.state == State::Untouched => return Err(Fault::Io(error)),
                Err(_) => {
                    self.state = State::Refused;
                    (self.out, self.rest) = (Vec::new(), None);
                    self.sent = 0;
                }
            }
        }
        Ok(())
    }

    /// Takes from the body what it has ready.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<(), Fault<B::Error>> {
        let Some(rest) = &mut self.rest else {
            return Ok(());
        };
        while !rest.over
            && rest.piece.is_empty()
            && rest.tail.is_empty()
            && self.out.len() - self.sent < ENOUGH
        {
            match Pin::new(&mut rest.body).poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Err(error))) => return Err(Fault::Request(error)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => rest.take(data, &mut self.out)?,
                    Err(_) => rest.end(&mut self.out)?,
                },
                Poll::Ready(None) => rest.end(&mut self.out)?,
            }
        }
        Ok(())
    }

    /// Writes once; whether there may be more to do at once.
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        let left = &self.out[self.sent..];
        let (piece, tail): (&[u8], &[u8]) = match &self.rest {
            Some(rest) => (&rest.piece, rest.tail),
            None => (b"", b""),
        };
        if left.is_empty() && piece.is_empty() && tail.is_empty() {
            ready!(Pin::new(&mut *io).poll_flush(cx))?;
            spare(std::mem::take(&mut self.out));
            if self.rest.as_ref().is_none_or(|rest| rest.over) {
                self.rest = None;
                self.state = State::Done;
            }
            return Poll::Ready(Ok(false));
        }
        let written = if piece.is_empty() && tail.is_empty() {
            ready!(Pin::new(&mut *io).poll_write(cx, left))?
        } else {
            let slices = [left, piece, tail].map(IoSlice::new);
            ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.state = State::Begun;
        self.advance(written);
        Poll::Ready(Ok(true))
    }

    fn advance(&mut self, mut written: usize) {
        let head = written.min(self.out.len() - self.sent);
        self.sent += head;
        written -= head;
        if self.sent == self.out.len() || self.sent > ENOUGH {
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

impl<B: Body<Data = Bytes, Error: std::error::Error + 'static>> Rest<B> {
    fn take(&mut self, data: Bytes, out: &mut Vec<u8>) -> Result<(), Fault<B::Error>> {
        if data.is_empty() {
            return Ok(());
        }
        let tail: &'static [u8] = match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Fault::Length)?;
                self.over = *left == 0;
                b""
            }
            Framing::Chunked => {
                use std::io::Write as _;
                write!(out, "{:x}\r\n", data.len()).map_err(Fault::Io)?;
                self.over = self.body.is_end_stream();
                if self.over { b"\r\n0\r\n\r\n" } else { b"\r\n" }
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

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault<B::Error>> {
        self.over = true;
        match self.framing {
            Framing::Length(0) => Ok(()),
            Framing::Length(_) => Err(Fault::Length),
            Framing::Chunked => {
                out.extend_from_slice(LAST_CHUNK);
                Ok(())
            }
        }
    }
}
