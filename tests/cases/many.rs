//! A thousand streams at once, some of whose clients leave: nobody else loses an event, and afterwards nothing is left behind.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use weir_testkit::{Client, End, Exchange, Upstream, eventually, skip, within};

use crate::stage::{RUN_FINISHED, RUN_STARTED, route, upstream, weir};

const STREAMS: usize = 1000;

#[tokio::test]
async fn a_thousand_streams_do_not_disturb_each_other() {
    let time = Duration::from_secs(if skip::full() { 30 } else { 3 });
    let (stop, stopped) = watch::channel(false);
    let up = Upstream::scripted(move |exchange| speak(exchange, stopped.clone())).await;
    let config = upstream("up", up.address(), "keep_alive = { idle = \"300ms\" }")
        + &route("all", "/*", "to = \"up\"");
    let weir = weir().start(&config).await;
    // What is opened once and for good is opened by a first exchange and a first scrape.
    let mut first = Client::connect(weir.address()).await;
    first.request("GET", "/first", &[]).await;
    first.head().await;
    first.event().await;
    first.close();
    eventually("the first stream to go", async || {
        (up.open() == 0).then_some(())
    })
    .await;
    weir.wait_metric("weir_connections_open", &[], 0.0).await;
    let before = weir.descriptors();

    let (opened, mut openings) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for number in 0..STREAMS {
        // One in a hundred leaves, at a moment that only looks random: what fails once must fail again.
        let scattered = u32::try_from(number * 7919 % 1000).expect("below 1000");
        let leaves = (number % 100 == 37).then(|| time * scattered / 1000);
        clients.spawn(listen(weir.address(), number, leaves, opened.clone()));
    }
    for _ in 0..STREAMS {
        within("every stream to open", openings.recv()).await;
    }
    let end = Instant::now() + time;
    assert!(up.open() > STREAMS * 98 / 100);
    tokio::time::sleep_until(end).await;
    stop.send_replace(true);
    let mut left = 0;
    while let Some(ended) = clients.join_next().await {
        left += usize::from(ended.expect("a client that lost nothing"));
    }
    assert_eq!(left, STREAMS / 100);

    eventually("upstream connections to be let go", async || {
        (up.open() == 0).then_some(())
    })
    .await;
    weir.wait_metric(
        "weir_streams_total",
        &[("outcome", "client_gone")],
        (left + 1) as f64,
    )
    .await;
    weir.wait_metric(
        "weir_streams_total",
        &[("outcome", "complete")],
        (STREAMS - left) as f64,
    )
    .await;
    for gauge in [
        "weir_streams_open",
        "active_conversations",
        "weir_upstream_in_flight",
        "weir_log_lines_dropped_total",
    ] {
        weir.wait_metric(gauge, &[], 0.0).await;
    }
    eventually("a line for each", async || {
        (weir.log().len() == STREAMS + 1).then_some(())
    })
    .await;
    eventually("descriptors to be where they were", async || {
        (weir.descriptors() <= before).then_some(())
    })
    .await;
}

fn event(target: &str, number: usize) -> String {
    format!(
        "data: {{\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"{target}\",\"delta\":\"{number}\"}}\n\n"
    )
}

/// The upstream's side: events with their numbers, ten a second, until told to finish.
async fn speak(exchange: Exchange, mut stopped: watch::Receiver<bool>) {
    let target = exchange.head.target().to_owned();
    exchange.stream().await;
    exchange.chunk(RUN_STARTED.replace("t-1", &target)).await;
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        tokio::select! {
            _ = clock.tick() => {}
            _ = stopped.changed() => break,
        }
        if exchange.left().is_some() {
            return;
        }
        exchange.chunk(event(&target, number)).await;
    }
    exchange.chunk(RUN_FINISHED.replace("t-1", &target)).await;
    exchange.end().await;
}

/// A client that misses nothing until it leaves; whether it left.
async fn listen(
    weir: SocketAddr,
    number: usize,
    leaves: Option<Duration>,
    opened: mpsc::UnboundedSender<()>,
) -> bool {
    let target = format!("/{number}");
    let mut client = Client::connect(weir).await;
    client.request("GET", &target, &[]).await;
    assert_eq!(client.head().await.status(), 200);
    assert_eq!(client.event().await, RUN_STARTED.replace("t-1", &target));
    let _ = opened.send(());
    let leaves = leaves.map(|after| Instant::now() + after);
    for next in 0.. {
        let seen = client.event().await;
        if seen == RUN_FINISHED.replace("t-1", &target) {
            break;
        }
        assert_eq!(seen, event(&target, next));
        if leaves.is_some_and(|at| at <= Instant::now()) {
            if number % 200 < 100 {
                client.close()
            } else {
                client.reset()
            }
            return true;
        }
    }
    assert_eq!(client.rest().await, (Vec::new(), End::Clean));
    false
}
