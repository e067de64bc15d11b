//! The seam to an upstream: a head and a body in, an answer's head and a body that reads from the connection out.
//! Nearly every request goes out on a connection that was kept, and is answered: that is done here, in place. Everything else (no connection,
//! a try that failed, HTTP/2) is `tries`'. Knows nothing of routes, callers or counting.

mod attempt;
mod request;
mod tries;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Method, response, uri::PathAndQuery};
use http_body::Body as _;

use self::{
    attempt::{Asked, End},
    request::Request,
    tries::Tries,
};
use crate::{
    error::SendError,
    incoming::{Incoming, Upgraded},
    lease::Lease,
    outbound::Outbound,
    pool,
    settings::Timeouts,
    source::Upload,
    upstream::UpstreamState,
    watched::Body,
    websocket::Handshake,
};

/// A request as the upstream will see it.
pub struct Outgoing<'a> {
    /// The client's method.
    pub method: &'a Method,
    /// Rewritten path and query.
    pub target: PathAndQuery,
    /// Its headers, decided and not yet written.
    pub headers: &'a Outbound<'a>,
    /// How its body's upload goes.
    pub upload: Arc<Upload>,
    /// The upgrade it asks for; its headers are in the list.
    pub handshake: Option<&'a Handshake>,
}

/// An upstream's answer: its head, and a body still on the connection.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers as sent.
    pub head: Box<response::Parts>,
    /// To be wrapped by [`Body::upstream`].
    pub body: Incoming,
    /// The hold on the server that the body comes from.
    pub lease: Lease,
    /// The connection itself, after a 101 that grants the handshake.
    pub upgraded: Option<Box<Upgraded>>,
}

/// Sends a request and waits for the head of its answer.
///
/// Another server is tried after a failed connect, another connection for a request of which nothing was sent, for any method; an
/// idempotent request without a body also when its connection died before its first answer byte. `settings.retries` is how often that
/// may be, but for kept connections that took nothing: those cost the servers nothing. Dropping the future closes the connection.
pub fn send<'a>(
    upstream: &'a Arc<UpstreamState>,
    timeouts: &'a Timeouts,
    outgoing: Outgoing<'a>,
    body: Body,
) -> Sending<'a> {
    let tries = Tries::new(upstream, timeouts, outgoing, body.is_end_stream());
    let request = tries.request(body);
    let Request::Http1(request) = request else {
        return Sending(State::Tries(Box::pin(tries.run(request, None))));
    };
    let turn = upstream.pick(&[]);
    // The clock was read when the upload began: that is now.
    let now = tries.outgoing.upload.began();
    let kept = turn.and_then(|index| {
        let server = &upstream.servers()[index];
        Some((index, pool::take(server.id(), now)?))
    });
    let Some((index, kept)) = kept else {
        return Sending(State::Tries(Box::pin(
            tries.run(Request::Http1(request), turn),
        )));
    };
    tries.outgoing.upload.sets_out();
    Sending(State::Kept(Some(FirstTry {
        lease: Lease::new(Arc::clone(upstream), index),
        asked: Asked::new(kept, request, timeouts.headers, now),
        tries,
    })))
}

/// A request on its way to its answer's head.
pub struct Sending<'a>(State<'a>);

enum State<'a> {
    /// `None`: it has failed, or is answered.
    Kept(Option<FirstTry<'a>>),
    Tries(Pin<Box<dyn Future<Output = Result<Answer, SendError>> + Send + 'a>>),
}

/// On a connection that was kept.
struct FirstTry<'a> {
    tries: Tries<'a>,
    lease: Lease,
    asked: Asked,
}

impl Future for Sending<'_> {
    type Output = Result<Answer, SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.0 {
                State::Tries(tries) => return tries.as_mut().poll(cx),
                State::Kept(first) => {
                    let Some(trying) = first else {
                        return Poll::Pending;
                    };
                    let upload = &trying.tries.outgoing.upload;
                    let polled = ready!(trying.asked.poll(cx, upload));
                    let Some(done) = first.take() else {
                        return Poll::Pending;
                    };
                    match polled {
                        Ok(head) => return Poll::Ready(done.answer(head)),
                        Err(end) => this.0 = done.go_on(end)?,
                    }
                }
            }
        }
    }
}

impl<'a> FirstTry<'a> {
    fn answer(self, head: Box<response::Parts>) -> Result<Answer, SendError> {
        self.tries.answer(head, self.asked.into_body(), self.lease)
    }

    /// After its failure.
    #[cold]
    fn go_on(self, end: End) -> Result<State<'a>, SendError> {
        let mut tries = self.tries;
        let request = tries.again(self.asked.into_failed(end), true)?;
        self.lease.retried();
        Ok(State::Tries(Box::pin(tries.run(request, None))))
    }
}
