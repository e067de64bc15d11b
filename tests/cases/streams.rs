//! Events pass at once and untouched: in lock-step, whatever the client accepts and however the upstream cuts them; comments come
//! between events only; and each clock of a stream ends it by its own name.

use std::time::Duration;

use weir_testkit::{Client, End, Upstream, eventually, within};

use crate::stage::{
    CONTENT, OPENAI, RUN_FINISHED, RUN_STARTED, asked, everything, pass, route, stage, streaming,
    upstream, weir,
};

/// The routes of an assistant behind weir: the runtime that browsers speak to, and the agents server behind a session.
async fn assistant() -> (weir_testkit::Weir, Upstream, Upstream) {
    let (runtime, agents) = (Upstream::start().await, Upstream::start().await);
    let config = [
        upstream("copilotkit", runtime.address(), ""),
        upstream(
            "agents",
            agents.address(),
            "timeout = { connect = \"2s\", headers = \"60s\", idle = \"300s\" }",
        ),
        route(
            "runtime",
            "/chat/copilotkit-api/*",
            "to = \"copilotkit\"\nstrip = \"/chat/copilotkit-api\"",
        ),
        route(
            "agents",
            "/chat/backend/*",
            "to = \"agents\"\nstrip = \"/chat/backend\"",
        ),
    ];
    (weir().start(&config.concat()).await, runtime, agents)
}

#[tokio::test]
async fn an_event_arrives_before_the_next_is_sent() {
    let (weir, mut runtime, mut agents) = assistant().await;
    for (target, seen, behind) in [
        (
            "/chat/copilotkit-api/agent/default/run",
            "/agent/default/run",
            &mut runtime,
        ),
        ("/chat/backend/api", "/api", &mut agents),
    ] {
        let mut client = Client::connect(weir.address()).await;
        client
            .post(
                target,
                &[
                    "Accept: text/event-stream",
                    "Content-Type: application/json",
                ],
                b"{}",
            )
            .await;
        let mut exchange = behind.exchange().await;
        assert_eq!(exchange.head.target(), seen);
        assert_eq!(exchange.body().await, b"{}");
        exchange.stream().await;
        assert_eq!(client.head().await.status(), 200);
        let mut clock = tokio::time::interval(Duration::from_millis(50));
        pass(&exchange, &mut client, RUN_STARTED).await;
        for number in 0..20 {
            clock.tick().await;
            // The next is sent only after this one was seen: an event that waits for company never comes.
            pass(
                &exchange,
                &mut client,
                &format!("data: {{\"type\":\"TEXT_MESSAGE_CONTENT\",\"delta\":\"{number}\"}}\n\n"),
            )
            .await;
        }
        pass(&exchange, &mut client, RUN_FINISHED).await;
        exchange.end().await;
        assert_eq!(client.rest().await, (Vec::new(), End::Clean));
        let line = weir.logged(target).await;
        assert_eq!(
            (&line["outcome"], &line["events"]),
            (&"complete".into(), &22.into()),
            "{line}"
        );
    }
}

#[tokio::test]
async fn the_head_arrives_before_the_first_event() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
    exchange.stream().await;
    let head = client.head().await;
    assert_eq!(head.all("x-accel-buffering").collect::<Vec<_>>(), ["no"]);
    assert!(head.lists("cache-control", "no-transform"), "{head:?}");
    assert_eq!(head.header("content-length"), None);
    pass(&exchange, &mut client, "data: 1\n\n").await;
}

#[tokio::test]
async fn what_the_upstream_says_of_buffering_and_caching_is_kept_once() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
    let headers = [
        "content-type: text/event-stream; charset=utf-8",
        "X-Accel-Buffering: no",
        "Cache-Control: no-cache",
        "transfer-encoding: chunked",
    ];
    exchange.head("200 OK", &headers).await;
    let head = client.head().await;
    assert_eq!(head.all("x-accel-buffering").collect::<Vec<_>>(), ["no"]);
    assert!(
        head.lists("cache-control", "no-cache") && head.lists("cache-control", "no-transform"),
        "{head:?}"
    );
    assert_eq!(
        head.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );

    // Said already: not said twice.
    let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
    let headers = [
        "content-type: text/event-stream",
        "cache-control: no-cache, no-transform",
        "transfer-encoding: chunked",
    ];
    exchange.head("200 OK", &headers).await;
    let head = client.head().await;
    let given: Vec<_> = head
        .all("cache-control")
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    assert_eq!(
        given
            .iter()
            .filter(|member| **member == "no-transform")
            .count(),
        1,
        "{given:?}"
    );
}

