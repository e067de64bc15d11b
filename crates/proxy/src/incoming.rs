//! An answer's body, still on its connection: weir's own client's, which reads the socket where it is polled, or hyper's for HTTP/2.
//! Whoever drops it breaks the answer off.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body::{Body as _, SizeHint};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use weir_h1::{Connection, Exchange, Portion, Switched};

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
    Http2(Box<Shared>),
    /// None: the connection became a tunnel.
    Switched,
}

/// A stream of a connection that others use too.
#[derive(Debug)]
struct Shared {
    body: hyper::body::Incoming,
    share: Stream,
    /// After a CONNECT that was granted.
    upgrade: Option<OnUpgrade>,
}

/// What an upstream's connection, or its share of one, is after a handshake that was granted.
#[derive(Debug)]
pub struct Upgraded {
    pub(crate) io: Switched,
    /// Of a connection that others use too.
    pub(crate) share: Option<Stream>,
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
            protocol: Protocol::Http2(Box::new(Shared {
                body,
                share,
                upgrade,
            })),
            alarm: Alarm::default(),
        }
    }

    pub(crate) fn poll_portion(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Portion, BodyError>>> {
        let broke = |error: UpstreamError| BodyError::Upstream(Box::new(error));
        match &mut self.protocol {
            Protocol::Http1(exchange) => exchange
                .poll_portion(cx)
                .map_err(|error| broke(error.into())),
            Protocol::Http2(shared) => Pin::new(&mut shared.body)
                .poll_frame(cx)
                .map_ok(Portion::from)
                .map_err(|error| broke(error.into())),
            Protocol::Switched => Poll::Ready(None),
        }
    }

    /// Pending: there is no more of it for now, and the task is woken when there is; asked of the socket alone, at a third of a poll's cost.
    /// Ready says nothing.
    pub(crate) fn poll_awaited(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.protocol {
            Protocol::Http1(exchange) => match exchange.awaits() {
                Some(transport) => transport.poll_readable(cx),
                None => Poll::Ready(()),
            },
            Protocol::Http2(_) | Protocol::Switched => Poll::Ready(()),
        }
    }

    /// All of it, where it came with the head, as a small answer does.
    pub(crate) fn whole(&mut self) -> Option<Bytes> {
        match &mut self.protocol {
            Protocol::Http1(exchange) => exchange.whole(),
            Protocol::Http2(_) | Protocol::Switched => None,
        }
    }

    /// Whether there is no more of it.
    pub fn is_end_stream(&self) -> bool {
        match &self.protocol {
            Protocol::Http1(exchange) => exchange.is_end_stream(),
            Protocol::Http2(shared) => shared.body.is_end_stream(),
            Protocol::Switched => true,
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.protocol {
            Protocol::Http1(exchange) => exchange.size_hint(),
            Protocol::Http2(shared) => shared.body.size_hint(),
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
            Protocol::Http2(_) | Protocol::Switched => None,
        }
    }

    /// Takes the connection out after a 101, or the stream after a CONNECT that was granted.
    pub(crate) fn switch(&mut self) -> Option<Box<Upgraded>> {
        match std::mem::replace(&mut self.protocol, Protocol::Switched) {
            Protocol::Http1(exchange) => {
                let (io, read) = exchange.into_parts();
                let io = Switched::new(io, read);
                Some(Box::new(Upgraded { io, share: None }))
            }
            Protocol::Http2(shared) => {
                let Shared { share, upgrade, .. } = *shared;
                // hyper has it ready with the answer.
                let io = TokioIo::new(upgrade?.now_or_never()?.ok()?);
                Some(Box::new(Upgraded {
                    io: Switched::new(io, Bytes::new()),
                    share: Some(share),
                }))
            }
            Protocol::Switched => None,
        }
    }
}
