//! Who the client is when proxies stand in front: their headers, the PROXY protocol, and what upstreams, limits and the log make of it.

use weir_testkit::{
    Client, End, Upstream, Weir,
    client::{get, request},
    eventually,
    tls::{Authority, Leaf, Tls},
};

use crate::stage::{everything, route, upstream, weir};

/// weir that trusts this machine, or nobody.
async fn behind(top: &str, keys: &str) -> (Weir, Upstream) {
    let up = Upstream::saying("in").await;
    let weir = weir().top(top).start(&everything(up.address(), keys)).await;
    (weir, up)
}

const TRUSTING: &str = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";

#[tokio::test]
async fn an_untrusted_peers_words_are_replaced() {
    let (weir, up) = behind("trusted_proxies = [\"10.0.0.0/8\"]", "").await;
    let headers = [
        "X-Forwarded-For: 1.2.3.4",
        "X-Real-IP: 1.2.3.4",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.test",
        "Forwarded: for=1.2.3.4",
        "Connection: close, X-Forwarded-For, X-Real-IP",
    ];
    get(weir.address(), "/x", &headers).await;
    let seen = &up.requests()[0];
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.test"),
    ] {
        assert_eq!(seen.all(name).collect::<Vec<_>>(), [value], "{name}");
    }
    assert_eq!(seen.header("forwarded"), None);
    assert_eq!(seen.header("via"), None);
}

#[tokio::test]
async fn a_trusted_peers_words_are_extended() {
    let (weir, up) = behind(&format!("{TRUSTING}\nvia = true"), "").await;
    let headers = [
        "X-Forwarded-For: 6.6.6.6, 203.0.113.9",
        "X-Forwarded-For: 10.1.1.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: chat.test",
        "Forwarded: for=203.0.113.9",
        "Via: 1.1 front",
        "Connection: X-Forwarded-For, Via",
    ];
    let answer = get(weir.address(), "/x", &headers).await;
    assert_eq!(answer.header("via"), Some("1.1 weir"));
    let seen = &up.requests()[0];
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.9, 10.1.1.1, 127.0.0.1"),
        ("x-real-ip", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "chat.test"),
        (
            "forwarded",
            "for=203.0.113.9;host=\"chat.test\";proto=https, for=10.1.1.1, for=127.0.0.1",
        ),
        ("host", "a.test"),
        ("via", "1.1 weir"),
    ] {
        assert_eq!(seen.all(name).collect::<Vec<_>>(), [value], "{name}");
    }
    let line = eventually("its line", async || weir.log().pop()).await;
    assert_eq!(line["client"], "203.0.113.9");
}

#[tokio::test]
async fn limits_and_allow_lists_count_the_client_and_not_the_proxy() {
    let up = Upstream::saying("in").await;
    let config = [
        "[limit.one]\nby = \"client_ip\"\nrate = \"1/1h\"\n\n".to_owned(),
        upstream("up", up.address(), ""),
        route("all", "/*", "to = \"up\"\nlimit = \"one\""),
        route("status", "/status", "serve = \"status\""),
    ];
    let weir = weir().top(TRUSTING).start(&config.concat()).await;
    for (client, status) in [
        ("203.0.113.1", 200),
        ("203.0.113.2", 200),
        ("203.0.113.1", 429),
        ("6.6.6.6, 203.0.113.2", 429),
    ] {
        let header = format!("X-Forwarded-For: {client}");
        assert_eq!(
            get(weir.address(), "/x", &[&header]).await.status(),
            status,
            "{client}"
        );
    }
    for (client, status) in [("203.0.113.1", 403), ("127.0.0.1", 200)] {
        let header = format!("X-Forwarded-For: {client}");
        assert_eq!(
            get(weir.address(), "/status", &[&header]).await.status(),
            status
        );
    }
}

/// A second listener that speaks the PROXY protocol.
const SPEAKING: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\n";

fn v2(family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, family][..], &length, rest].concat()
}

#[tokio::test]
async fn the_proxy_protocol_says_who_the_client_is() {
    let up = Upstream::saying("in").await;
    let config = SPEAKING.to_owned() + &everything(up.address(), "");
    let weir = weir().top(TRUSTING).start(&config).await;
    let tlvs = [
        203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 187, 0xee, 0, 1, 9,
    ];
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    let heads: [(Vec<u8>, &str); 5] = [
        (
            b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n".to_vec(),
            "203.0.113.7",
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x11, &tlvs), "203.0.113.7"),
        (v2(0x21, &v6), "2001:db8::"),
        (v2(0x00, &[]), "127.0.0.1"),
    ];
    for (head, client) in heads {
        let mut connection = Client::connect(weir.listeners()[1]).await;
        // Byte by byte up to the middle: no read may take what is the client's.
        for byte in &head[..8] {
            connection.send([*byte]).await;
        }
        connection.send(&head[8..]).await;
        for _ in 0..2 {
            // What an untrusted client then claims in HTTP is nothing, though the proxy is trusted.
            connection
                .send(request("GET", "/x", &["X-Forwarded-For: 6.6.6.6"], None))
                .await;
            assert_eq!(connection.answer().await.status(), 200, "{client}");
        }
        let seen = up.requests().pop().unwrap();
        let told = if client == "127.0.0.1" {
            "6.6.6.6, 127.0.0.1"
        } else {
            client
        };
        assert_eq!(seen.header("x-forwarded-for"), Some(told));
    }
}

