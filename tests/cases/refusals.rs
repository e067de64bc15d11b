//! Every way in which weir answers by itself: the status, the headers that belong to it, its series in `/metrics`, its line in the
//! log, and that no upstream heard of the request.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use weir_testkit::{
    Answer, Client, End, Run, Upstream, Weir,
    client::{ask, get, request},
    eventually,
    mint::{self, bearer, cookie, expired_cookie},
    upstream::Nobody,
};

use crate::stage::{everything, pass, route, streaming, upstream, weir};

/// The `route` label of what no route has taken.
const NONE: &str = "-";

/// The series and the log line of one refusal.
async fn counted(weir: &Weir, answer: &Answer, route: &str, status: u16, reason: &str) {
    assert_eq!(
        (answer.status(), answer.end),
        (status, End::Clean),
        "{reason}: {}",
        answer.text()
    );
    let text = status.to_string();
    let metrics = weir
        .wait_metric(
            "weir_refusals_total",
            &[("route", route), ("reason", reason)],
            1.0,
        )
        .await;
    assert!(
        metrics.value(
            "http_requests_total",
            &[("route", route), ("status", &text)]
        ) >= 1.0,
        "{reason}"
    );
    let line = eventually(&format!("the log line of {reason}"), async || {
        weir.log().into_iter().find(|line| line["reason"] == reason)
    })
    .await;
    assert_eq!(
        (&line["status"], &line["route"]),
        (&status.into(), &route.into()),
        "{line}"
    );
}

/// weir with the keys and secrets of the kit in its environment.
fn with_keys() -> Run {
    weir()
        .env("VALIDATION_KEY", mint::VALIDATION)
        .env("DECRYPTION_KEY", mint::DECRYPTION)
        .env("JWT_SECRET", mint::SECRET)
}

const AUTH: &str = r#"
[auth.portal]
type = "aspnet-cookie"
machine_key = { validation = "${env:VALIDATION_KEY}", decryption = "${env:DECRYPTION_KEY}" }
login = "/login?returnUrl={path}"

[auth.tokens]
type = "jwt"
secret = "${env:JWT_SECRET}"

"#;

/// weir with a route for each kind of credential.
async fn guarded() -> (Weir, Upstream) {
    let up = Upstream::saying("in").await;
    let config = [
        upstream("up", up.address(), ""),
        AUTH.to_owned(),
        route("portal", "/portal/*", "to = \"up\"\nauth = \"portal\""),
        route("tokens", "/tokens/*", "to = \"up\"\nauth = \"tokens\""),
    ];
    (with_keys().start(&config.concat()).await, up)
}

#[tokio::test]
async fn a_request_without_one_clear_host_is_400() {
    for (hosts, reason) in [
        ("", "host_missing"),
        ("Host: a.test\r\nHost: a.test\r\n", "host_duplicate"),
        ("Host: a.test, b.test\r\n", "host_malformed"),
    ] {
        let up = Upstream::saying("in").await;
        let weir = weir().start(&everything(up.address(), "")).await;
        let mut client = Client::connect(weir.address()).await;
        client.send(format!("GET /x HTTP/1.1\r\n{hosts}\r\n")).await;
        let answer = client.answer().await;
        assert!(
            answer.head.lists("connection", "close"),
            "{:?}",
            answer.head
        );
        assert_eq!(client.closed().await, End::Eof);
        counted(&weir, &answer, NONE, 400, reason).await;
        assert_eq!(up.accepted(), 0);
    }
}

