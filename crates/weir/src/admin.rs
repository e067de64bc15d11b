//! The operator's own address: metrics, health, probes, status, and the order to reload. Runs on the main thread, away from the workers,
//! so that it answers when they are busy.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{Method, Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};
use weir_proxy::Body;

use crate::{pages, shared::Shared};

/// An order to reload, and where its result is awaited.
pub(crate) type Order = oneshot::Sender<Result<String, String>>;

/// A page in a browser can send simple requests to any address, this one too; it cannot send this header without being asked first.
const INTENT: &str = "x-weir-admin";

/// What the admin address needs.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) allow: Arc<[IpNet]>,
    pub(crate) orders: mpsc::Sender<Order>,
}

impl Admin {
    /// Serves until dropped.
    pub(crate) async fn serve(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => drop(tokio::spawn(self.clone().connection(stream, peer))),
                Err(error) => {
                    tracing::warn!(%error, "the admin address failed to accept");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr) {
        let service = service_fn(|request| self.answer(request, peer));
        // A connection that breaks is the asker's own affair.
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Body>, Infallible> {
        if !pages::may_ask(&self.allow, peer.ip()) {
            return Ok(pages::answer(
                StatusCode::FORBIDDEN,
                "text/plain",
                "403 Forbidden\n",
            ));
        }
        let (head, _) = request.into_parts();
        let reading = matches!(head.method, Method::GET | Method::HEAD);
        Ok(match (head.uri.path(), reading) {
            ("/metrics", true) => pages::metrics(&self.shared),
            ("/health", true) => pages::health(&self.shared, pages::wants_text(&head)),
            ("/livez", true) => pages::live(),
            ("/readyz", true) => pages::ready(&self.shared),
            ("/status", true) => pages::status(&self.shared),
            ("/reload", false)
                if head.method == Method::POST && head.headers.contains_key(INTENT) =>
            {
                self.reload().await
            }
            ("/metrics" | "/health" | "/livez" | "/readyz" | "/status" | "/reload", _) => {
                pages::answer(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "text/plain",
                    "405 Method Not Allowed\n",
                )
            }
            _ => pages::answer(
                StatusCode::NOT_FOUND,
                "text/plain",
                "/metrics /health /livez /readyz /status\n",
            ),
        })
    }

    async fn reload(&self) -> Response<Body> {
        let (order, done) = oneshot::channel();
        let result = match self.orders.send(order).await {
            Ok(()) => done
                .await
                .unwrap_or_else(|_| Err("weir is stopping".to_owned())),
            Err(_) => Err("weir is stopping".to_owned()),
        };
        match result {
            Ok(text) => pages::answer(StatusCode::OK, "text/plain; charset=utf-8", text),
            Err(text) => pages::answer(
                StatusCode::UNPROCESSABLE_ENTITY,
                "text/plain; charset=utf-8",
                text,
            ),
        }
    }
}
