//! Header lines: their form, and what those say that frame the body or speak of the connection (RFC 9112 sections 5, 6 and 9).
//!
//! One walk for both sides, from the bytes to the map: a thread that has just read a request by it reads the answer by warm code. What a name or
//! a value may have is asked of `http` where it makes one, and not before as well: it takes just what is a token, and just what is text.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use memchr::memchr;

use crate::{
    Fault, MAX_FIELDS, MAX_HEAD,
    characters::{inner, is_text, is_token},
    memory::Memory,
    names,
};

/// In so many bytes lines are counted, so that their map has its size at once; where there are more it may have to grow.
const COUNTED: usize = 1024;
/// The most lines that are made room for before they are read: what is counted may be of the body too.
const EXPECTED: usize = 32;

/// A head's lines, and what they say.
#[derive(Debug, Default)]
pub struct Fields {
    /// All of them, in order.
    pub headers: HeaderMap,
    /// Content-Length.
    pub length: Option<u64>,
    /// Transfer-Encoding, which can only be `chunked`.
    pub chunked: bool,
    /// `Connection: close`.
    pub close: bool,
    /// `Connection: keep-alive`.
    pub keep_alive: bool,
    /// `Expect: 100-continue`.
    pub expects: bool,
    /// `TE: trailers`.
    pub trailers: bool,
}

/// Whose lines they are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sender {
    /// Strict: weir is not the only one to read them. `old`: HTTP/1.0.
    Client { old: bool },
    /// A line may end with LF alone. The upstream is the operator's, and nobody reads these bytes after weir.
    Server,
}

impl Fields {
    /// Takes the lines from `from` on, its first; the head's length, if the empty line is among them.
    #[inline(never)]
    pub(crate) fn read(
        &mut self,
        memory: &mut Memory,
        bytes: &Bytes,
        from: usize,
        sender: Sender,
    ) -> Result<Option<usize>, Fault> {
        let expected = match memory.len() {
            0 => count(&bytes[from..]).min(EXPECTED),
            lines => lines,
        };
        self.headers.reserve(expected);
        let (mut at, mut place, mut known) = (from, 0, 0);
        loop {
            let rest = &bytes[at..];
            let again = memory.line(place, rest);
            let end = match again {
                Some(line) => at + line.bytes.len() - 1,
                None if rest.starts_with(b"\r\n") => at + 1,
                None => match memchr(b'\n', rest) {
                    Some(found) => at + found,
                    None => break,
                },
            };
            if end >= MAX_HEAD {
                return Err(Fault::TooLarge);
            }
            let (name, value) = if let Some(line) = again {
                known += 1;
                (line.name.clone(), line.value.clone())
            } else {
                let length = match &bytes[at..end] {
                    [line @ .., b'\r'] => line.len(),
                    line if matches!(sender, Sender::Server) => line.len(),
                    _ => return Err(Fault::BareLf),
                };
                if length == 0 {
                    if known * 2 < place {
                        memory.strange(&bytes[from..at], sender);
                    }
                    return Ok(Some(end + 1));
                }
                if place == MAX_FIELDS {
                    return Err(Fault::TooManyFields);
                }
                line(bytes, at, length, sender)?
            };
            match name {
                header::CONTENT_LENGTH
                | header::TRANSFER_ENCODING
                | header::CONNECTION
                | header::EXPECT
                | header::TE => self.note(&name, value.as_bytes(), sender)?,
                _ => {}
            }
            self.headers.append(name, value);
            place += 1;
            at = end + 1;
        }
        if bytes.len() > MAX_HEAD {
            return Err(Fault::TooLarge);
        }
        Ok(None)
    }

