//! TLS towards clients: what is spoken, which certificate a name gets, whose certificates are asked of clients and who they then are,
//! and what a connection made for one host may ask of another.

use std::time::Duration;

use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use weir_testkit::{
    Client, End, H2, Run, Upstream, Weir, eventually,
    h2::{END_HEADERS, END_STREAM, field, kind},
    tls::{Authority, Leaf, Pair, Tls},
};

use crate::stage::{route, upstream, weir};

/// A route that says who came, without an upstream.
fn open_route() -> String {
    route("open", "/open", "serve = \"health\"")
}

/// Certificate and key as files `NAME.crt` and `NAME.key`.
fn with_pair(run: Run, name: &str, pair: &Pair) -> Run {
    run.file(&format!("{name}.crt"), &pair.certificate)
        .file(&format!("{name}.key"), &pair.key)
}

/// A `[[listen.tls]]` with those files.
fn host(name: &str, keys: &str) -> String {
    format!("[[listen.tls]]\ncertificate = \"{name}.crt\"\nkey = \"{name}.key\"\n{keys}\n")
}

/// A second listener; the first one, in clear, is the kit's.
fn listener(hosts: &str) -> String {
    format!("[[listen]]\naddress = \"127.0.0.1:0\"\n\n{hosts}\n")
}

async fn status(client: &mut Client, target: &str, host: &str) -> u16 {
    client
        .request("GET", target, &[&format!("Host: {host}")])
        .await;
    client.answer().await.status()
}

/// The certificate that the server showed, as its position among these.
fn shown(client: &Client, pairs: &[&Pair]) -> usize {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let certificate = &client.session().peer_certificates().expect("a certificate")[0];
    let is = |pair: &&Pair| {
        *certificate == CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM")
    };
    pairs.iter().position(is).expect("one of them")
}

