//! The hold one exchange has on one upstream connection. Let go cleanly it returns to the worker's pool; dropped in any other way it
//! closes the connection at once, which is how a departed client reaches the upstream: cancellation is Drop.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use futures_util::future::Either;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use tokio::task::JoinHandle;

use crate::{
    line::Facts, multiplex::Stream, pool, source::Upload, upstream::UpstreamState, watched::Body,
};

/// An open connection to a server, or a share of one, and the task that drives it (hyper's client needs one; it ends with this value).
pub(crate) struct Connection {
    pub(crate) send: Sender,
    /// `None` for a share: the connection is the others' too, and an abandoned stream is reset by itself.
    pub(crate) driver: Option<JoinHandle<()>>,
    /// What hyper does not tell of it.
    pub(crate) facts: Arc<Facts>,
}

/// What takes a request.
pub(crate) enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2 {
        send: http2::SendRequest<Body>,
        /// Whether the server takes them by extended CONNECT.
        websockets: bool,
        _share: Stream,
    },
}

impl Sender {
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(send) => send.is_closed(),
            Self::Http2 { send, .. } => send.is_closed(),
        }
    }

    /// Whether a WebSocket can be asked for.
    pub(crate) fn takes_websockets(&self) -> bool {
        match self {
            Self::Http1(_) => true,
            Self::Http2 { websockets, .. } => *websockets,
        }
    }

    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(send) => send.ready().await,
            Self::Http2 { send, .. } => send.ready().await,
        }
    }

    pub(crate) fn send(
        &mut self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        match self {
            Self::Http1(send) => Either::Left(send.try_send_request(request)),
            Self::Http2 { send, .. } => Either::Right(send.try_send_request(request)),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Without this, hyper would first see the request through its states; the socket closes with the task, at its next turn.
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// See the module.
pub struct Lease {
    upstream: Arc<UpstreamState>,
    server: usize,
    connection: Option<Connection>,
    upload: Option<Arc<Upload>>,
}

impl Lease {
    pub(crate) fn new(upstream: Arc<UpstreamState>, server: usize, connection: Connection) -> Self {
        upstream.servers()[server].begin();
        Self {
            upstream,
            server,
            connection: Some(connection),
            upload: None,
        }
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.connection
            .as_mut()
            .expect("taken only by release, which consumes the lease")
    }

    /// The server it is on, as text.
    pub fn server(&self) -> &Arc<str> {
        self.upstream.servers()[self.server].label()
    }

    /// Its request is tried again on another connection.
    pub(crate) fn retried(&self) {
        self.upstream.servers()[self.server].events.retried();
    }

    /// The answer came to the request whose body this is.
    pub(crate) fn answers(&mut self, upload: &Arc<Upload>) {
        self.upload = Some(Arc::clone(upload));
    }

    /// Whether that body broke on the client's side.
    pub(crate) fn request_broke(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.broke())
    }

    /// The exchange ended cleanly: the connection may carry another, unless the server said more than it was asked, or had its say before it
    /// was sent the whole request.
    pub(crate) fn release(mut self) {
        let half_sent = self.upload.as_ref().is_some_and(|upload| !upload.done());
        if half_sent || self.connection().facts.spent.load(Relaxed) {
            return;
        }
        if let Some(connection) = self.connection.take()
            && connection.driver.is_some()
        {
            let server = &self.upstream.servers()[self.server];
            pool::put(
                server.id(),
                connection,
                self.upstream.settings().keep_alive.idle,
                self.upstream.idle_per_worker(),
            );
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.servers()[self.server].end();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Lease({})",
            self.upstream.servers()[self.server].server()
        )
    }
}