#[tokio::test]
async fn nothing_a_client_accepts_leads_to_compression() {
    let (weir, mut upstream) = stage("").await;
    for kind in [
        "text/event-stream",
        "application/x-ndjson",
        "application/grpc",
        "application/vnd.amazon.eventstream",
        "multipart/mixed; boundary=\"-\"",
        "text/plain",
        "application/json",
    ] {
        let mut client = Client::connect(weir.address()).await;
        client
            .request("GET", "/s", &["Accept-Encoding: gzip, br, deflate, zstd"])
            .await;
        let exchange = upstream.exchange().await;
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
        assert_eq!(head.header("content-type"), Some(kind));
        for piece in ["one\n", "two\n", "three\n"] {
            exchange.chunk(piece).await;
            assert_eq!(client.until("\n").await, piece, "{kind}");
        }
        exchange.end().await;
        assert_eq!(client.rest().await, (Vec::new(), End::Clean), "{kind}");
    }
}

#[tokio::test]
async fn every_kind_of_stream_is_known_by_the_type_of_its_answer() {
    let (weir, mut upstream) = stage("").await;
    for (kind, stream) in [
        ("text/event-stream", true),
        ("Text/Event-Stream;charset=utf-8", true),
        ("multipart/mixed; boundary=\"-\"", true),
        ("application/x-ndjson", true),
        ("application/vnd.amazon.eventstream", true),
        ("application/grpc+proto", true),
        ("text/html", false),
        ("application/json", false),
    ] {
        let mut client = Client::connect(weir.address()).await;
        // What the client would like decides nothing.
        let accept = if stream {
            "Accept: application/json"
        } else {
            "Accept: text/event-stream"
        };
        client.request("GET", "/s", &[accept]).await;
        let exchange = upstream.exchange().await;
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
        assert_eq!(
            head.header("x-accel-buffering"),
            stream.then_some("no"),
            "{kind}"
        );
        assert_eq!(
            head.lists("cache-control", "no-transform"),
            stream,
            "{kind}"
        );
        exchange.end().await;
        assert_eq!(client.rest().await, (Vec::new(), End::Clean));
    }
}

#[tokio::test]
async fn a_route_can_say_that_what_has_no_length_is_a_stream() {
    let (weir, mut upstream) = stage("stream = true").await;
    let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
    exchange
        .head(
            "200 OK",
            &["content-type: text/plain", "transfer-encoding: chunked"],
        )
        .await;
    assert_eq!(client.head().await.header("x-accel-buffering"), Some("no"));
    exchange.end().await;
    let (mut client, exchange) = asked(&weir, &mut upstream, "/l").await;
    exchange
        .answer("200 OK", &["content-type: text/plain"], "short")
        .await;
    assert_eq!(client.head().await.header("x-accel-buffering"), None);
}

#[tokio::test]
async fn multipart_and_ndjson_pass_piece_by_piece() {
    let (weir, mut upstream) = stage("stream = { comment = \"20ms\" }").await;
    let part = "---\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\": 1}\n\r\n";
    for (kind, piece) in [
        ("multipart/mixed; boundary=\"-\"", part),
        ("application/x-ndjson", "{\"a\":1}\n"),
    ] {
        let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
        exchange
            .head(
                "200 OK",
                &[
                    &format!("content-type: {kind}"),
                    "transfer-encoding: chunked",
                ],
            )
            .await;
        client.head().await;
        let mut clock = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..4 {
            // Longer than the comment's clock: into these types nothing may be put, ever.
            clock.tick().await;
            exchange.chunk(piece).await;
            assert_eq!(client.until(piece).await, piece, "{kind}");
        }
        exchange.end().await;
        assert_eq!(client.rest().await, (Vec::new(), End::Clean), "{kind}");
    }
}

