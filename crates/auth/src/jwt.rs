//! Signed tokens (RFC 7519). jsonwebtoken checks the signature; the guards it leaves to its user stand here: our algorithm and never
//! the token's, required and strictly typed claims, no duplicate key, no unknown extension. Where the keys come from, and when newer
//! ones are fetched, is the gateway's.

mod algorithm;
mod claims;
mod keys;
mod secret;
mod strict;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use serde_json::{Map, Value};

pub use algorithm::Algorithm;
pub use keys::{Dropped, Fault, KeySet, Origin};

use crate::{
    Caller, Denied, KeyError, Presented, Swapped, Via, Withheld, bearer,
    cache::Cache,
    cookies::{self, Cookies},
    upgrade,
    verifier::{Found, Place},
};
use claims::Claims;

/// Longer ones are refused unread.
const MAX_TOKEN: usize = 8 * 1024;

/// What an operator says of the tokens. The default: in the Authorization header, 30 s leeway, `sub` is the user, no keys yet.
#[derive(Debug)]
pub struct JwtSettings {
    /// Where a token may stand.
    pub from: Vec<TokenSource>,
    /// What signatures are verified with, as last read or fetched. Which algorithm counts is each key's, and never the token's.
    pub keys: Arc<Swapped<KeySet>>,
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
    /// What stands before every user's name: two issuers may give one name to two people.
    pub user_prefix: String,
    /// The claim that names the tenant. It may be absent; add it to `required` where it may not.
    pub tenant_claim: Option<String>,
    /// The claim that lists the roles: an array of strings, or one string.
    pub roles_claim: Option<String>,
    /// The claim that lists what the token is good for: words in a string, or an array.
    pub scopes_claim: Option<String>,
    /// The longest time from `iat` to `exp`; `iat` is then required.
    pub max_lifetime: Option<Duration>,
    /// Accepted `typ` headers, in any case. A token without one counts as `JWT`.
    pub types: Vec<String>,
}

impl Default for JwtSettings {
    fn default() -> Self {
        Self {
            from: vec![TokenSource::AuthorizationHeader],
            keys: Arc::new(Swapped::new(KeySet::default())),
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(30),
            required: Vec::new(),
            user_claim: "sub".to_owned(),
            user_prefix: String::new(),
            tenant_claim: None,
            roles_claim: None,
            scopes_claim: Some("scope".to_owned()),
            max_lifetime: None,
            types: vec!["JWT".to_owned(), "at+jwt".to_owned()],
        }
    }
}

/// Where a token may stand. The last two only where a connection is upgraded: a browser cannot add a header to a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer TOKEN`
    AuthorizationHeader,
    /// A cookie of this name. Unsafe methods then need [`crate::cross_origin`].
    Cookie(String),
    /// `?access_token=TOKEN` (RFC 6750, 2.3). Queries are what logs keep, so elsewhere it is ignored.
    Query,
    /// `Sec-WebSocket-Protocol: bearer, TOKEN`
    WebSocketProtocol,
}

impl TokenSource {
    /// Whether a token can stand there at all.
    ///
    /// # Errors
    /// For what is no cookie's name.
    pub fn check(&self) -> Result<(), KeyError> {
        match self {
            Self::Cookie(name) if !cookies::is_name(name) => Err(KeyError::CookieName),
            _ => Ok(()),
        }
    }
}

/// Verifies the tokens of one issuer.
#[derive(Debug)]
pub struct Jwt {
    settings: JwtSettings,
    cache: Cache,
}

