//! What a client sends: request heads by the rules below, their bodies followed to the end, one after the other.
//!
//! Stricter than RFC 9112 where it lets a recipient choose, because whoever reads the same bytes behind weir may choose otherwise.
//! What the text of a target or a Host means is not decided here.

use memchr::memchr;

use crate::{
    Fault, MAX_REQUEST_LINE, Messages, Next, Stop,
    characters::{is_token, is_visible},
    chunks::Chunks,
    fields::Fields,
    lines::Lines,
};

/// Empty lines before a request line that are passed over; RFC 9112 section 2.2 has one in mind, after a POST of an old browser.
const BLANKS: u32 = 16;
/// The longest method, in bytes. The longest registered one has 17.
const METHOD: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub struct Requests {
    state: State,
    head: Head,
    blanks: u32,
    /// The request whose body comes asked to change the protocol.
    upgrade: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Length(u64),
    Chunked(Chunks),
    /// What follows belongs to the next request, or to another protocol.
    Undecided,
    Tunnel,
}

#[derive(Debug, Default)]
struct Head {
    lines: Lines,
    fields: Fields,
    old: bool,
    upgrade: bool,
    first_seen: bool,
}

impl Requests {
    /// The request that asked for another protocol was answered: `switched`, and the bytes are no longer HTTP, or not.
    pub fn answered(&mut self, switched: bool) {
        if matches!(self.state, State::Undecided) {
            self.state = if switched { State::Tunnel } else { State::Head };
        }
    }

    /// Whether what comes next belongs to a head.
    pub fn in_head(&self) -> bool {
        matches!(self.state, State::Head)
    }

    fn head(&mut self, bytes: &[u8]) -> Next {
        if self.head.lines.in_first() {
            match bytes {
                [b'\r'] => return Next::More,
                [b'\r', b'\n', ..] if self.blanks < BLANKS => {
                    self.blanks += 1;
                    return Next::Skip(2);
                }
                _ => {}
            }
        }
        match self.head.read(bytes) {
            Err(Fault::TooLarge) if self.head.lines.in_first() => {
                Next::Stop(Stop::Head(Fault::TargetTooLong))
            }
            Err(fault) => Next::Stop(Stop::Head(fault)),
            Ok(None) => Next::More,
            Ok(Some(length)) => {
                let head = std::mem::take(&mut self.head);
                self.blanks = 0;
                self.upgrade = head.upgrade;
                match (head.fields.chunked, head.fields.length) {
                    (true, _) => self.state = State::Chunked(Chunks::default()),
                    (false, Some(length)) if length > 0 => self.state = State::Length(length),
                    _ => self.body_over(),
                }
                Next::Pass(length)
            }
        }
    }

    fn body_over(&mut self) {
        self.state = if self.upgrade {
            State::Undecided
        } else {
            State::Head
        };
    }
}

impl Messages for Requests {
    fn next(&mut self, bytes: &[u8]) -> Next {
        match &mut self.state {
            State::Head => self.head(bytes),
            State::Length(left) => {
                let here = (*left).min(bytes.len() as u64);
                *left -= here;
                if *left == 0 {
                    self.body_over();
                }
                Next::Pass(usize::try_from(here).expect("no more than the slice"))
            }
            State::Chunked(chunks) => match chunks.pass(bytes) {
                Ok(count) => {
                    if chunks.done() {
                        self.body_over();
                    }
                    Next::Pass(count)
                }
                Err(fault) => Next::Stop(Stop::Body(fault)),
            },
            State::Undecided => Next::Wait,
            State::Tunnel => Next::Pass(bytes.len()),
        }
    }
}

impl Head {
    /// The head's length once it is whole and right.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let Self {
            lines,
            fields,
            old,
            upgrade,
            first_seen,
        } = self;
        let found = lines.scan(bytes, |line| {
            if !*first_seen {
                *first_seen = true;
                let (connect, http_1_0) = request_line(line)?;
                (*upgrade, *old) = (connect, http_1_0);
                return Ok(());
            }
            let (name, value) = fields.line(line)?;
            if name.eq_ignore_ascii_case(b"upgrade") {
                *upgrade |= !*old;
            } else if name.eq_ignore_ascii_case(b"expect")
                && !*old
                && !value.eq_ignore_ascii_case(b"100-continue")
            {
                return Err(Fault::Expectation);
            }
            Ok(())
        })?;
        if found.is_none() && lines.in_first() {
            return begins(bytes).map(|()| None);
        }
        if found.is_some() {
            match (self.first_seen, self.fields.chunked, self.fields.length) {
                (false, ..) => return Err(Fault::RequestLine),
                (_, true, Some(_)) => return Err(Fault::LengthAndCoding),
                (_, true, None) if self.old => return Err(Fault::CodingInOld),
                _ => {}
            }
        }
        Ok(found)
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

/// Checks `METHOD SP target SP version`; whether it is CONNECT, and whether it is HTTP/1.0.
fn request_line(line: &[u8]) -> Result<(bool, bool), Fault> {
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
    Ok((method == b"CONNECT", old))
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

/// Without the bytes that RFC 3986 has nowhere and that no client sends as they are: hyper would refuse them by itself, and say so to nobody.
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
