//! The token of an Authorization header (RFC 6750, 2.1).

use http::{HeaderMap, header};

use crate::{Denied, Withheld};

/// `None` where the header is absent or holds another scheme, which is then none of weir's business. Two headers are
/// refused: the upstream might read the other one.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(Denied::DuplicateAuthorization);
    }
    let line = line.as_bytes();
    let end = line
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(line.len());
    if !line[..end].eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let token = str::from_utf8(&line[end..]).map_err(|_| Denied::Malformed)?;
    Ok(Some(token.trim_start_matches(' ')))
}

/// Withholds the header, if it is of this scheme.
pub(crate) fn withhold(headers: &HeaderMap, withheld: &mut Withheld) {
    if !matches!(token(headers), Ok(None)) {
        withheld.names.push(header::AUTHORIZATION);
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
        assert_eq!(read(&[b"Bearer \xff"]), Err(Denied::Malformed));
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
