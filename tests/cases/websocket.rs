//! WebSockets and every other wish to leave HTTP: nothing tunnels before a 101 that proves itself, and then every byte passes as it is, both ways,
//! until both sides are done. By raw bytes: weir looks at none of them, so neither do these tests, but for one whole frame.

use std::time::{Duration, Instant};

use weir_testkit::{
    Client, Exchange, H2, Upstream, Weir,
    h2::{Ended, code},
    mint,
};

use crate::stage::{everything, stage, weir};

const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const ASK: [&str; 4] = [
    "connection: keep-alive, Upgrade",
    "upgrade: websocket",
    KEY,
    "sec-websocket-version: 13",
];
const GRANT: [&str; 3] = ["connection: upgrade", "upgrade: websocket", ACCEPT];

async fn asked(weir: &Weir, upstream: &mut Upstream, more: &[&str]) -> (Client, Exchange) {
    let mut client = Client::connect(weir.address()).await;
    client
        .request("GET", "/ws", &[&ASK[..], more].concat())
        .await;
    (client, upstream.exchange().await)
}

/// A tunnel, and both its ends.
async fn tunnel(weir: &Weir, upstream: &mut Upstream) -> (Client, Exchange) {
    let (mut client, exchange) = asked(weir, upstream, &[]).await;
    exchange.head("101 Switching Protocols", &GRANT).await;
    assert_eq!(client.head().await.status(), 101);
    (client, exchange)
}

#[tokio::test]
async fn every_byte_passes_both_ways() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, mut exchange) = asked(
        &weir,
        &mut upstream,
        &[
            "sec-websocket-protocol: chat",
            "sec-websocket-extensions: permessage-deflate",
            "origin: http://other.test",
        ],
    )
    .await;
    assert_eq!(exchange.header("connection"), Some("upgrade"));
    assert_eq!(exchange.header("upgrade"), Some("websocket"));
    assert_eq!(exchange.header("sec-websocket-protocol"), Some("chat"));
    assert_eq!(exchange.header("origin"), Some("http://other.test"));
    assert_eq!(exchange.header("x-forwarded-for"), Some("127.0.0.1"));
    // With its first bytes in the segment of its head, and a request's head among them that is none.
    let hello = b"\x81\x05hello\x00\xffGET /x HTTP/1.1\r\n\r\n";
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\n{}\r\nsec-websocket-protocol: chat\r\n\r\n",
        GRANT.join("\r\n")
    );
    exchange.send([head.as_bytes(), hello].concat()).await;
    let head = client.head().await;
    assert_eq!(head.status(), 101);
    assert!(head.lists("connection", "upgrade"));
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert_eq!(head.header("sec-websocket-accept"), Some(&ACCEPT[22..]));
    assert_eq!(head.header("sec-websocket-protocol"), Some("chat"));
    let (mut seen, mut said) = (Vec::new(), Vec::new());
    while seen.len() < hello.len() {
        seen.extend(client.raw().await.expect("the upstream's bytes"));
    }
    assert_eq!(seen, hello);

    // All 256 bytes, more than any buffer of weir's, both ways at once.
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for piece in bytes.chunks(30_000) {
        client.send(piece).await;
        exchange.send(piece).await;
        while said.len() < piece.len() {
            said.extend(exchange.raw().await.expect("the client's bytes"));
        }
        assert_eq!(said, piece);
        said.clear();
        seen.clear();
        while seen.len() < piece.len() {
            seen.extend(client.raw().await.expect("the upstream's bytes"));
        }
        assert_eq!(seen, piece);
    }

    // The client's end passes by itself; what the upstream says after it still arrives.
    client.half_close().await;
    assert_eq!(exchange.raw().await, None);
    exchange.send("bye").await;
    assert_eq!(client.raw().await.as_deref(), Some(&b"bye"[..]));
    exchange.close().await;
    assert_eq!(client.raw().await, None);
    let line = weir.logged("/ws").await;
    assert_eq!(line["status"], 101, "{line}");
    assert_eq!(line["outcome"], "complete", "{line}");
    assert_eq!(line["bytes"], hello.len() + 300_003, "{line}");
    assert_eq!(line["bytes_in"], 300_000, "{line}");
}

#[tokio::test]
async fn what_the_client_sends_with_its_wish_is_the_tunnels() {
    let (weir, mut upstream) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: a.test\r\n{}\r\n\r\n",
        ASK.join("\r\n")
    );
    client.send(head + "early").await;
    let mut exchange = upstream.exchange().await;
    exchange.head("101 Switching Protocols", &GRANT).await;
    assert_eq!(exchange.raw().await.as_deref(), Some(&b"early"[..]));
}

