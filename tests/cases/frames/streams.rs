//! RFC 9113 sections 3 to 5: prefaces, frames as such, and the states of streams. h2spec's cases of RFC 7540, sections 3.5 to 5.5.

use weir_testkit::h2::{END_HEADERS, END_STREAM, PRIORITIZED, code, kind};

use super::stage::{
    CLOSED_OR_PROTOCOL, COMPRESSION, Case, FRAME_SIZE, PROTOCOL, STREAM_CLOSED, Step, Verdict,
    bare, block, case, continuation, data, dependency, filler, get, headers, hello, ping, post,
    priority, reset, send, settings, window,
};

const CONNECTION_ERROR: Verdict = Verdict::ConnectionError(PROTOCOL);
const PONG: Verdict = Verdict::Pong([0; 8]);
/// A kind of frame that nobody knows.
const UNKNOWN: u8 = 0x16;

/// 3.5 and 4.
pub(super) fn framing() -> Vec<Case> {
    let unknown = || send(UNKNOWN, 0, 0, [0; 8]);
    let begun = || send(kind::HEADERS, 0, 1, block("GET"));
    vec![
        bare("3.5/1: a preface", vec![hello()], Verdict::Settings),
        bare(
            "3.5/2: no preface",
            vec![Step::Send(b"INVALID CONNECTION PREFACE\r\n\r\n".to_vec())],
            Verdict::Closed,
        ),
        case(
            "4.1/1: an unknown frame",
            vec![unknown(), ping([0; 8])],
            PONG,
        ),
        case(
            "4.1/2: unknown flags",
            vec![send(kind::PING, 0x16, 0, [0; 8])],
            PONG,
        ),
        case(
            "4.1/3: the reserved bit",
            vec![send(kind::PING, 0x16, 1 << 31, [0; 8])],
            PONG,
        ),
        case(
            "4.2/1: DATA as large as can be",
            vec![post(1), data(1, true, [b'x'; 16_384])],
            Verdict::Answer(1),
        ),
        case(
            "4.2/2: DATA one larger",
            vec![post(1), data(1, true, [b'x'; 16_385])],
            Verdict::StreamError(FRAME_SIZE),
        ),
        case(
            "4.2/3: HEADERS too large",
            vec![headers(1, &[block("GET"), filler().repeat(5)].concat())],
            Verdict::ConnectionError(FRAME_SIZE),
        ),
        case(
            "4.3/1: half a field",
            vec![headers(1, b"\x40")],
            Verdict::ConnectionError(COMPRESSION),
        ),
        case(
            "4.3/2: PRIORITY within a header block",
            vec![
                begun(),
                priority(1, 0, 255),
                continuation(1, true, filler()),
            ],
            CONNECTION_ERROR,
        ),
        case(
            "4.3/3: another stream's HEADERS within a header block",
            vec![begun(), get(3), continuation(1, true, filler())],
            CONNECTION_ERROR,
        ),
    ]
}

/// 5.1.
pub(super) fn states() -> Vec<Case> {
    let cancel = || reset(1, code::CANCEL);
    vec![
        case(
            "5.1/1: DATA on an idle stream",
            vec![data(1, true, "test")],
            CONNECTION_ERROR,
        ),
        case(
            "5.1/2: RST_STREAM on an idle stream",
            vec![cancel()],
            CONNECTION_ERROR,
        ),
        case(
            "5.1/3: WINDOW_UPDATE on an idle stream",
            vec![window(1, 100)],
            CONNECTION_ERROR,
        ),
        case(
            "5.1/4: CONTINUATION on an idle stream",
            vec![continuation(1, true, block("GET"))],
            CONNECTION_ERROR,
        ),
        case(
            "5.1/5: DATA on a half-closed stream",
            vec![get(1), data(1, true, "test")],
            Verdict::StreamError(STREAM_CLOSED),
        ),
        case(
            "5.1/6: HEADERS on a half-closed stream",
            vec![get(1), get(1)],
            Verdict::StreamError(STREAM_CLOSED),
        ),
        case(
            "5.1/7: CONTINUATION on a half-closed stream",
            vec![get(1), continuation(1, true, block("GET"))],
            Verdict::StreamError(CLOSED_OR_PROTOCOL),
        ),
        case(
            "5.1/8: DATA behind RST_STREAM",
            vec![post(1), cancel(), data(1, true, "test")],
            Verdict::StreamError(STREAM_CLOSED),
        ),
        case(
            "5.1/9: HEADERS behind RST_STREAM",
            vec![post(1), cancel(), get(1)],
            Verdict::StreamError(STREAM_CLOSED),
        ),
        case(
            "5.1/10: CONTINUATION behind RST_STREAM",
            vec![post(1), cancel(), continuation(1, true, filler())],
            Verdict::StreamError(CLOSED_OR_PROTOCOL),
        ),
        case(
            "5.1/11: DATA on a closed stream",
            vec![get(1), Step::Answered, data(1, true, "test")],
            Verdict::StreamError(STREAM_CLOSED),
        ),
        case(
            "5.1/12: HEADERS on a closed stream",
            vec![get(1), Step::Answered, get(1)],
            Verdict::ConnectionError(STREAM_CLOSED),
        ),
        case(
            "5.1/13: CONTINUATION on a closed stream",
            vec![get(1), Step::Answered, continuation(1, true, filler())],
            Verdict::ConnectionError(CLOSED_OR_PROTOCOL),
        ),
    ]
}

/// 5.1.1 to 5.5.
pub(super) fn identifiers() -> Vec<Case> {
    let whole = END_HEADERS | END_STREAM | PRIORITIZED;
    let on_itself = [dependency(1, 255), block("GET")].concat();
    let mut crowd = vec![settings(&[(4, 0)])];
    crowd.extend((0..129).map(|number| get(2 * number + 1)));
    let invalid_ping = || send(kind::PING, 0, 3, [0; 8]);
    vec![
        case("5.1.1/1: an even stream", vec![get(2)], CONNECTION_ERROR),
        case(
            "5.1.1/2: a stream lower than the last",
            vec![get(5), get(3)],
            CONNECTION_ERROR,
        ),
        case(
            "5.1.2/1: one stream too many",
            crowd,
            Verdict::StreamError(&[code::PROTOCOL_ERROR, code::REFUSED_STREAM]),
        ),
        case(
            "5.3.1/1: HEADERS of a stream that depends on itself",
            vec![send(kind::HEADERS, whole, 1, on_itself)],
            Verdict::StreamError(PROTOCOL),
        ),
        case(
            "5.3.1/2: PRIORITY of a stream that depends on itself",
            vec![priority(1, 1, 255)],
            Verdict::StreamError(PROTOCOL),
        ),
        case(
            "5.4.1/1: after an error the connection is closed",
            vec![invalid_ping()],
            Verdict::Closed,
        ),
        case(
            "5.4.1/2 (strict): and GOAWAY says why",
            vec![invalid_ping()],
            Verdict::GoAway(code::PROTOCOL_ERROR),
        ),
        case(
            "5.5/1: an unknown frame",
            vec![send(UNKNOWN, 0, 0, [0; 8]), ping([0; 8])],
            PONG,
        ),
        case(
            "5.5/2: an unknown frame within a header block",
            vec![
                send(kind::HEADERS, END_STREAM, 1, block("GET")),
                send(UNKNOWN, 0, 0, [0; 8]),
            ],
            CONNECTION_ERROR,
        ),
    ]
}