#[tokio::test]
async fn a_path_that_could_mean_two_things_is_400() {
    for (target, reason) in [
        ("/a/%2e%2e%2fadmin", "path_encoded_slash"),
        ("/a%5cb", "path_backslash"),
        ("/a/..;/b", "path_dot_parameter"),
        ("/a%00b", "path_control"),
        ("/%zz", "path_bad_escape"),
        ("/../../etc/passwd", "path_above_root"),
    ] {
        let up = Upstream::saying("in").await;
        let weir = weir().start(&everything(up.address(), "")).await;
        let answer = get(weir.address(), target, &[]).await;
        assert!(answer.head.lists("connection", "close"), "{target}");
        counted(&weir, &answer, NONE, 400, reason).await;
        assert_eq!(up.accepted(), 0, "{target}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_counted() {
    let weir = weir()
        .top("workers = 1")
        .start(&everything(Nobody::here().address(), ""))
        .await;
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\nHost : a.test\r\n\r\n".to_owned(), 400),
        ("NONSENSE\r\n\r\n".to_owned(), 400),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n",
                "x".repeat(200_000)
            ),
            431,
        ),
    ] {
        let before = weir
            .metrics()
            .await
            .value("weir_connection_errors_total", &[]);
        let mut client = Client::connect(weir.address()).await;
        // It may answer and close before all of it was read.
        let _ = client.try_send(&bytes).await;
        let head = client.try_head().await;
        assert_eq!(head.map(|head| head.status()), Ok(status));
        weir.wait_metric("weir_connection_errors_total", &[], before + 1.0)
            .await;
    }
}

/// Answered, counted and logged as other refused heads are, wherever it stops: also where it could still have become HTTP/2's preface, and
/// behind another exchange.
#[tokio::test]
async fn a_head_that_does_not_end_is_408() {
    let up = Upstream::saying("in").await;
    for (before, begun, line) in [
        ("", "GET /x HTTP/1.1\r\nHost: a.te", ("GET", "/x")),
        ("", "PRI * HT", ("PRI", "*")),
        (
            "GET /first HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "PUT /x",
            ("PUT", "/x"),
        ),
    ] {
        let config =
            "[[listen]]\naddress = \"127.0.0.1:0\"\nheaders = { X-Frame-Options = \"DENY\" }\n\n\
                      [client]\nhead = \"300ms\"\nkeep_alive = \"1h\"\n\n"
                .to_owned()
                + &everything(up.address(), "");
        let weir = weir().start(&config).await;
        let mut client = Client::connect(weir.listeners()[1]).await;
        client.send(before).await;
        if !before.is_empty() {
            assert_eq!(client.answer().await.status(), 200);
        }
        client.send(begun).await;
        let answer = client.answer().await;
        assert!(answer.head.lists("connection", "close"), "{begun}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{begun}");
        assert_eq!(client.closed().await, End::Eof);
        weir.wait_metric(
            "weir_connection_errors_total",
            &[("reason", "head_timeout")],
            1.0,
        )
        .await;
        counted(&weir, &answer, NONE, 408, "head_timeout").await;
        let logged = weir.log();
        let logged = logged
            .iter()
            .find(|line| line["reason"] == "head_timeout")
            .expect("counted has found it");
        assert_eq!(
            (&logged["method"], &logged["path"]),
            (&line.0.into(), &line.1.into())
        );
    }
}

/// What tower-http would answer by itself is a refusal like every other, and keeps the headers that say what would do.
#[tokio::test]
async fn a_part_that_a_file_has_not_is_416_and_a_changed_file_412() {
    let weir = weir()
        .file("site/a.txt", "0123456789")
        .start(&route("site", "/*", "files = { root = \"site\" }"))
        .await;
    let beyond = get(weir.address(), "/a.txt", &["Range: bytes=99-"]).await;
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));
    counted(&weir, &beyond, "site", 416, "range").await;
    let changed = get(weir.address(), "/a.txt", &["If-Match: \"another\""]).await;
    counted(&weir, &changed, "site", 412, "precondition").await;
}