#[tokio::test]
async fn whoever_leaves_takes_the_other_along() {
    let (weir, mut upstream) = stage("").await;
    let mut best = Duration::MAX;
    for reset in [false, true, false, true] {
        let (client, exchange) = tunnel(&weir, &mut upstream).await;
        let start = Instant::now();
        if reset {
            client.reset();
        } else {
            client.close();
        }
        best = best.min(exchange.gone().await.at - start);
        drop(exchange);
    }
    assert!(best < Duration::from_millis(100), "{best:?}");
    for reset in [false, true] {
        let (mut client, exchange) = tunnel(&weir, &mut upstream).await;
        if reset {
            exchange.reset().await;
        } else {
            exchange.close().await;
        }
        client.closed().await;
    }
    weir.wait_metric("weir_upstream_in_flight", &[], 0.0).await;
    weir.wait_metric(
        "weir_exchanges_total",
        &[("outcome", "upstream_failed")],
        1.0,
    )
    .await;
}

#[tokio::test]
async fn nothing_tunnels_without_a_101() {
    let (weir, mut upstream) = stage("").await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for (upgrade, forwarded) in [
        ("foo", None),
        ("h2c", None),
        ("websocket", Some("websocket")),
    ] {
        let mut client = Client::connect(weir.address()).await;
        let headers = ASK
            .join("\r\n")
            .replace("upgrade: websocket", &format!("upgrade: {upgrade}"));
        client
            .send(format!(
                "GET /ws HTTP/1.1\r\nHost: a.test\r\n{headers}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n{smuggled}"
            ))
            .await;
        let exchange = upstream.exchange().await;
        assert_eq!(exchange.header("upgrade"), forwarded, "{upgrade}");
        assert_eq!(exchange.header("connection"), forwarded.map(|_| "upgrade"));
        assert_eq!(exchange.header("http2-settings"), None);
        exchange.answer("200 OK", &[], "no").await;
        exchange.done();
        assert_eq!(client.answer().await.text(), "no");
        // A request of its own, or the connection is closed.
        if let Ok(head) = tokio::select! {
            head = client.try_head() => head,
            next = upstream.exchange() => {
                assert_eq!(next.head.target(), "/smuggled");
                next.answer("404 Not Found", &[], "").await;
                client.try_head().await
            }
        } {
            assert_eq!(head.status(), 404);
        }
    }
}

#[tokio::test]
async fn a_101_that_proves_nothing_is_a_502() {
    let (weir, mut upstream) = stage("").await;
    for grant in [
        &[][..],
        &["connection: upgrade", "upgrade: websocket"],
        &["connection: upgrade", "upgrade: h2c", ACCEPT],
        &["upgrade: websocket", ACCEPT],
        &[
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-accept: AAAA",
        ],
    ] {
        let (mut client, exchange) = asked(&weir, &mut upstream, &[]).await;
        exchange.head("101 Switching Protocols", grant).await;
        exchange.send("not for you").await;
        assert_eq!(client.answer().await.status(), 502, "{grant:?}");
        client.closed().await;
        exchange.gone().await;
    }
    // And a perfect one that nobody asked for.
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/ws", &ASK[2..]).await;
    let exchange = upstream.exchange().await;
    exchange.head("101 Switching Protocols", &GRANT).await;
    assert_eq!(client.answer().await.status(), 502);
    client.closed().await;
    let refused = [("reason", "unexpected_upgrade")];
    weir.wait_metric("weir_refusals_total", &refused, 6.0).await;
}

#[tokio::test]
async fn an_upstreams_refusal_is_an_answer_like_any() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = asked(&weir, &mut upstream, &[]).await;
    exchange.answer("403 Forbidden", &[], "not you").await;
    exchange.done();
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text().as_str()), (403, "not you"));
    client.request("GET", "/next", &[]).await;
    upstream.exchange().await.answer("200 OK", &[], "").await;
    assert_eq!(client.head().await.status(), 200);
}

#[tokio::test]
async fn its_silence_has_a_clock_of_its_own() {
    let mut upstream = Upstream::start().await;
    let config = everything(
        upstream.address(),
        "timeout = { idle = \"50ms\", total = \"50ms\", tunnel = \"600ms\" }",
    );
    let weir = weir().start(&config).await;
    let (mut client, mut exchange) = tunnel(&weir, &mut upstream).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.send("x").await;
        assert_eq!(exchange.raw().await.as_deref(), Some(&b"x"[..]));
    }
    client.closed().await;
    exchange.gone().await;
    assert_eq!(weir.logged("/ws").await["outcome"], "idle");
}

