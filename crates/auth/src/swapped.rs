//! Keys that change while they are in use: the gateway hands in newer ones, whoever verifies sees either the old or the new.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};

/// A value that is replaced as a whole, and counts how often.
pub struct Swapped<T> {
    value: ArcSwap<T>,
    generation: AtomicU64,
}

impl<T> Swapped<T> {
    /// The first one.
    pub fn new(value: T) -> Self {
        Self {
            value: ArcSwap::from_pointee(value),
            generation: AtomicU64::new(0),
        }
    }

    /// The one in use now.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.value.load()
    }

    /// From here on this one is used. What was decided with the one before is no longer remembered.
    pub fn replace(&self, value: T) {
        self.value.store(Arc::new(value));
        // After the store: who reads the count first and the value then can only take a new value for an old one.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Grows with every replacement.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

impl<T: fmt::Debug> fmt::Debug for Swapped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}
