//! What a request says to the upstream: a plan of what is dropped, passed and added, and its lines written wherever they are to go, once for
//! each try. The client's own map is only read. Order is policy: hop-by-hop headers first, then everything a client may not claim, weir's
//! own words last, so that nothing a client wrote (`Connection: X-Forwarded-For`, an underscore twin) can take them away again.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use weir_h1::RequestHead;

use crate::{
    forwarded::Sender,
    hop::{self, HopByHop},
    via::via,
    websocket::Handshake,
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Headers about the client's connection: weir knows them first-hand, so a client's copies never pass.
fn is_about_the_client(name: &str) -> bool {
    matches!(
        name,
        "forwarded"
            | "traceparent"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-port"
            | "x-forwarded-prefix"
            | "x-forwarded-proto"
            | "x-forwarded-server"
            | "x-original-url"
            | "x-real-ip"
            | "x-rewrite-url"
    )
}

/// Other names by which proxies of all makes speak of the client. weir writes none of them, so whoever believes one would believe the client
/// itself; from a trusted proxy they pass.
fn is_claim(name: &str) -> bool {
    name.starts_with("x-forwarded")
        || matches!(
            name,
            "cf-connecting-ip"
                | "client-ip"
                | "fastly-client-ip"
                | "forwarded-for"
                | "front-end-https"
                | "true-client-ip"
                | "x-azure-clientip"
                | "x-azure-socketip"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "x-envoy-external-address"
                | "x-original-forwarded-for"
                | "x-original-host"
                | "x-url-scheme"
        )
}

/// What nearly every request consists of, none of it about a connection or a claim. Asked first, because all the other questions would
/// only be answered with no.
fn is_everyday(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-encoding"
            | "accept-language"
            | "authorization"
            | "cache-control"
            | "content-type"
            | "cookie"
            | "origin"
            | "pragma"
            | "priority"
            | "referer"
            | "sec-ch-ua"
            | "sec-ch-ua-mobile"
            | "sec-ch-ua-platform"
            | "sec-fetch-dest"
            | "sec-fetch-mode"
            | "sec-fetch-site"
            | "user-agent"
    )
}

/// As the environment variable `HTTP_PROXY` of a CGI program it would send that program's own requests wherever the client likes
/// (CVE-2016-5385).
const PROXY: HeaderName = HeaderName::from_static("proxy");

/// The facts a request's headers are decided from.
pub struct Outbound<'a> {
    /// What the client sent.
    pub headers: &'a HeaderMap,
    /// The `Host` that the upstream shall see.
    pub host: &'a [u8],
    /// The authority that the client asked for.
    pub asked: &'a [u8],
    /// Who sent it, and through which proxies.
    pub sender: &'a Sender,
    /// The version it came in, where weir is to name itself in `Via`.
    pub via: Option<Version>,
    /// What of it stays here: names that only weir may write, and credentials that it has read.
    pub withheld: &'a [HeaderName],
    /// Who it is, in printable ASCII; what has no text is not known. A client's own of these names is withheld.
    pub caller: &'a [(HeaderName, Cow<'a, str>)],
    /// What else weir says; written last, and a client's own withheld likewise.
    pub added: &'a [(HeaderName, HeaderValue)],
    /// It asks for a WebSocket.
    pub upgrade: bool,
    /// weir's own span, so that the upstream's becomes its child.
    pub traceparent: [u8; 55],
}

/// Where the lines of a head go.
pub(crate) trait Lines {
    fn line(&mut self, name: &HeaderName, value: &HeaderValue);
    /// The same of text that is no value yet.
    fn text(&mut self, name: &HeaderName, text: &[u8]);
}

impl Lines for RequestHead {
    fn line(&mut self, name: &HeaderName, value: &HeaderValue) {
        Self::line(self, name, value);
    }

    fn text(&mut self, name: &HeaderName, text: &[u8]) {
        Self::text(self, name, text);
    }
}

impl Lines for HeaderMap {
    fn line(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.append(name, value.clone());
    }

    fn text(&mut self, name: &HeaderName, text: &[u8]) {
        if let Ok(value) = HeaderValue::from_bytes(text) {
            self.append(name, value);
        }
    }
}

