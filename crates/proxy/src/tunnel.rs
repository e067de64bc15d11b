//! What an exchange becomes after a 101: bytes both ways, unchanged and uninterpreted, until both sides are done. Each side's end is passed on by
//! itself (half-close). Keeps a clock of its own, and reports to the exchange's observer as a body does.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes},
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};
use weir_h1::Switched;

use crate::{
    Exchange, Upgraded, Upload,
    lease::Lease,
    summary::{Outcome, Summary},
};

/// Read at a time, each way: what a tunnel holds of either side's bytes.
const BUFFER: usize = 16 * 1024;

/// When one side has said all it had to say, so long may the other be silent.
const HALF_OPEN: Duration = Duration::from_secs(60);

/// How long the handshake's answer may take to reach the client.
const ANSWER: Duration = Duration::from_secs(10);

/// A tunnel, ready to run.
pub struct Tunnel {
    /// The client's side, there when the answer has been written.
    pub client: ClientSide,
    /// The upstream's side.
    pub upstream: Upgraded,
    /// The hold on the server.
    pub lease: Lease,
    /// Told how it ended.
    pub exchange: Exchange,
    /// Counts what the client sends.
    pub upload: Arc<Upload>,
    /// How long both may be silent.
    pub idle: Duration,
}

/// The client's side of a tunnel to be.
pub enum ClientSide {
    /// The connection itself, behind a 101.
    Http1(oneshot::Receiver<Switched>),
    /// A stream of it, behind a 2xx to CONNECT.
    Http2(OnUpgrade),
}

impl ClientSide {
    async fn open(self) -> Option<Switched> {
        match self {
            Self::Http1(switched) => switched.await.ok(),
            Self::Http2(upgrade) => {
                let io = TokioIo::new(upgrade.await.ok()?);
                Some(Switched::new(io, Bytes::new()))
            }
        }
    }
}

impl Tunnel {
    /// Runs to the end. Dropped before, it closes both sides and counts as left by the client, or as cut.
    pub async fn run(self) {
        let seat = self.exchange.downstream.seat();
        let mut account = Account {
            exchange: Some(self.exchange),
            traffic: Arc::new(Traffic::new(self.upload)),
        };
        let _lease = self.lease;
        let Upgraded { io, share: _share } = self.upstream;
        let Ok(Some(client)) = timeout(ANSWER, self.client.open()).await else {
            return account.close(Outcome::ClientGone);
        };
        let mut client = Side {
            io: client,
            side: End::Client,
            traffic: Arc::clone(&account.traffic),
        };
        let mut upstream = Side {
            io,
            side: End::Upstream,
            traffic: Arc::clone(&account.traffic),
        };
        let copied = copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER);
        let outcome = tokio::select! {
            biased;
            copied = copied => match (copied, account.traffic.failed()) {
                (Ok(_), _) => Outcome::Complete,
                (Err(_), Some(End::Upstream)) => Outcome::UpstreamFailed,
                (Err(_), _) => Outcome::ClientGone,
            },
            () = seat.was_cut() => Outcome::Shutdown,
            () = account.traffic.silence(self.idle) => Outcome::Idle,
        };
        account.close(outcome);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Client,
    Upstream,
}

/// What passed, and when.
struct Traffic {
    upload: Arc<Upload>,
    sent: AtomicU64,
    state: Mutex<State>,
}

struct State {
    last: Instant,
    half_open: bool,
    failed: Option<End>,
}

impl Traffic {
    fn new(upload: Arc<Upload>) -> Self {
        Self {
            upload,
            sent: AtomicU64::new(0),
            state: Mutex::new(State {
                last: Instant::now(),
                half_open: false,
                failed: None,
            }),
        }
    }

    fn read(&self, side: End, bytes: usize) {
        let mut state = self.state();
        state.last = Instant::now();
        match side {
            _ if bytes == 0 => state.half_open = true,
            End::Client => self.upload.took(bytes),
            End::Upstream => _ = self.sent.fetch_add(bytes as u64, Relaxed),
        }
    }

    fn failed(&self) -> Option<End> {
        self.state().failed
    }

    /// Resolves when both sides have been silent for too long. Looked at again at intervals, so that a byte costs no timer.
    async fn silence(&self, idle: Duration) {
        loop {
            let at = {
                let state = self.state();
                let patience = if state.half_open {
                    idle.min(HALF_OPEN)
                } else {
                    idle
                };
                state.last + patience
            };
            let now = Instant::now();
            if at <= now {
                return;
            }
            // The other side's end may come at any time and shorten it.
            sleep_until(at.min(now + HALF_OPEN)).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}

/// Closes the account once, whatever happens.
struct Account {
    exchange: Option<Exchange>,
    traffic: Arc<Traffic>,
}

impl Account {
    fn close(&mut self, outcome: Outcome) {
        if let Some(Exchange { mut observer, .. }) = self.exchange.take() {
            observer.done(Summary {
                outcome,
                ended: Instant::now(),
                bytes: self.traffic.sent.load(Relaxed),
                first_byte: None,
                stream: None,
                used: None,
                encoded: false,
            });
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let cut = self
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.downstream.is_cut());
        self.close(if cut {
            Outcome::Shutdown
        } else {
            Outcome::ClientGone
        });
    }
}

/// One side of the tunnel, its reads counted and its failure remembered.
struct Side<S> {
    io: S,
    side: End,
    traffic: Arc<Traffic>,
}

impl<S> Side<S> {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.traffic.state().failed.get_or_insert(self.side);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Side<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        if read.is_ok() {
            self.traffic.read(self.side, buf.filled().len() - before);
        }
        Poll::Ready(self.note(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Side<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        Poll::Ready(self.note(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.io).poll_flush(cx));
        Poll::Ready(self.note(flushed))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
        Poll::Ready(self.note(shut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn traffic() -> Arc<Traffic> {
        Arc::new(Traffic::new(Upload::start()))
    }

    /// How long after `began` the clock of an hour runs out, while something happens to the traffic.
    async fn silent_after(traffic: &Traffic, happens: impl Future<Output = ()>) -> u64 {
        let began = Instant::now();
        let ((), ()) = tokio::join!(traffic.silence(HOUR), happens);
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_of_silence_ends_it_and_a_byte_of_either_side_starts_it_anew() {
        let traffic = traffic();
        assert_eq!(silent_after(&traffic, async {}).await, 3600);
        for side in [End::Client, End::Upstream] {
            traffic.read(side, 1);
            let speaks = async {
                tokio::time::sleep(HOUR - Duration::from_secs(1)).await;
                traffic.read(side, 1);
            };
            assert_eq!(silent_after(&traffic, speaks).await, 7199, "{side:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn with_one_side_closed_the_other_has_a_minute() {
        let traffic = traffic();
        let closes = async {
            tokio::time::sleep(Duration::from_secs(1800)).await;
            traffic.read(End::Client, 0);
        };
        assert_eq!(silent_after(&traffic, closes).await, 1860);
    }
}