/// Opening a FIFO waits for whoever writes to it, and a link may lead to what was never to be served.
#[cfg(unix)]
#[tokio::test]
async fn only_files_of_the_folder_are_served() {
    use std::os::unix::fs::symlink;

    let run = weir()
        .file("secret/key.txt", "secret")
        .file("site/a.txt", "a")
        .file("site/b/index.html", "b")
        .file("site/app.js", "plain");
    let (folder, site) = (run.folder().to_owned(), run.folder().join("site"));
    let fifo = std::process::Command::new("mkfifo")
        .args([
            site.join("fifo"),
            site.join("piped.html"),
            site.join("app.js.gz"),
        ])
        .status();
    assert!(fifo.expect("mkfifo").success());
    symlink("a.txt", site.join("inside.txt")).unwrap();
    symlink("b", site.join("inside")).unwrap();
    symlink(folder.join("secret/key.txt"), site.join("key.txt")).unwrap();
    symlink("../secret", site.join("secret")).unwrap();
    symlink("nowhere", site.join("dangling.txt")).unwrap();
    symlink("site", folder.join("current")).unwrap();
    let config = route("within", "/*", "files = { root = \"site\" }")
        + &route("through", "/current/*", "files = { root = \"current\" }")
        + &route(
            "anywhere",
            "/any/*",
            "files = { root = \"site\", links = \"anywhere\" }",
        );
    let weir = run.start(&config).await;
    for (target, status, text) in [
        ("/a.txt", 200, "a"),
        ("/inside.txt", 200, "a"),
        ("/inside/", 200, "b"),
        ("/fifo", 404, "404 Not Found\n"),
        ("/piped", 404, "404 Not Found\n"),
        ("/app.js", 404, "404 Not Found\n"),
        ("/key.txt", 404, "404 Not Found\n"),
        ("/key%2etxt", 404, "404 Not Found\n"),
        ("/secret/key.txt", 404, "404 Not Found\n"),
        ("/secret/", 404, "404 Not Found\n"),
        ("/secret", 404, "404 Not Found\n"),
        ("/dangling.txt", 404, "404 Not Found\n"),
        ("/current/inside.txt", 200, "a"),
        ("/current/key.txt", 404, "404 Not Found\n"),
        ("/any/key.txt", 200, "secret"),
        ("/any/secret/key.txt", 200, "secret"),
        ("/any/fifo", 404, "404 Not Found\n"),
    ] {
        let answer = get(weir.address(), target, &["Accept-Encoding: gzip"]).await;
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (status, text),
            "{target}"
        );
    }
    assert!(
        weir.stderr().contains("a link leads out of the folder"),
        "{}",
        weir.stderr()
    );
}

/// RFC 9112 section 2.2: an empty line between requests is not the beginning of one. A connection that has one is idle, and ends as idle ones
/// do, without a word.
#[tokio::test]
async fn an_empty_line_begins_no_request() {
    let up = Upstream::saying("in").await;
    let config = everything(up.address(), "") + "[client]\nhead = \"100ms\"\nkeep_alive = \"1s\"\n";
    let weir = weir().start(&config).await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/1", &[]).await;
    assert_eq!(client.answer().await.status(), 200);
    client.send("\r\n").await;
    // More than the head's time, less than the connection's.
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.request("GET", "/2", &[]).await;
    assert_eq!(client.answer().await.status(), 200);
    client.send("\r\n").await;
    assert_eq!(client.try_head().await.err(), Some(End::Eof));
    assert_eq!(
        weir.metrics()
            .await
            .value("weir_refusals_total", &[("reason", "head_timeout")]),
        0.0
    );
}

#[tokio::test]
async fn a_body_that_stops_coming_is_408() {
    let mut up = Upstream::start().await;
    let config = everything(up.address(), "") + "[client]\nbody_idle = \"300ms\"\n";
    let weir = weir().start(&config).await;
    let mut client = Client::connect(weir.address()).await;
    client
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    let exchange = up.exchange().await;
    let answer = client.answer().await;
    exchange.gone().await;
    counted(&weir, &answer, "all", 408, "body_stalled").await;
}

#[tokio::test]
async fn without_credentials_a_program_is_told_401() {
    let (weir, up) = guarded().await;
    let answer = get(weir.address(), "/tokens/x", &[]).await;
    assert!(
        answer
            .header("www-authenticate")
            .is_some_and(|scheme| scheme.starts_with("Bearer")),
        "{:?}",
        answer.head
    );
    assert_eq!(answer.header("location"), None);
    counted(&weir, &answer, "tokens", 401, "missing").await;
    // The portal has a login page, but this is no browser that navigates.
    for headers in [
        &["Accept: */*"][..],
        &["Sec-Fetch-Mode: cors", "Accept: text/html"],
        &["Accept: text/event-stream"],
    ] {
        assert_eq!(
            get(weir.address(), "/portal/x", headers).await.status(),
            401,
            "{headers:?}"
        );
    }
    assert_eq!(
        ask(
            weir.address(),
            "POST",
            "/portal/x",
            &["Sec-Fetch-Mode: navigate"]
        )
        .await
        .status(),
        401
    );
    assert_eq!(up.accepted(), 0);
}

