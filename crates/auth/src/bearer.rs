//! The token of an Authorization header (RFC 6750, 2.1).

use http::{HeaderMap, header};

use crate::{Denied, Withheld};

/// `None` where the header is absent, empty or holds another scheme, which is then none of weir's business. Two headers are refused, and
/// so is one that is a token alone, does not begin with a scheme and a space, or names the bearer scheme anywhere else (`Bearer<TAB>x`, `Negotiate x, Bearer y`):
/// a laxer upstream might read a token there that nobody has verified.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let Some(token) = bytes(headers)? else {
        return Ok(None);
    };
    let token = str::from_utf8(token).map_err(|_| Denied::Malformed)?;
    Ok(Some(token))
}

/// The same for whoever compares before it reads: not yet known to be text.
pub(crate) fn bytes(headers: &HeaderMap) -> Result<Option<&[u8]>, Denied> {
    let Some(mut token) = credential(headers)? else {
        return Ok(None);
    };
    while let Some(rest) = token.strip_prefix(b" ") {
        token = rest;
    }
    Ok(Some(token))
}

/// What stands behind the scheme.
fn credential(headers: &HeaderMap) -> Result<Option<&[u8]>, Denied> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(Denied::DuplicateAuthorization);
    }
    let line = line.as_bytes();
    // As nearly all are written.
    if let Some(rest) = line.strip_prefix(b"Bearer ") {
        return Ok(Some(rest));
    }
    if line.is_empty() {
        return Ok(None);
    }
    let end = line.iter().position(|byte| !is_tchar(*byte));
    let (scheme, rest) = line.split_at(end.unwrap_or(line.len()));
    // No scheme has a dot: a word alone that has one is a token without its scheme.
    let alone = rest.is_empty() && scheme.contains(&b'.');
    if scheme.is_empty() || alone || !(rest.is_empty() || rest.starts_with(b" ")) {
        return Err(Denied::Malformed);
    }
    if !is_bearer(scheme) {
        let hidden = rest.split(|byte| !is_tchar(*byte)).any(is_bearer);
        return if hidden {
            Err(Denied::Malformed)
        } else {
            Ok(None)
        };
    }
    Ok(Some(rest))
}

fn is_bearer(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"bearer")
}

/// RFC 9110, 5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Withholds the header, if it is of this scheme.
pub(crate) fn withhold(headers: &HeaderMap, withheld: &mut Withheld) {
    if !matches!(credential(headers), Ok(None)) {
        withheld.authorization();
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&[u8]]) -> Result<Option<String>, Denied> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                header::AUTHORIZATION,
                HeaderValue::from_bytes(line).unwrap(),
            );
        }
        token(&headers).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn only_one_bearer_token_counts() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"Basic YTpi"]), Ok(None));
        assert_eq!(read(&[b"BearerX"]), Ok(None));
        assert_eq!(read(&[b"bEARER  a.b.c"]), Ok(Some("a.b.c".to_owned())));
        assert_eq!(read(&[b"Bearer"]), Ok(Some(String::new())));
        for odd in [
            &b"Bearer \xff"[..],
            b"Bearer\ta.b.c",
            b"bearer,a.b.c",
            b"Bearer\xa0a.b.c",
            b"Bearer=a.b.c",
            b"\xa0Bearer a.b.c",
            b",Bearer a.b.c",
            b"Negotiate x, Bearer a.b.c",
            b"Basic YTpi,bearer\ta.b.c",
            b"Basic\tYTpi",
            b"\"Bearer\" a.b.c",
            b"a.b.c",
        ] {
            assert_eq!(
                read(&[odd]),
                Err(Denied::Malformed),
                "{}",
                odd.escape_ascii()
            );
        }
        for other in [
            &b""[..],
            b"Negotiate YII=",
            b"Digest username=\"a\", realm=\"forbearer\", nc=00000001",
            b"AWS4-HMAC-SHA256 Credential=A/2026/r/s3/aws4_request, SignedHeaders=host;range",
        ] {
            assert_eq!(read(&[other]), Ok(None), "{}", other.escape_ascii());
        }
        assert_eq!(
            read(&[b"Bearer a.b.c", b"Bearer a.b.c"]),
            Err(Denied::DuplicateAuthorization)
        );
        assert_eq!(
            read(&[b"Basic YTpi", b"Bearer a.b.c"]),
            Err(Denied::DuplicateAuthorization)
        );
    }
}
