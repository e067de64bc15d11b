//! Slow and hostile clients: those who take nothing, those who take all connections, those who read so slowly that everything waits.

use std::time::Duration;

use weir_testkit::{Client, End, Upstream, client::get, eventually, skip};

use crate::stage::{everything, stage, weir};

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let up = Upstream::scripted(|exchange| async move {
        exchange
            .head(
                "200 OK",
                &["content-type: text/plain", "content-length: 100000000"],
            )
            .await;
        while exchange.left().is_none() {
            exchange.send(vec![b'x'; 64 * 1024]).await;
        }
    })
    .await;
    let config = everything(up.address(), "") + "[client]\nwrite_stall = \"400ms\"\n";
    let weir = weir().start(&config).await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/x", &[]).await;
    client.head().await;
    weir.wait_metric(
        "weir_connection_errors_total",
        &[("reason", "write_stalled")],
        1.0,
    )
    .await;
    eventually("the upstream to be let go", async || {
        (up.open() == 0).then_some(())
    })
    .await;
    assert_ne!(client.rest().await.1, End::Clean);
}

#[tokio::test]
async fn a_client_that_takes_little_by_little_is_kept() {
    let (weir, mut up) = {
        let up = Upstream::start().await;
        let config = everything(up.address(), "") + "[client]\nwrite_stall = \"1s\"\n";
        (weir().start(&config).await, up)
    };
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/x", &[]).await;
    let exchange = up.exchange().await;
    exchange
        .head(
            "200 OK",
            &["content-type: text/plain", "content-length: 16000000"],
        )
        .await;
    let sending = tokio::spawn(async move {
        for _ in 0..250 {
            exchange.send(vec![b'x'; 64_000]).await;
        }
        exchange.done();
    });
    client.head().await;
    let mut read = 0;
    // Stops several times, for less than the clock allows, and for more in sum.
    for stop in 0..5 {
        while read < (stop + 1) * 2_000_000 {
            read += client.piece().await.expect("more to come").len();
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let (rest, end) = client.rest().await;
    assert_eq!((read + rest.len(), end), (16_000_000, End::Clean));
    sending.await.expect("an upstream that sent all");
}

#[tokio::test]
async fn there_is_room_for_so_many_and_no_more() {
    let up = Upstream::saying("in").await;
    let config = everything(up.address(), "") + "[client]\nmax_connections = 4\n";
    let weir = weir().start(&config).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/x", &[]).await;
        assert_eq!(client.answer().await.status(), 200);
        held.push(client);
    }
    let mut late = Client::connect(weir.address()).await;
    late.closed().await;
    weir.wait_metric(
        "weir_connection_errors_total",
        &[("reason", "too_many_connections")],
        1.0,
    )
    .await;
    // Those who are in are served, and the admin address answers: it was just asked.
    held[0].request("GET", "/x", &[]).await;
    assert_eq!(held[0].answer().await.status(), 200);
    held.pop().expect("four of them").close();
    eventually("a free place", async || {
        let mut client = Client::connect(weir.address()).await;
        let sent = client
            .try_send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        (sent.is_ok() && client.try_head().await.is_ok()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_has_its_own_share() {
    let up = Upstream::saying("in").await;
    let config = "[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\n".to_owned()
        + &everything(up.address(), "")
        + "[client]\nmax_connections_per_address = 2\n";
    let weir = weir()
        .top("trusted_proxies = [\"127.0.0.1\"]")
        .start(&config)
        .await;
    let connect = async |address: &str| {
        let mut client = Client::connect(weir.listeners()[1]).await;
        let said =
            format!("PROXY TCP4 {address} 10.0.0.1 1 2\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let _ = client.try_send(said).await;
        client.try_head().await.ok().map(|_| client)
    };
    let first = connect("203.0.113.1").await.expect("room");
    let _second = connect("203.0.113.1").await.expect("room");
    assert!(connect("203.0.113.1").await.is_none());
    let _other = connect("203.0.113.2").await.expect("another's room");
    weir.wait_metric(
        "weir_connection_errors_total",
        &[("reason", "too_many_connections_of_address")],
        1.0,
    )
    .await;
    first.close();
    eventually("room again", async || connect("203.0.113.1").await).await;
    // Behind a trusted proxy's own address are all its clients.
    let mut proxied = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/x", &[]).await;
        assert_eq!(client.answer().await.status(), 200);
        proxied.push(client);
    }
}

/// Case: many who ask for much and read nothing. weir holds a bounded part for each, and their upstream waits.
#[tokio::test]
async fn slow_readers_hold_little_and_throttle_their_upstream() {
    const MOST: u64 = 512 * 1024;
    let clients: u64 = if skip::full() { 200 } else { 40 };
    let (weir, mut up) = stage("").await;
    assert_eq!(get_one(&weir, &mut up).await, 200);
    let before = weir.resident();
    let mut held = Vec::new();
    for _ in 0..clients {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/big", &[]).await;
        let exchange = up.exchange().await;
        exchange
            .head(
                "200 OK",
                &["content-type: text/plain", "content-length: 100000000"],
            )
            .await;
        let sending = tokio::spawn(async move {
            let mut sent = 0_u64;
            while exchange.left().is_none() {
                let write = exchange.send(vec![b'x'; 64 * 1024]);
                if tokio::time::timeout(Duration::from_secs(2), write)
                    .await
                    .is_err()
                {
                    break;
                }
                sent += 64 * 1024;
            }
            (exchange, sent)
        });
        client.head().await;
        held.push((client, sending));
    }
    let mut ends = Vec::new();
    for (client, sending) in held {
        ends.push((client, sending.await.expect("a throttled upstream")));
    }
    let grown = weir.resident().saturating_sub(before);
    let most_sent = ends.iter().map(|(_, (_, sent))| *sent).max().unwrap_or(0);
    eprintln!(
        "{clients} slow readers: {grown} bytes more, {} each; at most {most_sent} sent",
        grown / clients
    );
    assert!(
        grown < clients * MOST,
        "{grown} bytes for {clients} slow readers"
    );
    assert!(
        most_sent < 100_000_000 / 2,
        "the upstream was not slowed: {most_sent}"
    );
    assert_eq!(get_one(&weir, &mut up).await, 200, "and others are served");
}

async fn get_one(weir: &weir_testkit::Weir, up: &mut Upstream) -> u16 {
    let address = weir.address();
    let asked = tokio::spawn(async move { get(address, "/x", &[]).await.status() });
    let exchange = up.exchange().await;
    exchange.answer("200 OK", &[], "in").await;
    exchange.done();
    asked.await.expect("an answer")
}

/// Case: connections that say nothing, and heads that come byte by byte. Each has its time, together they hold little, and whoever asks
/// properly is served all the while.
#[tokio::test]
async fn idle_and_half_sent_connections_run_out_of_time() {
    let each: usize = if skip::full() { 2000 } else { 200 };
    let up = Upstream::saying("in").await;
    let config = everything(up.address(), "") + "[client]\nhead = \"1500ms\"\n";
    let weir = weir().start(&config).await;
    assert_eq!(get(weir.address(), "/x", &[]).await.status(), 200);
    let before = weir.resident();
    let (mut idle, mut half) = (Vec::new(), Vec::new());
    for _ in 0..each {
        idle.push(Client::connect(weir.address()).await);
        let mut client = Client::connect(weir.address()).await;
        client.send("GET /x HTTP/1.1\r\nHost: a.te").await;
        half.push(client);
    }
    let grown = weir.resident().saturating_sub(before);
    assert!(
        grown < 2 * each as u64 * 128 * 1024,
        "{grown} bytes for {each} of each"
    );
    assert_eq!(
        get(weir.address(), "/x", &[]).await.status(),
        200,
        "others are served"
    );
    for client in &mut half {
        // A byte now and then does not move the deadline.
        let _ = client.try_send("s").await;
    }
    for mut client in half {
        assert_eq!(client.try_head().await.map(|head| head.status()), Ok(408));
        client.closed().await;
    }
    for mut client in idle {
        assert_eq!(client.closed().await, End::Eof, "without a word");
    }
    weir.wait_metric(
        "weir_connection_errors_total",
        &[("reason", "head_timeout")],
        each as f64,
    )
    .await;
}
