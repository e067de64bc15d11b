//! One client connection: accepted, served by hyper until it ends, watched beside hyper for the client's leaving, its clocks kept.
//! What an exchange on it does is the pipeline's; which sockets accept is the listeners'.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use http::HeaderMap;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::watch, time::timeout};
use weir_config::plan::Listener;
use weir_proxy::{downstream::Downstream, forwarded::Sender};

use crate::{
    entry,
    gateway::Gateway,
    ledger,
    life::Stage,
    line::{Line, Wire},
    listen,
    patience::{Overdue, Patience},
    pipeline,
    shared::Shared,
    socket::{self, Socket},
    tls::{self, Secured},
};

/// The most of a request head, and of an answer not yet written, that one connection holds; in bytes. Longer heads are answered 431.
const BUFFER: usize = 64 * 1024;

/// What the exchanges of a connection need to know of it.
pub(crate) struct Client {
    /// Where it connected from; by the PROXY protocol's word, where that is spoken.
    pub(crate) peer: SocketAddr,
    /// What hyper does not tell of it.
    pub(crate) downstream: Arc<Downstream>,
    /// Its clocks between exchanges.
    pub(crate) patience: Arc<Patience>,
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

    /// The table of the listener it came in by; `None` after a reload that took it away.
    pub(crate) fn listener<'g>(&self, gateway: &'g Gateway) -> Option<&'g Listener> {
        self.listener.of(&gateway.plan.listeners)
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

/// Serves a connection to its end. Dropping the future ends every exchange on it: cancellation is Drop.
pub(crate) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    listener: listen::Id,
    shared: Arc<Shared>,
) {
    let _open = shared.meter.connection_opened();
    // Nagle would hold an event back until the one before is acknowledged, up to 40 ms.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut stage = shared.stage.subscribe();
    let gateway = shared.gateway.load_full();
    let table = listener.of(&gateway.plan.listeners);
    let entered = tokio::select! {
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
    drop(gateway);
    let stream = Arc::new(stream);
    let Some((wire, secured)) = open(&stream, peer, listener, &shared, &mut stage).await else {
        return;
    };
    let downstream = Arc::new(Downstream::default());
    let patience = Patience::new(settings.head, settings.keep_alive, settings.write_stall);
    let client = Arc::new(Client {
        peer,
        downstream: Arc::clone(&downstream),
        patience: Arc::clone(&patience),
        secured,
        listener,
        shared: Arc::clone(&shared),
    });
    let service = service_fn(|request| pipeline::handle(Arc::clone(&client), request));
    let line = Line::new(wire.clone(), Arc::clone(&downstream), Arc::clone(&patience));
    let connection = http1::Builder::new()
        .half_close(socket::SEES_CLIENTS_LEAVE)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(line), service);
    let mut connection = pin!(connection);
    let mut left = false;
    // Accepted while the queue of a closing socket was emptied: told at once.
    stage.mark_changed();
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    ledger::broken(&shared, peer, &error);
                }
                break;
            }
            () = wire.left(&stream, &downstream), if !left => left = true,
            () = downstream.began_waiting(), if left => {}
            overdue = patience.overdue() => {
                if overdue == Overdue::Head {
                    ledger::overdue(&shared, peer);
                    // hyper has nothing in flight and would say nothing.
                    wire.say(&stream, b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                }
                if overdue == Overdue::Write {
                    shared.meter.connection_error("write_stalled");
                    // What waits to be taken would keep the kernel busy long after.
                    let _ = stream.set_zero_linger();
                }
                break;
            }
            // The sender lives as long as `shared`, so this cannot fail.
            _ = stage.changed() => {}
        }
        match *stage.borrow() {
            Stage::Serving | Stage::Leaving => {}
            Stage::Draining => connection.as_mut().graceful_shutdown(),
            Stage::Cutting => downstream.cut(),
        }
        // A client that closed its sending side has left, but only as seen by an exchange that waits on an upstream: an answer of weir's
        // own is still written, for `printf … | nc -N` and for crude health checkers.
        if left && downstream.is_waiting() {
            break;
        }
    }
    if downstream.wants_reset() {
        let _ = stream.set_zero_linger();
    }
}

/// The connection ready for HTTP: after the handshake, where the listener has TLS. `None` when that failed or took too long.
async fn open(
    stream: &Arc<TcpStream>,
    peer: SocketAddr,
    listener: listen::Id,
    shared: &Shared,
    stage: &mut watch::Receiver<Stage>,
) -> Option<(Wire, Option<Secured>)> {
    let gateway = shared.gateway.load_full();
    let socket = Socket::new(Arc::clone(stream));
    let Some(hosts) = gateway.tls(listener) else {
        return Some((Wire::Clear(socket), None));
    };
    // The drain waits for handshakes as for exchanges, and in the end for neither.
    let shaken = tokio::select! {
        shaken = timeout(gateway.plan.client.handshake, tls::shake(socket, hosts)) => shaken,
        _ = stage.wait_for(|stage| *stage == Stage::Cutting) => return None,
    };
    match shaken {
        Ok(Ok((session, secured))) => return Some((Wire::Tls(session), Some(secured))),
        Ok(Err(failed)) => {
            tracing::debug!(%peer, error = %failed, "TLS handshake failed");
            shared.meter.connection_error(failed.reason);
        }
        Err(_) => shared.meter.connection_error("handshake_timeout"),
    }
    None
}
