//! Every class of Wycheproof's JSON web signature, key and crypto cases as data of our own, with keys of our own, and the tokens of the
//! RFCs: what is good passes, and of a thousand ways to be almost good none does.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use weir_auth::{
    Denied, Jwt, JwtSettings, KeyError, Via,
    jwt::{Algorithm, Fault, KeySet, Origin},
};

use crate::tokens::{now, shared};

fn data() -> Value {
    serde_json::from_str(include_str!("../data/jose.json")).unwrap()
}

fn verifier(jwk: &Value, allowed: &[Algorithm]) -> Jwt {
    let (keys, dropped) = KeySet::jwks(&jwk.to_string(), allowed, Origin::File).unwrap();
    assert_eq!(dropped, []);
    Jwt::new(JwtSettings {
        keys: shared(keys),
        ..Default::default()
    })
    .unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap()
}

#[test]
fn signatures() {
    let data = data();
    let mut wrong = Vec::new();
    let (mut good, mut bad) = (0, 0);
    for group in list(&data, "signatures") {
        let verifier = verifier(&group["key"], &[]);
        for test in list(group, "tests") {
            let expected = test["good"].as_bool().unwrap();
            let token = test["token"].as_str().unwrap();
            let found = verifier.verify(token, Via::Bearer, now());
            *(if expected { &mut good } else { &mut bad }) += 1;
            if found.is_ok() != expected {
                wrong.push(format!(
                    "{} {}: {found:?}",
                    group["key"]["alg"], test["case"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(good, 32);
    assert!(bad > 900, "{bad}");
}

#[test]
fn keys() {
    let data = data();
    let mut wrong = Vec::new();
    let mut bad = 0;
    for test in list(&data, "keys") {
        let expected = test["good"].as_bool().unwrap();
        let read = KeySet::jwks(&test["jwk"].to_string(), &[], Origin::File);
        bad += u32::from(!expected);
        if read.is_ok() != expected {
            wrong.push(format!("{}: {read:?}", test["case"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(bad > 80, "{bad}");
}

/// RFC 7520 signs a sentence and no claims: its signatures are good, and what they say is not. A changed one is told from that.
#[test]
fn the_cookbook_of_rfc_7520() {
    const TEXT: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
    const RSA: &str = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
    let ask = |jwk: &Value, allowed: &[Algorithm], token: &str| {
        let then = UNIX_EPOCH + Duration::from_secs(1_430_000_000);
        verifier(jwk, allowed).verify(token, Via::Bearer, then)
    };
    let rsa = json!({ "kty": "RSA", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "n": RSA, "e": "AQAB" });
    let hmac = json!({ "kty": "oct", "kid": "018c0ae5-4d9b-471b-bfd6-eef314bc7037", "use": "sig", "alg": "HS256", "k": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg" });
    let rs256 = (
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
        "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
    );
    let hs256 = (
        "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9",
        "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
    );
    for (key, (header, signature)) in [(&rsa, rs256), (&hmac, hs256)] {
        let signed = format!("{header}.{TEXT}.{signature}");
        assert_eq!(ask(key, &[], &signed), Err(Denied::Malformed));
        let changed = format!("{header}.{}.{signature}", TEXT.replacen("SXT", "SXS", 1));
        assert_eq!(ask(key, &[], &changed), Err(Denied::BadSignature));
        // 4.5: detached, the payload is nowhere.
        let detached = format!("{header}..{signature}");
        assert_eq!(ask(key, &[], &detached), Err(Denied::BadSignature));
    }
    // 4.2 is PS384 with a key that names no algorithm: the file allows it or not.
    let ps384 = "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
    let token = format!("{ps384}.{TEXT}.{}", rs256.1);
    assert_eq!(ask(&rsa, &[], &token), Err(Denied::WrongAlgorithm));
    assert_eq!(
        ask(&rsa, &[Algorithm::Ps384], &token),
        Err(Denied::BadSignature)
    );
    // 4.3 is ES512, which weir does not speak: the key is left out.
    let ec = json!({ "kty": "EC", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "crv": "P-521", "x": "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt", "y": "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1" });
    assert_eq!(
        KeySet::jwks(&ec.to_string(), &[], Origin::File).map(|_| ()),
        Err(KeyError::NoUsableKey(Fault::Unsupported))
    );
    // 4.8: one set with an RSA, an EC and a shared key, two of one id. A published secret is none, and an id that stands twice names nobody.
    let set = json!({ "keys": [rsa, ec, hmac] });
    assert_eq!(
        KeySet::jwks(&set.to_string(), &[], Origin::Remote).map(|_| ()),
        Err(KeyError::NoUsableKey(Fault::DuplicateId))
    );
}

/// RFC 7515 A.4 (ES512), A.6 and A.7 (JSON serializations) are what weir does not speak.
#[test]
fn what_rfc_7515_has_beside_compact_tokens() {
    let p256 = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let ask = |token: &str| verifier(&p256, &[]).verify(token, Via::Bearer, now());
    let es512 = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    assert_eq!(ask(es512), Err(Denied::WrongAlgorithm));
    for json in [
        r#"{"payload":"e30","protected":"eyJhbGciOiJFUzI1NiJ9","header":{"kid":"e9bc097a-ce51-4036-9562-d2ade882db0d"},"signature":"DtEh"}"#,
        r#"{"payload":"e30","signatures":[{"protected":"eyJhbGciOiJFUzI1NiJ9","signature":"DtEh"}]}"#,
    ] {
        assert_eq!(ask(json), Err(Denied::Malformed));
    }
}

#[test]
fn no_single_changed_bit_of_a_good_token_passes() {
    let data = data();
    let mut kinds = 0;
    for group in list(&data, "signatures") {
        let verifier = verifier(&group["key"], &[]);
        let good = list(group, "tests")[0]["token"].as_str().unwrap();
        // Remembered as good, which must help none of the others.
        assert!(verifier.verify(good, Via::Bearer, now()).is_ok());
        kinds += 1;
        for index in 0..good.len() {
            for bit in 0..7 {
                let mut changed = good.as_bytes().to_vec();
                changed[index] ^= 1 << bit;
                let changed = String::from_utf8(changed).unwrap();
                assert!(
                    verifier.verify(&changed, Via::Bearer, now()).is_err(),
                    "{}: bit {bit} of byte {index}",
                    group["key"]["alg"]
                );
            }
            let cut = &good[..index];
            assert!(verifier.verify(cut, Via::Bearer, now()).is_err());
        }
        assert!(verifier.verify(good, Via::Bearer, now()).is_ok());
    }
    assert_eq!(kinds, 12);
}
