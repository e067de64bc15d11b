//! HTTP/2 from clients, by frames made by hand: streams keep their promises on a connection shared by many, and frames that are meant to harm
//! cost the sender its stream or its connection and nobody else anything.

use std::time::{Duration, Instant};

use weir_testkit::{
    Client, Exchange, H2, Upstream, Weir, client, eventually,
    h2::{END_HEADERS, END_STREAM, Ended, code, field, frame, kind, request},
};

use crate::stage::{CONTENT, RUN_STARTED, everything, stage, weir};

/// A stream whose head the client has, and the upstream's side of it.
async fn streaming(client: &mut H2, upstream: &mut Upstream, stream: u32) -> Exchange {
    client.get(stream, &format!("/s{stream}")).await;
    let exchange = upstream.exchange().await;
    exchange.stream().await;
    assert_eq!(client.status(stream).await, 200);
    exchange
}

async fn pass(exchange: &Exchange, client: &mut H2, stream: u32, event: &str) {
    exchange.chunk(event).await;
    assert_eq!(client.until(stream, "\n\n").await, event);
}

/// weir still serves others.
async fn serves(weir: &Weir, upstream: &mut Upstream) {
    let asking = tokio::spawn(client_get(weir.address()));
    let exchange = upstream.exchange().await;
    exchange.answer("200 OK", &[], "well").await;
    exchange.done();
    assert_eq!(asking.await.expect("an answer"), 200);
}

async fn client_get(address: std::net::SocketAddr) -> u16 {
    client::get(address, "/other", &[]).await.status()
}

#[tokio::test]
async fn a_request_travels_as_one_of_http_1_1() {
    let (weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    let headers = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("te", "trailers"),
        ("content-length", "5"),
    ];
    client.ask(1, "POST", "/p?q=1", &headers, false).await;
    client.data(1, b"hello", true).await;
    let mut exchange = upstream.exchange().await;
    assert_eq!(
        (exchange.head.method(), exchange.head.target()),
        ("POST", "/p?q=1")
    );
    assert_eq!(exchange.header("host"), Some("a.test"));
    assert_eq!(exchange.header("cookie"), Some("a=1; b=2"));
    assert_eq!(exchange.header("content-length"), Some("5"));
    assert_eq!(exchange.header("te"), None);
    assert_eq!(exchange.body().await, b"hello");
    exchange
        .answer("201 Created", &["connection: x-hop", "x-hop: 1"], "made")
        .await;
    exchange.done();
    assert_eq!(client.status(1).await, 201);
    assert_eq!(client.rest(1).await, (b"made".to_vec(), Ended::Clean));
    let line = weir.logged("/p").await;
    assert_eq!(
        (&line["protocol"], &line["outcome"]),
        (&"HTTP/2.0".into(), &"complete".into()),
        "{line}"
    );
}

/// RFC 9110 section 8.6: a 204 that declares a length is, to a client that keeps the rules, an answer whose bytes are missing.
#[tokio::test]
async fn a_204_goes_out_without_a_length() {
    let (weir, mut upstream) = stage("").await;
    let socket = tokio::net::TcpStream::connect(weir.address()).await;
    let (client, connection) = h2::client::handshake(socket.expect("a listener"))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let mut client = client.ready().await.expect("HTTP/2");
    let request = http::Request::get("http://a.test/p").body(());
    let (answer, _) = client
        .send_request(request.expect("a request"), true)
        .expect("room for a stream");
    let exchange = upstream.exchange().await;
    exchange
        .send("HTTP/1.1 204 No Content\r\nContent-Length: 7\r\nX-Kept: 1\r\n\r\n")
        .await;
    exchange.done();
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.status(), 204);
    let headers = answer.headers();
    assert!(headers.contains_key("x-kept"), "{headers:?}");
    assert!(!headers.contains_key("content-length"), "{headers:?}");
}

