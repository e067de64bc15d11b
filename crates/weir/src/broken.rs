//! What goes wrong on a connection beside its exchanges, each of which has told its end itself: counted and logged here. Whether a connection
//! ends is the connection's to decide.

use std::{io, net::SocketAddr};

use weir_proxy::downstream::Abuse;

use crate::shared::Shared;

/// Why a connection broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broke {
    /// In HTTP/1.1: the socket, or the answer that was under way.
    #[error(transparent)]
    Http1(#[from] io::Error),
    /// In HTTP/2.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

/// A connection broke.
pub(crate) fn broken(shared: &Shared, peer: SocketAddr, error: &Broke) {
    if let Broke::Http2(error) = error
        && let Some(reason) = http2_mistake(error)
    {
        shared.meter.connection_error(reason);
    }
    tracing::debug!(%peer, error = error as &dyn std::error::Error, "connection broke");
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

/// A client that abuses its connection.
pub(crate) fn abused(shared: &Shared, peer: SocketAddr, how: Abuse) {
    let (reason, what) = match how {
        Abuse::RapidResets => ("rapid_reset", "takes back what it asks for"),
        Abuse::Flood => ("frame_flood", "sends frames that ask for nothing"),
    };
    shared.meter.connection_error(reason);
    tracing::warn!(%peer, "connection closed: the client {what}");
}
