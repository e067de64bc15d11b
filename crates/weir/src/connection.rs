//! Drives a client's connection to its end: hyper's future and what runs beside it, watched for the client's leaving, the clocks kept, the
//! stages of the process passed on. The same for both protocols, which differ only in how they say goodbye.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    client::{Client, Protocol},
    http2, ledger,
    life::Stage,
    line::Wire,
    patience::Overdue,
    tasks::Running,
};

/// To a client whose head did not come in time; hyper has nothing in flight then and would say nothing.
pub(crate) const TOO_LATE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long streams that are cut have for their last words, and an idle HTTP/2 client for its goodbye; then the connection is dropped.
const GOODBYE: Duration = Duration::from_millis(1500);

/// What a client that was let in may still take to ask, when weir has begun to stop: to hyper a connection without a request is idle, and it
/// would be closed with the request already on its way.
const GRACE: Duration = Duration::from_millis(250);

/// See the module.
pub(crate) struct Connection {
    pub(crate) client: Arc<Client>,
    pub(crate) stream: Arc<TcpStream>,
    pub(crate) wire: Wire,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) protocol: Protocol,
}

impl Connection {
    /// `graceful`: tells hyper that this connection takes nothing new.
    pub(crate) async fn drive<C>(&mut self, hyper: C, graceful: impl Fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let client = Arc::clone(&self.client);
        let downstream = &client.downstream;
        let mut hyper = pin!(hyper);
        let mut running = Running::new(client.tasks.clone());
        let (mut over, mut left) = (false, false);
        let (mut dropped_at, mut grace) = (None, None);
        // Accepted while the queue of a closing socket was emptied: told at once.
        self.stage.mark_changed();
        loop {
            tokio::select! {
                biased;
                ended = hyper.as_mut(), if !over => match ended {
                    // After an upgrade the tunnel goes on.
                    Ok(()) => over = true,
                    Err(error) => {
                        ledger::broken(client.shared(), client.peer, &error);
                        break;
                    }
                },
                () = running.drive(over) => break,
                () = self.wire.left(&self.stream, downstream), if !left && !over => left = true,
                () = downstream.began_waiting(), if left => {}
                overdue = client.patience.overdue(), if !over => match (overdue, self.protocol) {
                    (Overdue::KeepAlive, Protocol::Http2) if dropped_at.is_none() => {
                        graceful(hyper.as_mut());
                        dropped_at = Some(Instant::now() + GOODBYE);
                    }
                    (Overdue::KeepAlive, _) => break,
                    (Overdue::Write, _) => {
                        client.shared().meter.connection_error("write_stalled");
                        // What waits to be taken would keep the kernel busy long after.
                        let _ = self.stream.set_zero_linger();
                        break;
                    }
                    (Overdue::Head, _) => {
                        ledger::overdue(client.shared(), client.peer);
                        self.wire.say(&self.stream, TOO_LATE);
                        break;
                    }
                },
                // The sender lives as long as `shared`, so this cannot fail.
                _ = self.stage.changed() => match *self.stage.borrow() {
                    Stage::Serving | Stage::Leaving => {}
                    Stage::Draining if over => {}
                    Stage::Draining
                        if self.protocol == Protocol::Http1 && client.patience.awaits_head() =>
                    {
                        grace = Some(Instant::now() + GRACE);
                    }
                    Stage::Draining => graceful(hyper.as_mut()),
                    Stage::Cutting => {
                        downstream.cut();
                        dropped_at = Some(Instant::now() + GOODBYE);
                    }
                },
                () = at(grace), if !over => {
                    graceful(hyper.as_mut());
                    grace = None;
                }
                how = downstream.was_abused(), if self.protocol == Protocol::Http2 => {
                    ledger::abused(client.shared(), client.peer, how);
                    if downstream.is_flushed() {
                        self.wire.say(&self.stream, http2::CALM_DOWN);
                    }
                    break;
                }
                () = at(dropped_at) => {
                    // A request may have crossed the goodbye.
                    if downstream.is_cut() || !client.patience.is_busy() {
                        break;
                    }
                    dropped_at = Some(Instant::now() + GOODBYE);
                }
            }
            // A client that closed its sending side has left, but only as seen by an exchange that waits on an upstream: an answer of
            // weir's own is still written, for `printf … | nc -N` and for crude health checkers.
            if left && !over && downstream.is_waiting() {
                break;
            }
        }
        if downstream.wants_reset() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
