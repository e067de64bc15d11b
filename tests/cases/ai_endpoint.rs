//! `config/ai-endpoint.toml` as it ships, driven end to end: what its nginx server block did, and what that promised and did not do.

use std::path::Path;

use weir_testkit::{
    Answer, Client, End, Run, Upstream, Weir,
    client::get,
    eventually,
    tls::{Authority, Leaf, Tls},
};

use crate::stage::{CONTENT, RUN_FINISHED, RUN_STARTED, pass, weir};

const SECURITY: [(&str, &str); 3] = [
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
];
const HSTS: (&str, &str) = (
    "strict-transport-security",
    "max-age=31536000; includeSubDomains",
);

struct Endpoint {
    weir: Weir,
    upstream: Upstream,
    tls: Tls,
}

impl Endpoint {
    async fn start() -> Self {
        let authority = Authority::new("ca");
        let site = authority.sign(Leaf::server(&["ai.test"]));
        let upstream = Upstream::start().await;
        let run = weir()
            .file("site.crt", &site.certificate)
            .file("site.key", &site.key);
        let weir = configured(run, upstream.address().to_string())
            .spawn(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/ai-endpoint.toml"))
            .await;
        Self {
            weir,
            upstream,
            tls: Tls::to("ai.test", &authority),
        }
    }

    async fn connect(&self) -> Client {
        Client::secured(self.weir.listeners()[1], &self.tls)
            .await
            .expect("a handshake")
    }
}

fn configured(run: Run, upstream: String) -> Run {
    let at = |name: &str| run.folder().join(name).display().to_string();
    let (certificate, key, log) = (at("site.crt"), at("site.key"), at("access.log"));
    run.env("SERVER_NAME", "ai.test")
        .env("WEIR_HTTP", "127.0.0.1:0")
        .env("WEIR_HTTPS", "127.0.0.1:0")
        .env("WEIR_ADMIN", "127.0.0.1:0")
        .env("WEIR_LOG", &log)
        .env("CERTIFICATE", &certificate)
        .env("CERTIFICATE_KEY", &key)
        .env("ENDPOINT_ADDRESS", &upstream)
}

/// Each of them once, whatever the upstream said.
fn has(answer: &Answer, headers: &[(&str, &str)]) {
    for (name, value) in headers {
        let all: Vec<_> = answer.head.all(name).collect();
        assert_eq!(all, [*value], "{name} of a {}", answer.status());
    }
}

#[tokio::test]
async fn port_80_sends_everybody_to_the_name() {
    let endpoint = Endpoint::start().await;
    let http = endpoint.weir.listeners()[0];
    for host in ["ai.test", "ai.test:80", "evil.test"] {
        let answer = get(http, "/v1/chat?stream=1", &[&format!("Host: {host}")]).await;
        assert_eq!(answer.status(), 301);
        assert_eq!(
            answer.header("location"),
            Some("https://ai.test/v1/chat?stream=1")
        );
        has(&answer, &SECURITY);
        assert_eq!(answer.header(HSTS.0), None, "in clear it means nothing");
    }
    assert_eq!(endpoint.upstream.accepted(), 0);
}

#[tokio::test]
async fn https_carries_streams_and_says_who_asks() {
    let mut endpoint = Endpoint::start().await;
    let mut client = endpoint.connect().await;
    let headers = [
        "Host: ai.test",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: http",
    ];
    client.request("GET", "/v1/run?x", &headers).await;
    let exchange = endpoint.upstream.exchange().await;
    assert_eq!(exchange.head.target(), "/v1/run?x");
    for (name, value) in [
        ("host", "ai.test"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "ai.test"),
    ] {
        assert_eq!(
            exchange.head.all(name).collect::<Vec<_>>(),
            [value],
            "{name}"
        );
    }
    exchange.stream().await;
    let head = client.head().await;
    assert_eq!((head.status(), head.header(HSTS.0)), (200, Some(HSTS.1)));
    for event in [RUN_STARTED, CONTENT, RUN_FINISHED] {
        pass(&exchange, &mut client, event).await;
    }
    exchange.end().await;
    assert_eq!(client.rest().await.1, End::Clean);

    // The upstream's connection is kept, and so is the client's.
    client
        .request("GET", "/v1/models", &["Host: ai.test"])
        .await;
    let exchange = endpoint.upstream.exchange().await;
    let own = [
        "x-frame-options: SAMEORIGIN",
        "strict-transport-security: max-age=1",
    ];
    exchange.answer("200 OK", &own, "in").await;
    exchange.done();
    let answer = client.answer().await;
    has(&answer, &SECURITY);
    has(&answer, &[HSTS]);
    assert_eq!(endpoint.upstream.accepted(), 1);
}

#[tokio::test]
async fn refusals_and_errors_carry_the_headers_too() {
    let mut endpoint = Endpoint::start().await;
    for (target, host, status) in [("/%zz", "ai.test", 400), ("/x", "other.test", 404)] {
        let mut client = endpoint.connect().await;
        client
            .request("GET", target, &[&format!("Host: {host}")])
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status, "{target}");
        has(&answer, &SECURITY);
        has(&answer, &[HSTS]);
    }
    let mut client = endpoint.connect().await;
    client.request("POST", "/x", &["Host: ai.test"]).await;
    endpoint
        .upstream
        .exchange()
        .await
        .close_with("HTTP/1.1 nonsense")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 502);
    has(&answer, &SECURITY);
    has(&answer, &[HSTS]);
}

#[tokio::test]
async fn health_is_asked_and_not_logged() {
    let mut endpoint = Endpoint::start().await;
    for (target, host) in [
        ("/healthz", "10.0.0.7"),
        ("/healthz", "ai.test"),
        ("/x", "ai.test"),
    ] {
        let mut client = endpoint.connect().await;
        client
            .request("GET", target, &[&format!("Host: {host}")])
            .await;
        let exchange = endpoint.upstream.exchange().await;
        exchange.answer("200 OK", &[], "well").await;
        exchange.done();
        assert_eq!(client.answer().await.text(), "well", "{target} {host}");
    }
    let lines = eventually("the line of /x", async || {
        let lines = endpoint.weir.log();
        lines
            .iter()
            .any(|line| line["path"] == "/x")
            .then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[tokio::test]
async fn websockets_are_tunnelled() {
    let mut endpoint = Endpoint::start().await;
    let mut client = endpoint.connect().await;
    let headers = [
        "Host: ai.test",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ];
    client.request("GET", "/ws", &headers).await;
    let mut exchange = endpoint.upstream.exchange().await;
    assert_eq!(exchange.header("x-forwarded-proto"), Some("https"));
    let grant = [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ];
    exchange.head("101 Switching Protocols", &grant).await;
    let head = client.head().await;
    assert_eq!((head.status(), head.header(HSTS.0)), (101, Some(HSTS.1)));
    client.send(b"\x81\x02hi").await;
    assert_eq!(exchange.raw().await.as_deref(), Some(&b"\x81\x02hi"[..]));
    exchange.send(b"\x81\x02ho").await;
    assert_eq!(client.raw().await.as_deref(), Some(&b"\x81\x02ho"[..]));
}
