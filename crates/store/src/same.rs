//! The script against the arithmetic it repeats: random times, a real Redis, the same answers to the nanosecond.

use std::time::{Duration, SystemTime};

use weir_limit::{
    Algorithm, Allowed, Facts, Identity, KeySource, Pace, Quota, RateLimit, TokenBudget, Wait,
};
use weir_testkit::Redis;

use crate::{
    counter::{Ask, Counter, Tag},
    link::{Link, Mode},
    settings::Settings,
};

const BEGIN: u64 = 1_800_000_000_123_456;

async fn link(redis: &Redis) -> Link {
    let mut settings = Settings::new("s", &redis.url()).unwrap();
    settings.timeout = Duration::from_secs(10);
    Link::open(&settings).await.unwrap()
}

/// Steps in microseconds: often none, mostly short, now and then beyond a period, some of them backwards.
fn times(seed: u64, count: usize) -> impl Iterator<Item = u64> {
    let mut state = seed;
    let mut now = BEGIN;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let random = state >> 33;
        match random % 16 {
            0..4 => {}
            4 => now += random % 150_000_000,
            5 => now -= random % 5_000_000,
            _ => now += random % 3_000_000,
        }
        now
    })
    .take(count)
}

fn at(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

fn ask(counter: Counter, amount: u32) -> Ask<'static> {
    Ask {
        limit: "l",
        counter,
        amount,
        dry_run: false,
    }
}

fn key() -> weir_limit::Key {
    KeySource::User.key(&Facts {
        user: Some("ada"),
        tenant: None,
        route: "r",
        ip: [127, 0, 0, 1].into(),
        headers: &http::HeaderMap::new(),
    })
}

async fn one(link: &Link, mode: Mode, now: u64, tag: u128, ask: Ask<'_>) -> Result<Allowed, Wait> {
    let tag = Tag::of(&Identity::Address(tag));
    link.run(mode, now, tag, &[ask]).await.unwrap()[0]
}

#[tokio::test]
async fn windows() {
    let Some(redis) = Redis::start("windows").await else {
        return;
    };
    let link = link(&redis).await;
    for (tag, quota) in ["5/60s", "1/s", "4294967295/366d"].into_iter().enumerate() {
        let quota = Quota::parse(quota).unwrap();
        let memory = RateLimit::new(quota, Algorithm::Window);
        for (turn, now) in times(tag as u64, 300).enumerate() {
            let ask = ask(Counter::Window(quota), 1);
            let tag = tag as u128;
            if turn % 7 == 3 {
                memory.give_back(&key(), at(now));
                let _ = one(&link, Mode::Give, now, tag, ask).await;
            } else {
                let here = memory.check(&key(), at(now));
                let there = one(&link, Mode::Take, now, tag, ask).await;
                assert_eq!(there, here, "{quota} {turn}");
            }
        }
    }
}

#[tokio::test]
async fn tokens() {
    let Some(redis) = Redis::start("tokens").await else {
        return;
    };
    let link = link(&redis).await;
    for (number, quota) in ["500/60s", "100/s", "4294967295/1d"]
        .into_iter()
        .enumerate()
    {
        let quota = Quota::parse(quota).unwrap();
        let counter = Counter::Tokens(quota);
        let memory = TokenBudget::new(quota);
        let tag = Tag::of(&Identity::Address(number as u128));
        for (turn, now) in times(number as u64, 300).enumerate() {
            let amount = u32::try_from(turn % 90).unwrap() + 1;
            let here = memory.reserve(&key(), amount, at(now));
            let there = one(&link, Mode::Take, now, number as u128, ask(counter, amount)).await;
            assert_eq!(there, here, "{quota} {turn}");
            if turn % 5 == 4 {
                // A settlement has Redis's own time; its arithmetic is the same with any.
                let by = i64::try_from(turn * 7 % 61).unwrap() * if turn % 2 == 0 { 1 } else { -9 };
                memory.change(&key(), by, at(now));
                let left = link.change_at(now, tag, "l", counter, by).await.unwrap();
                assert_eq!(left, memory.change(&key(), 0, at(now)), "{quota} {turn}");
            }
        }
    }
}

