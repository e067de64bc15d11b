//! Signed tokens (RFC 7519) with a shared secret. jsonwebtoken checks the signature; the guards it leaves to its user stand
//! here: our algorithm and never the token's, required and strictly typed claims, no duplicate key, no unknown extension.
//! Public keys and JWKS are a matter of their own, and will come beside this.

mod claims;
mod secret;
mod strict;

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use jsonwebtoken::{DecodingKey, Validation, errors::ErrorKind};
use secrecy::SecretString;
use serde_json::Value;

pub use secret::Algorithm;

use crate::{
    Caller, Denied, KeyError, Via, bearer,
    cookies::{self, Cookies},
    verifier::{Found, Place},
};
use claims::Claims;
use strict::Strict;

/// Longer ones are refused unread.
const MAX_TOKEN: usize = 8 * 1024;

/// What an operator says of the tokens. The default: HS256 in the Authorization header, 30 s leeway, `sub` is the user.
#[derive(Debug)]
pub struct JwtSettings {
    /// Where a token may stand.
    pub from: Vec<TokenSource>,
    /// The one algorithm; what a token names is only compared with it.
    pub algorithm: Algorithm,
    /// Tried in order, so that tokens outlive a change of secrets.
    pub secrets: Vec<SecretString>,
    /// Where set, `iss` must be exactly this, and a string.
    pub issuer: Option<String>,
    /// Where set, `aud` must be or contain this. Where not, a token that names an audience is meant for somebody else
    /// (RFC 7519, 4.1.3).
    pub audience: Option<String>,
    /// How far clocks may differ, in either direction.
    pub leeway: Duration,
    /// Claims that must be there and not null, beside `exp` and the user's.
    pub required: Vec<String>,
    /// The claim that names the user: a string, or a whole number. It must be there.
    pub user_claim: String,
    /// The claim that names the tenant. It may be absent; add it to `required` where it may not.
    pub tenant_claim: Option<String>,
    /// The claim that lists the roles: an array of strings, or one string.
    pub roles_claim: Option<String>,
    /// The longest time from `iat` to `exp`; `iat` is then required.
    pub max_lifetime: Option<Duration>,
    /// Accepted `typ` headers, in any case. A token without one counts as `JWT`.
    pub types: Vec<String>,
}

impl Default for JwtSettings {
    fn default() -> Self {
        Self {
            from: vec![TokenSource::AuthorizationHeader],
            algorithm: Algorithm::default(),
            secrets: Vec::new(),
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(30),
            required: Vec::new(),
            user_claim: "sub".to_owned(),
            tenant_claim: None,
            roles_claim: None,
            max_lifetime: None,
            types: vec!["JWT".to_owned(), "at+jwt".to_owned()],
        }
    }
}

/// Where a token may stand. Never the query string: that is what logs keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer TOKEN`
    AuthorizationHeader,
    /// A cookie of this name. Unsafe methods then need [`crate::cross_origin`].
    Cookie(String),
}

/// Verifies the tokens of one issuer.
#[derive(Debug)]
pub struct Jwt {
    settings: JwtSettings,
    keys: Vec<DecodingKey>,
    validation: Validation,
}

