//! One client connection from its first byte: in clear or by TLS, which protocol is spoken on it, and the facts that its exchanges share. How it
//! is driven to its end is the connection's business, what an exchange on it does the pipeline's, which sockets accept the listeners'.

use std::{
    convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response, request::Parts};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::watch, time::timeout};
use weir_config::plan::Listener;
use weir_h1::server;
use weir_proxy::{Body, ClientBody, downstream::Downstream, forwarded::Sender};
use weir_wire::Fault;

use crate::{
    connection::{Connection, Word},
    entry,
    flood::Flood,
    gateway::Gateway,
    http2::{self, Streams},
    life::Stage,
    line::Wire,
    listen,
    patience::Patience,
    pipeline,
    preface::Ahead,
    shared::Shared,
    socket::{self, Socket},
    tasks::Tasks,
    tls::{self, Secured},
};

/// What the exchanges of a connection need to know of it.
pub(crate) struct Client {
    /// Where it connected from; by the PROXY protocol's word, where that is spoken.
    pub(crate) peer: SocketAddr,
    /// What hyper does not tell of it.
    pub(crate) downstream: Arc<Downstream>,
    /// Its clocks between exchanges.
    pub(crate) patience: Arc<Patience>,
    /// For what runs beside its exchanges: tunnels.
    pub(crate) tasks: Tasks,
    /// What its TLS handshake settled; `None`: it is in clear.
    pub(crate) secured: Option<Secured>,
    listener: listen::Id,
    shared: Arc<Shared>,
}

impl Client {
    /// Who sent a request with these headers.
    pub(crate) fn sender(&self, gateway: &Gateway, headers: &HeaderMap) -> Sender {
        let https = self.scheme() == "https";
        Sender::find(self.peer.ip(), https, headers, |address| {
            gateway.plan.trusts(address)
        })
    }

    /// The table of the listener it came in by.
    pub(crate) fn listener<'g>(&self, gateway: &'g Gateway) -> Option<&'g Listener> {
        gateway.listener(self.listener)
    }

    /// What the whole process shares.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// `https` or `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secured.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// Whether a request for this host may come over this connection: its handshake must have asked of the client what the host asks now.
    /// Otherwise a certificate shown to one host, or none, would count at another.
    pub(crate) fn is_for(&self, gateway: &Gateway, host: Option<&str>) -> bool {
        let Some(secured) = &self.secured else {
            return true;
        };
        let wanted = gateway
            .tls(self.listener)
            .and_then(|hosts| hosts.find(host).policy());
        wanted == secured.policy
    }

    /// The gateway as configured now; an exchange keeps the one it began with.
    pub(crate) fn gateway(&self) -> Arc<Gateway> {
        self.shared.gateway.load_full()
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 and 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A connection ready for HTTP.
struct Opened {
    wire: Wire,
    protocol: Protocol,
    secured: Option<Secured>,
    ahead: Ahead,
}

/// Serves a connection to its end. Dropping the future ends every exchange on it: cancellation is Drop.
pub(crate) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    listener: listen::Id,
    shared: Arc<Shared>,
) {
    let _open = shared.meter.connection_opened();
    let mut stage = shared.stage.subscribe();
    let gateway = shared.gateway.load_full();
    let table = gateway.listener(listener);
    let entered = tokio::select! {
        biased;
        entered = entry::enter(&mut stream, peer, table, &gateway.plan, &shared) => entered,
        // It has said nothing yet that could be lost.
        _ = stage.wait_for(|stage| *stage == Stage::Cutting) => return,
    };
    let entered = match entered {
        Ok(entered) => entered,
        Err(reason) => return shared.meter.connection_error(reason),
    };
    let peer = entered.peer;
    let settings = gateway.plan.client;
    let stream = Arc::new(stream);
    let opened = open(&stream, peer, listener, &gateway, &shared, &mut stage).await;
    drop(gateway);
    let Some(opened) = opened else {
        return;
    };
    let client = Client {
        peer,
        downstream: Arc::default(),
        patience: Patience::new(settings.head, settings.keep_alive, settings.write_stall),
        tasks: Tasks::default(),
        secured: opened.secured,
        listener,
        shared,
    };
    let client = Arc::new(client);
    let connection = Connection {
        client,
        stream,
        wire: opened.wire,
        stage,
        protocol: opened.protocol,
        of_address: entered.of_address,
    };
    match connection.protocol {
        Protocol::Http1 => serve_http1(connection, opened.ahead).await,
        // Boxed, as the handshake of TLS is: hyper's states are large, and a connection of HTTP/1.1 is not to carry the room for them.
        Protocol::Http2 => Box::pin(serve_http2(connection, opened.ahead)).await,
    }
}

