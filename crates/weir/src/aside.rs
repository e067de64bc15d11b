//! Two futures in one task, of which one is polled only when it was woken itself. A connection's clocks and signals wait for ten things that
//! nearly never happen; asked beside HTTP on every wake of the task, they cost as much as a small request (measured, docs/performance.md).

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Relaxed, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The waker of the future that stands aside.
pub(crate) struct Aside {
    bell: Arc<Bell>,
    waker: Waker,
    /// The task, as the bell knows it: always the same, as a rule.
    task: Option<Waker>,
}

#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Release);
        self.task.wake();
    }
}

impl Aside {
    pub(crate) fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let task = None;
        Self { bell, waker, task }
    }

    /// Another future stands here now, which has not been polled yet.
    pub(crate) fn renew(&self) {
        self.bell.rung.store(true, Release);
    }

    /// Polls it if it was woken since the last time.
    pub(crate) fn poll<F: Future>(
        &mut self,
        cx: &Context<'_>,
        future: Pin<&mut F>,
    ) -> Poll<F::Output> {
        let known = self.task.as_ref();
        if !known.is_some_and(|task| task.will_wake(cx.waker())) {
            self.bell.task.register(cx.waker());
            self.task = Some(cx.waker().clone());
        }
        if !self.bell.rung.load(Relaxed) || !self.bell.rung.swap(false, AcqRel) {
            return Poll::Pending;
        }
        // Ringing took the task's waker out of the bell. Put back behind the swap, so that no ring is missed.
        self.bell.task.register(cx.waker());
        future.poll(&mut Context::from_waker(&self.waker))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn polled_once_and_then_only_when_woken() {
        let (mut aside, notify) = (Aside::new(), Notify::new());
        let mut polls = 0;
        let mut notified = pin!(notify.notified());
        let mut future = pin!(poll_fn(|cx| {
            polls += 1;
            notified.as_mut().poll(cx)
        }));
        aside.renew();
        let cx = Context::from_waker(Waker::noop());
        for _ in 0..5 {
            assert!(aside.poll(&cx, future.as_mut()).is_pending());
        }
        notify.notify_one();
        poll_fn(|cx| aside.poll(cx, future.as_mut())).await;
        assert_eq!(polls, 2);
    }

    #[tokio::test]
    async fn its_waking_wakes_the_task() {
        let (mut aside, notify) = (Aside::new(), Arc::new(Notify::new()));
        aside.renew();
        let later = Arc::clone(&notify);
        tokio::spawn(async move { later.notify_one() });
        let mut notified = pin!(notify.notified());
        poll_fn(|cx| aside.poll(cx, notified.as_mut())).await;
    }
}