#[tokio::test]
async fn a_line_of_three_megabytes_passes() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    let line = format!(
        "data: {{\"type\":\"RUN_STARTED\",\"threadId\":\"t\",\"runId\":\"r\",\"input\":\"{}\"}}\n\n",
        "x".repeat(3_000_200)
    );
    let sending = async {
        exchange.chunk(&line).await;
        exchange.chunk(RUN_FINISHED).await;
        exchange.end().await;
    };
    let ((body, end), ()) = tokio::join!(client.rest(), sending);
    assert_eq!(end, End::Clean);
    assert!(
        body == format!("{line}{RUN_FINISHED}").as_bytes(),
        "{} bytes came out differently",
        body.len()
    );
    let log = weir.logged("/s").await;
    assert_eq!(
        (&log["events"], &log["dialect"]),
        (&2.into(), &"ag-ui".into()),
        "{log}"
    );
}

#[tokio::test]
async fn a_stream_of_no_bytes_is_complete() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    exchange.end().await;
    assert_eq!(client.rest().await, (Vec::new(), End::Clean));
    let log = weir.logged("/s").await;
    assert_eq!(
        (&log["outcome"], &log["bytes"], &log["events"]),
        (&"complete".into(), &0.into(), &0.into()),
        "{log}"
    );
}

#[tokio::test]
async fn an_empty_reason_and_an_encoding_of_none_are_no_trouble() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
    exchange
        .send("HTTP/1.1 200 \r\ncontent-type: text/event-stream\r\ncontent-encoding: none\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let head = client.head().await;
    assert_eq!(
        (head.status(), head.header("content-encoding")),
        (200, Some("none"))
    );
    pass(&exchange, &mut client, "event: next\ndata: 1\n\n").await;
    pass(&exchange, &mut client, "event: complete\n\n").await;
    exchange.end().await;
    assert_eq!(client.rest().await, (Vec::new(), End::Clean));
}

#[tokio::test]
async fn events_pass_however_they_are_cut_and_ended() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    let text =
        "\u{feff}data: a\r\n\r\ndata: b\ndata: c\n\nid: 1\rdata: d\r\r: comment\n\ndata: e\r\n\n";
    for byte in text.as_bytes() {
        exchange.chunk([*byte]).await;
        assert_eq!(client.piece().await.expect("the byte"), [*byte]);
    }
    exchange.end().await;
    assert_eq!(client.rest().await, (Vec::new(), End::Clean));
    assert_eq!(weir.logged("/s").await["events"], 4);
}

#[tokio::test]
async fn comments_come_in_silence_and_between_events_only() {
    let (weir, mut upstream) = stage("stream = { comment = \"30ms\" }").await;
    let (mut quiet, at_boundary) = streaming(&weir, &mut upstream, "/quiet").await;
    let (mut broken, inside) = streaming(&weir, &mut upstream, "/inside").await;
    pass_after_comments(&inside, &mut broken, "data: whole\n\n").await;

    // Half a line; then whole lines without the empty one that ends the event.
    let (mut sent, mut seen) = (String::new(), String::new());
    for part in ["data: par", "tial\n", "data: more\n", "\n"] {
        inside.chunk(part).await;
        sent.push_str(part);
        while !seen.ends_with(&sent) {
            seen.push_str(
                &String::from_utf8(broken.piece().await.expect("the part")).expect("text"),
            );
        }
        // The stream next door shows that a comment's time passes, and passes again.
        for _ in 0..3 {
            assert_eq!(quiet.until(": weir\n\n").await, ": weir\n\n");
        }
    }
    assert_eq!(seen.replace(": weir\n\n", ""), sent);
    // Now it is between events again.
    assert_eq!(broken.until(": weir\n\n").await, ": weir\n\n");

    pass_after_comments(&at_boundary, &mut quiet, "data: last\n\n").await;
    at_boundary.end().await;
    assert_eq!(quiet.rest().await.1, End::Clean);
}

