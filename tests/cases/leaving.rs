//! A client that leaves ends its exchange, and the upstream sees its connection close within 100 ms: whatever the client had sent
//! before, whether it leaves politely or not. And what a route may ask for instead.

use std::time::{Duration, Instant};

use weir_testkit::{Client, End, Exchange, Upstream, Weir, client, eventually, upstream::chunk};

use crate::stage::{RUN_STARTED, asked, everything, pass, route, stage, streaming, weir};

const BOUND: Duration = Duration::from_millis(100);
/// Fits into weir's socket without anybody reading it there.
const PIECE: &[u8] = &[b'x'; 32 * 1024];

#[derive(Clone, Copy, Debug)]
enum Leave {
    Fin,
    Rst,
}

/// Plays `scene` and lets its client leave, by FIN and by RST; the upstream must see its connection close in time.
///
/// A busy machine can be late where weir is not, so one of three goes must keep the bound; a weir that does not notice keeps it never.
async fn cancels(scene: impl AsyncFn(&Weir, &mut Upstream) -> (Client, Exchange)) {
    let (weir, mut upstream) = stage("").await;
    let mut gone = 0;
    for leave in [Leave::Fin, Leave::Rst] {
        let mut times = Vec::new();
        while times.len() < 3 && !times.iter().any(|time| *time < BOUND) {
            let (client, exchange) = scene(&weir, &mut upstream).await;
            let start = Instant::now();
            match leave {
                Leave::Fin => client.close(),
                Leave::Rst => client.reset(),
            }
            times.push(exchange.gone().await.at - start);
            gone += 1;
        }
        assert!(
            times.iter().any(|time| *time < BOUND),
            "by {leave:?} the upstream saw it after {times:?}"
        );
    }
    accounted(&weir, gone).await;
    weir.wait_metric("weir_upstream_in_flight", &[], 0.0).await;
    assert!(
        upstream.pending().is_none(),
        "a departed client's request must not be sent"
    );
}

