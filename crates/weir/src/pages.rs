//! The pages of weir's own: health, metrics, status, and the two probes of an orchestrator. Served on the admin address, and on routes
//! that ask for them (`serve = …`). Decides what they say and who may see them; where they are served is others' business.

use std::net::IpAddr;

use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use ipnet::IpNet;
use serde_json::{Value, json};
use weir_config::plan::Page;
use weir_proxy::Body;
use weir_route::Miss;

use crate::{life::Stage, refusal::Refusal, shared::Shared};

/// A page on a route.
pub(crate) fn serve(
    page: Page,
    allow: &[IpNet],
    shared: &Shared,
    peer: IpAddr,
    head: &Parts,
) -> Result<Response<Body>, Refusal> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Refusal::Miss(Miss::Method {
            allow: vec![Method::GET, Method::HEAD],
        }));
    }
    if page != Page::Health && !may_ask(allow, peer) {
        return Err(Refusal::NotAllowed);
    }
    Ok(match page {
        Page::Health => health(shared, wants_text(head)),
        Page::Metrics => metrics(shared),
        Page::Status => status(shared),
    })
}

/// Whether this address may see what is not for everyone. An empty list means this machine only.
pub(crate) fn may_ask(allow: &[IpNet], peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    if allow.is_empty() {
        peer.is_loopback()
    } else {
        allow.iter().any(|net| net.contains(&peer))
    }
}

/// Prometheus text format 0.0.4.
pub(crate) fn metrics(shared: &Shared) -> Response<Body> {
    answer(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        shared.meter.render(),
    )
}

/// What runs.
pub(crate) fn status(shared: &Shared) -> Response<Body> {
    let gateway = shared.gateway.load();
    let (verdict, upstreams) = upstreams(shared);
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "stage": shared.stage.borrow().as_str(),
        "health": verdict,
        "config": gateway.plan.file,
        "uptime_seconds": shared.started.elapsed().as_secs(),
        "workers": shared.workers,
        "connections": shared.stage.receiver_count(),
        "routes": gateway.plan.routes.len(),
        "upstreams": upstreams,
    });
    answer(StatusCode::OK, "application/json", format!("{report:#}\n"))
}

/// Whether the upstreams are well: `healthy`, `degraded` (each can still be reached, some server cannot), or `unhealthy` with 503.
pub(crate) fn health(shared: &Shared, text: bool) -> Response<Body> {
    let (verdict, upstreams) = upstreams(shared);
    let status = if verdict == "unhealthy" {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    if text {
        let mut report = format!("{verdict}\n");
        for (name, upstream) in upstreams.as_object().into_iter().flatten() {
            report += &format!(
                "{name} {}\n",
                upstream["status"].as_str().unwrap_or_default()
            );
        }
        return answer(status, "text/plain; charset=utf-8", report);
    }
    let checks: serde_json::Map<String, Value> = upstreams
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, upstream)| (name.clone(), upstream["status"].clone()))
        .collect();
    let report =
        json!({ "status": verdict, "version": env!("CARGO_PKG_VERSION"), "checks": checks });
    answer(status, "application/json", format!("{report:#}\n"))
}

/// For a load balancer: whether new connections should come here.
pub(crate) fn ready(shared: &Shared) -> Response<Body> {
    match *shared.stage.borrow() {
        Stage::Serving => answer(StatusCode::OK, "text/plain", "ready\n"),
        Stage::Leaving | Stage::Draining | Stage::Cutting => {
            answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "draining\n")
        }
    }
}

/// For an orchestrator: whether the process still turns.
pub(crate) fn live() -> Response<Body> {
    answer(StatusCode::OK, "text/plain", "alive\n")
}

/// An answer that no cache keeps.
pub(crate) fn answer(
    status: StatusCode,
    kind: &'static str,
    text: impl Into<bytes::Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `?format=text`, or a client that accepts plain text and says nothing of JSON.
pub(crate) fn wants_text(head: &Parts) -> bool {
    let accept = head
        .headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    head.uri.query() == Some("format=text")
        || (accept.contains("text/plain") && !accept.contains("json"))
}

fn upstreams(shared: &Shared) -> (&'static str, Value) {
    let gateway = shared.gateway.load();
    let mut verdict = "healthy";
    let mut all = serde_json::Map::new();
    for upstream in &gateway.upstreams {
        let servers = upstream.servers();
        let well = servers.iter().filter(|server| server.is_healthy()).count();
        let status = match well {
            0 => "unhealthy",
            some if some < servers.len() => "degraded",
            _ => "healthy",
        };
        if status == "unhealthy" || verdict == "healthy" {
            verdict = status;
        }
        let servers: Vec<Value> = servers
            .iter()
            .map(|server| json!({ "server": server.server().to_string(), "healthy": server.is_healthy(), "in_flight": server.in_flight() }))
            .collect();
        all.insert(
            upstream.settings().name.clone(),
            json!({ "status": status, "servers": servers }),
        );
    }
    (verdict, Value::Object(all))
}
