//! Active health checks: one task per server asks, and sets what balancing reads. Runs beside the exchanges, never in their way.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Uri, header,
    uri::{Authority, Scheme},
};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::{sleep, timeout};

use crate::{
    connect,
    settings::{HealthCheck, Server},
    tls::Secure,
    upstream::{ServerState, UpstreamState},
};

/// Checks every server of the upstream for as long as it is polled; returns at once when no checks are asked for.
pub async fn watch(upstream: Arc<UpstreamState>) {
    let Some(check) = upstream.settings().health.clone() else {
        return;
    };
    let host = upstream.settings().host.clone();
    let watches = upstream
        .servers()
        .iter()
        .map(|server| watch_one(server, &check, host.as_ref(), &upstream));
    futures_util::future::join_all(watches).await;
}

async fn watch_one(
    server: &ServerState,
    check: &HealthCheck,
    host: Option<&HeaderValue>,
    upstream: &UpstreamState,
) {
    // The first answer decides at once, either way; after that the counts do.
    let (secure, http2) = (upstream.secure(), upstream.settings().http2);
    let upstream = &upstream.settings().name;
    let mut row: Option<(bool, u32)> = None;
    loop {
        let asked = probe(server.server(), secure, http2, check, host);
        let failure = match timeout(check.timeout, asked).await {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(format!("no answer within {:?}", check.timeout)),
        };
        let well = failure.is_none();
        let count = match row {
            Some((before, count)) if before == well => count.saturating_add(1),
            _ => 1,
        };
        let decided = row.is_none()
            || count
                >= if well {
                    check.healthy_after
                } else {
                    check.unhealthy_after
                };
        row = Some((well, count));
        if decided && server.is_healthy() != well {
            server.set_healthy(well);
            match failure {
                None => {
                    tracing::warn!(upstream, server = %server.server(), "server is healthy again")
                }
                Some(failure) => {
                    tracing::warn!(upstream, server = %server.server(), failure, "server is unhealthy")
                }
            }
        }
        sleep(check.interval.max(Duration::from_millis(10))).await;
    }
}

/// One check on a connection of its own: a kept one would say more about keep-alive than about the server.
async fn probe(
    server: &Server,
    secure: Option<&Secure>,
    http2: bool,
    check: &HealthCheck,
    host: Option<&HeaderValue>,
) -> Result<(), String> {
    let stream = connect::dial(server, secure)
        .await
        .map_err(|error| error.to_string())?;
    let default = HeaderValue::from_str(&server.to_string()).map_err(|error| error.to_string())?;
    let host = host.unwrap_or(&default);
    let answered = if http2 {
        let authority = Authority::try_from(host.as_bytes()).map_err(|error| error.to_string())?;
        let scheme = secure.map_or(Scheme::HTTP, |_| Scheme::HTTPS);
        let mut parts = check.path.clone().into_parts();
        (parts.scheme, parts.authority) = (Some(scheme), Some(authority));
        let target = Uri::from_parts(parts).map_err(|error| error.to_string())?;
        let (mut send, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        beside(driver, send.send_request(question(target)?)).await
    } else {
        let (mut send, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let mut question = question(check.path.clone())?;
        let headers = question.headers_mut();
        headers.insert(header::HOST, host.clone());
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        beside(driver, send.send_request(question)).await
    };
    match answered {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("answered {}", answer.status().as_u16())),
        Err(error) => Err(error.to_string()),
    }
}

fn question(target: Uri) -> Result<Request<Empty<Bytes>>, String> {
    Request::get(target)
        .header(header::USER_AGENT, "weir-health")
        .body(Empty::new())
        .map_err(|error| error.to_string())
}

/// The answer, while the connection is driven.
async fn beside<A>(driver: impl Future, answer: impl Future<Output = A>) -> A {
    let (mut driver, mut answer) = (std::pin::pin!(driver), std::pin::pin!(answer));
    tokio::select! {
        biased;
        answered = &mut answer => answered,
        // It may have ended in the same turn that brought the answer.
        _ = &mut driver => answer.await,
    }
}