/// As in HTTP/1.1, but that the library refuses by itself what no URI has.
#[tokio::test]
async fn a_target_is_what_it_is_in_http_1_1() {
    let (weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    let mut stream = 1;
    for (method, target, forwarded) in [
        ("OPTIONS", "*", "*"),
        ("OPTIONS", "/*", "/*"),
        ("GET", "/?a={}|^`\\[]'", "/?a={}|^`\\[]'"),
        ("GET", "/{a}|^\"", "/%7Ba%7D%7C%5E%22"),
    ] {
        client.ask(stream, method, target, &[], true).await;
        let exchange = upstream.exchange().await;
        assert_eq!(
            (exchange.head.method(), exchange.head.target()),
            (method, forwarded)
        );
        exchange.answer("200 OK", &[], "").await;
        exchange.done();
        assert_eq!(client.status(stream).await, 200);
        stream += 2;
    }
    for target in [
        "/<", "/>", "/`", "/?<", "/?a>b", "/?\"", "/a b", "/?a b", "/?\x7f", "*x", "x",
    ] {
        client.get(stream, target).await;
        let broken = Ended::Reset(code::PROTOCOL_ERROR);
        assert_eq!(client.rest(stream).await.1, broken, "{target}");
        stream += 2;
    }
    for target in ["*", "/a\\b"] {
        client.get(stream, target).await;
        assert_eq!(client.status(stream).await, 400, "{target}");
        stream += 2;
    }
    assert!(upstream.pending().is_none());
}

/// The preface may come in any pieces, and where HTTP/2 is off it is a bad request.
#[tokio::test]
async fn it_is_known_by_its_preface() {
    let (weir, mut upstream) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    client.send("P").await;
    client
        .send("OST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n")
        .await;
    upstream.exchange().await.answer("200 OK", &[], "").await;
    assert_eq!(client.head().await.status(), 200);

    let off = "[[listen]]\naddress = \"127.0.0.1:0\"\nhttp2 = false\n\n";
    let config = off.to_owned() + &everything(upstream.address(), "");
    let weir = crate::stage::weir().start(&config).await;
    let mut client = Client::connect(weir.listeners()[1]).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    if let Ok(head) = client.try_head().await {
        assert!(matches!(head.status(), 400 | 505), "{head:?}");
    }
    client.closed().await;
}

#[tokio::test]
async fn events_of_many_streams_come_before_the_next_is_sent() {
    let (weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    let mut exchanges = Vec::new();
    for stream in [1, 3, 5, 7] {
        exchanges.push((stream, streaming(&mut client, &mut upstream, stream).await));
    }
    for _ in 0..20 {
        for (stream, exchange) in &exchanges {
            pass(exchange, &mut client, *stream, CONTENT).await;
        }
    }
    for (stream, exchange) in exchanges {
        exchange.end().await;
        assert_eq!(client.rest(stream).await, (Vec::new(), Ended::Clean));
    }
    weir.wait_metric("weir_streams_total", &[("outcome", "complete")], 4.0)
        .await;
}

#[tokio::test]
async fn a_reset_cancels_its_upstream_and_no_other() {
    let (weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    let other = streaming(&mut client, &mut upstream, 1).await;
    let mut times = Vec::new();
    let mut stream = 3;
    // With its head only, with an event, and before there is an answer.
    for scene in [0, 1, 2] {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let exchange = if scene == 2 {
                client.get(stream, "/none").await;
                upstream.exchange().await
            } else {
                streaming(&mut client, &mut upstream, stream).await
            };
            if scene == 1 {
                pass(&exchange, &mut client, stream, RUN_STARTED).await;
            }
            let start = Instant::now();
            client.reset(stream, code::CANCEL).await;
            best = best.min(exchange.gone().await.at - start);
            stream += 2;
        }
        times.push(best);
    }
    assert!(
        times.iter().all(|time| *time < Duration::from_millis(100)),
        "{times:?}"
    );
    weir.wait_metric("weir_exchanges_total", &[("outcome", "client_gone")], 9.0)
        .await;
    pass(&other, &mut client, 1, RUN_STARTED).await;
    drop(client);
    other.gone().await;
}

#[tokio::test]
async fn an_upstream_that_dies_is_told_of_and_then_reset() {
    let (weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    let neighbour = streaming(&mut client, &mut upstream, 1).await;
    let dying = streaming(&mut client, &mut upstream, 3).await;
    pass(&dying, &mut client, 3, RUN_STARTED).await;
    dying.close().await;
    let (body, end) = client.rest(3).await;
    let text = String::from_utf8(body).expect("text");
    assert!(
        text.contains("RUN_ERROR") && text.ends_with("\n\n"),
        "{text:?}"
    );
    assert_eq!(end, Ended::Reset(code::INTERNAL_ERROR));
    pass(&neighbour, &mut client, 1, RUN_STARTED).await;
    weir.wait_metric("weir_streams_total", &[("outcome", "upstream_failed")], 1.0)
        .await;
}

#[tokio::test]
async fn what_belongs_to_http_1_1_is_refused() {
    let (weir, upstream) = stage("").await;
    for headers in [
        [("transfer-encoding", "chunked")],
        [("connection", "x")],
        [("te", "gzip")],
        [("keep-alive", "timeout=5")],
        [("proxy-connection", "keep-alive")],
        [("upgrade", "websocket")],
        [("X-Upper", "1")],
    ] {
        let mut client = H2::connect(weir.address()).await;
        client.ask(1, "GET", "/", &headers, true).await;
        let (_, end) = client.rest(1).await;
        // A name in capitals breaks the header block, and with it the connection.
        let expected = if headers[0].0 == "X-Upper" {
            Ended::Closed
        } else {
            Ended::Reset(code::PROTOCOL_ERROR)
        };
        assert_eq!(end, expected, "{headers:?}");
    }
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn a_body_unlike_its_declared_length_is_refused() {
    for (lengths, body) in [
        (&[("content-length", "5")][..], ""),
        (&[("content-length", "5")], "123456789"),
        (&[("content-length", "5"), ("content-length", "6")], "12345"),
        (&[("content-length", "5x")], "12345"),
    ] {
        let (weir, mut upstream) = stage("").await;
        let mut client = H2::connect(weir.address()).await;
        client.ask(1, "POST", "/", lengths, false).await;
        client.data(1, body.as_bytes(), true).await;
        match client.of(1).await {
            Ok(frame) if frame.kind == kind::HEADERS => assert_eq!(frame.status(), 400),
            Ok(frame) => assert_eq!(frame.code(), Some(code::PROTOCOL_ERROR), "{frame:?}"),
            Err(_) => {}
        }
        // If the upstream heard of it at all, it did not hear a whole request.
        while let Some(mut exchange) = upstream.pending() {
            exchange.body().await;
            assert!(!exchange.body_done(), "{lengths:?} {body:?}");
        }
    }
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let (weir, mut upstream) = stage("").await;
    // As fast as can be: taken back before weir has looked at them.
    let mut attacker = H2::connect(weir.address()).await;
    let flood: Vec<u8> = (0..10_000u32)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            let mut bytes = frame(
                kind::HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                &request("GET", "/flood", &[]),
            );
            bytes.extend(frame(
                kind::RST_STREAM,
                0,
                stream,
                &code::CANCEL.to_be_bytes(),
            ));
            bytes
        })
        .collect();
    let _ = attacker.send(&flood).await;
    let told = attacker.goaway().await;
    assert!(
        matches!(told, None | Some(code::ENHANCE_YOUR_CALM)),
        "{told:?}"
    );
    assert!(upstream.accepted() < 200, "{}", upstream.accepted());

    // Slowly: each has become an exchange when it is taken back.
    let mut attacker = H2::connect(weir.address()).await;
    let mut asked = 0;
    loop {
        let stream = 2 * asked + 1;
        attacker.get(stream, "/slow").await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        attacker.reset(stream, code::CANCEL).await;
        asked += 1;
        if weir
            .metrics()
            .await
            .value("weir_connection_errors_total", &[("reason", "rapid_reset")])
            > 0.0
        {
            break;
        }
        assert!(asked < 1000, "not noticed");
    }
    assert_eq!(attacker.goaway().await, Some(code::ENHANCE_YOUR_CALM));
    while upstream.pending().is_some() {}
    serves(&weir, &mut upstream).await;
}

#[tokio::test]
async fn a_flood_of_continuations_ends_the_connection() {
    let (weir, mut upstream) = stage("").await;
    let mut attacker = H2::connect(weir.address()).await;
    attacker
        .frame(kind::HEADERS, END_STREAM, 1, &request("GET", "/", &[]))
        .await;
    let filler = field("x-filler", &"a".repeat(1000));
    for _ in 0..1000 {
        attacker.frame(kind::CONTINUATION, 0, 1, &filler).await;
    }
    // Closed; a reset may overtake the GOAWAY, since frames lie unread.
    attacker.goaway().await;
    assert_eq!(upstream.accepted(), 0);
    serves(&weir, &mut upstream).await;
}

/// Few bytes that stand for many headers (CVE-2026-49975): 16 000 times an entry of the table.
#[tokio::test]
async fn a_header_bomb_is_answered_431() {
    let (weir, upstream) = stage("").await;
    let mut attacker = H2::connect_with(weir.address(), &[(4, 0)]).await;
    for number in 0..100 {
        let stream = 2 * number + 1;
        let mut block = request("GET", "/", &[]);
        if number == 0 {
            // Into the table: `a` with an empty value.
            block.extend([0x40, 1, b'a', 0]);
        }
        block.extend([0xbe; 15_000]);
        attacker
            .frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block)
            .await;
        match attacker.of(stream).await {
            Ok(frame) if frame.kind == kind::HEADERS => assert_eq!(frame.status(), 431),
            Ok(frame) => assert_eq!(frame.kind, kind::RST_STREAM, "{frame:?}"),
            // Many enough of them end the connection.
            Err(_) => break,
        }
    }
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn a_shut_window_is_waited_for_and_then_given_up() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "[client]\nwrite_stall = \"500ms\"\n\n{}",
        everything(upstream.address(), "")
    );
    let weir = weir().start(&config).await;
    let mut client = H2::connect_with(weir.address(), &[(4, 0)]).await;
    let mut exchanges = Vec::new();
    for number in 0..20 {
        let exchange = streaming(&mut client, &mut upstream, 2 * number + 1).await;
        exchange.chunk(RUN_STARTED).await;
        exchanges.push(exchange);
    }
    // One of them is read after all.
    client.window(1, 60_000).await;
    assert_eq!(client.until(1, "\n\n").await, RUN_STARTED);
    let reader = exchanges.remove(0);
    for number in 1..20 {
        let (body, end) = client.rest(2 * number + 1).await;
        assert_eq!((body.len(), end), (0, Ended::Reset(code::CANCEL)));
    }
    for exchange in &exchanges {
        exchange.gone().await;
    }
    pass(&reader, &mut client, 1, CONTENT).await;
    let labels = [("route", "all"), ("outcome", "stalled")];
    weir.wait_metric("weir_streams_total", &labels, 19.0).await;
}