#[tokio::test]
async fn old_and_new_clients_are_served_each_as_well_as_it_can() {
    let authority = Authority::new("ca");
    let site = authority.sign(Leaf::server(&["a.test"]));
    let weir = with_pair(weir(), "site", &site)
        .start(&(listener(&host("site", "")) + &open_route()))
        .await;
    let address = weir.listeners()[1];
    assert!(
        weir.stdout()
            .contains(&format!("listening on https://{address}"))
    );
    let tls = Tls::to("a.test", &authority);

    let mut new = Client::secured(address, &tls).await.unwrap();
    assert_eq!(
        new.session().protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
    assert_eq!(
        new.session()
            .negotiated_key_exchange_group()
            .unwrap()
            .name(),
        NamedGroup::X25519MLKEM768,
        "what is recorded today stays closed to a quantum computer"
    );
    assert_eq!(new.session().alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(status(&mut new, "/open", "a.test").await, 200);

    let mut old = Client::secured(address, &tls.clone().old()).await.unwrap();
    assert_eq!(
        old.session().protocol_version(),
        Some(ProtocolVersion::TLSv1_2)
    );
    assert_eq!(status(&mut old, "/open", "a.test").await, 200);

    let both = tls.clone().offering(&["h2", "http/1.1"]);
    let newest = Client::secured(address, &both).await.unwrap();
    assert_eq!(newest.session().alpn_protocol(), Some(&b"h2"[..]));

    let mut plain = Client::secured(address, &tls.clone().offering(&[]))
        .await
        .unwrap();
    assert_eq!(plain.session().alpn_protocol(), None);
    assert_eq!(status(&mut plain, "/open", "a.test").await, 200);

    Client::secured(address, &tls.offering(&["imap"]))
        .await
        .expect_err("a protocol that nobody here speaks");
    weir.wait_metric(
        "weir_connection_errors_total",
        &[("reason", "tls_handshake")],
        1.0,
    )
    .await;
}

#[tokio::test]
async fn a_name_gets_its_certificate_and_any_other_the_first() {
    let authority = Authority::new("ca");
    let default = authority.sign(Leaf::server(&["a.test"]));
    let named = authority.sign(Leaf::server(&["b.test", "*.c.test"]));
    let ecdsa = authority.sign(Leaf::server(&["d.test"]));
    let rsa = authority.sign(Leaf::server(&["d.test"]).rsa());
    let pairs = [&default, &named, &ecdsa, &rsa];
    let mut run = weir();
    for (name, pair) in ["default", "named", "ecdsa", "rsa"].iter().zip(pairs) {
        run = with_pair(run, name, pair);
    }
    let hosts = host("default", "")
        + &host("named", "")
        + "[[listen.tls]]\nhost = [\"d.test\", \"exact.c.test\"]\n\
           certificate = [\"ecdsa.crt\", \"rsa.crt\"]\nkey = [\"ecdsa.key\", \"rsa.key\"]\n";
    let weir = run.start(&(listener(&hosts) + &open_route())).await;
    let address = weir.listeners()[1];
    for (name, expected) in [
        ("a.test", 0),
        ("b.test", 1),
        ("www.c.test", 1),
        ("d.test", 2),
    ] {
        let tls = Tls::to(name, &authority);
        let client = Client::secured(address, &tls).await.unwrap();
        assert_eq!(shown(&client, &pairs), expected, "{name}");
    }
    let classic = Tls::to("d.test", &authority).only_rsa();
    let client = Client::secured(address, &classic).await.unwrap();
    assert_eq!(shown(&client, &pairs), 3, "for a client without ECDSA");

    for (name, why) in [
        ("unknown.test", "another name"),
        ("exact.c.test", "the host key counts"),
        ("127.0.0.1", "no name at all"),
    ] {
        Client::secured(address, &Tls::to(name, &authority))
            .await
            .expect_err(why);
    }
    let mut client = Client::secured(address, &Tls::to("a.test", &authority))
        .await
        .unwrap();
    assert_eq!(
        status(&mut client, "/open", "b.test").await,
        200,
        "hosts that ask nothing of clients share connections"
    );
}

/// `a.test` asks nothing, `m.test` wants a certificate, `o.test` takes one.
async fn demanding(authority: &Authority, clients: &Authority, upstream_at: &Upstream) -> Weir {
    let site = authority.sign(Leaf::server(&["a.test"]));
    let must = authority.sign(Leaf::server(&["m.test"]));
    let may = authority.sign(Leaf::server(&["o.test"]));
    let run = with_pair(weir(), "site", &site).file("clients.crt", clients.pem());
    let run = with_pair(with_pair(run, "must", &must), "may", &may);
    let hosts = host("site", "")
        + &host("must", "client_certificate = { ca = \"clients.crt\" }")
        + &host(
            "may",
            "client_certificate = { ca = \"clients.crt\", required = false }",
        );
    let config = listener(&hosts)
        + "[auth.machine]\ntype = \"client-certificate\"\ntenant = \"organization\"\n\n"
        + &open_route()
        + &upstream("up", upstream_at.address(), "")
        + &route("known", "/known", "to = \"up\"\nauth = \"machine\"");
    run.start(&config).await
}

#[tokio::test]
async fn a_clients_certificate_is_asked_for_and_names_the_caller() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let mut upstream = Upstream::start().await;
    let weir = demanding(&authority, &clients, &upstream).await;
    let address = weir.listeners()[1];
    let agent = clients.sign(Leaf::client("agent-7").of("Example"));

    let must = Tls::to("m.test", &authority);
    for tls in [
        must.clone(),
        must.clone()
            .showing(&Authority::new("clients").sign(Leaf::client("agent-7"))),
        must.clone()
            .showing(&clients.sign(Leaf::client("agent-7").days(0))),
        must.clone()
            .showing(&clients.sign(Leaf::server(&["agent-7"]))),
    ] {
        // TLS 1.2 says no within the handshake, 1.3 after it.
        Client::secured(address, &tls.clone().old())
            .await
            .expect_err("no good certificate");
        if let Ok(mut client) = Client::secured(address, &tls).await {
            assert_ne!(client.closed().await, End::Clean);
        }
    }
    weir.wait_metric(
        "weir_connection_errors_total",
        &[("reason", "client_certificate")],
        8.0,
    )
    .await;

    for name in ["m.test", "o.test"] {
        let tls = Tls::to(name, &authority).showing(&agent);
        let mut client = Client::secured(address, &tls).await.unwrap();
        let named = format!("Host: {name}");
        client
            .request("GET", "/known", &[&named, "X-Weir-User: somebody"])
            .await;
        let exchange = upstream.exchange().await;
        assert_eq!(exchange.header("x-weir-user"), Some("agent-7"));
        assert_eq!(exchange.header("x-weir-tenant"), Some("Example"));
        assert_eq!(exchange.header("x-forwarded-proto"), Some("https"));
        exchange.answer("200 OK", &[], "ok").await;
        assert_eq!(client.answer().await.status(), 200);
    }
    let anonymous = Tls::to("o.test", &authority);
    let mut client = Client::secured(address, &anonymous).await.unwrap();
    assert_eq!(status(&mut client, "/open", "o.test").await, 200);
    assert_eq!(status(&mut client, "/known", "o.test").await, 401);
    let mut clear = Client::connect(weir.address()).await;
    assert_eq!(status(&mut clear, "/known", "m.test").await, 401);
}

#[tokio::test]
async fn what_one_host_asked_counts_at_no_other() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let upstream = Upstream::start().await;
    let weir = demanding(&authority, &clients, &upstream).await;
    let address = weir.listeners()[1];
    let agent = clients.sign(Leaf::client("agent-7"));

    let mut bare = Client::secured(address, &Tls::to("a.test", &authority))
        .await
        .unwrap();
    assert_eq!(status(&mut bare, "/open", "m.test").await, 421);
    assert_eq!(status(&mut bare, "/open", "O.test.").await, 421);
    assert_eq!(status(&mut bare, "/open", "unknown.test").await, 200);
    assert_eq!(status(&mut bare, "/open", "a.test").await, 200);
    let shown = Tls::to("m.test", &authority).showing(&agent);
    let mut shown = Client::secured(address, &shown).await.unwrap();
    assert_eq!(status(&mut shown, "/open", "a.test").await, 421);
    assert_eq!(status(&mut shown, "/open", "o.test").await, 421);
    assert_eq!(status(&mut shown, "/open", "m.test").await, 200);
    let refused = [("route", "open"), ("reason", "misdirected")];
    weir.wait_metric("weir_refusals_total", &refused, 4.0).await;
}