    /// What a line says of the body or the connection.
    ///
    /// # Errors
    /// What two readers could understand differently.
    fn note(&mut self, name: &HeaderName, value: &[u8], sender: Sender) -> Result<(), Fault> {
        let says = |word: &[u8]| {
            let mut words = value.split(|byte| *byte == b',');
            words.any(|said| said.trim_ascii().eq_ignore_ascii_case(word))
        };
        match *name {
            header::CONTENT_LENGTH => {
                let length = number(value).ok_or(Fault::Length)?;
                if self.length.replace(length).is_some() {
                    return Err(Fault::LengthTwice);
                }
            }
            header::TRANSFER_ENCODING => {
                if self.chunked {
                    return Err(Fault::CodingTwice);
                }
                self.chunked = value.eq_ignore_ascii_case(b"chunked");
                if !self.chunked {
                    return Err(Fault::Coding);
                }
            }
            header::CONNECTION => {
                self.close |= says(b"close");
                self.keep_alive |= says(b"keep-alive");
            }
            header::EXPECT => {
                self.expects = value.eq_ignore_ascii_case(b"100-continue");
                if !self.expects && matches!(sender, Sender::Client { old: false }) {
                    return Err(Fault::Expectation);
                }
            }
            _ => self.trailers |= says(b"trailers"),
        }
        Ok(())
    }

    /// Whether the connection lives on behind a message of this version; `close` in any line outweighs `keep-alive`.
    pub fn keeps(&self, old: bool) -> bool {
        !self.close && (!old || self.keep_alive)
    }
}

/// How many lines there are, among them the empty one and what came behind it. The compiler takes sixteen bytes at once.
#[inline(never)]
fn count(bytes: &[u8]) -> usize {
    let counted = &bytes[..bytes.len().min(COUNTED)];
    let ends = |piece: &[u8]| {
        piece
            .iter()
            .map(|byte| u8::from(*byte == b'\n'))
            .sum::<u8>()
    };
    counted
        .chunks(128)
        .map(|piece| usize::from(ends(piece)))
        .sum()
}

/// The line of this length that begins at `at`.
#[inline(never)]
pub(crate) fn line(
    bytes: &Bytes,
    at: usize,
    length: usize,
    sender: Sender,
) -> Result<(HeaderName, HeaderValue), Fault> {
    let malformed = || malformed(&bytes[at..at + length], sender);
    let (name, colon) = names::name(&bytes[at..], length).ok_or_else(malformed)?;
    let behind = at + colon + 1;
    let value = inner(&bytes[behind..at + length]);
    let value = bytes.slice(behind + value.start..behind + value.end);
    let value = HeaderValue::from_maybe_shared(value).map_err(|_| malformed())?;
    Ok((name, value))
}

/// What is wrong with a line. Of an upstream's it is told less exactly.
#[cold]
fn malformed(line: &[u8], sender: Sender) -> Fault {
    let fault = split(line).err().unwrap_or(Fault::Value);
    match (sender, fault, line) {
        (Sender::Client { .. }, ..) => fault.or_cr_in(line),
        (Sender::Server, _, [b'\r', ..]) => Fault::BareCr,
        (Sender::Server, Fault::Folded | Fault::SpaceBeforeColon, _) => Fault::Name,
        (Sender::Server, ..) => fault,
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
    Ok((name, &value[inner(value)]))
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
    use http::Method;

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

    /// What is left to `http`.
    #[test]
    fn names_are_tokens_and_values_are_text() {
        for byte in 0..=u8::MAX {
            let text = [b'a', byte];
            let token = is_token(&text);
            assert_eq!(HeaderName::from_bytes(&text).is_ok(), token, "{byte}");
            assert_eq!(Method::from_bytes(&text).is_ok(), token, "{byte}");
            let long = [&[b'a'; 100][..], &text].concat();
            assert_eq!(HeaderName::from_bytes(&long).is_ok(), token, "{byte}");
            let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&text));
            assert_eq!(value.is_ok(), is_text(&text), "{byte}");
        }
        assert!(HeaderName::from_bytes(b"").is_err());
        assert!(Method::from_bytes(b"").is_err());
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
