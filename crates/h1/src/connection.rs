//! A connection on which nothing is asked right now.

use std::{
    pin::Pin,
    task::{Context, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_wire::Answers;

use crate::{Exchange, Request};

/// An open connection, idle between exchanges. It holds its socket, and what the server's answers repeat.
#[derive(Debug)]
pub struct Connection<S> {
    pub(crate) io: S,
    pub(crate) answers: Answers,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Over a stream on which nothing was said yet.
    pub fn new(io: S) -> Self {
        let answers = Answers::default();
        Self { io, answers }
    }

    /// Whether it may carry another request: the server has neither closed it nor said anything unasked, which is the seed of a poisoned
    /// queue. As far as the runtime has heard: nobody can know of a close that is on its way.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.io)
            .poll_read(&mut cx, &mut byte)
            .is_pending()
    }

    /// Asks.
    pub fn ask<B>(self, request: Request<B>) -> Exchange<S, B> {
        Exchange::new(self, request)
    }
}
