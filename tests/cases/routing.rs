//! Where a request goes and what arrives there: files, rewritten paths, one server of several, a kept connection or a new one,
//! and headers that only weir may write.

use std::collections::BTreeSet;

use weir_testkit::{
    Client, End, Exchange, Upstream, Weir,
    client::{ask, get},
    eventually,
    mint::{self, cookie},
    upstream::{Nobody, chunk},
};

use crate::stage::{asked, everything, pass, route, stage, streaming, upstream, weir};

const PAGE: &str = "<!doctype html><title>chat</title>";

async fn site() -> Weir {
    let config = route(
        "site",
        "/chat/*",
        "files = { root = \"FOLDER/site\", fallback = \"404.html\", cache_control = \"no-cache\" }",
    ) + &route(
        "assets",
        "/chat/_next/*",
        "files = { root = \"FOLDER/site/_next\", cache_control = \"public, max-age=31536000, immutable\" }",
    );
    weir()
        .file("site/index.html", PAGE)
        .file("site/about.html", "about")
        .file("site/404.html", "the fallback")
        .file("site/data.bin", (0..=255_u8).collect::<Vec<_>>())
        .file("site/app.js", "plain")
        .file("site/app.js.br", "as brotli")
        .file("site/app.js.gz", "as gzip")
        .file("site/.env", "SECRET=1")
        .file("site/guide/index.html", "the guide")
        .file("site/_next/static/chunk.js", "immutable")
        .file("outside.txt", "outside")
        .start(&config)
        .await
}

#[tokio::test]
async fn files_are_found_as_exported_sites_expect() {
    let weir = site().await;
    for (target, status, body) in [
        ("/chat/", 200, PAGE),
        ("/chat/index.html", 200, PAGE),
        ("/chat/about", 200, "about"),
        ("/chat/about.html?x=1", 200, "about"),
        ("/chat/_next/static/chunk.js", 200, "immutable"),
        ("/chat/no/such/page", 200, "the fallback"),
        ("/chat/guide/", 200, "the guide"),
        ("/chat/.env", 404, "404 Not Found\n"),
        ("/chat/../outside.txt", 404, "404 Not Found\n"),
        ("/chat/_next/none.js", 404, "404 Not Found\n"),
    ] {
        let answer = get(weir.address(), target, &[]).await;
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (status, body),
            "{target}"
        );
    }
    assert_eq!(
        get(weir.address(), "/chat/about", &[])
            .await
            .header("content-type"),
        Some("text/html")
    );
    assert_eq!(
        get(weir.address(), "/chat/about", &[])
            .await
            .header("cache-control"),
        Some("no-cache")
    );
    let immutable = get(weir.address(), "/chat/_next/static/chunk.js", &[]).await;
    assert_eq!(
        immutable.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    let folder = get(weir.address(), "/chat/guide?x=1", &[]).await;
    assert_eq!(
        (folder.status(), folder.header("location")),
        (307, Some("/chat/guide/?x=1"))
    );
    let head = ask(weir.address(), "HEAD", "/chat/about", &[]).await;
    assert_eq!(
        (
            head.status(),
            head.header("content-length"),
            head.body.len()
        ),
        (200, Some("5"), 0)
    );
    assert_eq!(
        ask(weir.address(), "POST", "/chat/about", &[])
            .await
            .status(),
        405
    );
}

