//! What is written down of an exchange: one line in the log and one count in the series, right for every way an answer can be framed
//! and every way it can end.

use serde_json::Value;
use weir_testkit::{
    Client, End, Upstream, Weir,
    client::{ask, get},
    eventually,
    mint::{self, bearer},
};

use crate::stage::{
    CONTENT, DONE, OPENAI, RUN_FINISHED, RUN_STARTED, asked, everything, pass, route, stage,
    streaming, upstream, weir,
};

/// Status, outcome and bytes of a log line.
fn facts(line: &Value) -> (u64, &str, u64) {
    (
        line["status"].as_u64().expect("a status"),
        line["outcome"].as_str().expect("an outcome"),
        line["bytes"].as_u64().expect("a count of bytes"),
    )
}

#[tokio::test]
async fn every_framing_of_a_whole_answer_is_complete() {
    let (weir, mut up) = stage("").await;
    for (number, (method, answer, status, bytes)) in [
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            200,
            5,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            200,
            0,
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            200,
            0,
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            200,
            0,
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
            200,
            0,
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, 0),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\ncontent-length: 5\r\n\r\n",
            304,
            0,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            5,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            200,
            0,
        ),
        (
            "POST",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
            404,
            2,
        ),
        (
            "GET",
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\nno",
            500,
            2,
        ),
        (
            "GET",
            "HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nto the end",
            200,
            10,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{number}");
        let mut client = Client::connect(weir.address()).await;
        client.request(method, &target, &[]).await;
        let exchange = up.exchange().await;
        exchange.send(answer).await;
        // The last of them ends by closing.
        let held = if answer.starts_with("HTTP/1.0") {
            exchange.close().await;
            None
        } else {
            Some(exchange)
        };
        let given = client.answer().await;
        assert_eq!(
            (given.status(), given.body.len(), given.end),
            (status, bytes, End::Clean),
            "{answer:?}"
        );
        let line = weir.logged(&target).await;
        assert_eq!(
            facts(&line),
            (u64::from(status), "complete", bytes as u64),
            "{answer:?}: {line}"
        );
        assert_eq!(line["method"], method);
        drop(held);
    }
    weir.wait_metric(
        "weir_exchanges_total",
        &[("route", "all"), ("outcome", "complete")],
        12.0,
    )
    .await;
    assert_eq!(weir.log().len(), 12, "one line for each");
}

#[tokio::test]
async fn a_client_that_leaves_is_written_down_with_what_it_got() {
    let (weir, mut up) = stage("").await;
    // Before the head.
    let (client, exchange) = asked(&weir, &mut up, "/before").await;
    client.reset();
    exchange.gone().await;
    let line = weir.logged("/before").await;
    assert_eq!(facts(&line), (499, "client_gone", 0), "{line}");
    // In a body with a length.
    let (mut client, exchange) = asked(&weir, &mut up, "/within").await;
    exchange.head("200 OK", &["content-length: 100"]).await;
    exchange.send("0123456789").await;
    client.head().await;
    client.until("9").await;
    client.close();
    exchange.gone().await;
    let line = weir.logged("/within").await;
    assert_eq!(facts(&line), (200, "client_gone", 10), "{line}");
    let metrics = weir
        .wait_metric(
            "weir_exchanges_total",
            &[("route", "all"), ("outcome", "client_gone")],
            2.0,
        )
        .await;
    assert_eq!(
        metrics.value(
            "http_requests_total",
            &[("route", "all"), ("status", "499")]
        ),
        1.0
    );
    assert_eq!(
        metrics.value(
            "http_requests_total",
            &[("route", "all"), ("status", "200")]
        ),
        1.0
    );
}

