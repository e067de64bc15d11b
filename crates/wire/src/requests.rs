//! What a client sends: request heads by the rules below.
//!
//! Stricter than RFC 9112 where it lets a recipient choose, because whoever reads the same bytes behind weir may choose otherwise.
//! What the text of a Host means is not decided here, and bodies are followed by [`crate::Chunks`] and by their length.

use bytes::{Buf, Bytes};
use http::{Method, Uri};
use memchr::memchr;

use crate::{
    Fault, Fields, MAX_REQUEST_LINE, characters::is_token, fields::Sender, memory::Memory,
    target::check,
};

/// Empty lines before a request line that are passed over; RFC 9112 section 2.2 has one in mind, after a POST of an old browser.
const BLANKS: u32 = 16;
/// The longest method, in bytes. The longest registered one has 17.
const METHOD: usize = 32;

/// Reads one head after the other.
#[derive(Debug, Default)]
pub struct Requests {
    blanks: u32,
    memory: Memory,
}

/// A request's head.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// What is asked.
    pub method: Method,
    /// Of what.
    pub target: Uri,
    /// HTTP/1.0.
    pub old: bool,
    /// Its lines.
    pub fields: Fields,
}

impl Requests {
    /// Takes the head that these bytes begin with, and empty lines before it; `None` if it is not whole. Then it is to be asked again with the
    /// same bytes and others behind them. The head's parts share them.
    ///
    /// # Errors
    /// Why they can never become a head.
    pub fn next(&mut self, bytes: &mut Bytes) -> Result<Option<RequestHead>, Fault> {
        while self.blanks < BLANKS && bytes.starts_with(b"\r\n") {
            self.blanks += 1;
            bytes.advance(2);
        }
        if matches!(bytes[..], [] | [b'\r']) {
            return Ok(None);
        }
        let Some(end) = memchr(b'\n', bytes) else {
            return begins(bytes).map(|()| None);
        };
        if end > MAX_REQUEST_LINE + 1 {
            return Err(Fault::TargetTooLong);
        }
        let [line @ .., b'\r'] = &bytes[..end] else {
            return Err(Fault::BareLf);
        };
        let (method, target, old) =
            request_line(bytes, line).map_err(|fault| fault.or_cr_in(line))?;
        let mut head = RequestHead {
            method,
            target,
            old,
            fields: Fields::default(),
        };
        let sender = Sender::Client { old };
        let read = head.fields.read(&mut self.memory, bytes, end + 1, sender)?;
        let Some(length) = read else {
            return Ok(None);
        };
        match (head.fields.chunked, head.fields.length) {
            (true, Some(_)) => return Err(Fault::LengthAndCoding),
            (true, None) if old => return Err(Fault::CodingInOld),
            _ => {}
        }
        self.blanks = 0;
        *bytes = bytes.split_off(length);
        Ok(Some(head))
    }

    /// Holds nothing more of the heads before: there is no next one soon.
    pub fn forget(&mut self) {
        self.memory.forget();
    }
}

/// Whether a request line can begin so: a TLS handshake on a plain port would otherwise be waited for until a clock runs out.
#[cold]
fn begins(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.len() > MAX_REQUEST_LINE {
        return Err(Fault::TargetTooLong);
    }
    let method = &bytes[..bytes.len().min(METHOD + 1)];
    let method = memchr(b' ', method).map_or(method, |space| &method[..space]);
    if method.len() > METHOD || !is_token(method) {
        return Err(Fault::RequestLine);
    }
    Ok(())
}

/// `METHOD SP target SP version`
fn request_line(bytes: &Bytes, line: &[u8]) -> Result<(Method, Uri, bool), Fault> {
    let (words, old) = match line.split_last_chunk() {
        Some((words, b" HTTP/1.1")) => (words, false),
        Some((words, b" HTTP/1.0")) => (words, true),
        _ => return Err(no_version(line)),
    };
    let space = memchr(b' ', words).ok_or(Fault::RequestLine)?;
    let (method, target) = (&words[..space], &words[space + 1..]);
    if method.len() > METHOD {
        return Err(Fault::RequestLine);
    }
    // By the same characters as a token's.
    let method = Method::from_bytes(method).map_err(|_| Fault::RequestLine)?;
    check(&method, target)?;
    // What `check` leaves to it are bytes that RFC 3986 has nowhere.
    let target = Uri::from_maybe_shared(bytes.slice_ref(target)).map_err(|_| Fault::Target)?;
    Ok((method, target, old))
}

/// Why a request line does not end with a version that is spoken here.
#[cold]
fn no_version(line: &[u8]) -> Fault {
    let words: Vec<_> = line.splitn(4, |byte| *byte == b' ').collect();
    match words[..] {
        [method, _, [b'H', b'T', b'T', b'P', b'/', number @ ..]]
            if is_token(method) && method.len() <= METHOD && is_version(number) =>
        {
            Fault::Version
        }
        _ => Fault::RequestLine,
    }
}

/// `1*DIGIT "." 1*DIGIT`
fn is_version(number: &[u8]) -> bool {
    let mut parts = number.split(|byte| *byte == b'.');
    let is_number = |part: Option<&[u8]>| {
        part.is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
    };
    is_number(parts.next()) && is_number(parts.next()) && parts.next().is_none()
}
