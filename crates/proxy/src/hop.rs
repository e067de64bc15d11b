//! Which headers belong to one connection only and must not travel on (RFC 9110 section 7.6.1).
//! Pure: a header map in, a yes or no per name out.

use http::{HeaderMap, HeaderName, header};

/// The headers that are always of one hop, whatever `Connection` says. `http2-settings` only means something with `Upgrade: h2c`, which is never
/// forwarded. As text, for it is asked of every header: the compiler looks at the length first.
pub(crate) fn is_always(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Answers for one message: made once, asked for each of its headers.
pub(crate) struct HopByHop<'a> {
    named: Vec<&'a [u8]>,
}

impl<'a> HopByHop<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let named = headers
            .get_all(header::CONNECTION)
            .iter()
            // As bytes: one that is not ASCII must not hide the other names of its line.
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            // The two words every client sends need no comparing against every header.
            .filter(|name| {
                !name.is_empty()
                    && !name.eq_ignore_ascii_case(b"keep-alive")
                    && !name.eq_ignore_ascii_case(b"close")
            })
            .collect();
        Self { named }
    }

    pub(crate) fn contains(&self, name: &HeaderName) -> bool {
        is_always(name.as_str()) || self.names(name)
    }

    /// Whether `Connection` says so.
    pub(crate) fn names(&self, name: &HeaderName) -> bool {
        self.named
            .iter()
            .any(|named| name.as_str().as_bytes().eq_ignore_ascii_case(named))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn connection_names_headers_of_one_hop() {
        let mut headers = HeaderMap::new();
        headers.append(
            "connection",
            HeaderValue::from_static("close, X-Forwarded-For"),
        );
        headers.append("connection", HeaderValue::from_static("x-user ,,"));
        let odd =
            HeaderValue::from_bytes(b"\xff, X-Beside-It").expect("obs-text may stand in a value");
        headers.append("connection", odd);
        let hop = HopByHop::of(&headers);
        for (name, is_hop) in [
            ("x-forwarded-for", true),
            ("x-user", true),
            ("x-beside-it", true),
            ("upgrade", true),
            ("http2-settings", true),
            ("te", true),
            ("keep-alive", true),
            ("cookie", false),
            ("close", false),
        ] {
            assert_eq!(
                hop.contains(&HeaderName::from_static(name)),
                is_hop,
                "{name}"
            );
        }
    }
}