/// GCRA by its formula, as governor has it: refused before `arrival - tau`, and each request moves the arrival on by `t`.
struct Formula {
    t: i128,
    tau: i128,
    arrival: Option<i128>,
}

impl Formula {
    fn check(&mut self, pace: &Pace, now: i128) -> Result<Allowed, Wait> {
        let arrival = self.arrival.unwrap_or(now).max(now);
        let limit = pace.burst.get();
        let time = |nanos: i128| Duration::from_nanos(u64::try_from(nanos).unwrap());
        if now < arrival - self.tau {
            return Err(Wait {
                limit,
                retry_after: time(arrival - self.tau - now),
            });
        }
        let next = arrival + self.t;
        self.arrival = Some(next);
        let remaining = (now + self.tau + self.t - next) / self.t;
        Ok(Allowed {
            limit,
            remaining: u32::try_from(remaining).unwrap(),
            reset: time(self.t * (i128::from(limit) - remaining)),
            delay: time(arrival - now),
        })
    }
}

#[tokio::test]
async fn gcra() {
    let Some(redis) = Redis::start("gcra").await else {
        return;
    };
    let link = link(&redis).await;
    let quotas = [
        ("100/60s", None),
        ("7/60s", Some(3)),
        ("1/s", Some(1)),
        ("1000000/s", Some(5)),
    ];
    for (tag, (quota, burst)) in quotas.into_iter().enumerate() {
        let pace = Pace::of(
            &Quota::parse(quota).unwrap(),
            burst.and_then(std::num::NonZeroU32::new),
        );
        let t = i128::try_from(pace.interval.as_nanos()).unwrap();
        let mut formula = Formula {
            t,
            tau: t * i128::from(pace.burst.get() - 1),
            arrival: None,
        };
        let ask = ask(Counter::Gcra { pace, delay: true }, 1);
        for (turn, now) in times(tag as u64, 400).enumerate() {
            let nanos = i128::from(now) * 1000;
            if turn % 7 == 3 {
                let _ = one(&link, Mode::Give, now, tag as u128, ask).await;
                formula.arrival = formula
                    .arrival
                    .map(|arrival| (arrival.max(nanos) - t).max(nanos));
            } else {
                let there = one(&link, Mode::Take, now, tag as u128, ask).await;
                assert_eq!(there, formula.check(&pace, nanos), "{quota} {turn}");
            }
        }
    }
}

#[tokio::test]
async fn all_or_none() {
    let Some(redis) = Redis::start("all_or_none").await else {
        return;
    };
    let link = link(&redis).await;
    let tag = Tag::of(&Identity::User("ada"));
    let of = |limit, quota, dry_run| Ask {
        limit,
        counter: Counter::Window(Quota::parse(quota).unwrap()),
        amount: 1,
        dry_run,
    };
    let both = [of("wide", "10/60s", false), of("tight", "1/60s", false)];
    let take = async |asks: &[Ask<'_>]| {
        let answers = link.run(Mode::Take, BEGIN, tag, asks).await.unwrap();
        let remaining = |answer: Result<Allowed, Wait>| answer.ok().map(|it| it.remaining);
        answers.into_iter().map(remaining).collect::<Vec<_>>()
    };
    assert_eq!(take(&both).await, [Some(9), Some(0)]);
    assert_eq!(take(&both).await, [Some(8), None]);
    assert_eq!(
        take(&both[..1]).await,
        [Some(8)],
        "the refusal took nothing"
    );
    let trial = [of("wide", "10/60s", false), of("tight", "1/60s", true)];
    assert_eq!(
        take(&trial).await,
        [Some(7), None],
        "a dry run refuses nobody"
    );
    assert_eq!(take(&both[..1]).await, [Some(6)]);
}