#[tokio::test]
async fn credentials_that_are_no_good_look_all_the_same() {
    let good = mint::token_of("ana");
    let (start, signature) = good.rsplit_once('.').expect("a token");
    let forged = format!(
        "{start}.{}A",
        &signature[..signature.len() - 1].replace(
            &signature[..1],
            if signature.starts_with('x') { "y" } else { "x" }
        )
    );
    let session = cookie("ana");
    let broken = session.replacen(".AspNet.Cookies=", ".AspNet.Cookies=A", 1);
    let table = [
        (
            "/tokens/x",
            format!("Authorization: Bearer {forged}"),
            "bad_signature",
        ),
        (
            "/tokens/x",
            format!(
                "Authorization: Bearer {}",
                mint::token(&json!({ "sub": "ana", "exp": mint::unix(-60) }))
            ),
            "expired",
        ),
        (
            "/tokens/x",
            format!(
                "Authorization: Bearer {}",
                mint::token(&json!({ "sub": "ana" }))
            ),
            "no_expiry",
        ),
        (
            "/tokens/x",
            format!(
                "Authorization: Bearer {}",
                mint::token(
                    &json!({ "sub": "ana", "exp": mint::unix(600), "nbf": mint::unix(300) })
                )
            ),
            "not_yet_valid",
        ),
        (
            "/tokens/x",
            "Authorization: Bearer x.y.z".to_owned(),
            "malformed",
        ),
        ("/portal/x", broken, ""),
        ("/portal/x", expired_cookie("ana"), "expired"),
        ("/portal/x", "Cookie: .AspNet.Cookies=yes".to_owned(), ""),
    ];
    let mut seen = Vec::new();
    for (target, header, reason) in &table {
        let (weir, up) = guarded().await;
        let answer = get(weir.address(), target, &[header]).await;
        assert_eq!(up.accepted(), 0, "{header}");
        if !reason.is_empty() {
            counted(
                &weir,
                &answer,
                target.trim_start_matches('/').trim_end_matches("/x"),
                401,
                reason,
            )
            .await;
        }
        assert_eq!(answer.status(), 401, "{header}");
        let value = header.split_once(['=', ' ']).map_or("", |(_, value)| value);
        let log = std::fs::read_to_string(weir.folder().join("access.log")).unwrap_or_default()
            + &weir.stderr();
        assert!(!log.contains(value), "a credential stands in the log");
        let headers: Vec<_> = answer
            .head
            .headers
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("date"))
            .cloned()
            .collect();
        seen.push((headers, answer.text()));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[tokio::test]
async fn good_credentials_pass() {
    let (weir, up) = guarded().await;
    for (target, header) in [
        ("/tokens/x", bearer("ana")),
        ("/portal/x", cookie("ana")),
        ("/portal/x", mint::long_cookie("ana")),
    ] {
        let answer = get(weir.address(), target, &[&header]).await;
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (200, "in"),
            "{target}"
        );
    }
    assert!(
        up.requests()
            .iter()
            .all(|request| request.header("x-weir-user") == Some("ana"))
    );
}

#[tokio::test]
async fn a_person_without_a_session_is_sent_to_sign_in() {
    let (weir, up) = guarded().await;
    let answer = get(
        weir.address(),
        "/portal/a%20b?x=1&y=/z",
        &["Accept: text/html", "Sec-Fetch-Mode: navigate"],
    )
    .await;
    assert_eq!(
        answer.header("location"),
        Some("/login?returnUrl=%2Fportal%2Fa%2520b%3Fx%3D1%26y%3D%2Fz")
    );
    assert!(
        answer.head.lists("cache-control", "no-store"),
        "{:?}",
        answer.head
    );
    counted(&weir, &answer, "portal", 302, "missing").await;
    let answer = get(
        weir.address(),
        "/portal/x",
        &["Accept: text/html", &expired_cookie("ana")],
    )
    .await;
    counted(&weir, &answer, "portal", 302, "expired").await;
    assert_eq!(up.accepted(), 0);
}

