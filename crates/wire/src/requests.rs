//! What a client sends: request heads by the rules below.
//!
//! Stricter than RFC 9112 where it lets a recipient choose, because whoever reads the same bytes behind weir may choose otherwise.
//! What the text of a target or a Host means is not decided here, and bodies are followed by [`crate::Chunks`] and by their length.

use std::ops::Range;

use memchr::memchr;

use crate::{
    Fault, MAX_REQUEST_LINE,
    characters::{is_token, is_visible},
    fields::Fields,
    lines::Lines,
};

/// Empty lines before a request line that are passed over; RFC 9112 section 2.2 has one in mind, after a POST of an old browser.
const BLANKS: u32 = 16;
/// The longest method, in bytes. The longest registered one has 17.
const METHOD: usize = 32;

/// Reads one head after the other.
#[derive(Debug, Default)]
pub struct Requests {
    head: Head,
    blanks: u32,
}

/// What the first bytes are.
#[derive(Debug)]
pub enum Next {
    /// So many are to be passed over.
    Skip(usize),
    /// They are not enough to tell.
    More,
    /// A head, whole and right.
    Head(Opening),
}

/// A request's head: where its parts are, and its framing. Offsets are from its start.
#[derive(Debug)]
pub struct Opening {
    /// Its length in bytes, with the empty line behind it.
    pub length: usize,
    /// The method. A space is behind it.
    pub method: Range<usize>,
    /// The target.
    pub target: Range<usize>,
    /// The header lines: each name, and its value without the blanks around it.
    pub lines: Vec<(Range<usize>, Range<usize>)>,
    /// What it says of the body.
    pub fields: Fields,
    /// HTTP/1.0.
    pub old: bool,
}

#[derive(Debug, Default)]
struct Head {
    lines: Lines,
    first: Option<First>,
    fields: Fields,
    places: Vec<(Range<usize>, Range<usize>)>,
}

/// A request line.
#[derive(Clone, Debug)]
struct First {
    method: Range<usize>,
    target: Range<usize>,
    old: bool,
}

impl Requests {
    /// Looks at the bytes from the start of a head on, which are not none. After [`Next::More`] it is to be asked again with the same bytes
    /// and others behind them.
    ///
    /// # Errors
    /// Why they can never become a head.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Next, Fault> {
        if self.head.lines.in_first() {
            match bytes {
                [b'\r'] => return Ok(Next::More),
                [b'\r', b'\n', ..] if self.blanks < BLANKS => {
                    self.blanks += 1;
                    return Ok(Next::Skip(2));
                }
                _ => {}
            }
        }
        match self.head.read(bytes) {
            Err(Fault::TooLarge) if self.head.lines.in_first() => Err(Fault::TargetTooLong),
            Err(fault) => Err(fault),
            Ok(None) => Ok(Next::More),
            Ok(Some((length, first))) => {
                let Head { fields, places, .. } = std::mem::take(&mut self.head);
                self.blanks = 0;
                Ok(Next::Head(Opening {
                    length,
                    method: first.method,
                    target: first.target,
                    lines: places,
                    fields,
                    old: first.old,
                }))
            }
        }
    }
}

impl Head {
    /// The head's length once it is whole and right.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<(usize, First)>, Fault> {
        let Self {
            lines,
            first,
            fields,
            places,
        } = self;
        let found = lines.scan(bytes, |at, line| {
            let Some(First { old, .. }) = first else {
                *first = Some(request_line(line)?);
                return Ok(());
            };
            let (name, value) = fields.line(line)?;
            if name.eq_ignore_ascii_case(b"expect")
                && !*old
                && !value.eq_ignore_ascii_case(b"100-continue")
            {
                return Err(Fault::Expectation);
            }
            // Both are parts of the line: the value's end is the line's, but for blanks.
            let blanks = line[name.len() + 1..].iter();
            let blanks = blanks.take_while(|byte| matches!(byte, b' ' | b'\t'));
            let start = (at + name.len() + 1 + blanks.count()).min(at + line.len() - value.len());
            places.push((at..at + name.len(), start..start + value.len()));
            Ok(())
        })?;
        let Some(length) = found else {
            return if lines.in_first() {
                begins(bytes).map(|()| None)
            } else {
                Ok(None)
            };
        };
        let first = first.take().ok_or(Fault::RequestLine)?;
        match (fields.chunked, fields.length) {
            (true, Some(_)) => Err(Fault::LengthAndCoding),
            (true, None) if first.old => Err(Fault::CodingInOld),
            _ => Ok(Some((length, first))),
        }
    }
}