/// A slow reader is no stalled one.
#[tokio::test]
async fn a_slow_reader_is_let_read() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "[client]\nwrite_stall = \"1s\"\n\n{}",
        everything(upstream.address(), "")
    );
    let weir = weir().start(&config).await;
    let mut client = H2::connect_with(weir.address(), &[(4, 0)]).await;
    let exchange = streaming(&mut client, &mut upstream, 1).await;
    let event = format!("data: {}\n\n", "a".repeat(92));
    for _ in 0..6 {
        exchange.chunk(&event).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        client.window(1, 100).await;
        assert_eq!(client.until(1, "\n\n").await, event);
    }
    drop(exchange);
    drop(client);
    weir.wait_metric("weir_streams_open", &[], 0.0).await;
}

/// The upstream of a client that reads nothing is throttled, and its neighbour on the same connection is not.
#[tokio::test]
async fn a_stalled_stream_throttles_its_upstream_and_no_neighbour() {
    let (weir, mut upstream) = stage("").await;
    let mut client = H2::connect_with(weir.address(), &[(4, 1000)]).await;
    client.window(0, 10_000_000).await;
    let stalled = streaming(&mut client, &mut upstream, 1).await;
    let neighbour = streaming(&mut client, &mut upstream, 3).await;
    client.window(3, 10_000_000).await;
    let piece = vec![b'x'; 100_000];
    let mut taken = 0;
    while tokio::time::timeout(Duration::from_millis(500), stalled.chunk(&piece))
        .await
        .is_ok()
    {
        taken += piece.len();
        assert!(taken < 60_000_000, "the upstream is not throttled");
    }
    for _ in 0..100 {
        pass(&neighbour, &mut client, 3, CONTENT).await;
    }
    client.reset(1, code::CANCEL).await;
    stalled.gone().await;
    weir.wait_metric("weir_streams_open", &[], 1.0).await;
}

