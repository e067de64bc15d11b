//! The seam to an upstream: a head and a body in, an answer's head and a body that reads from the connection out.
//! Decides what may be tried again; knows nothing of routes, callers or counting.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, response,
    uri::{Authority, Scheme},
};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    connect,
    error::{BodyFault, SendError},
    lease::{Connection, Lease},
    multiplex, pool,
    settings::Timeouts,
    source::Upload,
    upstream::UpstreamState,
    watched::Body,
    websocket::Handshake,
};

/// How often a request is tried again that servers say they have not looked at.
const REFUSALS: u32 = 3;

/// A request as the upstream will see it.
#[derive(Debug)]
pub struct Outgoing {
    /// The client's method.
    pub method: Method,
    /// Origin-form target: rewritten path and query.
    pub target: Uri,
    /// The list made by [`crate::outbound::Outbound`].
    pub headers: HeaderMap,
    /// The client's body.
    pub body: Body,
    /// How the body's upload goes.
    pub upload: Arc<Upload>,
    /// The upgrade it asks for; its headers are in the list.
    pub handshake: Option<Handshake>,
}

/// An upstream's answer: its head, and a body still on the connection.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers as sent.
    pub head: response::Parts,
    /// To be wrapped by [`Body::upstream`].
    pub body: Incoming,
    /// The connection the body comes from.
    pub lease: Lease,
    /// The connection itself, after a 101 that grants the handshake.
    pub upgraded: Option<OnUpgrade>,
}

/// Sends a request and waits for the head of its answer.
///
/// Another server is tried after a failed connect, another connection for a request that provably was not sent (hyper hands it back), for
/// any method; an idempotent request without a body also when a kept connection died before its first answer byte, `settings.retries` times.
/// Dropping the future closes the connection.
pub async fn send(
    upstream: &Arc<UpstreamState>,
    timeouts: &Timeouts,
    outgoing: Outgoing,
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
    let idempotent = method.is_idempotent();
    let replayable = body.is_end_stream() && (idempotent || http2);
    // A copy only where it could be used: a body that was partly read cannot be sent twice.
    let spare = replayable.then(|| (method.clone(), target.clone(), headers.clone()));
    let scheme = upstream.secure().map_or(Scheme::HTTP, |_| Scheme::HTTPS);
    let scheme = http2.then_some(scheme);
    let tunnel = handshake.as_ref().filter(|_| http2);
    let mut request = assemble(method, target, headers, body, scheme.as_ref());
    if tunnel.is_some() {
        Handshake::by_connect(&mut request);
    }
    let mut refusals = REFUSALS;
    let mut retries = upstream.settings().retries;
    loop {
        let (mut lease, reused) = lease(upstream, timeouts.connect).await?;
        if handshake.is_some() && !lease.connection().send.takes_websockets() {
            return Err(SendError::NoWebSockets);
        }
        let failed = match exchange(&mut lease, request, timeouts.headers, &upload).await {
            Ok(mut response) => {
                // hyper tunnels behind a CONNECT for this one of RFC 8441's 2xx.
                let granted = tunnel.filter(|_| response.status() == StatusCode::OK);
                let switches =
                    granted.is_some() || response.status() == StatusCode::SWITCHING_PROTOCOLS;
                let proves = |asked: &Handshake| asked.is_granted(response.headers());
                if switches && granted.is_none() && !handshake.as_ref().is_some_and(proves) {
                    return Err(SendError::UnexpectedUpgrade);
                }
                lease.answers(&upload);
                let upgraded = switches.then(|| hyper::upgrade::on(&mut response));
                let (mut head, body) = response.into_parts();
                if let Some(handshake) = granted {
                    handshake.grant(&mut head);
                }
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
                // Only a kept connection can have been closed behind our back; a fresh one that takes nothing is an error.
                if !reused {
                    return Err(SendError::Failed(error));
                }
                request = *unsent;
            }
            Failed::Broken(error) => {
                if let Some(fault) = BodyFault::behind(&error) {
                    return Err(SendError::RequestBody(fault));
                }
                let heard = lease.connection().facts.heard.load(Relaxed);
                let refused = is_unprocessed(&error) && refusals > 0;
                // What came on a shared connection was perhaps not for this request; so nothing can be told from silence either.
                let died = !http2 && idempotent && reused && !heard;
                let again = refused || (died && retries > 0);
                let Some((method, target, headers)) = spare.as_ref().filter(|_| again) else {
                    return Err(SendError::Failed(error));
                };
                if refused {
                    refusals -= 1;
                } else {
                    retries -= 1;
                }
                request = assemble(
                    method.clone(),
                    target.clone(),
                    headers.clone(),
                    Body::empty(),
                    scheme.as_ref(),
                );
                if tunnel.is_some() {
                    Handshake::by_connect(&mut request);
                }
            }
        }
        lease.retried();
    }
}

