//! Header lines: their form, and the two headers that say where the body ends (RFC 9112 sections 5 and 6).

use memchr::memchr;

use crate::{
    Fault, MAX_FIELDS,
    characters::{is_text, is_token, trim},
};

/// What the lines so far say of the body.
#[derive(Debug, Default)]
pub struct Fields {
    count: usize,
    /// Content-Length.
    pub length: Option<u64>,
    /// Transfer-Encoding, which can only be `chunked`.
    pub chunked: bool,
}

impl Fields {
    /// Takes a line; hands back its name and value.
    pub(crate) fn line<'a>(&mut self, line: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Fault> {
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err(Fault::TooManyFields);
        }
        let (name, value) = split(line)?;
        self.field(name, value)?;
        Ok((name, value))
    }

    /// Takes a line that was split already.
    ///
    /// # Errors
    /// A length or a coding that two readers could understand differently.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = number(value).ok_or(Fault::Length)?;
            if self.length.replace(length).is_some() {
                return Err(Fault::LengthTwice);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked {
                return Err(Fault::CodingTwice);
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Coding);
            }
            self.chunked = true;
        }
        Ok(())
    }
}

/// A header line's name and value.
pub(crate) fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if matches!(line, [b' ' | b'\t', ..]) {
        return Err(Fault::Folded);
    }
    let colon = memchr(b':', line).ok_or(Fault::Name)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if matches!(name, [.., b' ' | b'\t']) {
        return Err(Fault::SpaceBeforeColon);
    }
    if !is_token(name) {
        return Err(Fault::Name);
    }
    if !is_text(value) {
        return Err(Fault::Value);
    }
    Ok((name, trim(value)))
}

/// A number in its one canonical form. `010` is eight to some and ten to others; 18 digits are an exabyte, and fit.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    text.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_one_form() {
        for (text, length) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("999999999999999999", Some(999_999_999_999_999_999)),
            ("1000000000000000000", None),
            ("18446744073709551616", None),
            ("05", None),
            ("00", None),
            ("+2", None),
            ("-1", None),
            ("-0", None),
            ("", None),
            ("0x2", None),
            ("1_0", None),
            ("2, 5", None),
            ("2,2", None),
            ("1Z", None),
            ("2.0", None),
            ("2 2", None),
            ("\u{0662}", None),
        ] {
            assert_eq!(number(text.as_bytes()), length, "{text}");
        }
    }

    #[test]
    fn a_line_is_a_token_a_colon_and_text() {
        assert_eq!(split(b"A:b"), Ok((&b"A"[..], &b"b"[..])));
        assert_eq!(split(b"A: \t b c\t "), Ok((&b"A"[..], &b"b c"[..])));
        assert_eq!(split(b"A:"), Ok((&b"A"[..], &b""[..])));
        assert_eq!(
            split("A: \u{e9}".as_bytes()).map(|split| split.1.len()),
            Ok(2)
        );
        for (line, fault) in [
            (&b"A"[..], Fault::Name),
            (b":b", Fault::Name),
            (b"A B: c", Fault::Name),
            (b"A\xe9: c", Fault::Name),
            (b"A(: c", Fault::Name),
            (b"A\x00: c", Fault::Name),
            (b"A : c", Fault::SpaceBeforeColon),
            (b"A\t: c", Fault::SpaceBeforeColon),
            (b" A: c", Fault::Folded),
            (b"\tc", Fault::Folded),
            (b"A: \x00", Fault::Value),
            (b"A: b\x0bc", Fault::Value),
            (b"A: b\x7f", Fault::Value),
        ] {
            assert_eq!(split(line), Err(fault), "{line:?}");
        }
    }
}
