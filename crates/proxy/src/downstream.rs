//! The client's connection as the exchanges on it see it: what was flushed, whether somebody waits on an upstream, whether the end has come.
//! The binary's accept task owns the socket and writes these facts; bodies and the pipeline read them. Nothing here does IO.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, Waker},
};

use tokio::sync::Notify;

/// Shared by a connection's task, its socket wrapper and the bodies it carries (one at a time in HTTP/1.1, many in HTTP/2). All of them
/// run on one worker, so neither the atomics nor the lock ever contend.
#[derive(Debug, Default)]
pub struct Downstream {
    flushes: AtomicU64,
    unwritten: AtomicBool,
    /// Bodies whose last words are on their way: only these are woken by a flush.
    speaking: AtomicU32,
    seats: Mutex<Seats>,
    waiting: AtomicU32,
    began_waiting: Notify,
    cut: AtomicBool,
    reset: AtomicBool,
    begun: AtomicU32,
    abandoned: AtomicU32,
    flooded: AtomicBool,
    was_abused: Notify,
}

/// How a client can abuse an HTTP/2 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abuse {
    /// It does little else than take requests back (CVE-2023-44487).
    RapidResets,
    /// It sends little else than frames that ask for nothing.
    Flood,
}

/// One waker per exchange on the connection.
#[derive(Debug, Default)]
struct Seats {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Downstream {
    /// Bytes are about to be handed to the socket.
    pub fn writing(&self) {
        self.unwritten.store(true, Relaxed);
    }

    /// Everything handed to the socket so far is written: a body that waits for its last words to leave may go on.
    pub fn flushed(&self) {
        self.unwritten.store(false, Relaxed);
        self.flushes.fetch_add(1, Relaxed);
        if self.speaking.load(Relaxed) > 0 {
            self.wake();
        }
    }

    /// Whether the connection holds nothing that is half written.
    pub fn is_flushed(&self) -> bool {
        !self.unwritten.load(Relaxed)
    }

    /// Streams still running are to end now, with their in-band error: the drain deadline has passed.
    pub fn cut(&self) {
        self.cut.store(true, Relaxed);
        self.wake();
    }

    /// Whether [`Downstream::cut`] was called.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    /// A place for one exchange on this connection.
    pub fn seat(self: &Arc<Self>) -> Seat {
        let mut seats = self.seats();
        let place = seats.free.pop().unwrap_or_else(|| {
            seats.wakers.push(None);
            seats.wakers.len() - 1
        });
        Seat {
            downstream: Arc::clone(self),
            place,
            waits: false,
            said: None,
        }
    }

    /// The same for one that waits on an upstream from now on: a client that closes its sending side has left.
    pub fn wait_on_upstream(self: &Arc<Self>) -> Seat {
        self.waiting.fetch_add(1, Relaxed);
        self.began_waiting.notify_one();
        let mut seat = self.seat();
        seat.waits = true;
        seat
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

    /// An exchange begins.
    pub fn begun(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    /// The client took a request back before there was an answer.
    pub fn abandoned(&self) {
        self.abandoned.fetch_add(1, Relaxed);
        if self.is_abused() {
            self.was_abused.notify_one();
        }
    }

    /// The client sends frames without end.
    pub fn flooded(&self) {
        self.flooded.store(true, Relaxed);
        self.was_abused.notify_one();
    }

    /// Resolves when the client abuses the connection. Of requests taken back that are at least 100, and more than half of all. A
    /// person who presses stop a hundred times has seen most of those answers begin.
    pub async fn was_abused(&self) -> Abuse {
        self.was_abused.notified().await;
        if self.flooded.load(Relaxed) {
            Abuse::Flood
        } else {
            Abuse::RapidResets
        }
    }

    fn is_abused(&self) -> bool {
        let abandoned = self.abandoned.load(Relaxed);
        abandoned >= 100 && abandoned > self.begun.load(Relaxed) / 2
    }

    fn wake(&self) {
        for waker in self.seats().wakers.iter().flatten() {
            waker.wake_by_ref();
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}

/// One exchange's place on its connection, first the pipeline's and then its body's: how it is woken, whether it waits on an upstream, and
/// whether what its body said last has left.
#[derive(Debug)]
pub struct Seat {
    downstream: Arc<Downstream>,
    place: usize,
    waits: bool,
    /// The flushes at the time of its last words.
    said: Option<u64>,
}

impl Seat {
    /// Resolves when [`Downstream::cut`] is called: for an exchange that has no body yet.
    pub async fn was_cut(&self) {
        poll_fn(|cx| {
            if self.downstream.is_cut() {
                return Poll::Ready(());
            }
            self.register(cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Nothing more is awaited of the upstream.
    pub(crate) fn waits_no_more(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.downstream.waiting.fetch_sub(1, Relaxed);
        }
    }

    /// Wakes this exchange at the cut, and at the next flush after its last words.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut seats = self.downstream.seats();
        match &mut seats.wakers[self.place] {
            Some(had) => had.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// The body hands out its last words now.
    pub(crate) fn speaks(&mut self) {
        self.said = Some(self.downstream.flushes.load(Relaxed));
        self.downstream.speaking.fetch_add(1, Relaxed);
    }

    /// Whether these were written. Over HTTP/2 a flush may come between the words and their frame, so nothing may lie half written either.
    pub(crate) fn was_heard(&self) -> bool {
        self.said
            .is_none_or(|said| self.downstream.flushes.load(Relaxed) > said)
            && self.downstream.is_flushed()
    }

    /// The connection it is on.
    pub(crate) fn downstream(&self) -> &Downstream {
        &self.downstream
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.waits_no_more();
        if self.said.is_some() {
            self.downstream.speaking.fetch_sub(1, Relaxed);
        }
        let mut seats = self.downstream.seats();
        seats.wakers[self.place] = None;
        seats.free.push(self.place);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::AtomicUsize,
        task::{Wake, Waker},
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn seated(downstream: &Arc<Downstream>) -> (Seat, Arc<Count>) {
        let (seat, count) = (downstream.seat(), Arc::new(Count::default()));
        seat.register(&Waker::from(Arc::clone(&count)));
        (seat, count)
    }

    #[test]
    fn every_body_on_the_connection_hears_of_the_cut() {
        let downstream = Arc::new(Downstream::default());
        let bodies: Vec<_> = (0..3).map(|_| seated(&downstream)).collect();
        downstream.cut();
        assert!(bodies.iter().all(|(_, woken)| woken.0.load(Relaxed) == 1));
    }

    #[test]
    fn a_flush_wakes_nobody_until_somebody_has_said_its_last() {
        let downstream = Arc::new(Downstream::default());
        let (mut first, woken) = seated(&downstream);
        downstream.flushed();
        assert_eq!(woken.0.load(Relaxed), 0);
        first.speaks();
        assert!(!first.was_heard());
        downstream.writing();
        assert!(!first.was_heard());
        downstream.flushed();
        assert!(first.was_heard());
        assert_eq!(woken.0.load(Relaxed), 1);
        drop(first);
        downstream.flushed();
        assert_eq!(woken.0.load(Relaxed), 1, "its seat is free again");
        assert_eq!(downstream.seat().place, 0);
    }

    #[test]
    fn requests_taken_back_are_abuse_when_they_are_many_and_most() {
        let downstream = Downstream::default();
        for _ in 0..100 {
            assert!(!downstream.is_abused());
            downstream.begun();
            downstream.abandoned();
        }
        assert!(downstream.is_abused());
        (0..200).for_each(|_| downstream.begun());
        assert!(!downstream.is_abused(), "as many were answered");
    }
}
