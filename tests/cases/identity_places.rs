//! Tokens where a browser opens a WebSocket: the query and Sec-WebSocket-Protocol. They count only there, the upstream never sees
//! them, and nothing that weir writes has them in it, at its most talkative level either. And credentials that came twice.

use std::fs;

use weir_testkit::{
    Client, H2, Upstream, Weir,
    client::ask,
    eventually,
    mint::{self, SECRET},
};

use crate::stage::{everything, route, upstream, weir};

const ASK: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];
const GRANT: [&str; 3] = [
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
];

async fn stage() -> (Weir, Upstream) {
    let up = Upstream::start().await;
    let config = format!(
        "[log]\nto = \"FOLDER/access.log\"\nlevel = \"trace\"\n\n[audit]\nto = \"audit.log\"\n\n\
         [auth.tokens]\ntype = \"jwt\"\nsecret = \"{SECRET}\"\n\
         from = [\"authorization\", \"query\", \"websocket-protocol\", \"cookie:session\"]\n\n{}",
        everything(up.address(), "auth = \"tokens\"")
    );
    (weir().start(&config).await, up)
}

/// Everything that weir has written and shows: no token may stand in it. What is looked for begins as every token's claims do.
async fn assert_untold(weir: &Weir, tokens: &[String]) {
    let mut all = weir.stderr() + &weir.stdout().join("\n");
    for name in ["access.log", "audit.log"] {
        all += &fs::read_to_string(weir.folder().join(name)).expect("a log");
    }
    for page in ["/metrics", "/status", "/health"] {
        all += &ask(weir.admin(), "GET", page, &[]).await.text();
    }
    for token in tokens {
        for part in token.split('.') {
            assert!(!all.contains(part), "{part} stands in\n{all}");
        }
    }
}

