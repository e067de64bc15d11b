//! The keys that an issuer's tokens are verified with. Which algorithm a key is good for is decided here, when it is loaded, and never
//! by a token; a key that cannot be good is dropped and named.

mod jwk;
mod pem;
mod rsa;

use std::fmt;

use jsonwebtoken::DecodingKey;
use secrecy::{ExposeSecret, SecretString};

pub use jwk::{Dropped, Fault, Origin};

use super::{Algorithm, secret};
use crate::{Denied, KeyError};

/// The most keys of one set; an issuer has a handful.
const MOST: usize = 100;

/// Keys in the order in which they are tried. The default is none: every token is refused.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// Shared secrets for one algorithm.
    ///
    /// # Errors
    /// For secrets that are too short or published, and for an algorithm that takes no secret.
    pub fn secrets(secrets: &[SecretString], algorithm: Algorithm) -> Result<Self, KeyError> {
        if secrets.is_empty() {
            return Err(KeyError::NoKey);
        }
        if !algorithm.is_hmac() {
            return Err(KeyError::SecretForPublicKey);
        }
        let key = |secret: &SecretString| {
            Ok(Key {
                id: None,
                algorithms: vec![algorithm],
                key: secret::key(algorithm, secret.expose_secret().as_bytes())?,
            })
        };
        let keys = secrets.iter().map(key).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Public keys in PEM, one or several. `allowed` says for which algorithms they may be used; empty: RS256, ES256, ES384 or EdDSA,
    /// as the key is.
    ///
    /// # Errors
    /// For anything else than public keys of a sufficient size.
    pub fn pem(text: &str, allowed: &[Algorithm]) -> Result<Self, KeyError> {
        pem::read(text, allowed).map(|keys| Self { keys })
    }

    /// A JWK Set (RFC 7517), or one JWK. Keys that must not be used are left out and named.
    ///
    /// # Errors
    /// For a text that is no set, or of which no key can be used.
    pub fn jwks(
        text: &str,
        allowed: &[Algorithm],
        origin: Origin,
    ) -> Result<(Self, Vec<Dropped>), KeyError> {
        let (keys, dropped) = jwk::read(text, allowed, origin)?;
        Ok((Self { keys }, dropped))
    }

    /// The keys of both, these first.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.keys.extend(other.keys);
        self
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The ids of the keys that have one, in their order: what an audit may say of them.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| key.id.as_deref())
    }

    /// The keys that a token may be signed with.
    ///
    /// `kid` is data, compared exactly. Where keys have ids, a token must name one of them, or there must be only one key that it could
    /// mean. Keys without ids are tried in their order.
    pub(super) fn candidates(
        &self,
        id: Option<&str>,
        algorithm: Option<Algorithm>,
    ) -> Result<Vec<&DecodingKey>, Denied> {
        let named = self.keys.iter().any(|key| key.id.is_some());
        let fits = |key: &&Key| algorithm.is_some_and(|one| key.algorithms.contains(&one));
        let meant: Vec<&Key> = match id {
            Some(id) if named => {
                let meant: Vec<_> = self
                    .keys
                    .iter()
                    .filter(|key| key.id.as_deref() == Some(id))
                    .collect();
                if meant.is_empty() {
                    return Err(Denied::UnknownKey);
                }
                meant
            }
            _ => self.keys.iter().collect(),
        };
        let fitting: Vec<&DecodingKey> = meant
            .iter()
            .copied()
            .filter(fits)
            .map(|key| &key.key)
            .collect();
        match fitting.len() {
            // Without keys nothing can be said of the algorithm; a set may still be on its way.
            0 if self.keys.is_empty() => Err(Denied::UnknownKey),
            0 => Err(Denied::WrongAlgorithm),
            1 => Ok(fitting),
            _ if named && id.is_none() => Err(Denied::UnknownKey),
            _ => Ok(fitting),
        }
    }
}

/// Never the keys.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| (&key.id, &key.algorithms)))
            .finish()
    }
}
