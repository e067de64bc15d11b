//! A request's tries until one is answered: which server and which connection each goes to, and what may be tried again.

use std::{sync::Arc, time::Duration};

use http::uri::Scheme;
use tokio::time::{Instant, timeout};

use super::{
    Answer, Outgoing,
    attempt::{Connection, Failed, attempt, switched},
    request::Request,
};
use crate::{
    connect,
    error::{BodyFault, SendError, UpstreamError},
    incoming::Incoming,
    lease::Lease,
    multiplex, pool,
    settings::Timeouts,
    upstream::UpstreamState,
    watched::Body,
};

/// How often a request is tried again that servers say they have not looked at.
const REFUSALS: u32 = 3;

/// See the module.
pub(super) struct Tries<'a> {
    pub(super) upstream: &'a Arc<UpstreamState>,
    pub(super) timeouts: &'a Timeouts,
    pub(super) outgoing: Outgoing<'a>,
    again: Again,
}

impl<'a> Tries<'a> {
    /// `bodyless`: there is no body, so that it can be sent twice; one that was partly read cannot.
    pub(super) fn new(
        upstream: &'a Arc<UpstreamState>,
        timeouts: &'a Timeouts,
        outgoing: Outgoing<'a>,
        bodyless: bool,
    ) -> Self {
        let http2 = upstream.settings().http2;
        let idempotent = outgoing.method.is_idempotent();
        Self {
            again: Again {
                refusals: REFUSALS,
                retries: upstream.settings().retries,
                idempotent,
                replayable: bodyless && (idempotent || http2),
                http2,
            },
            upstream,
            timeouts,
            outgoing,
        }
    }

    /// The request with this body.
    pub(super) fn request(&self, body: Body) -> Request {
        let Outgoing {
            method,
            target,
            headers,
            handshake,
            ..
        } = &self.outgoing;
        if self.again.http2 {
            let secure = self.upstream.secure();
            let scheme = secure.map_or(Scheme::HTTP, |_| Scheme::HTTPS);
            Request::http2(method, target, headers, body, &scheme, handshake.is_some())
        } else {
            Request::http1(method, target, headers, body)
        }
    }

    /// To the answer. `first`: the server whose turn it was found to be, where it has no kept connection.
    pub(super) async fn run(
        mut self,
        mut request: Request,
        mut first: Option<usize>,
    ) -> Result<Answer, SendError> {
        let mut died = None;
        loop {
            let (lease, connection, reused) =
                lease(self.upstream, self.timeouts.connect, first.take(), died).await?;
            if self.outgoing.handshake.is_some() && !connection.takes_websockets() {
                return Err(SendError::NoWebSockets);
            }
            self.outgoing.upload.sets_out();
            let upload = &self.outgoing.upload;
            match attempt(connection, request, self.timeouts.headers, upload).await {
                Ok((head, body)) => return self.answer(head, body, lease),
                Err(failed) => request = self.again(failed, reused)?,
            }
            // A kept connection may have been of a server that has begun anew since; one that kills a fresh one is unwell now.
            died = (!reused).then(|| lease.index());
            lease.retried();
        }
    }

    /// The request, where it may be tried again.
    pub(super) fn again(&mut self, failed: Failed, reused: bool) -> Result<Request, SendError> {
        let unsent = self.again.allows(failed, reused)?;
        Ok(unsent.unwrap_or_else(|| self.request(Body::empty())))
    }

    pub(super) fn answer(
        &self,
        mut head: Box<http::response::Parts>,
        mut body: Incoming,
        mut lease: Lease,
    ) -> Result<Answer, SendError> {
        let handshake = self.outgoing.handshake;
        let tunnel = handshake.filter(|_| self.again.http2);
        let upgraded = switched(&mut head, &mut body, handshake, tunnel)?;
        lease.answers(Arc::clone(&self.outgoing.upload));
        Ok(Answer {
            head,
            body,
            lease,
            upgraded,
        })
    }
}

/// What may be tried again, and how often still.
struct Again {
    refusals: u32,
    retries: u32,
    idempotent: bool,
    replayable: bool,
    http2: bool,
}

impl Again {
    /// The request, if it was not sent; `None`: it is to be made anew.
    #[cold]
    fn allows(&mut self, failed: Failed, reused: bool) -> Result<Option<Request>, SendError> {
        match failed {
            Failed::Late => Err(SendError::HeadersTimeout),
            Failed::Unsent(unsent, error) => {
                // A kept connection was closed behind our back, and they are soon used up; a server that closes fresh ones may go on so.
                if !reused {
                    if self.retries == 0 {
                        return Err(SendError::Failed(error));
                    }
                    self.retries -= 1;
                }
                Ok(Some(unsent))
            }
            Failed::Broken { error, heard } => {
                if let Some(fault) = BodyFault::behind(&error) {
                    return Err(SendError::RequestBody(fault));
                }
                let refused = is_unprocessed(&error) && self.refusals > 0;
                // What came on a shared connection was perhaps not for this request; so nothing can be told from silence either.
                let silent = !self.http2 && self.idempotent && !heard;
                if !self.replayable || !(refused || (silent && self.retries > 0)) {
                    return Err(SendError::Failed(error));
                }
                if refused {
                    self.refusals -= 1;
                } else {
                    self.retries -= 1;
                }
                Ok(None)
            }
        }
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

/// A kept connection of the server whose turn it is, or a new one to the first that takes it; and which of the two. `died`: the server on
/// which the try before this one did, whose turn it is only when no other takes it; `first`: the one whose turn it is.
async fn lease(
    upstream: &Arc<UpstreamState>,
    connect: Duration,
    mut first: Option<usize>,
    mut died: Option<usize>,
) -> Result<(Lease, Connection, bool), SendError> {
    let mut tried: Vec<usize> = died.into_iter().collect();
    let mut error = SendError::NoHealthyServer;
    loop {
        let last = || {
            let last = died.take();
            last.filter(|last| upstream.servers()[*last].is_healthy())
        };
        let next = first.take().or_else(|| upstream.pick(&tried)).or_else(last);
        let Some(index) = next else {
            return Err(error);
        };
        let leased = || Lease::new(Arc::clone(upstream), index);
        if let Some(connection) = kept(upstream, index) {
            return Ok((leased(), connection, true));
        }
        // Boxed: seldom needed, and of more than a KiB, which every request would carry.
        match Box::pin(open(upstream, index, connect)).await {
            Ok(connection) => return Ok((leased(), connection, false)),
            Err(failed) => error = failed,
        }
        tried.push(index);
    }
}

/// A connection that is there already.
fn kept(upstream: &UpstreamState, index: usize) -> Option<Connection> {
    let server = upstream.servers()[index].id();
    if upstream.settings().http2 {
        multiplex::join(server).map(Connection::Http2)
    } else {
        pool::take(server, Instant::now()).map(Connection::Http1)
    }
}

/// A new one.
async fn open(
    upstream: &UpstreamState,
    index: usize,
    connect: Duration,
) -> Result<Connection, SendError> {
    let server = &upstream.servers()[index];
    let (to, secure) = (server.server(), upstream.secure());
    let open = async {
        if !upstream.settings().http2 {
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
    opened
}