/// Whether the server says that it has not looked at the request: REFUSED_STREAM, or GOAWAY naming an earlier one (RFC 9113 section 8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
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

/// `scheme`: for HTTP/2, which names it and the authority in the target.
fn assemble(
    method: Method,
    mut target: Uri,
    mut headers: HeaderMap,
    body: Body,
    scheme: Option<&Scheme>,
) -> Request<Body> {
    if let Some(scheme) = scheme {
        let host = headers.remove(header::HOST);
        let mut parts = target.into_parts();
        parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        parts.scheme = parts.authority.as_ref().map(|_| scheme.clone());
        target = Uri::from_parts(parts).expect("a path, and both of the others or none");
    } else if !body.is_end_stream() && body.size_hint().exact().is_none() {
        // hyper's client would silently drop the unsized body of a GET; naming the coding makes it send any.
        headers.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    request
}

/// A kept connection of the server whose turn it is, or a new one to the first that takes it.
async fn lease(
    upstream: &Arc<UpstreamState>,
    connect: Duration,
) -> Result<(Lease, bool), SendError> {
    let mut tried = Vec::new();
    let mut error = SendError::NoHealthyServer;
    while let Some(index) = upstream.pick(&tried) {
        let server = &upstream.servers()[index];
        let shared = upstream.settings().http2;
        let had = if shared {
            multiplex::join(server.id())
        } else {
            kept(server.id()).await
        };
        if let Some(connection) = had {
            return Ok((Lease::new(Arc::clone(upstream), index, connection), true));
        }
        let (to, secure) = (server.server(), upstream.secure());
        let open = async {
            if !shared {
                return connect::open(to, secure).await;
            }
            let send = connect::open_shared(to, secure).await?;
            let idle = upstream.settings().keep_alive.idle;
            Ok(multiplex::offer(server.id(), send, idle))
        };
        let opened = match timeout(connect, open).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(failed)) => Err(SendError::connecting(failed)),
            Err(_) => Err(SendError::ConnectTimeout),
        };
        server.events.connected(opened.is_ok());
        match opened {
            Ok(connection) => {
                return Ok((Lease::new(Arc::clone(upstream), index, connection), false));
            }
            Err(failed) => error = failed,
        }
        tried.push(index);
    }
    Err(error)
}

/// How long a kept connection has to become ready.
const READY: Duration = Duration::from_millis(50);

async fn kept(server: u64) -> Option<Connection> {
    while let Some(mut connection) = pool::take(server) {
        // Just returned, its task may not have run yet: this waits one turn, or says that the connection is gone. One that still is not
        // ready after so long is not worth more waiting than a new one costs.
        if let Ok(Ok(())) = timeout(READY, connection.send.ready()).await {
            return Some(connection);
        }
    }
    None
}

/// Why one try gave no answer.
enum Failed {
    Late,
    Unsent(Box<Request<Body>>, hyper::Error),
    Broken(hyper::Error),
}

/// One try on one connection. The clock runs from the last piece of the upload that was taken, not from its start.
async fn exchange(
    lease: &mut Lease,
    request: Request<Body>,
    patience: Duration,
    upload: &Upload,
) -> Result<http::Response<Incoming>, Failed> {
    lease.connection().facts.heard.store(false, Relaxed);
    let mut answer = std::pin::pin!(lease.connection().send.send(request));
    let mut deadline = Instant::now() + patience;
    loop {
        tokio::select! {
            biased;
            answered = &mut answer => {
                return answered.map_err(|mut failed| match failed.take_message() {
                    Some(unsent) => Failed::Unsent(Box::new(unsent), failed.into_error()),
                    None => Failed::Broken(failed.into_error()),
                });
            }
            () = sleep_until(deadline) => {
                // A client that is late with its own body has a clock of its own.
                let progressed = if upload.owed() {
                    Instant::now() + patience
                } else {
                    upload.last() + patience
                };
                if progressed <= deadline {
                    return Err(Failed::Late);
                }
                deadline = progressed;
            }
        }
    }
}
