//! Public keys in PEM. A private key or a certificate is refused by name: the one does not belong on a gateway, the other promises
//! checks (validity, chain) that nobody would make.

use jsonwebtoken::DecodingKey;

use super::{
    super::algorithm::{Algorithm, Kind},
    Key, MOST, rsa,
};
use crate::KeyError;

const BEGIN: &str = "-----BEGIN ";

pub(super) fn read(text: &str, allowed: &[Algorithm]) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let label = block.split("-----").next().unwrap_or_default();
        match label {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
            "CERTIFICATE" => return Err(KeyError::Certificate),
            label if label.ends_with("PRIVATE KEY") => return Err(KeyError::PrivateKey),
            _ => return Err(KeyError::Pem),
        }
        let (kind, key) = key(&format!("{BEGIN}{block}"))?;
        let algorithms = kind.among(allowed);
        if algorithms.is_empty() {
            return Err(KeyError::AlgorithmOfKey);
        }
        keys.push(Key {
            id: None,
            algorithms,
            key,
        });
    }
    match keys.len() {
        0 => Err(KeyError::Pem),
        1..=MOST => Ok(keys),
        _ => Err(KeyError::TooManyKeys),
    }
}

fn key(pem: &str) -> Result<(Kind, DecodingKey), KeyError> {
    let pem = pem.as_bytes();
    if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        return Ok((Kind::Ed25519, key));
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        let kind = match key.try_get_as_bytes().map_or(0, <[u8]>::len) {
            65 => Kind::P256,
            97 => Kind::P384,
            _ => return Err(KeyError::Curve),
        };
        return Ok((kind, key));
    }
    let key = DecodingKey::from_rsa_pem(pem).map_err(|_| KeyError::Pem)?;
    let der = key.try_get_as_bytes().map_err(|_| KeyError::Pem)?;
    let utils = &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.key_utils;
    // It refuses small keys too, but says nothing of the exponent.
    let (n, e) = (utils.rsa_pub_components_from_public_key)(der).map_err(|_| KeyError::WeakRsa)?;
    if rsa::is_strong(&n, &e) {
        Ok((Kind::Rsa, key))
    } else {
        Err(KeyError::WeakRsa)
    }
}
