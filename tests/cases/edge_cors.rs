//! What pages of other sites are told: on answers, on refusals, and when their browser asks first.

use weir_testkit::{
    Answer, Upstream, Weir,
    client::{ask, get},
    mint::{self, cookie},
};

use crate::stage::{route, upstream, weir};

const CONFIG: &str = r#"
[cors.app]
origins = ["https://app.test", "https://*.drmigrate.com"]
methods = ["GET", "POST", "DELETE"]
headers = ["content-type", "x-team"]
expose = ["retry-after"]
credentials = true

[auth.portal]
type = "aspnet-cookie"
machine_key = { validation = "${env:VALIDATION_KEY}", decryption = "${env:DECRYPTION_KEY}" }

[limit.one]
by = "client_ip"
rate = "1/1h"

"#;

async fn started() -> (Weir, Upstream) {
    let up = Upstream::scripted(|mut exchange| async move {
        exchange.body().await;
        exchange
            .answer(
                "200 OK",
                &[
                    "Access-Control-Allow-Origin: *",
                    "Access-Control-Allow-Credentials: true",
                    "Access-Control-Allow-Methods: TRACE",
                    "Vary: Accept",
                ],
                "in",
            )
            .await;
        exchange.done();
    })
    .await;
    let config = [
        CONFIG.to_owned(),
        upstream("up", up.address(), ""),
        route("open", "/open/*", "to = \"up\"\ncors = \"app\""),
        route(
            "portal",
            "/portal/*",
            "to = \"up\"\ncors = \"app\"\nauth = \"portal\"\nmethod = [\"GET\", \"POST\"]",
        ),
        route(
            "once",
            "/once",
            "to = \"up\"\ncors = \"app\"\nlimit = \"one\"",
        ),
        route("any", "/any", "to = \"up\"\ncors = { origins = \"*\" }"),
        route("none", "/none", "to = \"up\""),
        route("dead", "/health", "serve = \"health\"\ncors = \"app\""),
    ];
    let weir = weir()
        .env("VALIDATION_KEY", mint::VALIDATION)
        .env("DECRYPTION_KEY", mint::DECRYPTION)
        .start(&config.concat())
        .await;
    (weir, up)
}

fn allowed(answer: &Answer) -> Vec<&str> {
    answer.head.all("access-control-allow-origin").collect()
}

#[tokio::test]
async fn a_named_origin_may_read_and_no_other() {
    let (weir, _up) = started().await;
    for (origin, lets_in) in [
        ("https://app.test", true),
        ("https://a.drmigrate.com", true),
        ("https://drmigrate.com", false),
        ("https://a.drmigrate.com.evil.test", false),
        ("https://evil.test", false),
        ("null", false),
    ] {
        let answer = get(weir.address(), "/open/x", &[&format!("Origin: {origin}")]).await;
        assert_eq!(
            (answer.status(), answer.text()),
            (200, "in".to_owned()),
            "{origin}"
        );
        let told: Vec<&str> = lets_in.then_some(origin).into_iter().collect();
        assert_eq!(allowed(&answer), told, "the upstream's * is gone");
        assert_eq!(
            answer.head.all("access-control-allow-credentials").count(),
            usize::from(lets_in),
            "{origin}"
        );
        assert!(answer.head.lists("vary", "origin") && answer.head.lists("vary", "accept"));
        assert_eq!(answer.header("access-control-allow-methods"), None);
    }
    let answer = get(weir.address(), "/open/x", &[]).await;
    assert_eq!(allowed(&answer), [""; 0]);
    assert!(answer.head.lists("vary", "origin"), "a cache must know");

    // Of two lines neither is believed, whichever comes first.
    let both = ["Origin: https://app.test", "Origin: https://evil.test"];
    for lines in [both, [both[1], both[0]]] {
        let answer = get(weir.address(), "/open/x", &lines).await;
        assert_eq!(allowed(&answer), [""; 0]);
        let asks = [lines[0], lines[1], "Access-Control-Request-Method: POST"];
        let told = ask(weir.address(), "OPTIONS", "/open/x", &asks).await;
        assert_eq!((told.status(), allowed(&told)), (403, vec![""; 0]));
    }

    let answer = get(weir.address(), "/any", &["Origin: https://any.test"]).await;
    assert_eq!(allowed(&answer), ["*"]);
    assert_eq!(answer.header("access-control-allow-credentials"), None);

    let answer = get(weir.address(), "/none", &["Origin: https://any.test"]).await;
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("TRACE"),
        "without `cors` it is the upstream's to say"
    );
}

#[tokio::test]
async fn refusals_can_be_read_too() {
    let (weir, up) = started().await;
    let origin = "Origin: https://app.test";
    let unknown = get(weir.address(), "/portal/x", &[origin]).await;
    assert_eq!(
        (unknown.status(), allowed(&unknown)),
        (401, vec!["https://app.test"])
    );
    let taken = get(weir.address(), "/once", &[origin]).await;
    assert_eq!(taken.status(), 200);
    let limited = get(weir.address(), "/once", &[origin]).await;
    assert_eq!(
        (limited.status(), allowed(&limited)),
        (429, vec!["https://app.test"])
    );
    assert_eq!(
        limited.header("access-control-expose-headers"),
        Some("retry-after")
    );
    let own = get(weir.address(), "/health", &[origin]).await;
    assert_eq!(
        (own.status(), allowed(&own)),
        (200, vec!["https://app.test"])
    );
    assert_eq!(up.requests().len(), 1);
}

#[tokio::test]
async fn a_browser_that_asks_first_is_told_without_a_session() {
    let (weir, up) = started().await;
    let preflight = async |target: &str, origin: &str, method: &str| {
        let headers = [
            format!("Origin: {origin}"),
            format!("Access-Control-Request-Method: {method}"),
            "Access-Control-Request-Headers: content-type".to_owned(),
        ];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        ask(weir.address(), "OPTIONS", target, &headers).await
    };
    // The route is the one of the request to come: this one takes no OPTIONS.
    let answer = preflight("/portal/x", "https://app.test", "POST").await;
    assert_eq!((answer.status(), answer.text()), (204, String::new()));
    assert_eq!(allowed(&answer), ["https://app.test"]);
    for (name, value) in [
        ("access-control-allow-methods", "GET, POST, DELETE"),
        ("access-control-allow-headers", "content-type, x-team"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    for (target, origin, method) in [
        ("/portal/x", "https://evil.test", "POST"),
        ("/open/x", "https://app.test", "PUT"),
    ] {
        let answer = preflight(target, origin, method).await;
        assert_eq!(answer.status(), 403, "{target} {origin} {method}");
        assert_eq!(answer.header("access-control-allow-methods"), None);
        assert!(origin == "https://app.test" || allowed(&answer).is_empty());
    }
    weir.wait_metric("weir_refusals_total", &[("reason", "cors_refused")], 2.0)
        .await;
    assert_eq!(up.accepted(), 0);
    // Without `cors` the question is the upstream's.
    assert_eq!(
        preflight("/none", "https://evil.test", "PUT").await.text(),
        "in"
    );
}

#[tokio::test]
async fn an_origin_that_may_read_with_the_cookie_may_send_with_it() {
    let (weir, _up) = started().await;
    let session = cookie("ana");
    for (origin, status) in [("https://a.drmigrate.com", 200), ("https://evil.test", 403)] {
        let headers = [
            session.as_str(),
            &format!("Origin: {origin}"),
            "Sec-Fetch-Site: cross-site",
        ];
        let answer = ask(weir.address(), "POST", "/portal/x", &headers).await;
        assert_eq!(answer.status(), status, "{origin}");
    }
}
