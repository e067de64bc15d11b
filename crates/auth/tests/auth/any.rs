//! Several verifiers on one route: each credential that came must be good, and all must name one caller.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, header};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use weir_auth::{
    AspNetCookie, AspNetCookieSettings, Denied, Jwt, JwtSettings, Presented, TokenSource, Verifier,
    Via,
    aspnet::{Decryption, MachineKey, NAME, Ticket, Validation},
    jwt::Algorithm,
};

use crate::tokens::{NOW, OTHER, SECRET, now, secrets};

const SECRETS: [&str; 2] = [SECRET, OTHER];

fn portal() -> AspNetCookie {
    let key = MachineKey::new(
        Validation::default(),
        &"5a".repeat(64).into(),
        Decryption::Aes,
        &"a5".repeat(32).into(),
    );
    AspNetCookie::new(AspNetCookieSettings {
        keys: vec![key.unwrap()],
        ..Default::default()
    })
    .unwrap()
}

fn issuer(index: usize) -> Verifier {
    let settings = JwtSettings {
        keys: secrets(&[SECRETS[index]], Algorithm::Hs256),
        tenant_claim: Some("tid".to_owned()),
        ..Default::default()
    };
    Verifier::Jwt(Jwt::new(settings).unwrap())
}

fn any() -> Verifier {
    let issuers = Verifier::Any(vec![Arc::new(issuer(0)), Arc::new(issuer(1))]);
    Verifier::Any(vec![
        Arc::new(Verifier::AspNetCookie(portal())),
        Arc::new(issuers),
    ])
}

fn session(user: &str) -> String {
    let ticket = Ticket::new("Cookies", now(), now() + Duration::from_secs(60)).with(NAME, user);
    portal().mint(&ticket).remove(0).1
}

fn token(index: usize, user: &str) -> String {
    let claims = json!({ "sub": user, "exp": NOW + 60, "tid": "north" });
    jsonwebtoken::encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRETS[index].as_bytes()),
    )
    .unwrap()
}

fn ask(session: Option<&str>, token: Option<&str>) -> Result<Via, Denied> {
    let mut headers = HeaderMap::new();
    if let Some(session) = session {
        headers.insert(
            header::COOKIE,
            format!(".AspNet.Cookies={session}").parse().unwrap(),
        );
    }
    if let Some(token) = token {
        headers.insert(
            header::AUTHORIZATION,
            format!("Bearer {token}").parse().unwrap(),
        );
    }
    any()
        .identify(&Presented::of(&headers), now())
        .map(|caller| caller.via)
}

#[test]
fn one_good_credential_is_enough() {
    assert_eq!(ask(Some(&session("ana")), None), Ok(Via::Cookie));
    assert_eq!(ask(None, Some(&token(0, "ana"))), Ok(Via::Bearer));
    assert_eq!(
        ask(None, Some(&token(1, "ana"))),
        Ok(Via::Bearer),
        "two issuers share one header"
    );
    assert_eq!(ask(None, None), Err(Denied::Missing));
    assert_eq!(
        Verifier::Any(Vec::new()).identify(&Presented::of(&HeaderMap::new()), now()),
        Err(Denied::Missing)
    );
}

#[test]
fn a_bad_credential_is_not_made_good_by_another() {
    assert_eq!(
        ask(Some("bad"), Some(&token(0, "ana"))),
        Err(Denied::Malformed)
    );
    assert_eq!(
        ask(Some(&session("ana")), Some("a.b.c")),
        Err(Denied::Malformed)
    );
    assert_eq!(
        ask(Some(&session("eve")), Some(&token(1, "ana"))),
        Err(Denied::Conflict)
    );
    assert_eq!(
        ask(Some(&session("ana")), Some(&token(1, "ana"))),
        Ok(Via::Cookie),
        "the first listed speaks"
    );
}

/// Two issuers may give one name to two people: a prefix keeps them apart, also where both tokens come at once.
#[test]
fn a_prefix_keeps_two_issuers_people_apart() {
    let issuer = |index: usize, place, prefix: &str| {
        let settings = JwtSettings {
            keys: secrets(&[SECRETS[index]], Algorithm::Hs256),
            from: vec![place],
            user_prefix: prefix.to_owned(),
            ..Default::default()
        };
        Arc::new(Verifier::Jwt(Jwt::new(settings).unwrap()))
    };
    let both = Verifier::Any(vec![
        issuer(0, TokenSource::AuthorizationHeader, ""),
        issuer(1, TokenSource::Cookie("other".to_owned()), "other:"),
    ]);
    let ask = |lines: &[(header::HeaderName, String)]| {
        let lines = lines.iter().cloned();
        let headers: HeaderMap = lines
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect();
        let caller = both.identify(&Presented::of(&headers), now());
        caller.map(|caller| caller.user.clone().unwrap())
    };
    let bearer = (header::AUTHORIZATION, format!("Bearer {}", token(0, "7")));
    let cookie = (header::COOKIE, format!("other={}", token(1, "7")));
    assert_eq!(ask(std::slice::from_ref(&bearer)), Ok("7".to_owned()));
    assert_eq!(ask(std::slice::from_ref(&cookie)), Ok("other:7".to_owned()));
    assert_eq!(ask(&[bearer, cookie]), Err(Denied::Conflict));
    let nobody = (header::COOKIE, format!("other={}", token(1, "")));
    assert_eq!(ask(&[nobody]), Err(Denied::MissingClaim));
}

#[test]
fn every_cookie_is_named() {
    assert_eq!(any().cookie_names(), [".AspNet.Cookies"]);
}

#[test]
fn a_verifier_is_shared_by_all_workers() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Verifier>();
}