#[tokio::test]
async fn a_session_sent_twice_is_400() {
    let (weir, up) = guarded().await;
    let twice = format!("{}; .aspnet.cookies=other", cookie("ana"));
    let answer = get(weir.address(), "/portal/x", &[&twice]).await;
    counted(&weir, &answer, "portal", 400, "duplicate_cookie").await;
    let answer = get(
        weir.address(),
        "/portal/x",
        &[&cookie("ana"), &cookie("eve")],
    )
    .await;
    assert_eq!(answer.status(), 400);
    assert_eq!(up.accepted(), 0);
}

#[tokio::test]
async fn a_page_of_another_site_is_403() {
    let (weir, up) = guarded().await;
    let session = cookie("ana");
    let answer = ask(
        weir.address(),
        "POST",
        "/portal/x",
        &[
            &session,
            "Sec-Fetch-Site: cross-site",
            "Origin: https://evil.test",
        ],
    )
    .await;
    counted(&weir, &answer, "portal", 403, "cross_origin").await;
    for headers in [
        &["Origin: null"][..],
        &["Origin: http://evil.test"],
        &["Sec-Fetch-Site: same-site", "Origin: http://b.a.test"],
    ] {
        let answer = ask(
            weir.address(),
            "DELETE",
            "/portal/x",
            &[&[session.as_str()], headers].concat(),
        )
        .await;
        assert_eq!(answer.status(), 403, "{headers:?}");
    }
    assert_eq!(up.accepted(), 0);
    // Its own pages may, and what carries no cookie of a browser may.
    for headers in [
        &["Sec-Fetch-Site: same-origin"][..],
        &["Origin: http://a.test"],
        &[],
    ] {
        let answer = ask(
            weir.address(),
            "POST",
            "/portal/x",
            &[&[session.as_str()], headers].concat(),
        )
        .await;
        assert_eq!(answer.status(), 200, "{headers:?}");
    }
    assert_eq!(
        ask(
            weir.address(),
            "POST",
            "/tokens/x",
            &[&bearer("ana"), "Sec-Fetch-Site: cross-site"]
        )
        .await
        .status(),
        200
    );
}

#[tokio::test]
async fn a_page_of_weirs_own_is_403_from_elsewhere() {
    let config = route(
        "metrics",
        "/metrics",
        "serve = \"metrics\"\nallow = [\"10.0.0.0/8\"]",
    );
    let weir = weir().start(&config).await;
    let answer = get(weir.address(), "/metrics", &[]).await;
    counted(&weir, &answer, "metrics", 403, "address_not_allowed").await;
}

