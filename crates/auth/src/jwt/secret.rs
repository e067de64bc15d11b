//! Shared secrets and the algorithms that use them. A weak secret is an open door that looks closed, so it is refused when
//! the configuration is loaded, not when somebody has walked in.

use jsonwebtoken::DecodingKey;

use super::Algorithm;
use crate::KeyError;

/// The secret's bytes as they are; many issuers hand out base64 and mean its text.
pub(super) fn key(algorithm: Algorithm, secret: &[u8]) -> Result<DecodingKey, KeyError> {
    let least = match algorithm {
        Algorithm::Hs384 => 48,
        Algorithm::Hs512 => 64,
        _ => 32,
    };
    if secret.len() < least {
        return Err(KeyError::ShortSecret {
            bytes: secret.len(),
            least,
        });
    }
    if is_published(&String::from_utf8_lossy(secret)) {
        return Err(KeyError::KnownSecret);
    }
    Ok(DecodingKey::from_secret(secret))
}

/// Sample secrets of tutorials, frameworks and of the deployments' own example files, and their kin: what says that it
/// wants to be changed, and one character over and over.
pub(super) fn is_published(secret: &str) -> bool {
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
        let key = |secret: &str| key(Algorithm::Hs256, secret.as_bytes()).map(|_| ());
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
            super::key(Algorithm::Hs512, b"q8Zr1vXk5tWn2yBc7mJd4hFg9sLp3eAa"),
            Err(KeyError::ShortSecret { least: 64, .. })
        ));
        assert_eq!("HS384".parse(), Ok(Algorithm::Hs384));
        assert_eq!("none".parse::<Algorithm>(), Err(KeyError::TokenAlgorithm));
        assert_eq!("ES512".parse::<Algorithm>(), Err(KeyError::TokenAlgorithm));
        assert_eq!("RS256".parse(), Ok(Algorithm::Rs256));
    }
}
