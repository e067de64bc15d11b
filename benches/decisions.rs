//! What the decisions on the hot path cost: a head's form, a normal path, a route, a Host, a token and a session, seen before and for the
//! first time, a limit, and the scan of a stream.
//! `cargo bench -p weir-testkit`. Figures are for comparing two states of one machine; the cost of whole requests is the load harness's.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use divan::{Bencher, counter::BytesCount};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{AUTHORIZATION, COOKIE},
};
use secrecy::SecretString;
use weir_auth::{
    AspNetCookie, AspNetCookieSettings, Jwt, JwtSettings, Presented, Swapped, Verifier,
    aspnet::{Decryption, MachineKey, Validation},
    jwt::{Algorithm as Signature, KeySet},
};
use weir_limit::{Algorithm, Facts, KeySource, Quota, RateLimit};
use weir_llm::{Media, Tap};
use weir_route::{Authority, NormalPath, Pattern, Rule, Table};
use weir_testkit::mint;
use weir_wire::Requests;

fn main() {
    divan::main();
}

/// A browser's head with a session of usual size.
#[divan::bench]
fn head(bencher: Bencher<'_, '_>) {
    let head = format!(
        "POST /chat/backend/api HTTP/1.1\r\nHost: chat.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\
         Accept-Language: en\r\nAccept-Encoding: gzip, br\r\nOrigin: https://chat.example.com\r\n{}\r\n\
         Sec-Fetch-Mode: cors\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
        mint::cookie("ana@example.test")
    );
    bencher
        .counter(BytesCount::of_str(&head))
        .with_inputs(|| (Requests::default(), Bytes::copy_from_slice(head.as_bytes())))
        .bench_local_refs(|(requests, bytes)| {
            let next = requests.next(divan::black_box(bytes));
            assert!(matches!(next, Ok(Some(_))) && bytes.is_empty());
        });
}

fn jwt() -> Verifier {
    let secret = [SecretString::from(mint::SECRET.to_owned())];
    let keys = KeySet::secrets(&secret, Signature::Hs256).expect("a good secret");
    let settings = JwtSettings {
        keys: Arc::new(Swapped::new(keys)),
        ..JwtSettings::default()
    };
    Verifier::Jwt(Jwt::new(settings).expect("good settings"))
}

fn session() -> Verifier {
    let secret = |hex: &str| SecretString::from(hex.to_owned());
    let key = MachineKey::new(
        Validation::default(),
        &secret(mint::VALIDATION),
        Decryption::default(),
        &secret(mint::DECRYPTION),
    )
    .expect("a good machine key");
    let settings = AspNetCookieSettings {
        keys: vec![key],
        ..AspNetCookieSettings::default()
    };
    Verifier::AspNetCookie(AspNetCookie::new(settings).expect("good settings"))
}

/// The credential's header, from the line of a head.
fn credential(name: http::HeaderName, line: &str) -> HeaderMap {
    let (_, value) = line.split_once(": ").expect("a header line");
    HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a value"))])
}

/// One that was verified a moment ago, which is what most requests bring.
fn seen_before(bencher: Bencher<'_, '_>, verifier: &Verifier, headers: &HeaderMap) {
    let now = SystemTime::now();
    bencher.bench_local(|| {
        verifier
            .identify(&Presented::of(divan::black_box(headers)), now)
            .expect("a caller")
    });
}

/// One that this process has not seen yet. Making the verifier is not measured.
fn first_time(bencher: Bencher<'_, '_>, verifier: fn() -> Verifier, headers: &HeaderMap) {
    let now = SystemTime::now();
    bencher.with_inputs(verifier).bench_local_refs(|verifier| {
        verifier
            .identify(&Presented::of(divan::black_box(headers)), now)
            .expect("a caller")
    });
}

#[divan::bench]
fn token_seen_before(bencher: Bencher<'_, '_>) {
    let headers = credential(AUTHORIZATION, &mint::bearer("ana@example.test"));
    seen_before(bencher, &jwt(), &headers);
}

#[divan::bench]
fn token_first_time(bencher: Bencher<'_, '_>) {
    let headers = credential(AUTHORIZATION, &mint::bearer("ana@example.test"));
    first_time(bencher, jwt, &headers);
}

#[divan::bench]
fn session_seen_before(bencher: Bencher<'_, '_>) {
    let headers = credential(COOKIE, &mint::cookie("ana@example.test"));
    seen_before(bencher, &session(), &headers);
}

#[divan::bench]
fn session_first_time(bencher: Bencher<'_, '_>) {
    let headers = credential(COOKIE, &mint::cookie("ana@example.test"));
    first_time(bencher, session, &headers);
}

#[divan::bench(args = ["/chat/backend/api", "/chat//backend/%2e/x/../api"])]
fn normal_path(raw: &str) -> NormalPath<'_> {
    NormalPath::parse(divan::black_box(raw)).expect("a path")
}

#[divan::bench]
fn authority() -> Authority<'static> {
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
