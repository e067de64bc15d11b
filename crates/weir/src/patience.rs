//! The clocks of a client's connection between exchanges: how long a request head may take, how long silence may last.
//! One clock for both would have to get a slow head or a patient keep-alive wrong.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Which clock ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// A head was begun and not finished: answered with 408.
    Head,
    /// Nothing came: closed without a word, as every HTTP client expects.
    KeepAlive,
    /// An answer waits and the client takes nothing of it.
    Write,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Patience {
    head: Duration,
    keep_alive: Duration,
    write_stall: Duration,
    /// Since when the socket takes nothing.
    stalled: Mutex<Option<Instant>>,
    /// The same, asked on every write, so outside the lock.
    is_stalled: AtomicBool,
    /// A head began since the last exchange ended. Asked on every read, so outside the lock.
    begun: AtomicBool,
    /// The last exchange was over before its request was read to the end.
    unread: AtomicBool,
    /// All that the client will ever send was read, its FIN included.
    read_out: AtomicBool,
    /// The goodbye of HTTP/2 was answered.
    answered: AtomicBool,
    busy: AtomicU32,
    phase: Mutex<Phase>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Connected and nothing said yet. A browser opens such connections in advance; a 408 would surprise it.
    Fresh(Instant),
    Silent(Instant),
    Head(Instant),
    Busy,
}

impl Patience {
    /// A new connection has the head's time to say its first byte, not the keep-alive time: it came to ask.
    pub(crate) fn new(head: Duration, keep_alive: Duration, write_stall: Duration) -> Arc<Self> {
        Arc::new(Self {
            head,
            keep_alive,
            write_stall,
            stalled: Mutex::new(None),
            is_stalled: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            read_out: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            busy: AtomicU32::new(0),
            phase: Mutex::new(Phase::Fresh(Instant::now())),
        })
    }

    /// Whether any exchange runs.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed) > 0
    }

    /// Whether a first request is still to come, or a head was begun.
    pub(crate) fn awaits_head(&self) -> bool {
        matches!(*lock(&self.phase), Phase::Fresh(_) | Phase::Head(_))
    }

    /// Whether the client may still be sending a request that is answered.
    pub(crate) fn left_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// The client's FIN was read.
    pub(crate) fn finished(&self) {
        self.read_out.store(true, Relaxed);
    }

    /// Whether it was: a close resets nothing then, and is all that is left to say.
    pub(crate) fn is_read_out(&self) -> bool {
        self.read_out.load(Relaxed)
    }

    /// The client of HTTP/2 has answered a PING, and the library sends one only behind its first GOAWAY.
    pub(crate) fn answered(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Whether it has: the library then ends the connection when all has gone out.
    pub(crate) fn was_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// A head has begun, and is not whole. Nothing tells of it in HTTP/2: there silence is counted from the last exchange.
    pub(crate) fn head_began(&self) {
        if !self.begun.swap(true, Relaxed) {
            self.set(Phase::Head(Instant::now()));
        }
    }

    /// The head's time is over, and that is being said. Should nobody hear it, the connection is as a silent one.
    pub(crate) fn head_given_up(&self) {
        self.begun.store(false, Relaxed);
        self.set(Phase::Silent(Instant::now()));
    }

    /// Bytes went to the client. A slow reader of an answer that was handed over whole is not silent.
    pub(crate) fn advanced(&self) {
        if self.is_busy() {
            return;
        }
        if let Phase::Silent(since) = &mut *lock(&self.phase) {
            *since = Instant::now();
        }
    }

    /// The socket was offered bytes, and took some or none. Whether that has changed.
    pub(crate) fn wrote(&self, took: bool) -> bool {
        let changed = self.is_stalled.load(Relaxed) == took;
        if changed {
            self.is_stalled.store(!took, Relaxed);
            *lock(&self.stalled) = (!took).then(Instant::now);
        }
        changed
    }

    /// An exchange runs until the guard is dropped: these clocks stand still.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.begun.store(true, Relaxed);
        self.busy.fetch_add(1, Relaxed);
        self.set(Phase::Busy);
        Busy {
            patience: Arc::clone(self),
            unread: false,
            over: None,
        }
    }

    /// Resolves when one of the clocks has run out.
    pub(crate) async fn overdue(&self) -> Overdue {
        // Nobody wakes this when another clock begins to run, so that an exchange costs no timer: it looks again after the shortest of
        // them. One that began since then cannot be over.
        let shortest = self.head.min(self.keep_alive).min(self.write_stall);
        let shortest = shortest.max(Duration::from_millis(10));
        loop {
            let now = Instant::now();
            let stalled = *lock(&self.stalled);
            let (at, overdue) = match *lock(&self.phase) {
                _ if let Some(since) = stalled => (since + self.write_stall, Overdue::Write),
                Phase::Head(since) => (since + self.head, Overdue::Head),
                Phase::Fresh(since) => (since + self.head, Overdue::KeepAlive),
                Phase::Silent(since) => (since + self.keep_alive, Overdue::KeepAlive),
                Phase::Busy => (now + shortest, Overdue::KeepAlive),
            };
            if at <= now {
                return overdue;
            }
            sleep_until(at.min(now + shortest)).await;
        }
    }

    fn set(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("nothing panics while it holds the lock")
}

