//! One try of a request on one connection: the answer's head in time, or what became of the request.

use std::{
    future::{Future, poll_fn},
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Method, StatusCode, response};
use tokio::time::Instant;
use weir_h1::{Exchange, Fault};

use super::request::Request;
use crate::{
    alarm::Alarm,
    connect::Transport,
    error::{BodyError, SendError, UpstreamError},
    incoming::{Incoming, Upgraded},
    multiplex,
    pool::Kept,
    source::Upload,
    watched::Body,
    websocket::Handshake,
};

/// What takes a request.
pub(super) enum Connection {
    Http1(Kept),
    Http2(multiplex::Shared),
}

impl Connection {
    /// Whether a WebSocket can be asked for.
    pub(super) fn takes_websockets(&self) -> bool {
        match self {
            Self::Http1(_) => true,
            Self::Http2(shared) => shared.websockets,
        }
    }
}

/// Why one try gave no answer.
pub(super) enum Failed {
    Late,
    /// Not a byte of it went out.
    Unsent(Request, UpstreamError),
    /// Some did; `heard`: and some came back.
    Broken {
        error: UpstreamError,
        heard: bool,
    },
}

/// What ended a try that gave no answer.
pub(super) enum End {
    Late,
    Fault(Fault<BodyError>),
}

/// A request on an HTTP/1.1 connection, until the head of its answer is there.
pub(super) struct Asked {
    exchange: Box<Exchange<Transport, Body>>,
    alarm: Alarm,
    deadline: Deadline,
}

impl Asked {
    pub(super) fn new(
        kept: Kept,
        request: weir_h1::Request<Body>,
        patience: Duration,
        now: Instant,
    ) -> Self {
        Self {
            exchange: Box::new(kept.connection.ask(request)),
            alarm: kept.alarm,
            deadline: Deadline::start(patience, now),
        }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        upload: &Upload,
    ) -> Poll<Result<Box<response::Parts>, End>> {
        if let Poll::Ready(answered) = self.exchange.poll_head(cx) {
            return Poll::Ready(answered.map_err(End::Fault));
        }
        let late = self.deadline.poll(cx, upload, &mut self.alarm);
        late.map(|()| Err(End::Late))
    }

    /// The answer's body, behind its head.
    pub(super) fn into_body(self) -> Incoming {
        Incoming::http1(self.exchange, self.alarm)
    }

    /// What became of the request.
    #[cold]
    pub(super) fn into_failed(self, end: End) -> Failed {
        let End::Fault(error) = end else {
            return Failed::Late;
        };
        let heard = self.exchange.heard();
        let of_body = matches!(error, Fault::Request(_) | Fault::Length);
        let error = UpstreamError::Http1(error);
        match self.exchange.into_unsent() {
            Some(unsent) if !of_body => Failed::Unsent(Request::Http1(unsent), error),
            _ => Failed::Broken { error, heard },
        }
    }
}

/// See the module.
pub(super) async fn attempt(
    connection: Connection,
    request: Request,
    patience: Duration,
    upload: &Upload,
) -> Result<(Box<response::Parts>, Incoming), Failed> {
    match (connection, request) {
        (Connection::Http1(kept), Request::Http1(request)) => {
            let mut asked = Asked::new(kept, request, patience, Instant::now());
            match poll_fn(|cx| asked.poll(cx, upload)).await {
                Ok(head) => Ok((head, asked.into_body())),
                Err(end) => Err(asked.into_failed(end)),
            }
        }
        // Boxed: it is larger than all the rest, which a request by HTTP/1.1 would carry.
        (Connection::Http2(shared), Request::Http2(request)) => {
            Box::pin(attempt_shared(shared, *request, patience, upload)).await
        }
        _ => unreachable!("an upstream speaks one protocol"),
    }
}

/// The same on a connection that carries others beside it.
async fn attempt_shared(
    mut shared: multiplex::Shared,
    request: http::Request<Body>,
    patience: Duration,
    upload: &Upload,
) -> Result<(Box<response::Parts>, Incoming), Failed> {
    let tunnel = *request.method() == Method::CONNECT;
    let answered = shared.send.try_send_request(request);
    let mut alarm = Alarm::default();
    match in_time(answered, patience, upload, &mut alarm).await? {
        Ok(mut response) => {
            let upgrade = tunnel.then(|| hyper::upgrade::on(&mut response));
            let (head, body) = response.into_parts();
            Ok((Box::new(head), Incoming::http2(body, shared.share, upgrade)))
        }
        Err(mut failed) => Err(match failed.take_message() {
            Some(unsent) => Failed::Unsent(
                Request::Http2(Box::new(unsent)),
                UpstreamError::Http2(failed.into_error()),
            ),
            None => Failed::Broken {
                error: UpstreamError::Http2(failed.into_error()),
                heard: true,
            },
        }),
    }
}

/// The answer, unless its head is late.
async fn in_time<A>(
    answer: impl Future<Output = A>,
    patience: Duration,
    upload: &Upload,
    alarm: &mut Alarm,
) -> Result<A, Failed> {
    let mut answer = std::pin::pin!(answer);
    let mut deadline = Deadline::start(patience, Instant::now());
    poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(answered) => Poll::Ready(Ok(answered)),
        Poll::Pending => deadline.poll(cx, upload, alarm).map(|()| Err(Failed::Late)),
    })
    .await
}

/// When an answer's head is late. The clock runs from the last piece of the upload that was taken, not from its start.
#[derive(Debug)]
struct Deadline {
    at: Instant,
    patience: Duration,
}

impl Deadline {
    fn start(patience: Duration, now: Instant) -> Self {
        Self {
            at: now + patience,
            patience,
        }
    }

    /// Ready: it is late.
    fn poll(&mut self, cx: &mut Context<'_>, upload: &Upload, alarm: &mut Alarm) -> Poll<()> {
        loop {
            ready!(alarm.poll(cx, self.at));
            // A client that is late with its own body has a clock of its own.
            let progressed = if upload.owed() {
                Instant::now() + self.patience
            } else {
                upload.last() + self.patience
            };
            if progressed <= self.at {
                return Poll::Ready(());
            }
            self.at = progressed;
        }
    }
}

/// The connection itself, where the answer hands it over.
pub(super) fn switched(
    head: &mut response::Parts,
    body: &mut Incoming,
    handshake: Option<&Handshake>,
    tunnel: Option<&Handshake>,
) -> Result<Option<Box<Upgraded>>, SendError> {
    if head.status.as_u16() > 599 {
        return Err(SendError::UnknownStatus);
    }
    // hyper tunnels behind a CONNECT for this one of RFC 8441's 2xx.
    if let Some(tunnel) = tunnel.filter(|_| head.status == StatusCode::OK) {
        tunnel.grant(head);
    }
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    let granted =
        handshake.is_some_and(|asked| tunnel.is_some() || asked.is_granted(&head.headers));
    match body.switch().filter(|_| granted) {
        None => Err(SendError::UnexpectedUpgrade),
        upgraded => Ok(upgraded),
    }
}
