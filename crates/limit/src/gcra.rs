//! The generic cell rate algorithm. The arithmetic is governor's; the table it works on is weir's, because governor's own grows with
//! every key that is ever seen.

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use governor::{
    RateLimiter, clock::Clock, middleware::StateInformationMiddleware, nanos::Nanos,
    state::StateStore,
};

use crate::{
    cells::Cells,
    key::Key,
    quota::Quota,
    rate::{Allowed, Wait},
};

#[derive(Debug)]
pub(crate) struct Gcra<C: Clock> {
    limiter: RateLimiter<Asked, Arrivals, C, StateInformationMiddleware>,
    /// The limiter's own, which it does not let out.
    arrivals: Arrivals,
    pace: Pace,
    delay: bool,
}

/// The two numbers that GCRA is made of, wherever its arrivals are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For one request to be given back. Whole nanoseconds, at least one.
    pub interval: Duration,
    /// The most requests at once.
    pub burst: NonZeroU32,
}

impl Pace {
    /// Of a quota and a burst; without one, the credit is the quota's amount.
    pub fn of(quota: &Quota, burst: Option<NonZeroU32>) -> Self {
        let interval = (quota.per() / quota.amount().get()).max(Duration::from_nanos(1));
        let burst = burst
            .unwrap_or_else(|| quota.amount())
            .min(longest_credit(interval));
        Self { interval, burst }
    }
}

impl<C: Clock> Gcra<C> {
    pub(crate) fn new(quota: Quota, burst: Option<NonZeroU32>, delay: bool, clock: C) -> Self {
        let pace = Pace::of(&quota, burst);
        let rate = governor::Quota::with_period(pace.interval).expect("at least a nanosecond");
        let arrivals = Arrivals(Arc::new(Cells::new()));
        let limiter = RateLimiter::new(
            rate.allow_burst(pace.burst),
            Arrivals(Arc::clone(&arrivals.0)),
            clock,
        );
        Self {
            limiter,
            arrivals,
            pace,
            delay,
        }
    }

    pub(crate) fn check(&self, key: &Key) -> Result<Allowed, Wait> {
        let limit = self.pace.burst.get();
        let asked = Asked {
            key: *key,
            early: Cell::default(),
        };
        match self.limiter.check_key(&asked) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                Ok(Allowed {
                    limit,
                    remaining,
                    reset: self.pace.interval * (limit - remaining),
                    delay: if self.delay {
                        asked.early.get()
                    } else {
                        Duration::ZERO
                    },
                })
            }
            Err(refused) => Err(Wait {
                limit,
                retry_after: refused.wait_time_from(self.limiter.clock().now()),
            }),
        }
    }

    /// Takes one request back, as if it had never been asked.
    pub(crate) fn give_back(&self, key: &Key) {
        let interval = Nanos::from(self.pace.interval);
        let earlier = |cell: &mut Option<Nanos>| {
            *cell = cell.map(|arrival| arrival.saturating_sub(interval));
        };
        self.arrivals.0.update(*key, |_| false, earlier);
    }
}

/// A key, and what governor does not tell of the answer.
#[derive(Clone, Debug)]
struct Asked {
    key: Key,
    /// By how much the request came before its time at the even rate.
    early: Cell<Duration>,
}

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Asked {}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// The theoretical arrival time of each key's next request.
#[derive(Debug)]
struct Arrivals(Arc<Cells<Nanos>>);

impl StateStore for Arrivals {
    type Key = Asked;

    fn measure_and_replace<T, F, E>(&self, asked: &Asked, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let next = |cell| decide(cell).ok().map(|(_, next)| next);
        let stale = |arrival| next(Some(arrival)) == next(None); // decides as no cell would
        let act = |cell: &mut Option<Nanos>| {
            let (answer, arrival) = decide(*cell)?;
            // Who has no cell comes exactly in time.
            let in_time = next(None).unwrap_or(arrival);
            asked.early.set(arrival.saturating_sub(in_time).into());
            *cell = Some(arrival);
            Ok(answer)
        };
        self.0.update(asked.key, stale, act).1
    }
}