impl Jwt {
    /// Refuses settings that would let nobody in. Keys may still be on their way; until they come every token is refused.
    pub fn new(settings: JwtSettings) -> Result<Self, KeyError> {
        if settings.from.is_empty() {
            return Err(KeyError::NoSource);
        }
        settings.from.iter().try_for_each(TokenSource::check)?;
        // One provider for the process, whatever other features a build turns on; a second call changes nothing.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        Ok(Self {
            settings,
            cache: Cache::default(),
        })
    }

    /// The keys, for the gateway to hand newer ones to.
    pub fn keys(&self) -> &Arc<Swapped<KeySet>> {
        &self.settings.keys
    }

    /// Looks in every place that the settings name.
    pub(crate) fn examine<'v>(
        &'v self,
        presented: &Presented<'_>,
        now: SystemTime,
        found: &mut Vec<Found<'v>>,
    ) {
        let places = self.settings.from.iter();
        found.extend(places.map(|from| self.look(from, presented, now)));
    }

    /// What stands in the only place that the settings name, if they name one.
    pub(crate) fn only(&self, presented: &Presented<'_>, now: SystemTime) -> Option<Found<'_>> {
        match &self.settings.from[..] {
            [from] => Some(self.look(from, presented, now)),
            _ => None,
        }
    }

    fn look<'v>(
        &'v self,
        from: &'v TokenSource,
        presented: &Presented<'_>,
        now: SystemTime,
    ) -> Found<'v> {
        let headers: &HeaderMap = presented.headers;
        let told = |token: Result<Option<&[u8]>, Denied>| {
            token.and_then(|token| self.recall(token.ok_or(Denied::Missing)?, Via::Bearer, now))
        };
        let given =
            |token: Result<Option<&str>, Denied>| told(token.map(|text| text.map(str::as_bytes)));
        match from {
            TokenSource::AuthorizationHeader => Found {
                place: Place::Authorization,
                outcome: told(bearer::bytes(headers)),
            },
            TokenSource::Query => Found {
                place: Place::Query,
                outcome: given(presented.upgrade.map_or(Ok(None), upgrade::query_token)),
            },
            TokenSource::WebSocketProtocol => Found {
                place: Place::Protocol,
                outcome: given(match presented.upgrade {
                    Some(_) => upgrade::protocol_token(headers),
                    None => Ok(None),
                }),
            },
            TokenSource::Cookie(name) => Found {
                place: Place::Cookie(name),
                outcome: Cookies::read(headers, name).and_then(|cookies| {
                    self.verify(cookies.value()?.ok_or(Denied::Missing)?, Via::Cookie, now)
                }),
            },
        }
    }

    /// The cookies that may carry a token.
    pub fn cookie_names(&self) -> impl Iterator<Item = &str> {
        self.settings.from.iter().filter_map(|from| match from {
            TokenSource::Cookie(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether a token can stand in no other place.
    pub(crate) fn reads_authorization_only(&self) -> bool {
        matches!(self.settings.from[..], [TokenSource::AuthorizationHeader])
    }

    pub(crate) fn withhold(
        &self,
        headers: &HeaderMap,
        authorization: bool,
        withheld: &mut Withheld,
    ) {
        for from in &self.settings.from {
            match from {
                TokenSource::AuthorizationHeader if authorization => {
                    bearer::withhold(headers, withheld);
                }
                TokenSource::WebSocketProtocol => upgrade::withhold_protocol(headers, withheld),
                _ => {}
            }
        }
    }

    /// Who holds this token.
    pub fn verify(&self, token: &str, via: Via, now: SystemTime) -> Result<Arc<Caller>, Denied> {
        self.recall(token.as_bytes(), via, now)
    }

    /// The same; whether it is a text at all matters where it is not remembered.
    fn recall(&self, token: &[u8], via: Via, now: SystemTime) -> Result<Arc<Caller>, Denied> {
        let generation = self.settings.keys.generation();
        let cached = self.cache.key(via, token);
        if let Some(caller) = self.cache.find(&cached, generation, now) {
            return Ok(caller);
        }
        let token = str::from_utf8(token).map_err(|_| Denied::Malformed)?;
        if token.len() > MAX_TOKEN {
            return Err(Denied::TooLong);
        }
        if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Err(Denied::Malformed);
        }
        let claims = self.check_signature(token)?;
        let caller = Arc::new(Claims(&claims).decide(&self.settings, via, now)?);
        self.cache
            .keep(&cached, generation, &caller, caller.expires, now);
        Ok(caller)
    }

    /// `jku`, `x5u`, `jwk` and `x5c` are ignored: the key is ours, wherever the token would like to point.
    fn check_header(&self, header: &str) -> Result<Map<String, Value>, Denied> {
        let header = strict::decode(header).ok_or(Denied::Malformed)?;
        // `b64` counts only beside `crit` (RFC 7797, section 6); a signer that leaves that out has signed other bytes than it sends, or lies.
        if header.contains_key("crit") || header.get("b64").is_some_and(|b64| b64 != true) {
            return Err(Denied::CriticalExtension);
        }
        let kind = match header.get("typ") {
            None => "JWT",
            // RFC 7515, 4.1.9: "application/" may be left out.
            Some(Value::String(kind)) => strip_prefix_ignoring_case(kind, "application/"),
            Some(_) => return Err(Denied::WrongType),
        };
        let mut expected = self.settings.types.iter();
        if expected.any(|expected| expected.eq_ignore_ascii_case(kind)) {
            Ok(header)
        } else {
            Err(Denied::WrongType)
        }
    }

    fn check_signature(&self, token: &str) -> Result<Map<String, Value>, Denied> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Denied::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Denied::Malformed)?;
        let header = self.check_header(header)?;
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(|name| name.parse::<Algorithm>().ok());
        let id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.as_str()),
            Some(_) => return Err(Denied::Malformed),
        };
        let keys = self.settings.keys.load();
        let candidates = keys.candidates(id, algorithm)?;
        let algorithm = algorithm.ok_or(Denied::WrongAlgorithm)?.named();
        for key in candidates {
            match jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key, algorithm) {
                // Only the signature chooses the key: after it has matched, whatever is wrong stays wrong.
                Ok(true) => return strict::decode(payload).ok_or(Denied::Malformed),
                Ok(false) => {}
                Err(_) => return Err(Denied::Malformed),
            }
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
