//! The client's socket, as the connection and the body of its request share it: whichever of them is polled reads it in place. Both are as
//! a rule in one task, so the lock is never waited for. It is never held while a service or a body of others is polled.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::incoming::Broken;
use crate::{
    body::{Framing, Reading},
    lent::{self, Piece},
    portion::Portion,
};

/// The most that is read at a time where no body is awaited: most heads, and all that a client that pipelines may make weir hold.
const AHEAD: usize = lent::LITTLE;

/// The most that is read at a time of a body. Twice as much, as of answers, brought nothing (measured).
const BODY: usize = lent::SIZE / 2;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// See the module.
#[derive(Debug)]
pub(super) struct Side<S> {
    /// Gone when the connection has ended, or speaks another protocol.
    io: Option<S>,
    /// Read, and behind all that was asked for.
    pub(super) ahead: Bytes,
    /// The body of the request that is answered.
    reading: Reading,
    /// Which request that is, so that nobody who kept the body of another takes this one's.
    turn: u64,
    /// The client waits to be asked for the body (RFC 9110 section 10.1.1).
    expects: bool,
    /// The answer has begun, and an interim one can no longer come.
    answered: bool,
    /// What is left to write of an interim answer, and whether it is still to be flushed.
    interim: &'static [u8],
    flushing: bool,
    /// Whoever reads the body, perhaps in a task of its own.
    reader: Option<Waker>,
}

impl<S> Side<S> {
    pub(super) fn new(io: S, ahead: Bytes) -> Self {
        Self {
            io: Some(io),
            ahead,
            reading: Reading::new(Framing::None),
            turn: 0,
            expects: false,
            answered: false,
            interim: b"",
            flushing: false,
            reader: None,
        }
    }

    /// A request with this body begins. Which one it is.
    pub(super) fn begin(&mut self, framing: Framing, expects: bool) -> u64 {
        self.reading = Reading::new(framing);
        self.turn += 1;
        self.expects = expects;
        self.answered = false;
        self.turn
    }

    /// The body of a request as far as it was read; `None`: it is another's turn.
    pub(super) fn reading(&self, turn: u64) -> Option<&Reading> {
        (self.turn == turn).then_some(&self.reading)
    }

    /// Whether the request was read to its end, and nothing behind it.
    pub(super) fn is_read(&self) -> bool {
        self.reading.is_over() && self.ahead.is_empty()
    }

    /// The answer begins: a client that still waits to be asked for its body never will be.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// The socket, and what was read of it.
    pub(super) fn take(&mut self) -> Option<(S, Bytes)> {
        self.wake();
        Some((self.io.take()?, mem::take(&mut self.ahead)))
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// What came behind the body, once that is over.
    fn settle(&mut self) {
        let behind = self.reading.take_behind();
        if !behind.is_empty() {
            self.ahead = behind;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side<S> {
    /// Reads behind the body, into `ahead`; false: the client sends nothing more.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Self { io, ahead, .. } = self;
        let io = io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        *ahead = ready!(lent::poll_bytes(io, cx, AHEAD))?;
        Poll::Ready(Ok(!ahead.is_empty()))
    }

    /// The next portion of the body of that request.
    pub(super) fn poll_portion(
        &mut self,
        turn: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Portion, Broken>>> {
        if self.turn != turn {
            return Poll::Ready(Some(Err(Broken::Over)));
        }
        loop {
            if let Some(portion) = self.reading.next() {
                if self.reading.is_over() {
                    self.settle();
                }
                return Poll::Ready(Some(portion.map_err(Broken::Framing)));
            }
            if self.reading.is_over() {
                self.settle();
                return Poll::Ready(None);
            }
            if !self.ahead.is_empty() {
                let ahead = mem::take(&mut self.ahead);
                self.reading.fill(Piece::Large(ahead));
                continue;
            }
            if !self.answered && mem::take(&mut self.expects) {
                self.interim = CONTINUE;
                self.flushing = true;
            }
            // If it does not go now, it goes before the answer, or at the next poll.
            let _ = self.poll_interim(cx)?;
            let Some(io) = &mut self.io else {
                return Poll::Ready(Some(Err(Broken::Over)));
            };
            let reading = &mut self.reading;
            let Poll::Ready(read) = lent::poll_read(io, cx, BODY, |piece| reading.fill(piece))
            else {
                match &mut self.reader {
                    Some(reader) => reader.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                return Poll::Pending;
            };
            if !read.map_err(Broken::Io)? {
                return Poll::Ready(Some(Err(Broken::Unfinished)));
            }
        }
    }

    /// Whether the client is done with its request. What is left of it is read if it is here already, and thrown away; whoever still has the
    /// body has not seen all of it.
    pub(super) fn is_done(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.reading.is_over() {
            self.turn += 1;
            self.wake();
        }
        // Not asked for, so nobody can tell whether the next bytes are the body or the next request.
        let unasked = mem::take(&mut self.expects);
        while !unasked && !self.reading.is_over() {
            match self.poll_portion(self.turn, cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(_))) | Poll::Pending => return false,
            }
        }
        self.settle();
        self.reading.is_over()
    }

    /// Writes what is left of an interim answer.
    pub(super) fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Err(Broken::Over));
        };
        if !self.flushing {
            return Poll::Ready(Ok(()));
        }
        while !self.interim.is_empty() {
            let written =
                ready!(Pin::new(&mut *io).poll_write(cx, self.interim)).map_err(Broken::Io)?;
            if written == 0 {
                return Poll::Ready(Err(Broken::Io(io::ErrorKind::WriteZero.into())));
            }
            self.interim = &self.interim[written..];
        }
        ready!(Pin::new(io).poll_flush(cx)).map_err(Broken::Io)?;
        self.flushing = false;
        Poll::Ready(Ok(()))
    }

    /// Does something with the socket, if it is still there.
    pub(super) fn with<T>(
        &mut self,
        with: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut self.io {
            Some(io) => with(Pin::new(io)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}
