//! Every way to bring an identity of one's own past weir: other spellings, `Connection`, trailers, routes that ask nobody, HTTP/2 and
//! WebSockets. Whatever becomes of the request, the upstream hears of a caller only what weir itself has found out.

use weir_testkit::{
    Client, Exchange, H2, Upstream, Weir,
    h2::{END_HEADERS, END_STREAM, field, kind},
    mint::{self, SECRET},
};

use crate::stage::{route, upstream, weir};

/// A header of each family that some backend believes, in spellings that some of them take for it.
const FORGED: [&str; 28] = [
    "X-Weir-User: admin",
    "x-weir-user: admin",
    "X-WEIR-USER: admin",
    "x_weir_user: admin",
    "X_Weir_User: admin",
    "X-Weir_User: admin",
    "X-Weir-Tenant: admin",
    "X-Weir-Roles: admin",
    "X-Weir-Identity: eyJ.eyJ.x",
    "X-Weir-Anything: admin",
    "Remote-User: admin",
    "REMOTE_USER: admin",
    "X-Forwarded-User: admin",
    "X-Auth-Request-Email: admin",
    "MS-ASPNETCORE-WINAUTHTOKEN: 1",
    "MS_ASPNETCORE_CLIENTCERT: 1",
    "X-Forwarded-Client-Cert: By=a;Subject=\"CN=admin\"",
    "X-MS-CLIENT-PRINCIPAL: e30=",
    "X-MS-CLIENT-PRINCIPAL-NAME: admin",
    "X-Remote-User: admin",
    "SSL-Client-S-DN: CN=admin",
    "Cf-Access-Jwt-Assertion: eyJ.eyJ.x",
    // As a gateway to CGI reads them that makes `_` of all but letters and digits.
    "X.Weir.User: admin",
    "X!Weir!User: admin",
    "x-weir~roles: admin",
    "X|Weir'Identity: eyJ.eyJ.x",
    "Remote.User: admin",
    "X^Auth^Request`Email: admin",
];

/// Lines that no two readers take for the same header; most are no HTTP at all.
const CROOKED: [&[u8]; 10] = [
    b"X-Weir-User : admin",
    b"X-Weir-User\t: admin",
    b" X-Weir-User: admin",
    b"X-A: b\r\n X-Weir-User: admin",
    b"X-A: b\nX-Weir-User: admin",
    b"X-A: b\rX-Weir-User: admin",
    b"X-Weir-User\0: admin",
    b"X-Weir\xc2\xadUser: admin",
    b"X-A: b\0\r\nX-Weir-User: admin",
    b"\"X-Weir-User\": admin",
];

const ROUTES: [&str; 2] = ["/", "/public"];

async fn stage() -> (Weir, Upstream) {
    let up = Upstream::start().await;
    let config = format!(
        "[identity]\nsecret = \"{SECRET}\"\n\n[auth.tokens]\ntype = \"jwt\"\nsecret = \"{SECRET}\"\n\n{}{}{}",
        upstream("up", up.address(), ""),
        route("all", "/*", "to = \"up\"\nauth = \"tokens\""),
        route("public", "/public", "to = \"up\""),
    );
    (weir().start(&config).await, up)
}

/// Names and values by which this head claims a caller, whatever the spelling.
fn claims(exchange: &Exchange) -> Vec<(String, String)> {
    let reserved = |name: &str| {
        let plain = |name: &str| {
            name.to_ascii_lowercase()
                .replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
        };
        FORGED.iter().any(|line| {
            let forged = line.split_once(':').map_or(*line, |(name, _)| name);
            plain(forged) == plain(name)
        })
    };
    let lines = exchange.head.headers.iter();
    let mut claims: Vec<_> = lines.filter(|(name, _)| reserved(name)).cloned().collect();
    claims.sort();
    claims
}

/// Exactly weir's own word: of `ana` on the route that asks, of nobody on the one that does not.
fn assert_own_word(exchange: &Exchange, path: &str, what: &str) {
    let claims = claims(exchange);
    let names: Vec<&str> = claims.iter().map(|(name, _)| name.as_str()).collect();
    if path == "/public" {
        assert!(claims.is_empty(), "{what}: {claims:?}");
        return;
    }
    assert_eq!(names, ["x-weir-identity", "x-weir-user"], "{what}");
    assert_eq!(claims[1].1, "ana", "{what}");
    assert!(claims[0].1.len() > 100, "{what}: {claims:?}");
}