#[tokio::test]
async fn files_are_sent_once_in_part_and_compressed_beforehand() {
    let weir = site().await;
    let whole = get(weir.address(), "/chat/data.bin", &[]).await;
    assert_eq!((whole.status(), whole.body.len()), (200, 256));
    let tag = whole.header("etag").expect("an ETag").to_owned();
    let again = get(
        weir.address(),
        "/chat/data.bin",
        &[&format!("If-None-Match: {tag}")],
    )
    .await;
    assert_eq!(
        (again.status(), again.body.len(), again.header("etag")),
        (304, 0, Some(&*tag))
    );
    // What a cache learns from the whole it must not lose by asking again.
    for name in ["vary", "cache-control"] {
        assert!(whole.header(name).is_some(), "{name}");
        assert_eq!(again.header(name), whole.header(name), "{name}");
    }
    let changed = get(
        weir.address(),
        "/chat/data.bin",
        &["If-None-Match: \"other\""],
    )
    .await;
    assert_eq!(changed.status(), 200);

    let part = get(weir.address(), "/chat/data.bin", &["Range: bytes=10-19"]).await;
    assert_eq!(
        (part.status(), part.header("content-range")),
        (206, Some("bytes 10-19/256"))
    );
    assert_eq!(part.body, (10..20).collect::<Vec<u8>>());
    let beyond = get(weir.address(), "/chat/data.bin", &["Range: bytes=500-"]).await;
    assert_eq!(
        (beyond.status(), beyond.header("content-range")),
        (416, Some("bytes */256"))
    );

    for (accept, encoding, body) in [
        ("Accept-Encoding: gzip, br", Some("br"), "as brotli"),
        ("Accept-Encoding: gzip", Some("gzip"), "as gzip"),
        ("Accept-Encoding: identity", None, "plain"),
    ] {
        let answer = get(weir.address(), "/chat/app.js", &[accept]).await;
        assert_eq!(
            (answer.header("content-encoding"), answer.text().as_str()),
            (encoding, body),
            "{accept}"
        );
        assert!(
            answer.head.lists("vary", "accept-encoding"),
            "{accept}: {:?}",
            answer.head
        );
        assert!(
            answer
                .header("content-type")
                .is_some_and(|kind| kind.contains("javascript")),
            "{:?}",
            answer.head
        );
    }
}

#[tokio::test]
async fn the_most_specific_route_serves_and_the_upstream_sees_its_own_path() {
    let up = Upstream::saying("ok").await;
    let config = [
        upstream("up", up.address(), ""),
        route("catch-all", "/*", "to = \"up\""),
        route("api", "/chat/api/*", "to = \"up\"\nstrip = \"/chat/api\""),
        route(
            "run",
            "/chat/api/agent/*/run",
            "to = \"up\"\nstrip = \"/chat\"",
        ),
        route(
            "data",
            "/chat/data/*",
            "to = \"up\"\nrewrite = \"/v2/items/*\"",
        ),
        route(
            "swap",
            "/a/*/b/*/c",
            "to = \"up\"\nrewrite = \"/c/*/x/*/y\"",
        ),
        route(
            "other-host",
            "/chat/api/*",
            "host = \"*.b.test\"\nto = \"up\"\nrewrite = \"/b/*\"",
        ),
        route(
            "post",
            "/chat/api/*",
            "method = \"POST\"\nto = \"up\"\nrewrite = \"/posted/*\"",
        ),
    ];
    let weir = weir().start(&config.concat()).await;
    for (method, host, target, seen, route) in [
        ("GET", "a.test", "/", "/", "catch-all"),
        ("GET", "a.test", "/chat/apix?y", "/chat/apix?y", "catch-all"),
        ("GET", "a.test", "/chat/api", "/", "api"),
        ("GET", "a.test", "/chat/api/", "/", "api"),
        (
            "GET",
            "a.test",
            "/chat/api/x/y?q=a%20b&r=/../z",
            "/x/y?q=a%20b&r=/../z",
            "api",
        ),
        (
            "GET",
            "a.test",
            "/chat/api/agent/default/run",
            "/api/agent/default/run",
            "run",
        ),
        (
            "GET",
            "a.test",
            "/chat/api/agent/a/b/run",
            "/agent/a/b/run",
            "api",
        ),
        (
            "GET",
            "a.test",
            "/chat/data/7/parts?all",
            "/v2/items/7/parts?all",
            "data",
        ),
        ("GET", "a.test", "/a/1/b/2/c", "/c/1/x/2/y", "swap"),
        (
            "GET",
            "www.b.test:8080",
            "/chat/api/x",
            "/b/x",
            "other-host",
        ),
        ("GET", "WWW.B.TEST.", "/chat/api/x", "/b/x", "other-host"),
        ("GET", "b.test", "/chat/api/x", "/x", "api"),
        ("POST", "a.test", "/chat/api/x", "/posted/x", "post"),
        // One form of a path serves routing and forwarding.
        ("GET", "a.test", "//chat//api/./x", "/x", "api"),
        ("GET", "a.test", "/chat/data/../api/x", "/x", "api"),
        ("GET", "a.test", "/chat/%61pi/%7Ex%2a", "/~x%2A", "api"),
        (
            "GET",
            "a.test",
            "http://www.b.test/chat/api/abs",
            "/b/abs",
            "other-host",
        ),
    ] {
        let mut client = Client::connect(weir.address()).await;
        client
            .request(
                method,
                target,
                &[&format!("Host: {host}"), "Connection: close"],
            )
            .await;
        assert_eq!(client.answer().await.status(), 200, "{host} {target}");
        assert_eq!(
            up.requests().last().expect("a request").target(),
            seen,
            "{host} {target}"
        );
        let line = eventually("the log line", async || {
            weir.log().pop().filter(|line| line["route"] == route)
        })
        .await;
        assert_eq!(line["upstream"], up.address().to_string(), "{line}");
    }
}

