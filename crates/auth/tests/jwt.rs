//! Tokens: what the issuer means passes, and each of the guards around jsonwebtoken refuses what it is there for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_auth::{
    Caller, Denied, Jwt, JwtSettings, KeyError, TokenSource, Verifier, Via, jwt::Algorithm,
};

const SECRET: &str = "q8Zr1vXk5tWn2yBc7mJd4hFg9sLp3eAa";
const OTHER: &str = "Zr1vXk5tWn2yBc7mJd4hFg9sLp3eAaq8";
const NOW: u64 = 1_767_225_600;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn settings() -> JwtSettings {
    JwtSettings {
        secrets: vec![SECRET.into()],
        issuer: Some("https://id.test".to_owned()),
        audience: Some("weir".to_owned()),
        tenant_claim: Some("tid".to_owned()),
        roles_claim: Some("roles".to_owned()),
        ..Default::default()
    }
}

fn good() -> Value {
    json!({
        "iss": "https://id.test", "aud": "weir", "sub": "ana", "tid": 7, "roles": ["user", "lead"],
        "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 600,
    })
}

/// The same with one claim changed; null removes it.
fn with(claim: &str, value: Value) -> Value {
    let mut claims = good();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
        value => claims[claim] = value,
    }
    claims
}

/// Signed as written, so that anything can stand there.
fn signed(header: &str, claims: &str) -> String {
    let text = format!(
        "{}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(header),
        BASE64_URL_SAFE_NO_PAD.encode(claims)
    );
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()),
        text.as_bytes(),
    );
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

fn token(claims: &Value) -> String {
    signed(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string())
}

fn verify(settings: JwtSettings, token: &str) -> Result<Caller, Denied> {
    Jwt::new(settings)
        .unwrap()
        .verify(token, Via::Bearer, now())
}

fn ask(claims: &Value) -> Result<Caller, Denied> {
    verify(settings(), &token(claims))
}

