//! WebSockets to upstreams that speak HTTP/2: an extended CONNECT (RFC 8441), where the server has said that it takes one. The client asks by
//! either protocol and sees no difference.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::{RecvStream, SendStream, ext::Protocol};
use http::{Method, Response};
use weir_testkit::{
    Client, H2,
    h2::{Ended, code},
};

use crate::{
    http2_server::{Asked, Server, say},
    stage::weir,
};

const ASK: [&str; 5] = [
    "connection: Upgrade",
    "upgrade: websocket",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version: 13",
    "sec-websocket-protocol: chat",
];

async fn server() -> Server {
    Server::with(|builder| {
        builder.enable_connect_protocol();
    })
    .await
}

/// Grants what was asked for.
fn grant((request, mut answer): Asked) -> (RecvStream, SendStream<Bytes>) {
    assert_eq!(request.method(), Method::CONNECT);
    assert_eq!(
        request.extensions().get(),
        Some(&Protocol::from_static("websocket"))
    );
    assert_eq!(request.uri(), "http://a.test/ws?q");
    let headers = request.headers();
    assert_eq!(headers["sec-websocket-version"], "13");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    for of_http_1_1 in ["connection", "upgrade", "sec-websocket-key", "host"] {
        assert!(!headers.contains_key(of_http_1_1), "{of_http_1_1}");
    }
    let head = Response::builder().header("sec-websocket-protocol", "chat");
    let stream = answer.send_response(head.body(()).expect("a head"), false);
    (request.into_body(), stream.expect("a client"))
}

/// Whether the client says no more; the end may come on an empty piece.
async fn is_over(body: &mut RecvStream) -> bool {
    match body.data().await {
        Some(piece) => piece.expect("a client").is_empty() && body.is_end_stream(),
        None => true,
    }
}

/// What the client says next, up to this many bytes.
async fn hear(body: &mut RecvStream, bytes: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < bytes {
        let piece = body.data().await.expect("more").expect("a client");
        body.flow_control()
            .release_capacity(piece.len())
            .expect("what was taken");
        heard.extend(piece);
    }
    heard
}

async fn tunnel(
    address: std::net::SocketAddr,
    server: &mut Server,
) -> (Client, RecvStream, SendStream<Bytes>) {
    let mut client = Client::connect(address).await;
    client.request("GET", "/ws?q", &ASK).await;
    let (body, stream) = grant(server.next().await);
    let head = client.head().await;
    assert_eq!(head.status(), 101);
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert_eq!(head.header("sec-websocket-protocol"), Some("chat"));
    assert_eq!(
        head.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    (client, body, stream)
}

#[tokio::test]
async fn every_byte_passes_both_ways() {
    let mut server = server().await;
    let weir = weir().start(&server.config()).await;
    let (mut client, mut body, mut stream) = tunnel(weir.address(), &mut server).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for piece in bytes.chunks(30_000) {
        client.send(piece).await;
        assert_eq!(hear(&mut body, piece.len()).await, piece);
        stream
            .send_data(Bytes::copy_from_slice(piece), false)
            .expect("a client");
        let mut seen = Vec::new();
        while seen.len() < piece.len() {
            seen.extend(client.raw().await.expect("the upstream's bytes"));
        }
        assert_eq!(seen, piece);
    }
    // Each side's end passes by itself.
    client.half_close().await;
    assert!(is_over(&mut body).await);
    say(&mut stream, "bye");
    assert_eq!(client.raw().await.as_deref(), Some(&b"bye"[..]));
    stream.send_data(Bytes::new(), true).expect("a client");
    assert_eq!(client.raw().await, None);
    let line = weir.logged("/ws").await;
    assert_eq!(
        (&line["status"], &line["outcome"]),
        (&101.into(), &"complete".into())
    );
    assert_eq!(
        (&line["bytes"], &line["bytes_in"]),
        (&300_003.into(), &300_000.into())
    );
}

#[tokio::test]
async fn from_a_client_of_http_2_too() {
    let mut server = server().await;
    let weir = weir().start(&server.config()).await;
    let mut client = H2::connect(weir.address()).await;
    let asked = [("sec-websocket-version", "13")];
    client
        .connect_protocol(1, "websocket", "/ws?q", &asked)
        .await;
    let (mut body, mut stream) = grant(server.next().await);
    assert_eq!(client.status(1).await, 200);
    say(&mut stream, "down");
    assert_eq!(client.until(1, "down").await, "down");
    client.data(1, b"up", true).await;
    assert_eq!(hear(&mut body, 2).await, b"up");
    assert!(is_over(&mut body).await);
    stream.send_data(Bytes::new(), true).expect("a client");
    assert_eq!(client.rest(1).await, (Vec::new(), Ended::Clean));

    client
        .connect_protocol(3, "websocket", "/ws?q", &asked)
        .await;
    let (_body, mut stream) = grant(server.next().await);
    client.reset(3, code::CANCEL).await;
    std::future::poll_fn(|cx| stream.poll_reset(cx))
        .await
        .expect("a reset");
}

#[tokio::test]
async fn whoever_leaves_takes_the_other_along() {
    let mut server = server().await;
    let weir = weir().start(&server.config()).await;
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let (client, _body, mut stream) = tunnel(weir.address(), &mut server).await;
        let start = Instant::now();
        client.reset();
        std::future::poll_fn(|cx| stream.poll_reset(cx))
            .await
            .expect("a reset");
        best = best.min(start.elapsed());
    }
    assert!(best < Duration::from_millis(100), "{best:?}");
    let (mut client, _body, mut stream) = tunnel(weir.address(), &mut server).await;
    stream.send_reset(h2::Reason::INTERNAL_ERROR);
    client.closed().await;
    weir.wait_metric("weir_upstream_in_flight", &[], 0.0).await;
}

#[tokio::test]
async fn a_refusal_is_an_answer_like_any() {
    let mut server = server().await;
    let weir = weir().start(&server.config()).await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/ws?q", &ASK).await;
    let (_, mut answer) = server.next().await;
    let head = Response::builder().status(403).body(()).expect("a head");
    let mut stream = answer.send_response(head, false).expect("a client");
    stream
        .send_data(Bytes::from_static(b"not you"), true)
        .expect("a client");
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text().as_str()), (403, "not you"));
}

/// A server that has not said that it takes them is not asked.
#[tokio::test]
async fn a_server_without_them_is_a_502() {
    let server = Server::start().await;
    let weir = weir().start(&server.config()).await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/ws?q", &ASK).await;
    assert_eq!(client.answer().await.status(), 502);
    let mut client = H2::connect(weir.address()).await;
    client.connect_protocol(1, "websocket", "/ws?q", &[]).await;
    assert_eq!(client.status(1).await, 502);
    let refused = [("reason", "upstream_without_websockets")];
    weir.wait_metric("weir_refusals_total", &refused, 2.0).await;
}
