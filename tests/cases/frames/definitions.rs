//! RFC 9113 section 6, frame by frame: h2spec's cases of RFC 7540, section 6, without flow control and header blocks in pieces.

use weir_testkit::h2::{ACK, END_HEADERS, END_STREAM, PADDED, code, kind};

use super::stage::{
    Case, FLOW_CONTROL, FRAME_SIZE, PROTOCOL, STREAM_CLOSED, Step, Verdict, block, block_and, case,
    continuation, data, filler, get, headers, ping, priority, reset, send, settings,
};

const CONNECTION_ERROR: Verdict = Verdict::ConnectionError(PROTOCOL);
const WRONG_SIZE: Verdict = Verdict::ConnectionError(FRAME_SIZE);

/// 6.1 to 6.4: DATA, HEADERS, PRIORITY, RST_STREAM.
pub(super) fn of_streams() -> Vec<Case> {
    let begun = || send(kind::HEADERS, 0, 1, block("GET"));
    let four = block_and("POST", &[("content-length", "4")]);
    let get_block = block("GET");
    let more_than_there_is = u8::try_from(get_block.len() + 2).expect("a short block");
    let padded = [&[more_than_there_is][..], &get_block].concat();
    vec![
        case(
            "6.1/1: DATA on stream 0",
            vec![data(0, true, "test")],
            CONNECTION_ERROR,
        ),
        case(
            "6.1/2: DATA on a stream that is not open",
            vec![headers(1, &block("POST")), data(1, true, "test")],
            Verdict::StreamError(STREAM_CLOSED),
        ),
        case(
            "6.1/3: DATA with more padding than there is",
            vec![
                send(kind::HEADERS, END_HEADERS, 1, four),
                send(kind::DATA, END_STREAM | PADDED, 1, b"\x06Test"),
            ],
            CONNECTION_ERROR,
        ),
        case(
            "6.2/1: PRIORITY where CONTINUATION is due",
            vec![
                begun(),
                priority(1, 0, 255),
                continuation(1, true, filler()),
            ],
            CONNECTION_ERROR,
        ),
        case(
            "6.2/2: another stream's HEADERS where CONTINUATION is due",
            vec![begun(), get(3), continuation(1, true, filler())],
            CONNECTION_ERROR,
        ),
        case("6.2/3: HEADERS on stream 0", vec![get(0)], CONNECTION_ERROR),
        case(
            "6.2/4: HEADERS with more padding than there is",
            vec![send(
                kind::HEADERS,
                END_HEADERS | END_STREAM | PADDED,
                1,
                padded,
            )],
            Verdict::StreamError(PROTOCOL),
        ),
        case(
            "6.3/1: PRIORITY on stream 0",
            vec![priority(0, 0, 255)],
            CONNECTION_ERROR,
        ),
        case(
            "6.3/2: PRIORITY of four bytes",
            vec![get(1), send(kind::PRIORITY, 0, 1, b"\x80\0\0\x01")],
            Verdict::StreamError(FRAME_SIZE),
        ),
        case(
            "6.4/1: RST_STREAM on stream 0",
            vec![reset(0, code::CANCEL)],
            CONNECTION_ERROR,
        ),
        case(
            "6.4/2: RST_STREAM on an idle stream",
            vec![reset(1, code::CANCEL)],
            CONNECTION_ERROR,
        ),
        case(
            "6.4/3: RST_STREAM of three bytes",
            vec![get(1), send(kind::RST_STREAM, 0, 1, [0; 3])],
            Verdict::StreamError(FRAME_SIZE),
        ),
    ]
}

/// 6.5 to 6.8: SETTINGS, PING, GOAWAY.
pub(super) fn of_connections() -> Vec<Case> {
    let one = |id, setting, verdict| case(id, vec![settings(&[setting])], verdict);
    let get_after = |values: &[(u16, u32)]| vec![settings(values), Step::Acknowledged, get(1)];
    let spec = *b"h2spec\0\0";
    vec![
        case(
            "6.5/1: an acknowledgement with a payload",
            vec![send(kind::SETTINGS, ACK, 0, [0])],
            WRONG_SIZE,
        ),
        case(
            "6.5/2: SETTINGS on a stream",
            vec![send(kind::SETTINGS, 0, 1, b"\0\x03\0\0\0\x64")],
            CONNECTION_ERROR,
        ),
        case(
            "6.5/3: SETTINGS of eight bytes",
            vec![send(kind::SETTINGS, 0, 0, b"\0\x03\0\0\0\x64\0\x02")],
            Verdict::StreamError(&[code::PROTOCOL_ERROR, code::FRAME_SIZE_ERROR]),
        ),
        one("6.5.2/1: ENABLE_PUSH 2", (2, 2), CONNECTION_ERROR),
        one(
            "6.5.2/2: INITIAL_WINDOW_SIZE too large",
            (4, 1 << 31),
            Verdict::ConnectionError(FLOW_CONTROL),
        ),
        one(
            "6.5.2/3: MAX_FRAME_SIZE too small",
            (5, 16_383),
            CONNECTION_ERROR,
        ),
        one(
            "6.5.2/4: MAX_FRAME_SIZE too large",
            (5, 1 << 24),
            CONNECTION_ERROR,
        ),
        case(
            "6.5.2/5: an unknown setting",
            vec![settings(&[(0xff, 1)]), ping([0; 8])],
            Verdict::Pong([0; 8]),
        ),
        case(
            "6.5.3/1: of two values the second counts",
            get_after(&[(4, 100), (4, 1)]),
            Verdict::Data(1),
        ),
        one(
            "6.5.3/2: SETTINGS are acknowledged",
            (2, 0),
            Verdict::Acknowledged,
        ),
        case("6.7/1: PING", vec![ping(spec)], Verdict::Pong(spec)),
        case(
            "6.7/2: PING that is an answer has none",
            vec![send(kind::PING, ACK, 0, b"invalid\0"), ping(spec)],
            Verdict::Pong(spec),
        ),
        case(
            "6.7/3: PING on a stream",
            vec![send(kind::PING, 0, 1, [0; 8])],
            CONNECTION_ERROR,
        ),
        case(
            "6.7/4: PING of six bytes",
            vec![send(kind::PING, 0, 0, [0; 6])],
            WRONG_SIZE,
        ),
        case(
            "6.8/1: GOAWAY on a stream",
            vec![send(kind::GOAWAY, 0, 1, [0; 8])],
            CONNECTION_ERROR,
        ),
    ]
}
