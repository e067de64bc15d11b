//! What runs on a connection beside the connection itself: the streams of HTTP/2, a tunnel. Polled by the connection's own task and
//! dropped with it, so nothing is spawned: cancellation stays Drop, and whoever counts connections counts these too.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use futures_util::{Stream, future::BoxFuture, stream::FuturesUnordered, task::AtomicWaker};

/// Where new ones are put. They start when the connection's task comes round, which is in the same turn.
#[derive(Clone, Default)]
pub(crate) struct Tasks(Arc<Fresh>);

#[derive(Default)]
struct Fresh {
    tasks: Mutex<Vec<BoxFuture<'static, ()>>>,
    /// Whoever runs them.
    runner: AtomicWaker,
}

impl Tasks {
    /// Adds one.
    pub(crate) fn add(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.lock().push(Box::pin(task));
        self.0.runner.wake();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<BoxFuture<'static, ()>>> {
        self.0
            .tasks
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}

/// The connection's side: what was put there, running.
pub(crate) struct Running {
    fresh: Tasks,
    /// From the first on: few connections have any.
    set: Option<FuturesUnordered<BoxFuture<'static, ()>>>,
}

impl Running {
    pub(crate) fn new(fresh: Tasks) -> Self {
        Self { fresh, set: None }
    }

    /// Drives them all; resolves when none is left and `last` says that none will come.
    pub(crate) async fn drive(&mut self, last: bool) {
        poll_fn(|cx| {
            self.fresh.0.runner.register(cx.waker());
            loop {
                let mut fresh = self.fresh.lock();
                if !fresh.is_empty() {
                    self.set.get_or_insert_default().extend(fresh.drain(..));
                }
                drop(fresh);
                let ran = self.set.as_mut().map(|set| Pin::new(set).poll_next(cx));
                match ran.unwrap_or(Poll::Ready(None)) {
                    Poll::Ready(Some(())) => {}
                    // One that ran may have put another there.
                    _ if !self.fresh.lock().is_empty() => {}
                    Poll::Ready(None) if last => return Poll::Ready(()),
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}

impl Drop for Running {
    /// What was put there and never started goes with the connection: it may hold its client, which holds the place it was put in.
    fn drop(&mut self) {
        let never_started = std::mem::take(&mut *self.fresh.lock());
        drop(never_started);
    }
}
