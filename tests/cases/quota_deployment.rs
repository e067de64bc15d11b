//! `config/copilot-k8s.toml` as it ships, with that deployment's variables: two weirs, three replicas, one Redis.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use weir_testkit::{Exchange, Redis, Upstream, Weir, client::ask, mint};

use crate::stage::weir;

/// A replica that says which one it is.
async fn replica(name: &'static str) -> Upstream {
    Upstream::scripted(move |exchange: Exchange| async move {
        exchange.answer("200 OK", &[], name).await;
        exchange.done();
    })
    .await
}

async fn start(redis: &Redis, replicas: &[Upstream; 3]) -> Weir {
    let run = weir();
    let log = run.folder().join("access.log").display().to_string();
    let mut run = run
        .env("JWT_SECRET", mint::SECRET)
        .env("RATE_LIMIT_REQUESTS", "100")
        .env("RATE_LIMIT_WINDOW_MS", "3600000")
        .env("REDIS_URL", &redis.url())
        .env("PORT", "0")
        .env("LOG_LEVEL", "debug")
        .env("TIMEOUT_MS", "30000")
        .env("MAX_RETRIES", "2")
        .env("WEIR_ADMIN", "127.0.0.1:0")
        .env("WEIR_LOG", &log);
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
        start(&redis, &replicas).await,
        start(&redis, &replicas).await,
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