impl Jwt {
    /// Refuses secrets that are too short or published.
    pub fn new(settings: JwtSettings) -> Result<Self, KeyError> {
        if settings.from.is_empty() {
            return Err(KeyError::NoSource);
        }
        if settings
            .from
            .iter()
            .any(|from| matches!(from, TokenSource::Cookie(name) if !cookies::is_name(name)))
        {
            return Err(KeyError::CookieName);
        }
        if settings.secrets.is_empty() {
            return Err(KeyError::NoKey);
        }
        let keys = settings
            .secrets
            .iter()
            .map(|secret| settings.algorithm.key(secret))
            .collect::<Result<_, _>>()?;
        let mut validation = Validation::new(settings.algorithm.named());
        // It reads the machine's clock, counts in whole seconds and lets `iss` be a list: `Claims` decides these, with `now`.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp"]);
        if let Some(audience) = &settings.audience {
            validation.set_audience(&[audience]);
        }
        // One provider for the process, whatever other features a build turns on; a second call changes nothing.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        Ok(Self {
            settings,
            keys,
            validation,
        })
    }

    /// Looks in every place that the settings name.
    pub(crate) fn examine<'v>(
        &'v self,
        headers: &HeaderMap,
        now: SystemTime,
        found: &mut Vec<Found<'v>>,
    ) {
        for from in &self.settings.from {
            found.push(match from {
                TokenSource::AuthorizationHeader => Found {
                    place: Place::Authorization,
                    outcome: bearer::token(headers).and_then(|token| {
                        self.verify(token.ok_or(Denied::Missing)?, Via::Bearer, now)
                    }),
                },
                TokenSource::Cookie(name) => Found {
                    place: Place::Cookie(name),
                    outcome: Cookies::read(headers, name).and_then(|cookies| {
                        self.verify(cookies.value()?.ok_or(Denied::Missing)?, Via::Cookie, now)
                    }),
                },
            });
        }
    }

    /// The cookies that may carry a token.
    pub fn cookie_names(&self) -> impl Iterator<Item = &str> {
        self.settings.from.iter().filter_map(|from| match from {
            TokenSource::Cookie(name) => Some(name.as_str()),
            TokenSource::AuthorizationHeader => None,
        })
    }

    /// Who holds this token.
    pub fn verify(&self, token: &str, via: Via, now: SystemTime) -> Result<Caller, Denied> {
        if token.len() > MAX_TOKEN {
            return Err(Denied::TooLong);
        }
        if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Err(Denied::Malformed);
        }
        self.check_header(token)?;
        let claims = self.check_signature(token)?;
        Claims(&claims).decide(&self.settings, via, now)
    }

    /// `kid`, `jku`, `x5u`, `jwk` and `x5c` are ignored: the key is ours, wherever the token would like to point.
    fn check_header(&self, token: &str) -> Result<(), Denied> {
        let header = token.split('.').next().ok_or(Denied::Malformed)?;
        let header = strict::decode(header).ok_or(Denied::Malformed)?;
        if header.contains_key("crit") {
            return Err(Denied::CriticalExtension);
        }
        if header.get("alg").and_then(Value::as_str) != Some(self.settings.algorithm.name()) {
            return Err(Denied::WrongAlgorithm);
        }
        let kind = match header.get("typ") {
            None => "JWT",
            // RFC 7515, 4.1.9: "application/" may be left out.
            Some(Value::String(kind)) => strip_prefix_ignoring_case(kind, "application/"),
            Some(_) => return Err(Denied::WrongType),
        };
        let expected = &self.settings.types;
        if expected
            .iter()
            .any(|expected| expected.eq_ignore_ascii_case(kind))
        {
            Ok(())
        } else {
            Err(Denied::WrongType)
        }
    }

    fn check_signature(&self, token: &str) -> Result<serde_json::Map<String, Value>, Denied> {
        for key in &self.keys {
            return match jsonwebtoken::decode::<Strict>(token, key, &self.validation) {
                Ok(data) => Ok(data.claims.0),
                // Only the signature chooses the key: after it has matched, whatever is wrong stays wrong.
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => continue,
                    ErrorKind::InvalidAudience => Err(Denied::WrongAudience),
                    ErrorKind::MissingRequiredClaim(claim) if claim == "exp" => {
                        Err(Denied::NoExpiry)
                    }
                    ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
                        Err(Denied::WrongAlgorithm)
                    }
                    _ => Err(Denied::Malformed),
                },
            };
        }
        Err(Denied::BadSignature)
    }
}

fn strip_prefix_ignoring_case<'t>(text: &'t str, prefix: &str) -> &'t str {
    match text.split_at_checked(prefix.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(prefix) => rest,
        _ => text,
    }
}
