//! An answer's body, still on its connection: weir's own client's, which reads the socket where it is polled, or hyper's for HTTP/2.
//! Whoever drops it breaks the answer off.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body::{Body as _, Frame, SizeHint};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_h1::{Connection, Exchange};

use crate::{
    alarm::Alarm,
    connect::Transport,
    error::{BodyError, UpstreamError},
    multiplex::Stream,
    watched::Body,
};

/// See the module.
#[derive(Debug)]
pub struct Incoming {
    protocol: Protocol,
    /// The connection's, by which its exchanges are timed.
    alarm: Alarm,
}

#[derive(Debug)]
enum Protocol {
    /// Boxed: it is half a kilobyte, and goes through many hands until the answer's body is polled.
    Http1(Box<Exchange<Transport, Body>>),
    Http2 {
        body: hyper::body::Incoming,
        share: Stream,
        /// After a CONNECT that was granted.
        upgrade: Option<OnUpgrade>,
    },
    /// None: the connection became a tunnel.
    Switched,
}

/// What an upstream's connection, or its share of one, is after a handshake that was granted.
#[derive(Debug)]
pub struct Upgraded(Tunnel);

#[derive(Debug)]
enum Tunnel {
    Http1 {
        io: Transport,
        /// Read behind the answer's head.
        read: Bytes,
    },
    Http2 {
        io: TokioIo<hyper::upgrade::Upgraded>,
        _share: Stream,
    },
}

/// One call for either kind.
macro_rules! either {
    ($self:ident, $io:ident => $call:expr) => {
        match &mut $self.get_mut().0 {
            Tunnel::Http1 { io: $io, .. } => $call,
            Tunnel::Http2 { io: $io, .. } => $call,
        }
    };
}

impl Incoming {
    pub(crate) fn http1(exchange: Box<Exchange<Transport, Body>>, alarm: Alarm) -> Self {
        Self {
            protocol: Protocol::Http1(exchange),
            alarm,
        }
    }

    /// `upgrade`: what becomes of the stream, where the answer grants a CONNECT.
    pub(crate) fn http2(
        body: hyper::body::Incoming,
        share: Stream,
        upgrade: Option<OnUpgrade>,
    ) -> Self {
        Self {
            protocol: Protocol::Http2 {
                body,
                share,
                upgrade,
            },
            alarm: Alarm::default(),
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let broke = |error: UpstreamError| BodyError::Upstream(Box::new(error));
        match &mut self.protocol {
            Protocol::Http1(exchange) => {
                exchange.poll_frame(cx).map_err(|error| broke(error.into()))
            }
            Protocol::Http2 { body, .. } => Pin::new(body)
                .poll_frame(cx)
                .map_err(|error| broke(error.into())),
            Protocol::Switched => Poll::Ready(None),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.protocol {
            Protocol::Http1(exchange) => exchange.is_end_stream(),
            Protocol::Http2 { body, .. } => body.is_end_stream(),
            Protocol::Switched => true,
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.protocol {
            Protocol::Http1(exchange) => exchange.size_hint(),
            Protocol::Http2 { body, .. } => body.size_hint(),
            Protocol::Switched => SizeHint::with_exact(0),
        }
    }

    /// Lends the alarm to whoever times the body.
    pub(crate) fn alarm(&mut self) -> Alarm {
        std::mem::take(&mut self.alarm)
    }

    /// The connection, if it is this exchange's alone and may carry another one.
    pub(crate) fn release(self) -> Option<Connection<Transport>> {
        match self.protocol {
            Protocol::Http1(exchange) => exchange.release(),
            Protocol::Http2 { .. } | Protocol::Switched => None,
        }
    }

    /// Takes the connection out after a 101, or the stream after a CONNECT that was granted.
    pub(crate) fn switch(&mut self) -> Option<Upgraded> {
        match std::mem::replace(&mut self.protocol, Protocol::Switched) {
            Protocol::Http1(exchange) => {
                let (io, read) = exchange.into_parts();
                Some(Upgraded(Tunnel::Http1 { io, read }))
            }
            Protocol::Http2 { share, upgrade, .. } => {
                // hyper has it ready with the answer.
                let io = TokioIo::new(upgrade?.now_or_never()?.ok()?);
                Some(Upgraded(Tunnel::Http2 { io, _share: share }))
            }
            Protocol::Switched => None,
        }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Tunnel::Http1 { read, .. } = &mut self.0
            && !read.is_empty()
        {
            let count = read.len().min(buf.remaining());
            buf.put_slice(&read.split_to(count));
            return Poll::Ready(Ok(()));
        }
        either!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}
