//! Certificate files that change while weir runs: good ones are served without a reload and without losing a connection, bad ones change
//! nothing but a gauge and the log.

use std::{fs, path::Path, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use weir_testkit::{
    Client, Weir, eventually,
    tls::{Authority, Leaf, Pair, Tls},
};

use crate::stage::{route, weir};

const ROUTE: &str = "tls = { certificate = \"a.crt\", key = \"a.key\" }\n\n";

/// weir with `a.crt` and `a.key`, and the authority behind them.
async fn serving(pair: &Pair, tls: &str) -> Weir {
    let config = format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{tls}")
        + &route("open", "/open", "serve = \"health\"");
    weir()
        .file("a.crt", &pair.certificate)
        .file("a.key", &pair.key)
        .start(&config)
        .await
}

/// Asks once on a new connection and says which certificate was shown.
async fn shown(weir: &Weir, tls: &Tls) -> CertificateDer<'static> {
    let mut client = Client::secured(weir.listeners()[1], tls).await.unwrap();
    client.request("GET", "/open", &[]).await;
    assert_eq!(client.answer().await.status(), 200);
    client.session().peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

fn der(pair: &Pair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()
}

fn write(weir: &Weir, name: &str, text: &str) {
    fs::write(weir.folder().join(name), text).unwrap();
}

async fn becomes(weir: &Weir, tls: &Tls, pair: &Pair) {
    let wanted = der(pair);
    eventually("the new certificate", async || {
        (shown(weir, tls).await == wanted).then_some(())
    })
    .await;
    weir.wait_metric("weir_certificate_ok", &[], 1.0).await;
}

async fn is_refused(weir: &Weir, why: &str) {
    weir.wait_metric("weir_certificate_ok", &[], 0.0).await;
    eventually(why, async || weir.stderr().contains(why).then_some(())).await;
}

#[tokio::test]
async fn new_files_are_served_under_traffic_and_bad_ones_never() {
    let authority = Authority::new("ca");
    let sign = || authority.sign(Leaf::server(&["a.test"]));
    let (first, second, third) = (sign(), sign(), sign());
    let tls = Tls::to("a.test", &authority);
    let weir = serving(&first, ROUTE).await;
    let address = weir.listeners()[1];
    let mut kept = Client::secured(address, &tls).await.unwrap();
    kept.request("GET", "/open", &[]).await;
    assert_eq!(kept.answer().await.status(), 200);

    let traffic = tokio::spawn({
        let tls = tls.clone();
        async move {
            loop {
                let mut client = Client::secured(address, &tls).await.expect("a handshake");
                client.request("GET", "/open", &[]).await;
                assert_eq!(client.answer().await.status(), 200);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });

    write(&weir, "a.crt", &second.certificate);
    is_refused(&weir, "does not belong to the key").await;
    assert_eq!(shown(&weir, &tls).await, der(&first));
    write(&weir, "a.key", &second.key);
    becomes(&weir, &tls, &second).await;

    write(
        &weir,
        "a.crt",
        &third.certificate[..third.certificate.len() / 2],
    );
    is_refused(&weir, "cut short").await;
    write(&weir, "a.crt", "");
    eventually("a second refusal", async || {
        weir.stderr().contains("no certificate in it").then_some(())
    })
    .await;
    fs::remove_file(weir.folder().join("a.crt")).unwrap();
    eventually("a third refusal", async || {
        weir.stderr().contains("No such file").then_some(())
    })
    .await;
    assert_eq!(shown(&weir, &tls).await, der(&second));
    write(&weir, "a.crt", &third.certificate);
    write(&weir, "a.key", &third.key);
    becomes(&weir, &tls, &third).await;

    let ended = authority.sign(Leaf::server(&["a.test"]).days(0));
    write(&weir, "a.crt", &ended.certificate);
    write(&weir, "a.key", &ended.key);
    is_refused(&weir, "its time is over").await;
    assert_eq!(shown(&weir, &tls).await, der(&third));
    let metrics = weir.metrics().await;
    assert_eq!(metrics.value("weir_certificate_days_left", &[]), 9.0);
    assert!(metrics.value("weir_certificate_expiry_timestamp_seconds", &[]) > 1.7e9);

    kept.request("GET", "/open", &[]).await;
    assert_eq!(
        kept.answer().await.status(),
        200,
        "a connection keeps what it began with"
    );
    assert!(!traffic.is_finished(), "no handshake failed meanwhile");
    // Before the traffic ends: it may end within a handshake, which would be one that failed.
    assert_eq!(
        weir.metrics().await.value(
            "weir_connection_errors_total",
            &[("reason", "tls_handshake")]
        ),
        0.0
    );
    traffic.abort();
}

/// As Kubernetes changes a mounted secret: a link to a folder is exchanged.
#[cfg(unix)]
#[tokio::test]
async fn a_link_that_leads_elsewhere_is_a_new_file() {
    let authority = Authority::new("ca");
    let sign = || authority.sign(Leaf::server(&["a.test"]));
    let (first, second) = (sign(), sign());
    let config = "[[listen]]\naddress = \"127.0.0.1:0\"\n\
                  tls = { certificate = \"live/a.crt\", key = \"live/a.key\" }\n\n"
        .to_owned()
        + &route("open", "/open", "serve = \"health\"");
    let run = weir()
        .file("one/a.crt", &first.certificate)
        .file("one/a.key", &first.key)
        .file("two/a.crt", &second.certificate)
        .file("two/a.key", &second.key);
    let link = |folder: &Path, to: &str| {
        std::os::unix::fs::symlink(to, folder.join("next")).unwrap();
        fs::rename(folder.join("next"), folder.join("live")).unwrap();
    };
    link(run.folder(), "one");
    let weir = run.start(&config).await;
    let tls = Tls::to("a.test", &authority);
    assert_eq!(shown(&weir, &tls).await, der(&first));
    link(weir.folder(), "two");
    becomes(&weir, &tls, &second).await;
}

#[tokio::test]
async fn the_authorities_of_clients_are_watched_too() {
    let (authority, old, new) = (
        Authority::new("ca"),
        Authority::new("old"),
        Authority::new("new"),
    );
    let site = authority.sign(Leaf::server(&["a.test"]));
    let config = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"a.crt\", key = \"a.key\", client_certificate = { ca = \"c.crt\" } }\n\n".to_owned()
        + &route("open", "/open", "serve = \"health\"");
    let weir = weir()
        .file("a.crt", &site.certificate)
        .file("a.key", &site.key)
        .file("c.crt", old.pem())
        .start(&config)
        .await;
    let tls = Tls::to("a.test", &authority);
    let before = tls
        .clone()
        .showing(&old.sign(Leaf::client("x")))
        .remembering();
    let mut kept = Client::secured(weir.listeners()[1], &before).await.unwrap();
    kept.request("GET", "/open", &[]).await;
    assert_eq!(kept.answer().await.status(), 200);

    write(&weir, "c.crt", &new.pem());
    let after = tls.old().showing(&new.sign(Leaf::client("x")));
    eventually("the new authority", async || {
        Client::secured(weir.listeners()[1], &after).await.ok()
    })
    .await;
    kept.request("GET", "/open", &[]).await;
    assert_eq!(
        kept.answer().await.status(),
        421,
        "what was shown before is of no worth now"
    );
    let mut resumed = Client::secured(weir.listeners()[1], &before).await.unwrap();
    assert!(
        resumed
            .try_send("GET /open HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await
            .is_err()
            || resumed.try_head().await.is_err(),
        "nor is its ticket"
    );
}

/// A list that changes is taken over as a certificate is, counts from the next handshake on, resumed ones too, and ends nothing that is open.
#[tokio::test]
async fn revoked_certificates_of_clients_are_refused() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let site = authority.sign(Leaf::server(&["a.test"]));
    let config = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"a.crt\", key = \"a.key\", client_certificate = { ca = \"c.crt\", crl = \"c.crl\" } }\n\n".to_owned()
        + &route("open", "/open", "serve = \"health\"");
    let weir = weir()
        .file("a.crt", &site.certificate)
        .file("a.key", &site.key)
        .file("c.crt", clients.pem())
        .file("c.crl", clients.revokes(&[7], 9))
        .start(&config)
        .await;
    let address = weir.listeners()[1];
    let tls = Tls::to("a.test", &authority);
    let agent = |serial| {
        let pair = clients.sign(Leaf::client("x").serial(serial));
        tls.clone().showing(&pair)
    };
    let (good, bad) = (agent(8).remembering(), agent(7).old());
    Client::secured(address, &bad)
        .await
        .expect_err("it is revoked");
    let mut kept = Client::secured(address, &good).await.unwrap();
    kept.request("GET", "/open", &[]).await;
    assert_eq!(kept.answer().await.status(), 200);

    write(&weir, "c.crl", &clients.revokes(&[7, 8], 9));
    eventually("the new list", async || {
        Client::secured(address, &agent(8).old()).await.err()
    })
    .await;
    let mut resumed = Client::secured(address, &good).await.unwrap();
    assert!(
        resumed
            .try_send("GET /open HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await
            .is_err()
            || resumed.try_head().await.is_err(),
        "its ticket is of before"
    );
    kept.request("GET", "/open", &[]).await;
    assert_eq!(kept.answer().await.status(), 200);
    Client::secured(address, &agent(9).old())
        .await
        .expect("another one's certificate");

    write(&weir, "c.crl", &clients.revokes(&[], 0));
    eventually("a list whose time is over", async || {
        Client::secured(address, &agent(9).old()).await.err()
    })
    .await;
    write(&weir, "c.crl", "nothing");
    is_refused(&weir, "no list of revoked certificates in it").await;
}

/// As a file looks that is being written and has come to the end of its first certificate: it belongs to its key and is in its time.
#[tokio::test]
async fn a_chain_that_lost_its_intermediate_certificate_is_not_served() {
    let authority = Authority::new("ca");
    let between = authority.below("between");
    let sign = || {
        let mut pair = between.sign(Leaf::server(&["a.test"]));
        pair.certificate += &between.pem();
        pair
    };
    let (first, second) = (sign(), sign());
    let weir = serving(&first, ROUTE).await;
    let tls = Tls::to("a.test", &authority);
    assert_eq!(shown(&weir, &tls).await, der(&first));
    let cut = second.certificate.len() - between.pem().len();
    write(&weir, "a.crt", &second.certificate[..cut]);
    write(&weir, "a.key", &second.key);
    is_refused(&weir, "is it whole?").await;
    assert_eq!(shown(&weir, &tls).await, der(&first));
    write(&weir, "a.crt", &second.certificate);
    becomes(&weir, &tls, &second).await;

    // Another authority needs no one between.
    let third = authority.sign(Leaf::server(&["a.test"]));
    write(&weir, "a.crt", &third.certificate);
    write(&weir, "a.key", &third.key);
    becomes(&weir, &tls, &third).await;
}

#[tokio::test]
async fn a_reload_of_the_configuration_looks_at_once_and_keeps_what_is_good() {
    let authority = Authority::new("ca");
    let sign = || authority.sign(Leaf::server(&["a.test"]));
    let (first, second) = (sign(), sign());
    let weir = serving(&first, ROUTE).await;
    let tls = Tls::to("a.test", &authority);
    write(&weir, "a.crt", &second.certificate);
    write(&weir, "a.key", &second.key);
    let admin = weir.admin().to_string();
    assert!(
        weir.command(&["reload", "--admin", &admin])
            .status
            .success()
    );
    assert_eq!(shown(&weir, &tls).await, der(&second));

    let listening = |tls: &str| {
        format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{tls}")
            + &route("open", "/open", "serve = \"health\"")
    };
    weir.rewrite(&listening(
        "tls = { certificate = \"gone.crt\", key = \"a.key\" }\n\n",
    ));
    let output = weir.command(&["reload", "--admin", &admin]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(
        !output.status.success() && said.contains("gone.crt"),
        "{said}"
    );
    assert_eq!(shown(&weir, &tls).await, der(&second));

    // The same sockets, now in clear.
    weir.rewrite(&listening(""));
    assert!(
        weir.command(&["reload", "--admin", &admin])
            .status
            .success()
    );
    let mut clear = Client::connect(weir.listeners()[1]).await;
    clear.request("GET", "/open", &[]).await;
    assert_eq!(clear.answer().await.status(), 200);
    assert!(!weir.metrics().await.has("weir_certificate_ok", &[]));
}
