//! A request in the form that its connection takes: written out for HTTP/1.1, a map for hyper's HTTP/2.

use http::{
    HeaderMap, Method, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use weir_h1::RequestHead;

use crate::{outbound::Outbound, watched::Body, websocket::Handshake};

/// See the module.
pub(super) enum Request {
    Http1(weir_h1::Request<Body>),
    Http2(Box<http::Request<Body>>),
}

impl Request {
    pub(super) fn http1(
        method: &Method,
        target: &PathAndQuery,
        headers: &Outbound<'_>,
        body: Body,
    ) -> Self {
        let mut head = RequestHead::new(method, target);
        headers.write(&mut head);
        Self::Http1(head.body(body))
    }

    /// HTTP/2 names the scheme and the authority in the target. `tunnel`: it asks for a WebSocket.
    pub(super) fn http2(
        method: &Method,
        target: &PathAndQuery,
        headers: &Outbound<'_>,
        body: Body,
        scheme: &Scheme,
        tunnel: bool,
    ) -> Self {
        let mut map = HeaderMap::with_capacity(headers.headers.len() + 8);
        headers.write(&mut map);
        let host = map.remove(header::HOST);
        let mut parts = Uri::from(target.clone()).into_parts();
        parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        parts.scheme = parts.authority.as_ref().map(|_| scheme.clone());
        let mut request = http::Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() =
            Uri::from_parts(parts).expect("a path, and both of the others or none");
        *request.headers_mut() = map;
        if tunnel {
            Handshake::by_connect(&mut request);
        }
        Self::Http2(Box::new(request))
    }
}
