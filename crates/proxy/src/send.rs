//! The seam to an upstream: a head and a body in, an answer's head and a body that reads from the connection out.
//! Decides what may be tried again; knows nothing of routes, callers or counting.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use http::{
    HeaderMap, Method, StatusCode, Uri, header, response,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body as _;
use tokio::time::{Instant, timeout};
use weir_h1::{Fault, RequestHead};

use crate::{
    alarm::Alarm,
    connect,
    error::{BodyFault, SendError, UpstreamError},
    incoming::{Incoming, Upgraded},
    lease::Lease,
    multiplex,
    outbound::Outbound,
    pool::{self, Kept},
    settings::Timeouts,
    source::Upload,
    upstream::UpstreamState,
    watched::Body,
    websocket::Handshake,
};

/// How often a request is tried again that servers say they have not looked at.
const REFUSALS: u32 = 3;

/// A request as the upstream will see it.
pub struct Outgoing<'a> {
    /// The client's method.
    pub method: &'a Method,
    /// Rewritten path and query.
    pub target: PathAndQuery,
    /// Its headers, decided and not yet written.
    pub headers: &'a Outbound<'a>,
    /// The client's body.
    pub body: Body,
    /// How the body's upload goes.
    pub upload: Arc<Upload>,
    /// The upgrade it asks for; its headers are in the list.
    pub handshake: Option<&'a Handshake>,
}

/// An upstream's answer: its head, and a body still on the connection.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers as sent.
    pub head: response::Parts,
    /// To be wrapped by [`Body::upstream`].
    pub body: Incoming,
    /// The hold on the server that the body comes from.
    pub lease: Lease,
    /// The connection itself, after a 101 that grants the handshake.
    pub upgraded: Option<Upgraded>,
}

/// Sends a request and waits for the head of its answer.
///
/// Another server is tried after a failed connect, another connection for a request of which nothing was sent, for any method; an
/// idempotent request without a body also when its connection died before its first answer byte. `settings.retries` is how often that
/// may be, but for kept connections that took nothing: those cost the servers nothing. Dropping the future closes the connection.
pub async fn send(
    upstream: &Arc<UpstreamState>,
    timeouts: &Timeouts,
    outgoing: Outgoing<'_>,
) -> Result<Answer, SendError> {
    let Outgoing {
        method,
        target,
        headers,
        body,
        upload,
        handshake,
    } = outgoing;
    let http2 = upstream.settings().http2;
    let scheme = upstream.secure().map_or(Scheme::HTTP, |_| Scheme::HTTPS);
    let tunnel = handshake.filter(|_| http2);
    let assemble = |body| {
        if http2 {
            Request::http2(method, &target, headers, body, &scheme, tunnel.is_some())
        } else {
            Request::http1(method, &target, headers, body)
        }
    };
    let idempotent = method.is_idempotent();
    // A body that was partly read cannot be sent twice.
    let replayable = body.is_end_stream() && (idempotent || http2);
    let mut request = assemble(body);
    let mut refusals = REFUSALS;
    let mut retries = upstream.settings().retries;
    let mut died = None;
    loop {
        let (mut lease, connection, reused) = lease(upstream, timeouts.connect, died).await?;
        if handshake.is_some() && !connection.takes_websockets() {
            return Err(SendError::NoWebSockets);
        }
        upload.sets_out();
        let failed = match exchange(connection, request, timeouts.headers, &upload).await {
            Ok((head, _)) if head.status.as_u16() > 599 => return Err(SendError::UnknownStatus),
            Ok((mut head, mut body)) => {
                // hyper tunnels behind a CONNECT for this one of RFC 8441's 2xx.
                if let Some(tunnel) = tunnel.filter(|_| head.status == StatusCode::OK) {
                    tunnel.grant(&mut head);
                }
                let mut upgraded = None;
                if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    let granted = handshake
                        .is_some_and(|asked| tunnel.is_some() || asked.is_granted(&head.headers));
                    upgraded = body.switch().filter(|_| granted);
                    if upgraded.is_none() {
                        return Err(SendError::UnexpectedUpgrade);
                    }
                }
                lease.answers(upload);
                return Ok(Answer {
                    head,
                    body,
                    lease,
                    upgraded,
                });
            }
            Err(failed) => failed,
        };
        match failed {
            Failed::Late => return Err(SendError::HeadersTimeout),
            Failed::Unsent(unsent, error) => {
                // A kept connection was closed behind our back, and they are soon used up; a server that closes fresh ones may go on so.
                if !reused {
                    if retries == 0 {
                        return Err(SendError::Failed(error));
                    }
                    retries -= 1;
                }
                request = unsent;
            }
            Failed::Broken { error, heard } => {
                if let Some(fault) = BodyFault::behind(&error) {
                    return Err(SendError::RequestBody(fault));
                }
                let refused = is_unprocessed(&error) && refusals > 0;
                // What came on a shared connection was perhaps not for this request; so nothing can be told from silence either.
                let silent = !http2 && idempotent && !heard;
                if !replayable || !(refused || (silent && retries > 0)) {
                    return Err(SendError::Failed(error));
                }
                if refused {
                    refusals -= 1;
                } else {
                    retries -= 1;
                }
                request = assemble(Body::empty());
            }
        }
        // A kept connection may have been of a server that has begun anew since; one that kills a fresh one is unwell now.
        died = (!reused).then(|| lease.index());
        lease.retried();
    }
}

