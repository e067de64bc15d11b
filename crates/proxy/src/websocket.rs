//! The handshake of a WebSocket (RFC 6455 section 4): what asks for one, and whether an answer truly grants it. Nothing may tunnel before both
//! are certain: a gateway that believes any 101 lets the two sides disagree on where a request ends. Pure, but for the random key.

use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header, response};
use hyper::ext::Protocol;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");
/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A handshake that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What the answer must prove to have read.
    accept: String,
}

impl Handshake {
    /// The handshake a request asks for; `None` for every other request, whose `Upgrade`, if it has one, is not obeyed.
    pub fn of(method: &Method, headers: &HeaderMap, has_body: bool) -> Option<Self> {
        let asks = *method == Method::GET
            && !has_body
            && switches(headers)
            && single(headers, &header::SEC_WEBSOCKET_VERSION)? == "13";
        let key = single(headers, &header::SEC_WEBSOCKET_KEY)?.as_bytes();
        let whole = STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
        (asks && whole).then(|| Self {
            accept: accept(key),
        })
    }

    /// Makes an upgrade of a request that had no need to ask for one: an extended CONNECT (RFC 8441).
    pub fn ask(headers: &mut HeaderMap) {
        let mut key = [0; 16];
        rand::fill(&mut key).expect("the operating system has random bytes");
        let key = HeaderValue::from_str(&STANDARD.encode(key)).expect("base64 is visible ASCII");
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        Self::write(headers);
    }

    /// Asks by extended CONNECT (RFC 8441 section 5) instead of by the headers of HTTP/1.1.
    pub(crate) fn by_connect<B>(request: &mut Request<B>) {
        *request.method_mut() = Method::CONNECT;
        let protocol = Protocol::from_static("websocket");
        request.extensions_mut().insert(protocol);
        for name in [
            header::CONNECTION,
            header::UPGRADE,
            header::SEC_WEBSOCKET_KEY,
        ] {
            request.headers_mut().remove(name);
        }
    }

    /// Makes the answer that granted an extended CONNECT the one that grants this handshake.
    pub(crate) fn grant(&self, head: &mut response::Parts) {
        head.status = StatusCode::SWITCHING_PROTOCOLS;
        let accept = HeaderValue::from_str(&self.accept).expect("base64 is visible ASCII");
        head.headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }

    /// The two headers of one hop that make a message an upgrade, of requests and of answers.
    pub fn write(headers: &mut HeaderMap) {
        for (name, value) in Self::LINES {
            headers.insert(name, value);
        }
    }

    pub(crate) const LINES: [(HeaderName, HeaderValue); 2] =
        [(header::CONNECTION, UPGRADE), (header::UPGRADE, WEBSOCKET)];

    /// Whether a 101 with these headers grants this handshake.
    pub(crate) fn is_granted(&self, headers: &HeaderMap) -> bool {
        switches(headers)
            && single(headers, &header::SEC_WEBSOCKET_ACCEPT)
                .is_some_and(|proof| proof.as_bytes() == self.accept.as_bytes())
    }
}

fn accept(key: &[u8]) -> String {
    let text = [key, GUID].concat();
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &text))
}

/// `Upgrade: websocket` and nothing else, and `Connection` names it.
fn switches(headers: &HeaderMap) -> bool {
    let named = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    named
        && single(headers, &header::UPGRADE)
            .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];

    fn lines(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn asked(headers: &[(&'static str, &'static str)]) -> Option<Handshake> {
        Handshake::of(&Method::GET, &lines(headers), false)
    }

    #[test]
    fn the_example_of_the_rfc_is_granted() {
        let handshake = asked(&GOOD).unwrap();
        let granted = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        assert!(handshake.is_granted(&lines(&granted)));
        for without in 0..3 {
            let mut headers = granted.to_vec();
            headers.remove(without);
            assert!(!handshake.is_granted(&lines(&headers)), "{headers:?}");
            let mut headers = granted.to_vec();
            headers.push(granted[without]);
            // `Connection` may come in several lines.
            assert_eq!(handshake.is_granted(&lines(&headers)), without == 0);
        }
        for (at, wrong) in [
            (0, "close"),
            (1, "h2c"),
            (2, "s3pPLMBiTxaQ9kYGzzhZRbK+xOO="),
        ] {
            let mut headers = granted;
            headers[at].1 = wrong;
            assert!(!handshake.is_granted(&lines(&headers)), "{headers:?}");
        }
    }

    #[test]
    fn what_is_not_quite_a_handshake_is_none() {
        for (at, wrong) in [
            (0, "keep-alive"),
            (1, "h2c"),
            (1, "websocket, h2c"),
            (2, ""),
            (2, "c2hvcnQ="),
            (2, "not base64 at all !!!!!!"),
            (3, "8"),
        ] {
            let mut headers = GOOD;
            headers[at].1 = wrong;
            assert_eq!(asked(&headers), None, "{wrong:?}");
        }
        let mut twice = GOOD.to_vec();
        twice.push(GOOD[2]);
        assert_eq!(asked(&twice), None);

        let good = lines(&GOOD);
        assert_eq!(Handshake::of(&Method::POST, &good, false), None);
        assert_eq!(Handshake::of(&Method::GET, &good, true), None);
    }

    #[test]
    fn one_asked_for_by_weir_is_whole() {
        let mut connect = HeaderMap::new();
        Handshake::ask(&mut connect);
        assert!(Handshake::of(&Method::GET, &connect, false).is_some());
    }
}
