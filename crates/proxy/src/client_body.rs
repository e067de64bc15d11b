//! The body of a client's request as it comes, by either protocol. Its size and its pauses are bounded by [`crate::Body::request`].

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::ClientFault;

/// See the module.
#[derive(Debug)]
pub enum ClientBody {
    /// Read from the client's socket where it is polled.
    Http1(weir_h1::server::Incoming),
    /// A stream of hyper's.
    Http2(hyper::body::Incoming),
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = ClientFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientFault>>> {
        match &mut *self {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(ClientFault::from),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(ClientFault::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
