//! Between the workers and the writer: one batch of lines to be, which the writer takes as a whole.
//!
//! Rejected: a channel of lines. It bounds their number, not their bytes, costs an allocation per line, and wakes the writer for each.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prometheus::IntCounter;

use super::{
    record::{Form, Records},
    sink::Sink,
};

/// Most bytes waiting: some ten thousand lines, of which a last one may be too many. There may be as many again in the writer's hands, beside
/// the lines that it puts together.
const ROOM: usize = 4 << 20;

/// With so many bytes waiting the writer gathers no longer.
const ENOUGH: usize = ROOM / 8;

/// How long the writer gathers lines before it writes them: under load it then wakes ten times a second, not once a request. Each time costs a
/// wake-up, a look at the file and a write, and whatever the workers had in the caches of its core; at five milliseconds these were six
/// percent of weir's CPU in a duet at a thousand requests a second. Whoever flushes or closes does not wait for it.
const GATHER: Duration = Duration::from_millis(100);

/// Lines that are put together and written at once: a few hundred kilobytes, or 8 MB where all their texts are as long as can be.
const TOGETHER: usize = 512;

/// Between the workers and the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    /// The writer waits here for lines, or for somebody in a hurry.
    work: Condvar,
    /// Those who flush wait here.
    written: Condvar,
    dropped: IntCounter,
}

#[derive(Default)]
struct State {
    batch: Records,
    /// Batches the writer has taken, and those that it is done with.
    taken: u64,
    done: u64,
    /// The writer sleeps until somebody wakes it.
    asleep: bool,
    /// Somebody waits, or there is enough: do not gather.
    hurry: bool,
    closed: bool,
}

impl Queue {
    pub(super) fn new(dropped: IntCounter) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            work: Condvar::new(),
            written: Condvar::new(),
            dropped,
        })
    }

    /// Lets `add` append one line, or drops it if there is no room.
    pub(super) fn push(&self, add: impl FnOnce(&mut Records)) {
        let mut state = self.lock();
        if state.batch.size() >= ROOM {
            drop(state);
            self.dropped.inc();
            return;
        }
        add(&mut state.batch);
        let enough = state.batch.size() > ENOUGH && !std::mem::replace(&mut state.hurry, true);
        let wake = std::mem::take(&mut state.asleep) || enough;
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Waits until what was pushed before is written; whether it was in time.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        let batch = state.taken + u64::from(!state.batch.is_empty());
        while state.done < batch {
            state.hurry = true;
            self.work.notify_one();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .written
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// The writer ends when it has written what is there.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    /// The writer's life.
    pub(super) fn drain_into(&self, mut sink: Sink, form: &Form) {
        let mut batch = Records::default();
        let mut failing = false;
        while self.take(&mut batch) {
            batch.lines(form, TOGETHER, |text, lines| match sink.write(text) {
                Ok(()) => failing = false,
                Err(error) => {
                    self.dropped.inc_by(lines);
                    // Once per trouble, not once per batch; the metric has the extent.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "cannot write the access log"
                        );
                    }
                }
            });
            self.lock().done += 1;
            self.written.notify_all();
        }
    }

    /// Waits for lines and swaps them into `batch`; false: closed and empty.
    fn take(&self, batch: &mut Records) -> bool {
        // A burst may have made it large; an idle weir shall not keep it.
        batch.clear(ROOM / 64);
        let mut state = self.lock();
        while state.batch.is_empty() {
            if state.closed {
                return false;
            }
            state.asleep = true;
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        let gathered = self
            .work
            .wait_timeout_while(state, GATHER, |state| !state.hurry && !state.closed);
        state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        state.hurry = false;
        state.taken += 1;
        std::mem::swap(&mut state.batch, batch);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Format;

    fn push(queue: &Queue, line: &[u8]) {
        queue.push(|records| records.line(line));
    }

    fn form() -> Form {
        Form {
            format: Format::Json,
            service: "weir".into(),
        }
    }

    fn counter() -> IntCounter {
        IntCounter::new("c", "c").expect("a valid name")
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let dropped = counter();
        let queue = Queue::new(dropped.clone());
        let line = vec![b'x'; ROOM / 4];
        for _ in 0..6 {
            push(&queue, &line);
        }
        assert_eq!(dropped.get(), 2);
        assert!(!queue.flush(Duration::from_millis(1)), "nobody writes");
    }

    #[test]
    fn a_batch_that_cannot_be_written_is_counted_and_does_not_end_the_writer() {
        let dropped = counter();
        let queue = Queue::new(dropped.clone());
        let writer = Arc::clone(&queue);
        let thread = std::thread::spawn(move || writer.drain_into(Sink::broken(), &form()));
        for expected in [2, 4] {
            push(&queue, b"a\n");
            push(&queue, b"b\n");
            assert!(queue.flush(Duration::from_secs(30)));
            assert_eq!(dropped.get(), expected);
        }
        queue.close();
        thread.join().expect("no panic");
    }

    #[test]
    fn a_flood_is_not_gathered_until_there_is_no_room() {
        let queue = Queue::new(counter());
        push(&queue, &vec![b'x'; ENOUGH / 2]);
        assert!(!queue.lock().hurry);
        push(&queue, &vec![b'x'; ENOUGH / 2]);
        assert!(queue.lock().hurry);
    }

    #[test]
    fn closing_an_idle_queue_ends_the_writer() {
        let queue = Queue::new(counter());
        let writer = Arc::clone(&queue);
        let thread = std::thread::spawn(move || writer.drain_into(Sink::broken(), &form()));
        queue.close();
        thread.join().expect("no panic");
        assert!(queue.flush(Duration::ZERO), "nothing is left");
    }
}
