//! A budget of tokens per key. Not a rate: what a request will cost is known only when its answer is over, so some is reserved before,
//! more is debited while it streams, and the end settles. A balance may fall below zero, and the debt is carried into the next period.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    cells::Cells,
    key::Key,
    quota::Quota,
    rate::{Allowed, Wait},
};

/// One budget and the balances of all its keys. Periods are aligned to unix time: `100000/1d` begins anew at midnight UTC.
#[derive(Debug)]
pub struct TokenBudget {
    quota: Quota,
    cells: Cells<Balance>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Balance {
    /// Periods since 1970.
    period: u64,
    left: i64,
}

impl TokenBudget {
    /// A budget of which nothing was used yet.
    pub fn new(quota: Quota) -> Self {
        Self {
            quota,
            cells: Cells::new(),
        }
    }

    /// The quota it was made with.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Sets `tokens` aside before a request goes on.
    ///
    /// # Errors
    /// When fewer are left. The time to wait is the one after which they would be there, with the debt paid.
    pub fn reserve(&self, key: &Key, tokens: u32, now: SystemTime) -> Result<Allowed, Wait> {
        let limit = self.quota.amount().get();
        let (per, now) = (self.quota.per().as_secs(), since_1970(now));
        self.update(key, now, |balance| {
            let left_of = |periods: u64| {
                let end = (balance.period + 1 + periods).saturating_mul(per);
                Duration::from_secs(end).saturating_sub(now)
            };
            let missing = i64::from(tokens) - balance.left;
            if missing > 0 {
                let periods = missing.unsigned_abs().div_ceil(u64::from(limit));
                return Err(Wait {
                    limit,
                    retry_after: left_of(periods - 1),
                });
            }
            balance.left -= i64::from(tokens);
            Ok(Allowed {
                limit,
                remaining: u32::try_from(balance.left).unwrap_or(u32::MAX),
                reset: left_of(0),
                delay: Duration::ZERO,
            })
        })
    }

    /// Debits (below zero) or gives back (above), and says what is then left. Never refuses: what was used was used.
    pub fn change(&self, key: &Key, by: i64, now: SystemTime) -> i64 {
        let most = i64::from(self.quota.amount().get());
        self.update(key, since_1970(now), |balance| {
            balance.left = balance.left.saturating_add(by).min(most);
            balance.left
        })
    }

    fn update<R>(&self, key: &Key, now: Duration, act: impl FnOnce(&mut Balance) -> R) -> R {
        let amount = i64::from(self.quota.amount().get());
        let current = now.as_secs() / self.quota.per().as_secs();
        let begin = |balance: Balance| balance.begun(current, amount);
        let full = Balance {
            period: current,
            left: amount,
        };
        let stale = |balance: Balance| begin(balance) == full;
        let act = |cell: &mut Option<Balance>| {
            let begun = cell.map_or(full, begin);
            let mut balance = begun;
            let result = act(&mut balance);
            // A refusal leaves no trace, as in the store.
            if balance != begun {
                *cell = Some(balance);
            }
            result
        };
        self.cells.update(*key, stale, act).1
    }
}

impl Balance {
    /// In the current period: each one that began since has paid its amount in, and none holds more than the amount. As with windows,
    /// a clock set back a little opens no period again, and one that was far ahead locks nobody out.
    fn begun(self, current: u64, amount: i64) -> Self {
        if self.period > current.saturating_add(1) {
            return Self {
                period: current,
                left: amount,
            };
        }
        let periods = i64::try_from(current.saturating_sub(self.period)).unwrap_or(i64::MAX);
        let paid = amount.saturating_mul(periods);
        Self {
            period: self.period.max(current),
            left: self.left.saturating_add(paid).min(amount),
        }
    }
}

/// A clock before 1970 stands still.
fn since_1970(now: SystemTime) -> Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::numbered;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn budget(quota: &str) -> TokenBudget {
        TokenBudget::new(Quota::parse(quota).unwrap())
    }

    fn wait(limit: u32, seconds: u64) -> Result<Allowed, Wait> {
        Err(Wait {
            limit,
            retry_after: Duration::from_secs(seconds),
        })
    }

    #[test]
    fn reserved_debited_settled() {
        let budget = budget("1000/1m");
        let key = numbered(1);
        let allowed = budget.reserve(&key, 300, at(30)).unwrap();
        assert_eq!(
            (allowed.remaining, allowed.reset),
            (700, Duration::from_secs(30))
        );
        assert_eq!(budget.change(&key, -50, at(31)), 650);
        assert_eq!(budget.change(&key, 250, at(32)), 900);
        assert!(budget.reserve(&key, 900, at(33)).is_ok());
        assert_eq!(budget.reserve(&key, 1, at(33)), wait(1000, 27));
        assert!(budget.reserve(&numbered(2), 1000, at(33)).is_ok());
    }

    #[test]
    fn debt_is_carried_until_it_is_paid() {
        let budget = budget("100/1m");
        let key = numbered(1);
        assert_eq!(budget.change(&key, -350, at(0)), -250);
        assert_eq!(budget.reserve(&key, 1, at(10)), wait(100, 170));
        assert_eq!(budget.reserve(&key, 60, at(10)), wait(100, 230));
        assert_eq!(budget.change(&key, 0, at(60)), -150);
        assert_eq!(budget.change(&key, 0, at(180)), 50);
        assert_eq!(budget.change(&key, 0, at(600)), 100, "nothing is saved up");
    }

    #[test]
    fn nothing_is_given_back_beyond_the_amount() {
        let budget = budget("100/1m");
        budget.reserve(&numbered(1), 100, at(59)).unwrap();
        assert_eq!(budget.change(&numbered(1), 100, at(61)), 100);
    }

    #[test]
    fn clocks_that_were_wrong() {
        let budget = budget("100/1m");
        let key = numbered(1);
        assert_eq!(budget.change(&key, -100, at(60)), 0);
        assert_eq!(budget.change(&key, 0, at(59)), 0, "no period begins again");
        assert_eq!(budget.change(&key, -100, at(6000)), 0);
        assert_eq!(
            budget.change(&key, 0, at(60)),
            100,
            "and nobody is locked out"
        );
        assert_eq!(budget.change(&key, i64::MIN, at(60)), i64::MIN + 100);
        assert_eq!(budget.change(&key, i64::MIN, at(60)), i64::MIN);
    }
}
