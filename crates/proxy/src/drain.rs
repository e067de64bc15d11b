//! Reads an abandoned answer to its end, for an upstream that a broken-off request harms. Bounded in time, in bytes and in number.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, timeout};
use weir_h1::Portion;

use crate::{incoming::Incoming, lease::Lease};

/// At most so many answers are read to their end at a time, over the whole process; the next one is cancelled instead.
const MOST: usize = 1024;
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Takes the answer over: the one thing that may outlive its exchange.
pub(crate) fn spawn(mut body: Incoming, lease: Lease, time: Duration, bytes: u64) {
    if RUNNING.fetch_add(1, Relaxed) >= MOST {
        RUNNING.fetch_sub(1, Relaxed);
        return;
    }
    tokio::spawn(async move {
        let to_the_end = async {
            let mut left = bytes;
            while let Some(portion) = poll_fn(|cx| body.poll_portion(cx)).await {
                let size = match portion {
                    Ok(Portion::Data(data)) => data.len() as u64,
                    Ok(Portion::Trailers(_)) => 0,
                    Err(_) => return false,
                };
                let Some(rest) = left.checked_sub(size) else {
                    return false;
                };
                left = rest;
            }
            true
        };
        if timeout(time, to_the_end).await == Ok(true) {
            let alarm = body.alarm();
            lease.release(body, alarm, Instant::now());
        }
        RUNNING.fetch_sub(1, Relaxed);
    });
}
