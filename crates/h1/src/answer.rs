//! The head of an answer, by httparse and by the rules that it leaves to its caller: what frames the body (RFC 9112 section 6.3), and whether
//! the connection lives on. More lenient than with clients in one thing: a line may end with LF alone. The upstream is the operator's,
//! and nobody reads these bytes after weir.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header, response};
use httparse::{Error, ParserConfig, Status};
use weir_wire::{Fault, Fields, MAX_FIELDS, MAX_HEAD};

use crate::body::Framing;

/// A whole head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) parts: response::Parts,
    /// In bytes.
    pub(crate) length: usize,
    pub(crate) framing: Framing,
    /// Whether another request may follow on the connection, as far as the head says.
    pub(crate) kept: bool,
}

/// The head that these bytes begin with; `None` if it is not whole. `head_only`: the answer is to HEAD, and has no body.
pub(crate) fn read(bytes: &[u8], head_only: bool) -> Result<Option<Head>, Fault> {
    // httparse passes over empty lines before the status line.
    if bytes.first().is_some_and(|first| *first != b'H') {
        return Err(Fault::StatusLine);
    }
    let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut answer, bytes, &mut lines);
    let length = match parsed.map_err(fault)? {
        Status::Partial if bytes.len() > MAX_HEAD => return Err(Fault::TooLarge),
        Status::Partial => return Ok(None),
        Status::Complete(length) if length > MAX_HEAD => return Err(Fault::TooLarge),
        Status::Complete(length) => length,
    };
    let status = answer
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(Fault::StatusLine)?;
    let old = answer.version == Some(0);

    let mut parts = Response::new(()).into_parts().0;
    parts.status = status;
    parts.version = if old {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    // One copy for all values; they share it.
    let text = Bytes::copy_from_slice(&bytes[..length]);
    let mut fields = Fields::default();
    let mut connection = Wishes::default();
    parts.headers = HeaderMap::with_capacity(answer.headers.len() + 2);
    for line in answer.headers.iter() {
        fields.field(line.name.as_bytes(), line.value)?;
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| Fault::Name)?;
        let at = line.value.as_ptr() as usize - bytes.as_ptr() as usize;
        let value = HeaderValue::from_maybe_shared(text.slice(at..at + line.value.len()))
            .map_err(|_| Fault::Value)?;
        if name == header::CONNECTION {
            connection.read(line.value);
        }
        parts.headers.append(name, value);
    }
    if fields.chunked && old {
        return Err(Fault::CodingInOld);
    }
    let framing = match (status.as_u16(), fields.chunked, fields.length) {
        (101, ..) => Framing::Close,
        (100..=199 | 204 | 304, ..) => Framing::None,
        _ if head_only => Framing::None,
        (_, true, _) => Framing::Chunked(Box::default()),
        (_, false, Some(0)) => Framing::None,
        (_, false, Some(length)) => Framing::Length(length),
        (_, false, None) => Framing::Close,
    };
    // Two readers could differ on where such an answer ends.
    let doubtful = fields.chunked && fields.length.is_some();
    Ok(Some(Head {
        parts,
        length,
        kept: connection.keeps(old) && !doubtful && !matches!(framing, Framing::Close),
        framing,
    }))
}

/// What `Connection` says of the connection.
#[derive(Default)]
struct Wishes {
    close: bool,
    keep: bool,
}

