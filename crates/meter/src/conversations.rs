//! How many distinct conversations have a stream open now.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::IntGauge;

/// Most conversations told apart; beyond them new ones are not counted. At 16 bytes each the table stays under 4 MiB.
const MOST: usize = 100_000;

/// Streams per conversation. One lock serves: it is taken twice in the life of a stream.
pub(crate) struct Conversations {
    /// By a keyed hash of the id: the id itself, which is whatever the peer sent, is not kept.
    open: Mutex<HashMap<u64, u32>>,
    hasher: RandomState,
    gauge: IntGauge,
}

/// A stream of a conversation, open until it is dropped.
#[must_use = "the conversation counts for as long as it is held"]
pub struct Conversation {
    of: Option<(Arc<Conversations>, u64)>,
}

impl Conversations {
    pub(crate) fn new(gauge: IntGauge) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            hasher: RandomState::new(),
            gauge,
        })
    }

    pub(crate) fn open(self: &Arc<Self>, id: &str) -> Conversation {
        let key = self.hasher.hash_one(id);
        let mut open = self.lock();
        if open.len() >= MOST && !open.contains_key(&key) {
            return Conversation { of: None };
        }
        *open.entry(key).or_insert(0) += 1;
        self.gauge
            .set(i64::try_from(open.len()).unwrap_or(i64::MAX));
        Conversation {
            of: Some((Arc::clone(self), key)),
        }
    }

    fn close(&self, key: u64) {
        let mut open = self.lock();
        if let Some(streams) = open.get_mut(&key) {
            *streams -= 1;
            if *streams == 0 {
                open.remove(&key);
            }
        }
        self.gauge
            .set(i64::try_from(open.len()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if let Some((conversations, key)) = &self.of {
            conversations.close(*key);
        }
    }
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_counts_once_until_its_last_stream_ends() {
        let gauge = IntGauge::new("g", "g").expect("a valid name");
        let conversations = Conversations::new(gauge.clone());
        let first = conversations.open("a");
        let second = conversations.open("a");
        let other = conversations.open("b");
        assert_eq!(gauge.get(), 2);
        drop(first);
        assert_eq!(gauge.get(), 2);
        drop(second);
        assert_eq!(gauge.get(), 1);
        drop(other);
        assert_eq!(gauge.get(), 0);
        assert!(conversations.lock().is_empty());
    }

    #[test]
    fn the_table_is_bounded() {
        let gauge = IntGauge::new("g", "g").expect("a valid name");
        let conversations = Conversations::new(gauge.clone());
        let held: Vec<_> = (0..=MOST)
            .map(|id| conversations.open(&id.to_string()))
            .collect();
        assert_eq!(gauge.get(), i64::try_from(MOST).expect("fits"));
        let known = conversations.open("0");
        drop(held);
        assert_eq!(gauge.get(), 1);
        drop(known);
        assert_eq!(gauge.get(), 0);
    }
}
