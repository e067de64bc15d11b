//! A listener that only redirects, and the headers that every answer of a listener or a route carries.

use weir_testkit::{
    Client, Upstream, Weir,
    client::{ask, get},
};

use crate::stage::{everything, route, upstream, weir};

/// Further listeners, after the kit's own, which serves the routes.
fn listeners(tables: &[&str]) -> String {
    tables
        .iter()
        .map(|keys| format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{keys}\n\n"))
        .collect()
}

async fn redirecting(tables: &[&str]) -> (Weir, Upstream) {
    let up = Upstream::saying("in").await;
    let config = [
        listeners(tables),
        upstream("up", up.address(), ""),
        route(
            "named",
            "/*",
            "to = \"up\"\nhost = [\"a.test\", \"*.b.test\"]",
        ),
    ];
    (weir().start(&config.concat()).await, up)
}

#[tokio::test]
async fn everybody_is_sent_to_a_name_that_the_operator_gave() {
    let (weir, up) = redirecting(&[
        "redirect = \"https\"",
        "redirect = { to = \"https\", status = 301, host = \"www.a.test\" }",
        "redirect = { to = \"https\", host = \"a.test:8443\" }",
    ])
    .await;
    let at = weir.listeners();
    for (listener, host, target, status, location) in [
        (1, "a.test", "/", 308, "https://a.test/"),
        (
            1,
            "A.test:8080",
            "/x/y?q=1&r=%20",
            308,
            "https://a.test/x/y?q=1&r=%20",
        ),
        (1, "deep.b.test", "/x", 308, "https://deep.b.test/x"),
        (1, "a.test", "//evil.test/%2e%2e/x", 308, "https://a.test/x"),
        (2, "evil.test", "/x?y", 301, "https://www.a.test/x?y"),
        (3, "evil.test", "/", 308, "https://a.test:8443/"),
    ] {
        let answer = get(at[listener], target, &[&format!("Host: {host}")]).await;
        assert_eq!(answer.status(), status, "{host} {target}");
        assert_eq!(answer.header("location"), Some(location), "{host} {target}");
    }
    // Also what asks about the whole server, as `/` does elsewhere; what is no GET, and a body nobody waits for.
    let answer = ask(at[1], "OPTIONS", "*", &[]).await;
    assert_eq!(
        (answer.status(), answer.header("location")),
        (308, Some("https://a.test/"))
    );
    let answer = ask(at[1], "POST", "/x", &["Content-Length: 0"]).await;
    assert_eq!(
        (answer.status(), answer.header("location")),
        (308, Some("https://a.test/x"))
    );
    assert_eq!(up.accepted(), 0);
}

#[tokio::test]
async fn nobody_is_sent_to_a_host_that_a_client_made_up() {
    let (weir, _up) = redirecting(&["redirect = \"https\""]).await;
    let at = weir.listeners()[1];
    for host in ["evil.test", "b.test", "a.test.evil.test", "127.0.0.1"] {
        let answer = get(at, "/x", &[&format!("Host: {host}")]).await;
        assert_eq!(answer.status(), 421, "{host}");
        assert_eq!(answer.header("location"), None, "{host}");
    }
    let mut old = Client::connect(at).await;
    old.send("GET /x HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.answer().await.status(), 421);
    for (target, host) in [
        ("/a%0d%0aX:y", "a.test"),
        ("/x", "a.test, evil.test"),
        ("/a%00", "a.test"),
    ] {
        let answer = get(at, target, &[&format!("Host: {host}")]).await;
        assert_eq!(answer.status(), 400, "{target} {host}");
    }
    weir.wait_metric("weir_refusals_total", &[("reason", "host_unknown")], 5.0)
        .await;
    // Nor does it send anybody where no method of theirs is served.
    for (method, target) in [
        ("TRACE", "/x"),
        ("TRACK", "/x"),
        ("trace", "http://a.test/x"),
        ("CONNECT", "a.test:443"),
    ] {
        let mut client = Client::connect(at).await;
        let host = if method == "CONNECT" {
            target
        } else {
            "a.test"
        };
        client
            .send(format!(
                "{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status(), answer.header("location")),
            (405, None),
            "{method} {target}"
        );
        client.closed().await;
    }
    weir.wait_metric("weir_refusals_total", &[("reason", "method_refused")], 4.0)
        .await;
    // The other listener goes on serving.
    assert_eq!(get(weir.address(), "/x", &[]).await.text(), "in");
}

#[tokio::test]
async fn a_listeners_headers_are_on_every_answer_and_once() {
    let up = Upstream::scripted(|mut exchange| async move {
        exchange.body().await;
        exchange
            .answer(
                "200 OK",
                &[
                    "x-frame-options: ALLOWALL",
                    "X-Content-Type-Options: upstream",
                    "x-content-type-options: again",
                    "strict-transport-security: max-age=1",
                ],
                "in",
            )
            .await;
        exchange.done();
    })
    .await;
    let headers = "headers = { X-Frame-Options = \"DENY\", X-Content-Type-Options = \"nosniff\", \
                   Strict-Transport-Security = \"max-age=300\" }";
    let config = listeners(&[
        headers,
        &format!("redirect = {{ to = \"https\", host = \"a.test\" }}\n{headers}"),
    ]) + &upstream("up", up.address(), "")
        + &route("all", "/*", "to = \"up\"\nmethod = \"GET\"")
        + &route(
            "own",
            "/own/*",
            "to = \"up\"\nheaders = { X-Frame-Options = \"SAMEORIGIN\" }",
        )
        + &route("dead", "/dead", "to = \"dead\"")
        + &upstream("dead", weir_testkit::upstream::Nobody::here().address(), "");
    let weir = weir().start(&config).await;
    let at = weir.listeners();
    for (listener, method, target, status, frame) in [
        (1, "GET", "/x", 200, "DENY"),
        (1, "POST", "/x", 405, "DENY"),
        (1, "GET", "/%zz", 400, "DENY"),
        (1, "GET", "/own/x", 200, "SAMEORIGIN"),
        (1, "GET", "/dead", 502, "DENY"),
        (2, "GET", "/x", 308, "DENY"),
    ] {
        let answer = ask(at[listener], method, target, &[]).await;
        assert_eq!(answer.status(), status, "{method} {target}");
        let all = |name: &str| answer.head.all(name).collect::<Vec<_>>();
        assert_eq!(all("x-frame-options"), [frame], "{method} {target}");
        assert_eq!(
            all("x-content-type-options"),
            ["nosniff"],
            "{method} {target}"
        );
        assert_eq!(
            all("strict-transport-security"),
            [""; 0],
            "in clear: {method} {target}"
        );
    }
    let plain = get(at[0], "/x", &[]).await;
    assert_eq!(
        plain.header("x-frame-options"),
        Some("ALLOWALL"),
        "the other listener's are its own"
    );
}

#[tokio::test]
async fn hsts_reaches_those_who_came_by_https_to_the_proxy_in_front() {
    let up = Upstream::saying("in").await;
    let keys = "headers = { Strict-Transport-Security = \"max-age=300\" }";
    let weir = weir()
        .top("trusted_proxies = [\"127.0.0.1\"]")
        .start(&everything(up.address(), keys))
        .await;
    for (proto, said) in [("https", Some("max-age=300")), ("http", None)] {
        let answer = get(
            weir.address(),
            "/x",
            &[&format!("X-Forwarded-Proto: {proto}")],
        )
        .await;
        assert_eq!(answer.header("strict-transport-security"), said, "{proto}");
    }
}
