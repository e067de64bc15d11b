//! Answers that upstreams of another age or habit give: without chunks, with trailers, with an encoding. Each must reach the client whole,
//! or be seen to be broken, and be accounted for what it was.

use weir_testkit::{
    Client, End, Upstream,
    client::{ask, get},
};

use crate::stage::{RUN_STARTED, asked, pass, route, stage, streaming, upstream, weir};

/// An HTTP/1.0 server marks the end of its answer by closing; its client must not lose the chunks for that.
#[tokio::test]
async fn what_an_old_server_breaks_does_not_look_whole() {
    let (weir, mut up) = stage("").await;
    let (mut client, exchange) = asked(&weir, &mut up, "/s").await;
    exchange
        .send("HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.line.starts_with("HTTP/1.1 200"), "{}", head.line);
    exchange.send(RUN_STARTED).await;
    assert_eq!(client.event().await, RUN_STARTED);
    exchange.close().await;
    let (body, end) = client.rest().await;
    assert_eq!(end, End::Eof);
    assert!(String::from_utf8_lossy(&body).contains("RUN_ERROR"));
    assert_eq!(weir.logged("/s").await["outcome"], "upstream_failed");
}

#[tokio::test]
async fn trailers_end_an_answer_and_keep_its_connection() {
    let (weir, mut up) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    for target in ["/first", "/second"] {
        client.request("GET", target, &[]).await;
        let exchange = up.exchange().await;
        exchange
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.text(), "ok");
        assert_eq!(weir.logged(target).await["outcome"], "complete");
        assert_eq!(exchange.connection(), 0, "one connection serves both");
        exchange.done();
    }
}

/// Events that may not be read cannot be late.
#[tokio::test]
async fn the_first_events_clock_leaves_encoded_streams_alone() {
    let mut up = Upstream::start().await;
    let keys = "to = \"up\"\ntimeout = { first_event = \"100ms\", idle = \"60s\" }";
    let config = upstream("up", up.address(), "") + &route("all", "/*", keys);
    let weir = weir().start(&config).await;
    let (mut client, exchange) = asked(&weir, &mut up, "/s").await;
    exchange
        .head(
            "200 OK",
            &[
                "content-type: text/event-stream",
                "content-encoding: gzip",
                "transfer-encoding: chunked",
            ],
        )
        .await;
    client.head().await;
    // Ten times the clock, piece by piece.
    for piece in 0..10 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        exchange.chunk(format!("<{piece}>")).await;
        client.until(&format!("<{piece}>")).await;
    }
    exchange.end().await;
    assert_eq!(client.rest().await.1, End::Clean);
    assert_eq!(weir.logged("/s").await["outcome"], "complete");
}

/// A part of a changed file must not be joined to a part of the old one.
#[tokio::test]
async fn a_range_of_a_changed_file_is_the_whole_file() {
    let weir = weir()
        .file("site/a.txt", "0123456789")
        .start(&route("site", "/*", "files = { root = \"site\" }"))
        .await;
    let part = get(weir.address(), "/a.txt", &["Range: bytes=2-3"]).await;
    assert_eq!((part.status(), part.text()), (206, "23".to_owned()));
    let whole = get(
        weir.address(),
        "/a.txt",
        &["Range: bytes=2-3", "If-Range: \"old\""],
    )
    .await;
    assert_eq!(
        (whole.status(), whole.text()),
        (200, "0123456789".to_owned())
    );
    // Whatever is no range of bytes asks for nothing less than the whole.
    for range in [
        "lines=0-1",
        "bytesx=0-1",
        "0-1",
        "items",
        "=0-1",
        "\"bytes=0-1\"",
    ] {
        let answer = get(weir.address(), "/a.txt", &[&format!("Range: {range}")]).await;
        assert_eq!(answer.status(), 200, "{range}");
        assert_eq!(answer.text(), "0123456789", "{range}");
    }
    for range in ["Bytes=2-3", "BYTES=2-3", "bytes= 2-3", "bytes=-2"] {
        let answer = get(weir.address(), "/a.txt", &[&format!("Range: {range}")]).await;
        assert_eq!(answer.status(), 206, "{range}");
    }
    // Nor does the RFC bound the numbers, and more from the end than there is means all of it.
    for (range, told, text) in [
        ("bytes=-11", "bytes 0-9/10", "0123456789"),
        ("bytes=-1000", "bytes 0-9/10", "0123456789"),
        (
            "bytes=-99999999999999999999999",
            "bytes 0-9/10",
            "0123456789",
        ),
        ("bytes=-02", "bytes 8-9/10", "89"),
        (
            "bytes=0-99999999999999999999999",
            "bytes 0-9/10",
            "0123456789",
        ),
        ("bytes=007-0008", "bytes 7-8/10", "78"),
    ] {
        let answer = get(weir.address(), "/a.txt", &[&format!("Range: {range}")]).await;
        assert_eq!(
            (answer.status(), answer.header("content-range")),
            (206, Some(told)),
            "{range}"
        );
        assert_eq!(answer.text(), text, "{range}");
    }
    for range in [
        "bytes=-0",
        "bytes=-00",
        "bytes=10-",
        "bytes=99999999999999999999999-",
        "bytes=--1",
    ] {
        let answer = get(weir.address(), "/a.txt", &[&format!("Range: {range}")]).await;
        assert_eq!(
            (answer.status(), answer.header("content-range")),
            (416, Some("bytes */10")),
            "{range}"
        );
    }
    let head = ask(weir.address(), "HEAD", "/a.txt", &["Range: bytes=2-3"]).await;
    assert_eq!(
        (head.status(), head.header("content-length")),
        (200, Some("10"))
    );
    let several = get(weir.address(), "/a.txt", &["Range: bytes=0-1,4-5"]).await;
    assert_eq!(
        (several.status(), several.text()),
        (200, "0123456789".to_owned())
    );
    let long = get(weir.address(), &format!("/{}", "x".repeat(300)), &[]).await;
    assert_eq!(long.status(), 404);
}

/// Nothing has neither a first byte nor a last, and all of it can be had.
#[tokio::test]
async fn an_empty_file_has_no_parts() {
    let weir = weir()
        .file("site/none", "")
        .start(&route("site", "/*", "files = { root = \"site\" }"))
        .await;
    for (range, status, told) in [
        ("bytes=0-", 416, Some("bytes */0")),
        ("bytes=0-0", 416, Some("bytes */0")),
        ("bytes=5-", 416, Some("bytes */0")),
        ("bytes=-0", 416, Some("bytes */0")),
        ("bytes=-5", 200, None),
    ] {
        let answer = get(weir.address(), "/none", &[&format!("Range: {range}")]).await;
        assert_eq!(
            (answer.status(), answer.header("content-range")),
            (status, told),
            "{range}"
        );
        assert_eq!(answer.end, End::Clean, "{range}");
    }
}

#[tokio::test]
async fn a_stream_after_an_old_servers_answer_is_a_stream_again() {
    let (weir, mut up) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/old", &[]).await;
    let exchange = up.exchange().await;
    exchange.close_with("HTTP/1.0 200 OK\r\n\r\nold").await;
    // The connection to the client is kept, although the upstream's was not.
    assert_eq!(client.answer().await.text(), "old");
    let (mut client, exchange) = streaming(&weir, &mut up, "/s").await;
    pass(&exchange, &mut client, RUN_STARTED).await;
}