/// Whether a request line can begin so: a TLS handshake on a plain port would otherwise be waited for until a clock runs out.
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
fn request_line(line: &[u8]) -> Result<First, Fault> {
    if line.len() > MAX_REQUEST_LINE {
        return Err(Fault::TargetTooLong);
    }
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Fault::RequestLine);
    };
    if !is_token(method) || method.len() > METHOD {
        return Err(Fault::RequestLine);
    }
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', number @ ..] if is_version(number) => {
            return Err(Fault::Version);
        }
        _ => return Err(Fault::RequestLine),
    };
    check_target(method, target)?;
    let start = method.len() + 1;
    Ok(First {
        method: 0..method.len(),
        target: start..start + target.len(),
        old,
    })
}

/// `1*DIGIT "." 1*DIGIT`
fn is_version(number: &[u8]) -> bool {
    let mut parts = number.split(|byte| *byte == b'.');
    let is_number = |part: Option<&[u8]>| {
        part.is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
    };
    is_number(parts.next()) && is_number(parts.next()) && parts.next().is_none()
}

/// One of the four forms of RFC 9112 section 3.2, each with the methods it is for.
fn check_target(method: &[u8], target: &[u8]) -> Result<(), Fault> {
    if !is_visible(target) {
        return Err(Fault::Target);
    }
    if memchr(b'#', target).is_some() {
        return Err(Fault::Fragment);
    }
    let right = match target {
        // `//host/path` could be read as an authority; as a path it has one form, which routing gives it.
        [b'/', ..] => method != b"CONNECT" && is_path_and_query(target),
        b"*" => method == b"OPTIONS",
        _ if method == b"CONNECT" => target.contains(&b':') && is_authority(target),
        _ => is_absolute(method, target),
    };
    if right { Ok(()) } else { Err(Fault::Target) }
}

/// Without the bytes that RFC 3986 has nowhere and that no client sends as they are, which `http::Uri` would refuse.
/// Others that should be escaped (`"`, `|`, braces) are sent by many, and are.
fn is_path_and_query(text: &[u8]) -> bool {
    let (path, query) = text.split_at(memchr(b'?', text).unwrap_or(text.len()));
    !path.iter().any(|byte| matches!(byte, b'<' | b'>' | b'`'))
        && !query.iter().any(|byte| matches!(byte, b'<' | b'>' | b'"'))
}

/// `http://authority[/…]` or the same with `https`. OPTIONS of an authority alone is `OPTIONS *` (RFC 9112 section 3.2.4), and refused: what reads
/// it next takes it for that of the path `/`.
fn is_absolute(method: &[u8], target: &[u8]) -> bool {
    let rest = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    rest.is_some_and(|rest| {
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
        let (authority, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let of_server = method == b"OPTIONS" && rest.is_empty();
        is_authority(authority) && is_path_and_query(rest) && !of_server
    })
}

/// `host[:port]`: a name without escapes or an address in brackets, and no user (RFC 9110 section 4.2.4). What they mean is asked later.
fn is_authority(text: &[u8]) -> bool {
    let (host, port) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = memchr(b']', rest) else {
                return false;
            };
            let (address, port) = (&rest[..end], &rest[end + 1..]);
            let is_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            if !address.contains(&b':') || !address.iter().all(is_address) {
                return false;
            }
            (address, port)
        }
        _ => {
            let (host, port) = text.split_at(memchr(b':', text).unwrap_or(text.len()));
            let is_name =
                |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte);
            if !host.iter().all(is_name) {
                return false;
            }
            (host, port)
        }
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    !host.is_empty() && is_port
}
