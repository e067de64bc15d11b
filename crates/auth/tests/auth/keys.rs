//! Public keys: the vectors of RFC 7515 and RFC 8037, keys of every kind, and the sets that must not be used (after Wycheproof's
//! json_web_key and json_web_signature cases).

use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair, RsaPublicKeyComponents},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use weir_auth::{
    Caller, Denied, Jwt, JwtSettings, KeyError, Via,
    jwt::{Algorithm, Fault, KeySet, Origin},
};

use crate::tokens::{SECRET, good, now, settings, shared, signed, verify};

const RFC7515_HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const RFC7515_PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn loaded(keys: &[Value], origin: Origin) -> Result<(usize, Vec<Fault>), KeyError> {
    KeySet::jwks(&set(keys), &[], origin)
        .map(|(keys, dropped)| (keys.len(), dropped.iter().map(|one| one.fault).collect()))
}

type Sign = Box<dyn Fn(Algorithm, &[u8]) -> Vec<u8>>;

/// Signed by somebody with a private key.
struct Signer {
    jwk: Value,
    pem: String,
    sign: Sign,
}

impl Signer {
    fn rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let jwk = json!({ "kty": "RSA", "n": b64(public.n), "e": b64(public.e) });
        let der = pair.public_key().as_der().unwrap();
        let sign = move |algorithm: Algorithm, text: &[u8]| {
            let how: &'static dyn signature::RsaEncoding = match algorithm {
                Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
                Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                _ => &signature::RSA_PSS_SHA512,
            };
            let mut out = vec![0; pair.public_modulus_len()];
            pair.sign(how, &SystemRandom::new(), text, &mut out)
                .unwrap();
            out
        };
        Self {
            jwk,
            pem: pem("PUBLIC KEY", der.as_ref()),
            sign: Box::new(sign),
        }
    }

    fn ec(algorithm: Algorithm) -> Self {
        let (how, curve) = match algorithm {
            Algorithm::Es256 => (&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            _ => (&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
        };
        let pair = EcdsaKeyPair::generate(how).unwrap();
        let point = pair.public_key().as_ref()[1..].to_vec();
        let (x, y) = point.split_at(point.len() / 2);
        let der = pair.public_key().as_der().unwrap();
        Self {
            jwk: json!({ "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y) }),
            pem: pem("PUBLIC KEY", der.as_ref()),
            sign: Box::new(move |_, text| {
                pair.sign(&SystemRandom::new(), text)
                    .unwrap()
                    .as_ref()
                    .to_vec()
            }),
        }
    }

    fn ed() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der = pair.public_key().as_der().unwrap();
        Self {
            jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key()) }),
            pem: pem("PUBLIC KEY", der.as_ref()),
            sign: Box::new(move |_, text| pair.sign(text).as_ref().to_vec()),
        }
    }

    fn token(&self, header: &Value, algorithm: Algorithm) -> String {
        let text = format!("{}.{}", b64(header.to_string()), b64(good().to_string()));
        format!("{text}.{}", b64((self.sign)(algorithm, text.as_bytes())))
    }

    fn jwk(&self, more: Value) -> Value {
        let mut jwk = self.jwk.clone();
        for (name, value) in more.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        BASE64_STANDARD.encode(der)
    )
}

fn with_keys(keys: KeySet) -> JwtSettings {
    JwtSettings {
        keys: shared(keys),
        ..settings()
    }
}

fn ask(keys: &KeySet, token: &str) -> Result<Caller, Denied> {
    verify(with_keys(keys.clone()), token)
}

