//! `config/copilot-k8s.toml` as it ships, with that deployment's variables: two weirs, three replicas, one Redis.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use weir_testkit::{Exchange, Redis, Upstream, Weir, client::ask, eventually, mint, sockets};

use crate::stage::weir;

/// A replica that says which one it is.
async fn replica(name: &'static str) -> Upstream {
    Upstream::scripted(move |exchange: Exchange| async move {
        exchange.answer("200 OK", &[], name).await;
        exchange.done();
    })
    .await
}

/// That deployment's variables, but for these.
async fn start(redis: &Redis, replicas: &[Upstream; 3], other: &[(&str, &str)]) -> Weir {
    let mut run = weir();
    let log = run.folder().join("access.log").display().to_string();
    let usual = [
        ("JWT_SECRET", mint::SECRET),
        ("RATE_LIMIT_REQUESTS", "100"),
        ("RATE_LIMIT_WINDOW_MS", "3600000"),
        ("REDIS_URL", &redis.url()),
        ("PORT", "0"),
        ("LOG_LEVEL", "debug"),
        ("TIMEOUT_MS", "30000"),
        ("MAX_RETRIES", "2"),
        ("WEIR_ADMIN", "127.0.0.1:0"),
        ("WEIR_LOG", &log),
    ];
    for (name, value) in usual.iter().chain(other) {
        run = run.env(name, value);
    }
    for (number, replica) in replicas.iter().enumerate() {
        run = run.env(
            &format!("COPILOT_{}", number + 1),
            &replica.address().to_string(),
        );
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/copilot-k8s.toml");
    run.spawn(&file).await
}

#[tokio::test]
async fn two_weirs_three_replicas_and_one_redis() {
    let Some(redis) = Redis::start("two_weirs_three_replicas_and_one_redis").await else {
        return;
    };
    let replicas = [
        replica("one").await,
        replica("two").await,
        replica("three").await,
    ];
    let weirs = [
        start(&redis, &replicas, &[]).await,
        start(&redis, &replicas, &[]).await,
    ];
    let claims = json!({ "sub": "ada", "tenant_id": "acme", "exp": mint::unix(7200) });
    let token = format!("authorization: Bearer {}", mint::token(&claims));
    // Not across the turn of the hour.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    let left = 3600 - now.as_secs() % 3600;
    if left < 20 {
        tokio::time::sleep(std::time::Duration::from_secs(left + 1)).await;
    }

    let mut by_replica = std::collections::BTreeMap::new();
    let mut refused = 0;
    for number in 0..300 {
        let answer = ask(weirs[number % 2].address(), "GET", "/chat", &[&token]).await;
        match answer.status() {
            200 => *by_replica.entry(answer.text()).or_insert(0) += 1,
            429 => {
                refused += 1;
                assert!(answer.header("retry-after").is_some());
            }
            status => panic!("{status}"),
        }
    }
    assert_eq!((by_replica.values().sum::<i32>(), refused), (100, 200));
    assert_eq!(by_replica.len(), 3, "{by_replica:?}");

    let weir = &weirs[0];
    let none = ask(weir.address(), "GET", "/chat", &[]).await;
    assert_eq!(none.status(), 401);
    assert_eq!(
        ask(weir.address(), "GET", "/health", &[]).await.status(),
        200
    );
    let metrics = ask(weir.address(), "GET", "/metrics", &[]).await;
    assert_eq!(metrics.status(), 200);
    for family in [
        "http_requests_total{method=\"GET\",route=\"api\",status=\"429\"} 100\n",
        "# HELP http_request_duration_seconds ",
        "# HELP active_conversations ",
    ] {
        assert!(metrics.text().contains(family), "{family}");
    }
    let line = weir.logged("/chat").await;
    for key in [
        "timestamp",
        "level",
        "service",
        "trace_id",
        "span_id",
        "message",
        "method",
        "status",
        "duration_ms",
    ] {
        assert!(!line[key].is_null(), "{key} {line}");
    }
    assert_eq!(
        (&line["user_id"], &line["tenant_id"]),
        (&json!("ada"), &json!("acme"))
    );
    assert_eq!(line["service"], "copilot");
}

/// A replica that answers once on each connection and then hangs up on the next request; that never answers on `/slow`; and that is well.
async fn fickle() -> Upstream {
    let answered = Arc::new(Mutex::new(HashSet::new()));
    Upstream::scripted(move |exchange: Exchange| {
        let first = exchange.head.target() == "/health"
            || answered
                .lock()
                .expect("no panic")
                .insert(exchange.connection());
        async move {
            match exchange.head.target() {
                "/slow" => drop(exchange.gone().await),
                _ if first => {
                    exchange.answer("200 OK", &[], "yes").await;
                    exchange.done();
                }
                _ => exchange.close().await,
            }
        }
    })
    .await
}

fn bearer(secret: &str) -> String {
    let claims = json!({ "sub": "ada", "tenant_id": "acme", "exp": mint::unix(7200) }).to_string();
    let token = mint::signed(r#"{"alg":"HS256"}"#, &claims, secret);
    format!("authorization: Bearer {token}")
}

#[tokio::test]
async fn every_variable_takes_effect() {
    let Some(redis) = Redis::start("every_variable_takes_effect").await else {
        return;
    };
    let Some(other) = Redis::start("every_variable_takes_effect").await else {
        return;
    };
    let replicas = [fickle().await, fickle().await, fickle().await];
    let token = bearer(mint::SECRET);
    let status =
        async |weir: &Weir, path: &str| ask(weir.address(), "GET", path, &[&token]).await.status();

    // JWT_SECRET, and the quota as it is told.
    const SECRET: &str = "quite-another-secret-of-at-least-32-bytes";
    let variables = [
        ("JWT_SECRET", SECRET),
        ("RATE_LIMIT_REQUESTS", "7"),
        ("RATE_LIMIT_WINDOW_MS", "120000"),
    ];
    let weir = start(&redis, &replicas, &variables).await;
    assert_eq!(status(&weir, "/").await, 401);
    let answer = ask(weir.address(), "GET", "/", &[&bearer(SECRET)]).await;
    assert_eq!(answer.status(), 200);
    let policy = answer.header("ratelimit-policy").unwrap_or_default();
    assert!(
        policy.contains("q=7") && policy.contains("w=120"),
        "{policy}"
    );
    drop(weir);

    // REDIS_URL: what one has counted, one with another Redis has not.
    let once = [
        ("RATE_LIMIT_REQUESTS", "1"),
        ("RATE_LIMIT_WINDOW_MS", "31536000000"),
    ];
    let weir = start(&redis, &replicas, &once).await;
    assert_eq!(status(&weir, "/").await, 200);
    assert_eq!(status(&weir, "/").await, 429);
    drop(weir);
    let elsewhere = [once[0], once[1], ("REDIS_URL", &other.url())];
    let weir = start(&redis, &replicas, &elsewhere).await;
    assert_eq!(status(&weir, "/").await, 200);
    weir.wait_metric("weir_store_up", &[], 1.0).await;
    drop(weir);

    // PORT, and LOG_LEVEL at both ends.
    let port = sockets::free_port().to_string();
    let weir = start(
        &redis,
        &replicas,
        &[("PORT", &port), ("LOG_LEVEL", "error")],
    )
    .await;
    assert_eq!(weir.address().port().to_string(), port);
    assert_eq!(status(&weir, "/").await, 200);
    assert_eq!(weir.stderr(), "");
    drop(weir);
    let weir = start(&redis, &replicas, &[("LOG_LEVEL", "debug")]).await;
    eventually("a line of debugging", async || {
        status(&weir, "/slower").await;
        weir.stderr().contains("DEBUG").then_some(())
    })
    .await;
    drop(weir);

    // TIMEOUT_MS
    let weir = start(&redis, &replicas, &[("TIMEOUT_MS", "150")]).await;
    assert_eq!(status(&weir, "/slow").await, 504);
    drop(weir);

    // MAX_RETRIES: every second request of a connection is hung up on.
    for (retries, failing) in [("0", true), ("10", false)] {
        let weir = start(
            &redis,
            &replicas,
            &[("MAX_RETRIES", retries), ("RATE_LIMIT_REQUESTS", "100000")],
        )
        .await;
        let mut failed = 0;
        for _ in 0..24 {
            failed += u32::from(status(&weir, "/again").await == 502);
        }
        assert_eq!(failed > 0, failing, "{retries}: {failed}");
        let retried = weir
            .metrics()
            .await
            .value("weir_upstream_retries_total", &[]);
        assert_eq!(retried > 0.0, !failing, "{retries}: {retried}");
    }
}
