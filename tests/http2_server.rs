//! A server of HTTP/2 in clear that hands out its requests. By the library that weir uses as well: what it must do here, weir's own frames
//! are tested for elsewhere.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{
    SendStream,
    server::{Builder, SendResponse},
};
use http::{Request, Response};
use tokio::{net::TcpListener, sync::mpsc};

use crate::stage::{route, upstream};

/// A path: the connection on which it is asked for takes no more requests after that.
pub(crate) const GOAWAY: &str = "/goaway";

/// A request, and what answers it.
pub(crate) type Asked = (Request<h2::RecvStream>, SendResponse<Bytes>);

/// See the module.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Accepted so far.
    pub(crate) connections: Arc<AtomicUsize>,
    asked: mpsc::UnboundedReceiver<Asked>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings of its own.
    pub(crate) async fn with(settings: fn(&mut Builder)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound socket");
        let (hand_out, asked) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                let hand_out = hand_out.clone();
                tokio::spawn(async move {
                    let mut builder = Builder::new();
                    settings(&mut builder);
                    let Ok(mut connection) = builder.handshake(stream).await else {
                        return;
                    };
                    while let Some(Ok(asked)) = connection.accept().await {
                        if asked.0.uri().path() == GOAWAY {
                            connection.graceful_shutdown();
                        }
                        let _ = hand_out.send(asked);
                    }
                });
            }
        });
        Self {
            address,
            connections,
            asked,
        }
    }

    pub(crate) async fn next(&mut self) -> Asked {
        let next = tokio::time::timeout(Duration::from_secs(10), self.asked.recv()).await;
        next.expect("a request in time").expect("a server")
    }

    /// A route to it for everything.
    pub(crate) fn config(&self) -> String {
        upstream("up", self.address, "protocol = \"h2c\"") + &route("all", "/*", "to = \"up\"")
    }
}

/// The head of an event stream.
pub(crate) fn event_stream(answer: &mut SendResponse<Bytes>) -> SendStream<Bytes> {
    let head = Response::builder().header("content-type", "text/event-stream");
    answer
        .send_response(head.body(()).expect("a head"), false)
        .expect("a client")
}

/// One piece of a body.
pub(crate) fn say(stream: &mut SendStream<Bytes>, event: &str) {
    stream
        .send_data(Bytes::copy_from_slice(event.as_bytes()), false)
        .expect("a client");
}
