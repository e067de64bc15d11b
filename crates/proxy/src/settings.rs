//! What an upstream and a stream are to do, as validated values. The configuration builds these; this crate only obeys them.

use std::{fmt, net::SocketAddr, time::Duration};

use http::{HeaderValue, Uri};
use rustls::pki_types::{CertificateDer, ServerName};

/// One upstream: the servers that can take an exchange, and how they are talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The name in the file; the `upstream` label of metrics.
    pub name: String,
    /// At least one server.
    pub servers: Vec<Server>,
    /// How its servers prove who they are; `None`: they are spoken to in clear.
    pub tls: Option<Tls>,
    /// HTTP/2 is spoken with them: by ALPN, or in clear with prior knowledge.
    pub http2: bool,
    /// How one of several servers is chosen.
    pub balance: Balance,
    /// Active health checks; `None`: every server counts as healthy.
    pub health: Option<HealthCheck>,
    /// The clocks of an exchange with this upstream.
    pub timeout: Timeouts,
    /// How idle connections are kept.
    pub keep_alive: KeepAlive,
    /// How often an idempotent request without a body may be tried again after a connection died before its first answer byte.
    /// Connect errors and requests that were provably not sent are tried on another server in any case.
    pub retries: u32,
    /// The `Host` the upstream sees; `None`: the client's.
    pub host: Option<HeaderValue>,
}

/// One address of an upstream, as written in the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// `127.0.0.1:8001`, `[::1]:8001`
    Address(SocketAddr),
    /// `agents:8002`: resolved at each connect, so a container that moved is found again.
    Name {
        /// The name to resolve.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// TLS towards an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whose certificates are believed.
    pub roots: Roots,
    /// The name that the certificate must be for, and that is asked for (SNI); `None`: the server's own host.
    pub server_name: Option<ServerName<'static>>,
}

/// Whose certificates are believed.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Roots {
    /// The authorities that the operating system trusts: an operator keeps them current there, and adds the company's own there. A list
    /// compiled in would age with the binary; asking the platform's own verifier would block a worker while it looks for revocations.
    #[default]
    System,
    /// These authorities and no others.
    Only(Vec<CertificateDer<'static>>),
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::Only(certificates) => write!(f, "Only({} certificates)", certificates.len()),
        }
    }
}

/// How one of several healthy servers is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest exchanges in flight, over all workers. The right choice for streams of very different length.
    LeastInFlight,
}

/// An active check: `GET path`, any 2xx within `timeout` is a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Origin-form target, starting with `/`.
    pub path: Uri,
    /// From the end of one check to the start of the next.
    pub interval: Duration,
    /// For connect, request and answer head together.
    pub timeout: Duration,
    /// So many failures in a row take a server out.
    pub unhealthy_after: u32,
    /// So many successes in a row bring it back.
    pub healthy_after: u32,
}

/// The clocks of one exchange; each names itself when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP connect, name resolution included.
    pub connect: Duration,
    /// From the request being sent to the answer's head.
    pub headers: Duration,
    /// From a stream's head to its first event; `None`: the idle clock alone.
    pub first_event: Option<Duration>,
    /// The longest gap between two pieces of a body.
    pub idle: Duration,
    /// The whole body; `None`: no limit.
    pub total: Option<Duration>,
    /// How long both sides of a tunnel may be silent.
    pub tunnel: Duration,
}

impl Default for Timeouts {
    /// Values that do not break a language model's stream: 2 s, 60 s, none, 300 s, none, and 1 h for tunnels.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            headers: Duration::from_secs(60),
            first_event: None,
            idle: Duration::from_secs(300),
            total: None,
            tunnel: Duration::from_secs(3600),
        }
    }
}

/// How idle upstream connections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// An idle connection is let go after this. Node and uvicorn close at 5 s; letting go first avoids the race.
    pub idle: Duration,
    /// The most idle connections kept per server, all workers together.
    pub max: u32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(4),
            max: 256,
        }
    }
}

/// What a route asks of the streams it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPolicy {
    /// An answer without a length is a stream whatever its type (`stream = true`).
    pub always: bool,
    /// A comment (`: weir`) goes to the client after so much silence, between events of an SSE stream only.
    pub comment_every: Option<Duration>,
    /// Whether a stream that breaks may be ended with an error event of its own dialect before the unclean end.
    pub error_event: bool,
    /// What becomes of the upstream when the client leaves.
    pub on_disconnect: OnDisconnect,
}

impl Default for StreamPolicy {
    fn default() -> Self {
        Self {
            always: false,
            comment_every: None,
            error_event: true,
            on_disconnect: OnDisconnect::Cancel,
        }
    }
}

/// What becomes of the upstream's answer when the client leaves a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The upstream connection is closed at once.
    Cancel,
    /// The answer is read to its end and thrown away, within these bounds: for upstreams that an abort breaks.
    Drain {
        /// The longest time spent on it.
        time: Duration,
        /// The most bytes read.
        bytes: u64,
    },
}