async fn pass_after_comments(exchange: &weir_testkit::Exchange, client: &mut Client, event: &str) {
    exchange.chunk(event).await;
    let before = client.until(event).await;
    let before = before.strip_suffix(event).expect("what it ends with");
    assert!(before.replace(": weir\n\n", "").is_empty(), "{before:?}");
}

#[tokio::test]
async fn a_body_with_a_length_or_an_encoding_is_only_counted() {
    let (weir, mut upstream) =
        stage("stream = { comment = \"20ms\" }\ntimeout = { idle = \"400ms\" }").await;
    for header in [
        "content-length: 1000",
        "content-encoding: gzip\r\ntransfer-encoding: chunked",
    ] {
        let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
        exchange
            .head("200 OK", &["content-type: text/event-stream", header])
            .await;
        client.head().await;
        let chunked = header.contains("chunked");
        if chunked {
            exchange.chunk("data: 1\n\n").await;
        } else {
            exchange.send("data: 1\n\n").await;
        }
        // Comments would come after 20 ms, an error event at the end of the idle clock: neither may.
        let (body, end) = client.rest().await;
        assert_eq!(
            (String::from_utf8_lossy(&body).as_ref(), end),
            ("data: 1\n\n", End::Eof),
            "{header}"
        );
        exchange.gone().await;
    }
    weir.wait_metric(
        "weir_exchanges_total",
        &[("route", "all"), ("outcome", "idle")],
        2.0,
    )
    .await;
}

#[tokio::test]
async fn a_gap_that_is_too_long_is_told_in_the_stream() {
    let (weir, mut upstream) = stage("timeout = { idle = \"300ms\" }").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    pass(&exchange, &mut client, CONTENT).await;
    let (body, end) = client.rest().await;
    let text = String::from_utf8(body).expect("text");
    assert!(
        text.starts_with("data: {\"type\":\"RUN_ERROR\"") && text.ends_with("\n\n"),
        "{text:?}"
    );
    assert!(text.contains("\"code\":\"idle\""), "{text:?}");
    assert_eq!(end, End::Eof);
    exchange.gone().await;
    ended(&weir, "/s", "idle").await;
}

#[tokio::test]
async fn a_first_event_that_does_not_come_is_told_in_the_stream() {
    let (weir, mut upstream) = stage("timeout = { first_event = \"300ms\" }").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    // The upstream's own comments are no event.
    exchange.chunk(": keep-alive\n\n").await;
    let (body, end) = client.rest().await;
    let text = String::from_utf8(body).expect("text");
    assert!(
        text.starts_with(": keep-alive\n\nevent: error\ndata: ") && text.ends_with("\n\n"),
        "{text:?}"
    );
    assert_eq!(end, End::Eof);
    exchange.gone().await;
    ended(&weir, "/s", "first_event").await;

    // With its first event in time, a stream may be slower than that clock.
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/t").await;
    pass(&exchange, &mut client, OPENAI).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    pass(&exchange, &mut client, OPENAI).await;
}

