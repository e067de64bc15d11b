//! A good token passes, and each of the guards around jsonwebtoken refuses what it is there for.

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;
use weir_auth::{
    Denied, Jwt, JwtSettings, KeyError, TokenSource, Via,
    jwt::{Algorithm, KeySet},
};

use crate::tokens::{
    OTHER, SECRET, ask, good, now, secrets, settings, shared, signed, token, verify, with,
};

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
            keys: secrets(&[&secret], algorithm),
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
fn no_key_twice_no_extension_no_other_type() {
    let claims = good().to_string();
    let header = r#"{"alg":"HS256"}"#;
    for twice in [
        r#","role":"user","role":"admin"}"#,
        r#","sub":"eve"}"#,
        r#","x":{"a":1,"\u0061":2}}"#,
    ] {
        let claims = claims.trim_end_matches('}').to_owned() + twice;
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
        keys: secrets(&[OTHER, SECRET], Algorithm::Hs256),
        ..settings()
    };
    assert!(verify(both, &token(&good())).is_ok());
    let new = JwtSettings {
        keys: secrets(&[OTHER], Algorithm::Hs256),
        ..settings()
    };
    assert_eq!(verify(new, &token(&good())), Err(Denied::BadSignature));
}

#[test]
fn settings_that_could_not_work_are_refused() {
    let new = |change: fn(&mut JwtSettings)| {
        let mut settings = settings();
        change(&mut settings);
        Jwt::new(settings).map(|_| ()).unwrap_err()
    };
    assert_eq!(new(|settings| settings.from.clear()), KeyError::NoSource);
    assert_eq!(
        new(|settings| settings.from = vec![TokenSource::Cookie("a;b".to_owned())]),
        KeyError::CookieName
    );
    let set = |secrets: &[&str], algorithm| {
        let secrets: Vec<_> = secrets.iter().map(|secret| (*secret).into()).collect();
        KeySet::secrets(&secrets, algorithm)
            .map(|_| ())
            .unwrap_err()
    };
    assert_eq!(set(&[], Algorithm::Hs256), KeyError::NoKey);
    assert_eq!(
        set(&[SECRET, "short"], Algorithm::Hs256),
        KeyError::ShortSecret {
            bytes: 5,
            least: 32
        }
    );
    assert_eq!(
        set(&[SECRET], Algorithm::Rs256),
        KeyError::SecretForPublicKey
    );
    // Keys that are still on their way let nobody in.
    let waiting = JwtSettings {
        keys: shared(KeySet::default()),
        ..settings()
    };
    assert_eq!(verify(waiting, &token(&good())), Err(Denied::UnknownKey));
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
