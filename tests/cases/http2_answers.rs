//! Answers of HTTP/2 upstreams that end in uncommon ways: with trailers, at another length than declared, before the request was sent, on a
//! connection that is being given up. The client learns how it truly was.

use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use h2::{SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Response};
use weir_testkit::{
    Client, End, H2,
    h2::{END_HEADERS, END_STREAM, Ended, kind},
};

use crate::{
    http2_server::{GOAWAY, Server, event_stream, say},
    stage::{CONTENT, weir},
};

/// The head of an answer that declares so many bytes.
fn declare(answer: &mut SendResponse<Bytes>, length: &str) -> SendStream<Bytes> {
    let head = Response::builder().header("content-length", length);
    answer
        .send_response(head.body(()).expect("a head"), false)
        .expect("a client")
}

/// gRPC tells in trailers how it went.
#[tokio::test]
async fn trailers_reach_the_client() {
    let mut server = Server::start().await;
    let weir = weir().start(&server.config()).await;
    let mut client = H2::connect(weir.address()).await;
    client
        .ask(1, "POST", "/g", &[("te", "trailers")], true)
        .await;
    let (_, mut answer) = server.next().await;
    let head = Response::builder().header("content-type", "application/grpc");
    let head = head.body(()).expect("a head");
    let mut stream = answer.send_response(head, false).expect("a client");
    assert_eq!(client.status(1).await, 200);
    say(&mut stream, "a message");
    assert_eq!(client.until(1, "message").await, "a message");
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers).expect("a client");
    let last = client.of(1).await.expect("trailers");
    let whole = END_HEADERS | END_STREAM;
    assert_eq!((last.kind, last.flags), (kind::HEADERS, whole), "{last:?}");
    assert_eq!(weir.logged("/g").await["outcome"], "complete");
}

/// As by HTTP/1.1: a status of no class cannot be passed on to a client that has to know what it is of.
#[tokio::test]
async fn a_status_above_599_is_a_502() {
    let mut server = Server::start().await;
    let weir = weir().start(&server.config()).await;
    let mut client = Client::connect(weir.address()).await;
    for (status, expected) in [(600, 502), (999, 502), (599, 599)] {
        client.request("GET", "/p", &[]).await;
        let (_, mut answer) = server.next().await;
        let head = Response::builder().status(status);
        answer
            .send_response(head.body(()).expect("a head"), true)
            .expect("a client");
        assert_eq!(client.answer().await.status(), expected, "{status}");
    }
    let refused = [("reason", "upstream_status")];
    weir.wait_metric("weir_refusals_total", &refused, 2.0).await;
}

/// Case 76 from the other side.
#[tokio::test]
async fn an_answer_unlike_its_declared_length_is_broken() {
    let mut server = Server::start().await;
    let weir = weir().start(&server.config()).await;
    for (length, body) in [("10", "short"), ("3", "too long")] {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/p", &[]).await;
        let (_, mut answer) = server.next().await;
        let mut stream = declare(&mut answer, length);
        let _ = stream.send_data(Bytes::from_static(body.as_bytes()), true);
        match client.try_head().await {
            Ok(head) if head.status() == 502 => {}
            Ok(_) => assert_ne!(client.rest().await.1, End::Clean, "{body:?}"),
            Err(end) => panic!("no answer at all, {end:?}"),
        }

        let mut client = H2::connect(weir.address()).await;
        client.get(1, "/p").await;
        let (_, mut answer) = server.next().await;
        let mut stream = declare(&mut answer, length);
        let _ = stream.send_data(Bytes::from_static(body.as_bytes()), true);
        if client.status(1).await != 502 {
            assert_ne!(client.rest(1).await.1, Ended::Clean, "{body:?}");
        }
    }
}

/// RFC 9113 section 8.1: NO_ERROR behind a whole answer asks the client to stop sending, and takes nothing of the answer back.
#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_whole() {
    let mut server = Server::start().await;
    let weir = weir().start(&server.config()).await;
    let mut client = Client::connect(weir.address()).await;
    client
        .send("POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\nbegun")
        .await;
    let (request, mut answer) = server.next().await;
    let mut body = request.into_body();
    assert_eq!(body.data().await.expect("a piece").expect("whole"), "begun");
    let head = Response::builder().status(413).body(()).expect("a head");
    let mut stream = answer.send_response(head, false).expect("a client");
    stream
        .send_data(Bytes::from_static(b"too much"), true)
        .expect("a client");
    // Nobody wants the rest: the library says so behind the answer, where `send_reset` would overtake it.
    drop(body);
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text().as_str()), (413, "too much"));
}

#[tokio::test]
async fn a_server_that_says_goaway_keeps_its_streams_and_gets_no_new_ones() {
    let mut server = Server::start().await;
    let weir = weir().top("workers = 1\n").start(&server.config()).await;
    let mut streaming = Vec::new();
    for path in ["/s", GOAWAY] {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", path, &[]).await;
        let (_, mut answer) = server.next().await;
        let stream = event_stream(&mut answer);
        assert_eq!(client.head().await.status(), 200);
        streaming.push((client, stream));
    }
    // The goodbye came before these, on the same connection.
    for (client, stream) in &mut streaming {
        say(stream, CONTENT);
        assert_eq!(client.event().await, CONTENT);
    }
    assert_eq!(server.connections.load(SeqCst), 1);
    for _ in 0..3 {
        let mut client = Client::connect(weir.address()).await;
        client.post("/p", &[], b"x").await;
        let (_, mut answer) = server.next().await;
        let head = Response::builder().status(204).body(()).expect("a head");
        answer.send_response(head, true).expect("a client");
        assert_eq!(client.answer().await.status(), 204);
    }
    assert_eq!(server.connections.load(SeqCst), 2);
    for (mut client, mut stream) in streaming {
        say(&mut stream, CONTENT);
        assert_eq!(client.event().await, CONTENT);
        stream.send_data(Bytes::new(), true).expect("a client");
        assert_eq!(client.rest().await, (Vec::new(), End::Clean));
    }
}
