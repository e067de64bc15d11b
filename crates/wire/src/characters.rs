//! The character classes of RFC 9110 section 5.6.2 and 5.5, and of request targets.

use std::ops::Range;

/// Whether all of it are token characters, and there is one.
pub(crate) fn is_token(text: &[u8]) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte] = matches!(byte as u8, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'#' | b'$' | b'%' | b'&'
                | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
            byte += 1;
        }
        table
    };
    !text.is_empty() && text.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// Whether a header's value, a reason phrase or a chunk extension may have these bytes: no control byte but the tab. Bytes beyond ASCII
/// are let through, as every server in the field does.
pub fn is_text(text: &[u8]) -> bool {
    // Without an early return the compiler does sixteen at once.
    !text.iter().fold(false, |bad, byte| {
        bad | (*byte < b' ' && *byte != b'\t') | (*byte == 0x7f)
    })
}

/// Whether a target may have these bytes: visible ASCII, and no `#`.
pub(crate) fn is_target(text: &[u8]) -> bool {
    !text.iter().fold(false, |bad, byte| {
        bad | (*byte <= b' ') | (*byte >= 0x7f) | (*byte == b'#')
    })
}

/// What is between the spaces and tabs around it.
pub(crate) fn inner(text: &[u8]) -> Range<usize> {
    let is_inner = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = text.iter().position(is_inner).unwrap_or(text.len());
    let end = text.iter().rposition(is_inner);
    start..end.map_or(start, |last| last + 1)
}
