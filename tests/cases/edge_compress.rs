//! Compression: what is compressed where a route asks for it, what never is, and that nothing is held back for its sake.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use tokio::io::{AsyncRead, AsyncReadExt};
use weir_testkit::{
    Client, End, Upstream,
    client::{ask, get},
};

use crate::stage::{RUN_FINISHED, RUN_STARTED, asked, everything, route, stage, weir};

async fn read(mut decoder: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    decoder
        .read_to_string(&mut text)
        .await
        .expect("whole and well coded");
    text
}

async fn decoded(coding: Option<&str>, body: &[u8]) -> String {
    match coding {
        None => String::from_utf8(body.to_vec()).unwrap(),
        Some("gzip") => read(GzipDecoder::new(body)).await,
        Some("br") => read(BrotliDecoder::new(body)).await,
        Some("zstd") => read(ZstdDecoder::new(body)).await,
        Some(other) => panic!("{other}"),
    }
}

fn long() -> String {
    (0..4000)
        .map(|n| format!("line {n} of what compresses well\n"))
        .collect()
}

/// Answers with the headers that the request's query lists.
async fn obeying() -> Upstream {
    Upstream::scripted(|mut exchange| async move {
        exchange.body().await;
        let query = exchange
            .head
            .target()
            .split_once('?')
            .map_or("", |(_, query)| query);
        let headers: Vec<String> = query
            .split('&')
            .map(|pair| {
                pair.replace('=', ": ")
                    .replace('+', " ")
                    .replace('\'', "\"")
            })
            .collect();
        let headers: Vec<&str> = headers
            .iter()
            .map(String::as_str)
            .filter(|h| !h.is_empty())
            .collect();
        let body = if exchange.head.method() == "HEAD" {
            String::new()
        } else {
            long()
        };
        if exchange.head.method() == "HEAD" {
            let length = format!("content-length: {}", long().len());
            let all: Vec<&str> = headers.iter().copied().chain([length.as_str()]).collect();
            exchange.head("200 OK", &all).await;
        } else {
            exchange.answer("200 OK", &headers, body).await;
        }
        exchange.done();
    })
    .await
}

#[tokio::test]
async fn text_is_compressed_as_the_client_likes_it() {
    let up = obeying().await;
    let weir = weir()
        .top("workers = 1")
        .start(&everything(up.address(), "compress = true"))
        .await;
    for (accept, coding) in [
        ("gzip", Some("gzip")),
        ("gzip, deflate, br", Some("br")),
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip;q=0", None),
        ("identity", None),
    ] {
        let answer = get(
            weir.address(),
            "/x?content-type=application/json&etag='v1'&accept-ranges=bytes",
            &[&format!("Accept-Encoding: {accept}")],
        )
        .await;
        assert_eq!((answer.status(), answer.end), (200, End::Clean), "{accept}");
        assert_eq!(answer.header("content-encoding"), coding, "{accept}");
        assert!(answer.head.lists("vary", "accept-encoding"), "{accept}");
        assert_eq!(decoded(coding, &answer.body).await, long(), "{accept}");
        let (tag, ranges) = match coding {
            Some(_) => ("W/\"v1\"", None),
            None => ("\"v1\"", Some("bytes")),
        };
        assert_eq!(
            (answer.header("etag"), answer.header("accept-ranges")),
            (Some(tag), ranges)
        );
        if coding.is_some() {
            assert_eq!(answer.header("content-length"), None);
            assert!(
                answer.body.len() * 4 < long().len(),
                "{accept}: {}",
                answer.body.len()
            );
        }
    }
    // The same words without the body.
    let head = ask(
        weir.address(),
        "HEAD",
        "/x?content-type=text/css",
        &["Accept-Encoding: br"],
    )
    .await;
    assert_eq!(
        (
            head.header("content-encoding"),
            head.header("content-length")
        ),
        (Some("br"), None)
    );
    assert_eq!((head.body.len(), head.end), (0, End::Clean));
    // All on connections that went back to their pool.
    assert_eq!(up.accepted(), 1);
}