impl Wishes {
    fn read(&mut self, value: &[u8]) {
        for word in value.split(|byte| *byte == b',') {
            let word = word.trim_ascii();
            self.close |= word.eq_ignore_ascii_case(b"close");
            self.keep |= word.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn keeps(&self, old: bool) -> bool {
        !self.close && (!old || self.keep)
    }
}

/// Whether a head that is not whole at `from` may be so now: an empty line has come since.
pub(crate) fn may_be_whole(bytes: &[u8], from: usize) -> bool {
    // The line end before it may have come earlier.
    let bytes = &bytes[from.saturating_sub(3)..];
    memchr::memchr_iter(b'\n', bytes)
        .any(|at| matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

fn fault(error: Error) -> Fault {
    match error {
        Error::HeaderName => Fault::Name,
        Error::HeaderValue => Fault::Value,
        Error::NewLine => Fault::BareCr,
        Error::TooManyHeaders => Fault::TooManyFields,
        Error::Status | Error::Token | Error::Version => Fault::StatusLine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(text: &str) -> Result<(Framing, bool), Fault> {
        let head = read(text.as_bytes(), false)?.expect("a whole head");
        assert_eq!(head.length, text.len());
        Ok((head.framing, head.kept))
    }

    #[test]
    fn what_frames_a_body() {
        for (text, wanted, kept) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "Close", false),
            (
                "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n",
                "Length(5)",
                true,
            ),
            ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "None", true),
            ("HTTP/1.1 200 OK\nContent-Length:5\n\n", "Length(5)", true),
            (
                "HTTP/1.1 200 OK\r\nConnection: a, Close\r\nContent-Length: 5\r\n\r\n",
                "Length(5)",
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
                "Length(5)",
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\n",
                "Length(5)",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
                "Chunked",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                "Chunked",
                false,
            ),
            ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "None", true),
            (
                "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n",
                "None",
                true,
            ),
            ("HTTP/1.1 101 Switching\r\n\r\n", "Close", false),
        ] {
            let (framing, keeps) = framing(text).unwrap();
            let framing = format!("{framing:?}");
            assert!(framing.starts_with(wanted), "{text:?}: {framing}");
            assert_eq!(keeps, kept, "{text:?}");
        }
        let head = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true);
        assert!(matches!(head.unwrap().unwrap().framing, Framing::None));
    }

    #[test]
    fn what_is_no_head() {
        for (text, wanted) in [
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.2 200 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/2 200 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1  200 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 20 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 2000\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 099 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 200 O\0K\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 200 OK\rX\r\n\r\n", Fault::StatusLine),
            ("<html>", Fault::StatusLine),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Fault::Name),
            ("HTTP/1.1 200 OK\r\nA\r\n\r\n", Fault::Name),
            ("HTTP/1.1 200 OK\r\n: b\r\n\r\n", Fault::Name),
            ("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", Fault::Name),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Fault::Name),
            ("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", Fault::Value),
            ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", Fault::Value),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
                Fault::Length,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
                Fault::Length,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                Fault::LengthTwice,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                Fault::Coding,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
                Fault::Coding,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
                Fault::Coding,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                Fault::CodingTwice,
            ),
            (
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                Fault::CodingInOld,
            ),
        ] {
            assert_eq!(framing(text).map(drop), Err(wanted), "{text:?}");
        }
    }

    #[test]
    fn a_head_is_bounded() {
        let lines = "Set-Cookie: a=b\r\n".repeat(MAX_FIELDS + 1);
        let text = format!("HTTP/1.1 200 OK\r\n{lines}");
        assert_eq!(
            read(text.as_bytes(), false).map(drop),
            Err(Fault::TooManyFields)
        );
        let text = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(MAX_HEAD));
        assert_eq!(read(text.as_bytes(), false).map(drop), Err(Fault::TooLarge));
        let whole = format!("{text}\r\n\r\n");
        assert_eq!(
            read(whole.as_bytes(), false).map(drop),
            Err(Fault::TooLarge)
        );
    }

    #[test]
    fn an_empty_line_is_seen_over_the_edge_of_two_reads() {
        for text in [&b"A\r\n\r\n"[..], b"A\n\n", b"A\n\r\n"] {
            for edge in 0..text.len() {
                assert!(may_be_whole(text, edge), "{edge}");
            }
            assert!(!may_be_whole(&text[..text.len() - 1], 0));
        }
    }
}
