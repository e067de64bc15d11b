//! What a token says, after its signature was found good: whether that is enough, and whom it names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::JwtSettings;
use crate::{Caller, Denied, Via};

pub(super) struct Claims<'t>(pub(super) &'t Map<String, Value>);

impl Claims<'_> {
    pub(super) fn decide(
        &self,
        settings: &JwtSettings,
        via: Via,
        now: SystemTime,
    ) -> Result<Caller, Denied> {
        let later = |time: SystemTime| time.checked_add(settings.leeway);

        // RFC 7519, 4.1.4: not on or after that time.
        let expires = self.time("exp")?.ok_or(Denied::NoExpiry)?;
        if later(expires).is_some_and(|end| end <= now) {
            return Err(Denied::Expired);
        }
        let issued = self.time("iat")?;
        let begins = self.time("nbf")?;
        let latest = later(now).ok_or(Denied::Malformed)?;
        if [issued, begins]
            .into_iter()
            .flatten()
            .any(|begin| begin > latest)
        {
            return Err(Denied::NotYetValid);
        }
        if let Some(most) = settings.max_lifetime {
            let issued = issued.ok_or(Denied::MissingClaim)?;
            if expires
                .duration_since(issued)
                .is_ok_and(|lifetime| lifetime > most)
            {
                return Err(Denied::LivesTooLong);
            }
        }

        match (&settings.issuer, self.0.get("iss")) {
            (Some(expected), Some(Value::String(issuer))) if issuer == expected => {}
            (Some(_), _) => return Err(Denied::WrongIssuer),
            (None, None | Some(Value::String(_))) => {}
            (None, Some(_)) => return Err(Denied::Malformed),
        }
        match (&settings.audience, self.0.get("aud")) {
            (Some(expected), Some(audience)) if names(audience, expected) => {}
            (None, None) => {}
            _ => return Err(Denied::WrongAudience),
        }
        if settings
            .required
            .iter()
            .any(|claim| self.0.get(claim).is_none_or(Value::is_null))
        {
            return Err(Denied::MissingClaim);
        }

        // A prefix alone is no name.
        let user = self
            .name(&settings.user_claim)?
            .filter(|user| !user.is_empty())
            .map(|user| settings.user_prefix.clone() + &user);
        Caller {
            user,
            tenant: settings
                .tenant_claim
                .as_deref()
                .map_or(Ok(None), |claim| self.name(claim))?,
            roles: settings
                .roles_claim
                .as_deref()
                .map_or(Ok(Vec::new()), |claim| self.list(claim))?,
            scopes: settings
                .scopes_claim
                .as_deref()
                .map_or(Ok(Vec::new()), |claim| self.words(claim))?,
            via,
            expires: Some(expires),
        }
        .checked()
    }

    /// Seconds since 1970, perhaps with a fraction. Anything else that stands there is a lie about time.
    fn time(&self, claim: &str) -> Result<Option<SystemTime>, Denied> {
        let Some(value) = self.0.get(claim) else {
            return Ok(None);
        };
        let seconds = value
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds
            .and_then(|seconds| UNIX_EPOCH.checked_add(seconds))
            .map(Some)
            .ok_or(Denied::Malformed)
    }

    /// A string, or a whole number in its decimal form: many applications put a database id there.
    fn name(&self, claim: &str) -> Result<Option<String>, Denied> {
        match self.0.get(claim) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            Some(_) => Err(Denied::Malformed),
        }
    }

    /// RFC 8693, 4.2: a string of words; some issuers write an array.
    fn words(&self, claim: &str) -> Result<Vec<String>, Denied> {
        match self.0.get(claim) {
            Some(Value::String(words)) => {
                Ok(words.split_ascii_whitespace().map(str::to_owned).collect())
            }
            _ => self.list(claim),
        }
    }

    fn list(&self, claim: &str) -> Result<Vec<String>, Denied> {
        match self.0.get(claim) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or(Denied::Malformed))
                .collect(),
            Some(_) => Err(Denied::Malformed),
        }
    }
}

fn names(audience: &Value, expected: &str) -> bool {
    match audience {
        Value::String(one) => one == expected,
        Value::Array(several) => {
            several.iter().all(Value::is_string) && several.iter().any(|one| one == expected)
        }
        _ => false,
    }
}
