//! The store dies and comes back under load: no request fails for it, nobody waits for it, and it is told once.

use std::time::{Duration, Instant};

use weir_testkit::{Client, Redis, Upstream, Weir, client::get, eventually};

use crate::stage::{everything, route, weir};

fn config(redis: &Redis) -> String {
    let limit = |name: &str, more: &str| {
        format!(
            "[limit.{name}]\nby = \"client_ip\"\nrate = \"1000000/1h\"\nstore = \"redis\"\n{more}\n\n"
        ) + &route(
            name,
            &format!("/{name}"),
            &format!("serve = \"health\"\nlimit = \"{name}\""),
        )
    };
    format!("[store.redis]\nurl = \"{}\"\n\n", redis.url())
        + &limit("local", "")
        + &limit("deny", "on_store_failure = \"deny\"")
        + &limit("allow", "on_store_failure = \"allow\"")
}

async fn state(weir: &Weir, up: f64, outages: f64) {
    let store = [("store", "redis")];
    weir.wait_metric("weir_store_up", &store, up).await;
    let metrics = weir.metrics().await;
    assert_eq!(metrics.value("weir_store_outages_total", &store), outages);
    // The log comes by a pipe, and may be a moment behind the metric.
    let said = |text| weir.stderr().matches(text).count() as f64;
    let expected = (outages, outages - 1.0 + up);
    eventually("the log to say so once for each time", async || {
        let told = (said("limits is away"), said("limits is back"));
        assert!(
            told.0 <= expected.0 && told.1 <= expected.1.max(0.0),
            "{told:?}"
        );
        (told == (expected.0, expected.1.max(0.0))).then_some(())
    })
    .await;
}

async fn status(weir: &Weir, path: &str) -> u16 {
    get(weir.address(), path, &[]).await.status()
}

/// What it answers to every write then is no answer to one question: its trial finds it out without any request.
#[tokio::test]
async fn without_memory_it_is_away() {
    let Some(redis) = Redis::start("without_memory_it_is_away").await else {
        return;
    };
    let weir = weir().start(&config(&redis)).await;
    state(&weir, 1.0, 0.0).await;
    redis.ask("CONFIG SET maxmemory 1").await;
    state(&weir, 0.0, 1.0).await;
    assert_eq!(status(&weir, "/local").await, 200);
    assert_eq!(status(&weir, "/deny").await, 503);
    redis.ask("CONFIG SET maxmemory 0").await;
    state(&weir, 1.0, 1.0).await;
}

