//! Streams over TLS keep every promise that they keep in clear: each event is written before the next comes, a broken stream never looks
//! whole, and a client that leaves, by whichever of TLS's and TCP's ways, ends the upstream's exchange within 100 ms.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use weir_testkit::{
    Client, End, Exchange, Upstream, Weir,
    tls::{Authority, Leaf, Tls},
};

#[cfg(target_os = "linux")]
use super::leaving::stays_unread;
use crate::{
    http2_server::{Server, event_stream, say},
    stage::{RUN_STARTED, everything, pass, weir},
};

const BOUND: Duration = Duration::from_millis(100);

/// weir by TLS in front of an upstream.
struct Scene {
    weir: Weir,
    upstream: Upstream,
    tls: Tls,
}

impl Scene {
    async fn set() -> Self {
        Self::before(Upstream::start().await, "").await
    }

    async fn before(upstream: Upstream, keys: &str) -> Self {
        let authority = Authority::new("ca");
        let site = authority.sign(Leaf::server(&["a.test"]));
        let config = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"a.crt\", key = \"a.key\" }}\n\n{}",
            everything(upstream.address(), keys)
        );
        let weir = weir()
            .file("a.crt", &site.certificate)
            .file("a.key", &site.key)
            .start(&config)
            .await;
        Self {
            weir,
            upstream,
            tls: Tls::to("a.test", &authority),
        }
    }

    async fn client(&self) -> Client {
        Client::secured(self.weir.listeners()[1], &self.tls)
            .await
            .unwrap()
    }

    async fn streaming(&mut self) -> (Client, Exchange) {
        let mut client = self.client().await;
        client.request("GET", "/s", &[]).await;
        let exchange = self.upstream.exchange().await;
        exchange.stream().await;
        assert_eq!(client.head().await.status(), 200);
        (client, exchange)
    }
}

#[tokio::test]
async fn each_event_is_here_before_the_next_is_sent() {
    let mut scene = Scene::set().await;
    let old = scene.tls.clone().old();
    for tls in [scene.tls.clone(), old] {
        scene.tls = tls;
        let (mut client, exchange) = scene.streaming().await;
        for number in 0..50 {
            pass(&exchange, &mut client, &format!("data: {number}\n\n")).await;
        }
        exchange.end().await;
        let (rest, end) = client.rest().await;
        assert_eq!((rest.len(), end), (0, End::Clean));
        client.request("GET", "/again", &[]).await;
        scene
            .upstream
            .exchange()
            .await
            .answer("200 OK", &[], "kept")
            .await;
        assert_eq!(client.answer().await.text(), "kept");
    }
}