/// Answers what is forwarded, until the client has its answer.
async fn settle(client: &mut Client, up: &mut Upstream, path: &str, what: &str) {
    let answer = async {
        let head = client.head().await;
        let _ = client.rest().await;
        head.status()
    };
    let serve = async {
        loop {
            let mut exchange = up.exchange().await;
            exchange.body().await;
            assert_own_word(&exchange, path, what);
            exchange.answer("200 OK", &[], "well").await;
            exchange.done();
        }
    };
    let status = tokio::select! {
        status = answer => status,
        () = serve => unreachable!("it goes on for ever"),
    };
    assert!(matches!(status, 200 | 400), "{what}: {status}");
}

#[tokio::test]
async fn by_another_spelling() {
    let (weir, mut up) = stage().await;
    let bearer = mint::bearer("ana");
    for path in ROUTES {
        let mut all = vec![bearer.as_str()];
        all.extend(FORGED);
        // Twice, and named as headers of this hop only.
        all.extend(FORGED);
        all.push("Connection: X-Weir-User, X-Weir-Identity, x_weir_user, close");
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", path, &all).await;
        settle(&mut client, &mut up, path, "all of them").await;
        for line in FORGED {
            let mut client = Client::connect(weir.address()).await;
            client.request("GET", path, &[&bearer, line]).await;
            settle(&mut client, &mut up, path, line).await;
        }
        for line in CROOKED {
            let what = String::from_utf8_lossy(line).into_owned();
            let head = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{bearer}\r\n");
            let bytes = [head.as_bytes(), line, b"\r\n\r\n"].concat();
            let mut client = Client::connect(weir.address()).await;
            client.send(bytes).await;
            settle(&mut client, &mut up, path, &what).await;
        }
    }
    // What was forged is counted where an operator can see it.
    let metrics = weir.metrics().await;
    for route in ["all", "public"] {
        let counted = metrics.value("weir_forged_identities_total", &[("route", route)]);
        assert!(counted > FORGED.len() as f64, "{route}: {counted}");
    }
}

#[tokio::test]
async fn by_a_hop_by_hop_header_that_takes_weirs_own_away() {
    let (weir, mut up) = stage().await;
    let bearer = mint::bearer("ana");
    for names in [
        "X-Weir-User",
        "close, x-weir-user",
        "X-Weir-User, X-Weir-Identity, Authorization, Cookie",
        "x_weir_user",
        "keep-alive\r\nConnection: X-WEIR-USER",
    ] {
        let mut client = Client::connect(weir.address()).await;
        let line = format!("Connection: {names}");
        client.request("GET", "/", &[&bearer, &line]).await;
        settle(&mut client, &mut up, "/", names).await;
    }
}

/// The bytes of the request's body as they came, up to and with its last chunk.
async fn raw_body(exchange: &mut Exchange) -> String {
    let mut all = Vec::new();
    while !all.windows(3).any(|bytes| bytes == b"0\r\n") || !all.ends_with(b"\r\n\r\n") {
        let more = exchange.raw().await.expect("the last chunk");
        all.extend(more);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn by_trailers() {
    let (weir, mut up) = stage().await;
    let bearer = mint::bearer("ana");
    for path in ROUTES {
        let mut client = Client::connect(weir.address()).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a.test\r\n{bearer}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Weir-User\r\nTE: trailers\r\n\r\n"
        );
        client
            .send(format!(
                "{head}5\r\nhello\r\n0\r\nX-Weir-User: admin\r\nx_weir_user: admin\r\nX-Harmless: 1\r\n\r\n"
            ))
            .await;
        let mut exchange = up.exchange().await;
        assert_own_word(&exchange, path, "trailers of HTTP/1.1");
        assert_eq!(exchange.header("trailer"), None);
        assert_eq!(raw_body(&mut exchange).await, "5\r\nhello\r\n0\r\n\r\n");
        exchange.answer("200 OK", &[], "well").await;
        exchange.done();
        assert_eq!(client.head().await.status(), 200);

        let mut client = H2::connect(weir.address()).await;
        let (name, value) = bearer.split_once(": ").expect("a header");
        let name = name.to_ascii_lowercase();
        let headers = [(name.as_str(), value), ("te", "trailers")];
        client.ask(1, "POST", path, &headers, false).await;
        client.data(1, b"hello", false).await;
        let trailers = [field("x-weir-user", "admin"), field("x_weir_user", "admin")].concat();
        client
            .frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &trailers)
            .await;
        let mut exchange = up.exchange().await;
        assert_own_word(&exchange, path, "trailers of HTTP/2");
        assert_eq!(raw_body(&mut exchange).await, "5\r\nhello\r\n0\r\n\r\n");
        exchange.answer("200 OK", &[], "well").await;
        exchange.done();
        assert_eq!(client.status(1).await, 200);
    }
}