/// While it lives, an exchange runs on the connection.
#[derive(Debug)]
pub(crate) struct Busy {
    patience: Arc<Patience>,
    unread: bool,
    over: Option<Instant>,
}

impl Busy {
    /// The answer came before the whole request: the client may still be sending it.
    pub(crate) fn leaves_unread(&mut self) {
        self.unread = true;
    }

    /// The exchange is over, by a clock that somebody has read already.
    pub(crate) fn over(&mut self, at: Instant) {
        self.over = Some(at);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.patience.busy.fetch_sub(1, Relaxed) > 1 {
            return;
        }
        self.patience.begun.store(false, Relaxed);
        self.patience.unread.store(self.unread, Relaxed);
        let over = self.over.unwrap_or_else(Instant::now);
        self.patience.set(Phase::Silent(over));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_and_silence_has_another() {
        let patience = Patience::new(10 * SECOND, 75 * SECOND, 60 * SECOND);
        let began = Instant::now();
        assert_eq!(
            patience.overdue().await,
            Overdue::KeepAlive,
            "nothing was said"
        );
        assert_eq!(began.elapsed().as_secs(), 10);

        drop(patience.busy());
        let began = Instant::now();
        assert_eq!(patience.overdue().await, Overdue::KeepAlive);
        assert_eq!(began.elapsed().as_secs(), 75);

        drop(patience.busy());
        patience.head_began();
        let began = Instant::now();
        assert_eq!(patience.overdue().await, Overdue::Head);
        assert_eq!(began.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_begins_late_in_the_silence_has_no_more_time() {
        let patience = Patience::new(10 * SECOND, 75 * SECOND, 60 * SECOND);
        drop(patience.busy());
        let began = Instant::now();
        let begins = async {
            tokio::time::sleep(35 * SECOND).await;
            patience.head_began();
        };
        let (overdue, ()) = tokio::join!(patience.overdue(), begins);
        assert_eq!(overdue, Overdue::Head);
        assert_eq!(began.elapsed().as_secs(), 45);
    }

    #[tokio::test(start_paused = true)]
    async fn one_exchange_of_several_stops_the_clocks_too() {
        let patience = Patience::new(10 * SECOND, 75 * SECOND, 120 * SECOND);
        let (first, second) = (patience.busy(), patience.busy());
        drop(first);
        tokio::select! {
            _ = patience.overdue() => panic!("an exchange runs"),
            () = tokio::time::sleep(3600 * SECOND) => {}
        }
        drop(second);
        assert_eq!(patience.overdue().await, Overdue::KeepAlive);
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_stops_the_clocks_however_long_it_takes() {
        let patience = Patience::new(10 * SECOND, 75 * SECOND, 60 * SECOND);
        let busy = patience.busy();
        tokio::select! {
            _ = patience.overdue() => panic!("an exchange runs"),
            () = tokio::time::sleep(3600 * SECOND) => {}
        }
        drop(busy);
        let began = Instant::now();
        assert_eq!(patience.overdue().await, Overdue::KeepAlive);
        assert!(began.elapsed() >= 75 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_has_a_clock_also_within_an_exchange() {
        let patience = Patience::new(10 * SECOND, 75 * SECOND, 20 * SECOND);
        let _busy = patience.busy();
        let began = Instant::now();
        patience.wrote(false);
        tokio::time::sleep(15 * SECOND).await;
        patience.wrote(true);
        tokio::time::sleep(SECOND).await;
        patience.wrote(false);
        assert_eq!(patience.overdue().await, Overdue::Write);
        assert_eq!(began.elapsed().as_secs(), 36);
    }
}
