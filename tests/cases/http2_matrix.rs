//! An HTTP/2 client in front of every kind of upstream: each event is here before the next is sent, a request taken back is taken back
//! upstream as well, and a stream that breaks never looks whole.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::{Reason, SendStream, server::SendResponse};
use weir_testkit::{
    Exchange, H2, Upstream, Weir,
    h2::{Ended, code},
    tls::{Authority, Leaf, Tls, front_offering},
};

use crate::{
    http2_server::{Server, event_stream, say},
    stage::{CONTENT, RUN_FINISHED, RUN_STARTED, route, upstream, weir},
};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Chunked,
    CloseDelimited,
    H2c,
    H2,
}

const KINDS: [Kind; 4] = [Kind::Chunked, Kind::CloseDelimited, Kind::H2c, Kind::H2];

/// One weir, and every kind of upstream behind it.
struct Scene {
    weir: Weir,
    tls: Tls,
    http1: Upstream,
    h2c: Server,
    h2: Server,
}

impl Scene {
    async fn set() -> Self {
        let authority = Authority::new("ca");
        let pair = authority.sign(Leaf::server(&["a.test", "127.0.0.1"]));
        let (http1, h2c, h2) = (
            Upstream::start().await,
            Server::start().await,
            Server::start().await,
        );
        let secure = front_offering(&pair, h2.address, &["h2"]).await;
        let config = [
            "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"a.crt\", key = \"a.key\" }\n\n",
            &upstream("http1", http1.address(), ""),
            &upstream("h2c", h2c.address, "protocol = \"h2c\""),
            &upstream("h2", secure, "protocol = \"h2\"\ntls = { ca = \"ca.crt\" }"),
            &route("http1", "/http1", "to = \"http1\""),
            &route("h2c", "/h2c", "to = \"h2c\""),
            &route("h2", "/h2", "to = \"h2\""),
        ];
        let weir = weir()
            .file("a.crt", &pair.certificate)
            .file("a.key", &pair.key)
            .file("ca.crt", authority.pem())
            .start(&config.concat())
            .await;
        Self {
            weir,
            tls: Tls::to("a.test", &authority),
            http1,
            h2c,
            h2,
        }
    }

    /// A client in clear and one by TLS.
    async fn clients(&self) -> [H2; 2] {
        [
            H2::connect(self.weir.address()).await,
            H2::secured(self.weir.listeners()[1], &self.tls).await,
        ]
    }

    async fn ask(&mut self, client: &mut H2, stream: u32, kind: Kind) -> Source {
        let server = match kind {
            Kind::Chunked | Kind::CloseDelimited => {
                client.get(stream, "/http1").await;
                let chunked = matches!(kind, Kind::Chunked);
                return Source::Http1(self.http1.exchange().await, chunked);
            }
            Kind::H2c => {
                client.get(stream, "/h2c").await;
                &mut self.h2c
            }
            Kind::H2 => {
                client.get(stream, "/h2").await;
                &mut self.h2
            }
        };
        let (_, answer) = server.next().await;
        Source::Http2(answer, None)
    }

    /// A client's stream whose head has come.
    async fn streaming(&mut self, client: &mut H2, stream: u32, kind: Kind) -> Source {
        let mut source = self.ask(client, stream, kind).await;
        source.begin().await;
        assert_eq!(client.status(stream).await, 200, "{kind:?}");
        source
    }
}

/// An upstream's side of one exchange.
enum Source {
    Http1(Exchange, bool),
    Http2(SendResponse<Bytes>, Option<SendStream<Bytes>>),
}

impl Source {
    async fn begin(&mut self) {
        match self {
            Self::Http1(exchange, true) => exchange.stream().await,
            Self::Http1(exchange, false) => {
                let headers = ["content-type: text/event-stream", "connection: close"];
                exchange.head("200 OK", &headers).await;
            }
            Self::Http2(answer, stream) => *stream = Some(event_stream(answer)),
        }
    }