#[test]
fn a_good_token_names_its_caller() {
    let caller = ask(&good()).unwrap();
    assert_eq!(caller.user.as_deref(), Some("ana"));
    assert_eq!(caller.tenant.as_deref(), Some("7"));
    assert_eq!(caller.roles, ["user", "lead"]);
    assert_eq!(caller.via, Via::Bearer);
    assert_eq!(caller.expires, Some(now() + Duration::from_secs(600)));
    let minted = jsonwebtoken::encode(
        &Header::default(),
        &good(),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap();
    assert_eq!(verify(settings(), &minted), Ok(caller));
}

#[test]
fn no_single_changed_byte_of_a_good_token_passes() {
    let good = token(&good());
    let verifier = Jwt::new(settings()).unwrap();
    for index in 0..good.len() {
        for other in 0x21..=0x7e {
            let mut changed = good.clone().into_bytes();
            if changed[index] == other {
                continue;
            }
            changed[index] = other;
            let changed = String::from_utf8(changed).unwrap();
            assert!(
                verifier.verify(&changed, Via::Bearer, now()).is_err(),
                "byte {index} as {:?}",
                char::from(other)
            );
        }
    }
    for end in 0..good.len() {
        assert!(
            verifier.verify(&good[..end], Via::Bearer, now()).is_err(),
            "{end}"
        );
    }
}

#[test]
fn the_algorithm_is_ours() {
    let claims = good().to_string();
    for algorithm in [
        "none", "None", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "",
    ] {
        let header = json!({ "alg": algorithm, "typ": "JWT" }).to_string();
        assert_eq!(
            verify(settings(), &signed(&header, &claims)),
            Err(Denied::WrongAlgorithm),
            "{algorithm}"
        );
        let unsigned = signed(&header, &claims);
        let unsigned = &unsigned[..=unsigned.rfind('.').unwrap()];
        assert_eq!(
            verify(settings(), unsigned),
            Err(Denied::WrongAlgorithm),
            "{algorithm}"
        );
    }
    for header in [
        r#"{"typ":"JWT"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
    ] {
        assert_eq!(
            verify(settings(), &signed(header, &claims)),
            Err(Denied::WrongAlgorithm),
            "{header}"
        );
    }
    let unsigned = token(&good());
    let unsigned = &unsigned[..=unsigned.rfind('.').unwrap()];
    assert_eq!(verify(settings(), unsigned), Err(Denied::BadSignature));
    // A token may point where it likes: the key stays ours.
    let pointing = r#"{"alg":"HS256","kid":"../../dev/null","jku":"https://evil.test/jwks","x5u":"https://evil.test"}"#;
    assert!(verify(settings(), &signed(pointing, &claims)).is_ok());
}

#[test]
fn longer_hashes_work_too() {
    let secret = SECRET.repeat(2);
    for (algorithm, named) in [
        (Algorithm::Hs384, jsonwebtoken::Algorithm::HS384),
        (Algorithm::Hs512, jsonwebtoken::Algorithm::HS512),
    ] {
        let settings = || JwtSettings {
            algorithm,
            secrets: vec![secret.as_str().into()],
            ..settings()
        };
        let key = EncodingKey::from_secret(secret.as_bytes());
        let minted = jsonwebtoken::encode(&Header::new(named), &good(), &key).unwrap();
        assert!(verify(settings(), &minted).is_ok());
        assert_eq!(
            verify(settings(), &token(&good())),
            Err(Denied::WrongAlgorithm)
        );
    }
}

#[test]
fn time_is_checked_against_the_argument() {
    let at = |offset: i64| json!(i64::try_from(NOW).unwrap() + offset);
    // 30 s of leeway, and RFC 7519's "on or after".
    assert!(ask(&with("exp", at(-29))).is_ok());
    assert_eq!(ask(&with("exp", at(-30))), Err(Denied::Expired));
    assert!(ask(&with("nbf", at(30))).is_ok());
    assert_eq!(ask(&with("nbf", at(31))), Err(Denied::NotYetValid));
    assert!(ask(&with("iat", at(30))).is_ok());
    assert_eq!(ask(&with("iat", at(31))), Err(Denied::NotYetValid));
    assert_eq!(
        ask(&with("iat", json!("yesterday"))),
        Err(Denied::Malformed)
    );
    assert_eq!(ask(&with("nbf", json!(-1))), Err(Denied::Malformed));
    assert_eq!(ask(&with("exp", Value::Null)), Err(Denied::NoExpiry));
    for lie in [
        json!("1767226200"),
        json!(-1),
        json!(1e300),
        json!([NOW + 600]),
        json!(true),
        json!({}),
    ] {
        assert!(ask(&with("exp", lie.clone())).is_err(), "{lie}");
    }
    assert!(ask(&with("exp", json!(NOW as f64 + 0.5))).is_ok());

    let strict = || JwtSettings {
        leeway: Duration::ZERO,
        ..settings()
    };
    assert_eq!(
        verify(strict(), &token(&with("exp", at(0)))),
        Err(Denied::Expired)
    );
    assert!(verify(strict(), &token(&with("exp", at(1)))).is_ok());

    let short = || JwtSettings {
        max_lifetime: Some(Duration::from_secs(660)),
        ..settings()
    };
    assert!(verify(short(), &token(&good())).is_ok());
    assert_eq!(
        verify(short(), &token(&with("exp", at(601)))),
        Err(Denied::LivesTooLong)
    );
    assert_eq!(
        verify(short(), &token(&with("iat", Value::Null))),
        Err(Denied::MissingClaim)
    );
}

#[test]
fn issuer_and_audience_are_required_and_typed() {
    for issuer in [
        Value::Null,
        json!("https://evil.test"),
        json!(["https://id.test"]),
        json!(1),
        json!("https://id.test/"),
    ] {
        assert_eq!(
            ask(&with("iss", issuer.clone())),
            Err(Denied::WrongIssuer),
            "{issuer}"
        );
    }
    assert!(ask(&with("aud", json!(["other", "weir"]))).is_ok());
    for audience in [
        Value::Null,
        json!("other"),
        json!([]),
        json!(["other"]),
        json!(1),
        json!({ "weir": 1 }),
        json!(["weir", 1]),
    ] {
        assert_eq!(
            ask(&with("aud", audience.clone())),
            Err(Denied::WrongAudience),
            "{audience}"
        );
    }
    let open = || JwtSettings {
        issuer: None,
        audience: None,
        ..settings()
    };
    assert!(verify(open(), &token(&with("aud", Value::Null))).is_ok());
    assert_eq!(
        verify(open(), &token(&good())),
        Err(Denied::WrongAudience),
        "meant for somebody, and we are nobody"
    );
}

#[test]
fn claims_have_their_types() {
    for user in [
        Value::Null,
        json!(""),
        json!("a".repeat(513)),
        json!(1.5),
        json!(["ana"]),
        json!(true),
    ] {
        assert!(ask(&with("sub", user.clone())).is_err(), "{user}");
    }
    assert_eq!(ask(&with("tid", json!({}))), Err(Denied::Malformed));
    assert_eq!(ask(&with("tid", Value::Null)).unwrap().tenant, None);
    assert_eq!(ask(&with("roles", json!([1]))), Err(Denied::Malformed));
    assert_eq!(ask(&with("roles", json!("lead"))).unwrap().roles, ["lead"]);
    let needy = || JwtSettings {
        required: vec!["tid".to_owned()],
        user_claim: "uid".to_owned(),
        ..settings()
    };
    assert_eq!(
        verify(needy(), &token(&with("uid", json!(42))))
            .unwrap()
            .user
            .as_deref(),
        Some("42")
    );
    assert_eq!(verify(needy(), &token(&good())), Err(Denied::MissingClaim));
    assert_eq!(
        verify(needy(), &token(&with("tid", Value::Null))),
        Err(Denied::MissingClaim)
    );
}

#[test]
fn no_key_twice_no_extension_no_other_type() {
    let claims = good().to_string();
    let header = r#"{"alg":"HS256"}"#;
    for twice in [
        r#","role":"user","role":"admin"}"#,
        r#","sub":"eve"}"#,
        r#","x":{"a":1,"\u0061":2}}"#,
    ] {
        let claims = claims
            .replace("\"}", "\",\"z\":0}")
            .trim_end_matches('}')
            .to_owned()
            + twice;
        assert_eq!(
            verify(settings(), &signed(header, &claims)),
            Err(Denied::Malformed),
            "{twice}"
        );
    }
    assert_eq!(
        verify(
            settings(),
            &signed(r#"{"alg":"none","alg":"HS256"}"#, &claims)
        ),
        Err(Denied::Malformed)
    );
    for crit in [r#"["x"]"#, r#"["b64"],"b64":false"#, "[]", "null"] {
        let header = format!(r#"{{"alg":"HS256","crit":{crit}}}"#);
        assert_eq!(
            verify(settings(), &signed(&header, &claims)),
            Err(Denied::CriticalExtension),
            "{crit}"
        );
    }
    for (kind, expected) in [
        (r#""JWT""#, true),
        (r#""jwt""#, true),
        (r#""AT+JWT""#, true),
        (r#""application/at+jwt""#, true),
        (r#""dpop+jwt""#, false),
        (r#""JOSE""#, false),
        (r#""""#, false),
        ("null", false),
        ("1", false),
    ] {
        let header = format!(r#"{{"alg":"HS256","typ":{kind}}}"#);
        assert_eq!(
            verify(settings(), &signed(&header, &claims)).is_ok(),
            expected,
            "{kind}"
        );
    }
    assert!(verify(settings(), &signed(header, &claims)).is_ok());
    let only = || JwtSettings {
        types: vec!["at+jwt".to_owned()],
        ..settings()
    };
    assert_eq!(
        verify(only(), &signed(header, &claims)),
        Err(Denied::WrongType),
        "an id token on an API route"
    );
}

#[test]
fn shape_is_checked_before_anything_is_decoded() {
    let good = token(&good());
    for bad in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "a.b.c",
        &format!("{good}."),
        &format!(".{good}"),
        &good.replace('.', ".."),
    ] {
        assert_eq!(verify(settings(), bad), Err(Denied::Malformed), "{bad}");
    }
    assert_eq!(
        verify(settings(), &format!("{good}=")),
        Err(Denied::Malformed)
    );
    assert_eq!(
        verify(settings(), &"a".repeat(64 * 1024)),
        Err(Denied::TooLong)
    );
    let long = token(&with("x", json!("x".repeat(8 * 1024))));
    assert_eq!(verify(settings(), &long), Err(Denied::TooLong));
    let deep = signed(
        r#"{"alg":"HS256"}"#,
        &format!("{}1{}", "[".repeat(2000), "]".repeat(2000)),
    );
    assert_eq!(verify(settings(), &deep), Err(Denied::Malformed));
}

#[test]
fn secrets_rotate() {
    let both = JwtSettings {
        secrets: vec![OTHER.into(), SECRET.into()],
        ..settings()
    };
    assert!(verify(both, &token(&good())).is_ok());
    let new = JwtSettings {
        secrets: vec![OTHER.into()],
        ..settings()
    };
    assert_eq!(verify(new, &token(&good())), Err(Denied::BadSignature));
}

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
            .identify(&headers(lines), now())
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
fn settings_that_could_not_work_are_refused() {
    let new = |change: fn(&mut JwtSettings)| {
        let mut settings = settings();
        change(&mut settings);
        Jwt::new(settings).map(|_| ()).unwrap_err()
    };
    assert_eq!(new(|settings| settings.secrets.clear()), KeyError::NoKey);
    assert_eq!(new(|settings| settings.from.clear()), KeyError::NoSource);
    assert_eq!(
        new(|settings| settings.from = vec![TokenSource::Cookie("a;b".to_owned())]),
        KeyError::CookieName
    );
    assert_eq!(
        new(|settings| settings.secrets.push("short".into())),
        KeyError::ShortSecret {
            bytes: 5,
            least: 32
        }
    );
}

#[test]
fn nothing_secret_is_printed() {
    let shown = format!("{:?}", Jwt::new(settings()).unwrap());
    assert!(
        !shown.contains("q8Zr") && !shown.contains("113, 56"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn any_token_can_be_tried(text in "[ -~é]{0,100}", header in "[{}\":a-z,]{0,40}", claims in "[{}\":a-z0-9,]{0,60}") {
        prop_assert!(verify(settings(), &text).is_err());
        prop_assert!(verify(settings(), &signed(&header, &claims)).is_err());
        let well_signed = signed(r#"{"alg":"HS256"}"#, &claims);
        prop_assert!(verify(settings(), &well_signed).is_err());
    }
}