/// Such an upload is read by a task of its own, and each event wakes the connection's, which looks for the client's goodbye on the same socket.
#[tokio::test]
async fn an_upload_to_an_http2_upstream_goes_on_beside_its_answer() {
    let mut server = Server::start().await;
    let authority = Authority::new("ca");
    let site = authority.sign(Leaf::server(&["a.test"]));
    let listen = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"a.crt\", key = \"a.key\" }\n\n";
    let weir = weir()
        .file("a.crt", &site.certificate)
        .file("a.key", &site.key)
        .start(&(listen.to_owned() + &server.config()))
        .await;
    let tls = Tls::to("a.test", &authority);
    let mut client = Client::secured(weir.listeners()[1], &tls).await.unwrap();
    client
        .send("POST /s HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let (request, mut answer) = server.next().await;
    let mut upload = request.into_body();
    let mut stream = event_stream(&mut answer);
    assert_eq!(client.head().await.status(), 200);
    for number in 0..5 {
        say(&mut stream, &format!("data: {number}\n\n"));
        client.until(&format!("data: {number}\n\n")).await;
        client.send("2\r\nhi\r\n").await;
        let piece = timeout(Duration::from_secs(10), upload.data()).await;
        let piece = piece.expect("in time").expect("a piece").expect("whole");
        assert_eq!(&piece[..], b"hi");
    }
}

#[tokio::test]
async fn much_passes_both_ways_unharmed() {
    let mut scene = Scene::set().await;
    let mut client = scene.client().await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let sent = body.clone();
    let upload = tokio::spawn(async move {
        client.post("/s", &[], &sent).await;
        client
    });
    let mut exchange = scene.upstream.exchange().await;
    assert!(
        exchange.body().await == body,
        "the upload arrives as it was"
    );
    let mut client = upload.await.unwrap();
    let answer = tokio::spawn(async move {
        let answer = client.answer().await;
        (client, answer)
    });
    exchange.answer("200 OK", &[], &body).await;
    let (_client, answer) = answer.await.unwrap();
    assert!(answer.body == body && answer.end == End::Clean);
}

#[tokio::test]
async fn a_broken_stream_never_looks_whole() {
    let mut scene = Scene::set().await;
    let (mut client, exchange) = scene.streaming().await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    exchange.reset().await;
    let (last, end) = client.rest().await;
    let last = String::from_utf8_lossy(&last);
    assert!(last.contains("RUN_ERROR"), "{last:?}");
    assert_ne!(end, End::Clean);

    // To an HTTP/1.0 client only the close tells the end: it must come without TLS's goodbye.
    let mut client = scene.client().await;
    client.send("GET /s HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let exchange = scene.upstream.exchange().await;
    exchange.stream().await;
    assert_eq!(client.head().await.status(), 200);
    pass(&exchange, &mut client, "data: 1\n\n").await;
    exchange.reset().await;
    assert_eq!(client.rest().await.1, End::Reset);
}

#[derive(Clone, Copy, Debug)]
enum Leave {
    /// close_notify alone; the socket stays open.
    Goodbye,
    /// FIN without a goodbye.
    Fin,
    Rst,
}

/// Plays `act` and lets its client leave in each way; the upstream must see its connection close in time.
///
/// A busy machine can be late where weir is not, so one of three goes must keep the bound; a weir that does not notice keeps it never.
async fn cancels(ways: &[Leave], act: impl AsyncFn(&mut Scene) -> (Client, Exchange)) {
    let mut scene = Scene::set().await;
    let mut gone = 0;
    for leave in ways {
        let mut times = Vec::new();
        while times.len() < 3 && !times.iter().any(|time| *time < BOUND) {
            let (mut client, exchange) = act(&mut scene).await;
            let start = Instant::now();
            let kept = match leave {
                Leave::Goodbye => {
                    client.goodbye().await;
                    Some(client)
                }
                Leave::Fin => {
                    client.close();
                    None
                }
                Leave::Rst => {
                    client.reset();
                    None
                }
            };
            times.push(exchange.gone().await.at - start);
            drop(kept);
            gone += 1;
        }
        assert!(
            times.iter().any(|time| *time < BOUND),
            "by {leave:?} the upstream saw it after {times:?}"
        );
    }
    let labels = [("route", "all"), ("outcome", "client_gone")];
    scene
        .weir
        .wait_metric("weir_exchanges_total", &labels, f64::from(gone))
        .await;
    scene
        .weir
        .wait_metric("weir_connections_open", &[], 0.0)
        .await;
}

const ALL: [Leave; 3] = [Leave::Goodbye, Leave::Fin, Leave::Rst];

#[tokio::test]
async fn leaving_a_silent_stream() {
    cancels(&ALL, async |scene| {
        let (mut client, exchange) = scene.streaming().await;
        pass(&exchange, &mut client, RUN_STARTED).await;
        (client, exchange)
    })
    .await;
}

#[tokio::test]
async fn leaving_before_the_head() {
    cancels(&ALL, async |scene| {
        let mut client = scene.client().await;
        client.post("/s", &[], b"{}").await;
        let mut exchange = scene.upstream.exchange().await;
        assert_eq!(exchange.body().await, b"{}");
        (client, exchange)
    })
    .await;
}

#[tokio::test]
async fn leaving_after_a_stray_line_end() {
    cancels(&ALL, async |scene| {
        let (mut client, exchange) = scene.streaming().await;
        client.send("\r\n").await;
        pass(&exchange, &mut client, RUN_STARTED).await;
        (client, exchange)
    })
    .await;
}

#[tokio::test]
async fn leaving_after_a_pipelined_request() {
    cancels(&ALL, async |scene| {
        let mut client = scene.client().await;
        let one = "GET /s HTTP/1.1\r\nHost: a.test\r\n\r\n";
        client.send(one).await;
        let exchange = scene.upstream.exchange().await;
        client.send(one).await;
        exchange.stream().await;
        assert_eq!(client.head().await.status(), 200);
        pass(&exchange, &mut client, RUN_STARTED).await;
        (client, exchange)
    })
    .await;
}

/// A body that nobody reads any further: of a goodbye behind it nothing can be known, but the socket tells of the leaving.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn leaving_an_unread_body() {
    for leave in [Leave::Fin, Leave::Rst] {
        let mut times = Vec::new();
        while times.len() < 3 && !times.iter().any(|time| *time < BOUND) {
            times.push(unread_body(leave).await);
        }
        assert!(
            times.iter().any(|time| *time < BOUND),
            "{leave:?}: ended after {times:?}"
        );
    }
}

/// How long after the client's leaving weir had ended the exchange.
#[cfg(target_os = "linux")]
async fn unread_body(leave: Leave) -> Duration {
    let mut scene = Scene::before(Upstream::start_narrow().await, "max_body = \"1GB\"").await;
    let mut client = scene.client().await;
    client
        .send("POST /s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 268435456\r\n\r\n")
        .await;
    let exchange = scene.upstream.exchange().await;
    exchange.read(false);
    let mut sent = 0;
    while sent < 1024 * 1024 || !stays_unread(&client).await {
        client.send(vec![b'x'; 16 * 1024]).await;
        sent += 16 * 1024;
    }
    let start = Instant::now();
    match leave {
        Leave::Rst => client.reset(),
        Leave::Fin | Leave::Goodbye => client.close(),
    }
    let labels = [("route", "all"), ("outcome", "client_gone")];
    scene
        .weir
        .wait_metric("weir_exchanges_total", &labels, 1.0)
        .await;
    let ended = start.elapsed();
    exchange.read(true);
    exchange.gone().await;
    ended
}

/// hyper reads here, and the goodbye is next.
#[tokio::test]
async fn leaving_a_body_that_is_late() {
    cancels(&ALL, async |scene| {
        let mut client = scene.client().await;
        client
            .send("POST /s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4000\r\n\r\nabc")
            .await;
        let exchange = scene.upstream.exchange().await;
        (client, exchange)
    })
    .await;
}
