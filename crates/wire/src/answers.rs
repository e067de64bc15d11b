//! What an upstream sends: heads of answers. More lenient than with clients in one thing, that a line may end with LF alone.

use bytes::Bytes;
use http::StatusCode;
use memchr::memchr;

use crate::{Fault, Fields, MAX_HEAD, characters::is_text, fields::Sender, memory::Memory};

/// Reads one head after the other.
#[derive(Debug, Default)]
pub struct Answers {
    pub(crate) memory: Memory,
}

/// An answer's head.
#[derive(Debug)]
pub struct AnswerHead {
    /// What became of the request.
    pub status: StatusCode,
    /// HTTP/1.0.
    pub old: bool,
    /// Its lines.
    pub fields: Fields,
}

impl Answers {
    /// Takes the head that these bytes begin with, which are not none; `None` if it is not whole. Its parts share them.
    ///
    /// # Errors
    /// Why they can never become a head.
    pub fn next(&mut self, bytes: &mut Bytes) -> Result<Option<AnswerHead>, Fault> {
        let Some(end) = memchr(b'\n', bytes) else {
            return begins(bytes).map(|()| None);
        };
        let line = &bytes[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (status, old) = status_line(line).ok_or(Fault::StatusLine)?;
        let mut head = AnswerHead {
            status,
            old,
            fields: Fields::default(),
        };
        let memory = &mut self.memory;
        let Some(length) = head.fields.read(memory, bytes, end + 1, Sender::Server)? else {
            return Ok(None);
        };
        if head.fields.chunked && old {
            return Err(Fault::CodingInOld);
        }
        *bytes = bytes.split_off(length);
        Ok(Some(head))
    }

    /// Holds nothing more of the heads before: there is no next one soon.
    pub fn forget(&mut self) {
        self.memory.forget();
    }
}

/// Whether a status line can begin so: what is no HTTP would otherwise be waited for until a clock runs out.
#[cold]
fn begins(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.len() > MAX_HEAD {
        return Err(Fault::TooLarge);
    }
    let wanted = b"HTTP/1.";
    let common = bytes.len().min(wanted.len());
    if bytes[..common] != wanted[..common] {
        return Err(Fault::StatusLine);
    }
    Ok(())
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`
fn status_line(line: &[u8]) -> Option<(StatusCode, bool)> {
    let (version, rest) = line.split_first_chunk()?;
    let old = match version {
        b"HTTP/1.1 " => false,
        b"HTTP/1.0 " => true,
        _ => return None,
    };
    let (status, reason) = rest.split_at_checked(3)?;
    match reason {
        [] => {}
        [b' ', text @ ..] if is_text(text) => {}
        _ => return None,
    }
    Some((StatusCode::from_bytes(status).ok()?, old))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_FIELDS;

    fn read(text: &str) -> Result<Option<AnswerHead>, Fault> {
        Answers::default().next(&mut Bytes::copy_from_slice(text.as_bytes()))
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
            ("HTTP/1.1 200 OK\r\r\n\r\n", Fault::StatusLine),
            ("<html>", Fault::StatusLine),
            ("HTTQ", Fault::StatusLine),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Fault::Name),
            ("HTTP/1.1 200 OK\r\nA\r\n\r\n", Fault::Name),
            ("HTTP/1.1 200 OK\r\n: b\r\n\r\n", Fault::Name),
            ("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", Fault::Name),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Fault::Name),
            ("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", Fault::Value),
            ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", Fault::Value),
            ("HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n", Fault::Value),
            ("HTTP/1.1 200 OK\r\n\rA: b\r\n\r\n", Fault::BareCr),
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
            assert_eq!(
                read(text).map(|head| head.is_some()),
                Err(wanted),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_head_is_bounded() {
        let lines = "Set-Cookie: a=b\r\n".repeat(MAX_FIELDS + 1);
        let many = format!("HTTP/1.1 200 OK\r\n{lines}");
        assert_eq!(read(&many).map(drop), Err(Fault::TooManyFields));
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(MAX_HEAD));
        assert_eq!(read(&long).map(drop), Err(Fault::TooLarge));
        let whole = format!("{long}\r\n\r\n");
        assert_eq!(read(&whole).map(drop), Err(Fault::TooLarge));
        let endless = format!("HTTP/1.1 200 {}", "x".repeat(MAX_HEAD));
        assert_eq!(read(&endless).map(drop), Err(Fault::TooLarge));
    }
}
