//! Requests whose bodies do not come as they should, and answers that do not wait for them.

use std::time::Duration;

use weir_testkit::{Client, End, Upstream};

use crate::stage::{CONTENT, RUN_STARTED, everything, pass, route, stage, upstream, weir};

const HALF: &str = "POST /s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nhalf of it";

/// The upstream cannot answer what it has not got: the client's clock runs, not the upstream's.
#[tokio::test]
async fn a_client_that_stalls_is_told_so_and_not_that_the_upstream_is_late() {
    let mut up = Upstream::start().await;
    let config = [
        "[client]\nbody_idle = \"900ms\"\n\n".to_owned(),
        upstream("up", up.address(), "timeout = { headers = \"200ms\" }"),
        route("all", "/*", "to = \"up\""),
    ];
    let weir = weir().start(&config.concat()).await;
    let mut client = Client::connect(weir.address()).await;
    client.send(HALF).await;
    let exchange = up.exchange().await;
    assert_eq!(client.head().await.status(), 408);
    exchange.gone().await;
    assert_eq!(weir.logged("/s").await["reason"], "body_stalled");
}

/// A stream that ends because its own request broke is nobody else's failure.
#[tokio::test]
async fn a_request_that_grows_too_large_under_its_answer_is_the_clients_fault() {
    let (weir, mut up) = stage("max_body = 64").await;
    let mut client = Client::connect(weir.address()).await;
    client
        .send("POST /s HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        .await;
    let exchange = up.exchange().await;
    exchange.stream().await;
    client.head().await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    client.send(format!("50\r\n{}\r\n", "x".repeat(0x50))).await;
    assert_ne!(client.rest().await.1, End::Clean);
    assert_eq!(weir.logged("/s").await["outcome"], "request_failed");
}

/// What follows an early answer is the rest of a body, not a head that is late.
#[tokio::test]
async fn the_rest_of_an_unread_body_is_not_taken_for_a_request() {
    let mut up = Upstream::start().await;
    let clocks = "[client]\nhead = \"200ms\"\nkeep_alive = \"1200ms\"\n\n";
    let config = clocks.to_owned() + &everything(up.address(), "");
    let weir = weir().start(&config).await;
    let mut client = Client::connect(weir.address()).await;
    client.send(HALF).await;
    let exchange = up.exchange().await;
    exchange.answer("200 OK", &[], "early").await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "early");
    assert_eq!(answer.header("connection"), Some("close"));
    // Longer than a head may take, shorter than silence may last.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let _ = client.try_send("x").await;
    }
    let (more, _) = client.rest().await;
    assert_eq!(String::from_utf8_lossy(&more), "");
}

/// A server that has its say in the middle of a body and closes: the kernel resets what it has not read. What it said is what the client
/// gets, every time.
#[tokio::test]
async fn an_upstream_that_refuses_an_upload_and_closes_is_heard() {
    let mut up = Upstream::start_narrow().await;
    let weir = weir().start(&everything(up.address(), "")).await;
    for _ in 0..10 {
        let mut client = Client::connect(weir.address()).await;
        client
            .send("POST /s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8000000\r\n\r\n")
            .await;
        let exchange = up.exchange().await;
        exchange.read(false);
        client.send("x".repeat(200_000)).await;
        exchange.answer("413 Content Too Large", &[], "no").await;
        exchange.close().await;
        // What is sent on may find weir's side closed already.
        let _ = client.try_send("x".repeat(100_000)).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text()), (413, "no".to_owned()));
    }
}

/// An answer that weir has in hand is not cut because its reader takes its time.
#[tokio::test]
async fn a_slow_reader_outlasts_the_keep_alive() {
    const SIZE: usize = 6_000_000;
    let upstream = Upstream::scripted(|exchange| async move {
        exchange.answer("200 OK", &[], vec![b'x'; SIZE]).await;
        exchange.done();
    })
    .await;
    let config =
        "[client]\nkeep_alive = \"300ms\"\n\n".to_owned() + &everything(upstream.address(), "");
    let weir = weir().start(&config).await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/s", &[]).await;
    client.head().await;
    let mut read = 0;
    while let Ok(piece) = client.piece().await {
        if read / 1_000_000 < (read + piece.len()) / 1_000_000 {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        read += piece.len();
    }
    assert_eq!(read, SIZE);
}

/// The same for a stream: what came behind the head is whole.
#[tokio::test]
async fn an_upload_and_its_stream_go_side_by_side() {
    let (weir, mut up) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    client.send(HALF).await;
    let exchange = up.exchange().await;
    exchange.stream().await;
    client.head().await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    client.send("y".repeat(90)).await;
    pass(&exchange, &mut client, CONTENT).await;
    exchange.end().await;
    assert_eq!(client.rest().await.1, End::Clean);
    assert_eq!(weir.logged("/s").await["outcome"], "complete");
}
