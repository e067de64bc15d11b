//! The body of a client's request, read from its socket by whoever polls it. It may outlive its exchange: then it is broken.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use super::side::Side;
use crate::portion::Portion;

/// Why a request's body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Its framing is wrong.
    #[error("the request's body is malformed")]
    Framing(#[source] weir_wire::Fault),
    /// The client closed in the middle of it.
    #[error("the client closed in the middle of its body")]
    Unfinished,
    /// The client's connection broke.
    #[error("the client's connection broke")]
    Io(#[source] io::Error),
    /// The request was answered before all of it was read, or the connection is gone.
    #[error("the exchange is over")]
    Over,
}

/// See the module.
pub struct Incoming(Option<(Arc<dyn Receive>, u64)>);

impl Incoming {
    /// Of a request without one.
    pub(super) fn empty() -> Self {
        Self(None)
    }

    pub(super) fn new(from: Arc<dyn Receive>, turn: u64) -> Self {
        Self(Some((from, turn)))
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("size", &self.size_hint())
            .finish_non_exhaustive()
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &self.0 {
            Some((from, turn)) => from.poll_portion(*turn, cx).map_ok(Frame::from),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Some((from, turn)) => from.is_end(*turn),
            None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some((from, turn)) => from.size_hint(*turn),
            None => SizeHint::with_exact(0),
        }
    }
}

/// A [`Side`], whatever its socket.
pub(super) trait Receive: Send + Sync {
    fn poll_portion(
        &self,
        turn: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Portion, Broken>>>;
    fn is_end(&self, turn: u64) -> bool;
    fn size_hint(&self, turn: u64) -> SizeHint;
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Receive for Mutex<Side<S>> {
    fn poll_portion(
        &self,
        turn: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Portion, Broken>>> {
        lock(self).poll_portion(turn, cx)
    }

    fn is_end(&self, turn: u64) -> bool {
        lock(self).reading(turn).is_some_and(|body| body.is_over())
    }

    fn size_hint(&self, turn: u64) -> SizeHint {
        lock(self)
            .reading(turn)
            .map_or_else(SizeHint::new, |body| body.size_hint())
    }
}

pub(super) fn lock<S>(side: &Mutex<Side<S>>) -> std::sync::MutexGuard<'_, Side<S>> {
    side.lock().unwrap_or_else(PoisonError::into_inner)
}
