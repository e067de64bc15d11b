//! Where a token may stand, and what two of them mean.

use http::{HeaderMap, HeaderValue, header};
use serde_json::json;
use weir_auth::{Denied, Jwt, JwtSettings, Presented, TokenSource, Verifier, Via};

use crate::tokens::{good, now, settings, token, with};

fn headers(lines: &[(header::HeaderName, String)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

#[test]
fn a_token_is_taken_only_from_where_it_may_stand() {
    let both = vec![
        TokenSource::AuthorizationHeader,
        TokenSource::Cookie("session".to_owned()),
    ];
    let verifier = Verifier::Jwt(
        Jwt::new(JwtSettings {
            from: both,
            ..settings()
        })
        .unwrap(),
    );
    let only_header = Verifier::Jwt(Jwt::new(settings()).unwrap());
    let ana = token(&good());
    let eve = token(&with("sub", json!("eve")));
    let bearer = |token: &str| (header::AUTHORIZATION, format!("Bearer {token}"));
    let cookie = |token: &str| (header::COOKIE, format!("session={token}"));
    let via = |verifier: &Verifier, lines: &[(header::HeaderName, String)]| {
        verifier
            .identify(&Presented::of(&headers(lines)), now())
            .map(|caller| caller.via)
    };

    assert_eq!(via(&verifier, &[]), Err(Denied::Missing));
    assert_eq!(via(&verifier, &[bearer(&ana)]), Ok(Via::Bearer));
    assert_eq!(via(&verifier, &[cookie(&ana)]), Ok(Via::Cookie));
    assert_eq!(via(&only_header, &[cookie(&ana)]), Err(Denied::Missing));
    assert_eq!(
        via(&only_header, &[bearer(&ana), bearer(&ana)]),
        Err(Denied::DuplicateAuthorization)
    );
    // Two credentials: both good and of one mind, or nothing.
    assert_eq!(
        via(&verifier, &[bearer(&ana), cookie(&ana)]),
        Ok(Via::Bearer)
    );
    assert_eq!(
        via(&verifier, &[bearer(&ana), cookie(&eve)]),
        Err(Denied::Conflict)
    );
    assert_eq!(
        via(&verifier, &[bearer(&ana), cookie("x.y.z")]),
        Err(Denied::Malformed)
    );
    assert_eq!(
        via(&verifier, &[bearer("x.y.z"), cookie(&ana)]),
        Err(Denied::Malformed)
    );
    let twice = (header::COOKIE, format!("session={ana}; SESSION={eve}"));
    assert_eq!(via(&verifier, &[twice]), Err(Denied::DuplicateCookie));
    assert_eq!(verifier.cookie_names(), ["session"]);
}

#[test]
fn where_a_socket_opens_a_token_may_stand_elsewhere() {
    let verifier = Verifier::Jwt(
        Jwt::new(JwtSettings {
            from: vec![TokenSource::Query, TokenSource::WebSocketProtocol],
            ..settings()
        })
        .unwrap(),
    );
    let ana = token(&good());
    let eve = token(&with("sub", json!("eve")));
    let query = format!("room=1&access_token={ana}");
    let ask = |protocol: Option<&str>, query: Option<&str>| {
        let lines = protocol.map(|token| {
            (
                header::SEC_WEBSOCKET_PROTOCOL,
                format!("chat, bearer, {token}"),
            )
        });
        let headers = headers(&lines.into_iter().collect::<Vec<_>>());
        verifier
            .identify(
                &Presented {
                    upgrade: query,
                    ..Presented::of(&headers)
                },
                now(),
            )
            .map(|caller| caller.via)
    };
    assert_eq!(ask(None, Some(&query)), Ok(Via::Bearer));
    assert_eq!(ask(Some(&ana), Some("")), Ok(Via::Bearer));
    assert_eq!(ask(Some(&ana), Some(&query)), Ok(Via::Bearer));
    assert_eq!(ask(Some(&eve), Some(&query)), Err(Denied::Conflict));
    // Without an upgrade both are ignored.
    assert_eq!(ask(Some(&ana), None), Err(Denied::Missing));
    let twice = format!("{query}&access_token={ana}");
    assert_eq!(ask(None, Some(&twice)), Err(Denied::DuplicateAuthorization));
}
