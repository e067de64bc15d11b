//! What the decisions on the hot path cost: a normal path, a route, a Host, a token, a limit, and the scan of a stream.
//! `cargo bench -p weir-testkit`. Figures are for comparing two states of one machine; the cost of whole requests is the load harness's.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::SystemTime,
};

use divan::{Bencher, counter::BytesCount};
use http::{HeaderMap, HeaderValue, Method};
use weir_limit::{Algorithm, Facts, KeySource, Quota, RateLimit};
use weir_llm::{Media, Tap};
use weir_route::{Authority, NormalPath, Pattern, Rule, Table};

fn main() {
    divan::main();
}

#[divan::bench(args = ["/chat/backend/api", "/chat//backend/%2e/x/../api"])]
fn normal_path(raw: &str) -> NormalPath {
    NormalPath::parse(divan::black_box(raw)).expect("a path")
}

#[divan::bench]
fn authority() -> Authority {
    Authority::parse(divan::black_box("chat.example.com:8443")).expect("an authority")
}

#[divan::bench]
fn route(bencher: Bencher<'_, '_>) {
    let paths = [
        "/*",
        "/chat/*",
        "/chat/_next/*",
        "/chat/backend/*",
        "/chat/data/*",
        "/chat/copilotkit-api/agent/*/run",
        "/chat/copilotkit-api/agent/*/stop/*",
    ];
    let rule = |path: &&str| Rule {
        host: Vec::new(),
        methods: Vec::new(),
        path: Pattern::parse(path).expect("a pattern"),
    };
    let table = Table::new(paths.iter().map(rule).collect()).expect("no two alike");
    let path = NormalPath::parse("/chat/copilotkit-api/agent/default/run").expect("a path");
    bencher.bench(|| {
        table.find(
            Some("chat.example.com"),
            &Method::POST,
            divan::black_box(&path),
        )
    });
}

#[divan::bench(args = ["window", "gcra"])]
fn limit(bencher: Bencher<'_, '_>, algorithm: &str) {
    let algorithm = match algorithm {
        "window" => Algorithm::Window,
        _ => Algorithm::Gcra {
            burst: None,
            delay: false,
        },
    };
    let limit = RateLimit::new(Quota::parse("1000000/1s").expect("a quota"), algorithm);
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static("bench"));
    let facts = Facts {
        user: Some("ana@example.test"),
        tenant: None,
        route: "all",
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        headers: &headers,
    };
    bencher.bench(|| {
        let key = KeySource::User.key(divan::black_box(&facts));
        limit.check(&key, SystemTime::UNIX_EPOCH).is_ok()
    });
}

#[divan::bench]
fn stream_scan(bencher: Bencher<'_, '_>) {
    let event = concat!(
        r#"data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"8f0c2d1e","delta":"stream "}"#,
        "\n\n"
    );
    let start = "data: {\"type\":\"RUN_STARTED\",\"threadId\":\"t\",\"runId\":\"r\"}\n\n";
    bencher
        .counter(BytesCount::of_str(event))
        .with_inputs(|| {
            let mut tap = Tap::new(Media::Sse);
            tap.feed(start.as_bytes());
            tap
        })
        .bench_local_refs(|tap| tap.feed(divan::black_box(event.as_bytes())));
}
