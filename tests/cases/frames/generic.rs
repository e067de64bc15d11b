//! What every server must take: h2spec's generic cases, 44 of them.

use weir_testkit::h2::{END_HEADERS, END_STREAM, PADDED, PRIORITIZED, code, field, kind};

use super::stage::{
    Case, Step, Verdict, bare, block, block_and, case, continuation, data, dependency, get,
    headers, hello, ping, post, priority, reset, send, settings, window,
};

const ANSWER: Verdict = Verdict::Answer(1);
const PING: [u8; 8] = *b"h2spec\0\0";

pub(super) fn streams() -> Vec<Case> {
    vec![
        bare("generic 1/1: a preface", vec![hello()], Verdict::Settings),
        case(
            "generic 2/1: PRIORITY on an idle stream",
            vec![priority(1, 0, 255), ping([0; 8])],
            Verdict::Pong([0; 8]),
        ),
        case(
            "generic 2/2: WINDOW_UPDATE on a half-closed stream",
            vec![settings(&[(4, 0)]), get(1), window(1, 1)],
            Verdict::Data(1),
        ),
        case(
            "generic 2/3: PRIORITY on a half-closed stream",
            vec![
                settings(&[(4, 0)]),
                get(1),
                priority(1, 0, 255),
                window(1, 1),
            ],
            Verdict::Data(1),
        ),
        case(
            "generic 2/4: RST_STREAM on a half-closed stream",
            vec![get(1), reset(1, code::CANCEL), ping([0; 8])],
            Verdict::PongOrClosed([0; 8]),
        ),
        case(
            "generic 2/5: PRIORITY on a closed stream",
            vec![get(1), Step::Answered, priority(1, 0, 255), ping([0; 8])],
            Verdict::Pong([0; 8]),
        ),
    ]
}