#[tokio::test]
async fn a_drain_says_goaway_and_lets_streams_end() {
    let (mut weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    let mut exchanges = Vec::new();
    for number in 0..50 {
        exchanges.push(streaming(&mut client, &mut upstream, 2 * number + 1).await);
    }
    weir.signal("TERM");
    assert_eq!(client.goaway().await, Some(0));
    for (number, exchange) in (0..).zip(exchanges) {
        let stream = 2 * number + 1;
        pass(&exchange, &mut client, stream, RUN_STARTED).await;
        exchange.end().await;
        assert_eq!(client.rest(stream).await, (Vec::new(), Ended::Clean));
    }
    assert!(weir.ended().await.success());
}

#[tokio::test]
async fn at_the_drains_deadline_every_stream_is_told_and_reset() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "[drain]\ndeadline = \"300ms\"\n\n{}",
        everything(upstream.address(), "")
    );
    let mut weir = weir().start(&config).await;
    let mut client = H2::connect(weir.address()).await;
    let mut exchanges = Vec::new();
    for number in 0..20 {
        let stream = 2 * number + 1;
        let exchange = streaming(&mut client, &mut upstream, stream).await;
        pass(&exchange, &mut client, stream, RUN_STARTED).await;
        exchanges.push(exchange);
    }
    weir.signal("TERM");
    for number in 0..20 {
        let (body, end) = client.rest(2 * number + 1).await;
        let text = String::from_utf8(body).expect("text");
        assert!(
            text.contains("RUN_ERROR") && text.contains("shutdown"),
            "{text:?}"
        );
        assert_eq!(end, Ended::Reset(code::INTERNAL_ERROR));
    }
    let ended = eventually("log lines", async || {
        let shut = weir
            .log()
            .iter()
            .filter(|line| line["outcome"] == "shutdown")
            .count();
        (shut == 20).then_some(())
    });
    ended.await;
    weir.ended().await;
}