#[tokio::test]
async fn a_line_has_its_keys_and_no_query() {
    let up = Upstream::saying("hello").await;
    let config = [
        upstream("up", up.address(), ""),
        "[auth.tokens]\ntype = \"jwt\"\nsecret = \"${env:JWT_SECRET}\"\ntenant_claim = \"tenant\"\n\n".to_owned(),
        route("tokens", "/tokens/*", "to = \"up\"\nauth = \"tokens\""),
        route("all", "/*", "to = \"up\""),
    ];
    let weir = weir()
        .top("service = \"chat-gateway\"\nworkers = 1")
        .env("JWT_SECRET", mint::SECRET)
        .start(&config.concat())
        .await;
    let mut client = Client::connect(weir.address()).await;
    client
        .post(
            "/x?password=hunter2",
            &["User-Agent: test \"agent\" \u{e9}"],
            b"four",
        )
        .await;
    client.answer().await;
    let line = weir.logged("/x").await;
    let keys: Vec<_> = line
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    for key in [
        "timestamp",
        "level",
        "service",
        "trace_id",
        "span_id",
        "tenant_id",
        "user_id",
        "message",
        "method",
        "path",
        "status",
        "duration_ms",
        "route",
        "upstream",
        "client",
        "outcome",
        "bytes",
    ] {
        assert!(keys.contains(&key), "{key} is missing: {line}");
    }
    assert_eq!(
        (
            &line["service"],
            &line["level"],
            &line["client"],
            &line["bytes_in"],
            &line["user_id"],
            &line["tenant_id"]
        ),
        (
            &"chat-gateway".into(),
            &"info".into(),
            &"127.0.0.1".into(),
            &4.into(),
            &Value::Null,
            &Value::Null
        ),
        "{line}"
    );
    let time = line["timestamp"].as_str().expect("a time");
    assert!(
        time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T',
        "{time}"
    );
    assert!(
        line["duration_ms"].is_number()
            && line["trace_id"].as_str().is_some_and(|id| id.len() == 32),
        "{line}"
    );
    assert!(!line.to_string().contains("hunter2"), "{line}");

    let token =
        mint::token(&serde_json::json!({ "sub": "ana", "tenant": "acme", "exp": mint::unix(60) }));
    get(
        weir.address(),
        "/tokens/x",
        &[&format!("Authorization: Bearer {token}")],
    )
    .await;
    let line = weir.logged("/tokens/x").await;
    assert_eq!(
        (&line["user_id"], &line["tenant_id"]),
        (&"ana".into(), &"acme".into()),
        "{line}"
    );
    assert!(!line.to_string().contains(&token), "{line}");
}

#[tokio::test]
async fn nothing_a_client_sends_breaks_a_line() {
    let up = Upstream::saying("ok").await;
    let weir = weir().start(&everything(up.address(), "")).await;
    let mut client = Client::connect(weir.address()).await;
    client.send(b"GET /\"quoted\" HTTP/1.1\r\nHost: a.test\r\nUser-Agent: a\"b\\c\td\xff\xfe\x80{}\r\n\r\n").await;
    client.answer().await;
    get(weir.address(), "/plain", &[]).await;
    weir.logged("/plain").await;
    let lines = weir.log();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0]["path"]
            .as_str()
            .is_some_and(|path| path.contains("quoted")),
        "{}",
        lines[0]
    );
}

#[tokio::test]
async fn a_route_can_stay_out_of_the_log_but_not_out_of_the_series() {
    let up = Upstream::saying("ok").await;
    let config = [
        upstream("up", up.address(), ""),
        route("quiet", "/quiet", "to = \"up\"\nlog = false"),
        route("loud", "/loud", "to = \"up\""),
    ];
    let weir = weir().start(&config.concat()).await;
    get(weir.address(), "/quiet", &[]).await;
    get(weir.address(), "/loud", &[]).await;
    weir.logged("/loud").await;
    weir.wait_metric("http_requests_total", &[("route", "quiet")], 1.0)
        .await;
    assert_eq!(weir.log().len(), 1);
}