#[tokio::test]
async fn a_host_that_no_route_names_came_to_the_wrong_server() {
    let authority = Authority::new("ca");
    let site = authority.sign(Leaf::server(&["a.test", "*.b.test"]));
    let named = "serve = \"health\"\nhost = [\"a.test\", \"x.b.test\"]";
    let weir = with_pair(weir(), "site", &site)
        .start(&(listener(&host("site", "")) + &route("named", "/open", named)))
        .await;
    let tls = Tls::to("a.test", &authority);
    let mut clear = Client::connect(weir.address()).await;
    let mut secure = Client::secured(weir.listeners()[1], &tls).await.unwrap();
    for client in [&mut clear, &mut secure] {
        for (host, target, expected) in [
            ("evil.test", "/open", 421),
            ("evil.test", "/", 421),
            ("b.test", "/open", 421),
            // Its certificate is shown, and nothing is served by that name.
            ("y.b.test", "/open", 421),
            ("127.0.0.1", "/open", 421),
            ("x.b.test", "/other", 404),
            ("x.b.test", "/open", 200),
            ("A.test.", "/open", 200),
        ] {
            assert_eq!(
                status(client, target, host).await,
                expected,
                "{host}{target}"
            );
        }
    }
    let mut both = H2::secured(weir.listeners()[1], &tls).await;
    for (stream, authority, expected) in [(1, "evil.test", 421), (3, "a.test", 200)] {
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", authority),
            (":path", "/open"),
        ];
        let block: Vec<u8> = fields
            .iter()
            .flat_map(|(name, value)| field(name, value))
            .collect();
        both.frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block)
            .await;
        assert_eq!(both.status(stream).await, expected, "{authority}");
    }
    let refused = [("route", "-"), ("reason", "host_unknown")];
    weir.wait_metric("weir_refusals_total", &refused, 11.0)
        .await;
}

