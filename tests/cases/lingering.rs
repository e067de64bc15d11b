//! An answer that comes before its request is whole must reach a client that goes on sending and reads only afterwards, as most do.
//! RFC 9112 section 9.6: a socket that is closed over unread bytes resets the connection, and takes the answer away.

use std::time::{Duration, Instant};

use weir_testkit::{
    Client, End, Upstream, Weir,
    client::get,
    eventually, mint,
    tls::{Authority, Leaf, Tls},
};

use crate::stage::{route, upstream, weir};

const MORE: usize = 10_000_000;

/// What is sent before the megabytes that nobody wants, and the status it is answered.
const REQUESTS: [(&str, u16); 6] = [
    (
        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10000000\r\n\r\n",
        413,
    ),
    (
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n989680\r\n",
        413,
    ),
    (
        "POST /secret/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10000000\r\n\r\n",
        401,
    ),
    ("POST /x HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n", 400),
    ("GET /x HTTP/1.1\r\nHost: a.test\r\nX: ", 431),
    (
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        400,
    ),
];

async fn stage() -> (Weir, Tls, Upstream) {
    stage_with("").await
}

async fn stage_with(tables: &str) -> (Weir, Tls, Upstream) {
    let authority = Authority::new("ca");
    let site = authority.sign(Leaf::server(&["a.test"]));
    let up = Upstream::start().await;
    let config = [
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"site.crt\", key = \"site.key\" }\n\n"
            .to_owned(),
        "[auth.tokens]\ntype = \"jwt\"\nsecret = \"${env:JWT_SECRET}\"\n\n".to_owned(),
        upstream("up", up.address(), ""),
        route("all", "/*", "to = \"up\"\nmax_body = \"64KB\""),
        route("secret", "/secret/*", "to = \"up\"\nauth = \"tokens\""),
        route("open", "/open/*", "to = \"up\"\nmax_body = \"100MB\""),
        route("health", "/health", "serve = \"health\""),
        tables.to_owned(),
    ];
    let weir = weir()
        .env("JWT_SECRET", mint::SECRET)
        .file("site.crt", &site.certificate)
        .file("site.key", &site.key)
        .start(&config.concat())
        .await;
    (weir, Tls::to("a.test", &authority), up)
}

/// Sends it all, then reads.
async fn is_told(mut client: Client, first: &str, status: u16) {
    client.send(first).await;
    client.send(vec![b'x'; MORE]).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status(), answer.end),
        (status, End::Clean),
        "{first}"
    );
    assert_eq!(client.closed().await, End::Eof, "{first}");
}

#[tokio::test]
async fn a_client_that_goes_on_sending_is_told_why_nobody_listens() {
    let (weir, _, _up) = stage().await;
    for (first, status) in REQUESTS {
        is_told(Client::connect(weir.address()).await, first, status).await;
    }
    assert_eq!(get(weir.address(), "/health", &[]).await.status(), 200);
}

#[tokio::test]
async fn by_tls_too() {
    let (weir, tls, _up) = stage().await;
    for (first, status) in REQUESTS {
        let client = Client::secured(weir.listeners()[1], &tls).await;
        is_told(client.expect("a handshake"), first, status).await;
    }
}

/// The upstream that needs no more of it may have said so itself.
#[tokio::test]
async fn an_upstreams_early_answer_reaches_the_client_too() {
    let (weir, _, mut up) = stage().await;
    let mut client = Client::connect(weir.address()).await;
    client
        .send("POST /open/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10000000\r\n\r\n")
        .await;
    let exchange = up.exchange().await;
    exchange.read(false);
    exchange.answer("403 Forbidden", &[], "no").await;
    client.send(vec![b'x'; MORE]).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text()), (403, "no".to_owned()));
    assert_eq!(client.closed().await, End::Eof);
}

/// Declares a body that never comes, reads the refusal, and stays.
async fn refused(weir: &Weir) -> Client {
    let mut client = Client::connect(weir.address()).await;
    client.send(REQUESTS[0].0).await;
    assert_eq!(client.answer().await.status(), 413);
    client
}

#[tokio::test]
async fn a_stop_does_not_wait_for_it() {
    let (mut weir, _, _up) = stage().await;
    let _silent = refused(&weir).await;
    let mut sending = refused(&weir).await;
    let began = Instant::now();
    weir.signal("TERM");
    // One that has begun to linger when the stop has begun, too.
    let sends = async {
        while sending.try_send([b'x'; 1000]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (ended, ()) = tokio::join!(weir.ended(), sends);
    assert_eq!(ended.code(), Some(0));
    // Silence would have had five seconds, and what is sent thirty.
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn its_place_is_the_next_ones() {
    let (weir, ..) = stage_with("[client]\nmax_connections_per_address = 1\n").await;
    let mut lingers = refused(&weir).await;
    // Who has been answered makes room; the one place there is to linger in is taken.
    for _ in 0..3 {
        let mut next = eventually("the place", async || {
            let mut client = Client::connect(weir.address()).await;
            client.try_send(REQUESTS[0].0).await.ok()?;
            let head = client.try_head().await.ok()?;
            assert_eq!(head.status(), 413);
            Some(client)
        })
        .await;
        next.rest().await;
        next.closed().await;
    }
    // The first is still listened to.
    for _ in 0..3 {
        lingers.send([b'x'; 1000]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
