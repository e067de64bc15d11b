//! The `<machineKey>` of web.config: two secrets and the names of two algorithms. What is made of them for one cookie is
//! [`super::envelope`]'s.

use std::str::FromStr;

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::KeyError;

/// How the cookie is authenticated: web.config's `validation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// HMAC-SHA-1, 20 bytes.
    Sha1,
    /// HMAC-SHA-256, 32 bytes: .NET's default.
    #[default]
    HmacSha256,
    /// HMAC-SHA-384, 48 bytes.
    HmacSha384,
    /// HMAC-SHA-512, 64 bytes.
    HmacSha512,
}

impl FromStr for Validation {
    type Err = KeyError;

    /// The names of web.config, in any case.
    fn from_str(name: &str) -> Result<Self, KeyError> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "SHA1" => Self::Sha1,
            "HMACSHA256" => Self::HmacSha256,
            "HMACSHA384" => Self::HmacSha384,
            "HMACSHA512" => Self::HmacSha512,
            _ => return Err(KeyError::Validation),
        })
    }
}

impl Validation {
    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha384 => hmac::HMAC_SHA384,
            Self::HmacSha512 => hmac::HMAC_SHA512,
        }
    }
}

/// How the cookie is encrypted: web.config's `decryption`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decryption {
    /// AES-CBC; the key's length says which.
    #[default]
    Aes,
}

impl FromStr for Decryption {
    type Err = KeyError;

    /// The names of web.config, in any case.
    fn from_str(name: &str) -> Result<Self, KeyError> {
        match name.to_ascii_uppercase().as_str() {
            "AES" | "AUTO" => Ok(Self::Aes),
            _ => Err(KeyError::Decryption),
        }
    }
}

/// One machine key, its secrets decoded and of a possible length.
#[derive(Clone, Debug)]
pub struct MachineKey {
    pub(super) validation: Validation,
    pub(super) validation_key: SecretSlice<u8>,
    pub(super) decryption_key: SecretSlice<u8>,
}

impl MachineKey {
    /// The two keys are hexadecimal, as web.config has them; space around them is ignored.
    pub fn new(
        validation: Validation,
        validation_key: &SecretString,
        decryption: Decryption,
        decryption_key: &SecretString,
    ) -> Result<Self, KeyError> {
        let Decryption::Aes = decryption;
        let validation_key = decode(validation_key, "validation")?;
        let decryption_key = decode(decryption_key, "decryption")?;
        match (
            validation_key.expose_secret().len(),
            decryption_key.expose_secret().len(),
        ) {
            (short @ ..20, _) => Err(KeyError::ValidationLength(short)),
            (_, 16 | 24 | 32) => Ok(Self {
                validation,
                validation_key,
                decryption_key,
            }),
            (_, other) => Err(KeyError::DecryptionLength(other)),
        }
    }
}

fn decode(hex: &SecretString, which: &'static str) -> Result<SecretSlice<u8>, KeyError> {
    let hex = hex.expose_secret().trim();
    if hex.to_ascii_lowercase().starts_with("autogenerate") {
        return Err(KeyError::AutoGenerate);
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else {
        return Err(KeyError::NotHex(which));
    };
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect();
    Ok(bytes.ok_or(KeyError::NotHex(which))?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(validation: &str, decryption: &str) -> Result<MachineKey, KeyError> {
        MachineKey::new(
            Validation::default(),
            &validation.into(),
            Decryption::default(),
            &decryption.into(),
        )
    }

    #[test]
    fn mistakes_are_named() {
        let good = "0a".repeat(32);
        assert!(key(&good, &good).is_ok());
        assert!(key(&format!(" {}\n", good.to_uppercase()), &good).is_ok());
        assert_eq!(
            key("AutoGenerate,IsolateApps", &good).unwrap_err(),
            KeyError::AutoGenerate
        );
        assert_eq!(
            key(&good, "autogenerate").unwrap_err(),
            KeyError::AutoGenerate
        );
        assert_eq!(
            key(&good[1..], &good).unwrap_err(),
            KeyError::NotHex("validation")
        );
        assert_eq!(
            key(&good, "zz").unwrap_err(),
            KeyError::NotHex("decryption")
        );
        assert_eq!(
            key(&good, "+1").unwrap_err(),
            KeyError::NotHex("decryption")
        );
        assert_eq!(key("0a", &good).unwrap_err(), KeyError::ValidationLength(1));
        assert_eq!(
            key(&good, &good[2..]).unwrap_err(),
            KeyError::DecryptionLength(31)
        );
        assert_eq!("MD5".parse::<Validation>(), Err(KeyError::Validation));
        assert_eq!("3DES".parse::<Decryption>(), Err(KeyError::Decryption));
        assert_eq!("sha1".parse::<Validation>(), Ok(Validation::Sha1));
        assert_eq!("Auto".parse::<Decryption>(), Ok(Decryption::Aes));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", key(&"0b".repeat(32), &"0c".repeat(32)).unwrap());
        assert!(
            !shown.contains("11") && !shown.contains("12") && !shown.contains("0b"),
            "{shown}"
        );
    }
}