#[tokio::test]
async fn tickets_are_good_at_every_worker_and_at_one_host_only() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let upstream = Upstream::start().await;
    let weir = demanding(&authority, &clients, &upstream).await;
    let address = weir.listeners()[1];
    for tls in [
        Tls::to("a.test", &authority).remembering(),
        Tls::to("a.test", &authority).old().remembering(),
    ] {
        let mut kinds = Vec::new();
        // The kernel deals connections out over two workers; sixteen reach both but for one time in thirty thousand.
        for _ in 0..17 {
            let mut client = Client::secured(address, &tls).await.unwrap();
            assert_eq!(status(&mut client, "/open", "a.test").await, 200);
            kinds.push(client.session().handshake_kind().unwrap());
        }
        assert_eq!(kinds[0], HandshakeKind::Full);
        assert!(
            kinds[1..]
                .iter()
                .all(|kind| *kind == HandshakeKind::Resumed)
        );
    }
    let agent = clients.sign(Leaf::client("agent-7"));
    let tls = Tls::to("m.test", &authority).showing(&agent).remembering();
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = Client::secured(address, &tls).await.unwrap();
        assert_eq!(status(&mut client, "/open", "m.test").await, 200);
        assert_eq!(client.session().handshake_kind(), Some(expected));
        assert_eq!(status(&mut client, "/open", "a.test").await, 421);
    }
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_is_given_up() {
    let authority = Authority::new("ca");
    let site = authority.sign(Leaf::server(&["a.test"]));
    let weir = with_pair(weir(), "site", &site)
        .start(
            &(listener(&host("site", "")) + "[client]\nhandshake = \"200ms\"\n\n" + &open_route()),
        )
        .await;
    let address = weir.listeners()[1];
    let mut silent = Client::connect(address).await;
    let mut slow = Client::connect(address).await;
    // A record that promises more than ever comes.
    slow.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc").await;
    let mut wrong = Client::connect(address).await;
    wrong
        .send("GET /open HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    silent.closed().await;
    slow.closed().await;
    wrong.closed().await;
    let reason = |reason| [("reason", reason)];
    weir.wait_metric(
        "weir_connection_errors_total",
        &reason("handshake_timeout"),
        2.0,
    )
    .await;
    weir.wait_metric(
        "weir_connection_errors_total",
        &reason("tls_handshake"),
        1.0,
    )
    .await;
    weir.wait_metric("weir_connections_open", &[], 0.0).await;
    let mut good = Client::secured(address, &Tls::to("a.test", &authority))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        status(&mut good, "/open", "a.test").await,
        200,
        "its clock ends with the handshake"
    );
}

#[tokio::test]
async fn check_opens_the_certificates_and_run_does_not_start_without() {
    let authority = Authority::new("ca");
    let site = authority.sign(Leaf::server(&["a.test"]));
    let other = authority.sign(Leaf::server(&["a.test"]));
    let run = with_pair(weir(), "site", &site).file("other.key", &other.key);
    let config = |key: &str| {
        format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"site.crt\", key = \"{key}\" }}\n{}",
            open_route()
        )
    };
    let run = run
        .file("good.toml", config("site.key"))
        .file("bad.toml", config("other.key"))
        .file("gone.toml", config("gone.key"));
    assert!(run.command(&["check", "good.toml"]).status.success());
    for (file, why) in [
        ("bad.toml", "does not belong to the key"),
        ("gone.toml", "gone.key: No such file"),
    ] {
        for args in [&["check", file][..], &["run", "--config", file]] {
            let output = run.command(args);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && said.contains(why), "{said}");
        }
    }
}

#[tokio::test]
async fn a_certificate_for_trying_out_is_made_by_a_command() {
    let run = weir();
    let output = run.command(&["cert", "dev", "--folder", "made", "own.test"]);
    assert!(output.status.success());
    let read = |name: &str| std::fs::read_to_string(run.folder().join("made").join(name)).unwrap();
    let authority = read("dev-ca.crt");
    assert!(read("dev.key").contains("PRIVATE KEY"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = std::fs::metadata(run.folder().join("made/dev.key")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
    let weir = run
        .start(
            &(listener("tls = { certificate = \"made/dev.crt\", key = \"made/dev.key\" }")
                + &open_route()),
        )
        .await;
    for name in ["localhost", "127.0.0.1", "own.test"] {
        let mut client = Client::secured(weir.listeners()[1], &Tls::trusting(name, &authority))
            .await
            .unwrap();
        assert_eq!(status(&mut client, "/open", "localhost").await, 200);
    }
    eventually("a certificate that is well", async || {
        let metrics = weir.metrics().await;
        (metrics.value("weir_certificate_ok", &[]) == 1.0).then_some(())
    })
    .await;
}
