//! Fixed windows aligned to unix time: every key's window turns at the same moment, the full minute for `100/60s`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    cells::Cells,
    key::Key,
    quota::Quota,
    rate::{Allowed, Wait},
};

#[derive(Debug)]
pub(crate) struct Window {
    quota: Quota,
    cells: Cells<Count>,
}

#[derive(Clone, Copy)]
struct Count {
    /// Windows since 1970.
    window: u64,
    taken: u32,
}

impl Window {
    pub(crate) fn new(quota: Quota) -> Self {
        Self {
            quota,
            cells: Cells::new(),
        }
    }

    pub(crate) fn check(&self, key: Key, now: SystemTime) -> Result<Allowed, Wait> {
        let limit = self.quota.amount().get();
        let per = self.quota.per().as_secs();
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default(); // a clock before 1970 stands still
        let current = now.as_secs() / per;
        // A clock that was set back a little must not open the old window again, so a count one window ahead stands. One further ahead
        // was made by a clock that was wrong, and would lock the key out until then.
        let live = |count: &Count| count.window == current || count.window == current + 1;
        let stale = |count: Count| !live(&count);
        let take = |cell: &mut Option<Count>| {
            let mut count = cell.filter(live).unwrap_or(Count {
                window: current,
                taken: 0,
            });
            let end = Duration::from_secs((count.window + 1).saturating_mul(per));
            let left = end.saturating_sub(now);
            if count.taken >= limit {
                return Err(Wait {
                    limit,
                    retry_after: left,
                });
            }
            count.taken += 1;
            *cell = Some(count);
            Ok(Allowed {
                limit,
                remaining: limit - count.taken,
                reset: left,
                delay: Duration::ZERO,
            })
        };
        self.cells.update(key, stale, take).1
    }

    /// Takes one request back, as if it had never been asked. Whose window has turned since has nothing left of it to take back.
    pub(crate) fn give_back(&self, key: Key, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let current = now.as_secs() / self.quota.per().as_secs();
        let less = |cell: &mut Option<Count>| {
            if let Some(count) = cell.as_mut().filter(|count| count.window >= current) {
                count.taken = count.taken.saturating_sub(1);
            }
        };
        self.cells.update(key, |_| false, less);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::tests::numbered;

    fn at(seconds: f64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    fn window(quota: &str) -> Window {
        Window::new(Quota::parse(quota).unwrap())
    }

    #[test]
    fn windows_turn_with_the_clock() {
        let window = window("2/60s");
        let allowed = |remaining, reset| {
            Ok(Allowed {
                limit: 2,
                remaining,
                reset: Duration::from_secs_f64(reset),
                delay: Duration::ZERO,
            })
        };
        let wait = |retry_after| {
            Err(Wait {
                limit: 2,
                retry_after: Duration::from_secs_f64(retry_after),
            })
        };
        for (now, expected) in [
            (119.5, allowed(1, 0.5)),
            (120.0, allowed(1, 60.0)),
            (121.0, allowed(0, 59.0)),
            (122.0, wait(58.0)),
            (179.75, wait(0.25)),
            (180.0, allowed(1, 60.0)),
            (900.0, allowed(1, 60.0)),
        ] {
            assert_eq!(window.check(numbered(1), at(now)), expected, "{now}");
        }
    }

    #[test]
    fn a_clock_set_back_a_little_opens_no_window_again() {
        let window = window("1/60s");
        assert!(window.check(numbered(1), at(119.0)).is_ok());
        assert!(window.check(numbered(1), at(120.0)).is_ok());
        let wait = Wait {
            limit: 1,
            retry_after: Duration::from_secs(61),
        };
        assert_eq!(window.check(numbered(1), at(119.0)), Err(wait));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let window = window("1/60s");
        assert!(window.check(numbered(1), at(119.0)).is_ok());
        window.give_back(numbered(1), at(119.0));
        assert!(window.check(numbered(1), at(119.5)).is_ok());
        assert!(window.check(numbered(1), at(119.5)).is_err());
        assert!(window.check(numbered(1), at(120.0)).is_ok());
        window.give_back(numbered(2), at(120.0));
        assert!(window.check(numbered(2), at(120.0)).is_ok());
        assert!(window.check(numbered(2), at(120.0)).is_err());
    }

    #[test]
    fn a_clock_set_back_far_locks_nobody_out() {
        let window = window("1/60s");
        assert!(window.check(numbered(1), at(1e9)).is_ok());
        assert!(window.check(numbered(1), at(1e6)).is_ok());
        assert!(window.check(numbered(1), at(1e6)).is_err());
    }

    #[test]
    fn clocks_at_the_ends_of_time() {
        let window = window("1/366d");
        assert!(
            window
                .check(numbered(1), UNIX_EPOCH - Duration::from_secs(1))
                .is_ok()
        );
        let last = UNIX_EPOCH
            .checked_add(Duration::from_secs(i64::MAX.unsigned_abs()))
            .unwrap();
        assert!(window.check(numbered(1), last).is_ok());
    }

    proptest! {
        /// The promise itself: whenever the requests come, no aligned window has more than the amount, and none is refused before that.
        #[test]
        fn at_most_the_amount_in_any_window(steps in proptest::collection::vec(0u64..30, 1..200)) {
            let window = window("5/60s");
            let mut taken = std::collections::HashMap::<u64, u32>::new();
            let mut now = 0;
            for step in steps {
                now += step;
                let taken = taken.entry(now / 60).or_default();
                let answer = window.check(numbered(1), UNIX_EPOCH + Duration::from_secs(now));
                prop_assert_eq!(answer.is_ok(), *taken < 5);
                *taken += u32::from(answer.is_ok());
            }
        }
    }
}