#[test]
fn the_rfcs_own_tokens() {
    let rfc = |jwk: Value, allowed: &[Algorithm], token: &str| {
        let (keys, _) = KeySet::jwks(&jwk.to_string(), allowed, Origin::File).unwrap();
        let settings = JwtSettings {
            keys: shared(keys),
            user_claim: "iss".to_owned(),
            ..Default::default()
        };
        let then = UNIX_EPOCH + Duration::from_secs(1_300_819_379);
        Jwt::new(settings)
            .unwrap()
            .verify(token, Via::Bearer, then)
            .map(|caller| caller.user.clone())
    };
    let joe = Ok(Some("joe".to_owned()));
    // A.2
    let key = json!({ "kty": "RSA", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ", "e": "AQAB" });
    let token = format!(
        "eyJhbGciOiJSUzI1NiJ9.{RFC7515_PAYLOAD}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    assert_eq!(rfc(key, &[], &token), joe);
    // A.3
    let key = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let token = format!(
        "eyJhbGciOiJFUzI1NiJ9.{RFC7515_PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    assert_eq!(rfc(key.clone(), &[], &token), joe);
    assert_eq!(rfc(key, &[], RFC7515_HS256), Err(Denied::WrongAlgorithm));
    // A.5: no signature at all.
    let unsigned = format!("eyJhbGciOiJub25lIn0.{RFC7515_PAYLOAD}.");
    // RFC 8037 A.4 signs a text that is no JSON: its signature is good, and what it says is not.
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(rfc(key.clone(), &[], token), Err(Denied::Malformed));
    assert_eq!(
        rfc(key.clone(), &[], &token.replace(".hgy", ".hgz")),
        Err(Denied::BadSignature)
    );
    assert_eq!(rfc(key, &[], &unsigned), Err(Denied::WrongAlgorithm));
    // A.1's secret has been printed since 2015.
    let key = json!({ "kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" });
    assert_eq!(
        loaded(&[key], Origin::File),
        Err(KeyError::NoUsableKey(Fault::Weak))
    );
}

#[test]
fn every_algorithm_and_every_form_of_its_key() {
    use Algorithm::*;
    let rsa = Signer::rsa();
    for algorithm in [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512] {
        let token = rsa.token(&json!({ "alg": algorithm.name() }), algorithm);
        let (set, _) = KeySet::jwks(
            &set(&[rsa.jwk(json!({ "alg": algorithm.name() }))]),
            &[],
            Origin::Remote,
        )
        .unwrap();
        assert!(ask(&set, &token).is_ok(), "{algorithm:?}");
        assert!(ask(&KeySet::pem(&rsa.pem, &[algorithm]).unwrap(), &token).is_ok());
        // One key, one use: PSS is not PKCS#1.
        let other = if algorithm == Rs256 { Ps256 } else { Rs256 };
        assert_eq!(
            ask(&KeySet::pem(&rsa.pem, &[other]).unwrap(), &token),
            Err(Denied::WrongAlgorithm)
        );
    }
    for (signer, algorithm) in [
        (Signer::ec(Es256), Es256),
        (Signer::ec(Es384), Es384),
        (Signer::ed(), EdDsa),
    ] {
        let token = signer.token(&json!({ "alg": algorithm.name() }), algorithm);
        let (set, _) = KeySet::jwks(&signer.jwk.to_string(), &[], Origin::Remote).unwrap();
        let pem = KeySet::pem(&signer.pem, &[]).unwrap();
        for keys in [&set, &pem] {
            assert!(ask(keys, &token).is_ok(), "{algorithm:?}");
            for index in 0..token.len() {
                let mut changed = token.clone().into_bytes();
                changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert!(ask(keys, &changed).is_err(), "{algorithm:?}: byte {index}");
            }
        }
        assert!(matches!(
            KeySet::pem(&signer.pem, &[Rs256]),
            Err(KeyError::AlgorithmOfKey)
        ));
    }
}

#[test]
fn a_public_key_is_no_secret() {
    // RS256 turned into HS256 with the public key's own text as the secret.
    let rsa = Signer::rsa();
    let keys = KeySet::pem(&rsa.pem, &[]).unwrap();
    let forged = signed(r#"{"alg":"HS256"}"#, &good().to_string());
    assert_eq!(ask(&keys, &forged), Err(Denied::WrongAlgorithm));
    let oct = json!({ "kty": "oct", "k": b64(SECRET) });
    assert_eq!(
        loaded(std::slice::from_ref(&oct), Origin::Remote),
        Err(KeyError::NoUsableKey(Fault::RemoteSecret))
    );
    assert_eq!(
        loaded(std::slice::from_ref(&oct), Origin::File),
        Ok((1, vec![]))
    );
    assert_eq!(
        loaded(&[oct, rsa.jwk], Origin::File),
        Err(KeyError::MixedKeys)
    );
}

#[test]
fn the_id_chooses_and_nothing_else() {
    let (one, two, other) = (Signer::rsa(), Signer::rsa(), Signer::rsa());
    let text = set(&[
        one.jwk(json!({ "kid": "1" })),
        two.jwk(json!({ "kid": "2" })),
    ]);
    let (keys, _) = KeySet::jwks(&text, &[], Origin::Remote).unwrap();
    let token = |signer: &Signer, kid: Value| {
        let header = match kid {
            Value::Null => json!({ "alg": "RS256" }),
            kid => json!({ "alg": "RS256", "kid": kid }),
        };
        signer.token(&header, Algorithm::Rs256)
    };
    assert!(ask(&keys, &token(&one, json!("1"))).is_ok());
    assert!(ask(&keys, &token(&two, json!("2"))).is_ok());
    assert_eq!(
        ask(&keys, &token(&one, json!("2"))),
        Err(Denied::BadSignature)
    );
    assert_eq!(
        ask(&keys, &token(&other, json!("1"))),
        Err(Denied::BadSignature)
    );
    for kid in ["3", "", "../../dev/null", "' OR 1=1", "1 "] {
        assert_eq!(
            ask(&keys, &token(&one, json!(kid))),
            Err(Denied::UnknownKey),
            "{kid}"
        );
    }
    assert_eq!(ask(&keys, &token(&one, json!(1))), Err(Denied::Malformed));
    // Without an id only where one key can be meant.
    assert_eq!(
        ask(&keys, &token(&one, Value::Null)),
        Err(Denied::UnknownKey)
    );
    let (alone, _) =
        KeySet::jwks(&set(&[one.jwk(json!({ "kid": "1" }))]), &[], Origin::Remote).unwrap();
    assert!(ask(&alone, &token(&one, Value::Null)).is_ok());
    assert_eq!(alone.ids().collect::<Vec<_>>(), ["1"]);
}

#[test]
fn keys_that_must_not_be_used_are_left_out() {
    let rsa = Signer::rsa();
    let ec = Signer::ec(Algorithm::Es256);
    let small = json!({ "kty": "RSA", "n": b64([0xff; 128]), "e": "AQAB" });
    let even = rsa.jwk(json!({ "e": b64([2]) }));
    for (jwk, fault) in [
        (rsa.jwk(json!({ "use": "enc" })), Fault::NotForSignatures),
        (
            rsa.jwk(json!({ "key_ops": ["encrypt"] })),
            Fault::NotForSignatures,
        ),
        (
            rsa.jwk(json!({ "key_ops": "verify" })),
            Fault::NotForSignatures,
        ),
        (rsa.jwk(json!({ "alg": "ES256" })), Fault::Algorithm),
        (rsa.jwk(json!({ "alg": "RSA-OAEP" })), Fault::Algorithm),
        (rsa.jwk(json!({ "alg": "HS256" })), Fault::Algorithm),
        (rsa.jwk(json!({ "alg": 1 })), Fault::Malformed),
        (rsa.jwk(json!({ "kid": 1 })), Fault::Malformed),
        (rsa.jwk(json!({ "n": "!" })), Fault::Malformed),
        (rsa.jwk(json!({ "d": "AQAB" })), Fault::Private),
        (rsa.jwk(json!({ "e": b64([1]) })), Fault::Weak),
        (rsa.jwk(json!({ "e": "" })), Fault::Weak),
        (even, Fault::Weak),
        (small, Fault::Weak),
        (ec.jwk(json!({ "crv": "P-384" })), Fault::Malformed),
        (ec.jwk(json!({ "crv": "P-521" })), Fault::Unsupported),
        (ec.jwk(json!({ "alg": "ES384" })), Fault::Algorithm),
        (ec.jwk(json!({ "kty": "OKP" })), Fault::Unsupported),
        (json!({ "kty": "oct", "k": b64("short") }), Fault::Weak),
        (json!(1), Fault::Malformed),
        (json!({}), Fault::Malformed),
    ] {
        assert_eq!(
            loaded(&[jwk.clone(), ec.jwk.clone()], Origin::File),
            Ok((1, vec![fault])),
            "{jwk}"
        );
        assert_eq!(
            loaded(&[jwk], Origin::File),
            Err(KeyError::NoUsableKey(fault))
        );
    }
    let twice = [
        ec.jwk(json!({ "kid": "a" })),
        rsa.jwk(json!({ "kid": "a" })),
        ec.jwk.clone(),
    ];
    assert_eq!(
        loaded(&twice, Origin::Remote),
        Ok((1, vec![Fault::DuplicateId; 2]))
    );
    assert_eq!(
        loaded(&vec![ec.jwk.clone(); 101], Origin::Remote),
        Err(KeyError::TooManyKeys)
    );
    assert_eq!(loaded(&[], Origin::Remote), Err(KeyError::NoKey));
    for text in [
        "",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[],\"keys\":[]}",
        "<html>",
    ] {
        assert!(
            matches!(KeySet::jwks(text, &[], Origin::Remote), Err(KeyError::Jwks)),
            "{text}"
        );
    }
}

#[test]
fn pem_of_something_else_is_named() {
    let of = |text: &str| KeySet::pem(text, &[]).map(|keys| keys.len()).unwrap_err();
    assert_eq!(of(""), KeyError::Pem);
    assert_eq!(of(&pem("PUBLIC KEY", b"rubbish")), KeyError::Pem);
    assert_eq!(of(&pem("PRIVATE KEY", b"x")), KeyError::PrivateKey);
    assert_eq!(of(&pem("EC PRIVATE KEY", b"x")), KeyError::PrivateKey);
    assert_eq!(of(&pem("CERTIFICATE", b"x")), KeyError::Certificate);
    assert_eq!(of(&pem("DH PARAMETERS", b"x")), KeyError::Pem);
    let both = Signer::rsa().pem + &Signer::ed().pem;
    assert_eq!(KeySet::pem(&both, &[]).unwrap().len(), 2);
}

#[test]
fn new_keys_count_at_once() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let load = |signer: &Signer| KeySet::pem(&signer.pem, &[]).unwrap();
    let verifier = Jwt::new(with_keys(load(&old))).unwrap();
    let token = |signer: &Signer| signer.token(&json!({ "alg": "EdDSA" }), Algorithm::EdDsa);
    let ask = |token: &str| verifier.verify(token, Via::Bearer, now());
    let (before, after) = (token(&old), token(&new));
    assert!(ask(&before).is_ok() && ask(&before).is_ok());
    verifier.keys().replace(load(&new));
    assert_eq!(
        ask(&before),
        Err(Denied::BadSignature),
        "though it was found good before"
    );
    assert!(ask(&after).is_ok());
    verifier.keys().replace(load(&new).and(load(&old)));
    assert!(ask(&before).is_ok() && ask(&after).is_ok());
}
