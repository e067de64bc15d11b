//! Which part of a file a request asks for (RFC 9110 section 14), in the form that tower-http reads, which is narrower than the RFC's; and what
//! its answers about parts leave unsaid.

use http::{HeaderValue, Method, Response, header, request::Parts};

/// The greatest number that tower-http reads and that is sure to be: beyond the end of any file.
const BEYOND: &str = "9999999999999999999";

/// The part that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    /// For tower-http.
    pub(crate) value: HeaderValue,
    /// It is so many bytes from the end, and at least one.
    pub(crate) is_suffix: bool,
}

impl Range {
    /// `None` where RFC 9110 section 14.2 has a server send the whole, which tower-http would refuse with 416, or send a part of: to another
    /// method than GET, or in a unit that is not bytes, whose name has no case. With If-Range, which tower-http does not know, too: a part of
    /// a file that has changed would be joined to a part of the old one, the whole never is.
    pub(crate) fn of(head: &Parts) -> Option<Self> {
        let range = head.headers.get(header::RANGE)?;
        if head.method != Method::GET || head.headers.contains_key(header::IF_RANGE) {
            return None;
        }
        let (unit, set) = range.to_str().ok()?.split_once('=')?;
        if !unit.trim_end().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let parts: Vec<_> = set.split(',').map(part).collect();
        let is_suffix = match &parts[..] {
            [only] => only
                .strip_prefix('-')
                .is_some_and(|length| is_number(length) && length != "0"),
            _ => false,
        };
        Some(Self {
            value: HeaderValue::try_from(format!("bytes={}", parts.join(","))).ok()?,
            is_suffix,
        })
    }
}

/// Whether an answer of tower-http's about a part says that the file has no bytes at all.
pub(crate) fn is_of_nothing<B>(answer: &Response<B>) -> bool {
    let told = answer.headers().get(header::CONTENT_RANGE);
    told.is_some_and(|told| told.as_bytes().ends_with(b"/0"))
}

/// `FIRST-LAST`, `FIRST-` or `-LENGTH` in numbers that tower-http reads; what is none of these is left to it to refuse.
fn part(text: &str) -> String {
    let text = text.trim();
    match text.split_once('-') {
        Some((first, last)) => format!("{}-{}", number(first), number(last)),
        None => text.to_owned(),
    }
}

/// The RFC bounds neither a number nor the zeros in front of it.
fn number(digits: &str) -> &str {
    if !is_number(digits) {
        return digits;
    }
    match digits.trim_start_matches('0') {
        "" => "0",
        long if long.len() > BEYOND.len() => BEYOND,
        number => number,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