/// Whether the server says that it has not looked at the request: REFUSED_STREAM, or GOAWAY naming an earlier one (RFC 9113 section 8.7).
fn is_unprocessed(error: &UpstreamError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (error.is_go_away() || refused);
        }
        cause = error.source();
    }
    false
}

/// A request in the form that its connection takes.
enum Request {
    Http1(weir_h1::Request<Body>),
    Http2(Box<http::Request<Body>>),
}

impl Request {
    fn http1(method: &Method, target: &PathAndQuery, headers: &Outbound<'_>, body: Body) -> Self {
        let mut head = RequestHead::new(method, target);
        headers.write(&mut head);
        Self::Http1(head.body(body))
    }

    /// HTTP/2 names the scheme and the authority in the target. `tunnel`: it asks for a WebSocket.
    fn http2(
        method: &Method,
        target: &PathAndQuery,
        headers: &Outbound<'_>,
        body: Body,
        scheme: &Scheme,
        tunnel: bool,
    ) -> Self {
        let mut map = HeaderMap::with_capacity(headers.headers.len() + 8);
        headers.write(&mut map);
        let host = map.remove(header::HOST);
        let mut parts = Uri::from(target.clone()).into_parts();
        parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        parts.scheme = parts.authority.as_ref().map(|_| scheme.clone());
        let mut request = http::Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() =
            Uri::from_parts(parts).expect("a path, and both of the others or none");
        *request.headers_mut() = map;
        if tunnel {
            Handshake::by_connect(&mut request);
        }
        Self::Http2(Box::new(request))
    }
}

/// What takes a request.
enum Connection {
    Http1(Kept),
    Http2(multiplex::Shared),
}

impl Connection {
    /// Whether a WebSocket can be asked for.
    fn takes_websockets(&self) -> bool {
        match self {
            Self::Http1(_) => true,
            Self::Http2(shared) => shared.websockets,
        }
    }
}

