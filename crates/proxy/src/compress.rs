//! Compression of answers, where a route asks for it: what may be compressed, how, and what the headers say then. A stream never may, nor
//! what is compressed already, a part of something, or what its sender or asker wants untouched.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::inbound::{essence, is_plain, is_stream_type, says_no_transform};

/// Below this many bytes the codings' own frames, and a packet that is sent anyway, eat what is won.
const LEAST: u64 = 256;
/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878
    Zstd,
    /// RFC 7932
    Brotli,
    /// RFC 1952
    Gzip,
}

impl Coding {
    /// All of them, in the order of their worth: what is won per time spent.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// As Content-Encoding says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// What a client would have of a route that compresses, decided from its request and kept until the answer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    coding: Option<Coding>,
    untouched: bool,
}

impl Wish {
    /// Chooses among `allowed`, best first; `None` where that is nothing.
    pub fn of(allowed: &[Coding], asked: &HeaderMap) -> Option<Self> {
        (!allowed.is_empty()).then(|| Self {
            coding: preferred(allowed, asked),
            untouched: says_no_transform(asked),
        })
    }

    /// Whether and how an answer is to be compressed; its headers say so afterwards. `stream`: it is one, whatever its type; `length`: that
    /// of its body, where known.
    pub fn apply(
        self,
        status: StatusCode,
        headers: &mut HeaderMap,
        stream: bool,
        length: Option<u64>,
    ) -> Option<Coding> {
        if stream || self.untouched {
            return None;
        }
        if status == StatusCode::NOT_MODIFIED {
            // Says what the whole answer would have said.
            vary(headers);
            return None;
        }
        if !may_be_compressed(status, headers) || length.is_some_and(|length| length < LEAST) {
            return None;
        }
        vary(headers);
        let coding = self.coding?;
        headers.insert(
            header::CONTENT_ENCODING,
            HeaderValue::from_static(coding.as_str()),
        );
        // Of the plain bytes, and no longer true.
        for name in [
            header::CONTENT_LENGTH,
            header::ACCEPT_RANGES,
            HeaderName::from_static("content-md5"),
            HeaderName::from_static("digest"),
            HeaderName::from_static("content-digest"),
            HeaderName::from_static("repr-digest"),
        ] {
            headers.remove(name);
        }
        weaken(headers);
        Some(coding)
    }
}

fn may_be_compressed(status: StatusCode, headers: &HeaderMap) -> bool {
    let whole = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
        )
        && !headers.contains_key(header::CONTENT_RANGE);
    let essence = essence(headers).to_ascii_lowercase();
    whole
        && is_plain(headers)
        && !is_stream_type(&essence)
        && is_worth_it(&essence)
        && !says_no_transform(headers)
}

/// Text in its many dresses. What is not named is taken to be compressed by itself (images, archives) or unknown.
fn is_worth_it(essence: &str) -> bool {
    const TYPES: [&str; 8] = [
        "application/json",
        "application/javascript",
        "application/x-javascript",
        "application/xml",
        "application/wasm",
        "application/manifest+json",
        "application/vnd.ms-fontobject",
        "image/svg+xml",
    ];
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || TYPES.contains(&essence)
}

/// RFC 9110 section 12.5.3: the highest weight wins; among equals the order of `allowed`.
fn preferred(allowed: &[Coding], asked: &HeaderMap) -> Option<Coding> {
    let weight = |coding: Coding| {
        let mut any = None;
        for member in asked.get_all(header::ACCEPT_ENCODING) {
            for member in member.to_str().unwrap_or("").split(',') {
                let (name, parameters) = member.split_once(';').unwrap_or((member, ""));
                let name = name.trim();
                let weight = weight(parameters);
                if name.eq_ignore_ascii_case(coding.as_str())
                    || coding == Coding::Gzip && name.eq_ignore_ascii_case("x-gzip")
                {
                    return weight;
                }
                if name == "*" {
                    any = Some(weight);
                }
            }
        }
        any.unwrap_or(0)
    };
    let best = allowed.iter().map(|coding| weight(*coding)).max()?;
    allowed
        .iter()
        .copied()
        .find(|coding| best > 0 && weight(*coding) == best)
}

/// In thousandths; a malformed one counts as a refusal.
fn weight(parameters: &str) -> u16 {
    let Some(q) = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    }) else {
        return 1000;
    };
    let (whole, thousandths) = q.split_once('.').unwrap_or((q, ""));
    let digits = thousandths.len() <= 3 && thousandths.bytes().all(|b| b.is_ascii_digit());
    match (whole, digits) {
        ("0", true) => format!("{thousandths:0<3}").parse().unwrap_or(0),
        ("1", true) => 1000,
        _ => 0,
    }
}

