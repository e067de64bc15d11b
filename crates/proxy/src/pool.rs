//! Idle upstream connections, kept by the worker that opened them: nothing is shared, nothing is locked.
//! A `thread_local` and not a field, so that futures stay `Send`; the price is that only a worker's own thread may call in here.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::{Instant, interval};

use crate::{lease::Connection, multiplex};

struct Idle {
    connection: Connection,
    until: Instant,
}

thread_local! {
    static IDLE: RefCell<HashMap<u64, VecDeque<Idle>>> = RefCell::default();
}

/// The connection used last, so that the others can grow old and go; `None`: open one.
pub(crate) fn take(server: u64) -> Option<Connection> {
    let now = Instant::now();
    IDLE.with_borrow_mut(|idle| {
        let queue = idle.get_mut(&server)?;
        while let Some(entry) = queue.pop_back() {
            if entry.until > now && !entry.connection.send.is_closed() {
                return Some(entry.connection);
            }
        }
        None
    })
}

/// Keeps it for `lifetime`; of more than `most` the oldest goes.
pub(crate) fn put(server: u64, connection: Connection, lifetime: Duration, most: usize) {
    if connection.send.is_closed() {
        return;
    }
    let until = Instant::now() + lifetime;
    IDLE.with_borrow_mut(|idle| {
        let queue = idle.entry(server).or_default();
        queue.push_back(Idle { connection, until });
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
                queue.retain(|entry| entry.until > now && !entry.connection.send.is_closed());
                !queue.is_empty()
            });
        });
    }
}