#[tokio::test]
async fn it_stops_midway_and_comes_back() {
    let Some(mut redis) = Redis::start("it_stops_midway_and_comes_back").await else {
        return;
    };
    let weir = weir().start(&config(&redis)).await;
    let load = {
        let address = weir.address();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let stopped = stopped.clone();
                tokio::spawn(async move {
                    let mut count = 0;
                    while !*stopped.borrow() {
                        let answer = get(address, "/local", &[]).await;
                        assert_eq!(answer.status(), 200, "{}", answer.text());
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        (stop, tasks)
    };
    state(&weir, 1.0, 0.0).await;
    redis.stop();
    state(&weir, 0.0, 1.0).await;
    assert_eq!(status(&weir, "/allow").await, 200);
    let denied = get(weir.address(), "/deny", &[]).await;
    assert_eq!(denied.status(), 503);
    assert_eq!(denied.header("retry-after"), Some("1"));
    redis.again().await;
    state(&weir, 1.0, 1.0).await;
    assert_eq!(status(&weir, "/deny").await, 200);
    redis.stop();
    state(&weir, 0.0, 2.0).await;
    load.0.send_replace(true);
    let mut answered = 0;
    for task in load.1 {
        answered += task.await.expect("no failed request");
    }
    eprintln!("{answered} requests, none failed");
    let metrics = weir.metrics().await;
    let local = [("limit", "local"), ("result", "local")];
    assert!(metrics.value("weir_limit_decisions_total", &local) > 0.0);
}

#[tokio::test]
async fn it_hangs_and_only_the_first_wait() {
    let Some(redis) = Redis::start("it_hangs_and_only_the_first_wait").await else {
        return;
    };
    let weir = weir().start(&config(&redis)).await;
    assert_eq!(status(&weir, "/local").await, 200);
    redis.signal("STOP");
    let began = Instant::now();
    assert_eq!(status(&weir, "/local").await, 200);
    let first = began.elapsed();
    state(&weir, 0.0, 1.0).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let began = Instant::now();
        assert_eq!(status(&weir, "/local").await, 200);
        slowest = slowest.max(began.elapsed());
    }
    eprintln!("first {first:?}, slowest of the others {slowest:?}");
    assert!(slowest < Duration::from_millis(90), "{slowest:?}");
    redis.signal("CONT");
    state(&weir, 1.0, 1.0).await;
}

#[tokio::test]
async fn one_that_was_never_there_keeps_nobody_from_starting() {
    let test = "one_that_was_never_there_keeps_nobody_from_starting";
    let Some(mut redis) = Redis::start(test).await else {
        return;
    };
    redis.stop();
    let weir = weir().start(&config(&redis)).await;
    state(&weir, 0.0, 1.0).await;
    assert_eq!(status(&weir, "/local").await, 200);
    redis.again().await;
    state(&weir, 1.0, 1.0).await;
}

/// A counter that somebody else's data stands in: that one decision has none, and everybody else's are made as before.
#[tokio::test]
async fn an_error_that_it_answers_takes_nothing_else_away() {
    let test = "an_error_that_it_answers_takes_nothing_else_away";
    let Some(redis) = Redis::start(test).await else {
        return;
    };
    let weir = weir().start(&config(&redis)).await;
    let paths = ["/local", "/deny", "/allow"];
    for path in paths {
        assert_eq!(status(&weir, path).await, 200);
    }
    for name in ["local", "deny", "allow"] {
        spoil(&redis, &format!(":g:{name}")).await;
    }
    for (path, expected) in paths.into_iter().zip([200, 503, 200]) {
        assert_eq!(status(&weir, path).await, expected, "{path}");
    }
    let store = [("store", "redis")];
    weir.wait_metric("weir_store_errors_total", &store, 3.0)
        .await;
    state(&weir, 1.0, 0.0).await;
    for name in ["local", "deny", "allow"] {
        let labels = [("limit", name), ("result", name)];
        let metrics = weir.metrics().await;
        assert_eq!(metrics.value("weir_limit_decisions_total", &labels), 1.0);
    }
    assert_eq!(weir.stderr().matches("answers with an error").count(), 1);
    redis.ask("FLUSHALL").await;
    assert_eq!(status(&weir, "/deny").await, 200);
}

/// A debt that can never be paid is given up, and stands in nobody's way.
#[tokio::test]
async fn a_debt_that_it_answers_with_an_error_is_lost() {
    let Some(redis) = Redis::start("a_debt_that_it_answers_with_an_error_is_lost").await else {
        return;
    };
    let mut upstream = Upstream::start().await;
    let config = format!(
        "[store.redis]\nurl = \"{}\"\n\n[limit.budget]\nby = \"header:who\"\ntokens = \"100/366d\"\nestimate = 10\nstore = \"redis\"\n\n",
        redis.url()
    ) + &everything(upstream.address(), "limit = \"budget\"");
    let weir = weir().start(&config).await;
    for (who, lost) in [("who: ana", 1.0), ("who: bob", 1.0)] {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/", &[who]).await;
        let exchange = upstream.exchange().await;
        if who == "who: ana" {
            spoil(&redis, ":t:budget").await;
        }
        exchange.answer("404 Not Found", &[], "none").await;
        exchange.done();
        assert_eq!(client.answer().await.status(), 404);
        let store = [("store", "redis")];
        weir.wait_metric("weir_store_settlements_lost_total", &store, lost)
            .await;
    }
    state(&weir, 1.0, 0.0).await;
    eventually("bob's tokens to come back", async || {
        let keys = redis.ask("KEYS *:t:budget").await;
        // The spoilt one is no text.
        let mut whole = 0;
        for key in keys.lines().filter(|line| line.ends_with(":t:budget")) {
            whole += usize::from(redis.ask(&format!("GET {key}")).await.contains(" 100"));
        }
        (whole == 1).then_some(())
    })
    .await;
}

/// Puts a list in the place of the counter whose key ends so.
async fn spoil(redis: &Redis, end: &str) {
    let keys = redis.ask(&format!("KEYS *{end}")).await;
    let key = keys.lines().find(|line| line.ends_with(end));
    let key = key.expect("the counter").to_owned();
    redis.ask(&format!("DEL {key}")).await;
    redis.ask(&format!("RPUSH {key} x")).await;
}