fn vary(headers: &mut HeaderMap) {
    let said = headers.get_all(header::VARY).iter().any(|line| {
        line.as_bytes().split(|b| *b == b',').any(|member| {
            let member = member.trim_ascii();
            member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding")
        })
    });
    if !said {
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// A strong tag promises the same bytes, which two codings do not have.
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(header::ETAG) else {
        return;
    };
    if tag.as_bytes().starts_with(b"W/") {
        return;
    }
    match HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
        Ok(weak) => headers.insert(header::ETAG, weak),
        Err(_) => headers.remove(header::ETAG),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn wished(
        asked: &HeaderMap,
        status: StatusCode,
        headers: &mut HeaderMap,
        stream: bool,
        length: Option<u64>,
    ) -> Option<Coding> {
        let wish = Wish::of(&Coding::ALL, asked).expect("some are allowed");
        wish.apply(status, headers, stream, length)
    }

    fn chosen(accept: &str, answer: &[(&'static str, &str)]) -> (Option<Coding>, HeaderMap) {
        let mut headers = map(answer);
        let asked = map(&[("accept-encoding", accept)]);
        let coding = wished(&asked, StatusCode::OK, &mut headers, false, None);
        (coding, headers)
    }

    #[test]
    fn the_highest_weight_wins_and_then_our_own_order() {
        for (accept, coding) in [
            ("gzip", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Brotli)),
            ("GZIP;Q=1.000", Some(Coding::Gzip)),
            ("br;q=0.5, gzip;q=0.8", Some(Coding::Gzip)),
            ("br;q=0.05,gzip;q=0.1", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("*;q=0.5, zstd;q=0", Some(Coding::Brotli)),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("gzip;q=2", None),
            ("gzip;q=nonsense", None),
            ("identity", None),
            ("deflate", None),
            ("", None),
            ("identity;q=0", None),
        ] {
            assert_eq!(
                chosen(accept, &[("content-type", "text/html")]).0,
                coding,
                "{accept}"
            );
        }
    }

    #[test]
    fn only_whole_plain_text_that_nobody_wants_untouched() {
        for (answer, compressed) in [
            (
                &[("content-type", "application/json; charset=utf-8")][..],
                true,
            ),
            (&[("content-type", "application/problem+json")], true),
            (&[("content-type", "Text/HTML")], true),
            (&[("content-type", "image/svg+xml")], true),
            (
                &[
                    ("content-type", "text/plain"),
                    ("content-encoding", "identity"),
                ],
                true,
            ),
            (&[("content-type", "image/png")], false),
            (&[("content-type", "application/octet-stream")], false),
            (&[], false),
            (&[("content-type", "text/event-stream")], false),
            (
                &[("content-type", "TEXT/Event-Stream;charset=utf-8")],
                false,
            ),
            (&[("content-type", "application/x-ndjson")], false),
            (&[("content-type", "application/grpc+json")], false),
            (
                &[("content-type", "text/html"), ("content-encoding", "br")],
                false,
            ),
            (
                &[
                    ("content-type", "text/html"),
                    ("cache-control", "max-age=1, No-Transform"),
                ],
                false,
            ),
            (
                &[
                    ("content-type", "text/html"),
                    ("content-range", "bytes 0-1/2"),
                ],
                false,
            ),
        ] {
            let (coding, headers) = chosen("gzip", answer);
            assert_eq!(coding.is_some(), compressed, "{answer:?}");
            assert_eq!(headers.contains_key("vary"), compressed, "{answer:?}");
        }
        for (status, length, stream, compressed) in [
            (200, None, false, true),
            (404, None, false, true),
            (500, Some(256), false, true),
            (200, Some(255), false, false),
            (200, None, true, false),
            (204, None, false, false),
            (206, None, false, false),
            (304, None, false, false),
        ] {
            let mut headers = map(&[("content-type", "text/html")]);
            let coding = wished(
                &map(&[("accept-encoding", "gzip")]),
                StatusCode::from_u16(status).unwrap(),
                &mut headers,
                stream,
                length,
            );
            assert_eq!(coding.is_some(), compressed, "{status} {length:?} {stream}");
            assert_eq!(headers.contains_key("vary"), compressed || status == 304);
        }
        let wants_it_untouched = map(&[
            ("accept-encoding", "gzip"),
            ("cache-control", "no-transform"),
        ]);
        let mut headers = map(&[("content-type", "text/html")]);
        let coding = wished(
            &wants_it_untouched,
            StatusCode::OK,
            &mut headers,
            false,
            None,
        );
        assert_eq!(coding, None);
        assert_eq!(Wish::of(&[], &wants_it_untouched), None);
    }

    #[test]
    fn the_headers_tell_the_truth() {
        let (_, headers) = chosen(
            "br",
            &[
                ("content-type", "text/css"),
                ("content-length", "5000"),
                ("accept-ranges", "bytes"),
                ("content-md5", "x"),
                ("etag", "\"abc\""),
                ("vary", "Cookie"),
            ],
        );
        let mut all: Vec<_> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.to_str().unwrap()))
            .collect();
        all.sort_unstable();
        assert_eq!(
            all,
            [
                ("content-encoding", "br"),
                ("content-type", "text/css"),
                ("etag", "W/\"abc\""),
                ("vary", "Accept-Encoding"),
                ("vary", "Cookie"),
            ]
        );
        let (_, headers) = chosen(
            "identity",
            &[("content-type", "text/css"), ("etag", "\"abc\"")],
        );
        assert_eq!(
            headers["etag"], "\"abc\"",
            "untouched, but it might have been"
        );
        assert_eq!(headers["vary"], "Accept-Encoding");
        let (_, headers) = chosen(
            "br",
            &[
                ("content-type", "a/b+xml"),
                ("etag", "W/\"a\""),
                ("vary", "*"),
            ],
        );
        assert_eq!(
            (&headers["etag"], &headers["vary"]),
            (&"W/\"a\"".parse().unwrap(), &"*".parse().unwrap())
        );
    }
}
