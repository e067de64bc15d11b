//! Idle upstream connections, kept by the worker that opened them: nothing is shared, nothing is locked.
//! A `thread_local` and not a field, so that futures stay `Send`; the price is that only a worker's own thread may call in here.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::{Instant, interval};

use weir_h1::Connection;

use crate::{connect::Transport, multiplex};

struct Idle {
    connection: Connection<Transport>,
    until: Instant,
}

thread_local! {
    static IDLE: RefCell<HashMap<u64, VecDeque<Idle>>> = RefCell::default();
}

/// The connection used last, so that the others can grow old and go; `None`: open one. One on which its server has said anything since,
/// or which it has closed, is not used.
pub(crate) fn take(server: u64) -> Option<Connection<Transport>> {
    let now = Instant::now();
    IDLE.with_borrow_mut(|idle| {
        let queue = idle.get_mut(&server)?;
        while let Some(mut entry) = queue.pop_back() {
            if entry.until > now && entry.connection.is_quiet() {
                return Some(entry.connection);
            }
        }
        None
    })
}

/// Keeps it for `lifetime`; of more than `most` the oldest goes.
pub(crate) fn put(server: u64, connection: Connection<Transport>, lifetime: Duration, most: usize) {
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
                queue.retain_mut(|entry| entry.until > now && entry.connection.is_quiet());
                !queue.is_empty()
            });
        });
    }
}
