//! The client's connection as the exchanges on it see it: what was flushed, whether somebody waits on an upstream, whether the end has come.
//! The binary's accept task owns the socket and writes these facts; bodies and the pipeline read them. Nothing here does IO.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

/// Shared by a connection's task, its socket wrapper and the bodies it carries; all of them run on one worker, so the atomics never contend.
#[derive(Debug, Default)]
pub struct Downstream {
    flushes: AtomicU64,
    waiting: AtomicU32,
    began_waiting: Notify,
    cut: AtomicBool,
    was_cut: Notify,
    reset: AtomicBool,
    body: AtomicWaker,
}

impl Downstream {
    /// Everything handed to the socket so far is written: a body that waits for its last words to leave may go on.
    pub fn flushed(&self) {
        self.flushes.fetch_add(1, Relaxed);
        self.body.wake();
    }

    /// How often everything was written; a body compares two readings.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Relaxed)
    }

    /// Streams still running are to end now, with their in-band error: the drain deadline has passed.
    pub fn cut(&self) {
        self.cut.store(true, Relaxed);
        self.was_cut.notify_waiters();
        self.body.wake();
    }

    /// Whether [`Downstream::cut`] was called.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    /// Resolves when [`Downstream::cut`] is called: for an exchange that has no body yet.
    pub async fn was_cut(&self) {
        let cut = self.was_cut.notified();
        if !self.is_cut() {
            cut.await;
        }
    }

    /// Wakes this body at the next flush or cut. One waker is enough for HTTP/1.1, where a connection carries one body at a time.
    pub(crate) fn register(&self, waker: &Waker) {
        self.body.register(waker);
    }

    /// From now until the guard is dropped an exchange waits on an upstream: a client that closes its sending side has left.
    pub fn wait_on_upstream(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Relaxed);
        self.began_waiting.notify_one();
        Waiting(Arc::clone(self))
    }

    /// Whether any exchange waits on an upstream right now.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Resolves when an exchange begins to wait on an upstream: for a client that had half-closed before.
    pub async fn began_waiting(&self) {
        self.began_waiting.notified().await;
    }

    /// The answer broke and its framing cannot say so (HTTP/1.0, close-delimited): the socket is to be reset, not closed.
    pub(crate) fn demand_reset(&self) {
        self.reset.store(true, Relaxed);
    }

    /// Whether the socket is to be reset instead of closed.
    pub fn wants_reset(&self) -> bool {
        self.reset.load(Relaxed)
    }
}

/// While it lives, an exchange waits on an upstream.
#[derive(Debug)]
pub struct Waiting(Arc<Downstream>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
