//! One signed header in place of trust in the network: a token of a minute that says who is asking, which an upstream can check by
//! itself, and of which only weir can make another.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::{Caller, KeyError, Via, jwt};

/// The caller, signed.
pub const IDENTITY: HeaderName = HeaderName::from_static("x-weir-identity");

/// Seconds. Long enough for clocks that differ, short enough that a leaked log line is soon worth nothing.
const LIFETIME: u64 = 60;

/// What weir signs with.
#[derive(Debug)]
pub enum SigningKey {
    /// HS256: every upstream that can verify could also sign.
    Secret(SecretString),
    /// ES256: a private key on P-256, in PEM (PKCS#8).
    Pem(SecretString),
}

/// Makes the signed header.
#[derive(Clone)]
pub struct Signer {
    key: Arc<EncodingKey>,
    header: Header,
    issuer: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    roles: &'a [String],
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    amr: [&'static str; 1],
    jti: &'a str,
    iat: u64,
    exp: u64,
}

impl Signer {
    /// `id` becomes the header's `kid`, for upstreams that know several keys.
    ///
    /// # Errors
    /// For a secret that is short or published, and for what is no private key on P-256.
    pub fn new(key: SigningKey, issuer: String, id: Option<String>) -> Result<Self, KeyError> {
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let (algorithm, key) = match key {
            SigningKey::Secret(secret) => {
                jwt::KeySet::secrets(std::slice::from_ref(&secret), jwt::Algorithm::Hs256)?;
                (
                    Algorithm::HS256,
                    EncodingKey::from_secret(secret.expose_secret().as_bytes()),
                )
            }
            SigningKey::Pem(pem) => {
                let key = EncodingKey::from_ec_pem(pem.expose_secret().as_bytes());
                (Algorithm::ES256, key.map_err(|_| KeyError::SigningKey)?)
            }
        };
        // A key on another curve shows only now.
        jsonwebtoken::crypto::sign(b"", &key, algorithm).map_err(|_| KeyError::SigningKey)?;
        Ok(Self {
            key: Arc::new(key),
            header: Header {
                kid: id,
                ..Header::new(algorithm)
            },
            issuer,
        })
    }

    /// The token for this caller, for this upstream; `request` is the id of the request, so that one token is of one request. `None`
    /// for an anonymous caller.
    pub fn sign(
        &self,
        caller: &Caller,
        upstream: &str,
        request: &str,
        now: SystemTime,
    ) -> Option<HeaderValue> {
        let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let claims = Claims {
            iss: &self.issuer,
            aud: upstream,
            sub: caller.user.as_deref()?,
            tenant: caller.tenant.as_deref(),
            roles: &caller.roles,
            scope: caller.scopes.join(" "),
            amr: [match caller.via {
                Via::Anonymous => return None,
                Via::Cookie => "cookie",
                Via::Bearer => "token",
                Via::ApiKey => "api_key",
                Via::Certificate => "certificate",
            }],
            jti: request,
            iat: now,
            exp: now + LIFETIME,
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.key).ok()?;
        let mut value = HeaderValue::try_from(token).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Never the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("algorithm", &self.header.alg)
            .field("kid", &self.header.kid)
            .field("issuer", &self.issuer)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Jwt, JwtSettings, Swapped, jwt::KeySet};

    const SECRET: &str = "q8Zr1vXk5tWn2yBc7mJd4hFg9sLp3eAa";

    #[test]
    fn an_upstream_can_check_it_for_a_minute() {
        let signer =
            Signer::new(SigningKey::Secret(SECRET.into()), "weir".to_owned(), None).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let caller = Caller {
            user: Some("zoë".to_owned()),
            tenant: Some("north".to_owned()),
            roles: vec!["a,b".to_owned()],
            scopes: vec!["chat".to_owned(), "read".to_owned()],
            via: Via::Cookie,
            expires: None,
        };
        let token = signer.sign(&caller, "agents", "r-1", now).unwrap();
        let verifier = |audience: &str| {
            Jwt::new(JwtSettings {
                keys: Arc::new(Swapped::new(
                    KeySet::secrets(&[SECRET.into()], jwt::Algorithm::Hs256).unwrap(),
                )),
                issuer: Some("weir".to_owned()),
                audience: Some(audience.to_owned()),
                tenant_claim: Some("tenant".to_owned()),
                roles_claim: Some("roles".to_owned()),
                leeway: Duration::ZERO,
                ..JwtSettings::default()
            })
            .unwrap()
        };
        let read = verifier("agents")
            .verify(token.to_str().unwrap(), Via::Cookie, now)
            .map(Arc::unwrap_or_clone)
            .unwrap();
        assert_eq!(
            (read.user, read.tenant, read.roles, read.scopes),
            (caller.user, caller.tenant, caller.roles, caller.scopes)
        );
        assert!(
            verifier("other")
                .verify(token.to_str().unwrap(), Via::Cookie, now)
                .is_err()
        );
        let later = now + Duration::from_secs(60);
        assert!(
            verifier("agents")
                .verify(token.to_str().unwrap(), Via::Cookie, later)
                .is_err()
        );
        assert!(token.is_sensitive());
        assert!(
            signer
                .sign(&Caller::default(), "agents", "r-1", now)
                .is_none()
        );
        assert!(!format!("{signer:?}").contains("q8Zr"));
    }

    #[test]
    fn keys_that_cannot_sign_are_refused() {
        let new = |key| Signer::new(key, "weir".to_owned(), None).map(drop);
        assert!(matches!(
            new(SigningKey::Secret("short".into())),
            Err(KeyError::ShortSecret { .. })
        ));
        assert_eq!(
            new(SigningKey::Pem("no pem".into())),
            Err(KeyError::SigningKey)
        );
    }
}
