//! What an answer says to the client: an upstream's headers without those of its hop, and the words that keep further proxies' hands off a stream.
//! Also decides what a stream is (by the answer's type, never by what the request accepts).

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, response};
use weir_llm::Media;

use crate::hop::{self, HopByHop};

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

/// Decides what an upstream's answer is, takes away what was of its hop, and adds what a stream needs on its way through further proxies.
/// `always` is the route's `stream = true`; `over`: there is nothing to come of its body.
pub fn inbound(method: &Method, head: &mut response::Parts, over: bool, always: bool) -> Kind {
    // Walked once: to look each of them up takes three times as long in a map of this size.
    let (mut chunked, mut sized, mut encoded, mut kind) = (false, false, false, None);
    let mut of_hop = false;
    for (name, value) in &head.headers {
        match name.as_str() {
            "content-length" => sized = true,
            "content-encoding" => encoded |= !is_no_coding(value),
            "content-type" if kind.is_none() => kind = Some(value),
            name => {
                chunked |= name == "transfer-encoding";
                of_hop |= stays_here(name);
            }
        }
    }
    // RFC 9112 section 6.3: the coding decides, and a forwarder takes the length away. RFC 9110 section 8.6: a 204 has none, and by HTTP/2 a
    // client takes one without the bytes for an answer that broke.
    let lengthless = sized && (chunked || head.status == StatusCode::NO_CONTENT);
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
    let kind = Kind {
        stream,
        media,
        readable,
        injectable: readable && !sized,
        json: !stream && !bodyless && is_json(essence) && !encoded,
        encoded,
        close_delimited: head.version < Version::HTTP_2 && !sized && !chunked && !bodyless && !over,
        bodyless,
    };
    if lengthless {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    if of_hop {
        take_from_hop(&mut head.headers);
    }
    if stream {
        keep_hands_off(&mut head.headers);
    }
    kind
}

/// Of the upstream's hop; or addressed to the proxy in front of it, which is weir: obeyed by never buffering, not passed on.
fn stays_here(name: &str) -> bool {
    hop::is_always(name) || name == ACCEL_BUFFERING.as_str()
}

fn take_from_hop(headers: &mut HeaderMap) {
    let hop = HopByHop::of(headers);
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|name| hop.contains(name) || **name == ACCEL_BUFFERING)
        .cloned()
        .collect();
    for name in gone {
        headers.remove(name);
    }
}

fn keep_hands_off(headers: &mut HeaderMap) {
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    if !says_no_transform(headers) {
        headers.append(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-transform"),
        );
    }
}

fn is_json(essence: &str) -> bool {
    essence.eq_ignore_ascii_case("application/json")
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
    // By byte: to split at a character is a search of its own, of 180 instructions for one that is not there.
    let end = kind.bytes().position(|byte| byte == b';');
    kind[..end.unwrap_or(kind.len())].trim_ascii()
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

    /// An answer with these headers, as it is passed on.
    fn passed(status: u16, headers: &[(&'static str, &'static str)]) -> (Kind, HeaderMap) {
        let mut answer = http::Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let mut head = answer.body(()).expect("an answer").into_parts().0;
        let kind = inbound(&Method::GET, &mut head, false, false);
        (kind, head.headers)
    }

    #[test]
    fn a_streams_headers_keep_further_proxies_off() {
        let sent = [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache"),
            ("x-accel-buffering", "yes"),
            ("connection", "keep-alive, x-secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
        ];
        let (kind, headers) = passed(200, &sent);
        assert!(kind.stream && kind.injectable && kind.close_delimited);
        let control: Vec<_> = headers.get_all(header::CACHE_CONTROL).iter().collect();
        assert_eq!(control, ["no-cache", "no-transform"]);
        assert_eq!(
            headers
                .get_all("x-accel-buffering")
                .iter()
                .collect::<Vec<_>>(),
            ["no"]
        );
        for gone in ["x-secret", "keep-alive", "connection"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }

        let said = [sent[0], ("cache-control", "no-cache, No-Transform")];
        let (_, headers) = passed(200, &said);
        assert_eq!(
            headers.get_all(header::CACHE_CONTROL).iter().count(),
            1,
            "said once is enough"
        );
    }

    #[test]
    fn what_is_addressed_to_weir_goes_no_further() {
        let (kind, headers) = passed(200, &[("x-accel-buffering", "no"), ("content-length", "5")]);
        assert!(!kind.stream && !kind.close_delimited);
        assert!(!headers.contains_key("x-accel-buffering"));
        assert!(headers.contains_key("content-length"));
    }

    #[test]
    fn a_length_goes_where_it_means_nothing() {
        for (status, coding, kept) in [
            (200, false, true),
            (200, true, false),
            (204, false, false),
            (205, false, true),
            (304, false, true),
        ] {
            let mut sent = vec![("content-length", "7")];
            sent.extend(coding.then_some(("transfer-encoding", "chunked")));
            let (_, headers) = passed(status, &sent);
            assert_eq!(
                headers.contains_key(header::CONTENT_LENGTH),
                kept,
                "{status} {coding}"
            );
            assert!(!headers.contains_key(header::TRANSFER_ENCODING));
        }
    }
}
