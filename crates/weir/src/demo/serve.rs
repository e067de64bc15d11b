//! Puts one of the demo's own servers on a free loopback port. Plain hyper over HTTP/1.1; what is answered is the caller's.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

/// What the demo's servers answer with: whole texts and streams alike.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Listens on a free loopback port and answers there for as long as the runtime lives.
pub(super) async fn start<S, F>(answer: S) -> io::Result<SocketAddr>
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => drop(tokio::spawn(connection(socket, answer.clone()))),
                // Out of descriptors, most likely: without a pause this would spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    Ok(address)
}

async fn connection<S, F>(socket: TcpStream, answer: S)
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer>,
{
    // Without it the kernel would hold a word back until the one before it was acknowledged.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    // The error is a client that left, or a stream that was told to break: both are the demo's everyday business.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

/// A whole answer with no more headers than `headers`; nothing of it may be cached.
pub(super) fn whole<const N: usize>(
    status: StatusCode,
    headers: [(HeaderName, &str); N],
    body: impl Into<Bytes>,
) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {});
    let mut response = Response::new(UnsyncBoxBody::new(body));
    *response.status_mut() = status;
    let cache = (header::CACHE_CONTROL, "no-store");
    for (name, value) in headers.into_iter().chain([cache]) {
        // Every value is the demo's own text, or text it has encoded; one that cannot stand in a header is left out.
        if let Ok(value) = value.parse() {
            response.headers_mut().append(name, value);
        }
    }
    response
}