#[tokio::test]
async fn the_admin_address_answers_only_whom_it_may() {
    let up = Upstream::saying("in").await;
    let config = "[admin]\naddress = \"127.0.0.1:0\"\nallow = [\"10.0.0.0/8\"]\n\n".to_owned()
        + &everything(up.address(), "");
    let weir = weir().start(&config).await;
    for target in ["/metrics", "/status", "/health", "/readyz"] {
        assert_eq!(
            get(weir.admin(), target, &[]).await.status(),
            403,
            "{target}"
        );
    }
    drop(weir);
    // A page in a browser can send a plain POST anywhere, so a reload asks for more.
    let weir = crate::stage::weir()
        .start(&everything(up.address(), ""))
        .await;
    assert_eq!(
        ask(weir.admin(), "POST", "/reload", &[]).await.status(),
        405
    );
    assert_eq!(
        ask(weir.admin(), "GET", "/reload", &["X-Weir-Admin: 1"])
            .await
            .status(),
        405
    );
    assert_eq!(
        ask(weir.admin(), "POST", "/reload", &["X-Weir-Admin: 1"])
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_connection_that_says_nothing_more_is_closed() {
    let up = Upstream::saying("in").await;
    let config = everything(up.address(), "") + "[client]\nkeep_alive = \"200ms\"\n";
    let weir = weir().start(&config).await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/x", &[]).await;
    assert_eq!(client.answer().await.status(), 200);
    // Without a word: an answer would be taken for that of the next request.
    assert_eq!(client.closed().await, End::Eof);
    assert_eq!(
        weir.metrics()
            .await
            .value("weir_connection_errors_total", &[]),
        0.0
    );
}

#[tokio::test]
async fn where_no_route_leads_is_404() {
    let up = Upstream::saying("in").await;
    let config = upstream("up", up.address(), "") + &route("api", "/api/*", "to = \"up\"");
    let weir = weir().start(&config).await;
    for target in ["/apix", "/", "/other"] {
        assert_eq!(
            get(weir.address(), target, &[]).await.status(),
            404,
            "{target}"
        );
    }
    let metrics = weir
        .wait_metric(
            "weir_refusals_total",
            &[("route", NONE), ("reason", "no_route")],
            3.0,
        )
        .await;
    assert_eq!(
        metrics.value("http_requests_total", &[("route", NONE), ("status", "404")]),
        3.0
    );
    assert_eq!(get(weir.address(), "/api", &[]).await.status(), 200);
    assert_eq!(up.accepted(), 1);
}

#[tokio::test]
async fn a_method_that_no_route_takes_is_405_and_says_which() {
    let up = Upstream::saying("in").await;
    let config = upstream("up", up.address(), "")
        + &route("api", "/api/*", "method = [\"GET\", \"POST\"]\nto = \"up\"");
    let weir = weir().start(&config).await;
    let answer = ask(weir.address(), "DELETE", "/api/x", &[]).await;
    assert!(
        answer.head.lists("allow", "GET") && answer.head.lists("allow", "POST"),
        "{:?}",
        answer.head
    );
    counted(&weir, &answer, NONE, 405, "method_not_allowed").await;
    // HEAD is served where GET is.
    assert_eq!(
        ask(weir.address(), "HEAD", "/api/x", &[]).await.status(),
        200
    );
    let heard = up.accepted();
    for bytes in [
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n".to_owned(),
        String::from_utf8(request("TRACE", "/api/x", &[], None)).expect("text"),
    ] {
        let mut client = Client::connect(weir.address()).await;
        client.send(&bytes).await;
        let head = client.head().await;
        assert_eq!(head.status(), 405, "{bytes}");
        assert!(head.header("allow").is_some(), "{bytes}");
    }
    weir.wait_metric("weir_refusals_total", &[("reason", "method_refused")], 2.0)
        .await;
    assert_eq!(up.accepted(), heard);
}

#[tokio::test]
async fn a_body_declared_too_large_is_413_at_once() {
    let up = Upstream::saying("in").await;
    let weir = weir()
        .start(&everything(up.address(), "max_body = 1000"))
        .await;
    let mut client = Client::connect(weir.address()).await;
    // Not a byte of the body is sent.
    client
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1001\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert!(answer.head.lists("connection", "close"));
    counted(&weir, &answer, "all", 413, "body_too_large").await;
    assert_eq!(up.accepted(), 0);
    let mut client = Client::connect(weir.address()).await;
    client.post("/x", &[], [b'x'; 1000]).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_413_while_it_comes() {
    let mut up = Upstream::start().await;
    let weir = weir()
        .start(&everything(up.address(), "max_body = 1000"))
        .await;
    let mut client = Client::connect(weir.address()).await;
    client
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client
        .send(weir_testkit::upstream::chunk([b'x'; 600]))
        .await;
    let mut exchange = up.exchange().await;
    assert!(
        exchange
            .piece()
            .await
            .is_some_and(|piece| !piece.is_empty())
    );
    client
        .send(weir_testkit::upstream::chunk([b'x'; 600]))
        .await;
    let answer = client.answer().await;
    // The upstream must not take the part for the whole.
    exchange.gone().await;
    exchange.body().await;
    assert!(!exchange.body_done());
    counted(&weir, &answer, "all", 413, "body_too_large").await;
}

#[tokio::test]
async fn a_rate_that_is_used_up_is_429() {
    for (algorithm, name) in [
        ("algorithm = \"window\"", "per_caller"),
        ("burst = 3", "per_caller"),
    ] {
        let up = Upstream::saying("in").await;
        let config = [
            upstream("up", up.address(), ""),
            format!("[limit.{name}]\nby = \"header:X-Key\"\nrate = \"3/3600s\"\n{algorithm}\n\n"),
            route("all", "/*", &format!("to = \"up\"\nlimit = [\"{name}\"]")),
        ];
        let weir = weir().start(&config.concat()).await;
        let mut client = Client::connect(weir.address()).await;
        for left in ["2", "1", "0"] {
            client.request("GET", "/x", &["X-Key: a"]).await;
            let answer = client.answer().await;
            assert_eq!(answer.status(), 200);
            let state = answer.header("ratelimit").expect("a RateLimit header");
            assert!(
                state.starts_with(&format!("\"{name}\";r={left};t=")),
                "{state}"
            );
            assert_eq!(
                answer.header("ratelimit-policy"),
                Some(&*format!("\"{name}\";q=3;w=3600"))
            );
        }
        client.request("GET", "/x", &["X-Key: a"]).await;
        let answer = client.answer().await;
        let wait: u64 = answer
            .header("retry-after")
            .and_then(|wait| wait.parse().ok())
            .expect("Retry-After in seconds");
        assert!((1..=3600).contains(&wait), "{wait}");
        assert!(
            answer
                .header("ratelimit")
                .is_some_and(|state| state.starts_with(&format!("\"{name}\";r=0;t="))),
            "{:?}",
            answer.head
        );
        counted(&weir, &answer, "all", 429, "rate_limited").await;
        // Another key has its own count, and the connection goes on.
        client.request("GET", "/x", &["X-Key: b"]).await;
        assert_eq!(client.answer().await.status(), 200);
        assert_eq!(up.requests().len(), 4);
    }
}

#[tokio::test]
async fn a_rate_is_counted_per_user() {
    let up = Upstream::saying("in").await;
    let config = [
        upstream("up", up.address(), ""),
        AUTH.to_owned(),
        "[limit.each]\nby = \"user\"\nrate = \"1/3600s\"\nalgorithm = \"window\"\n\n".to_owned(),
        route(
            "portal",
            "/portal/*",
            "to = \"up\"\nauth = \"portal\"\nlimit = [\"each\"]",
        ),
        route(
            "tokens",
            "/tokens/*",
            "to = \"up\"\nauth = \"tokens\"\nlimit = [\"each\"]",
        ),
    ];
    let weir = with_keys().start(&config.concat()).await;
    // One person, whatever they come with.
    assert_eq!(
        get(weir.address(), "/portal/x", &[&cookie("ana")])
            .await
            .status(),
        200
    );
    assert_eq!(
        get(weir.address(), "/tokens/x", &[&bearer("ana")])
            .await
            .status(),
        429
    );
    assert_eq!(
        get(weir.address(), "/tokens/x", &[&bearer("ben")])
            .await
            .status(),
        200
    );
    // Who is refused for another reason uses nothing up.
    assert_eq!(
        get(
            weir.address(),
            "/tokens/x",
            &["Authorization: Bearer x.y.z"]
        )
        .await
        .status(),
        401
    );
}

#[tokio::test]
async fn too_many_streams_are_429_until_one_ends() {
    let mut up = Upstream::start().await;
    let config = [
        upstream("up", up.address(), ""),
        "[limit.open]\nby = \"client_ip\"\nstreams = 2\n\n".to_owned(),
        route("all", "/*", "to = \"up\"\nlimit = [\"open\"]"),
    ];
    let weir = weir().start(&config.concat()).await;
    let (mut first, one) = streaming(&weir, &mut up, "/s").await;
    let (second, two) = streaming(&weir, &mut up, "/s").await;
    let answer = get(weir.address(), "/third", &[]).await;
    assert!(answer.header("retry-after").is_some(), "{:?}", answer.head);
    counted(&weir, &answer, "all", 429, "too_many_streams").await;
    pass(&one, &mut first, "data: 1\n\n").await;
    // A stream that ends and a client that leaves both make room.
    one.end().await;
    first.rest().await;
    second.close();
    two.gone().await;
    for _ in 0..2 {
        eventually("room for a stream", async || {
            let mut client = Client::connect(weir.address()).await;
            client.request("GET", "/s", &[]).await;
            let exchange = tokio::select! {
                exchange = up.exchange() => exchange,
                head = client.head() => {
                    assert_eq!(head.status(), 429);
                    return None;
                }
            };
            exchange.stream().await;
            Some((client, exchange))
        })
        .await;
    }
}

#[tokio::test]
async fn an_upstream_that_gives_no_answer_is_502() {
    let nobody = Nobody::here();
    let weir = weir().start(&everything(nobody.address(), "")).await;
    let answer = get(weir.address(), "/x", &[]).await;
    counted(&weir, &answer, "all", 502, "connect_failed").await;
    let metrics = weir.metrics().await;
    assert!(
        metrics.value(
            "weir_upstream_connects_total",
            &[("upstream", "up"), ("result", "failed")]
        ) >= 1.0,
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn an_upstream_that_answers_nonsense_is_502() {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
    for (bytes, reason) in [
        (endless.as_str(), "upstream_failed"),
        ("", "upstream_failed"),
        ("HTTP/1.1 2", "upstream_failed"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "upstream_failed"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n",
            "unexpected_upgrade",
        ),
        (
            "HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n",
            "upstream_status",
        ),
    ] {
        let mut up = Upstream::start().await;
        let weir = weir().start(&everything(up.address(), "")).await;
        let mut client = Client::connect(weir.address()).await;
        client.post("/x", &[], b"once").await;
        up.exchange().await.close_with(bytes).await;
        let answer = client.answer().await;
        counted(&weir, &answer, "all", 502, reason).await;
        assert_eq!(answer.header("server"), None);
        weir.wait_metric("weir_upstream_in_flight", &[], 0.0).await;
        assert!(up.pending().is_none(), "a POST must not be sent twice");
    }
}

#[tokio::test]
async fn without_a_healthy_server_it_is_503() {
    let up = Upstream::scripted(|exchange| async move {
        exchange
            .answer("500 Internal Server Error", &[], "ill")
            .await;
        exchange.done();
    })
    .await;
    let health = "health = { path = \"/health\", interval = \"20ms\", unhealthy_after = 1 }";
    let config = upstream("up", up.address(), health) + &route("all", "/*", "to = \"up\"");
    let weir = weir().start(&config).await;
    weir.wait_metric("weir_upstream_healthy", &[("upstream", "up")], 0.0)
        .await;
    let answer = get(weir.address(), "/x", &[]).await;
    counted(&weir, &answer, "all", 503, "no_healthy_server").await;
    assert!(
        up.requests()
            .iter()
            .all(|request| request.target() == "/health")
    );
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_504() {
    let mut up = Upstream::start().await;
    let weir = weir()
        .start(&everything(
            up.address(),
            "timeout = { headers = \"200ms\" }",
        ))
        .await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/x", &[]).await;
    let exchange = up.exchange().await;
    let answer = client.answer().await;
    exchange.gone().await;
    counted(&weir, &answer, "all", 504, "headers_timeout").await;
    weir.wait_metric("weir_upstream_in_flight", &[], 0.0).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_does_not_take_connections_is_504() {
    let full = Full::start();
    let weir = weir()
        .start(&everything(
            full.address,
            "timeout = { connect = \"200ms\" }",
        ))
        .await;
    let answer = get(weir.address(), "/x", &[]).await;
    counted(&weir, &answer, "all", 504, "connect_timeout").await;
}

/// A listener whose queue is full: the kernel drops what knocks.
#[cfg(target_os = "linux")]
struct Full {
    address: SocketAddr,
    _held: (socket2::Socket, std::net::TcpStream),
}

#[cfg(target_os = "linux")]
impl Full {
    fn start() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .expect("a free port");
        // With a backlog of 0 one connection may wait.
        socket.listen(0).expect("a listener");
        let address = socket
            .local_addr()
            .expect("an address")
            .as_socket()
            .expect("an IP address");
        let waiting = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5))
            .expect("the one place");
        Self {
            address,
            _held: (socket, waiting),
        }
    }
}

#[tokio::test]
async fn refusals_carry_the_routes_own_headers() {
    let nobody = Nobody::here();
    let weir = weir()
        .start(&everything(
            nobody.address(),
            "headers = { \"X-Frame-Options\" = \"DENY\" }\nmax_body = 10",
        ))
        .await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/x", &[]).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status(), answer.header("x-frame-options")),
        (502, Some("DENY"))
    );
    client
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status(), answer.header("x-frame-options")),
        (413, Some("DENY"))
    );
}
