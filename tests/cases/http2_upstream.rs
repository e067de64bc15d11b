//! HTTP/2 to upstreams: streams share connections and not each other's fate, and what a server refuses unseen is asked again.

use std::{
    collections::HashMap,
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::Reason;
use http::Response;
use weir_testkit::{Client, End, Upstream, client};

use crate::{
    http2_server::{Server, event_stream, say},
    stage::{CONTENT, RUN_STARTED, route, upstream, weir},
};

#[tokio::test]
async fn a_request_arrives_whole_and_so_does_its_answer() {
    let mut server = Server::start().await;
    let weir = weir().start(&server.config()).await;
    let mut client = Client::connect(weir.address()).await;
    client.post("/p?q=1", &["x-a: 1"], b"hello").await;
    let (request, mut answer) = server.next().await;
    let (head, mut body) = request.into_parts();
    assert_eq!(head.method, "POST");
    assert_eq!(head.uri, "http://a.test/p?q=1");
    assert_eq!(head.headers["x-a"], "1");
    assert!(!head.headers.contains_key("host") && !head.headers.contains_key("connection"));
    assert_eq!(body.data().await.expect("a body").expect("whole"), "hello");
    let mut stream = event_stream(&mut answer);
    assert_eq!(client.head().await.status(), 200);
    for _ in 0..20 {
        say(&mut stream, CONTENT);
        assert_eq!(client.event().await, CONTENT);
    }
    stream.send_data(Bytes::new(), true).expect("a client");
    assert_eq!(client.rest().await, (Vec::new(), End::Clean));
    assert_eq!(weir.logged("/p").await["outcome"], "complete");
}

#[tokio::test]
async fn a_reset_breaks_its_stream_and_a_departure_resets_it() {
    let mut server = Server::start().await;
    let weir = weir().start(&server.config()).await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/dies", &[]).await;
    let (_, mut answer) = server.next().await;
    let mut stream = event_stream(&mut answer);
    client.head().await;
    say(&mut stream, RUN_STARTED);
    assert_eq!(client.event().await, RUN_STARTED);
    stream.send_reset(Reason::INTERNAL_ERROR);
    let (body, end) = client.rest().await;
    assert!(String::from_utf8_lossy(&body).contains("RUN_ERROR"));
    assert_eq!(end, End::Eof);

    let mut best = Duration::MAX;
    for _ in 0..3 {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/left", &[]).await;
        let (_, mut answer) = server.next().await;
        let mut stream = event_stream(&mut answer);
        client.head().await;
        let start = Instant::now();
        client.close();
        std::future::poll_fn(|cx| stream.poll_reset(cx))
            .await
            .expect("a reset");
        best = best.min(start.elapsed());
    }
    assert!(best < Duration::from_millis(100), "{best:?}");
    weir.wait_metric("weir_upstream_in_flight", &[], 0.0).await;
}

/// 100 streams, one of whose clients reads nothing: the others get every event, and nobody calls the other to calm.
#[tokio::test]
async fn a_stalled_stream_hurts_no_neighbour() {
    let mut server = Server::with(|builder| {
        builder.max_concurrent_streams(1000);
    })
    .await;
    let weir = weir().start(&server.config()).await;
    let mut clients = Vec::new();
    let mut streams = HashMap::new();
    for number in 0..100 {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", &format!("/{number}"), &[]).await;
        let (request, mut answer) = server.next().await;
        assert_eq!(request.uri().path(), format!("/{number}"));
        streams.insert(number, event_stream(&mut answer));
        client.head().await;
        clients.push(client);
    }
    assert!(
        server.connections.load(SeqCst) < 10,
        "{:?}",
        server.connections
    );
    // Far more than every buffer on the way, in small frames.
    let mut stalled = streams.remove(&0).expect("the first");
    for _ in 0..400_000 {
        say(&mut stalled, "data: 123456789012345678901234567890\n\n");
    }
    for _ in 0..20 {
        for (number, stream) in &mut streams {
            say(stream, CONTENT);
            assert_eq!(clients[*number].event().await, CONTENT);
        }
    }
    // And the one that stalled gets all of it in the end.
    stalled.send_data(Bytes::new(), true).expect("a client");
    let (body, end) = clients[0].rest().await;
    assert_eq!((body.len(), end), (400_000 * 38, End::Clean));
}

/// More streams than the server allows on one connection do not wait for each other.
#[tokio::test]
async fn as_many_connections_as_streams_need() {
    let mut server = Server::with(|builder| {
        builder.max_concurrent_streams(2);
    })
    .await;
    let weir = weir().top("workers = 1\n").start(&server.config()).await;
    let mut clients = Vec::new();
    let mut streams = Vec::new();
    for number in 0..7 {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", &format!("/{number}"), &[]).await;
        let (_, mut answer) = server.next().await;
        streams.push(event_stream(&mut answer));
        client.head().await;
        clients.push(client);
    }
    assert_eq!(server.connections.load(SeqCst), 4);
    drop((clients, streams));
    weir.wait_metric("weir_upstream_in_flight", &[], 0.0).await;
}

#[tokio::test]
async fn what_is_refused_unseen_is_asked_again() {
    let mut server = Server::start().await;
    let weir = weir().start(&server.config()).await;
    for method in ["GET", "POST"] {
        let address = weir.address();
        let asking = tokio::spawn(async move { client::ask(address, method, "/r", &[]).await });
        let (_, mut answer) = server.next().await;
        answer.send_reset(Reason::REFUSED_STREAM);
        let (_, mut answer) = server.next().await;
        let head = Response::builder().status(204).body(()).expect("a head");
        answer.send_response(head, true).expect("a client");
        assert_eq!(asking.await.expect("an answer").status(), 204, "{method}");
    }
    // And another reset is a failure that nobody may repeat.
    let address = weir.address();
    let asking = tokio::spawn(async move { client::ask(address, "GET", "/r", &[]).await });
    let (_, mut answer) = server.next().await;
    answer.send_reset(Reason::INTERNAL_ERROR);
    assert_eq!(asking.await.expect("an answer").status(), 502);
}

/// Many at once on a connection whose settings nobody knew yet: none is sent more than the server takes, so none is refused.
#[tokio::test]
async fn a_burst_waits_for_the_servers_settings() {
    let mut server = Server::with(|builder| {
        builder.max_concurrent_streams(1);
    })
    .await;
    let weir = weir().top("workers = 1\n").start(&server.config()).await;
    let address = weir.address();
    let asking: Vec<_> = (0..20)
        .map(|_| tokio::spawn(async move { client::ask(address, "POST", "/r", &[]).await }))
        .collect();
    for _ in 0..20 {
        let (_, mut answer) = server.next().await;
        let head = Response::builder().status(204).body(()).expect("a head");
        answer.send_response(head, true).expect("a client");
    }
    for asked in asking {
        assert_eq!(asked.await.expect("an answer").status(), 204);
    }
}

#[tokio::test]
async fn a_server_of_http_1_1_is_told_apart() {
    let server = Upstream::scripted(|exchange| async move {
        exchange.answer("400 Bad Request", &[], "what?").await;
    })
    .await;
    let config =
        upstream("up", server.address(), "protocol = \"h2c\"") + &route("all", "/*", "to = \"up\"");
    let weir = weir().start(&config).await;
    let answer = client::get(weir.address(), "/p", &[]).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(weir.logged("/p").await["reason"], "upstream_not_http2");
}
