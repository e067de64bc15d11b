//! Shared secrets and the algorithms that use them. A weak secret is an open door that looks closed, so it is refused when
//! the configuration is loaded, not when somebody has walked in.

use std::str::FromStr;

use jsonwebtoken::DecodingKey;
use secrecy::{ExposeSecret, SecretString};

use crate::KeyError;

/// HMAC with SHA-2 (RFC 7518, 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// At least 32 bytes of secret.
    #[default]
    Hs256,
    /// At least 48 bytes of secret.
    Hs384,
    /// At least 64 bytes of secret.
    Hs512,
}

impl FromStr for Algorithm {
    type Err = KeyError;

    /// The registered names, exactly.
    fn from_str(name: &str) -> Result<Self, KeyError> {
        [Self::Hs256, Self::Hs384, Self::Hs512]
            .into_iter()
            .find(|one| one.name() == name)
            .ok_or(KeyError::TokenAlgorithm)
    }
}

impl Algorithm {
    /// As it stands in a token.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    pub(super) const fn named(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
        }
    }

    /// The secret's bytes as they are; many issuers hand out base64 and mean its text.
    pub(super) fn key(self, secret: &SecretString) -> Result<DecodingKey, KeyError> {
        let secret = secret.expose_secret();
        let least = match self {
            Self::Hs256 => 32,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
        };
        if secret.len() < least {
            return Err(KeyError::ShortSecret {
                bytes: secret.len(),
                least,
            });
        }
        if is_published(secret) {
            return Err(KeyError::KnownSecret);
        }
        Ok(DecodingKey::from_secret(secret.as_bytes()))
    }
}

/// Sample secrets of tutorials, frameworks and of the deployments' own example files, and their kin: what says that it
/// wants to be changed, and one character over and over.
fn is_published(secret: &str) -> bool {
    const WHOLE: [&str; 3] = [
        // jwt.io, also with its newer, longer sample
        "a-string-secret-at-least-256-bits-long",
        "your-256-bit-secret-your-256-bit-secret",
        // RFC 7515, A.1, as text
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    ];
    const PARTS: [&str; 9] = [
        "yoursecret",
        "yourjwtsecret",
        "yoursecurejwtsecret",
        "yoursupersecret",
        "your256bitsecret",
        "changeme",
        "changethis",
        "replaceme",
        "secretminimum32",
    ];
    let letters: String = secret
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let first = secret.chars().next();
    WHOLE.contains(&secret)
        || PARTS.iter().any(|part| letters.contains(part))
        || secret.chars().all(|c| Some(c) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_secrets_are_refused() {
        let key = |secret: &str| Algorithm::Hs256.key(&secret.into()).map(|_| ());
        assert_eq!(key("q8Zr1vXk5tWn2yBc7mJd4hFg9sLp3eAa"), Ok(()));
        assert_eq!(
            key("q8Zr1vXk5tWn2yBc7mJd4hFg9sLp3eA"),
            Err(KeyError::ShortSecret {
                bytes: 31,
                least: 32
            })
        );
        assert_eq!(
            key(""),
            Err(KeyError::ShortSecret {
                bytes: 0,
                least: 32
            })
        );
        for published in [
            "your-secure-jwt-secret-minimum-32-chars",
            "Change_Me_change_me_change_me_change_me",
            "a-string-secret-at-least-256-bits-long",
            "your-super-secret-jwt-token-with-at-least-32-characters-long",
            "00000000000000000000000000000000000000000",
        ] {
            assert_eq!(key(published), Err(KeyError::KnownSecret), "{published}");
        }
        assert!(matches!(
            Algorithm::Hs512.key(&"q8Zr1vXk5tWn2yBc7mJd4hFg9sLp3eAa".into()),
            Err(KeyError::ShortSecret { least: 64, .. })
        ));
        assert_eq!("HS384".parse(), Ok(Algorithm::Hs384));
        assert_eq!("none".parse::<Algorithm>(), Err(KeyError::TokenAlgorithm));
        assert_eq!("RS256".parse::<Algorithm>(), Err(KeyError::TokenAlgorithm));
    }
}