#[tokio::test]
async fn by_http_2() {
    let (weir, mut up) = stage().await;
    let bearer = mint::bearer("ana");
    let (_, bearer) = bearer.split_once(": ").expect("a header");
    for path in ROUTES {
        // In lower case, as HTTP/2 has them: stripped.
        let lower: Vec<(String, String)> = FORGED
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut headers = vec![("authorization", bearer)];
        headers.extend(
            lower
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let mut client = H2::connect(weir.address()).await;
        client.ask(1, "GET", path, &headers, true).await;
        let exchange = up.exchange().await;
        assert_own_word(&exchange, path, "HTTP/2");
        exchange.answer("200 OK", &[], "well").await;
        exchange.done();
        assert_eq!(client.status(1).await, 200);
        // What is malformed in HTTP/2 (RFC 9113 section 8.2) reaches nobody.
        for (name, value) in [
            ("X-Weir-User", "admin"),
            ("connection", "x-weir-user"),
            ("x-weir-user ", "admin"),
            ("x-a: b\r\nx-weir-user", "admin"),
            ("x-a", "b\r\nx-weir-user: admin"),
            ("x-a", "b\0"),
            (":x-weir-user", "admin"),
        ] {
            let before = up.accepted();
            let mut client = H2::connect(weir.address()).await;
            client
                .ask(
                    1,
                    "GET",
                    path,
                    &[("authorization", bearer), (name, value)],
                    true,
                )
                .await;
            let refused = loop {
                match client.of(1).await {
                    Ok(frame) if frame.kind == kind::HEADERS => break frame.status() == 400,
                    Ok(frame) if frame.kind == kind::RST_STREAM => break true,
                    Ok(_) => {}
                    Err(_) => break true,
                }
            };
            assert!(refused, "{name:?}: {value:?}");
            assert!(
                up.pending().is_none() && up.accepted() == before,
                "{name:?}"
            );
        }
    }
}

#[tokio::test]
async fn by_a_websocket() {
    let (weir, mut up) = stage().await;
    let bearer = mint::bearer("ana");
    for path in ROUTES {
        let mut lines = vec![
            bearer.as_str(),
            "Connection: Upgrade, X-Weir-User, X-Weir-Identity",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ];
        lines.extend(FORGED);
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", path, &lines).await;
        let exchange = up.exchange().await;
        assert_eq!(exchange.header("upgrade"), Some("websocket"));
        assert_own_word(&exchange, path, "an upgrade");
        exchange.answer("403 Forbidden", &[], "no").await;
        exchange.done();
        assert_eq!(client.head().await.status(), 403);

        let (_, value) = bearer.split_once(": ").expect("a header");
        let headers = [
            ("authorization", value),
            ("sec-websocket-version", "13"),
            ("x-weir-user", "admin"),
            ("x_weir_user", "admin"),
            ("x-weir-identity", "eyJ.eyJ.x"),
        ];
        let mut client = H2::connect(weir.address()).await;
        client
            .connect_protocol(1, "websocket", path, &headers)
            .await;
        let exchange = up.exchange().await;
        assert_eq!(exchange.header("upgrade"), Some("websocket"));
        assert_own_word(&exchange, path, "an extended CONNECT");
        exchange.answer("403 Forbidden", &[], "no").await;
        exchange.done();
        assert_eq!(client.status(1).await, 403);
    }
}

/// The operator's list stands in the place of the default one; what weir itself says is nobody else's in any case.
#[tokio::test]
async fn by_a_name_that_only_this_application_believes() {
    let mut up = Upstream::start().await;
    let config = upstream("up", up.address(), "") + &route("all", "/*", "to = \"up\"");
    let weir = weir()
        .top("identity_headers = [\"X-Portal-*\", \"Employee\"]\n")
        .start(&config)
        .await;
    let mut client = Client::connect(weir.address()).await;
    let lines = [
        "x-portal-user: admin",
        "X_PORTAL_ROLE: admin",
        "employee: 1",
        "X-Weir-User: admin",
        "X-MS-CLIENT-PRINCIPAL: of a gateway before",
        "x-other: 1",
    ];
    client.request("GET", "/", &lines).await;
    let exchange = up.exchange().await;
    let said = |name: &str| exchange.header(name).is_some();
    for name in ["x-portal-user", "x_portal_role", "employee", "x-weir-user"] {
        assert!(!said(name), "{name}");
    }
    assert!(said("x-ms-client-principal") && said("x-other"));
}
