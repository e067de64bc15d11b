//! An upstream that dies in the middle of an answer never yields a clean end. At an event's boundary the client is told so in the
//! stream's own dialect first; the series and the log say `upstream_failed`.

use weir_testkit::{Client, End, Exchange, Upstream, Weir, upstream::chunk};

use crate::stage::{
    CONTENT, DONE, OPENAI, RUN_FINISHED, RUN_STARTED, asked, pass, stage, streaming,
};

/// The series and the log line of one stream that failed.
async fn failed(weir: &Weir, path: &str) {
    let line = weir.logged(path).await;
    assert_eq!(line["outcome"], "upstream_failed", "{line}");
    let labels = [("route", "all"), ("outcome", "upstream_failed")];
    let metrics = weir.wait_metric("weir_exchanges_total", &labels, 1.0).await;
    assert_eq!(metrics.value("weir_streams_total", &labels), 1.0);
    weir.wait_metric("weir_streams_open", &[], 0.0).await;
}

/// What must come after `last` in each dialect.
fn is_error_of(event: &str, dialect: &str) -> bool {
    let start = match dialect {
        "ag-ui" => "data: {\"type\":\"RUN_ERROR\",",
        "openai" => "data: {\"error\":{",
        _ => "event: error\ndata: {",
    };
    event.starts_with(start) && event.ends_with("}\n\n") && event.contains("\"upstream_failed\"")
}

#[tokio::test]
async fn between_events_it_is_told_in_the_dialect() {
    for (dialect, events) in [
        ("ag-ui", [RUN_STARTED, CONTENT]),
        ("openai", [OPENAI, OPENAI]),
        ("unknown", ["data: 1\n\n", "data: 2\n\n"]),
    ] {
        for reset in [false, true] {
            let (weir, mut upstream) = stage("").await;
            let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
            for event in events {
                pass(&exchange, &mut client, event).await;
            }
            if reset {
                exchange.reset().await;
            } else {
                exchange.close().await;
            }
            let (body, end) = client.rest().await;
            let text = String::from_utf8(body).expect("text");
            assert!(is_error_of(&text, dialect), "{dialect}: {text:?}");
            assert_eq!(end, End::Eof, "{dialect}");
            failed(&weir, "/s").await;
        }
    }
}

/// CopilotKit 1.10 sends `Content-Encoding: none`, which means what it says.
#[tokio::test]
async fn under_an_encoding_of_none_it_is_told_too() {
    for encoding in ["none", "identity"] {
        let (weir, mut upstream) = stage("").await;
        let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
        let encoding = format!("content-encoding: {encoding}");
        exchange
            .head(
                "200 OK",
                &[
                    "content-type: text/event-stream",
                    &encoding,
                    "transfer-encoding: chunked",
                ],
            )
            .await;
        client.head().await;
        pass(&exchange, &mut client, RUN_STARTED).await;
        exchange.close().await;
        let (body, end) = client.rest().await;
        let text = String::from_utf8(body).expect("text");
        assert!(is_error_of(&text, "ag-ui"), "{encoding}: {text:?}");
        assert_eq!(end, End::Eof);
    }
}

#[tokio::test]
async fn before_the_first_event_it_is_told_too() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    exchange.close().await;
    let (body, end) = client.rest().await;
    let text = String::from_utf8(body).expect("text");
    assert!(is_error_of(&text, "unknown"), "{text:?}");
    assert_eq!(end, End::Eof);
    failed(&weir, "/s").await;
}

#[tokio::test]
async fn in_the_segment_of_its_last_event() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    exchange.close_with(chunk(CONTENT)).await;
    let (body, end) = client.rest().await;
    let text = String::from_utf8(body).expect("text");
    let error = text
        .strip_prefix(CONTENT)
        .unwrap_or_else(|| panic!("the last event is missing: {text:?}"));
    assert!(is_error_of(error, "ag-ui"), "{error:?}");
    assert_eq!(end, End::Eof);
    failed(&weir, "/s").await;
}

#[tokio::test]
async fn with_all_it_ever_said_in_one_segment() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    exchange
        .close_with([head.as_bytes(), &chunk(OPENAI)].concat())
        .await;
    assert_eq!(client.head().await.status(), 200);
    let (body, end) = client.rest().await;
    let text = String::from_utf8(body).expect("text");
    assert!(
        is_error_of(text.strip_prefix(OPENAI).expect("the event"), "openai"),
        "{text:?}"
    );
    assert_eq!(end, End::Eof);
    failed(&weir, "/s").await;
}

#[tokio::test]
async fn inside_an_event_nothing_is_added() {
    for reset in [false, true] {
        // In the middle of a chunk, and behind a whole chunk that holds half an event.
        for last in [b"ff\r\ndata: ha".to_vec(), chunk("data: ha")] {
            let (weir, mut upstream) = stage("").await;
            let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
            pass(&exchange, &mut client, RUN_STARTED).await;
            exchange.send(&last).await;
            assert_eq!(client.until("data: ha").await, "data: ha");
            if reset {
                exchange.reset().await;
            } else {
                exchange.close().await;
            }
            assert_eq!(client.rest().await, (Vec::new(), End::Eof));
            failed(&weir, "/s").await;
        }
    }
}

