//! What an answer says to the client: an upstream's headers without those of its hop, and the words that keep further proxies' hands off a stream.
//! Also decides what a stream is (by the answer's type, never by what the request accepts).

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, response};
use weir_llm::Media;

use crate::{hop::HopByHop, incoming::Incoming};

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What kind of answer it is, decided once from its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// It is a stream: passed on piece by piece, metered by event, never compressed.
    pub stream: bool,
    /// How its events are told apart.
    pub media: Media,
    /// Its events can be read: a server-sent-events stream in plain form.
    pub readable: bool,
    /// weir may put words of its own between its events: they can be read, and no length was declared.
    pub injectable: bool,
    /// One JSON object in plain form, and no stream.
    pub json: bool,
    /// Its bytes are in a coding (gzip, say), so that nothing in it can be read.
    pub encoded: bool,
    /// It ends where the upstream's connection ends, so the framing cannot tell died from done.
    pub close_delimited: bool,
    /// It has no body by its method or status (RFC 9112 section 6.3): hyper drops such a body unpolled.
    pub bodyless: bool,
}

impl Kind {
    /// Decides from the answer's head; `always` is the route's `stream = true`.
    pub fn of(method: &Method, head: &response::Parts, body: &Incoming, always: bool) -> Self {
        // Walked once: to look each of them up takes three times as long in a map of this size.
        let (mut chunked, mut sized, mut encoded, mut kind) = (false, false, false, None);
        for (name, value) in &head.headers {
            match name.as_str() {
                "transfer-encoding" => chunked = true,
                "content-length" => sized = true,
                "content-encoding" => encoded |= !is_no_coding(value),
                "content-type" if kind.is_none() => kind = Some(value),
                _ => {}
            }
        }
        sized &= !chunked;
        let bodyless = *method == Method::HEAD
            || head.status.is_informational()
            || matches!(
                head.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        let essence = kind.map_or("", essence_of);
        let stream = !bodyless && (is_stream_type(essence) || (always && !sized));
        let media = Media::of(essence.as_bytes());
        let readable = stream && media == Media::Sse && !encoded;
        Self {
            stream,
            media,
            readable,
            injectable: readable && !sized,
            json: !stream && !bodyless && is_json(essence) && !encoded,
            encoded,
            close_delimited: head.version < Version::HTTP_2
                && !sized
                && !chunked
                && !bodyless
                && !body.is_end_stream(),
            bodyless,
        }
    }
}

fn is_json(essence: &str) -> bool {
    essence.eq_ignore_ascii_case("application/json")
}

/// Takes away what was of the upstream's hop and adds what a stream needs on its way through further proxies.
pub fn inbound(status: StatusCode, headers: &mut HeaderMap, stream: bool) {
    // RFC 9112 section 6.3: the coding decides, and a forwarder takes the length away. RFC 9110 section 8.6: a 204 has none, and by HTTP/2 a
    // client takes one without the bytes for an answer that broke.
    let lengthless = status == StatusCode::NO_CONTENT
        || headers
            .keys()
            .any(|name| *name == header::TRANSFER_ENCODING);
    let hop = HopByHop::of(headers);
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            hop.contains(name)
                // Addressed to the proxy in front of the upstream, which is weir: obeyed by never buffering, not passed on.
                || **name == ACCEL_BUFFERING
                || lengthless && **name == header::CONTENT_LENGTH
        })
        .cloned()
        .collect();
    for name in gone {
        headers.remove(name);
    }
    if stream {
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
        if !says_no_transform(headers) {
            headers.append(
                header::CACHE_CONTROL,
                HeaderValue::from_static("no-transform"),
            );
        }
    }
}

/// Whether Cache-Control asks proxies to keep their hands off.
pub(crate) fn says_no_transform(headers: &HeaderMap) -> bool {
    headers.get_all(header::CACHE_CONTROL).iter().any(|value| {
        value
            .as_bytes()
            .to_ascii_lowercase()
            .windows(12)
            .any(|word| word == b"no-transform")
    })
}

/// The media type without parameters, as sent (compared without regard to case).
pub(crate) fn essence(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).map_or("", essence_of)
}

fn essence_of(kind: &HeaderValue) -> &str {
    let kind = kind.to_str().unwrap_or("");
    kind.split(';').next().unwrap_or("").trim()
}

pub(crate) fn is_stream_type(essence: &str) -> bool {
    const TYPES: [&str; 6] = [
        "text/event-stream",
        "multipart/mixed",
        "application/x-ndjson",
        "application/vnd.amazon.eventstream",
        "application/vnd.ag-ui.event+proto",
        "application/grpc",
    ];
    TYPES.iter().any(|kind| essence.eq_ignore_ascii_case(kind))
        || essence
            .get(..17)
            .is_some_and(|head| head.eq_ignore_ascii_case("application/grpc+"))
}

/// Whether the bytes are the text itself.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(is_no_coding)
}

/// `none` is not a coding, but servers in the field send it.
fn is_no_coding(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    value.is_empty()
        || value.eq_ignore_ascii_case(b"identity")
        || value.eq_ignore_ascii_case(b"none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_known_by_its_type() {
        for (kind, stream) in [
            ("text/event-stream", true),
            ("Text/Event-Stream", true),
            ("multipart/mixed", true),
            ("application/grpc+proto", true),
            ("application/grpcx", false),
            ("text/event-streams", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_stream_type(kind), stream, "{kind}");
        }
    }

    #[test]
    fn a_streams_headers_keep_further_proxies_off() {
        let mut headers = HeaderMap::new();
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.append("x-accel-buffering", HeaderValue::from_static("yes"));
        headers.append(
            "connection",
            HeaderValue::from_static("keep-alive, x-secret"),
        );
        headers.append("x-secret", HeaderValue::from_static("1"));
        headers.append("keep-alive", HeaderValue::from_static("timeout=5"));
        inbound(StatusCode::OK, &mut headers, true);
        let control: Vec<_> = headers.get_all(header::CACHE_CONTROL).iter().collect();
        assert_eq!(control, ["no-cache", "no-transform"]);
        assert_eq!(
            headers
                .get_all("x-accel-buffering")
                .iter()
                .collect::<Vec<_>>(),
            ["no"]
        );
        assert!(
            !headers.contains_key("x-secret")
                && !headers.contains_key("keep-alive")
                && !headers.contains_key("connection")
        );

        inbound(StatusCode::OK, &mut headers, true);
        assert_eq!(
            headers.get_all(header::CACHE_CONTROL).iter().count(),
            2,
            "said once is enough"
        );
    }

    #[test]
    fn a_204_has_no_length() {
        for (status, kept) in [(200, true), (204, false), (205, true), (304, true)] {
            let mut headers = HeaderMap::new();
            headers.append(header::CONTENT_LENGTH, HeaderValue::from_static("7"));
            let status = StatusCode::from_u16(status).expect("a status");
            inbound(status, &mut headers, false);
            assert_eq!(
                headers.contains_key(header::CONTENT_LENGTH),
                kept,
                "{status}"
            );
        }
    }
}