/// An upstream that is not the session's own application is not to have it; also where the route asks nobody.
#[tokio::test]
async fn a_session_stays_here_where_the_route_says_so() {
    let mut up = Upstream::start().await;
    let table = format!(
        "[auth.tokens]\ntype = \"jwt\"\nsecret = \"{SECRET}\"\nfrom = \"cookie:session\"\n\n"
    );
    let routes = [
        ("model", "auth = \"tokens\"\ncookies = \"strip\""),
        ("public", "cookies = \"strip\""),
        ("portal", "auth = \"tokens\""),
    ];
    let routes = routes
        .map(|(name, keys)| route(name, &format!("/{name}"), &format!("to = \"up\"\n{keys}")));
    let config = table + &upstream("up", up.address(), "") + &routes.concat();
    let weir = weir().start(&config).await;
    let token = mint::token_of("ana");
    for (path, cookies) in [
        ("/model", "a=b; c=d".to_owned()),
        ("/public", "a=b; c=d".to_owned()),
        ("/portal", format!("a=b; session={token}; c=d")),
    ] {
        let mut client = Client::connect(weir.address()).await;
        let cookie = format!("Cookie: a=b; session={token}; c=d");
        client.request("GET", path, &[&cookie]).await;
        let exchange = up.exchange().await;
        assert_eq!(exchange.header("cookie"), Some(&*cookies), "{path}");
        exchange.answer("200 OK", &[], "ok").await;
        assert_eq!(client.answer().await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_token_in_the_query_opens_a_websocket_and_nothing_else() {
    let (weir, mut up) = stage().await;
    let token = mint::token_of("ana");
    for (target, seen) in [
        (format!("/ws?access_token={token}"), "/ws"),
        (
            format!("/ws?a=1&access_token={token}&b=%20"),
            "/ws?a=1&b=%20",
        ),
        (format!("/ws?ACCESS%5FTOKEN={token}&a=1"), "/ws?a=1"),
    ] {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", &target, &ASK).await;
        let exchange = up.exchange().await;
        assert_eq!(exchange.head.target(), seen);
        assert_eq!(exchange.header("x-weir-user"), Some("ana"));
        exchange.head("101 Switching Protocols", &GRANT).await;
        assert_eq!(client.head().await.status(), 101);

        let mut client = H2::connect(weir.address()).await;
        client.connect_protocol(1, "websocket", &target, &[]).await;
        let exchange = up.exchange().await;
        assert_eq!(exchange.head.target(), seen);
        assert_eq!(exchange.header("x-weir-user"), Some("ana"));
    }
    // Not a WebSocket, or not quite one: the query is no place for a token then.
    let accepted = up.accepted();
    let target = format!("/ws?access_token={token}");
    let without = |index: usize| {
        let mut lines = ASK.to_vec();
        lines.remove(index);
        lines
    };
    let mut halves: Vec<Vec<&str>> = (0..ASK.len()).map(without).collect();
    halves.push(vec!["Upgrade: websocket"]);
    halves.push(vec!["Connection: Upgrade", "Upgrade: h2c"]);
    halves.push(vec!["Connection: Upgrade", "Upgrade: anything"]);
    halves.push(Vec::new());
    for lines in &halves {
        let answer = ask(weir.address(), "GET", &target, lines).await;
        assert_eq!(answer.status(), 401, "{lines:?}");
    }
    assert_eq!(
        ask(weir.address(), "POST", &target, &ASK).await.status(),
        401
    );
    // In no spelling that an upstream might read, nor where no token belongs.
    for name in [
        "Access_Token",
        "access%5Ftoken",
        "%61ccess_token",
        "+access_token",
    ] {
        let target = format!("/odd?{name}={token}");
        let answer = ask(weir.address(), "GET", &target, &[]).await;
        assert_eq!(answer.status(), 401, "{name}");
    }
    // Whole it is too long for a method.
    let (head, rest) = token.split_once('.').expect("three parts");
    for method in [&token, head, rest] {
        let answer = ask(weir.address(), method, "/odd", &[]).await;
        assert!([400, 401].contains(&answer.status()), "{method}");
    }
    let twice = format!("/ws?access_token={token}&access_token={token}");
    assert_eq!(ask(weir.address(), "GET", &twice, &ASK).await.status(), 401);
    assert_eq!(up.accepted(), accepted);
    eventually("the last line of the audit log", async || {
        let text = fs::read_to_string(weir.folder().join("audit.log")).expect("the audit log");
        text.contains("duplicate_authorization").then_some(())
    })
    .await;
    assert_untold(&weir, &[token]).await;
}

#[tokio::test]
async fn a_token_among_the_protocols_is_taken_out_of_them() {
    let (weir, mut up) = stage().await;
    let token = mint::token_of("ana");
    for (line, left) in [
        (format!("bearer, {token}"), None),
        (format!("Bearer,{token},chat"), Some("chat")),
        (
            format!("v2.chat, bearer, {token}, chat"),
            Some("v2.chat, chat"),
        ),
    ] {
        let offered = format!("Sec-WebSocket-Protocol: {line}");
        let mut client = Client::connect(weir.address()).await;
        client
            .request("GET", "/ws", &[&ASK[..], &[&offered]].concat())
            .await;
        let exchange = up.exchange().await;
        assert_eq!(exchange.header("sec-websocket-protocol"), left);
        assert_eq!(exchange.header("x-weir-user"), Some("ana"));
        let chosen: Vec<&str> = left
            .map(|_| "sec-websocket-protocol: chat")
            .into_iter()
            .collect();
        exchange
            .head("101 Switching Protocols", &[&GRANT[..], &chosen].concat())
            .await;
        let head = client.head().await;
        assert_eq!(head.status(), 101);
        assert_eq!(head.header("sec-websocket-protocol"), left.map(|_| "chat"));
    }
    let accepted = up.accepted();
    let offered = format!("Sec-WebSocket-Protocol: bearer, {token}");
    assert_eq!(
        ask(weir.address(), "GET", "/ws", &[&offered])
            .await
            .status(),
        401,
        "no upgrade"
    );
    // Two that do not agree, and one that is bad beside one that is good.
    let eve = mint::token_of("eve");
    for (target, more) in [
        (format!("/ws?access_token={eve}"), &offered),
        ("/ws?access_token=x.y.z".to_owned(), &offered),
        (format!("/ws?access_token={eve}"), &mint::bearer("ana")),
    ] {
        let lines = [&ASK[..], &[more]].concat();
        assert_eq!(
            ask(weir.address(), "GET", &target, &lines).await.status(),
            401
        );
    }
    assert_eq!(up.accepted(), accepted);
    weir.logged("/ws").await;
    assert_untold(&weir, &[token, eve]).await;
}

#[tokio::test]
async fn what_came_twice_is_nobodys() {
    let (weir, up) = stage().await;
    let (ana, eve) = (mint::token_of("ana"), mint::token_of("eve"));
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let cookie = |name: &str, token: &str| format!("Cookie: {name}={token}");
    for (lines, expected) in [
        (vec![bearer(&ana), bearer(&ana)], 401),
        (vec![bearer(&ana), bearer(&eve)], 401),
        (
            vec![bearer(&ana), "Authorization: Basic YTpi".to_owned()],
            401,
        ),
        (
            vec!["Authorization: Basic YTpi".to_owned(), bearer(&ana)],
            401,
        ),
        (vec![bearer(&ana), "authorization:".to_owned()], 401),
        (vec![cookie("session", &ana), cookie("session", &eve)], 400),
        (vec![format!("Cookie: session={ana}; session={eve}")], 400),
        (vec![format!("Cookie: session={ana}, session={eve}")], 400),
        (vec![format!("Cookie: session={ana}; SESSION={eve}")], 400),
        (vec![format!("Cookie: session={ana}; %73ession={eve}")], 400),
        (vec![cookie("session", &ana), bearer(&eve)], 401),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = ask(weir.address(), "GET", "/", &lines).await;
        assert_eq!(answer.status(), expected, "{lines:?}");
    }
    // HTTP/2 sends one Cookie header in crumbs.
    let (one, other) = (format!("session={ana}"), format!("session={eve}"));
    for crumbs in [
        [("cookie", one.as_str()), ("cookie", other.as_str())],
        [("cookie", "a=b"), ("cookie", "SESSION=x; session=y")],
    ] {
        let mut client = H2::connect(weir.address()).await;
        client.ask(1, "GET", "/", &crumbs, true).await;
        assert_eq!(client.status(1).await, 400);
    }
    assert_eq!(up.accepted(), 0);
}

/// Beside a good cookie, a header in which a laxer upstream might find a token is not let through unread.
#[tokio::test]
async fn what_might_be_a_token_is_not_passed_on_unread() {
    let (weir, mut up) = stage().await;
    let (ana, eve) = (mint::token_of("ana"), mint::token_of("eve"));
    let cookie = format!("Cookie: session={ana}");
    for odd in [
        format!("Bearer\t{eve}"),
        format!("Bearer,{eve}"),
        format!("Bearer\u{a0}{eve}"),
        format!("Bearer={eve}"),
        "Bearer".to_owned(),
        format!("Negotiate x, Bearer {eve}"),
        format!("Basic YTpi,bearer {eve}"),
    ] {
        let line = format!("Authorization: {odd}");
        let answer = ask(weir.address(), "GET", "/odd", &[&cookie, &line]).await;
        assert_eq!(answer.status(), 401, "{odd:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let labels = [("route", "all"), ("reason", "malformed")];
    weir.wait_metric("weir_refusals_total", &labels, 7.0).await;
    assert_eq!(up.accepted(), 0);
    // Another scheme is the application's own affair.
    let mut client = Client::connect(weir.address()).await;
    let lines = [&*cookie, "Authorization: Basic YTpi"];
    client.request("GET", "/", &lines).await;
    let exchange = up.exchange().await;
    assert_eq!(exchange.header("x-weir-user"), Some("ana"));
    assert_eq!(exchange.header("authorization"), Some("Basic YTpi"));
}
