//! RFC 9113 sections 7 and 8: unknown error codes, and requests that are none. h2spec's cases of RFC 7540, sections 7 to 8.2.

use weir_testkit::h2::{END_HEADERS, field, kind};

use super::stage::{
    Case, PROTOCOL, Verdict, block, block_and, case, data, headers, ping, post, reset, send,
};

const STREAM_ERROR: Verdict = Verdict::StreamError(PROTOCOL);

/// A request of just these fields.
fn of(id: &'static str, fields: &[(&str, &str)]) -> Case {
    let block: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect();
    case(id, vec![headers(1, &block)], STREAM_ERROR)
}

/// A GET with these fields behind its own.
fn with(id: &'static str, more: &[(&str, &str)]) -> Case {
    case(id, vec![headers(1, &block_and("GET", more))], STREAM_ERROR)
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", "a.test");
const PATH: (&str, &str) = (":path", "/");

pub(super) fn all() -> Vec<Case> {
    let trailers = |fields: &[u8]| send(kind::HEADERS, END_HEADERS, 1, fields);
    let one_byte = || {
        let block = block_and("POST", &[("content-length", "1")]);
        send(kind::HEADERS, END_HEADERS, 1, block)
    };
    let promise = [&3_u32.to_be_bytes()[..], &block("GET")].concat();
    vec![
        case(
            "7/1: GOAWAY with an unknown code",
            vec![
                send(kind::GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\xff"),
                ping([0; 8]),
            ],
            Verdict::PongOrClosed([0; 8]),
        ),
        case(
            "7/2: RST_STREAM with an unknown code",
            vec![post(1), reset(1, 0xff), ping([0; 8])],
            Verdict::PongOrClosed([0; 8]),
        ),
        case(
            "8.1/1: HEADERS behind DATA that do not end the request",
            vec![
                post(1),
                data(1, false, "test"),
                trailers(&field("x-test", "ok")),
            ],
            STREAM_ERROR,
        ),
        with("8.1.2/1: a name in capitals", &[("X-TEST", "ok")]),
        with("8.1.2.1/1: an unknown pseudo field", &[(":test", "ok")]),
        with(
            "8.1.2.1/2: a pseudo field of answers",
            &[(":status", "200")],
        ),
        case(
            "8.1.2.1/3: a pseudo field in trailers",
            vec![
                post(1),
                data(1, false, "test"),
                trailers(&field(":method", "POST")),
            ],
            STREAM_ERROR,
        ),
        of(
            "8.1.2.1/4: pseudo fields behind others",
            &[("x-test", "ok"), METHOD, SCHEME, AUTHORITY, PATH],
        ),
        with("8.1.2.2/1: Connection", &[("connection", "keep-alive")]),
        with(
            "8.1.2.2/2: TE that is not `trailers`",
            &[("trailers", "test"), ("te", "trailers, deflate")],
        ),
        of(
            "8.1.2.3/1: an empty path",
            &[METHOD, SCHEME, AUTHORITY, (":path", "")],
        ),
        of("8.1.2.3/2: no method", &[SCHEME, AUTHORITY, PATH]),
        of("8.1.2.3/3: no scheme", &[METHOD, AUTHORITY, PATH]),
        of("8.1.2.3/4: no path", &[METHOD, SCHEME, AUTHORITY]),
        of(
            "8.1.2.3/5: two methods",
            &[METHOD, SCHEME, AUTHORITY, PATH, METHOD],
        ),
        of(
            "8.1.2.3/6: two schemes",
            &[METHOD, SCHEME, AUTHORITY, PATH, SCHEME],
        ),
        of(
            "8.1.2.3/7: two paths",
            &[METHOD, SCHEME, AUTHORITY, PATH, PATH],
        ),
        case(
            "8.1.2.6/1: more DATA than declared",
            vec![one_byte(), data(1, true, "test")],
            STREAM_ERROR,
        ),
        case(
            "8.1.2.6/2: more DATA than declared, in two frames",
            vec![one_byte(), data(1, false, "test"), data(1, true, "test")],
            STREAM_ERROR,
        ),
        case(
            "8.2/1: PUSH_PROMISE",
            vec![send(kind::PUSH_PROMISE, END_HEADERS, 1, promise)],
            Verdict::ConnectionError(PROTOCOL),
        ),
    ]
}