#[tokio::test]
async fn a_drain_waits_for_it_until_the_deadline() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "[drain]\ndeadline = \"400ms\"\n\n{}",
        everything(upstream.address(), "")
    );
    let mut weir = weir().start(&config).await;
    let (mut client, exchange) = tunnel(&weir, &mut upstream).await;
    weir.signal("TERM");
    client.send("still").await;
    client.closed().await;
    exchange.gone().await;
    assert_eq!(weir.logged("/ws").await["outcome"], "shutdown");
    assert!(weir.ended().await.success());
}

/// The handshake is a GET that carries cookies from any page, so it must name one of our own.
#[tokio::test]
async fn credentials_come_before_any_upstream_byte() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "[auth.jwt]\ntype = \"jwt\"\nsecret = \"${{env:JWT_SECRET}}\"\nfrom = [\"authorization\", \"cookie:session\"]\n\n{}",
        everything(upstream.address(), "auth = \"jwt\"")
    );
    let weir = weir().env("JWT_SECRET", mint::SECRET).start(&config).await;
    let token = mint::token_of("ana");
    let cookie = format!("cookie: session={token}");
    let bearer = format!("authorization: Bearer {token}");
    for (headers, status) in [
        (vec![], 401),
        (vec!["authorization: Bearer x.y.z"], 401),
        (vec![cookie.as_str()], 403),
        (vec![&cookie, "origin: http://evil.test"], 403),
        (vec![&cookie, "origin: null"], 403),
        (vec![&cookie, "origin: http://a.test"], 101),
        (vec![&bearer], 101),
        (vec![&bearer, "origin: http://evil.test"], 101),
    ] {
        let mut client = Client::connect(weir.address()).await;
        client
            .request("GET", "/ws", &[&ASK[..], &headers].concat())
            .await;
        let before = upstream.accepted();
        if status == 101 {
            let exchange = upstream.exchange().await;
            exchange.head("101 Switching Protocols", &GRANT).await;
            assert_eq!(client.head().await.status(), 101, "{headers:?}");
        } else {
            assert_eq!(client.head().await.status(), status, "{headers:?}");
            assert_eq!(upstream.accepted(), before);
        }
    }
}

/// RFC 8441: over HTTP/2 it is an extended CONNECT, and the upstream sees the upgrade of HTTP/1.1.
#[tokio::test]
async fn over_http_2_too() {
    let (weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    client
        .connect_protocol(1, "websocket", "/ws", &[("sec-websocket-version", "13")])
        .await;
    let mut exchange = upstream.exchange().await;
    assert_eq!(
        (exchange.head.method(), exchange.head.target()),
        ("GET", "/ws")
    );
    assert_eq!(exchange.header("upgrade"), Some("websocket"));
    let key = exchange
        .header("sec-websocket-key")
        .expect("a key")
        .to_owned();
    let proof = format!("sec-websocket-accept: {}", mint::websocket_accept(&key));
    exchange
        .head("101 Switching Protocols", &[GRANT[0], GRANT[1], &proof])
        .await;
    assert_eq!(client.status(1).await, 200);
    exchange.send("\u{1}down").await;
    assert_eq!(client.until(1, "down").await, "\u{1}down");
    client.data(1, b"up", false).await;
    assert_eq!(exchange.raw().await.as_deref(), Some(&b"up"[..]));

    // Another stream lives beside it, and its end is its own.
    client.get(3, "/other").await;
    let other = upstream.exchange().await;
    other.answer("200 OK", &[], "beside").await;
    other.done();
    assert_eq!(client.status(3).await, 200);
    client.data(1, b"", true).await;
    assert_eq!(exchange.raw().await, None);
    exchange.close().await;
    assert_eq!(client.rest(1).await, (Vec::new(), Ended::Clean));
    let line = weir.logged("/ws").await;
    assert_eq!(
        (&line["bytes"], &line["bytes_in"]),
        (&5.into(), &2.into()),
        "{line}"
    );

    // Taken back: the upstream is let go.
    client.connect_protocol(5, "websocket", "/ws", &[]).await;
    let exchange = upstream.exchange().await;
    client.reset(5, code::CANCEL).await;
    exchange.gone().await;
}

#[tokio::test]
async fn over_http_2_a_2xx_without_an_upgrade_is_no_tunnel() {
    let (weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    client.connect_protocol(1, "websocket", "/ws", &[]).await;
    let exchange = upstream.exchange().await;
    exchange.answer("200 OK", &[], "a page").await;
    assert_eq!(client.status(1).await, 502);
    // Other protocols and a bare CONNECT are refused.
    client.connect_protocol(3, "connect-udp", "/ws", &[]).await;
    assert_eq!(client.status(3).await, 405);
    assert_eq!(upstream.accepted(), 1);
}