pub(super) fn frames() -> Vec<Case> {
    let whole = END_HEADERS | END_STREAM;
    let prioritized = [dependency(0, 255), block("GET")].concat();
    let padded = [&[8][..], &block("GET"), &[0; 8]].concat();
    let split = |at: &[usize]| -> Vec<Vec<u8>> {
        let block = block("GET");
        let ends = at.iter().copied().chain([block.len()]);
        let begins = [0].into_iter().chain(at.iter().copied());
        begins
            .zip(ends)
            .map(|(a, b)| block[a..b].to_vec())
            .collect()
    };
    let (two, three) = (split(&[5]), split(&[5, 10]));
    let first = |bytes: &[u8]| send(kind::HEADERS, END_STREAM, 1, bytes);
    vec![
        case(
            "generic 3.1/1: DATA",
            vec![post(1), data(1, true, "test")],
            ANSWER,
        ),
        case(
            "generic 3.1/2: DATA twice",
            vec![post(1), data(1, false, "test"), data(1, true, "test")],
            ANSWER,
        ),
        case(
            "generic 3.1/3: DATA with padding",
            vec![
                post(1),
                send(kind::DATA, END_STREAM | PADDED, 1, b"\x06testpadded"),
            ],
            ANSWER,
        ),
        case("generic 3.2/1: HEADERS", vec![get(1)], ANSWER),
        case(
            "generic 3.2/2: HEADERS with padding",
            vec![send(kind::HEADERS, whole | PADDED, 1, padded)],
            ANSWER,
        ),
        case(
            "generic 3.2/3: HEADERS with priority",
            vec![send(kind::HEADERS, whole | PRIORITIZED, 1, prioritized)],
            ANSWER,
        ),
        case(
            "generic 3.3/1: PRIORITY with weight 1",
            vec![priority(1, 0, 0), get(1)],
            ANSWER,
        ),
        case(
            "generic 3.3/2: PRIORITY with weight 256",
            vec![priority(1, 0, 255), get(1)],
            ANSWER,
        ),
        case(
            "generic 3.3/3: PRIORITY with a dependency",
            vec![priority(3, 1, 0), get(1)],
            ANSWER,
        ),
        case(
            "generic 3.3/4: PRIORITY, exclusive",
            vec![priority(1, 1 << 31, 0), get(1)],
            ANSWER,
        ),
        case(
            "generic 3.3/5: PRIORITY for an idle stream, then HEADERS of a lower one",
            vec![priority(3, 0, 255), get(1)],
            ANSWER,
        ),
        case(
            "generic 3.4/1: RST_STREAM",
            vec![post(1), reset(1, code::CANCEL), ping([0; 8])],
            Verdict::PongOrClosed([0; 8]),
        ),
        case(
            "generic 3.5/1: SETTINGS",
            vec![settings(&[
                (1, 4096),
                (2, 1),
                (3, 100),
                (4, 65_535),
                (5, 16_384),
                (6, 100),
            ])],
            Verdict::Acknowledged,
        ),
        case("generic 3.7/1: PING", vec![ping(PING)], Verdict::Pong(PING)),
        case(
            "generic 3.8/1: GOAWAY",
            vec![
                send(kind::GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0h2spec"),
                ping(PING),
            ],
            Verdict::PongOrClosed(PING),
        ),
        case(
            "generic 3.9/1: WINDOW_UPDATE of the connection",
            vec![window(0, 1), ping([0; 8])],
            Verdict::Pong([0; 8]),
        ),
        case(
            "generic 3.9/2: WINDOW_UPDATE of a stream",
            vec![get(1), window(1, 1)],
            ANSWER,
        ),
        case(
            "generic 3.10/1: CONTINUATION",
            vec![first(&two[0]), continuation(1, true, &two[1])],
            ANSWER,
        ),
        case(
            "generic 3.10/2: CONTINUATION twice",
            vec![
                first(&three[0]),
                continuation(1, false, &three[1]),
                continuation(1, true, &three[2]),
            ],
            ANSWER,
        ),
    ]
}

pub(super) fn messages() -> Vec<Case> {
    let trailer = block_and("POST", &[("trailer", "x-test")]);
    vec![
        case("generic 4/1: GET", vec![get(1)], ANSWER),
        case(
            "generic 4/2: HEAD",
            vec![headers(1, &block("HEAD"))],
            ANSWER,
        ),
        case(
            "generic 4/3: POST",
            vec![post(1), data(1, true, "test")],
            ANSWER,
        ),
        case(
            "generic 4/4: POST with trailers",
            vec![
                send(kind::HEADERS, END_HEADERS, 1, trailer),
                data(1, false, "test"),
                headers(1, &field("x-test", "ok")),
            ],
            ANSWER,
        ),
    ]
}

/// Every representation of a field (RFC 7541 section 6): behind a request's own, or before them.
pub(super) fn fields() -> Vec<Case> {
    const AGENT: &[u8] = b"\x0auser-agent\x06h2spec";
    const AGENT_CODED: &[u8] = b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93\x84\x9c\x48\xac\xa4";
    const NEW: &[u8] = b"\x06x-test\x06h2spec";
    const NEW_CODED: &[u8] = b"\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4";
    let behind = |id, first: u8, rest: &[u8]| {
        let block = [&block("GET")[..], &[first], rest].concat();
        case(id, vec![headers(1, &block)], ANSWER)
    };
    let before = |id, update: &[u8]| {
        let block = [update, &block("GET")].concat();
        case(id, vec![headers(1, &block)], ANSWER)
    };
    // The indexed name is that of user-agent, 58.
    vec![
        behind("generic 5/1: indexed", 0xba, b""),
        behind("generic 5/2: to be indexed, with a known name", 0x40, AGENT),
        behind("generic 5/3: the same, coded", 0x40, AGENT_CODED),
        behind("generic 5/4: to be indexed, with a new name", 0x40, NEW),
        behind("generic 5/5: the same, coded", 0x40, NEW_CODED),
        behind("generic 5/6: not indexed, with a known name", 0x00, AGENT),
        behind("generic 5/7: the same, coded", 0x00, AGENT_CODED),
        behind("generic 5/8: not indexed, with a new name", 0x00, NEW),
        behind("generic 5/9: the same, coded", 0x00, NEW_CODED),
        behind(
            "generic 5/10: never indexed, with a known name",
            0x10,
            AGENT,
        ),
        behind("generic 5/11: the same, coded", 0x10, AGENT_CODED),
        behind("generic 5/12: never indexed, with a new name", 0x10, NEW),
        behind("generic 5/13: the same, coded", 0x10, NEW_CODED),
        before("generic 5/14: an update of the table's size", b"\x20"),
        before("generic 5/15: two of them", b"\x20\x3f\xe1\x1f"),
    ]
}