#[tokio::test]
async fn the_host_of_the_route_is_the_host_the_upstream_sees() {
    let up = Upstream::saying("ok").await;
    let weir = weir().start(&everything(up.address(), "")).await;
    for (target, host, seen) in [
        ("/", "A.test:99", "a.test:99"),
        ("http://c.test/x", "a.test", "c.test"),
    ] {
        assert_eq!(
            get(weir.address(), target, &[&format!("Host: {host}")])
                .await
                .status(),
            200
        );
        let last = up.requests().pop().expect("a request");
        assert_eq!(last.all("host").collect::<Vec<_>>(), [seen]);
        assert_eq!(last.header("x-forwarded-host"), Some(seen));
    }
    drop(weir);
    let config =
        upstream("up", up.address(), "host = \"inside.test\"") + &route("all", "/*", "to = \"up\"");
    let weir = crate::stage::weir().start(&config).await;
    get(weir.address(), "/", &[]).await;
    let last = up.requests().pop().expect("a request");
    assert_eq!(
        (last.header("host"), last.all("host").count()),
        (Some("inside.test"), 1)
    );
}

#[tokio::test]
async fn only_weir_says_who_is_asking_and_from_where() {
    let up = Upstream::saying("ok").await;
    let config = [
        upstream("up", up.address(), ""),
        "[auth.portal]\ntype = \"aspnet-cookie\"\nmachine_key = { validation = \"${env:VALIDATION_KEY}\", decryption = \"${env:DECRYPTION_KEY}\" }\n\n".to_owned(),
        route("public", "/public/*", "to = \"up\""),
        route("private", "/private/*", "to = \"up\"\nauth = \"portal\""),
    ];
    let weir = weir()
        .env("VALIDATION_KEY", mint::VALIDATION)
        .env("DECRYPTION_KEY", mint::DECRYPTION)
        .start(&config.concat())
        .await;
    let session = cookie("Zoë, Müller");
    let forged = [
        session.as_str(),
        "X-Weir-User: admin",
        "x_weir_user: admin",
        "X-WEIR-ROLES: root",
        "X-Weir-Tenant: t",
        "X-Weir-Identity: eyJ",
        "MS-ASPNETCORE-WINAUTHTOKEN: 1",
        "Remote-User: admin",
        "Connection: X-Weir-User, X-Forwarded-For, x-gone, traceparent",
        "X-Gone: 1",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.test",
        "X-Forwarded-Port: 1",
        "X-Real-IP: 1.2.3.4",
        "Forwarded: for=1.2.3.4",
        "Proxy-Connection: keep-alive",
        "Keep-Alive: timeout=1",
        "TE: trailers",
        "X-Kept: yes",
        "Authorization: Basic eDp5",
    ];
    for (target, user) in [
        ("/public/x", None),
        ("/private/x", Some("Zo%C3%AB,%20M%C3%BCller")),
    ] {
        // The second Connection header would be refused where one is a credential; basic ones are no concern of a cookie's.
        assert_eq!(
            get(weir.address(), target, &forged).await.status(),
            200,
            "{target}"
        );
        let seen = up.requests().pop().expect("a request");
        assert_eq!(
            seen.all("x-weir-user").collect::<Vec<_>>(),
            user.into_iter().collect::<Vec<_>>(),
            "{target}"
        );
        assert_eq!(seen.header("x-weir-roles"), user.map(|_| "staff"));
        for (name, value) in [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "a.test"),
            ("x-kept", "yes"),
        ] {
            assert_eq!(
                seen.all(name).collect::<Vec<_>>(),
                [value],
                "{target} {name}"
            );
        }
        for gone in [
            "x_weir_user",
            "x-weir-tenant",
            "x-weir-identity",
            "ms-aspnetcore-winauthtoken",
            "remote-user",
            "x-gone",
            "forwarded",
            "x-forwarded-port",
            "proxy-connection",
            "keep-alive",
            "te",
        ] {
            assert_eq!(seen.header(gone), None, "{target} {gone}");
        }
        // The application behind the cookie needs it still.
        assert_eq!(seen.all("cookie").collect::<Vec<_>>().len(), 1);
    }
}

