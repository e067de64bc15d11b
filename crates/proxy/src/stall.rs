//! Whether a client takes what its answer hands out. An HTTP/2 client can leave a stream's window shut for ever; hyper then holds the last
//! piece and asks the body for no more, so the body cannot notice. It writes down here when it was last asked and last gave, and the
//! task that drives the stream reads it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::time::Instant;

/// See the module. Shared by a stream's task and its body.
#[derive(Debug, Default)]
pub struct Stall {
    since: Mutex<Option<Instant>>,
    given_up: AtomicBool,
}

impl Stall {
    /// For a new stream.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Since when a piece waits for the client; `None`: nothing does.
    pub fn since(&self) -> Option<Instant> {
        *self.lock()
    }

    /// The stream is about to be reset for it: the body's account says so.
    pub fn give_up(&self) {
        self.given_up.store(true, Relaxed);
    }

    /// Whether it was.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }

    /// The body has handed out a piece.
    pub fn gave(&self) {
        *self.lock() = Some(Instant::now());
    }

    /// The body is asked for the next one, so the last was taken.
    pub fn asked(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.since
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}
