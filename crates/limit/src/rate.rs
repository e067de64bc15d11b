//! A quota, counted per key by one of two algorithms.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use governor::clock::MonotonicClock;

use crate::{gcra::Gcra, key::Key, quota::Quota, window::Window};

/// How strictly a quota is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// At most the amount in any window, and windows are aligned to the clock: `100/60s` is 100 in each minute. What people expect of
    /// the words, at the price of twice the amount around the turn of a minute.
    Window,
    /// Smooth (the generic cell rate algorithm): a credit of `burst` that fills up again evenly, so `100/60s` gives one request back
    /// every 0.6 s. Without a burst the credit is the quota's amount.
    Gcra {
        /// The most requests at once.
        burst: Option<NonZeroU32>,
        /// Whether a request within the burst waits for its time at the even rate instead of going at once (nginx: `limit_req`
        /// without `nodelay`).
        delay: bool,
    },
}

/// One limit and the counters of all its keys. Two limits never share a counter, even for the same key.
#[derive(Debug)]
pub struct RateLimit {
    quota: Quota,
    counter: Counter,
}

#[derive(Debug)]
enum Counter {
    Window(Box<Window>),
    Gcra(Gcra<MonotonicClock>),
}

impl RateLimit {
    /// A limit on which nothing was counted yet.
    pub fn new(quota: Quota, algorithm: Algorithm) -> Self {
        let counter = match algorithm {
            Algorithm::Window => Counter::Window(Box::new(Window::new(quota))),
            Algorithm::Gcra { burst, delay } => {
                Counter::Gcra(Gcra::new(quota, burst, delay, MonotonicClock))
            }
        };
        Self { quota, counter }
    }

    /// The quota it was made with.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Counts a request. One that is refused is not counted, so a client that keeps trying is not kept out for longer.
    ///
    /// `now` places the window. GCRA reads governor's monotonic clock instead: it must not run backwards when the wall clock is set.
    ///
    /// # Errors
    /// When the request has to wait.
    pub fn check(&self, key: &Key, now: SystemTime) -> Result<Allowed, Wait> {
        match &self.counter {
            Counter::Window(window) => window.check(*key, now),
            Counter::Gcra(gcra) => gcra.check(key),
        }
    }

    /// Takes back a request that another limit refused: it never went on, so it counts nowhere.
    pub fn give_back(&self, key: &Key, now: SystemTime) {
        match &self.counter {
            Counter::Window(window) => window.give_back(*key, now),
            Counter::Gcra(gcra) => gcra.give_back(key),
        }
    }
}

/// The request may proceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The most requests at once: the quota's amount, or the burst.
    pub limit: u32,
    /// How many more would be allowed right now.
    pub remaining: u32,
    /// When all of `limit` is there again, if nobody asks until then.
    pub reset: Duration,
    /// How long to hold the request before it goes on; zero unless the limit delays.
    pub delay: Duration,
}

/// The request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The most requests at once: the quota's amount, or the burst.
    pub limit: u32,
    /// When one request would be allowed.
    pub retry_after: Duration,
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::key::tests::numbered;

    const SMOOTH: Algorithm = Algorithm::Gcra {
        burst: None,
        delay: false,
    };
    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn two_limits_with_one_key_count_apart() {
        for algorithm in [Algorithm::Window, SMOOTH] {
            let limits = [(); 2].map(|()| RateLimit::new(Quota::parse("1/1h").unwrap(), algorithm));
            for limit in &limits {
                assert_eq!(limit.quota().to_string(), "1/3600s");
                assert!(limit.check(&numbered(1), NOW).is_ok());
                assert!(limit.check(&numbered(1), NOW).is_err());
                assert!(limit.check(&numbered(2), NOW).is_ok());
            }
        }
    }

    #[test]
    fn many_threads_get_exactly_the_amount() {
        for algorithm in [Algorithm::Window, SMOOTH] {
            let limit = Arc::new(RateLimit::new(Quota::parse("100/366d").unwrap(), algorithm));
            let allowed = AtomicU32::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..1000 {
                            let ok = limit.check(&numbered(1), NOW).is_ok();
                            allowed.fetch_add(ok.into(), Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(allowed.into_inner(), 100, "{algorithm:?}");
        }
    }

    #[test]
    fn a_flood_of_keys_exhausts_only_the_shared_cell() {
        for algorithm in [Algorithm::Window, SMOOTH] {
            let limit = RateLimit::new(Quota::parse("2/366d").unwrap(), algorithm);
            limit.check(&numbered(0), NOW).unwrap();
            let refused = (1..200_000)
                .filter(|number| limit.check(&numbered(*number), NOW).is_err())
                .count();
            assert!(refused > 90_000, "{refused}");
            assert!(
                limit.check(&numbered(0), NOW).is_ok(),
                "has its own cell still"
            );
        }
    }
}
