//! The four forms of a request's target (RFC 9112 section 3.2), each with the methods it is for. Of paths and queries only what `http::Uri` takes
//! and should not is refused here.

use http::Method;
use memchr::memchr;

use crate::{Fault, characters::is_target};

/// Whether a request with this method may have this target.
pub(crate) fn check(method: &Method, target: &[u8]) -> Result<(), Fault> {
    if !is_target(target) {
        return Err(unclear(target));
    }
    let right = match target {
        // `//host/path` could be read as an authority; as a path it has one form, which routing gives it.
        [b'/', ..] => *method != Method::CONNECT,
        _ => is_no_path(method, target),
    };
    if right { Ok(()) } else { Err(Fault::Target) }
}

#[cold]
fn unclear(target: &[u8]) -> Fault {
    if target.contains(&b' ') {
        Fault::RequestLine
    } else if target.iter().all(u8::is_ascii_graphic) {
        Fault::Fragment
    } else {
        Fault::Target
    }
}

/// One of the three other forms.
#[cold]
fn is_no_path(method: &Method, target: &[u8]) -> bool {
    if target == b"*" {
        *method == Method::OPTIONS
    } else if *method == Method::CONNECT {
        target.contains(&b':') && is_authority(target)
    } else {
        is_absolute(method, target)
    }
}

/// `http://authority[/…]` or the same with `https`. OPTIONS of an authority alone is `OPTIONS *` (RFC 9112 section 3.2.4), and refused: what reads
/// it next takes it for that of the path `/`.
fn is_absolute(method: &Method, target: &[u8]) -> bool {
    let rest = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    rest.is_some_and(|rest| {
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
        let (authority, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let of_server = *method == Method::OPTIONS && rest.is_empty();
        is_authority(authority) && !of_server
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

#[cfg(test)]
mod tests {
    use http::Uri;

    /// The bytes that no target may have, and that are left to `http::Uri`.
    #[test]
    fn a_uri_refuses_what_is_nowhere_in_one() {
        for path in [&b"<>`"[..], b"^\\"].concat() {
            let text = [b'/', b'a', path, b'b'];
            let taken = Uri::try_from(&text[..]).is_ok();
            assert_eq!(taken, matches!(path, b'^' | b'\\'), "{}", char::from(path));
        }
        for query in *b"<>\"" {
            let text = [b'/', b'a', b'?', query, b'b'];
            assert!(Uri::try_from(&text[..]).is_err(), "{}", char::from(query));
        }
        for target in ["http://a/<", "http://a?\"", "http://a/b`"] {
            assert!(target.parse::<Uri>().is_err(), "{target}");
        }
    }
}