async fn serve_http1(mut connection: Connection, ahead: Ahead) {
    let is_late = ahead.is_late;
    let mut http1 = pin!(server::Connection::new(
        connection.line(Bytes::new(), None),
        ahead.into_bytes(),
        Exchanges {
            client: Arc::clone(&connection.client),
            pipeline: pipeline::handle,
        },
        socket::SEES_CLIENTS_LEAVE,
    ));
    if is_late {
        http1.too_late();
    }
    connection
        .drive(http1, |http1, word| match word {
            Word::Leave => http1.get_mut().leave(),
            Word::TooLate => http1.get_mut().too_late(),
        })
        .await;
}

async fn serve_http2(mut connection: Connection, ahead: Ahead) {
    let client = Arc::clone(&connection.client);
    let patience = client.gateway().plan.client.write_stall;
    let streams = Streams::new(client.tasks.clone(), patience);
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(streams.accepted());
        http2::join_cookies(&mut head.headers);
        let fault = http2::fault(&head.headers);
        let body = ClientBody::Http2(body);
        pipeline::handle(Arc::clone(&client), Box::new(head), body, fault).map(Ok::<_, Infallible>)
    });
    let line = connection.line(ahead.into_bytes(), Some(Flood::new()));
    let hyper = http2::builder(streams.clone()).serve_connection(TokioIo::new(line), service);
    connection
        .drive(pin!(hyper), |hyper, word| match word {
            Word::Leave => hyper.graceful_shutdown(),
            // Nothing tells of its heads.
            Word::TooLate => {}
        })
        .await;
}

/// What HTTP/1.1 asks for its answers: the pipeline, whose future has no name.
struct Exchanges<P> {
    client: Arc<Client>,
    pipeline: P,
}

impl<P, F> server::Service for Exchanges<P>
where
    P: Fn(Arc<Client>, Box<Parts>, ClientBody, Option<Fault>) -> F,
    F: Future<Output = Response<Body>> + 'static,
{
    type Body = Body;
    type Answer = F;

    fn call(&self, request: Request<server::Incoming>, refused: Option<Fault>) -> F {
        let (head, body) = request.into_parts();
        let body = ClientBody::Http1(body);
        (self.pipeline)(Arc::clone(&self.client), Box::new(head), body, refused)
    }

    fn head_began(&self) {
        self.client.patience.head_began();
    }
}

/// The connection ready for HTTP: after the handshake, where the listener has TLS, and after the first bytes where it has not. `None` when
/// that failed or took too long.
async fn open(
    stream: &Arc<TcpStream>,
    peer: SocketAddr,
    listener: listen::Id,
    gateway: &Gateway,
    shared: &Shared,
    stage: &mut watch::Receiver<Stage>,
) -> Option<Opened> {
    let socket = Socket::new(Arc::clone(stream));
    let http2 = gateway
        .listener(listener)
        .is_none_or(|listener| listener.http2);
    let Some(hosts) = gateway.tls(listener) else {
        let mut ahead = Ahead::default();
        let protocol = if http2 {
            sniff(&mut ahead, stream, gateway.plan.client.head, stage).await?
        } else {
            Protocol::Http1
        };
        return Some(Opened {
            wire: Wire::Clear(socket),
            protocol,
            secured: None,
            ahead,
        });
    };
    // The drain waits for handshakes as for exchanges, and in the end for neither.
    let shake = Box::pin(tls::shake(socket, hosts, http2));
    let shaken = tokio::select! {
        shaken = timeout(gateway.plan.client.handshake, shake) => shaken,
        _ = stage.wait_for(|stage| *stage == Stage::Cutting) => return None,
    };
    match shaken {
        Ok(Ok((session, secured))) => {
            return Some(Opened {
                protocol: secured.protocol,
                wire: Wire::Tls(session),
                secured: Some(secured),
                ahead: Ahead::default(),
            });
        }
        Ok(Err(failed)) => {
            tracing::debug!(%peer, error = %failed, "TLS handshake failed");
            shared.meter.connection_error(failed.reason);
        }
        Err(_) => shared.meter.connection_error("handshake_timeout"),
    }
    None
}

/// Which protocol the first bytes are of. They have the head's time.
async fn sniff(
    ahead: &mut Ahead,
    stream: &TcpStream,
    deadline: Duration,
    stage: &mut watch::Receiver<Stage>,
) -> Option<Protocol> {
    tokio::select! {
        biased;
        protocol = timeout(deadline, ahead.protocol(stream)) => match protocol {
            Ok(protocol) => protocol.ok(),
            Err(_) => {
                // Half a preface may be half a request line: whoever began to ask is told.
                ahead.is_late = !ahead.is_empty();
                ahead.is_late.then_some(Protocol::Http1)
            }
        },
        // A client that was let in may still ask until the very end.
        _ = stage.wait_for(|stage| *stage == Stage::Cutting) => None,
    }
}
