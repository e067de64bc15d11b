//! One request and its answer on a connection, from the first byte written to the last one read. Polled by whoever wants the answer; dropped
//! at any time, it closes the connection.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::response;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use weir_wire::MAX_HEAD;

use crate::{
    Connection, Fault, Request,
    answer::{self, Head},
    body::{Framing, Reading},
    lent::{self, Piece},
    upload::Upload,
};

/// Interim answers (1xx) before the final one.
const INTERIM: u32 = 32;

/// Read at first at most, in bytes, and twice as much after each read that could have been larger: a piece is asked for before its client has
/// shown that it takes any, and hundreds of streams of an HTTP/2 client that never does can wait with one each. Small answers and events come
/// whole in it, and a large one costs four reads more.
const FIRST_READ: usize = 8 * 1024;

/// What [`Exchange::poll_frame`] gives.
type PolledFrame<E> = Poll<Option<Result<Frame<Bytes>, Fault<E>>>>;

/// See the module. [`Exchange::poll_head`] first, then [`Exchange::poll_frame`] to the end, then [`Exchange::release`].
#[derive(Debug)]
pub struct Exchange<S, B> {
    io: S,
    upload: Upload<B>,
    awaited: Awaited,
    body: Reading,
    kept: bool,
    /// How much is read at a time.
    most: usize,
}

/// The head that is waited for.
#[derive(Debug)]
struct Awaited {
    head_only: bool,
    heard: bool,
    interim: u32,
    /// What came of it, if it came in pieces, and how much of that was parsed in vain.
    begun: BytesMut,
    parsed: usize,
}

impl<S, B> Exchange<S, B> {
    pub(crate) fn new(io: S, request: Request<B>) -> Self {
        Self {
            io,
            upload: request.upload,
            awaited: Awaited {
                head_only: request.head_only,
                heard: false,
                interim: 0,
                begun: BytesMut::new(),
                parsed: 0,
            },
            body: Reading::new(Framing::None),
            kept: false,
            most: FIRST_READ,
        }
    }

    /// Whether the server has said anything.
    pub fn heard(&self) -> bool {
        self.awaited.heard
    }

    /// The request, if not a byte of it was written: it can be sent on another connection, whatever its method.
    pub fn into_unsent(self) -> Option<Request<B>> {
        self.upload.is_untouched().then_some(Request {
            upload: self.upload,
            head_only: self.awaited.head_only,
        })
    }

    /// Whether [`Exchange::poll_frame`] has no more to give.
    pub fn is_end_stream(&self) -> bool {
        self.body.is_over()
    }

    /// The size of the answer's body, where its head tells.
    pub fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// The stream itself and what was read of it, after a 101.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.io, self.body.into_rest())
    }
}

impl<S, B> Exchange<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin,
{
    /// Sends the request and waits for the head of its final answer. Interim answers are passed over, but for a 101.
    ///
    /// # Errors
    /// See [`Fault`]. A server that stops taking the request is none: its answer is still waited for.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<response::Parts, Fault<B::Error>>> {
        loop {
            self.upload.poll(&mut self.io, cx)?;
            let (awaited, body) = (&mut self.awaited, &mut self.body);
            let found = ready!(lent::poll_read(&mut self.io, cx, FIRST_READ, |piece| {
                awaited.read(piece, body)
            }));
            if let Some((parts, kept)) = found.map_err(Fault::Io)?? {
                self.kept = kept;
                return Poll::Ready(Ok(parts));
            }
        }
    }

    /// The next frame of the answer's body. What is left of the request is sent beside.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> PolledFrame<B::Error> {
        loop {
            if let Some(frame) = self.body.next() {
                return Poll::Ready(Some(frame.map_err(Fault::Answer)));
            }
            if self.body.is_over() {
                return Poll::Ready(None);
            }
            if self.upload.is_under_way() {
                self.upload.poll(&mut self.io, cx)?;
            }
            let (body, most) = (&mut self.body, self.most);
            let read = ready!(lent::poll_read(&mut self.io, cx, most, |piece| {
                (piece.len() == most, body.fill(piece))
            }));
            if matches!(read, Ok((true, _))) {
                self.most = (most * 2).min(lent::SIZE);
            }
            match read {
                Ok((_, true)) => {}
                Ok((_, false)) => return Poll::Ready(Some(Err(Fault::Closed))),
                Err(error) => return Poll::Ready(Some(Err(Fault::Io(error)))),
            }
        }
    }

    /// The connection, if it may carry another request: this one was sent whole and answered whole, nothing came behind the answer, and the
    /// server has not said that it would close.
    pub fn release(self) -> Option<Connection<S>> {
        let clean = self.kept && self.upload.is_done() && self.body.is_clean();
        clean.then(|| Connection::new(self.io))
    }
}

impl Awaited {
    /// Takes what was read; the head, if it is whole and final, and whether the connection lives on. What follows it is the body's.
    fn read<E: std::error::Error>(
        &mut self,
        piece: Piece<'_>,
        body: &mut Reading,
    ) -> Result<Option<(response::Parts, bool)>, Fault<E>> {
        let fresh = match &piece {
            Piece::End => return Err(Fault::Closed),
            Piece::Small(bytes) => bytes,
            Piece::Large(bytes) => &bytes[..],
        };
        self.heard = true;
        if self.begun.is_empty() {
            let (length, head) = self.look(fresh).map_err(Fault::Answer)?;
            let Some(head) = head else {
                self.begin(&fresh[length..]);
                return Ok(None);
            };
            let rest = match &piece {
                Piece::Large(bytes) => Piece::Large(bytes.slice(length..)),
                _ => Piece::Small(&fresh[length..]),
            };
            return Ok(Some(head.with(rest, body)));
        }
        // Looked at again only when that can help, so that a head in many pieces costs no more than twice its size.
        let before = self.begun.len();
        self.begun.extend_from_slice(fresh);
        if self.begun.len() <= MAX_HEAD
            && self.begun.len() < self.parsed * 2
            && !answer::may_be_whole(&self.begun, before)
        {
            return Ok(None);
        }
        let begun = std::mem::take(&mut self.begun);
        let (length, head) = self.look(&begun).map_err(Fault::Answer)?;
        let Some(head) = head else {
            self.begin(&begun[length..]);
            return Ok(None);
        };
        Ok(Some(head.with(Piece::Small(&begun[length..]), body)))
    }

    fn begin(&mut self, bytes: &[u8]) {
        self.begun = BytesMut::from(bytes);
        self.parsed = bytes.len();
    }

    /// The first head in these bytes that is final, and how many of them were read.
    fn look(&mut self, bytes: &[u8]) -> Result<(usize, Option<Head>), weir_wire::Fault> {
        let mut at = 0;
        while at < bytes.len() {
            let Some(head) = answer::read(&bytes[at..], self.head_only)? else {
                break;
            };
            at += head.length;
            let status = head.parts.status;
            if !status.is_informational() || status == http::StatusCode::SWITCHING_PROTOCOLS {
                return Ok((at, Some(head)));
            }
            self.interim += 1;
            if self.interim > INTERIM {
                return Err(weir_wire::Fault::Interim);
            }
        }
        Ok((at, None))
    }
}

impl Head {
    /// The body begins with what came behind the head.
    fn with(self, rest: Piece<'_>, body: &mut Reading) -> (response::Parts, bool) {
        *body = Reading::new(self.framing);
        body.fill(rest);
        (self.parts, self.kept)
    }
}