/// Every one of so many departures is in the series and in the log, by its own name.
async fn accounted(weir: &Weir, gone: usize) {
    let labels = [("route", "all"), ("outcome", "client_gone")];
    weir.wait_metric("weir_exchanges_total", &labels, gone as f64)
        .await;
    weir.wait_metric("weir_streams_open", &[], 0.0).await;
    eventually("the log lines of the departures", async || {
        (weir
            .log()
            .iter()
            .filter(|line| line["outcome"] == "client_gone")
            .count()
            == gone)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn from_a_silent_stream() {
    cancels(async |weir, upstream| {
        let (mut client, exchange) = streaming(weir, upstream, "/s").await;
        pass(&exchange, &mut client, RUN_STARTED).await;
        (client, exchange)
    })
    .await;
}

#[tokio::test]
async fn from_a_stream_that_has_only_its_head() {
    cancels(async |weir, upstream| streaming(weir, upstream, "/s").await).await;
}

#[tokio::test]
async fn before_the_head() {
    cancels(async |weir, upstream| asked(weir, upstream, "/s").await).await;
}

#[tokio::test]
async fn before_the_head_of_an_answer_to_a_post() {
    cancels(async |weir, upstream| {
        let mut client = Client::connect(weir.address()).await;
        client.post("/s", &[], b"{\"messages\":[]}").await;
        let mut exchange = upstream.exchange().await;
        assert_eq!(exchange.body().await, b"{\"messages\":[]}");
        (client, exchange)
    })
    .await;
}

#[tokio::test]
async fn after_a_stray_line_end() {
    cancels(async |weir, upstream| {
        let (mut client, exchange) = streaming(weir, upstream, "/s").await;
        pass(&exchange, &mut client, RUN_STARTED).await;
        send_and_settle(&mut client, b"\r\n").await;
        (client, exchange)
    })
    .await;
}

#[tokio::test]
async fn after_a_stray_line_end_behind_the_request() {
    cancels(async |weir, upstream| {
        let mut client = Client::connect(weir.address()).await;
        // In one segment, as old browsers did behind a body.
        client
            .send("POST /s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n{}\r\n")
            .await;
        let exchange = upstream.exchange().await;
        (client, exchange)
    })
    .await;
}

#[tokio::test]
async fn after_a_pipelined_second_request() {
    cancels(async |weir, upstream| {
        let (mut client, exchange) = streaming(weir, upstream, "/s").await;
        pass(&exchange, &mut client, RUN_STARTED).await;
        send_and_settle(&mut client, b"GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        (client, exchange)
    })
    .await;
}

#[tokio::test]
async fn before_the_head_after_a_pipelined_second_request() {
    cancels(async |weir, upstream| {
        let mut client = Client::connect(weir.address()).await;
        let one = "GET /s HTTP/1.1\r\nHost: a.test\r\n\r\n";
        client.send(one.repeat(2)).await;
        let exchange = upstream.exchange().await;
        (client, exchange)
    })
    .await;
}

#[tokio::test]
async fn after_a_pipelined_request_with_a_long_body() {
    cancels(async |weir, upstream| {
        let (mut client, exchange) = streaming(weir, upstream, "/s").await;
        pass(&exchange, &mut client, RUN_STARTED).await;
        // As much as fits into weir's socket without anybody reading it there: behind more, a FIN could not be seen at all.
        let mut bytes =
            b"POST /second HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1048576\r\n\r\n".to_vec();
        bytes.resize(40 * 1024, b'x');
        send_and_settle(&mut client, &bytes).await;
        (client, exchange)
    })
    .await;
}

#[tokio::test]
async fn in_the_middle_of_a_body() {
    cancels(async |weir, upstream| {
        let mut client = Client::connect(weir.address()).await;
        client
            .send("POST /s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1048576\r\n\r\n")
            .await;
        let mut exchange = upstream.exchange().await;
        send_and_settle(&mut client, &[b'x'; 1000]).await;
        let mut came = 0;
        while came < 1000 {
            came += exchange.piece().await.expect("the first 1000 bytes").len();
        }
        (client, exchange)
    })
    .await;
}

/// Sends, and waits until weir's kernel has all of it.
async fn send_and_settle(client: &mut Client, bytes: &[u8]) {
    client.send(bytes).await;
    settle(client).await;
}

async fn settle(client: &Client) {
    eventually("weir's kernel to take the bytes", async || {
        client.held().filter(|held| held.unsent == 0)
    })
    .await;
}

/// With a body that the upstream does not read, weir's own connection to it is full, and bytes of the client lie unread before weir.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn with_a_body_that_lies_unread() {
    for answered in [false, true] {
        for leave in [Leave::Fin, Leave::Rst] {
            let mut times = Vec::new();
            while times.len() < 3 && !times.iter().any(|time| *time < BOUND) {
                times.push(unread_body(answered, leave).await);
            }
            assert!(
                times.iter().any(|time| *time < BOUND),
                "{leave:?}, answered: {answered}: ended after {times:?}"
            );
        }
    }
}

/// How long after the client's leaving weir had ended the exchange.
#[cfg(target_os = "linux")]
async fn unread_body(answered: bool, leave: Leave) -> Duration {
    let mut upstream = Upstream::start_narrow().await;
    let weir = weir()
        .start(&everything(upstream.address(), "max_body = \"1GB\""))
        .await;
    let mut client = Client::connect(weir.address()).await;
    client
        .send("POST /s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 268435456\r\n\r\n")
        .await;
    let exchange = upstream.exchange().await;
    exchange.read(false);
    if answered {
        exchange.stream().await;
        client.head().await;
    }
    // At least the MiB, and on until a piece stays unread before weir. A piece fits into weir's socket, so the FIN is not held up behind it.
    let mut sent = 0;
    while sent < 1024 * 1024 || !stays_unread(&client).await {
        client.send(PIECE).await;
        sent += PIECE.len();
    }
    settle(&client).await;
    let start = Instant::now();
    match leave {
        Leave::Fin => client.close(),
        Leave::Rst => client.reset(),
    }
    weir.wait_metric(
        "weir_exchanges_total",
        &[("route", "all"), ("outcome", "client_gone")],
        1.0,
    )
    .await;
    let ended = start.elapsed();
    // weir has closed; what lies in the upstream's socket stands before the FIN, so it is read first.
    exchange.read(true);
    exchange.gone().await;
    ended
}

/// Whether weir leaves something unread although it had time to read it.
#[cfg(target_os = "linux")]
pub(super) async fn stays_unread(client: &Client) -> bool {
    let (mut last, mut still) = (u64::MAX, 0);
    while still < 10 {
        let Some(held) = client.held().filter(|held| held.unread > 0) else {
            return false;
        };
        still = if held.unread < last { 0 } else { still + 1 };
        last = held.unread;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

#[tokio::test]
async fn by_closing_half_while_an_upstream_works() {
    let (weir, mut upstream) = stage("").await;
    let (mut client, exchange) = asked(&weir, &mut upstream, "/s").await;
    client.half_close().await;
    exchange.gone().await;
    accounted(&weir, 1).await;
}

#[tokio::test]
async fn half_a_close_still_gets_what_weir_answers_itself() {
    let upstream = Upstream::saying("ok").await;
    let config = [
        crate::stage::upstream("up", upstream.address(), ""),
        route("health", "/health", "serve = \"health\""),
        route("site", "/site/*", "files = { root = \"FOLDER/site\" }"),
    ];
    let page = "x".repeat(300_000);
    let weir = weir()
        .file("site/page.html", &page)
        .start(&config.concat())
        .await;
    for (target, status) in [
        ("/health", 200),
        ("/nowhere", 404),
        ("/site/page.html", 200),
    ] {
        let mut client = Client::connect(weir.address()).await;
        // As `printf … | nc -N` does.
        client.request("GET", target, &[]).await;
        client.half_close().await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status(), answer.end),
            (status, End::Clean),
            "{target}"
        );
    }
    // And the refusal of a request that cannot be read at all.
    let mut client = Client::connect(weir.address()).await;
    client.send("GET /no-host HTTP/1.1\r\n\r\n").await;
    client.half_close().await;
    assert_eq!(client.answer().await.status(), 400);
}

#[tokio::test]
async fn a_route_can_read_its_upstream_to_the_end_instead() {
    let mut upstream = Upstream::start().await;
    let config = everything(
        upstream.address(),
        "stream = { on_disconnect = \"drain\", drain_time = \"10s\" }",
    );
    // Each worker keeps its own connections; with one, it is known which comes next.
    let weir = weir().top("workers = 1").start(&config).await;
    let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    client.close();
    accounted(&weir, 1).await;
    for _ in 0..100 {
        exchange.chunk("data: more\n\n").await;
    }
    assert_eq!(exchange.left(), None);
    exchange.end().await;
    weir.wait_metric("weir_upstream_in_flight", &[], 0.0).await;
    // It was read to its end, so its connection serves again.
    let (_client, exchange) = asked(&weir, &mut upstream, "/t").await;
    assert_eq!(exchange.connection(), 0);
}

#[tokio::test]
async fn reading_on_for_a_client_that_left_is_bounded() {
    for bound in [
        "drain_time = \"200ms\"",
        "drain_time = \"60s\", drain_bytes = \"64KB\"",
    ] {
        let (weir, mut upstream) = stage(&format!(
            "stream = {{ on_disconnect = \"drain\", {bound} }}"
        ))
        .await;
        let (mut client, exchange) = streaming(&weir, &mut upstream, "/s").await;
        pass(&exchange, &mut client, RUN_STARTED).await;
        client.close();
        accounted(&weir, 1).await;
        let event = chunk(format!("data: {}\n\n", "x".repeat(1000)));
        let feeding = async {
            while exchange.left().is_none() {
                exchange.send(&event).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        weir_testkit::within(bound, feeding).await;
    }
}

#[tokio::test]
async fn others_do_not_notice() {
    let (weir, mut upstream) = stage("").await;
    let (mut staying, kept) = streaming(&weir, &mut upstream, "/stays").await;
    for _ in 0..10 {
        let (mut client, exchange) = streaming(&weir, &mut upstream, "/leaves").await;
        pass(&exchange, &mut client, RUN_STARTED).await;
        client.reset();
        exchange.gone().await;
        pass(&kept, &mut staying, RUN_STARTED).await;
    }
    let answer = client::get(weir.admin(), "/livez", &[]).await;
    assert_eq!(answer.status(), 200);
}
