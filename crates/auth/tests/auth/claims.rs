//! What a well-signed token must say, and of which type.

use std::time::Duration;

use serde_json::{Value, json};
use weir_auth::{Denied, JwtSettings};

use crate::tokens::{NOW, ask, good, settings, token, verify, with};

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