/// A kept connection of the server whose turn it is, or a new one to the first that takes it; and which of the two. `died`: the server on
/// which the try before this one did, whose turn it is only when no other takes it.
async fn lease(
    upstream: &Arc<UpstreamState>,
    connect: Duration,
    mut died: Option<usize>,
) -> Result<(Lease, Connection, bool), SendError> {
    let mut tried: Vec<usize> = died.into_iter().collect();
    let mut error = SendError::NoHealthyServer;
    loop {
        let next = upstream.pick(&tried).or_else(|| {
            died.take()
                .filter(|last| upstream.servers()[*last].is_healthy())
        });
        let Some(index) = next else {
            return Err(error);
        };
        let server = &upstream.servers()[index];
        let leased = || Lease::new(Arc::clone(upstream), index);
        let shared = upstream.settings().http2;
        let had = if shared {
            multiplex::join(server.id()).map(Connection::Http2)
        } else {
            pool::take(server.id()).map(Connection::Http1)
        };
        if let Some(connection) = had {
            return Ok((leased(), connection, true));
        }
        let (to, secure) = (server.server(), upstream.secure());
        let open = async {
            if !shared {
                let connection = connect::open(to, secure).await?;
                return Ok(Connection::Http1(connection.into()));
            }
            let send = connect::open_shared(to, secure).await?;
            let idle = upstream.settings().keep_alive.idle;
            Ok(Connection::Http2(multiplex::offer(server.id(), send, idle)))
        };
        let opened = match timeout(connect, open).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(failed)) => Err(SendError::connecting(failed)),
            Err(_) => Err(SendError::ConnectTimeout),
        };
        server.events.connected(opened.is_ok());
        match opened {
            Ok(connection) => return Ok((leased(), connection, false)),
            Err(failed) => error = failed,
        }
        tried.push(index);
    }
}

/// Why one try gave no answer.
enum Failed {
    Late,
    /// Not a byte of it went out.
    Unsent(Request, UpstreamError),
    /// Some did; `heard`: and some came back.
    Broken {
        error: UpstreamError,
        heard: bool,
    },
}

/// One try on one connection.
async fn exchange(
    connection: Connection,
    request: Request,
    patience: Duration,
    upload: &Upload,
) -> Result<(response::Parts, Incoming), Failed> {
    match (connection, request) {
        (Connection::Http1(kept), Request::Http1(request)) => {
            let mut alarm = kept.alarm;
            let mut exchange = Box::new(kept.connection.ask(request));
            let answered = poll_fn(|cx| exchange.poll_head(cx));
            let error = match in_time(answered, patience, upload, &mut alarm).await? {
                Ok(head) => return Ok((head, Incoming::http1(exchange, alarm))),
                Err(error) => error,
            };
            let heard = exchange.heard();
            let of_body = matches!(error, Fault::Request(_) | Fault::Length);
            let error = UpstreamError::Http1(error);
            Err(match exchange.into_unsent() {
                Some(unsent) if !of_body => Failed::Unsent(Request::Http1(unsent), error),
                _ => Failed::Broken { error, heard },
            })
        }
        (Connection::Http2(mut shared), Request::Http2(request)) => {
            let tunnel = *request.method() == Method::CONNECT;
            let answered = shared.send.try_send_request(*request);
            let mut alarm = Alarm::default();
            match in_time(answered, patience, upload, &mut alarm).await? {
                Ok(mut response) => {
                    let upgrade = tunnel.then(|| hyper::upgrade::on(&mut response));
                    let (head, body) = response.into_parts();
                    Ok((head, Incoming::http2(body, shared.share, upgrade)))
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
        _ => unreachable!("an upstream speaks one protocol"),
    }
}

/// The answer, unless its head is late. The clock runs from the last piece of the upload that was taken, not from its start.
async fn in_time<A>(
    answer: impl Future<Output = A>,
    patience: Duration,
    upload: &Upload,
    alarm: &mut Alarm,
) -> Result<A, Failed> {
    let mut answer = std::pin::pin!(answer);
    let mut deadline = Instant::now() + patience;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(answered) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(answered));
            }
            ready!(alarm.poll(cx, deadline));
            // A client that is late with its own body has a clock of its own.
            let progressed = if upload.owed() {
                Instant::now() + patience
            } else {
                upload.last() + patience
            };
            if progressed <= deadline {
                return Poll::Ready(Err(Failed::Late));
            }
            deadline = progressed;
        }
    })
    .await
}
