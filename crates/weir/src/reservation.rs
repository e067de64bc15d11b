//! The tokens that one exchange has set aside, from its admission to its end: debited beyond the estimate while the answer streams, and
//! settled by the provider's figure. A reservation that is dropped unsettled gives everything back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use weir_limit::{Key, Quota, TokenBudget};
use weir_store::{Settle, Store, Tag};

/// Tokens debited in the store at once: a debit for each would be a packet for each.
const BATCH: i64 = 32;

/// See the module.
#[derive(Debug)]
pub(crate) struct Reservation {
    account: Account,
    /// Taken from the account so far.
    taken: i64,
    /// Events that streamed, each about one token.
    streamed: i64,
    cut: bool,
    /// What was left at the last debit.
    left: i64,
    settled: bool,
}

/// Whose tokens.
#[derive(Debug)]
pub(crate) enum Account {
    /// In this process.
    Here(Arc<TokenBudget>, Key),
    /// In the store.
    There {
        store: Arc<Store>,
        tag: Tag,
        limit: Arc<str>,
        quota: Quota,
        /// Set when the store has answered a debit.
        left: Arc<AtomicI64>,
    },
}

impl Reservation {
    /// Of so many tokens; `cut` lets it end a stream.
    pub(crate) fn new(account: Account, reserved: u32, cut: bool) -> Self {
        Self {
            account,
            taken: reserved.into(),
            streamed: 0,
            cut,
            left: 0,
            settled: false,
        }
    }

    /// Whether it may ever end a stream.
    pub(crate) fn may_cut(&self) -> bool {
        self.cut
    }

    /// So many more events streamed. False when the stream is to end, because the account is overdrawn.
    pub(crate) fn events(&mut self, more: u32) -> bool {
        self.streamed = self.streamed.saturating_add(more.into());
        let missing = self.streamed - self.taken;
        if missing > 0 {
            let least = match &self.account {
                Account::Here(..) => 1,
                Account::There { .. } => BATCH,
            };
            self.change(-missing.max(least));
        }
        if let Account::There { left, .. } = &self.account {
            self.left = left.load(Relaxed);
        }
        !self.cut || self.left >= 0
    }

    /// The exchange is over, and was `whole` or broke off. `used` is the provider's figure: the last word on an exchange that was whole, and no
    /// less than what streamed on one that broke off behind it. Without one, an answer that came costs what was reserved, or what streamed if
    /// that is more.
    pub(crate) fn settle(&mut self, used: Option<u64>, whole: bool, answered: bool) {
        let used = match used.map(|used| i64::try_from(used).unwrap_or(i64::MAX)) {
            Some(used) if whole => used,
            Some(used) => used.max(self.streamed),
            None if answered => self.taken.max(self.streamed),
            None => 0,
        };
        if !std::mem::replace(&mut self.settled, true) && used != self.taken {
            self.change(self.taken.saturating_sub(used));
        }
    }

    /// Below zero debits.
    fn change(&mut self, by: i64) {
        self.taken = self.taken.saturating_sub(by);
        match &self.account {
            Account::Here(budget, key) => self.left = budget.change(key, by, SystemTime::now()),
            Account::There {
                store,
                tag,
                limit,
                quota,
                left,
            } => store.settle(Settle {
                tag: *tag,
                limit: Arc::clone(limit),
                quota: *quota,
                by,
                left: Some(Arc::clone(left)),
            }),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.settle(None, false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_limit::{Facts, KeySource};

    fn budget() -> (Arc<TokenBudget>, Key) {
        let key = KeySource::Route.key(&Facts {
            user: None,
            tenant: None,
            route: "r",
            ip: [127, 0, 0, 1].into(),
            headers: &http::HeaderMap::new(),
        });
        // A period that does not turn while a test runs.
        let quota = Quota::parse("100/366d").expect("a quota");
        (Arc::new(TokenBudget::new(quota)), key)
    }

    fn reserve(budget: &Arc<TokenBudget>, key: Key, tokens: u32, cut: bool) -> Reservation {
        let reserved = budget.reserve(&key, tokens, SystemTime::now());
        assert!(reserved.is_ok());
        Reservation::new(Account::Here(Arc::clone(budget), key), tokens, cut)
    }

    fn left(budget: &TokenBudget, key: &Key) -> i64 {
        budget.change(key, 0, SystemTime::now())
    }

    #[test]
    fn the_provider_s_figure_settles() {
        let (budget, key) = budget();
        let mut reservation = reserve(&budget, key, 40, false);
        assert!(reservation.events(60));
        assert_eq!(left(&budget, &key), 40, "debited beyond the estimate");
        reservation.settle(Some(130), true, true);
        drop(reservation);
        assert_eq!(left(&budget, &key), -30, "a debt is carried");
    }

    #[test]
    fn without_a_figure_the_estimate_or_the_stream_counts() {
        let (budget, key) = budget();
        reserve(&budget, key, 10, false).settle(None, true, true);
        assert_eq!(left(&budget, &key), 90);
        let mut longer = reserve(&budget, key, 10, false);
        assert!(longer.events(15));
        longer.settle(None, true, true);
        assert_eq!(left(&budget, &key), 75);
        reserve(&budget, key, 10, false).settle(None, true, false);
        assert_eq!(left(&budget, &key), 75, "an error costs nothing");
        drop(reserve(&budget, key, 10, false));
        assert_eq!(left(&budget, &key), 75, "nor what never went on");
    }

    #[test]
    fn a_figure_that_came_early_does_not_take_back_what_streamed_after_it() {
        let (budget, key) = budget();
        let mut reservation = reserve(&budget, key, 10, false);
        assert!(reservation.events(60));
        reservation.settle(Some(8), false, true);
        assert_eq!(left(&budget, &key), 40);
        reserve(&budget, key, 10, false).settle(Some(8), false, true);
        assert_eq!(left(&budget, &key), 32, "nothing streamed after it");
    }

    #[test]
    fn a_stream_is_cut_when_the_account_is_overdrawn() {
        let (budget, key) = budget();
        let mut reservation = reserve(&budget, key, 10, true);
        assert!(reservation.events(100), "exactly all of it");
        assert!(!reservation.events(1));
        let mut patient = Reservation::new(Account::Here(Arc::clone(&budget), key), 0, false);
        assert!(patient.events(500));
    }
}