    async fn pass(&mut self, client: &mut H2, stream: u32, event: &str) {
        match self {
            Self::Http1(exchange, true) => exchange.chunk(event).await,
            Self::Http1(exchange, false) => exchange.send(event).await,
            Self::Http2(_, None) => panic!("its head comes first"),
            Self::Http2(_, Some(body)) => say(body, event),
        }
        assert_eq!(client.until(stream, "\n\n").await, event);
    }

    async fn end(self) {
        match self {
            Self::Http1(exchange, true) => exchange.end().await,
            Self::Http1(exchange, false) => exchange.close().await,
            Self::Http2(_, stream) => stream
                .expect("a head")
                .send_data(Bytes::new(), true)
                .expect("a client"),
        }
    }

    async fn die(self) {
        match self {
            Self::Http1(exchange, _) => exchange.close().await,
            Self::Http2(_, stream) => stream.expect("a head").send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// When weir took it back.
    async fn gone(self) -> Instant {
        match self {
            Self::Http1(exchange, _) => return exchange.gone().await.at,
            Self::Http2(mut answer, None) => std::future::poll_fn(|cx| answer.poll_reset(cx)).await,
            Self::Http2(_, Some(mut stream)) => {
                std::future::poll_fn(|cx| stream.poll_reset(cx)).await
            }
        }
        .expect("a reset");
        Instant::now()
    }
}

#[tokio::test]
async fn each_event_is_here_before_the_next_is_sent() {
    let mut scene = Scene::set().await;
    for mut client in scene.clients().await {
        for (stream, kind) in (0..).map(|number| 2 * number + 1).zip(KINDS) {
            let mut source = scene.streaming(&mut client, stream, kind).await;
            for _ in 0..20 {
                source.pass(&mut client, stream, CONTENT).await;
            }
            // Without this one, an answer that ends by closing would count as broken.
            source.pass(&mut client, stream, RUN_FINISHED).await;
            source.end().await;
            let end = client.rest(stream).await;
            assert_eq!(end, (Vec::new(), Ended::Clean), "{kind:?}");
        }
    }
    let complete = [("outcome", "complete")];
    scene
        .weir
        .wait_metric("weir_streams_total", &complete, 8.0)
        .await;
}

/// A busy machine can be late where weir is not: of three goes one must keep the bound.
#[tokio::test]
async fn a_reset_reaches_the_upstream_at_once() {
    let mut scene = Scene::set().await;
    for mut client in scene.clients().await {
        let mut stream = 1;
        for kind in KINDS {
            for answered in [false, true] {
                let mut best = Duration::MAX;
                for _ in 0..3 {
                    let source = if answered {
                        let mut source = scene.streaming(&mut client, stream, kind).await;
                        source.pass(&mut client, stream, RUN_STARTED).await;
                        source
                    } else {
                        scene.ask(&mut client, stream, kind).await
                    };
                    let start = Instant::now();
                    client.reset(stream, code::CANCEL).await;
                    best = best.min(source.gone().await - start);
                    stream += 2;
                }
                assert!(best < Duration::from_millis(100), "{kind:?}: {best:?}");
            }
        }
    }
    let gone = [("outcome", "client_gone")];
    scene
        .weir
        .wait_metric("weir_exchanges_total", &gone, 48.0)
        .await;
}

#[tokio::test]
async fn a_stream_that_breaks_is_told_of_and_reset() {
    let mut scene = Scene::set().await;
    for mut client in scene.clients().await {
        for (stream, kind) in (0..).map(|number| 2 * number + 1).zip(KINDS) {
            let mut source = scene.streaming(&mut client, stream, kind).await;
            source.pass(&mut client, stream, RUN_STARTED).await;
            source.die().await;
            let (body, end) = client.rest(stream).await;
            let text = String::from_utf8_lossy(&body);
            assert!(text.contains("RUN_ERROR"), "{kind:?}: {text:?}");
            assert_eq!(end, Ended::Reset(code::INTERNAL_ERROR), "{kind:?}");
        }
    }
    let failed = [("outcome", "upstream_failed")];
    scene
        .weir
        .wait_metric("weir_streams_total", &failed, 8.0)
        .await;
}
