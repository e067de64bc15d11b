//! What a request says to the upstream: facts in, a header list out. The client's own map is only read.
//! Order is policy: hop-by-hop headers first, then everything a client may not claim, weir's own words last, so that nothing a client
//! wrote (`Connection: X-Forwarded-For`, an underscore twin) can take them away again.

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};

use crate::{
    forwarded::{FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, REAL_IP, Sender},
    hop::HopByHop,
    via::add_via,
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Headers about the client's connection: weir knows them first-hand, so a client's copies never pass.
const ABOUT_THE_CLIENT: [HeaderName; 11] = [
    FORWARDED_FOR,
    FORWARDED_PROTO,
    FORWARDED_HOST,
    REAL_IP,
    header::FORWARDED,
    TRACEPARENT,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// The facts a request's headers are decided from.
pub struct Outbound<'a> {
    /// What the client sent.
    pub headers: &'a HeaderMap,
    /// The `Host` that the upstream shall see.
    pub host: HeaderValue,
    /// The authority that the client asked for.
    pub asked: HeaderValue,
    /// Who sent it, and through which proxies.
    pub sender: &'a Sender,
    /// The version it came in, where weir is to name itself in `Via`.
    pub via: Option<Version>,
    /// Who it is, as headers; written last.
    pub identity: &'a [(HeaderName, HeaderValue)],
    /// weir's own span, so that the upstream's becomes its child.
    pub traceparent: HeaderValue,
    /// Names that only weir may write; asked for lower-case names.
    pub reserved: &'a dyn Fn(&str) -> bool,
}

impl Outbound<'_> {
    /// The list to send.
    pub fn headers(&self) -> HeaderMap {
        let hop = HopByHop::of(self.headers);
        let mut out = HeaderMap::with_capacity(self.headers.len() + 8);
        out.insert(header::HOST, self.host.clone());
        for (name, value) in self.headers {
            if !hop.contains(name) && !self.refuses(name) {
                out.append(name, value.clone());
            }
        }
        self.sender.write(&mut out, &self.asked);
        if let Some(version) = self.via {
            add_via(&mut out, version);
        }
        out.insert(TRACEPARENT, self.traceparent.clone());
        for (name, value) in self.identity {
            out.insert(name, value.clone());
        }
        out
    }

    /// Underscores: CGI-style servers read `X_User` and `X-User` as one name, so the twin could be forged (nginx drops them as well).
    /// Expect: answered by weir itself. Content-Length: written anew from the body, in its canonical form.
    fn refuses(&self, name: &HeaderName) -> bool {
        name == header::HOST
            || name == header::EXPECT
            || name == header::CONTENT_LENGTH
            || (self.reserved)(name.as_str())
            || name.as_str().contains('_')
            || ABOUT_THE_CLIENT.contains(name)
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
        Outbound {
            headers: &map,
            host: HeaderValue::from_static("a.test"),
            asked: HeaderValue::from_static("asked.test"),
            sender: &Sender::direct("192.0.2.7".parse().unwrap(), false),
            via: None,
            identity: &[(
                HeaderName::from_static("x-weir-user"),
                HeaderValue::from_static("ana"),
            )],
            traceparent: HeaderValue::from_static("00-1-2-01"),
            reserved: &|name| name.starts_with("x-weir-"),
        }
        .headers()
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
        assert_eq!(one("traceparent"), ["00-1-2-01"]);
        for gone in [
            "forwarded",
            "x-original-url",
            "x-weir-roles",
            "x_weir_user",
            "connection",
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
