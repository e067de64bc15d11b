//! What happens on a connection beside its exchanges: what hyper gave up before there was a request, and clients that abuse it. Counted and
//! logged here all the same, for no ledger was ever opened. Whether a connection ends is the connection's to decide.

use std::{net::SocketAddr, time::Duration, time::SystemTime};

use http::{HeaderMap, Method, StatusCode};
use weir_meter::{
    log::{Entry, Level},
    trace::TraceContext,
};
use weir_proxy::{downstream::Abuse, summary::Outcome};

use crate::shared::Shared;

/// A connection that hyper gave up, perhaps with an answer of its own: such a request never reached the pipeline, and counts all the same.
pub(crate) fn broken(shared: &Shared, peer: SocketAddr, error: &hyper::Error) {
    let status = match error {
        error if error.is_parse_too_large() => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        error if error.is_parse() => StatusCode::BAD_REQUEST,
        _ => {
            if let Some(reason) = http2_mistake(error) {
                shared.meter.connection_error(reason);
            }
            // The exchange, if there was one, has told its end itself.
            return tracing::debug!(%peer, error = error as &dyn std::error::Error, "connection broke");
        }
    };
    unparsed(
        shared,
        peer,
        status,
        if status == StatusCode::BAD_REQUEST {
            "malformed"
        } else {
            "head_too_large"
        },
    );
}

/// What the client did for which the library ended its HTTP/2 connection; `None`: it did not.
fn http2_mistake(error: &hyper::Error) -> Option<&'static str> {
    let error = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    if !error.is_library() {
        return None;
    }
    Some(match error.reason()? {
        h2::Reason::ENHANCE_YOUR_CALM => "http2_abuse",
        _ => "http2_malformed",
    })
}

/// A client that abuses its connection; each of its requests has told its end itself.
pub(crate) fn abused(shared: &Shared, peer: SocketAddr, how: Abuse) {
    let (reason, what) = match how {
        Abuse::RapidResets => ("rapid_reset", "takes back what it asks for"),
        Abuse::Flood => ("frame_flood", "sends frames that ask for nothing"),
    };
    shared.meter.connection_error(reason);
    tracing::warn!(%peer, "connection closed: the client {what}");
}

fn unparsed(shared: &Shared, peer: SocketAddr, status: StatusCode, reason: &'static str) {
    let gateway = shared.gateway.load();
    let method = Method::from_bytes(b"-").expect("a token");
    shared.meter.connection_error(reason);
    gateway.unrouted.refused(reason);
    gateway.unrouted.finished(
        &method,
        status.as_u16(),
        Duration::ZERO,
        Outcome::Complete.as_str(),
    );
    gateway.log.write(&Entry {
        timestamp: SystemTime::now(),
        level: Level::Info,
        trace: &TraceContext::from_headers(&HeaderMap::new()),
        tenant: None,
        user: None,
        message: "exchange",
        method: method.as_str(),
        path: "-",
        status: status.as_u16(),
        version: "-",
        duration: Duration::ZERO,
        route: gateway.unrouted.name(),
        upstream: None,
        client: peer.ip().to_canonical(),
        outcome: Outcome::Complete.as_str(),
        reason: Some(reason),
        bytes_in: None,
        bytes_out: 0,
        user_agent: None,
        stream: None,
    });
}