#[tokio::test]
async fn what_asks_to_be_left_alone_is() {
    let up = obeying().await;
    let config = everything(up.address(), "compress = [\"gzip\"]")
        + &route("plain", "/plain", "to = \"up\"");
    let weir = weir().start(&config).await;
    let accept = "Accept-Encoding: gzip, br, zstd";
    for target in [
        "/plain?content-type=text/plain",
        "/x?content-type=image/png",
        "/x?content-type=text/plain&content-encoding=br",
        "/x?content-type=text/plain&cache-control=no-transform",
        "/x?content-type=text/plain&content-range=bytes+0-9/100",
        "/x?content-type=text/event-stream",
        "/x?content-type=application/x-ndjson",
        "/x?content-type=application/grpc",
        "/x?content-type=multipart/mixed",
    ] {
        let answer = get(weir.address(), target, &[accept]).await;
        assert_ne!(answer.header("content-encoding"), Some("gzip"), "{target}");
        assert_eq!(answer.text(), long(), "{target}");
    }
    let answer = get(
        weir.address(),
        "/x?content-type=text/plain",
        &[accept, "Cache-Control: no-transform"],
    )
    .await;
    assert_eq!(answer.header("content-encoding"), None);
    let answer = get(weir.address(), "/x?content-type=text/plain", &[accept]).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_stream_cannot_be_compressed_by_any_setting() {
    let (weir, mut up) = stage("compress = true\nstream = true").await;
    for kind in ["text/event-stream", "application/x-ndjson", "text/plain"] {
        let mut client = Client::connect(weir.address()).await;
        client
            .request("GET", "/s", &["Accept-Encoding: gzip, br"])
            .await;
        let exchange = up.exchange().await;
        exchange
            .head(
                "200 OK",
                &[
                    &format!("content-type: {kind}"),
                    "transfer-encoding: chunked",
                ],
            )
            .await;
        let head = client.head().await;
        assert_eq!(head.header("content-encoding"), None, "{kind}");
        exchange.chunk(RUN_STARTED).await;
        assert_eq!(client.until("\n\n").await, RUN_STARTED);
        exchange.chunk(RUN_FINISHED).await;
        exchange.end().await;
        assert_eq!(client.rest().await.1, End::Clean);
    }
}

#[tokio::test]
async fn what_dribbles_still_dribbles() {
    let (weir, mut up) = stage("compress = [\"gzip\"]").await;
    let mut client = Client::connect(weir.address()).await;
    client
        .request("GET", "/x", &["Accept-Encoding: gzip"])
        .await;
    let exchange = up.exchange().await;
    exchange
        .head(
            "200 OK",
            &["content-type: text/plain", "transfer-encoding: chunked"],
        )
        .await;
    assert_eq!(client.head().await.header("content-encoding"), Some("gzip"));
    let mut coded = Vec::new();
    for n in 0..3 {
        let said = format!("piece {n} ");
        exchange.chunk(&said).await;
        // Before the upstream has sent the next: what there is can be decoded.
        loop {
            coded.extend(client.piece().await.expect("a piece"));
            let mut text = Vec::new();
            let _ = GzipDecoder::new(&coded[..]).read_to_end(&mut text).await;
            if String::from_utf8_lossy(&text).ends_with(&said) {
                break;
            }
        }
    }
    exchange.end().await;
    let (rest, end) = client.rest().await;
    assert_eq!(end, End::Clean);
    coded.extend(rest);
    assert_eq!(
        decoded(Some("gzip"), &coded).await,
        "piece 0 piece 1 piece 2 "
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let (weir, mut up) = stage("compress = true").await;
    let (mut client, exchange) = asked(&weir, &mut up, "/x").await;
    exchange
        .head(
            "200 OK",
            &["content-type: text/plain", "content-length: 100000"],
        )
        .await;
    exchange.close_with("only the beginning").await;
    client.head().await;
    assert_ne!(client.rest().await.1, End::Clean);

    let mut client = Client::connect(weir.address()).await;
    client
        .request("GET", "/x", &["Accept-Encoding: gzip"])
        .await;
    let exchange = up.exchange().await;
    exchange
        .head(
            "200 OK",
            &["content-type: text/plain", "content-length: 100000"],
        )
        .await;
    exchange.close_with("only the beginning").await;
    assert_eq!(client.head().await.header("content-encoding"), Some("gzip"));
    assert_ne!(client.rest().await.1, End::Clean);
    weir.wait_metric(
        "weir_exchanges_total",
        &[("outcome", "upstream_failed")],
        2.0,
    )
    .await;
}

#[tokio::test]
async fn files_are_compressed_too() {
    let run = weir().file("site/a.js", long()).file("site/b.png", long());
    let config = route("site", "/*", "files = { root = \"site\" }\ncompress = true");
    let weir = run.start(&config).await;
    let accept = "Accept-Encoding: br";
    let answer = get(weir.address(), "/a.js", &[accept]).await;
    assert_eq!(answer.header("content-encoding"), Some("br"));
    assert_eq!(decoded(Some("br"), &answer.body).await, long());
    let answer = get(weir.address(), "/b.png", &[accept]).await;
    assert_eq!(
        (answer.header("content-encoding"), answer.text()),
        (None, long())
    );
    let part = get(weir.address(), "/a.js", &[accept, "Range: bytes=0-9"]).await;
    assert_eq!(
        (
            part.status(),
            part.header("content-encoding"),
            part.body.len()
        ),
        (206, None, 10)
    );
}
