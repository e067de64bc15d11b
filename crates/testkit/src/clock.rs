//! How long a test waits: for a future, or for a condition to come true. A test never sleeps to give something time to happen;
//! it waits for the thing itself, and says what it was waiting for when the deadline passes.

use std::{future::Future, time::Duration};

/// How long anything may take before a test gives up. Long, because a busy machine is no fault of weir's; a promise with a
/// bound of its own is measured against that bound, not against this.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Waits for `future`.
///
/// # Panics
/// With `what` when `PATIENCE` is over.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Asks `look` again and again until it gives a value.
///
/// # Panics
/// With `what` when `PATIENCE` is over.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(value) = look().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}
