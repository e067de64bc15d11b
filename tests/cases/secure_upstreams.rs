//! TLS towards upstreams: the private authority that is believed, the name that must be proved, health checks by the same way, and 502
//! where the proof fails.

use weir_testkit::{
    Client, End, Upstream, client,
    tls::{Authority, Leaf, front},
};

use crate::stage::{RUN_STARTED, pass, route, weir};

fn private(servers: &str, tls: &str, keys: &str) -> String {
    format!("[upstream.up]\nservers = \"{servers}\"\ntls = {tls}\n{keys}\n\n")
        + &route("all", "/*", "to = \"up\"")
}

#[tokio::test]
async fn an_upstream_with_a_private_authority_is_reached_and_kept() {
    let authority = Authority::new("private");
    let mut upstream = Upstream::start().await;
    let address = front(
        &authority.sign(Leaf::server(&["127.0.0.1"])),
        upstream.address(),
    )
    .await;
    let weir = weir()
        .file("ca.crt", authority.pem())
        .start(&private(
            &format!("https://{address}"),
            "{ ca = \"ca.crt\" }",
            "",
        ))
        .await;
    let mut client = Client::connect(weir.address()).await;
    for number in 0..3 {
        client.request("GET", "/p", &[]).await;
        let exchange = upstream.exchange().await;
        assert_eq!(exchange.connection(), 0, "kept, request {number}");
        exchange.answer("200 OK", &[], "yes").await;
        exchange.done();
        assert_eq!(client.answer().await.text(), "yes");
    }
    client.request("GET", "/s", &[]).await;
    let exchange = upstream.exchange().await;
    exchange.stream().await;
    client.head().await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    client.close();
    exchange.gone().await;
}

#[tokio::test]
async fn a_stream_cut_behind_tls_is_no_whole_answer() {
    let authority = Authority::new("private");
    let mut upstream = Upstream::start().await;
    let address = front(
        &authority.sign(Leaf::server(&["127.0.0.1"])),
        upstream.address(),
    )
    .await;
    let weir = weir()
        .file("ca.crt", authority.pem())
        .start(&private(
            &format!("https://{address}"),
            "{ ca = \"ca.crt\" }",
            "",
        ))
        .await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/s", &[]).await;
    let exchange = upstream.exchange().await;
    exchange.stream().await;
    client.head().await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    exchange.close().await;
    let (last, end) = client.rest().await;
    assert!(String::from_utf8_lossy(&last).contains("RUN_ERROR"));
    assert_ne!(end, End::Clean);
}

#[tokio::test]
async fn who_cannot_prove_its_name_gets_nothing() {
    let authority = Authority::new("private");
    let mut upstream = Upstream::start().await;
    let named = front(
        &authority.sign(Leaf::server(&["agents.test"])),
        upstream.address(),
    )
    .await;
    let other = Authority::new("private").pem();
    for (tls, status) in [
        ("{ ca = \"ca.crt\", server_name = \"agents.test\" }", 200),
        ("{ ca = \"ca.crt\" }", 502),
        ("{ ca = \"ca.crt\", server_name = \"other.test\" }", 502),
        ("{ ca = \"other.crt\", server_name = \"agents.test\" }", 502),
        // The system's authorities, which know nothing of this one.
        ("{ server_name = \"agents.test\" }", 502),
    ] {
        let upstream = Upstream::start().await;
        let named = if status == 200 {
            front(
                &authority.sign(Leaf::server(&["agents.test"])),
                upstream.address(),
            )
            .await
        } else {
            named
        };
        let weir = weir()
            .file("ca.crt", authority.pem())
            .file("other.crt", &other)
            .env("SSL_CERT_FILE", "other.crt")
            .start(&private(
                &named.to_string(),
                tls,
                "health = { path = \"/health\", interval = \"1h\" }",
            ))
            .await;
        let labels = [("upstream", "up")];
        if status == 200 {
            let mut upstream = upstream;
            let check = upstream.exchange().await;
            assert_eq!(check.header("user-agent"), Some("weir-health"));
            check.answer("200 OK", &[], "").await;
            let asked = tokio::spawn(client_get(weir.address()));
            let exchange = upstream.exchange().await;
            exchange.answer("200 OK", &[], "").await;
            assert_eq!(asked.await.unwrap(), 200, "{tls}");
        } else {
            weir.wait_metric("weir_upstream_healthy", &labels, 0.0)
                .await;
            let answer = client::get(weir.address(), "/p", &[]).await;
            assert_eq!(answer.status(), 503, "found out by the check: {tls}");
        }
    }
    assert!(upstream.pending().is_none(), "nobody's request got through");
}

async fn client_get(address: std::net::SocketAddr) -> u16 {
    client::get(address, "/p", &[]).await.status()
}

#[tokio::test]
async fn a_wrong_authority_is_502() {
    let authority = Authority::new("private");
    let upstream = Upstream::start().await;
    let address = front(
        &authority.sign(Leaf::server(&["127.0.0.1"])),
        upstream.address(),
    )
    .await;
    let weir = weir()
        .file("other.crt", Authority::new("private").pem())
        .start(&private(
            &format!("https://{address}"),
            "{ ca = \"other.crt\" }",
            "",
        ))
        .await;
    let answer = client::get(weir.address(), "/p", &[]).await;
    assert_eq!(answer.status(), 502);
    let refused = [("route", "all"), ("reason", "connect_failed")];
    weir.wait_metric("weir_refusals_total", &refused, 1.0).await;
    weir.wait_metric(
        "weir_upstream_connects_total",
        &[("upstream", "up"), ("result", "failed")],
        1.0,
    )
    .await;
}