impl Outbound<'_> {
    /// Writes the lines.
    pub(crate) fn write(&self, out: &mut impl Lines) {
        let hop = HopByHop::of(self.headers);
        out.text(&header::HOST, self.host);
        for (name, value) in self.headers {
            let stays = if is_everyday(name.as_str()) {
                hop.names(name) || self.withheld.contains(name)
            } else {
                hop.contains(name) || self.refuses(name)
            };
            if !stays {
                out.line(name, value);
            }
        }
        self.sender.write(out, self.asked);
        if let Some(version) = self.via {
            out.line(&header::VIA, &via(version));
        }
        out.text(&TRACEPARENT, &self.traceparent);
        for (name, text) in self.caller.iter().filter(|(_, text)| !text.is_empty()) {
            out.text(name, text.as_bytes());
        }
        for (name, value) in self.added {
            out.line(name, value);
        }
        if self.upgrade {
            for (name, value) in &Handshake::LINES {
                out.line(name, value);
            }
        }
    }

    /// Expect: answered by weir itself. Content-Length: written anew from the body, in its canonical form.
    fn refuses(&self, name: &HeaderName) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !name.as_str().bytes().all(plain) {
            return self.refuses_odd(name);
        }
        matches!(name.as_str(), "host" | "expect" | "content-length")
            || is_about_the_client(name.as_str())
            || self.withheld.contains(name)
            || *name == PROXY
            || (!self.sender.is_vouched_for() && is_claim(name.as_str()))
    }

    /// CGI-style servers read `X_User` and `X-User` as one name, so the twin could be forged: none with `_` passes (nginx drops them as well).
    /// Some make `_` of every other character of a token too, so such a name passes only where its twin would.
    #[cold]
    fn refuses_odd(&self, name: &HeaderName) -> bool {
        if name.as_str().contains('_') || self.withheld.contains(name) {
            return true;
        }
        let twin = name
            .as_str()
            .replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let twin = HeaderName::try_from(twin).expect("a token's characters for a token's");
        hop::is_always(twin.as_str()) || self.refuses(&twin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let mut out = HeaderMap::new();
        Outbound {
            headers: &map,
            host: b"a.test",
            asked: b"asked.test",
            sender: &Sender::direct("192.0.2.7".parse().unwrap(), false),
            via: None,
            withheld: &[
                header::AUTHORIZATION,
                HeaderName::from_static("x-weir-user"),
                HeaderName::from_static("x-weir-roles"),
            ],
            caller: &[
                (HeaderName::from_static("x-weir-user"), "ana".into()),
                (HeaderName::from_static("x-weir-tenant"), "".into()),
            ],
            added: &[],
            upgrade: false,
            traceparent: *b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        }
        .write(&mut out);
        out
    }

    #[test]
    fn what_a_client_claims_never_arrives() {
        let out = sent(&[
            ("host", "evil.test"),
            ("connection", "X-Forwarded-For, X-Weir-User, traceparent"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("x-original-url", "/admin"),
            ("x-weir-user", "admin"),
            ("x-weir-roles", "admin"),
            ("x_weir_user", "admin"),
            ("traceparent", "00-forged"),
            ("authorization", "Bearer a.b.c"),
            ("x-forwarded-ssl", "on"),
            ("cf-connecting-ip", "1.2.3.4"),
            ("proxy", "http://evil.test"),
            ("x.weir.user", "admin"),
            ("x-weir!roles", "admin"),
            ("x.forwarded.for", "1.2.3.4"),
            ("x~real~ip", "1.2.3.4"),
            ("cf.connecting-ip", "1.2.3.4"),
            ("content|length", "7"),
            ("transfer.encoding", "chunked"),
            ("x.harmless", "1"),
        ]);
        let one = |name: &str| {
            out.get_all(name)
                .iter()
                .map(|v| v.to_str().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(one("host"), ["a.test"]);
        assert_eq!(one("x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(one("x-real-ip"), ["192.0.2.7"]);
        assert_eq!(one("x-forwarded-proto"), ["http"]);
        assert_eq!(one("x-forwarded-host"), ["asked.test"]);
        assert_eq!(one("x-weir-user"), ["ana"]);
        assert_eq!(
            one("traceparent"),
            ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
        );
        for gone in [
            "forwarded",
            "x-original-url",
            "x-weir-roles",
            "x-weir-tenant",
            "x_weir_user",
            "connection",
            "authorization",
            "x-forwarded-ssl",
            "cf-connecting-ip",
            "proxy",
            "x.weir.user",
            "x-weir!roles",
            "x.forwarded.for",
            "x~real~ip",
            "cf.connecting-ip",
            "content|length",
            "transfer.encoding",
        ] {
            assert!(!out.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn what_is_the_clients_own_arrives() {
        let out = sent(&[
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("accept", "*/*"),
            ("tracestate", "x=1"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
        ]);
        assert_eq!(out.get_all("cookie").iter().count(), 2);
        assert_eq!(out["accept"], "*/*");
        assert_eq!(out["tracestate"], "x=1");
        assert!(!out.contains_key("expect") && !out.contains_key("upgrade"));
    }
}
