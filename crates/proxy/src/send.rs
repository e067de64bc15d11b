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
use weir_h1::Exchange;

use self::{
    attempt::{Deadline, Failed},
    request::Request,
    tries::Tries,
};
use crate::{
    alarm::Alarm,
    connect::Transport,
    error::{BodyError, SendError},
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
    let kept = turn.and_then(|index| Some((index, pool::take(upstream.servers()[index].id())?)));
    let Some((index, kept)) = kept else {
        return Sending(State::Tries(Box::pin(
            tries.run(Request::Http1(request), turn),
        )));
    };
    tries.outgoing.upload.sets_out();
    Sending(State::Kept(Some(FirstTry {
        lease: Lease::new(Arc::clone(upstream), index),
        exchange: Box::new(kept.connection.ask(request)),
        alarm: kept.alarm,
        deadline: Deadline::start(timeouts.headers),
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
    exchange: Box<Exchange<Transport, Body>>,
    alarm: Alarm,
    deadline: Deadline,
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
                    let polled = ready!(trying.poll(cx));
                    let Some(done) = first.take() else {
                        return Poll::Pending;
                    };
                    match polled {
                        Ok(head) => return Poll::Ready(done.answer(head)),
                        Err(failed) => this.0 = done.go_on(failed)?,
                    }
                }
            }
        }
    }
}

impl<'a> FirstTry<'a> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<response::Parts>, Option<weir_h1::Fault<BodyError>>>> {
        if let Poll::Ready(answered) = self.exchange.poll_head(cx) {
            return Poll::Ready(answered.map_err(Some));
        }
        let upload = &self.tries.outgoing.upload;
        self.deadline
            .poll(cx, upload, &mut self.alarm)
            .map(|()| Err(None))
    }

    fn answer(self, head: Box<response::Parts>) -> Result<Answer, SendError> {
        let body = Incoming::http1(self.exchange, self.alarm);
        self.tries.answer(head, body, self.lease)
    }

    /// After its failure; `None`: the answer is late.
    #[cold]
    fn go_on(self, error: Option<weir_h1::Fault<BodyError>>) -> Result<State<'a>, SendError> {
        let failed = error.map_or(Failed::Late, |error| Failed::http1(*self.exchange, error));
        let mut tries = self.tries;
        let request = tries.again(failed, true)?;
        self.lease.retried();
        Ok(State::Tries(Box::pin(tries.run(request, None))))
    }
}
