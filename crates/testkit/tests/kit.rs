//! The kit against itself: a raw client in front of a scripted upstream, nothing between. What a test of weir relies on is shown
//! here to be told apart: ends, closes, resets, and the moment of each.

use std::time::Instant;

use weir_testkit::{
    Client, End, Upstream,
    client::get,
    upstream::{How, Nobody},
};

#[tokio::test]
async fn an_event_is_seen_before_the_next_is_sent() {
    let mut upstream = Upstream::start().await;
    let mut client = Client::connect(upstream.address()).await;
    client
        .request("GET", "/s", &["Accept: text/event-stream"])
        .await;
    let exchange = upstream.exchange().await;
    assert_eq!(
        (exchange.head.method(), exchange.head.target()),
        ("GET", "/s")
    );
    exchange.stream().await;
    assert_eq!(client.head().await.status(), 200);
    for number in 0..3 {
        exchange.chunk(format!("data: {number}\n\n")).await;
        assert_eq!(client.event().await, format!("data: {number}\n\n"));
    }
    exchange.end().await;
    assert_eq!(client.rest().await, (Vec::new(), End::Clean));

    // And the connection serves a second request.
    client.post("/b", &[], b"hello").await;
    let mut exchange = upstream.exchange().await;
    assert_eq!(exchange.body().await, b"hello");
    assert!(exchange.body_done());
    assert_eq!(exchange.connection(), 0);
    exchange.answer("404 Not Found", &[], "no").await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status(), answer.text().as_str(), answer.end),
        (404, "no", End::Clean)
    );
    assert_eq!((upstream.accepted(), upstream.open()), (1, 1));
}

#[tokio::test]
async fn unclean_ends_are_told_apart() {
    let mut upstream = Upstream::start().await;
    for how in ["fin", "rst", "with", "length"] {
        let mut client = Client::connect(upstream.address()).await;
        client.request("GET", "/", &[]).await;
        let exchange = upstream.exchange().await;
        exchange.stream().await;
        client.head().await;
        let expected = match how {
            "fin" => {
                exchange.close().await;
                (String::new(), End::Eof)
            }
            "rst" => {
                exchange.reset().await;
                (String::new(), End::Reset)
            }
            "with" => {
                exchange.close_with("5\r\nlast!\r\n").await;
                ("last!".to_owned(), End::Eof)
            }
            _ => {
                exchange.send("ff\r\nhalf").await;
                exchange.close().await;
                ("half".to_owned(), End::Eof)
            }
        };
        let (body, end) = client.rest().await;
        assert_eq!(
            (String::from_utf8_lossy(&body).into_owned(), end),
            expected,
            "{how}"
        );
    }
    assert_eq!((upstream.accepted(), upstream.open()), (4, 0));
}

#[tokio::test]
async fn a_body_that_ends_by_closing_is_clean() {
    let mut upstream = Upstream::start().await;
    let mut client = Client::connect(upstream.address()).await;
    client.request("GET", "/", &[]).await;
    let exchange = upstream.exchange().await;
    exchange.head("200 OK", &[]).await;
    exchange.close_with("all of it").await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.text().as_str(), answer.end),
        ("all of it", End::Clean)
    );
}

#[tokio::test]
async fn the_upstream_knows_when_and_how_its_peer_left() {
    let mut upstream = Upstream::start().await;
    for how in [How::Closed, How::Reset] {
        let mut client = Client::connect(upstream.address()).await;
        client.request("GET", "/", &[]).await;
        let exchange = upstream.exchange().await;
        assert_eq!(exchange.left(), None);
        let before = Instant::now();
        match how {
            How::Closed => client.close(),
            How::Reset => client.reset(),
        }
        let gone = exchange.gone().await;
        assert_eq!(gone.how, how);
        assert!(gone.at >= before && gone.at <= Instant::now());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bytes_that_nobody_reads_are_counted_where_they_lie() {
    let mut upstream = Upstream::start().await;
    let mut client = Client::connect(upstream.address()).await;
    client
        .send("POST / HTTP/1.1\r\ncontent-length: 1000\r\n\r\n")
        .await;
    let mut exchange = upstream.exchange().await;
    exchange.read(false);
    client.send([b'x'; 1000]).await;
    weir_testkit::eventually("1000 unread bytes", async || {
        client
            .held()
            .filter(|held| held.unread == 1000 && held.unsent == 0)
    })
    .await;
    exchange.read(true);
    assert_eq!(exchange.body().await.len(), 1000);
}

#[tokio::test]
async fn scripts_serve_by_themselves() {
    let upstream = Upstream::saying("hello").await;
    let answer = get(upstream.address(), "/x", &["x-a: 1"]).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    let requests = upstream.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (
            requests[0].target(),
            requests[0].header("X-A"),
            requests[0].header("host")
        ),
        ("/x", Some("1"), Some("a.test"))
    );
}

#[tokio::test]
async fn nobody_refuses() {
    let nobody = Nobody::here();
    let error = tokio::net::TcpStream::connect(nobody.address())
        .await
        .expect_err("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