#[tokio::test]
async fn the_log_is_rolled_at_its_size_and_old_ones_go() {
    let up = Upstream::saying("ok").await;
    let config =
        "[log]\nformat = \"json\"\nto = \"FOLDER/access.log\"\nroll_at = 4096\nkeep = 2\n\n"
            .to_owned()
            + &everything(up.address(), "");
    let weir = weir().start(&config).await;
    let mut client = Client::connect(weir.address()).await;
    for number in 0..100 {
        client.request("GET", &format!("/{number}"), &[]).await;
        assert_eq!(client.answer().await.status(), 200);
        // Lines are written in batches; a batch is not split over files.
        weir.logged(&format!("/{number}")).await;
    }
    let mut names: Vec<_> = std::fs::read_dir(weir.folder())
        .expect("the folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| name.starts_with("access.log"))
        .collect();
    names.sort();
    assert_eq!(names, ["access.log", "access.log.1", "access.log.2"]);
    let mut numbers = Vec::new();
    for name in ["access.log.2", "access.log.1", "access.log"] {
        let text = std::fs::read_to_string(weir.folder().join(name)).expect("a log");
        assert!(text.len() <= 4096 + 1024, "{name} has {} bytes", text.len());
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).expect("whole lines only");
            numbers.push(
                line["path"]
                    .as_str()
                    .and_then(|path| path[1..].parse::<u32>().ok())
                    .expect("a number"),
            );
        }
    }
    assert_eq!(numbers.last(), Some(&99));
    assert!(
        numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{numbers:?}"
    );
}

#[tokio::test]
async fn for_people_the_log_is_text_on_standard_output() {
    let up = Upstream::saying("ok").await;
    let weir = weir()
        .start(
            &("[log]\nformat = \"text\"\nto = \"stdout\"\n\n".to_owned()
                + &everything(up.address(), "")),
        )
        .await;
    get(weir.address(), "/read/me", &[]).await;
    let line = eventually("the line", async || {
        weir.stdout()
            .into_iter()
            .find(|line| line.contains("/read/me"))
    })
    .await;
    for part in ["GET", "200", "all", "complete"] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    assert!(serde_json::from_str::<Value>(&line).is_err());
}

#[tokio::test]
async fn labels_are_weirs_own_words() {
    let up = Upstream::scripted(|mut exchange| async move {
        exchange.body().await;
        let status = if exchange.head.target() == "/odd" {
            "799 Odd"
        } else {
            "200 OK"
        };
        exchange.answer(status, &[], "ok").await;
        exchange.done();
    })
    .await;
    let weir = weir().start(&everything(up.address(), "")).await;
    for number in 0..20 {
        ask(
            weir.address(),
            &format!("BREW{number}"),
            &format!("/{number}"),
            &[],
        )
        .await;
    }
    get(weir.address(), "/odd", &[]).await;
    let metrics = weir
        .wait_metric("http_requests_total", &[("route", "all")], 21.0)
        .await;
    assert_eq!(
        metrics.value(
            "http_requests_total",
            &[("method", "OTHER"), ("status", "200")]
        ),
        20.0
    );
    assert_eq!(
        metrics.value(
            "http_requests_total",
            &[("method", "GET"), ("status", "502")]
        ),
        1.0
    );
    let mut methods = metrics.labels("http_requests_total", "method");
    methods.sort();
    methods.dedup();
    assert_eq!(methods, ["GET", "OTHER"]);
}

#[tokio::test]
async fn tokens_are_counted_from_what_the_streams_say() {
    let mut up = Upstream::start().await;
    let weir = weir()
        .top("models = [\"gpt-x\"]\nworkers = 1")
        .start(&everything(up.address(), ""))
        .await;
    let usage = |model: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"{model}\",\"choices\":[],\
             \"usage\":{{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}}}}\n\n"
        )
    };
    for model in ["gpt-x", "gpt-unheard-of"] {
        let (mut client, exchange) = streaming(&weir, &mut up, &format!("/{model}")).await;
        for event in [OPENAI, &usage(model), DONE] {
            pass(&exchange, &mut client, event).await;
        }
        exchange.end().await;
        assert_eq!(client.rest().await.1, End::Clean);
        let line = weir.logged(&format!("/{model}")).await;
        assert_eq!(
            (
                &line["dialect"],
                &line["model"],
                &line["input_tokens"],
                &line["output_tokens"]
            ),
            (&"openai-chat".into(), &model.into(), &11.into(), &7.into()),
            "{line}"
        );
    }
    for label in ["gpt-x", "other"] {
        let metrics = weir
            .wait_metric(
                "llm_requests_total",
                &[("route", "all"), ("model", label), ("outcome", "complete")],
                1.0,
            )
            .await;
        for (kind, count) in [("input", 11.0), ("output", 7.0)] {
            assert_eq!(
                metrics.value(
                    "llm_tokens_used_total",
                    &[("route", "all"), ("model", label), ("type", kind)]
                ),
                count,
                "{label} {kind}"
            );
        }
    }
}

