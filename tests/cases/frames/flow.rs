//! RFC 9113 sections 6.9 and 6.10: flow control, and header blocks in pieces. h2spec's cases of RFC 7540, sections 6.9 to 6.10.

use weir_testkit::h2::{END_HEADERS, END_STREAM, code, kind};

use super::stage::{
    Case, FLOW_CONTROL, FRAME_SIZE, PROTOCOL, Step, Verdict, block, case, continuation, data,
    filler, get, post, send, settings, window,
};

const CONNECTION_ERROR: Verdict = Verdict::ConnectionError(PROTOCOL);
const MOST: u32 = i32::MAX as u32;

/// 6.9.
pub(super) fn windows() -> Vec<Case> {
    let begin_with = |window| [settings(&[(4, window)]), Step::Acknowledged];
    let smaller = begin_with(2);
    let mut negative: Vec<Step> = begin_with(3).into_iter().collect();
    negative.extend([get(1), Step::Piece]);
    negative.extend(smaller);
    negative.push(window(1, 2));
    let mut one: Vec<Step> = begin_with(1).into_iter().collect();
    one.push(get(1));
    let mut widened: Vec<Step> = begin_with(0).into_iter().collect();
    widened.extend([get(1), settings(&[(4, 1)])]);
    vec![
        case(
            "6.9/1: WINDOW_UPDATE by 0",
            vec![window(0, 0)],
            CONNECTION_ERROR,
        ),
        case(
            "6.9/2: WINDOW_UPDATE of a stream by 0",
            vec![post(1), window(1, 0)],
            Verdict::StreamError(PROTOCOL),
        ),
        case(
            "6.9/3: WINDOW_UPDATE of three bytes",
            vec![send(kind::WINDOW_UPDATE, 0, 0, b"\0\0\x01")],
            Verdict::ConnectionError(FRAME_SIZE),
        ),
        case("6.9.1/1: a window of one byte", one, Verdict::Data(1)),
        case(
            "6.9.1/2: a window of the connection beyond the most",
            vec![window(0, MOST), window(0, MOST)],
            Verdict::GoAway(code::FLOW_CONTROL_ERROR),
        ),
        case(
            "6.9.1/3: a window of a stream beyond the most",
            vec![post(1), window(1, MOST), window(1, MOST)],
            Verdict::Reset(code::FLOW_CONTROL_ERROR, 1),
        ),
        case(
            "6.9.2/1: windows of open streams are widened",
            widened,
            Verdict::Data(1),
        ),
        case(
            "6.9.2/2: windows of open streams become negative",
            negative,
            Verdict::Data(1),
        ),
        case(
            "6.9.2/3: INITIAL_WINDOW_SIZE beyond the most",
            vec![settings(&[(4, 1 << 31)])],
            Verdict::ConnectionError(FLOW_CONTROL),
        ),
    ]
}

/// 6.10.
pub(super) fn blocks_in_pieces() -> Vec<Case> {
    let begun = |method| send(kind::HEADERS, END_STREAM, 1, block(method));
    let begun_post = || send(kind::HEADERS, 0, 1, block("POST"));
    let more = |end| continuation(1, end, filler());
    vec![
        case(
            "6.10/1: CONTINUATION twice",
            vec![begun("GET"), more(false), more(true)],
            Verdict::Answer(1),
        ),
        case(
            "6.10/2: CONTINUATION, then something else",
            vec![begun_post(), more(false), data(1, true, "test")],
            CONNECTION_ERROR,
        ),
        case(
            "6.10/3: CONTINUATION on stream 0",
            vec![begun("GET"), continuation(0, true, filler())],
            CONNECTION_ERROR,
        ),
        case(
            "6.10/4: CONTINUATION behind HEADERS that ended",
            vec![
                send(kind::HEADERS, END_HEADERS | END_STREAM, 1, block("GET")),
                more(true),
            ],
            CONNECTION_ERROR,
        ),
        case(
            "6.10/5: CONTINUATION behind one that ended",
            vec![begun("GET"), more(true), more(true)],
            CONNECTION_ERROR,
        ),
        case(
            "6.10/6: CONTINUATION behind DATA",
            vec![
                begun_post(),
                data(1, true, "test"),
                more(false),
                continuation(0, true, filler()),
            ],
            CONNECTION_ERROR,
        ),
    ]
}
