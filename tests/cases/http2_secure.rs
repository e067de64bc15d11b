//! HTTP/2 by TLS, towards clients and towards upstreams: ALPN chooses it, and what holds in clear holds there.

use weir_testkit::{
    Client, H2, Upstream, client,
    h2::{END_HEADERS, END_STREAM, Ended, field, kind},
    mint,
    tls::{Authority, Leaf, Tls, front_offering},
};

use crate::{
    http2_server::{Server, event_stream, say},
    stage::{CONTENT, everything, route, weir},
};

/// Two hosts, of which the second asks clients for a certificate.
const HOSTS: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n\n\
    [[listen.tls]]\ncertificate = \"a.crt\"\nkey = \"a.key\"\n\n\
    [[listen.tls]]\ncertificate = \"m.crt\"\nkey = \"m.key\"\nclient_certificate = { ca = \"ca.crt\" }\n\n";

#[tokio::test]
async fn a_client_that_offers_it_gets_all_of_it() {
    let authority = Authority::new("ca");
    let mut upstream = Upstream::start().await;
    let (site, must) = (
        authority.sign(Leaf::server(&["a.test"])),
        authority.sign(Leaf::server(&["m.test"])),
    );
    let weir = weir()
        .file("a.crt", &site.certificate)
        .file("a.key", &site.key)
        .file("m.crt", &must.certificate)
        .file("m.key", &must.key)
        .file("ca.crt", authority.pem())
        .start(&(HOSTS.to_owned() + &everything(upstream.address(), "")))
        .await;
    let tls = Tls::to("a.test", &authority);
    let mut client = H2::secured(weir.listeners()[1], &tls).await;

    let crumbs = [("cookie", "a=1"), ("cookie", "b=2")];
    client.ask(1, "GET", "/p?q=1", &crumbs, true).await;
    let exchange = upstream.exchange().await;
    assert_eq!(exchange.head.target(), "/p?q=1");
    assert_eq!(exchange.header("host"), Some("a.test"));
    assert_eq!(exchange.header("cookie"), Some("a=1; b=2"));
    assert_eq!(exchange.header("x-forwarded-proto"), Some("https"));
    exchange.answer("200 OK", &[], "yes").await;
    exchange.done();
    assert_eq!(client.status(1).await, 200);
    assert_eq!(client.rest(1).await, (b"yes".to_vec(), Ended::Clean));

    client.get(3, "/s").await;
    let exchange = upstream.exchange().await;
    exchange.stream().await;
    assert_eq!(client.status(3).await, 200);
    for _ in 0..20 {
        exchange.chunk(CONTENT).await;
        assert_eq!(client.until(3, "\n\n").await, CONTENT);
    }

    let version = [("sec-websocket-version", "13")];
    client
        .connect_protocol(5, "websocket", "/ws", &version)
        .await;
    let mut tunnel = upstream.exchange().await;
    let key = tunnel
        .header("sec-websocket-key")
        .expect("a key")
        .to_owned();
    let proof = format!("sec-websocket-accept: {}", mint::websocket_accept(&key));
    let grant = ["connection: upgrade", "upgrade: websocket", &proof];
    tunnel.head("101 Switching Protocols", &grant).await;
    assert_eq!(client.status(5).await, 200);
    tunnel.send("down").await;
    assert_eq!(client.until(5, "down").await, "down");
    client.data(5, b"up", false).await;
    assert_eq!(tunnel.raw().await.as_deref(), Some(&b"up"[..]));

    // Another host's clients show a certificate; this connection has shown none.
    let before = upstream.requests().len();
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "m.test"),
        (":path", "/"),
    ];
    let block: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect();
    client
        .frame(kind::HEADERS, END_HEADERS | END_STREAM, 7, &block)
        .await;
    assert_eq!(client.status(7).await, 421);
    assert_eq!(upstream.requests().len(), before);

    exchange.chunk(CONTENT).await;
    assert_eq!(client.until(3, "\n\n").await, CONTENT, "its streams go on");
}

/// What an upstream by HTTP/2 and TLS is written as.
fn by_tls(address: std::net::SocketAddr) -> String {
    format!(
        "[upstream.up]\nservers = \"https://{address}\"\nprotocol = \"h2\"\ntls = {{ ca = \"ca.crt\" }}\n\n"
    ) + &route("all", "/*", "to = \"up\"")
}

#[tokio::test]
async fn an_upstream_is_reached_by_alpn() {
    let authority = Authority::new("private");
    let pair = authority.sign(Leaf::server(&["127.0.0.1"]));
    let mut server = Server::start().await;
    let address = front_offering(&pair, server.address, &["h2", "http/1.1"]).await;
    let weir = weir()
        .file("ca.crt", authority.pem())
        .start(&by_tls(address))
        .await;
    let mut client = Client::connect(weir.address()).await;
    client.post("/p", &[], b"hello").await;
    let (request, mut answer) = server.next().await;
    assert_eq!(request.uri(), "https://a.test/p");
    let mut body = request.into_body();
    assert_eq!(body.data().await.expect("a body").expect("whole"), "hello");
    let mut stream = event_stream(&mut answer);
    assert_eq!(client.head().await.status(), 200);
    for _ in 0..20 {
        say(&mut stream, CONTENT);
        assert_eq!(client.event().await, CONTENT);
    }
}

#[tokio::test]
async fn an_upstream_without_http_2_is_a_502_that_says_so() {
    let authority = Authority::new("private");
    let pair = authority.sign(Leaf::server(&["127.0.0.1"]));
    let upstream = Upstream::saying("never").await;
    for protocols in [&[][..], &["http/1.1"]] {
        let address = front_offering(&pair, upstream.address(), protocols).await;
        let weir = weir()
            .file("ca.crt", authority.pem())
            .start(&by_tls(address))
            .await;
        let answer = client::get(weir.address(), "/p", &[]).await;
        assert_eq!(answer.status(), 502, "{protocols:?}");
        assert_eq!(weir.logged("/p").await["reason"], "upstream_not_http2");
        let refused = [("route", "all"), ("reason", "upstream_not_http2")];
        weir.wait_metric("weir_refusals_total", &refused, 1.0).await;
    }
    assert_eq!(upstream.requests().len(), 0);
}
