//! TLS towards clients: which certificate a name gets, what is asked of its clients, and the handshake.
//!
//! Each `[[listen.tls]]` is a [`Host`] with a rustls configuration of its own, shared by all workers: so tickets and the demand for a
//! client certificate belong to one host, and a session of one is worth nothing at another. What HTTP is spoken over the connection is
//! the connection's business; upstreams have their own TLS in weir-proxy.

mod facts;
mod host;
mod pair;
mod session;
mod watch;

use std::{io, sync::Arc};

use rustls::server::Acceptor;
use tokio_rustls::LazyConfigAcceptor;
use weir_auth::PeerCertificate;
use weir_config::plan;
use weir_meter::Meter;

pub(crate) use host::{Host, Policy};
pub(crate) use pair::Flaw;
pub(crate) use session::Session;
pub(crate) use watch::watch;

use crate::{client::Protocol, socket::Socket};

/// What `weir` offers by ALPN, in its own order of preference.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The hosts of one listener, in the order of the file. The first is the default.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Vec<Arc<Host>>);

impl Hosts {
    /// Loads what the file names; a host that `before` knows already is taken over as it is. `None` for a listener in clear.
    pub(crate) fn build(
        listener: &plan::Listener,
        before: &[Arc<Host>],
        meter: &Meter,
    ) -> Result<Option<Self>, Flaw> {
        let host = |settings: &plan::Tls| match before.iter().find(|had| had.settings() == settings)
        {
            Some(same) => Ok(Arc::clone(same)),
            None => Host::load(settings.clone(), meter).map(Arc::new),
        };
        let hosts: Vec<_> = listener.tls.iter().map(host).collect::<Result<_, _>>()?;
        Ok((!hosts.is_empty()).then_some(Self(hosts)))
    }

    /// The host for a name that a client asks for: the one that names it, else the one with the longest wildcard, else the default.
    pub(crate) fn find(&self, name: Option<&str>) -> &Arc<Host> {
        name.and_then(|name| {
            self.0
                .iter()
                .rev()
                .filter_map(|host| Some((host.fits(name)?, host)))
                .max_by_key(|(fit, _)| *fit)
        })
        .map_or(&self.0[0], |(_, host)| host)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<Host>] {
        &self.0
    }
}

/// What a finished handshake has settled.
#[derive(Debug)]
pub(crate) struct Secured {
    /// What was asked of the client then.
    pub(crate) policy: Option<Arc<Policy>>,
    /// The verified certificate of the client.
    pub(crate) certificate: Option<PeerCertificate>,
    /// What ALPN chose; HTTP/1.1 for a client that knows no ALPN.
    pub(crate) protocol: Protocol,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub(crate) struct Failed {
    /// For the metric.
    pub(crate) reason: &'static str,
    source: io::Error,
}

/// The handshake; `http2`: whether that is offered. It has no clock of its own.
pub(crate) async fn shake(
    socket: Socket,
    hosts: &Hosts,
    http2: bool,
) -> Result<(Session, Secured), Failed> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), socket)
        .await
        .map_err(failed)?;
    // rustls gives the name in lower case and refuses addresses in it; a client that sends none wants the default.
    let name = start.client_hello().server_name().map(str::to_owned);
    let serves = hosts.find(name.as_deref()).serves();
    let mut config = Arc::clone(&serves.config);
    if !http2 {
        Arc::make_mut(&mut config)
            .alpn_protocols
            .retain(|name| name != b"h2");
    }
    let stream = start.into_stream(config).await.map_err(failed)?;
    let certificate = match stream.get_ref().1.peer_certificates() {
        Some([first, ..]) => Some(facts::peer(first).map_err(|error| Failed {
            reason: "client_certificate",
            source: io::Error::other(error),
        })?),
        _ => None,
    };
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    let secured = Secured {
        protocol,
        policy: serves.policy.clone(),
        certificate,
    };
    Ok((Session::new(stream), secured))
}

fn failed(source: io::Error) -> Failed {
    use rustls::Error::{InvalidCertificate, NoCertificatesPresented};
    let inner = source
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    let reason = match inner {
        Some(InvalidCertificate(_) | NoCertificatesPresented) => "client_certificate",
        _ => "tls_handshake",
    };
    Failed { reason, source }
}
