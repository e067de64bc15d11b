//! What stands between a connection's accept and its first byte of HTTP or TLS: room for it, and the PROXY protocol where its listener
//! speaks that. Who is turned away is counted and closed without a word: there is no protocol yet to say one in.

use std::{io, net::SocketAddr};

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use weir_config::plan::{Listener, Plan};
use weir_proxy::proxy_protocol::{self, Said, Step};

use crate::{
    crowd::{Place, PlaceOfAddress},
    shared::Shared,
};

/// A connection that was let in.
#[derive(Debug)]
pub(crate) struct Entered {
    /// Who is at its other end, behind the TCP proxy if there is one.
    pub(crate) peer: SocketAddr,
    /// Its share of its address's connections, where these are bounded.
    pub(crate) of_address: Option<PlaceOfAddress>,
    _place: Place,
}

/// Lets it in, or says why not, as a word for the metrics.
pub(crate) async fn enter(
    stream: &mut TcpStream,
    peer: SocketAddr,
    listener: Option<&Listener>,
    plan: &Plan,
    shared: &Shared,
) -> Result<Entered, &'static str> {
    let place = shared
        .crowd
        .enter(&plan.client)
        .map_err(|full| full.reason())?;
    let peer = if listener.is_some_and(|listener| listener.proxy_protocol) {
        if !plan.trusts(peer.ip()) {
            return Err("proxy_protocol_untrusted");
        }
        match timeout(plan.client.head, header(stream)).await {
            Ok(Ok(Some(client))) => client,
            Ok(Ok(None)) => peer,
            Ok(Err(_)) => return Err("proxy_protocol_malformed"),
            Err(_) => return Err("proxy_protocol_timeout"),
        }
    } else {
        peer
    };
    // Behind a proxy's one address are all its clients.
    let of_address = if plan.trusts(peer.ip()) {
        None
    } else {
        shared
            .crowd
            .enter_from(peer.ip(), &plan.client)
            .map_err(|full| full.reason())?
    };
    Ok(Entered {
        peer,
        of_address,
        _place: place,
    })
}

/// Reads the header and nothing beyond it: what follows is the client's own, perhaps a TLS handshake.
async fn header(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut bytes = Vec::with_capacity(proxy_protocol::LEAST);
    loop {
        match proxy_protocol::step(&bytes).map_err(io::Error::other)? {
            Step::Done(Said::Client(client)) => return Ok(Some(client)),
            Step::Done(Said::Nothing) => return Ok(None),
            Step::More(more) => {
                let had = bytes.len();
                bytes.resize(had + more, 0);
                stream.read_exact(&mut bytes[had..]).await?;
            }
        }
    }
}
