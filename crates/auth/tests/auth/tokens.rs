//! Tokens for these tests: a good one, and the same with anything wrong.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use weir_auth::{
    Caller, Denied, Jwt, JwtSettings, Swapped, Via,
    jwt::{Algorithm, KeySet},
};

pub(crate) const SECRET: &str = "q8Zr1vXk5tWn2yBc7mJd4hFg9sLp3eAa";
pub(crate) const OTHER: &str = "Zr1vXk5tWn2yBc7mJd4hFg9sLp3eAaq8";
pub(crate) const NOW: u64 = 1_767_225_600;

pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

pub(crate) fn secrets(secrets: &[&str], algorithm: Algorithm) -> Arc<Swapped<KeySet>> {
    let secrets: Vec<_> = secrets.iter().map(|secret| (*secret).into()).collect();
    shared(KeySet::secrets(&secrets, algorithm).unwrap())
}

pub(crate) fn shared(keys: KeySet) -> Arc<Swapped<KeySet>> {
    Arc::new(Swapped::new(keys))
}

pub(crate) fn settings() -> JwtSettings {
    JwtSettings {
        keys: secrets(&[SECRET], Algorithm::Hs256),
        issuer: Some("https://id.test".to_owned()),
        audience: Some("weir".to_owned()),
        tenant_claim: Some("tid".to_owned()),
        roles_claim: Some("roles".to_owned()),
        ..Default::default()
    }
}

pub(crate) fn good() -> Value {
    json!({
        "iss": "https://id.test", "aud": "weir", "sub": "ana", "tid": 7, "roles": ["user", "lead"],
        "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 600,
    })
}

/// The same with one claim changed; null removes it.
pub(crate) fn with(claim: &str, value: Value) -> Value {
    let mut claims = good();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
        value => claims[claim] = value,
    }
    claims
}

/// Signed as written, so that anything can stand there.
pub(crate) fn signed(header: &str, claims: &str) -> String {
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

pub(crate) fn token(claims: &Value) -> String {
    signed(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string())
}

pub(crate) fn verify(settings: JwtSettings, token: &str) -> Result<Caller, Denied> {
    Jwt::new(settings)
        .unwrap()
        .verify(token, Via::Bearer, now())
        .map(Arc::unwrap_or_clone)
}

pub(crate) fn ask(claims: &Value) -> Result<Caller, Denied> {
    verify(settings(), &token(claims))
}