#[tokio::test]
async fn with_broken_framing_it_has_died() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    exchange.send("zz\r\n").await;
    let (body, end) = client.rest().await;
    assert!(is_error_of(&String::from_utf8_lossy(&body), "ag-ui"));
    assert_eq!(end, End::Eof);
    exchange.gone().await;
    failed(&weir, "/s").await;
}

#[tokio::test]
async fn a_route_can_forbid_the_error_event() {
    let (weir, mut upstream) = stage("stream = { error_event = false }").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    exchange.reset().await;
    assert_eq!(client.rest().await, (Vec::new(), End::Eof));
    failed(&weir, "/s").await;
}

#[tokio::test]
async fn short_of_its_length() {
    for kind in ["text/event-stream", "text/html"] {
        let (weir, mut upstream) = stage("").await;
        let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
        exchange
            .head(
                "200 OK",
                &[&format!("content-type: {kind}"), "content-length: 1000"],
            )
            .await;
        exchange.close_with("data: 1\n\n").await;
        assert_eq!(client.head().await.header("content-length"), Some("1000"));
        assert_eq!(
            client.rest().await,
            (b"data: 1\n\n".to_vec(), End::Eof),
            "{kind}"
        );
        let line = weir.logged("/s").await;
        assert_eq!(
            (&line["outcome"], &line["bytes"]),
            (&"upstream_failed".into(), &9.into()),
            "{line}"
        );
    }
}

#[tokio::test]
async fn an_ordinary_answer_is_cut_and_nothing_added() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = asked(&weir, &mut upstream, "/page").await;
    exchange
        .head(
            "200 OK",
            &["content-type: text/html", "transfer-encoding: chunked"],
        )
        .await;
    client.head().await;
    exchange.chunk("<p>half").await;
    assert_eq!(client.until("half").await, "<p>half");
    exchange.close().await;
    assert_eq!(client.rest().await, (Vec::new(), End::Eof));
    assert_eq!(weir.logged("/page").await["outcome"], "upstream_failed");
}

/// An answer without length or chunks ends when its connection closes: only the dialect can say whether that was its end.
#[tokio::test]
async fn a_stream_that_ends_by_closing_needs_its_last_event() {
    for (events, dialect, whole) in [
        ([RUN_STARTED, RUN_FINISHED], "ag-ui", true),
        ([OPENAI, DONE], "openai", true),
        ([RUN_STARTED, CONTENT], "ag-ui", false),
        ([OPENAI, OPENAI], "openai", false),
        (["data: 1\n\n", "data: 2\n\n"], "unknown", false),
    ] {
        let (weir, mut upstream) = stage("").await;
        let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
        exchange
            .head(
                "200 OK",
                &["content-type: text/event-stream", "connection: close"],
            )
            .await;
        client.head().await;
        for event in events {
            exchange.send(event).await;
            assert_eq!(client.event().await, event);
        }
        exchange.close().await;
        let (body, end) = client.rest().await;
        let text = String::from_utf8(body).expect("text");
        if whole {
            assert_eq!((text.as_str(), end), ("", End::Clean), "{events:?}");
            assert_eq!(weir.logged("/s").await["outcome"], "complete");
        } else {
            assert!(is_error_of(&text, dialect), "{events:?}: {text:?}");
            assert_eq!(end, End::Eof, "{events:?}");
            failed(&weir, "/s").await;
        }
    }
}

/// HTTP/1.0 has no chunks, so a close is what a proper end looks like: an unclean one must be a reset.
#[tokio::test]
async fn a_client_of_http_1_0_gets_a_reset() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = old_client(&weir, &mut upstream).await;
    exchange.chunk(RUN_STARTED).await;
    assert_eq!(client.event().await, RUN_STARTED);
    exchange.close().await;
    let (body, end) = client.rest().await;
    assert_eq!(
        end,
        End::Reset,
        "after {:?}",
        String::from_utf8_lossy(&body)
    );
    failed(&weir, "/s").await;

    // And a whole stream ends with a close.
    let (mut client, exchange) = old_client(&weir, &mut upstream).await;
    exchange.chunk("data: 1\n\n").await;
    exchange.end().await;
    assert_eq!(client.rest().await, (b"data: 1\n\n".to_vec(), End::Clean));
}

async fn old_client(weir: &Weir, upstream: &mut Upstream) -> (Client, Exchange) {
    let mut client = Client::connect(weir.address()).await;
    client.send("GET /s HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let exchange = upstream.exchange().await;
    exchange.stream().await;
    let head = client.head().await;
    assert_eq!(
        (head.status(), head.header("transfer-encoding")),
        (200, None)
    );
    (client, exchange)
}

#[tokio::test]
async fn a_failure_that_the_upstream_tells_itself_is_no_death() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    pass(
        &exchange,
        &mut client,
        "data: {\"type\":\"RUN_ERROR\",\"message\":\"agent is down\"}\n\n",
    )
    .await;
    exchange.end().await;
    assert_eq!(client.rest().await, (Vec::new(), End::Clean));
    assert_eq!(weir.logged("/s").await["outcome"], "complete");
}

/// When the terminal event has passed, a connection that breaks instead of ending takes nothing from the client.
#[tokio::test]
async fn a_death_after_the_last_event_adds_no_second_end() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    pass(&exchange, &mut client, RUN_FINISHED).await;
    exchange.close().await;
    let (body, end) = client.rest().await;
    assert_eq!(
        (String::from_utf8_lossy(&body).as_ref(), end),
        ("", End::Eof)
    );
}