/// A proxy of TCP connections says its word in clear, and the handshake of the client it speaks for follows.
#[tokio::test]
async fn the_proxy_protocol_stands_before_the_handshake() {
    let authority = Authority::new("ca");
    let site = authority.sign(Leaf::server(&["a.test"]));
    let up = Upstream::saying("in").await;
    let tls = "tls = { certificate = \"site.crt\", key = \"site.key\" }\n\n";
    let config = SPEAKING.trim_end().to_owned() + "\n" + tls + &everything(up.address(), "");
    let weir = weir()
        .top(TRUSTING)
        .file("site.crt", &site.certificate)
        .file("site.key", &site.key)
        .start(&config)
        .await;
    let address = weir.listeners()[1];
    let tls = Tls::to("a.test", &authority);
    let ipv4 = [203, 0, 113, 8, 10, 0, 0, 1, 0x12, 0x67, 1, 187];
    for (head, client) in [
        (
            b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n".to_vec(),
            "203.0.113.7",
        ),
        (v2(0x11, &ipv4), "203.0.113.8"),
    ] {
        let mut connection = Client::secured_behind(address, &head, &tls)
            .await
            .expect("a handshake");
        connection.request("GET", "/x", &[]).await;
        assert_eq!(connection.answer().await.status(), 200);
        let seen = up.requests().pop().unwrap();
        assert_eq!(seen.header("x-forwarded-for"), Some(client));
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    }
    Client::secured(address, &tls)
        .await
        .expect_err("a handshake without the proxy's word");
    let mut connection = Client::connect(address).await;
    let _ = connection
        .try_send("PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert!(connection.try_head().await.is_err(), "no request in clear");
    weir.wait_metric(
        "weir_connection_errors_total",
        &[("reason", "proxy_protocol_malformed")],
        1.0,
    )
    .await;
    assert_eq!(up.requests().len(), 2);
}

#[tokio::test]
async fn what_is_not_the_proxy_protocol_is_closed() {
    let up = Upstream::saying("in").await;
    let config =
        SPEAKING.to_owned() + &everything(up.address(), "") + "[client]\nhead = \"300ms\"\n";
    let weir = weir().top(TRUSTING).start(&config).await;
    let mut wrong_length = v2(0x11, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    wrong_length[15] = 200;
    wrong_length.extend([0; 400]);
    let mut oversize = v2(0x11, &[0; 12]);
    oversize[14..16].copy_from_slice(&[0xff, 0xff]);
    for bytes in [
        request("GET", "/x", &[], None),
        b"PROXY TCP4 1.2.3.4\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec(),
        format!("PROXY UNKNOWN {}\r\n", "x".repeat(200)).into_bytes(),
        v2(0x11, &[0; 11]),
        v2(0x41, &[0; 12]),
        wrong_length,
        oversize,
    ] {
        let mut connection = Client::connect(weir.listeners()[1]).await;
        let _ = connection.try_send(&bytes).await;
        assert!(
            matches!(connection.closed().await, End::Eof | End::Reset),
            "{bytes:?}"
        );
    }
    let count = async |reason: &'static str, least: f64| {
        let labels = [("reason", reason)];
        weir.wait_metric("weir_connection_errors_total", &labels, least)
            .await;
    };
    count("proxy_protocol_malformed", 7.0).await;
    let mut silent = Client::connect(weir.listeners()[1]).await;
    silent.send("PROXY TCP4 203").await;
    silent.closed().await;
    count("proxy_protocol_timeout", 1.0).await;
    assert_eq!(up.accepted(), 0);
    assert_eq!(
        get(weir.address(), "/x", &[]).await.status(),
        200,
        "the other listener"
    );
}

#[tokio::test]
async fn the_proxy_protocol_is_for_trusted_proxies() {
    let up = Upstream::saying("in").await;
    let config = SPEAKING.to_owned() + &everything(up.address(), "");
    let weir = weir()
        .top("trusted_proxies = [\"10.0.0.0/8\"]")
        .start(&config)
        .await;
    let mut connection = Client::connect(weir.listeners()[1]).await;
    let _ = connection
        .try_send("PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n")
        .await;
    connection.closed().await;
    weir.wait_metric(
        "weir_connection_errors_total",
        &[("reason", "proxy_protocol_untrusted")],
        1.0,
    )
    .await;
    assert_eq!(up.accepted(), 0);
}