#[tokio::test]
async fn a_conversation_is_counted_once_however_many_streams_it_has() {
    let (weir, mut up) = stage("").await;
    let mut open = Vec::new();
    for thread in ["a", "a", "b"] {
        let (mut client, exchange) = streaming(&weir, &mut up, "/s").await;
        pass(&exchange, &mut client, &RUN_STARTED.replace("t-1", thread)).await;
        open.push((client, exchange));
    }
    weir.wait_metric("active_conversations", &[], 2.0).await;
    let (mut client, exchange) = open.remove(0);
    pass(&exchange, &mut client, CONTENT).await;
    pass(&exchange, &mut client, RUN_FINISHED).await;
    exchange.end().await;
    client.rest().await;
    weir.wait_metric("weir_streams_open", &[("route", "all")], 2.0)
        .await;
    assert_eq!(weir.metrics().await.value("active_conversations", &[]), 2.0);
    drop(open);
    weir.wait_metric("active_conversations", &[], 0.0).await;
}

#[tokio::test]
async fn connections_are_counted() {
    let (weir, mut up) = stage("").await;
    let (client, _exchange) = asked(&weir, &mut up, "/x").await;
    let idle = Client::connect(weir.address()).await;
    weir.wait_metric("weir_connections_open", &[], 2.0).await;
    client.close();
    idle.close();
    let metrics = weir.wait_metric("weir_connections_open", &[], 0.0).await;
    assert_eq!(metrics.value("weir_connections_total", &[]), 2.0);
    assert_eq!(metrics.value("weir_connection_errors_total", &[]), 0.0);
    assert!(
        metrics.has("weir_build_info", &[]) && metrics.has("process_open_fds", &[]),
        "{}",
        metrics.text()
    );
}

/// Nothing that a route refuses may be missing where an operator looks for it.
#[tokio::test]
async fn the_user_of_a_refused_request_is_not_written_down() {
    let up = Upstream::saying("ok").await;
    let config = [
        upstream("up", up.address(), ""),
        "[auth.tokens]\ntype = \"jwt\"\nsecret = \"${env:JWT_SECRET}\"\n\n".to_owned(),
        "[limit.one]\nby = \"user\"\nrate = \"1/3600s\"\nalgorithm = \"window\"\n\n".to_owned(),
        route(
            "all",
            "/*",
            "to = \"up\"\nauth = \"tokens\"\nlimit = [\"one\"]",
        ),
    ];
    let weir: Weir = weir()
        .env("JWT_SECRET", mint::SECRET)
        .start(&config.concat())
        .await;
    let forged = mint::signed(
        r#"{"alg":"HS256","typ":"JWT"}"#,
        "{\"sub\":\"eve\",\"exp\":9999999999}",
        "another secret of at least 32 bytes",
    );
    get(
        weir.address(),
        "/forged",
        &[&format!("Authorization: Bearer {forged}")],
    )
    .await;
    let line = weir.logged("/forged").await;
    assert_eq!(
        (&line["user_id"], &line["reason"]),
        (&Value::Null, &"bad_signature".into()),
        "{line}"
    );
    // One whose rate is used up was recognised.
    get(weir.address(), "/first", &[&bearer("ana")]).await;
    get(weir.address(), "/second", &[&bearer("ana")]).await;
    let line = weir.logged("/second").await;
    assert_eq!(
        (&line["user_id"], &line["status"]),
        (&"ana".into(), &429.into()),
        "{line}"
    );
}
