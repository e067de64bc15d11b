//! Tokens where a browser opens a WebSocket, which takes no header of the page's own: the `access_token` of the query, and the word
//! after `bearer` in Sec-WebSocket-Protocol. Both are taken away again before the upstream sees them.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Method, header};

use crate::{Denied, Withheld, cookies::percent_decoded};

const NAME: &str = "access_token";
const MARK: &str = "bearer";

/// HTTP/1.1 `Upgrade` and HTTP/2 extended CONNECT. `h2c` is no upgrade in this sense: it stays HTTP, and curl offers it
/// with everything.
pub fn upgrades(method: &Method, headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::UPGRADE).iter();
    let h2c = |line: &[u8]| line.trim_ascii().eq_ignore_ascii_case(b"h2c");
    *method == Method::CONNECT
        || lines.any(|line| {
            line.as_bytes()
                .split(|byte| *byte == b',')
                .any(|one| !h2c(one))
        })
}

/// The query without the token, in every spelling of its name that an upstream could read; `None` where nothing is left.
pub fn without_token(query: &str) -> Option<String> {
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// Withholds the mark and the token in Sec-WebSocket-Protocol. What is left are the protocols that the upstream may choose from.
pub(crate) fn withhold_protocol(headers: &HeaderMap, withheld: &mut Withheld) {
    let words = protocols(headers);
    let Some(at) = words
        .iter()
        .position(|word| word.eq_ignore_ascii_case(MARK))
    else {
        return;
    };
    let kept: Vec<&str> = words
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != at && *index != at + 1)
        .map(|(_, word)| word.as_str())
        .collect();
    withheld.header(header::SEC_WEBSOCKET_PROTOCOL);
    withheld.protocols = HeaderValue::try_from(kept.join(", "))
        .ok()
        .filter(|_| !kept.is_empty());
}

/// Two are refused: the upstream, or a log, might read the other one.
pub(crate) fn query_token(query: &str) -> Result<Option<&str>, Denied> {
    let mut tokens = query.split('&').filter(|pair| is_token(pair));
    match (tokens.next(), tokens.next()) {
        (None, _) => Ok(None),
        (Some(pair), None) => Ok(Some(pair.split_once('=').map_or("", |(_, token)| token))),
        (Some(_), Some(_)) => Err(Denied::DuplicateAuthorization),
    }
}

pub(crate) fn protocol_token(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    // Protocols are tokens. In a line that is not read here another reader might find a credential.
    let lines: Result<Vec<&str>, _> = lines.map(HeaderValue::to_str).collect();
    let lines = lines.map_err(|_| Denied::Malformed)?;
    let mut words = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    if !words.any(|word| word.eq_ignore_ascii_case(MARK)) {
        return Ok(None);
    }
    let token = words.next().unwrap_or_default();
    if words.any(|word| word.eq_ignore_ascii_case(MARK)) {
        return Err(Denied::DuplicateAuthorization);
    }
    Ok(Some(token))
}

fn protocols(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    lines
        .flat_map(|line| line.to_str().unwrap_or_default().split(','))
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

fn is_token(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    let name = percent_decoded(name).unwrap_or(Cow::Borrowed(name));
    name.trim().eq_ignore_ascii_case(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_one_token_and_loses_it() {
        for (query, token, rest) in [
            ("", Ok(None), Some("")),
            ("a=1", Ok(None), Some("a=1")),
            ("access_token=x.y.z", Ok(Some("x.y.z")), None),
            ("a=1&access_token=x&b=2", Ok(Some("x")), Some("a=1&b=2")),
            ("ACCESS%5ftoken=x=y", Ok(Some("x=y")), None),
            ("access_token", Ok(Some("")), None),
            ("access_tokens=1", Ok(None), Some("access_tokens=1")),
            (
                "access_token=x&Access_Token=y",
                Err(Denied::DuplicateAuthorization),
                None,
            ),
        ] {
            assert_eq!(query_token(query), token, "{query}");
            assert_eq!(without_token(query).as_deref(), rest, "{query}");
        }
    }

    #[test]
    fn a_protocol_list_loses_its_token() {
        let read = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(
                    header::SEC_WEBSOCKET_PROTOCOL,
                    HeaderValue::from_bytes(line.as_bytes()).unwrap(),
                );
            }
            let token = protocol_token(&headers).map(|token| token.map(str::to_owned));
            let mut withheld = Withheld::default();
            withhold_protocol(&headers, &mut withheld);
            for name in &*withheld.names {
                headers.remove(name);
            }
            let left: Vec<_> = headers
                .get_all(header::SEC_WEBSOCKET_PROTOCOL)
                .iter()
                .chain(&withheld.protocols)
                .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
                .collect();
            (token, left.join("|"))
        };
        let some = |token: &str| Ok(Some(token.to_owned()));
        assert_eq!(read(&[]), (Ok(None), String::new()));
        assert_eq!(read(&["chat, v2"]), (Ok(None), "chat, v2".to_owned()));
        assert_eq!(read(&["bearer, a.b.c"]), (some("a.b.c"), String::new()));
        assert_eq!(
            read(&["chat, Bearer,a.b.c , v2"]),
            (some("a.b.c"), "chat, v2".to_owned())
        );
        assert_eq!(
            read(&["chat", "bearer", "a.b.c"]),
            (some("a.b.c"), "chat".to_owned())
        );
        assert_eq!(read(&["bearer"]), (some(""), String::new()));
        assert_eq!(
            read(&["bearer, a, bearer, b"]).0,
            Err(Denied::DuplicateAuthorization)
        );
        assert_eq!(read(&["bearer, \u{e9}.b.c"]).0, Err(Denied::Malformed));
        assert_eq!(
            read(&["chat", "\u{e9}, bearer, a"]).0,
            Err(Denied::Malformed)
        );
    }
}
