//! What streams owe the store: debits while they run and the settlement at their end. Nobody waits for these, so they queue for the link
//! and survive a store that is away for a while, added up by counter.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use weir_limit::Quota;

use crate::counter::{Counter, Tag};

/// Counters whose debts are remembered while the store is away; what comes beyond is lost and counted.
pub(crate) const MOST: usize = 10_000;

/// A change to a token budget.
#[derive(Clone, Debug)]
pub struct Settle {
    /// Whose.
    pub tag: Tag,
    /// The limit's name.
    pub limit: Arc<str>,
    /// Its quota.
    pub quota: Quota,
    /// Below zero debits, above gives back.
    pub by: i64,
    /// Told what is left then.
    pub left: Option<Arc<AtomicI64>>,
}

/// What became of a debt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// Its counter owed nothing before.
    New,
    /// Into what its counter owed already.
    Merged,
    /// There was no room for another counter.
    Full,
}

/// Debts by counter.
#[derive(Default)]
pub(crate) struct Debts {
    by_key: HashMap<(Tag, Arc<str>), Settle>,
}

impl Debts {
    /// Adds one up.
    pub(crate) fn add(&mut self, new: Settle) -> Added {
        let key = (new.tag, Arc::clone(&new.limit));
        if let Some(old) = self.by_key.get_mut(&key) {
            old.by = old.by.saturating_add(new.by);
            old.left = new.left.or_else(|| old.left.take());
            return Added::Merged;
        }
        if self.by_key.len() >= MOST {
            return Added::Full;
        }
        self.by_key.insert(key, new);
        Added::New
    }

    /// One that was just taken: there is room for it.
    pub(crate) fn put_back(&mut self, debt: Settle) {
        self.by_key
            .insert((debt.tag, Arc::clone(&debt.limit)), debt);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Any one of them.
    pub(crate) fn take(&mut self) -> Option<Settle> {
        let key = self.by_key.keys().next().cloned()?;
        self.by_key.remove(&key)
    }
}

impl Settle {
    pub(crate) fn counter(&self) -> Counter {
        Counter::Tokens(self.quota)
    }

    pub(crate) fn done(&self, left: i64) {
        if let Some(cell) = &self.left {
            cell.store(left, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(tag: u32, by: i64) -> Settle {
        Settle {
            tag: Tag::of(&weir_limit::Identity::Address(tag.into())),
            limit: "l".into(),
            quota: Quota::parse("1/s").unwrap(),
            by,
            left: None,
        }
    }

    #[test]
    fn debts_add_up_and_are_bounded() {
        let mut debts = Debts::default();
        assert_eq!(debts.add(settle(0, -5)), Added::New);
        assert_eq!(debts.add(settle(0, 3)), Added::Merged);
        assert_eq!(debts.take().map(|debt| debt.by), Some(-2));
        assert!(debts.take().is_none());
        let kept = (0..20_000)
            .filter(|tag| debts.add(settle(*tag, -1)) == Added::New)
            .count();
        assert_eq!(kept, MOST);
        assert_eq!(debts.add(settle(0, -1)), Added::Merged);
    }
}
