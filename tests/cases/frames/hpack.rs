//! Header blocks that cannot be decoded (RFC 7541): h2spec's 8 cases. All of them break the table that both sides share, and with it the
//! connection.

use super::stage::{COMPRESSION, Case, Verdict, block, case, headers};

const ERROR: Verdict = Verdict::ConnectionError(COMPRESSION);

pub(super) fn all() -> Vec<Case> {
    let behind = |id, rest: &[u8]| {
        let block = [&block("GET"), rest].concat();
        case(id, vec![headers(1, &block)], ERROR)
    };
    // 4097, one more than the table may have.
    let larger = [b"\x3f\xe2\x1f", &block("GET")[..]].concat();
    vec![
        behind("hpack 2.3.3/1: an index that no table has", b"\xc6"),
        behind("hpack 2.3.3/2: a name that no table has", b"\x7f\x07\x00"),
        behind("hpack 4.2/1: a table's size behind fields", b"\x21"),
        behind(
            "hpack 5.2/1: padding of more than seven bits",
            b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff",
        ),
        behind(
            "hpack 5.2/2: padding of zeros",
            b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90",
        ),
        behind(
            "hpack 5.2/3: the end of the string within it",
            b"\x00\x85\xf2\xb2\x4a\x87\xff\xff\xff\xfd\x25\x42\x7f",
        ),
        behind("hpack 6.1/1: index 0", b"\x80"),
        case(
            "hpack 6.3/1: a table larger than allowed",
            vec![headers(1, &larger)],
            ERROR,
        ),
    ]
}
