//! Bytes of a path and their percent-encoding (RFC 3986 2.1 to 2.3): which may stand as they are, and what an escape stands for.
//! Whether the result is an acceptable path is for `path` to say.

use std::borrow::Cow;

/// May stand in a path unescaped, `/` and `%` aside: unreserved, sub-delims, `:` and `@` (RFC 3986 3.3).
pub(crate) const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}

/// Means the same escaped or not (RFC 3986 2.3), so the normal form has it unescaped.
pub(crate) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The byte an escape at the start of `text` stands for; `None` if there is no whole escape.
pub(crate) fn decode(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else {
        return None;
    };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high << 4 | low).ok()
}

/// Appends the escape of a byte, in upper case (RFC 3986 6.2.2.1).
pub(crate) fn encode(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// A segment with every escape undone: what an upstream that decodes makes of it, and therefore what patterns are compared with.
/// Borrowed, at the cost of one scan, unless there is an escape.
#[must_use]
pub fn decoded(segment: &str) -> Cow<'_, [u8]> {
    let bytes = segment.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match decode(&bytes[at..]) {
            Some(meant) => {
                out.push(meant);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// What `bytes` is where case does not count. At least as blind as any upstream: both ways to change a letter's case are gone, so that the
/// Kelvin sign is a `k`, and the great sharp s both of what it becomes. Bytes that are no text lose the case of their ASCII letters.
#[must_use]
pub(crate) fn caseless(bytes: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = |byte: &u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if bytes.iter().all(is_plain) {
        return Cow::Borrowed(bytes);
    }
    match str::from_utf8(bytes) {
        Ok(text) if !text.is_ascii() => {
            let lower = text.to_lowercase();
            Cow::Owned(lower.to_uppercase().to_lowercase().into_bytes())
        }
        _ => Cow::Owned(bytes.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_whole_or_nothing() {
        for (text, byte) in [
            ("%41", Some(b'A')),
            ("%2f", Some(b'/')),
            ("%fF!", Some(0xff)),
            ("%4", None),
            ("%zz", None),
            ("%+1", None),
            ("41", None),
            ("", None),
        ] {
            assert_eq!(decode(text.as_bytes()), byte, "{text}");
        }
    }

    #[test]
    fn every_byte_survives_encoding() {
        for byte in 0..=u8::MAX {
            let mut text = String::new();
            encode(byte, &mut text);
            assert_eq!(decode(text.as_bytes()), Some(byte));
            assert_eq!(&*decoded(&text), &[byte]);
        }
    }

    #[test]
    fn a_segment_without_escapes_is_borrowed() {
        assert!(matches!(decoded("a+b"), Cow::Borrowed(b"a+b")));
        assert_eq!(&*decoded("a%2Bb%"), b"a+b%");
    }

    #[test]
    fn whatever_some_upstream_takes_for_the_same_is_the_same() {
        for (one, other) in [
            ("K", "\u{212a}"),
            ("ss", "\u{df}"),
            ("\u{df}", "\u{1e9e}"),
            ("\u{e9}", "\u{c9}"),
        ] {
            assert_eq!(
                caseless(one.as_bytes()),
                caseless(other.as_bytes()),
                "{one} {other}"
            );
        }
    }
}
