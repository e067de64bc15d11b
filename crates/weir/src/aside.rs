//! Two futures in one task, of which one is polled only when it was woken itself. A connection's clocks and signals wait for ten things that
//! nearly never happen; asked beside HTTP on every wake of the task, they cost as much as a small request (measured, docs/performance.md).

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The waker of the future that stands aside.
pub(crate) struct Aside {
    bell: Arc<Bell>,
    waker: Waker,
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
        Self { bell, waker }
    }

    /// Another future stands here now, which has not been polled yet.
    pub(crate) fn renew(&self) {
        self.bell.rung.store(true, Release);
    }

    /// Polls it if it was woken since the last time.
    pub(crate) fn poll<F: Future>(&self, cx: &Context<'_>, future: Pin<&mut F>) -> Poll<F::Output> {
        // Every time, and before the swap. Ringing takes the task's waker out, in a second step behind `rung`: a ring of another thread that is
        // between the two would otherwise take the one that this poll leaves, and every later ring would wake nobody.
        self.bell.task.register(cx.waker());
        if self.bell.rung.swap(false, AcqRel) {
            future.poll(&mut Context::from_waker(&self.waker))
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn},
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering::Acquire},
    };

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn polled_once_and_then_only_when_woken() {
        let (aside, notify) = (Aside::new(), Notify::new());
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
        let (aside, notify) = (Aside::new(), Arc::new(Notify::new()));
        aside.renew();
        let later = Arc::clone(&notify);
        tokio::spawn(async move { later.notify_one() });
        let mut notified = pin!(notify.notified());
        poll_fn(|cx| aside.poll(cx, notified.as_mut())).await;
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, AcqRel);
        }
    }

    /// Another thread's ring, with a poll between its two steps.
    #[test]
    fn a_poll_in_the_middle_of_a_ring_makes_no_later_ring_unheard() {
        let (aside, woken) = (Aside::new(), Arc::new(Woken::default()));
        let task = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&task);
        let mut future = pin!(pending::<()>());
        aside.bell.rung.store(true, Release);
        assert!(aside.poll(&cx, future.as_mut()).is_pending());
        aside.bell.task.wake();
        assert!(aside.poll(&cx, future.as_mut()).is_pending());
        let before = woken.0.load(Acquire);
        aside.waker.wake_by_ref();
        assert_eq!(woken.0.load(Acquire), before + 1);
    }
}