/// governor multiplies interval and burst in 64 bits of nanoseconds. What would overflow is a credit of more than a century.
fn longest_credit(interval: Duration) -> NonZeroU32 {
    let fits = (1u128 << 62) / interval.as_nanos();
    let fits = u32::try_from(fits).unwrap_or(u32::MAX);
    NonZeroU32::new(fits).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;
    use crate::key::tests::numbered;

    fn gcra(quota: &str, burst: Option<u32>) -> (Gcra<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let burst = burst.and_then(NonZeroU32::new);
        (
            Gcra::new(Quota::parse(quota).unwrap(), burst, true, clock.clone()),
            clock,
        )
    }

    #[test]
    fn a_burst_and_then_an_even_rate() {
        let (gcra, clock) = gcra("60/60s", Some(3));
        let allowed = |remaining, reset| {
            Ok(Allowed {
                limit: 3,
                remaining,
                reset: Duration::from_secs(reset),
                delay: Duration::from_secs(reset - 1),
            })
        };
        let wait = |millis| {
            Err(Wait {
                limit: 3,
                retry_after: Duration::from_millis(millis),
            })
        };
        for (advance, expected) in [
            (0, allowed(2, 1)),
            (0, allowed(1, 2)),
            (0, allowed(0, 3)),
            (0, wait(1000)),
            (400, wait(600)),
            (600, allowed(0, 3)),
            (0, wait(1000)),
            (2000, allowed(1, 2)),
            (60_000, allowed(2, 1)),
        ] {
            clock.advance(Duration::from_millis(advance));
            assert_eq!(gcra.check(&numbered(1)), expected, "{advance}");
        }
        assert_eq!(gcra.check(&numbered(2)), allowed(2, 1));
    }

    /// What nginx answers to ten requests at once with `rate=10r/s burst=5`: its burst does not count the first.
    #[test]
    fn a_delay_is_nginx_s() {
        let (gcra, _clock) = gcra("10/s", Some(6));
        let delays: Vec<_> = (0..10)
            .map(|_| gcra.check(&numbered(1)).ok())
            .map(|allowed| allowed.map(|allowed| allowed.delay.as_millis()))
            .collect();
        let waits = [0, 100, 200, 300, 400, 500].map(Some);
        assert_eq!(delays[..6], waits);
        assert_eq!(delays[6..], [None; 4]);
    }

    #[test]
    fn what_is_given_back_was_never_asked() {
        let (gcra, clock) = gcra("60/60s", Some(3));
        let first = gcra.check(&numbered(1));
        gcra.give_back(&numbered(1));
        assert_eq!(gcra.check(&numbered(1)), first);
        let second = gcra.check(&numbered(1));
        gcra.give_back(&numbered(1));
        assert_eq!(gcra.check(&numbered(1)), second);
        clock.advance(Duration::from_secs(60));
        gcra.give_back(&numbered(1));
        assert_eq!(gcra.check(&numbered(1)), first, "no credit beyond the full");
        gcra.give_back(&numbered(2));
        assert_eq!(gcra.check(&numbered(2)), first);
    }

    #[test]
    fn without_a_burst_the_amount_is_the_credit() {
        let (gcra, clock) = gcra("100/60s", None);
        assert_eq!(
            (0..150)
                .filter(|_| gcra.check(&numbered(1)).is_ok())
                .count(),
            100
        );
        clock.advance(Duration::from_millis(600));
        assert!(gcra.check(&numbered(1)).is_ok());
        assert!(gcra.check(&numbered(1)).is_err());
    }

    #[test]
    fn no_quota_overflows() {
        for (quota, burst) in [
            ("1/366d", Some(u32::MAX)),
            ("4294967295/s", None),
            ("4294967295/s", Some(1)),
            ("4294967295/366d", Some(u32::MAX)),
        ] {
            let (gcra, clock) = gcra(quota, burst);
            for _ in 0..3 {
                clock.advance(Duration::from_secs(3600 * 24 * 365 * 50));
                gcra.check(&numbered(1)).unwrap();
            }
        }
    }

    #[test]
    fn spent_keys_make_room_for_others() {
        let (gcra, clock) = gcra("1/60s", None);
        for number in 0..200_000 {
            let _ = gcra.check(&numbered(number));
        }
        let allowed = || {
            (200_000..300_000)
                .filter(|number| gcra.check(&numbered(*number)).is_ok())
                .count()
        };
        assert_eq!(allowed(), 0);
        clock.advance(Duration::from_secs(60));
        assert!(allowed() > 50_000);
    }

    proptest! {
        /// GCRA's promise: in any span of time no more than the burst, and what the span gives back.
        #[test]
        fn never_more_than_credit_and_rate(steps in proptest::collection::vec(0u64..3000, 1..200)) {
            let (gcra, clock) = gcra("60/60s", Some(5));
            let (mut now, mut taken) = (0, Vec::<u64>::new());
            for step in steps {
                now += step;
                clock.advance(Duration::from_millis(step));
                if gcra.check(&numbered(1)).is_ok() {
                    taken.push(now);
                }
                for (at, since) in taken.iter().enumerate() {
                    prop_assert!((taken.len() - at) as u64 <= 5 + (now - since) / 1000);
                }
            }
        }
    }
}
