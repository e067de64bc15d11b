//! Row 99 of the conformance table: what is sent once more when a connection that was opened for it dies, to whom, and how often. Kept
//! connections that die are in `routing.rs`, HTTP/2's refusals in `http2_upstream.rs`.

use weir_testkit::{Client, Upstream, Weir};

use crate::stage::{asked, route, stage, weir};

/// How a server lets a request down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dies {
    ByFin,
    ByRst,
    /// After one byte of an answer.
    Speaking,
}

/// The server takes the request that is next, and dies of it.
async fn die(up: &mut Upstream, how: Dies) {
    let mut exchange = up.exchange().await;
    // Unread bytes would make a FIN a reset.
    exchange.body().await;
    match how {
        Dies::ByFin => exchange.close().await,
        Dies::ByRst => exchange.reset().await,
        Dies::Speaking => exchange.close_with("H").await,
    }
}

async fn retried(weir: &Weir) -> f64 {
    weir.metrics()
        .await
        .value("weir_upstream_retries_total", &[])
}

#[tokio::test]
async fn a_fresh_connection_that_dies_silent_costs_a_get_nothing() {
    for (how, method, headers, again) in [
        (Dies::ByFin, "GET", &[][..], true),
        (Dies::ByRst, "GET", &[], true),
        (Dies::ByRst, "HEAD", &[], true),
        (Dies::ByFin, "DELETE", &[], true),
        (Dies::Speaking, "GET", &[], false),
        (Dies::ByFin, "POST", &["Content-Length: 0"], false),
        (Dies::ByRst, "PATCH", &["Content-Length: 0"], false),
        // A body is not kept, so it cannot be sent twice.
        (Dies::ByRst, "PUT", &["Content-Length: 2"], false),
    ] {
        let (weir, mut up) = stage("").await;
        let mut client = Client::connect(weir.address()).await;
        client.request(method, "/x", headers).await;
        if headers.contains(&"Content-Length: 2") {
            client.send("hi").await;
        }
        die(&mut up, how).await;
        let expected = if again {
            let exchange = up.exchange().await;
            assert_eq!((exchange.connection(), exchange.head.method()), (1, method));
            exchange.answer("204 No Content", &[], "").await;
            204
        } else {
            502
        };
        assert_eq!(client.head().await.status(), expected, "{method} {how:?}");
        assert_eq!(
            retried(&weir).await,
            if again { 1.0 } else { 0.0 },
            "{method} {how:?}"
        );
        assert!(up.pending().is_none(), "{method} {how:?}");
    }
}

#[tokio::test]
async fn it_is_tried_as_often_as_the_file_says() {
    for retries in [0, 1, 3] {
        let mut up = Upstream::start().await;
        let config = format!(
            "[upstream.up]\nservers = [\"{}\"]\nretries = {retries}\n\n",
            up.address()
        ) + &route("all", "/*", "to = \"up\"");
        let weir = weir().start(&config).await;
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/x", &[]).await;
        for _ in 0..=retries {
            die(&mut up, Dies::ByFin).await;
        }
        assert_eq!(client.head().await.status(), 502, "{retries}");
        assert!(up.pending().is_none(), "{retries}");
        assert_eq!(retried(&weir).await, f64::from(retries));
    }
}

#[tokio::test]
async fn another_server_has_the_next_turn() {
    let mut servers = [
        Upstream::start().await,
        Upstream::start().await,
        Upstream::start().await,
    ];
    let addresses = servers
        .each_ref()
        .map(|server| format!("\"{}\"", server.address()))
        .join(", ");
    for balance in ["round-robin", "least-in-flight"] {
        let config = format!(
            "[upstream.up]\nservers = [{addresses}]\nretries = 1\nbalance = \"{balance}\"\n\n"
        ) + &route("all", "/*", "to = \"up\"");
        let weir = weir().start(&config).await;
        for _ in 0..6 {
            let mut client = Client::connect(weir.address()).await;
            client.request("GET", "/x", &[]).await;
            let (first, exchange) = next(&mut servers).await;
            exchange.close().await;
            let (second, exchange) = next(&mut servers).await;
            assert_ne!(first, second, "{balance}");
            // So that every connection is a fresh one.
            exchange
                .answer("200 OK", &["connection: close"], "ok")
                .await;
            assert_eq!(client.answer().await.text(), "ok");
        }
    }
}

/// Whom the next request reaches.
async fn next(servers: &mut [Upstream; 3]) -> (usize, weir_testkit::Exchange) {
    let [one, two, three] = servers;
    tokio::select! {
        exchange = one.exchange() => (0, exchange),
        exchange = two.exchange() => (1, exchange),
        exchange = three.exchange() => (2, exchange),
    }
}

#[tokio::test]
async fn a_client_that_leaves_meanwhile_is_not_asked_for() {
    let (weir, mut up) = stage("").await;
    let (client, exchange) = asked(&weir, &mut up, "/x").await;
    exchange.close().await;
    let again = up.exchange().await;
    drop(client);
    again.gone().await;
    weir.wait_metric("weir_upstream_in_flight", &[], 0.0).await;
    assert!(up.pending().is_none());
}
