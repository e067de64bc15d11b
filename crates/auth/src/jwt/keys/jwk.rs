//! JSON web keys (RFC 7517, 7518, 8037), taken only where they are meant for signatures and strong enough. An issuer's set may hold keys
//! for other purposes, so a bad key costs itself and not the set.

use std::{collections::HashMap, fmt};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, ParsedPublicKey,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::{
    super::{
        algorithm::{Algorithm, Kind},
        secret, strict,
    },
    Key, MOST, rsa,
};
use crate::KeyError;

/// Where a set came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator's own file: it may hold secrets, though not beside public keys.
    File,
    /// Somebody else's server: a secret that is published is none.
    Remote,
}

/// A key that was left out of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its place in the set, from 0.
    pub index: usize,
    /// Why.
    pub fault: Fault,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} is left out: {}", self.index, self.fault)
    }
}

/// Why a JWK is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A member is missing, has the wrong type or length, or is no base64url.
    #[error("it is not well formed")]
    Malformed,
    /// `use` or `key_ops` say so.
    #[error("it is not meant for signatures")]
    NotForSignatures,
    /// A key type or curve that weir does not verify with.
    #[error("its type or curve is not supported")]
    Unsupported,
    /// `alg` contradicts the type or curve, or is not allowed here.
    #[error("its algorithm does not fit, or is not allowed")]
    Algorithm,
    /// Of a form that attackers know how to use; or a secret that is short or published.
    #[error("it is too weak")]
    Weak,
    /// A secret that came from elsewhere.
    #[error("it is a secret, which a published set cannot hold")]
    RemoteSecret,
    /// The private half stands beside the public one: whoever can read the set can sign.
    #[error("it is a private key")]
    Private,
    /// Another key of the set has the same id.
    #[error("its id stands twice")]
    DuplicateId,
}

pub(super) fn read(
    text: &str,
    allowed: &[Algorithm],
    origin: Origin,
) -> Result<(Vec<Key>, Vec<Dropped>), KeyError> {
    let set = strict::parse(text.as_bytes()).ok_or(KeyError::Jwks)?;
    let one;
    let items = match set.get("keys") {
        Some(Value::Array(items)) => items,
        None if set.contains_key("kty") => {
            one = vec![Value::Object(set)];
            &one
        }
        _ => return Err(KeyError::Jwks),
    };
    if items.len() > MOST {
        return Err(KeyError::TooManyKeys);
    }
    let mut ids: HashMap<&str, usize> = HashMap::new();
    for id in items.iter().filter_map(|item| item.get("kid")?.as_str()) {
        *ids.entry(id).or_default() += 1;
    }
    let mut keys = Vec::new();
    let mut dropped = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let read = item.as_object().ok_or(Fault::Malformed).and_then(|jwk| {
            let (id, key) = key(jwk, allowed, origin)?;
            if id.is_some_and(|id| ids.get(id).is_some_and(|count| *count > 1)) {
                return Err(Fault::DuplicateId);
            }
            keys.push(key);
            Ok(())
        });
        dropped.extend(read.err().map(|fault| Dropped { index, fault }));
    }
    let secrets = keys
        .iter()
        .filter(|key| key.algorithms[0].is_hmac())
        .count();
    if secrets > 0 && secrets < keys.len() {
        return Err(KeyError::MixedKeys);
    }
    if keys.is_empty() {
        return Err(dropped
            .first()
            .map_or(KeyError::NoKey, |first| KeyError::NoUsableKey(first.fault)));
    }
    Ok((keys, dropped))
}

fn key<'j>(
    jwk: &'j Map<String, Value>,
    allowed: &[Algorithm],
    origin: Origin,
) -> Result<(Option<&'j str>, Key), Fault> {
    let id = text(jwk, "kid")?;
    if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(Fault::NotForSignatures);
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(operations)) if operations.iter().any(|one| one == "verify") => {}
        Some(_) => return Err(Fault::NotForSignatures),
    }
    let kind = match (
        text(jwk, "kty")?.ok_or(Fault::Malformed)?,
        text(jwk, "crv")?,
    ) {
        ("RSA", _) => Kind::Rsa,
        ("EC", Some("P-256")) => Kind::P256,
        ("EC", Some("P-384")) => Kind::P384,
        ("OKP", Some("Ed25519")) => Kind::Ed25519,
        ("oct", _) => Kind::Secret,
        _ => return Err(Fault::Unsupported),
    };
    if jwk.contains_key("d") {
        return Err(Fault::Private);
    }
    let algorithms = match text(jwk, "alg")? {
        // RFC 9864 calls EdDSA with this curve by the curve's name.
        Some("Ed25519") if kind == Kind::Ed25519 => vec![Algorithm::EdDsa],
        Some(name) => vec![name.parse().map_err(|_| Fault::Algorithm)?],
        None => kind.among(allowed),
    };
    let fits =
        |one: &Algorithm| one.kind() == kind && (allowed.is_empty() || allowed.contains(one));
    if algorithms.is_empty() || !algorithms.iter().all(fits) {
        return Err(Fault::Algorithm);
    }
    let part = |name| text(jwk, name).and_then(|part| bytes(part.ok_or(Fault::Malformed)?));
    let coordinate = |name, length: usize| {
        part(name).and_then(|part| {
            if part.len() == length {
                Ok(part)
            } else {
                Err(Fault::Malformed)
            }
        })
    };
    let point =
        |curve: &'static EcdsaVerificationAlgorithm, length| -> Result<DecodingKey, Fault> {
            let point = [vec![4], coordinate("x", length)?, coordinate("y", length)?].concat();
            // Off its curve it would only show when the first token is refused.
            ParsedPublicKey::new(curve, &point).map_err(|_| Fault::Malformed)?;
            Ok(DecodingKey::from_ec_der(&point))
        };
    let key = match kind {
        Kind::Rsa => {
            let (n, e) = (part("n")?, part("e")?);
            if !rsa::is_strong(&n, &e) {
                return Err(Fault::Weak);
            }
            DecodingKey::from_rsa_raw_components(&n, &e)
        }
        Kind::P256 => point(&ECDSA_P256_SHA256_FIXED, 32)?,
        Kind::P384 => point(&ECDSA_P384_SHA384_FIXED, 48)?,
        Kind::Ed25519 => DecodingKey::from_ed_der(&coordinate("x", 32)?),
        Kind::Secret if origin == Origin::Remote => return Err(Fault::RemoteSecret),
        Kind::Secret => {
            let written = text(jwk, "k")?.ok_or(Fault::Malformed)?;
            if secret::is_published(written) {
                return Err(Fault::Weak);
            }
            secret::key(algorithms[0], &bytes(written)?).map_err(|_| Fault::Weak)?
        }
    };
    let kept = Key {
        id: id.map(str::to_owned),
        algorithms,
        key,
    };
    Ok((id, kept))
}

fn text<'j>(jwk: &'j Map<String, Value>, name: &str) -> Result<Option<&'j str>, Fault> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Fault::Malformed),
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, Fault> {
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Fault::Malformed)
}
