//! What one HTTP/2 connection may take, and how a stop is told on it.

use std::time::Duration;

use weir_testkit::{
    H2, Upstream,
    h2::{END_HEADERS, END_STREAM, Ended, code, field, kind, request},
    within,
};

use crate::stage::{CONTENT, everything, stage, weir};

#[tokio::test]
async fn a_stream_too_many_is_refused_and_the_others_go_on() {
    let (weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    let mut exchanges = Vec::new();
    for number in 0..128 {
        client.get(2 * number + 1, "/s").await;
        let exchange = upstream.exchange().await;
        exchange.stream().await;
        assert_eq!(client.status(2 * number + 1).await, 200);
        exchanges.push(exchange);
    }
    client.get(257, "/s").await;
    let refused = Ended::Reset(code::REFUSED_STREAM);
    assert_eq!(client.rest(257).await, (Vec::new(), refused));
    for (number, exchange) in (0..).zip(&exchanges) {
        exchange.chunk(CONTENT).await;
        assert_eq!(client.until(2 * number + 1, "\n\n").await, CONTENT);
    }
    // The place of one that ended is free again.
    exchanges.remove(0).end().await;
    assert_eq!(client.rest(1).await, (Vec::new(), Ended::Clean));
    client.get(259, "/s").await;
    let exchange = upstream.exchange().await;
    exchange.answer("200 OK", &[], "").await;
    assert_eq!(client.status(259).await, 200);
}

#[tokio::test]
async fn a_list_of_fields_too_long_is_431() {
    let (weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    let filler = "x".repeat(8000);
    for (stream, fillers) in [(1, 5), (3, 3)] {
        let begin = request("GET", "/p", &[]);
        client
            .frame(kind::HEADERS, END_STREAM, stream, &begin)
            .await;
        for number in 1..=fillers {
            let flags = if number == fillers { END_HEADERS } else { 0 };
            let block = field(&format!("x-{number}"), &filler);
            client
                .frame(kind::CONTINUATION, flags, stream, &block)
                .await;
        }
        if fillers == 5 {
            assert_eq!(client.status(stream).await, 431);
            continue;
        }
        let exchange = upstream.exchange().await;
        assert_eq!(exchange.header("x-3"), Some(filler.as_str()));
        exchange.answer("200 OK", &[], "").await;
        assert_eq!(client.status(stream).await, 200);
    }
    assert_eq!(upstream.requests().len(), 1);
}

/// Blocks that stand for more than they are, on many streams whose client reads nothing: what they take is given back.
#[tokio::test]
async fn bombs_take_no_memory() {
    let upstream = Upstream::start().await;
    let config =
        "[client]\nwrite_stall = \"1s\"\n\n".to_owned() + &everything(upstream.address(), "");
    let weir = weir().start(&config).await;
    let before = weir.resident();
    let mut attackers = Vec::new();
    for _ in 0..10 {
        let mut attacker = H2::connect_with(weir.address(), &[(4, 0)]).await;
        for number in 0..200 {
            let mut block = request("GET", "/", &[]);
            if number == 0 {
                // Into the table: `a` with an empty value.
                block.extend([0x40, 1, b'a', 0]);
            }
            block.extend([0xbe; 16_000]);
            let flags = END_HEADERS | END_STREAM;
            attacker
                .frame(kind::HEADERS, flags, 2 * number + 1, &block)
                .await;
            attacker.window(0, 1).await;
        }
        attackers.push(attacker);
    }
    for attacker in &mut attackers {
        // A reset may overtake it, since frames lie unread.
        let told = attacker.goaway().await;
        assert!(
            matches!(told, None | Some(code::ENHANCE_YOUR_CALM)),
            "{told:?}"
        );
    }
    let grown = weir.resident().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes more");
    assert_eq!(upstream.accepted(), 0);
    weir.wait_metric("weir_connections_open", &[], 0.0).await;
}

/// The goodbye's PING is a question that a client without a network, or with a bad library, never answers.
#[tokio::test]
async fn a_stop_waits_for_no_answer_to_the_goodbye() {
    let (mut weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    client.get(1, "/x").await;
    upstream.exchange().await.answer("200 OK", &[], "").await;
    assert_eq!(client.status(1).await, 200);
    weir.signal("TERM");
    let mut told = Vec::new();
    while let Some(frame) = within("the end", client.frame_as_it_comes()).await {
        told.push(frame.kind);
    }
    assert!(told.contains(&kind::PING), "{told:?}");
    // Long before the drain's 30 s and the 75 s of silence are over.
    assert!(weir.ended().await.success());
}

/// The end of an answer may wait in the library for its window when its exchange is over.
#[tokio::test]
async fn who_has_answered_the_goodbye_gets_all_that_is_left() {
    let (mut weir, mut upstream) = stage("").await;
    let mut client = H2::connect_with(weir.address(), &[(4, 5)]).await;
    client.get(1, "/x").await;
    let exchange = upstream.exchange().await;
    exchange.answer("200 OK", &[], "beginning").await;
    assert_eq!(client.status(1).await, 200);
    assert_eq!(client.until(1, "begin").await, "begin");
    assert_eq!(weir.logged("/x").await["outcome"], "complete");
    weir.signal("TERM");
    assert_eq!(client.goaway().await, Some(0));
    assert_eq!(client.goaway().await, Some(0));
    // More than the time in which it has to be answered.
    tokio::time::sleep(Duration::from_secs(2)).await;
    client.window(1, 100).await;
    assert_eq!(client.rest(1).await, (b"ning".to_vec(), Ended::Clean));
    assert!(weir.ended().await.success());
}

/// RFC 9113 section 6.8: the first GOAWAY names no stream, so that none on its way is lost; the second names the last that is served.
#[tokio::test]
async fn a_stop_is_told_twice() {
    let (mut weir, mut upstream) = stage("").await;
    let mut client = H2::connect(weir.address()).await;
    client.get(1, "/s").await;
    let exchange = upstream.exchange().await;
    exchange.stream().await;
    assert_eq!(client.status(1).await, 200);
    weir.signal("TERM");
    let last = async |client: &mut H2| loop {
        let frame = client.next().await.expect("a goodbye");
        if frame.kind == kind::GOAWAY {
            assert_eq!(frame.code(), Some(0));
            let last = frame.payload[..4].try_into().expect("four bytes");
            return u32::from_be_bytes(last);
        }
    };
    assert_eq!(last(&mut client).await, (1 << 31) - 1);
    assert_eq!(last(&mut client).await, 1);
    // What is asked after that is not served, and the client knows: it may ask elsewhere.
    client.get(3, "/late").await;
    exchange.chunk(CONTENT).await;
    assert_eq!(client.until(1, "\n\n").await, CONTENT);
    exchange.end().await;
    assert_eq!(client.rest(1).await, (Vec::new(), Ended::Clean));
    assert!(client.of(3).await.is_err());
    assert!(weir.ended().await.success());
    assert_eq!(upstream.requests().len(), 1);
}
