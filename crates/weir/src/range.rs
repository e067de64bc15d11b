//! Which part of a file a request asks for (RFC 9110 section 14), as tower-http reads it.

use http::{HeaderValue, Method, header, request::Parts};

/// The part that is asked for, as tower-http reads it; `None` where RFC 9110 section 14.2 has a server send the whole, which tower-http would
/// refuse with 416, or send a part of: to another method than GET, or in a unit that is not bytes, whose name has no case. With If-Range,
/// which tower-http does not know, too: a part of a file that has changed would be joined to a part of the old one, the whole never is.
pub(crate) fn of_bytes(head: &Parts) -> Option<HeaderValue> {
    let range = head.headers.get(header::RANGE)?;
    if head.method != Method::GET || head.headers.contains_key(header::IF_RANGE) {
        return None;
    }
    let (unit, set) = range.to_str().ok()?.split_once('=')?;
    let bytes = unit.trim_end().eq_ignore_ascii_case("bytes");
    HeaderValue::try_from(format!("bytes={}", set.trim_start()))
        .ok()
        .filter(|_| bytes)
}
