//! HTTP/2 connections to servers, kept by the worker that opened them and shared by its exchanges: as many as streams need, so that no server's
//! limit makes an exchange wait, and with windows so wide that a stream nobody reads cannot take its neighbours' share.

use std::{
    cell::RefCell,
    collections::HashMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use hyper::{
    client::conn::http2::{self, Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::{connect::Transport, watched::Body};

/// The most streams of weir on one connection; a server may allow fewer.
const STREAMS: usize = 64;
/// What a server may send on a stream before it is read, and so what a slow reader holds of weir's memory.
const WINDOW: u32 = 128 * 1024;

/// A client with weir's limits.
pub(crate) fn builder(turns: Turns) -> Builder<Turns> {
    let mut builder = Builder::new(turns);
    builder
        // Until the server has said how many: see `Peer::hear`.
        .initial_max_send_streams(0)
        .initial_stream_window_size(WINDOW)
        // All streams stalled at once still leave room: what one of them does not read is nobody else's window.
        .initial_connection_window_size(WINDOW * (STREAMS as u32 + 1))
        .max_header_list_size(64 * 1024)
        .max_send_buf_size(64 * 1024);
    builder
}

/// Runs a connection's tasks. hyper hands out a future that knows the server's settings and is not woken when they come, so whoever waits
/// for them is woken after each turn of the task that reads.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<AtomicWaker>);

impl Turns {
    /// Wakes this one after the next turn.
    pub(crate) fn register(&self, waker: &Waker) {
        self.0.register(waker);
    }
}

impl<F> Executor<F> for Turns
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let waits = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut task = pin!(task);
            poll_fn(|cx| {
                let polled = task.as_mut().poll(cx);
                waits.wake();
                polled
            })
            .await;
        });
    }
}

/// What a server says of itself.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The most streams it takes.
    streams: AtomicUsize,
    /// Whether it takes WebSockets (RFC 8441).
    websockets: AtomicBool,
}

impl Peer {
    /// Reads what has come; whether anything has.
    pub(crate) fn hear(&self, driver: &http2::Connection<TokioIo<Transport>, Body, Turns>) -> bool {
        let streams = driver.current_max_send_streams();
        self.streams.store(streams, Relaxed);
        self.websockets
            .store(driver.is_extended_connect_protocol_enabled(), Relaxed);
        streams > 0
    }
}

struct Multiplexed {
    send: SendRequest<Body>,
    peer: Arc<Peer>,
    load: Arc<Load>,
    idle: Duration,
}

#[derive(Debug)]
struct Load {
    streams: AtomicUsize,
    since: Mutex<Instant>,
}

/// One exchange's share of a connection.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Load>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
        *self
            .0
            .since
            .lock()
            .expect("nothing panics while it holds the lock") = Instant::now();
    }
}

thread_local! {
    static OPEN: RefCell<HashMap<u64, Vec<Multiplexed>>> = RefCell::default();
}

/// A connection that is the others' too.
pub(crate) struct Shared {
    pub(crate) send: SendRequest<Body>,
    /// Whether the server takes them by extended CONNECT.
    pub(crate) websockets: bool,
    /// An abandoned stream is reset by itself.
    pub(crate) share: Stream,
}

/// A share of an open connection to this server that has room; `None`: open one.
pub(crate) fn join(server: u64) -> Option<Shared> {
    OPEN.with_borrow(|open| {
        open.get(&server)?
            .iter()
            .find(|one| {
                let most = STREAMS.min(one.peer.streams.load(Relaxed));
                !one.send.is_closed() && one.load.streams.load(Relaxed) < most
            })
            .map(Multiplexed::share)
    })
}

/// Offers a new connection to everybody on this worker and takes its first share; idle for so long, it is let go.
pub(crate) fn offer(
    server: u64,
    (send, peer): (SendRequest<Body>, Arc<Peer>),
    idle: Duration,
) -> Shared {
    let one = Multiplexed {
        send,
        peer,
        load: Arc::new(Load {
            streams: AtomicUsize::new(0),
            since: Mutex::new(Instant::now()),
        }),
        idle,
    };
    let share = one.share();
    OPEN.with_borrow_mut(|open| open.entry(server).or_default().push(one));
    share
}

/// Lets go of what is closed or has been idle too long; the connection ends with its last share.
pub(crate) fn sweep(now: Instant) {
    let idle = |load: &Load| {
        (load.streams.load(Relaxed) == 0).then(|| {
            now - *load
                .since
                .lock()
                .expect("nothing panics while it holds the lock")
        })
    };
    OPEN.with_borrow_mut(|open| {
        open.retain(|_, all| {
            all.retain(|one| {
                !one.send.is_closed() && idle(&one.load).is_none_or(|idle| idle < one.idle)
            });
            !all.is_empty()
        });
    });
}

impl Multiplexed {
    fn share(&self) -> Shared {
        self.load.streams.fetch_add(1, Relaxed);
        Shared {
            send: self.send.clone(),
            websockets: self.peer.websockets.load(Relaxed),
            share: Stream(Arc::clone(&self.load)),
        }
    }
}
