//! WebSockets: a request that asks for one, by HTTP/1.1's `Upgrade` or HTTP/2's extended CONNECT (RFC 8441), and the tunnel behind a 101 that
//! grants it. Every check of the pipeline comes before; every other `Upgrade` is not obeyed and does not travel.

use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header, request::Parts};
use hyper::ext::Protocol;
use weir_h1::server::Switch;
use weir_proxy::{
    Body, Upgraded,
    send::Answer,
    tunnel::{ClientSide, Tunnel},
    websocket::Handshake,
};
use weir_wire::Fault;

use crate::{client::Client, forward::Passed, ledger::Ledger};

/// What is wrong with a request that asks for another protocol. Headers that `Connection` names stay here (RFC 9110 section 7.6.1); without
/// one of its own the handshake would mean something else to the upstream than to weir, which has read it whole.
pub(crate) fn fault(headers: &HeaderMap) -> Option<Fault> {
    const OWN: &[u8] = b"sec-websocket-";
    let mut named = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let is_own = |name: &[u8]| {
        let start = name.get(..OWN.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(OWN))
    };
    named.any(is_own).then_some(Fault::Handshake)
}

/// A client's wish for a tunnel.
pub(crate) struct Upgrade {
    /// What it asked for.
    pub(crate) handshake: Handshake,
    /// By extended CONNECT: a 2xx grants it, whatever the upstream meant by that.
    pub(crate) by_connect: bool,
    /// What stands for the client's side once this is granted.
    client: ClientSide,
    /// Hands it over, where it is a whole connection.
    switch: Option<Switch>,
}

impl Upgrade {
    /// Takes the wish out of a request. An extended CONNECT becomes the upgrade it stands for, so that routing, identity and the Origin rule
    /// see one kind of request.
    pub(crate) fn take(head: &mut Parts, has_body: bool) -> Option<Self> {
        let by_connect = head.method == Method::CONNECT
            && head
                .extensions
                .get::<Protocol>()
                .is_some_and(|protocol| protocol.as_str() == "websocket");
        if by_connect {
            head.method = Method::GET;
            Handshake::ask(&mut head.headers);
        }
        // RFC 9110 section 7.8: of HTTP/1.0 it is to be ignored.
        if head.version < Version::HTTP_11 {
            return None;
        }
        let handshake = Handshake::of(&head.method, &head.headers, has_body)?;
        let (switch, client) = if head.version == Version::HTTP_2 {
            // hyper hands it out of a request, and only there.
            let mut request = Request::new(());
            std::mem::swap(request.extensions_mut(), &mut head.extensions);
            let upgraded = hyper::upgrade::on(&mut request);
            head.extensions = std::mem::take(request.extensions_mut());
            (None, ClientSide::Http2(upgraded))
        } else {
            let (switch, switched) = Switch::new();
            (Some(switch), ClientSide::Http1(switched))
        };
        Some(Self {
            handshake,
            by_connect,
            client,
            switch,
        })
    }

    /// The answer that grants it; the tunnel takes the ledger with it and runs beside the connection.
    pub(crate) fn grant(
        self,
        passed: Passed<'_>,
        upstream: Upgraded,
        mut ledger: Ledger,
        client: &Client,
    ) -> Response<Body> {
        let Passed {
            answer: Answer {
                mut head, lease, ..
            },
            timeouts,
            upload,
            ..
        } = passed;
        if self.by_connect {
            head.status = StatusCode::OK;
            head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
        } else {
            Handshake::write(&mut head.headers);
        }
        ledger.answered(head.status, &mut head.headers, false, |_| Some(0));
        let tunnel = Tunnel {
            client: self.client,
            upstream,
            lease,
            exchange: ledger.into_exchange(None),
            upload,
            idle: timeouts.tunnel,
        };
        client.tasks.add(tunnel.run());
        if let Some(switch) = self.switch {
            head.extensions.insert(switch);
        }
        Response::from_parts(*head, Body::empty())
    }
}
