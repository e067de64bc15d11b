//! What can go wrong between a client and an upstream: whose fault it is, and at which step. Turning it into a status is the binary's.

use thiserror::Error;

use crate::summary::Outcome;

/// Why a body broke.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The request body is larger than the route allows.
    #[error("the request body is larger than allowed")]
    TooLarge,
    /// The client stopped sending in the middle of its body.
    #[error("the client stopped sending its body")]
    ClientStalled,
    /// The client broke off or broke the framing of its body.
    #[error("the client's body broke off")]
    Client(#[source] ClientFault),
    /// The upstream broke off or broke the framing of its answer.
    #[error("the upstream's answer broke off")]
    Upstream(#[source] Box<UpstreamError>),
    /// A file could not be read to its end.
    #[error("a file could not be read to its end")]
    File(#[source] std::io::Error),
    /// An answer could not be compressed to its end, because what it is made of broke off.
    #[error("the compressed answer broke off")]
    Encoded(#[source] std::io::Error),
    /// weir ended the answer; the outcome says why.
    #[error("the answer was ended: {}", .0.as_str())]
    Ended(Outcome),
}

/// What went wrong on a client's connection.
#[derive(Debug, Error)]
pub enum ClientFault {
    /// In HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] weir_h1::server::Broken),
    /// In HTTP/2.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

/// What went wrong on a server's connection.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// In HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] weir_h1::Fault<BodyError>),
    /// In HTTP/2.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

/// Why no answer came from an upstream.
#[derive(Debug, Error)]
pub enum SendError {
    /// Every server is down by its health checks.
    #[error("no server of the upstream is healthy")]
    NoHealthyServer,
    /// No server took a connection.
    #[error("no server of the upstream could be reached")]
    Connect(#[source] std::io::Error),
    /// A server took the connection, but does not speak HTTP/2, which the file says it does.
    #[error("no server of the upstream speaks HTTP/2")]
    NoHttp2(#[source] std::io::Error),
    /// The connect clock ran out on the last server tried.
    #[error("connecting to the upstream took too long")]
    ConnectTimeout,
    /// The answer's head did not come in time.
    #[error("the upstream's answer did not begin in time")]
    HeadersTimeout,
    /// The connection died or spoke nonsense before a whole head had come.
    #[error("the upstream gave no valid answer")]
    Failed(#[source] UpstreamError),
    /// The upstream answered with a status above 599, which no class of HTTP has (RFC 9110 section 15).
    #[error("the upstream answered with a status that HTTP has not")]
    UnknownStatus,
    /// The upstream answered 101 to a request that asked for no upgrade, or for another one.
    #[error("the upstream switched protocols without being asked")]
    UnexpectedUpgrade,
    /// The upstream answered as if there had been no wish for a tunnel, to a client that would take its answer for one.
    #[error("the upstream did not switch protocols")]
    NotUpgraded,
    /// The upstream speaks HTTP/2 and has not said that it takes WebSockets there (RFC 8441).
    #[error("the upstream takes no WebSockets by HTTP/2")]
    NoWebSockets,
    /// The client's own body broke while it was being sent.
    #[error("the request body could not be forwarded")]
    RequestBody(#[source] BodyFault),
}

impl SendError {
    /// What a failed attempt to connect comes to.
    pub(crate) fn connecting(failed: std::io::Error) -> Self {
        let inner = failed.get_ref();
        if inner.is_some_and(|error| error.is::<NoHttp2>()) {
            Self::NoHttp2(failed)
        } else {
            Self::Connect(failed)
        }
    }
}

/// A server was reached that does not speak HTTP/2.
#[derive(Clone, Copy, Debug, Error)]
#[error("the server does not speak HTTP/2")]
pub(crate) struct NoHttp2;

impl From<NoHttp2> for std::io::Error {
    fn from(error: NoHttp2) -> Self {
        Self::new(std::io::ErrorKind::Unsupported, error)
    }
}

/// The client's share of a [`BodyError`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BodyFault {
    /// Larger than the route allows.
    #[error("larger than allowed")]
    TooLarge,
    /// It stopped coming.
    #[error("it stopped coming")]
    Stalled,
    /// It broke off or was badly framed.
    #[error("broken off or badly framed")]
    Broken,
}

impl BodyFault {
    /// The client's fault behind an upstream's error, if there is one in its chain.
    pub(crate) fn behind(error: &UpstreamError) -> Option<Self> {
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            match error.downcast_ref::<BodyError>() {
                Some(BodyError::TooLarge) => return Some(Self::TooLarge),
                Some(BodyError::ClientStalled) => return Some(Self::Stalled),
                Some(BodyError::Client(_)) => return Some(Self::Broken),
                Some(
                    BodyError::Upstream(_)
                    | BodyError::File(_)
                    | BodyError::Encoded(_)
                    | BodyError::Ended(_),
                ) => {
                    return None;
                }
                None => cause = error.source(),
            }
        }
        None
    }
}
