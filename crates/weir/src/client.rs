//! One client connection: accepted, served by hyper until it ends, watched beside hyper for the client's leaving, its clocks kept.
//! What an exchange on it does is the pipeline's; which sockets accept is the listeners'.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use weir_proxy::downstream::Downstream;

use crate::{
    gateway::Gateway,
    ledger,
    life::Stage,
    patience::{Overdue, Patience},
    pipeline,
    shared::Shared,
    socket::{self, Socket},
};

/// The most of a request head, and of an answer not yet written, that one connection holds; in bytes. Longer heads are answered 431.
const BUFFER: usize = 64 * 1024;

/// What the exchanges of a connection need to know of it.
pub(crate) struct Client {
    /// Where it connected from.
    pub(crate) peer: SocketAddr,
    /// What hyper does not tell of it.
    pub(crate) downstream: Arc<Downstream>,
    /// Its clocks between exchanges.
    pub(crate) patience: Arc<Patience>,
    shared: Arc<Shared>,
}

impl Client {
    /// What the whole process shares.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The gateway as configured now; an exchange keeps the one it began with.
    pub(crate) fn gateway(&self) -> Arc<Gateway> {
        self.shared.gateway.load_full()
    }
}

/// Serves a connection to its end. Dropping the future ends every exchange on it: cancellation is Drop.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let _open = shared.meter.connection_opened();
    // Nagle would hold an event back until the one before is acknowledged, up to 40 ms.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut stage = shared.stage.subscribe();
    let settings = shared.gateway.load().plan.client;
    let downstream = Arc::new(Downstream::default());
    let patience = Patience::new(settings.head, settings.keep_alive);
    let stream = Arc::new(stream);
    let client = Arc::new(Client {
        peer,
        downstream: Arc::clone(&downstream),
        patience: Arc::clone(&patience),
        shared: Arc::clone(&shared),
    });
    let service = service_fn(|request| pipeline::handle(Arc::clone(&client), request));
    let socket = Socket::new(
        Arc::clone(&stream),
        Arc::clone(&downstream),
        Arc::clone(&patience),
    );
    let connection = http1::Builder::new()
        .half_close(socket::SEES_CLIENTS_LEAVE)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(socket), service);
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
            () = socket::left(&stream), if !left => left = true,
            () = downstream.began_waiting(), if left => {}
            overdue = patience.overdue() => {
                if overdue == Overdue::Head {
                    ledger::overdue(&shared, peer);
                    // hyper has nothing in flight and would say nothing. A socket that cannot take it needs no answer.
                    let _ = stream.try_write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
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
