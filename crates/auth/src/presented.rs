//! Everything that a request and its connection bring for a verifier to look at.

use http::HeaderMap;

use crate::PeerCertificate;

/// What somebody presents.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Of the request, as sent.
    pub headers: &'a HeaderMap,
    /// The query of a request that upgrades its connection, and `None` for every other: see
    /// [`TokenSource::Query`](crate::TokenSource::Query).
    pub upgrade: Option<&'a str>,
    /// What the peer has shown in the TLS handshake.
    pub certificate: Option<&'a PeerCertificate>,
}

impl<'a> Presented<'a> {
    /// Headers and nothing else.
    pub fn of(headers: &'a HeaderMap) -> Self {
        Self {
            headers,
            upgrade: None,
            certificate: None,
        }
    }
}
