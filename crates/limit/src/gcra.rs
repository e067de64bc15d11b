//! The generic cell rate algorithm. The arithmetic is governor's; the table it works on is weir's, because governor's own grows with
//! every key that is ever seen.

use std::{num::NonZeroU32, time::Duration};

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
    limiter: RateLimiter<Key, Arrivals, C, StateInformationMiddleware>,
    burst: u32,
    /// For one request to be given back.
    interval: Duration,
}

impl<C: Clock> Gcra<C> {
    pub(crate) fn new(quota: Quota, burst: Option<NonZeroU32>, clock: C) -> Self {
        let interval = (quota.per() / quota.amount().get()).max(Duration::from_nanos(1));
        let burst = burst
            .unwrap_or_else(|| quota.amount())
            .min(longest_credit(interval));
        let rate = governor::Quota::with_period(interval).expect("at least a nanosecond");
        let limiter = RateLimiter::new(rate.allow_burst(burst), Arrivals(Cells::new()), clock);
        Self {
            limiter,
            burst: burst.get(),
            interval,
        }
    }

    pub(crate) fn check(&self, key: &Key) -> Result<Allowed, Wait> {
        match self.limiter.check_key(key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                Ok(Allowed {
                    limit: self.burst,
                    remaining,
                    reset: self.interval * (self.burst - remaining),
                })
            }
            Err(refused) => Err(Wait {
                limit: self.burst,
                retry_after: refused.wait_time_from(self.limiter.clock().now()),
            }),
        }
    }
}

/// The theoretical arrival time of each key's next request.
#[derive(Debug)]
struct Arrivals(Cells<Nanos>);

impl StateStore for Arrivals {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let next = |cell| decide(cell).ok().map(|(_, next)| next);
        let stale = |arrival| next(Some(arrival)) == next(None); // decides as no cell would
        let act = |cell: &mut Option<Nanos>| {
            let (answer, next) = decide(*cell)?;
            *cell = Some(next);
            Ok(answer)
        };
        self.0.update(*key, stale, act).1
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
            Gcra::new(Quota::parse(quota).unwrap(), burst, clock.clone()),
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