#[tokio::test]
async fn a_stream_that_takes_too_long_in_all_is_told_so() {
    let (weir, mut upstream) = stage("timeout = { total = \"500ms\" }").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    let feeding = async {
        while exchange.left().is_none() {
            exchange.chunk(OPENAI).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ((body, end), ()) = tokio::join!(client.rest(), within("weir to cut the stream", feeding));
    let text = String::from_utf8(body).expect("text");
    let rest = text.replace(OPENAI, "");
    assert!(
        rest.starts_with("data: {\"error\":") && rest.ends_with("\n\n"),
        "{rest:?}"
    );
    assert_eq!(end, End::Eof);
    ended(&weir, "/s", "total").await;
}

/// Waits for the log line and the series of a stream that ended like this.
async fn ended(weir: &weir_testkit::Weir, path: &str, outcome: &str) {
    let line = weir.logged(path).await;
    assert_eq!(
        (&line["outcome"], &line["status"]),
        (&outcome.into(), &200.into()),
        "{line}"
    );
    let metrics = weir
        .wait_metric(
            "weir_streams_total",
            &[("route", "all"), ("outcome", outcome)],
            1.0,
        )
        .await;
    assert_eq!(
        metrics.value(
            "weir_exchanges_total",
            &[("route", "all"), ("outcome", outcome)]
        ),
        1.0
    );
    weir.wait_metric("weir_streams_open", &[("route", "all")], 0.0)
        .await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_504() {
    let (weir, mut upstream) = stage("timeout = { headers = \"300ms\" }").await;
    let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status(), answer.end),
        (504, End::Clean),
        "{}",
        answer.text()
    );
    exchange.gone().await;
    let line = weir.logged("/s").await;
    assert!(
        line["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("headers")),
        "{line}"
    );
}

#[tokio::test]
async fn what_a_stream_did_is_measured() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    weir.wait_metric("weir_streams_open", &[("route", "all")], 1.0)
        .await;
    for event in [RUN_STARTED, CONTENT, CONTENT, RUN_FINISHED] {
        pass(&exchange, &mut client, event).await;
    }
    weir.wait_metric("active_conversations", &[], 1.0).await;
    exchange.end().await;
    client.rest().await;
    let bytes = (RUN_STARTED.len() + 2 * CONTENT.len() + RUN_FINISHED.len()) as f64;
    let all = [("route", "all")];
    let metrics = eventually("the stream's account", async || {
        Some(weir.metrics().await).filter(|seen| seen.value("weir_streams_total", &all) == 1.0)
    })
    .await;
    for (name, value) in [
        ("weir_stream_events_total", 4.0),
        ("weir_stream_bytes_total", bytes),
        ("weir_stream_first_byte_seconds_count", 1.0),
        ("weir_stream_first_event_seconds_count", 1.0),
        ("weir_stream_event_gap_seconds_count", 3.0),
        ("http_requests_total", 1.0),
        ("http_request_duration_seconds_count", 1.0),
    ] {
        assert_eq!(metrics.value(name, &all), value, "{name}");
    }
    weir.wait_metric("active_conversations", &[], 0.0).await;
    weir.wait_metric("weir_streams_open", &all, 0.0).await;
    let line = weir.logged("/s").await;
    assert_eq!(
        (&line["conversation_id"], &line["dialect"]),
        (&"t-1".into(), &"ag-ui".into()),
        "{line}"
    );
    assert!(
        line["first_byte_ms"].is_number()
            && line["first_event_ms"].is_number()
            && line["max_gap_ms"].is_number(),
        "{line}"
    );
}

#[tokio::test]
async fn a_slow_reader_slows_its_upstream_and_not_weir() {
    let upstream = Upstream::scripted(|exchange| async move {
        exchange.stream().await;
        let event = format!("data: {}\n\n", "x".repeat(32 * 1024));
        while exchange.left().is_none() {
            exchange.chunk(&event).await;
        }
    })
    .await;
    let weir = weir().start(&everything(upstream.address(), "")).await;
    let before = weir.resident();
    let mut readers = Vec::new();
    for _ in 0..16 {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/s", &[]).await;
        client.head().await;
        readers.push(client);
    }
    // Until nothing moves any more: what the kernels hold is not weir's memory.
    let mut last = 0;
    eventually("the streams to stand still", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = readers
            .iter()
            .filter_map(Client::awaiting)
            .map(|held| held.unsent + held.unread)
            .sum();
        (std::mem::replace(&mut last, now) == now && now > 0).then_some(())
    })
    .await;
    let grown = weir.resident().saturating_sub(before);
    assert!(
        grown < 16 * 512 * 1024,
        "{grown} bytes for 16 readers that do not read"
    );
    for mut reader in readers {
        // They still get whole events, as much as they want.
        assert_eq!(reader.event().await.len(), 32 * 1024 + 8);
    }
}