#[tokio::test]
async fn a_trace_goes_on_or_begins() {
    let up = Upstream::saying("ok").await;
    let weir = weir().start(&everything(up.address(), "")).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01");
    for (number, (headers, continued)) in [
        (vec![parent.as_str(), "tracestate: a=b"], true),
        (vec![], false),
        (
            vec!["traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            false,
        ),
        (vec!["traceparent: nonsense"], false),
        (vec![parent.as_str(), parent.as_str()], false),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{number}");
        get(weir.address(), &target, &headers).await;
        let seen = up.requests().pop().expect("a request");
        let parents: Vec<_> = seen.all("traceparent").collect();
        let [one] = parents[..] else {
            panic!("{parents:?}")
        };
        let parts: Vec<_> = one.split('-').collect();
        let [version, id, span, flags] = parts[..] else {
            panic!("{one}")
        };
        assert_eq!(
            (version, id.len(), span.len(), flags.len()),
            ("00", 32, 16, 2)
        );
        assert_eq!(id == trace, continued, "{headers:?}");
        assert_ne!(
            span, "00f067aa0ba902b7",
            "weir's own span is the parent of the upstream's"
        );
        if continued {
            assert_eq!((flags, seen.header("tracestate")), ("01", Some("a=b")));
        }
        let line = weir.logged(&target).await;
        assert_eq!(
            (line["trace_id"].as_str(), line["span_id"].as_str()),
            (Some(id), Some(span)),
            "{line}"
        );
    }
}

#[tokio::test]
async fn an_answers_connection_headers_stay_on_its_hop() {
    let (weir, mut up) = stage("headers = { \"X-Content-Type-Options\" = \"nosniff\" }").await;
    let (mut client, exchange) = asked(&weir, &mut up, "/x").await;
    let headers = [
        "Connection: X-Hop, close",
        "X-Hop: 1",
        "Keep-Alive: timeout=5",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "X-Kept: yes",
    ];
    exchange.answer("201 Created", &headers, "made").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text().as_str()), (201, "made"));
    assert_eq!(
        (
            answer.header("x-hop"),
            answer.header("keep-alive"),
            answer.header("x-kept")
        ),
        (None, None, Some("yes"))
    );
    assert!(
        !answer.head.lists("connection", "close"),
        "the client's connection is another: {:?}",
        answer.head
    );
    assert_eq!(
        answer.head.all("set-cookie").collect::<Vec<_>>(),
        ["a=1", "b=2"]
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    client.request("GET", "/again", &[]).await;
    let exchange = up.exchange().await;
    exchange.answer("200 OK", &[], "").await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn a_body_goes_up_piece_by_piece() {
    let (weir, mut up) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    client.send("POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n").await;
    let mut exchange = up.exchange().await;
    for piece in ["one", "two", "three"] {
        client.send(chunk(piece)).await;
        assert_eq!(exchange.piece().await.as_deref(), Some(piece.as_bytes()));
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(exchange.piece().await, None);
    assert!(exchange.body_done());
    exchange.answer("200 OK", &[], "ok").await;
    assert_eq!(client.answer().await.status(), 200);
    // The body of a GET too.
    exchange.done();
    client.send("GET /y HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").await;
    let mut exchange = up.exchange().await;
    assert_eq!(exchange.body().await, b"hi");
    assert!(exchange.body_done());
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    let (weir, mut up) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    client
        .send(
            "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        )
        .await;
    assert_eq!(client.interim().await.status(), 100);
    client.send("hi").await;
    let mut exchange = up.exchange().await;
    assert_eq!(exchange.header("expect"), None);
    assert_eq!(exchange.body().await, b"hi");
    exchange.answer("200 OK", &[], "ok").await;
    assert_eq!(client.answer().await.status(), 200);
}

/// An upstream of two servers that the test plays.
async fn pair(keys: &str) -> (Weir, Upstream, Upstream) {
    let (left, right) = (Upstream::start().await, Upstream::start().await);
    let config = format!(
        "[upstream.up]\nservers = [\"{}\", \"{}\"]\n{keys}\n\n",
        left.address(),
        right.address()
    ) + &route("all", "/*", "to = \"up\"");
    // Each worker takes its own turns; with one, the order is known.
    (weir().top("workers = 1").start(&config).await, left, right)
}

/// Opens a stream and says which of two servers has it.
async fn open(weir: &Weir, left: &mut Upstream, right: &mut Upstream) -> (bool, Client, Exchange) {
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/s", &[]).await;
    let (is_left, exchange) = tokio::select! {
        exchange = left.exchange() => (true, exchange),
        exchange = right.exchange() => (false, exchange),
    };
    exchange.stream().await;
    client.head().await;
    (is_left, client, exchange)
}

#[tokio::test]
async fn servers_take_turns() {
    let (weir, mut left, mut right) = pair("").await;
    let mut open_now = Vec::new();
    for _ in 0..6 {
        open_now.push(open(&weir, &mut left, &mut right).await);
    }
    let turns: Vec<_> = open_now.iter().map(|(is_left, ..)| *is_left).collect();
    assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
}

#[tokio::test]
async fn the_server_with_the_fewest_exchanges_is_next() {
    let (weir, mut left, mut right) = pair("balance = \"least-in-flight\"").await;
    let mut on_left = Vec::new();
    let mut on_right = Vec::new();
    for _ in 0..6 {
        let (is_left, client, exchange) = open(&weir, &mut left, &mut right).await;
        if is_left {
            on_left.push((client, exchange))
        } else {
            on_right.push((client, exchange))
        }
    }
    assert_eq!((on_left.len(), on_right.len()), (3, 3));
    // All of the left one's end: the next three are its.
    for (mut client, exchange) in on_left {
        exchange.end().await;
        client.rest().await;
    }
    weir.wait_metric(
        "weir_upstream_in_flight",
        &[("server", &left.address().to_string())],
        0.0,
    )
    .await;
    let mut next = Vec::new();
    for _ in 0..3 {
        let (is_left, client, exchange) = open(&weir, &mut left, &mut right).await;
        assert!(is_left, "the other has three already");
        next.push((client, exchange));
    }
}

#[tokio::test]
async fn a_dead_server_costs_no_request() {
    let (nobody, up) = (Nobody::here(), Upstream::saying("ok").await);
    let config = format!(
        "[upstream.up]\nservers = [\"{}\", \"{}\"]\n\n",
        nobody.address(),
        up.address()
    ) + &route("all", "/*", "to = \"up\"");
    let weir = weir().start(&config).await;
    for _ in 0..6 {
        let mut client = Client::connect(weir.address()).await;
        client.post("/x", &[], b"body").await;
        assert_eq!(client.answer().await.status(), 200);
    }
    assert_eq!(up.requests().len(), 6);
}

#[tokio::test]
async fn connections_are_kept_and_let_go() {
    let mut up = Upstream::start().await;
    let config = upstream(
        "up",
        up.address(),
        "keep_alive = { idle = \"300ms\", max = 8 }",
    ) + &route("all", "/*", "to = \"up\"");
    let weir = weir().top("workers = 1").start(&config).await;
    let mut client = Client::connect(weir.address()).await;
    for _ in 0..5 {
        client.request("GET", "/x", &[]).await;
        let exchange = up.exchange().await;
        assert_eq!(exchange.connection(), 0);
        exchange.answer("200 OK", &[], "ok").await;
        client.answer().await;
        exchange.done();
    }
    // Streams give theirs back too when they end well.
    client.request("GET", "/s", &[]).await;
    let exchange = up.exchange().await;
    assert_eq!(exchange.connection(), 0);
    exchange.stream().await;
    client.head().await;
    pass(&exchange, &mut client, "data: 1\n\n").await;
    exchange.end().await;
    client.rest().await;
    assert_eq!(up.open(), 1);
    eventually("the idle connection to be let go", async || {
        (up.open() == 0).then_some(())
    })
    .await;
    let metrics = weir.metrics().await;
    assert_eq!(
        metrics.value("weir_upstream_connects_total", &[("upstream", "up")]),
        1.0
    );
}

#[tokio::test]
async fn a_kept_connection_that_died_is_no_bodys_loss() {
    let (weir, mut up) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/first", &[]).await;
    let exchange = up.exchange().await;
    exchange.answer("200 OK", &[], "ok").await;
    client.answer().await;
    exchange.done();
    // The same connection brings the second request and closes instead of answering, as Node does after its 5 s.
    client.request("GET", "/second", &[]).await;
    let exchange = up.exchange().await;
    assert_eq!(exchange.connection(), 0);
    exchange.close().await;
    let exchange = up.exchange().await;
    assert_eq!(
        (exchange.connection(), exchange.head.target()),
        (1, "/second")
    );
    exchange.answer("200 OK", &[], "again").await;
    assert_eq!(client.answer().await.text(), "again");
    weir.wait_metric("weir_upstream_retries_total", &[("upstream", "up")], 1.0)
        .await;
    exchange.done();

    // What is not idempotent is not sent twice.
    client.post("/third", &[], b"pay").await;
    let mut exchange = up.exchange().await;
    assert_eq!(
        (exchange.connection(), exchange.body().await),
        (1, b"pay".to_vec())
    );
    exchange.close().await;
    assert_eq!(client.answer().await.status(), 502);
    assert!(up.pending().is_none());
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_brings_no_request() {
    let mut up = Upstream::start().await;
    let weir = weir()
        .top("workers = 1")
        .start(&everything(up.address(), ""))
        .await;
    let mut client = Client::connect(weir.address()).await;
    for number in 0..5 {
        // Not one that could be sent again.
        client.post("/x", &[], b"pay").await;
        let mut exchange = up.exchange().await;
        assert_eq!(
            (exchange.connection(), exchange.body().await),
            (number, b"pay".to_vec())
        );
        exchange.answer("200 OK", &[], "ok").await;
        assert_eq!(client.answer().await.status(), 200);
        exchange.done();
        up.close_idle().await;
    }
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_in_use() {
    let mut up = Upstream::start().await;
    let weir = weir()
        .top("workers = 1")
        .start(&everything(up.address(), ""))
        .await;
    let mut client = Client::connect(weir.address()).await;
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ] {
        client.request(method, "/x", &[]).await;
        let exchange = up.exchange().await;
        assert_eq!(exchange.connection(), 0, "{method} {answer:?}");
        exchange.send(answer).await;
        assert_eq!(client.answer().await.end, End::Clean);
        exchange.done();
    }
    weir.wait_metric("weir_upstream_in_flight", &[], 0.0).await;
}

#[tokio::test]
async fn an_answer_may_come_before_the_body_has_gone_up() {
    let (weir, mut up) = stage("").await;
    for keeps in [true, false] {
        let mut client = Client::connect(weir.address()).await;
        client
            .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n")
            .await;
        client.send([b'x'; 1000]).await;
        let exchange = up.exchange().await;
        exchange
            .answer("403 Forbidden", &["x-early: yes"], "not you")
            .await;
        // Then the upstream goes, or stays and reads no more.
        let held = if keeps {
            Some(exchange)
        } else {
            exchange.close().await;
            None
        };
        let answer = client.answer().await;
        assert_eq!(
            (
                answer.status(),
                answer.header("x-early"),
                answer.text().as_str()
            ),
            (403, Some("yes"), "not you")
        );
        drop(held);
    }
}

#[tokio::test]
async fn nothing_is_tried_again_after_a_byte_of_the_answer() {
    let (weir, mut up) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/first", &[]).await;
    let exchange = up.exchange().await;
    exchange.answer("200 OK", &[], "ok").await;
    client.answer().await;
    exchange.done();
    client.request("GET", "/second", &[]).await;
    up.exchange().await.close_with("HTTP/1.1 200").await;
    assert_eq!(client.answer().await.status(), 502);
    assert!(up.pending().is_none());
}

#[tokio::test]
async fn bytes_behind_an_answer_reach_nobody() {
    let (weir, mut up) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/first", &[]).await;
    let exchange = up.exchange().await;
    exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil").await;
    assert_eq!(client.answer().await.text(), "ok");
    client.request("GET", "/second", &[]).await;
    exchange.gone().await;
    let exchange = up.exchange().await;
    assert_eq!(
        (exchange.connection(), exchange.head.target()),
        (1, "/second")
    );
    exchange.answer("200 OK", &[], "good").await;
    assert_eq!(client.answer().await.text(), "good");
}

#[tokio::test]
async fn sick_servers_are_left_alone_until_they_are_well() {
    let sick = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let shown = std::sync::Arc::clone(&sick);
    let one = Upstream::scripted(move |exchange| {
        let sick = shown.load(std::sync::atomic::Ordering::SeqCst);
        async move {
            let status = if sick {
                "503 Service Unavailable"
            } else {
                "200 OK"
            };
            exchange.answer(status, &[], "one").await;
            exchange.done();
        }
    })
    .await;
    let other = Upstream::saying("other").await;
    let health = "health = { path = \"/health\", interval = \"20ms\", timeout = \"5s\", unhealthy_after = 2, healthy_after = 2 }";
    let config = format!(
        "[upstream.up]\nservers = [\"{}\", \"{}\"]\n{health}\n\n",
        one.address(),
        other.address()
    ) + &route("all", "/*", "to = \"up\"");
    let weir = weir().start(&config).await;
    let server = one.address().to_string();
    let labels = [("upstream", "up"), ("server", server.as_str())];
    let bodies = async |count: usize| {
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let answer = get(weir.address(), "/x", &[]).await;
            assert_eq!(answer.status(), 200);
            seen.insert(answer.text());
        }
        seen
    };
    weir.wait_metric("weir_upstream_healthy", &labels, 1.0)
        .await;
    assert_eq!(bodies(8).await.len(), 2);
    sick.store(true, std::sync::atomic::Ordering::SeqCst);
    weir.wait_metric("weir_upstream_healthy", &labels, 0.0)
        .await;
    assert_eq!(bodies(8).await, BTreeSet::from(["other".to_owned()]));
    let health = get(weir.admin(), "/health", &[]).await;
    assert!(
        health.status() == 200 && health.text().contains("degraded"),
        "{}",
        health.text()
    );
    sick.store(false, std::sync::atomic::Ordering::SeqCst);
    weir.wait_metric("weir_upstream_healthy", &labels, 1.0)
        .await;
    assert_eq!(bodies(8).await.len(), 2);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (weir, mut up) = stage("").await;
    let mut client = Client::connect(weir.address()).await;
    client.send("GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    for body in ["one", "two"] {
        let exchange = up.exchange().await;
        exchange.answer("200 OK", &[], body).await;
        exchange.done();
        assert_eq!(client.answer().await.text(), body);
    }
    assert_eq!(client.closed().await, End::Eof);
}

#[tokio::test]
async fn a_stream_keeps_its_connection_to_itself() {
    let (weir, mut up) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut up, "/s").await;
    let mut others = Vec::new();
    for _ in 0..4 {
        let (other, answer) = asked(&weir, &mut up, "/x").await;
        assert_ne!(answer.connection(), exchange.connection());
        others.push((other, answer));
    }
    pass(&exchange, &mut client, "data: 1\n\n").await;
}

/// In front of an upstream for which `/ADMIN` is `/admin`, weir must not take them for two.
#[tokio::test]
async fn a_route_is_found_whatever_the_case_where_the_upstream_finds_it_so() {
    let mut up = Upstream::start().await;
    let tokens = format!(
        "[auth.tokens]\ntype = \"jwt\"\nsecret = \"{}\"\nroles_claim = \"roles\"\n\n",
        mint::SECRET
    );
    let config = tokens
        + &upstream("up", up.address(), "")
        + &route("all", "/*", "to = \"up\"")
        + &route(
            "admin",
            "/Site/Admin/*",
            "to = \"up\"\nstrip = \"/Site\"\nauth = \"tokens\"\nrequire = { role = \"admin\" }",
        );
    let weir = weir().top("path_case = \"ignore\"\n").start(&config).await;
    let bearer = mint::bearer("ana");
    for path in [
        "/site/ADMIN/x",
        "/Site/Admin/x",
        "/%53ite/%41dmin",
        "/a/../SITE//admin/",
    ] {
        assert_eq!(get(weir.address(), path, &[]).await.status(), 401, "{path}");
        assert_eq!(
            get(weir.address(), path, &[&bearer]).await.status(),
            403,
            "{path}"
        );
    }
    assert_eq!(up.accepted(), 0);
    let claims = serde_json::json!({ "sub": "eve", "exp": mint::unix(60), "roles": ["admin"] });
    let chief = format!("Authorization: Bearer {}", mint::token(&claims));
    // What is cut off is found so too, and the rest goes on as it came.
    for (path, lines, seen) in [
        ("/SITE/aDMIN/X", vec![&*chief], "/aDMIN/X"),
        ("/sites/Admin", vec![], "/sites/Admin"),
    ] {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", path, &lines).await;
        assert_eq!(up.exchange().await.head.target(), seen);
    }
}

/// HTTP/1.0 needs no Host. Who leaves it out meets no route that names one.
#[tokio::test]
async fn without_a_host_no_route_that_names_one_is_reached() {
    let mut up = Upstream::start().await;
    let named = upstream("up", up.address(), "")
        + &route(
            "named",
            "/*",
            "to = \"up\"\nhost = [\"a.test\", \"*.test\"]",
        );
    let config = named + &route("open", "/open/*", "to = \"up\"");
    let weir = weir().start(&config).await;
    for (head, expected) in [
        ("GET /x HTTP/1.0\r\n\r\n", 404),
        ("GET /x HTTP/1.0\r\nHost:\r\n\r\n", 400),
        ("GET /x HTTP/1.1\r\n\r\n", 400),
    ] {
        let mut client = Client::connect(weir.address()).await;
        client.send(head).await;
        assert_eq!(client.head().await.status(), expected, "{head:?}");
    }
    assert_eq!(up.accepted(), 0);
    let mut client = Client::connect(weir.address()).await;
    client.send("GET /open/y HTTP/1.0\r\n\r\n").await;
    assert_eq!(up.exchange().await.head.target(), "/open/y");
}
