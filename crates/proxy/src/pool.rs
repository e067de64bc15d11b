//! Idle upstream connections, kept by the worker that opened them: nothing is shared, nothing is locked.
//! A `thread_local` and not a field, so that futures stay `Send`; the price is that only a worker's own thread may call in here.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use tokio::time::{Instant, interval};
use weir_h1::Connection;

use crate::{alarm::Alarm, connect::Transport, multiplex};

/// A connection, and what times its exchanges.
pub(crate) struct Kept {
    pub(crate) connection: Connection<Transport>,
    pub(crate) alarm: Alarm,
}

impl From<Connection<Transport>> for Kept {
    fn from(connection: Connection<Transport>) -> Self {
        let alarm = Alarm::default();
        Self { connection, alarm }
    }
}

struct Idle {
    kept: Kept,
    until: Instant,
}

/// Servers are numbered by weir itself: nobody can choose numbers that collide, so no keyed hash is needed.
#[derive(Default)]
struct Numbers(u64);

impl Hasher for Numbers {
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // Knuth's multiplier: the table looks at the upper bits too.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type PerServer<T> = HashMap<u64, T, BuildHasherDefault<Numbers>>;

thread_local! {
    static IDLE: RefCell<PerServer<VecDeque<Idle>>> = RefCell::default();
}

/// The connection used last, so that the others can grow old and go; `None`: open one. One on which its server has said anything since,
/// or which it has closed, is not used.
pub(crate) fn take(server: u64, now: Instant) -> Option<Kept> {
    IDLE.with_borrow_mut(|idle| {
        let queue = idle.get_mut(&server)?;
        while let Some(mut entry) = queue.pop_back() {
            if entry.until > now && entry.kept.connection.is_quiet() {
                return Some(entry.kept);
            }
        }
        None
    })
}

/// Keeps it for so long; of more than `most` the oldest goes.
pub(crate) fn put(server: u64, kept: Kept, until: Instant, most: usize) {
    IDLE.with_borrow_mut(|idle| {
        let queue = idle.entry(server).or_default();
        queue.push_back(Idle { kept, until });
        if queue.len() > most {
            queue.pop_front();
        }
    });
}

/// Lets go of what has been idle too long. Runs for as long as its worker does; each worker spawns one.
pub async fn sweep() {
    let mut tick = interval(Duration::from_millis(500));
    loop {
        tick.tick().await;
        let now = Instant::now();
        multiplex::sweep(now);
        IDLE.with_borrow_mut(|idle| {
            idle.retain(|_, queue| {
                queue.retain_mut(|entry| entry.until > now && entry.kept.connection.is_quiet());
                !queue.is_empty()
            });
        });
    }
}
