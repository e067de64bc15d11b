//! The only place that knows the runtime: one thread per worker, each with a single-threaded tokio runtime of its own, its own sockets,
//! upstream connections and caches, so that the hot path shares nothing it need not.
//!
//! Futures are spawned as `Send` all the same (measured: `LocalSet` costs 7 % more), so the choice stays in this file.

use std::{io, sync::Arc, thread};

use tokio::sync::mpsc;

use crate::{
    listen::{self, Share},
    shared::Shared,
};

/// The workers of the process.
pub(crate) struct Workers {
    shares: Vec<mpsc::UnboundedSender<Share>>,
    /// Yields when a worker's thread has ended, which only a defect can cause.
    died: mpsc::Receiver<()>,
}

impl Workers {
    /// Starts so many threads.
    pub(crate) fn start(count: usize, shared: &Arc<Shared>) -> io::Result<Self> {
        let (alive, died) = mpsc::channel(1);
        let mut shares = Vec::with_capacity(count);
        for number in 0..count {
            let (send, receive) = mpsc::unbounded_channel();
            shares.push(send);
            let (shared, alive) = (Arc::clone(shared), alive.clone());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            thread::Builder::new()
                .name(format!("weir-{number}"))
                .spawn(move || {
                    let _tells = Death(alive);
                    runtime.block_on(work(receive, shared));
                })?;
        }
        Ok(Self { shares, died })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.shares.len()
    }

    /// Gives each worker its share of an address.
    pub(crate) fn listen(&self, shares: Vec<Share>) {
        for (worker, share) in self.shares.iter().zip(shares) {
            // A worker that is gone has told `died`, and the process ends.
            let _ = worker.send(share);
        }
    }

    /// Resolves when a worker has died: the process must end, or a part of its clients would wait forever.
    pub(crate) async fn died(&mut self) {
        self.died.recv().await;
    }
}

/// Tells of the thread's end, also when it ends by a panic.
struct Death(mpsc::Sender<()>);

impl Drop for Death {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

async fn work(mut shares: mpsc::UnboundedReceiver<Share>, shared: Arc<Shared>) {
    // Spawned, not awaited here: the root future of `block_on` is polled on every wake of anything (measured: 3 %).
    tokio::spawn(weir_proxy::pool::sweep());
    while let Some(share) = shares.recv().await {
        tokio::spawn(listen::accept(share, Arc::clone(&shared)));
    }
}
