//! The session cookie of ASP.NET applications, on Katana/OWIN (`.AspNet.Cookies`, `.AspNet.ApplicationCookie`, …) and on ASP.NET
//! Core (`.AspNetCore.Cookies`, …): really opened and checked with the application's own keys, and mintable by the same. The text's
//! prefix says which of the two formats it has, not the cookie's name: a Katana application may use either. Renewal stays with the application:
//! two writers of one cookie would race, and its own SecurityStamp check would be passed by.
//!
//! What no gateway can see: a session that the application has revoked through SecurityStamp before its time.
//!
//! Source of the older format: aspnet/AspNetKatana (SecureDataFormat, TicketSerializer, CookieAuthenticationHandler) and
//! microsoft/referencesource (System.Web MachineKey and Security/Cryptography).

mod chunks;
mod core_ticket;
mod envelope;
mod kdf;
mod machine_key;
mod protection;
mod ring;
mod suite;
mod ticket;
mod wire;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderMap;

pub use machine_key::{Decryption, MachineKey, Validation};
pub use protection::Protection;
pub(crate) use ring::ticks;
pub use ring::{KeyRing, RingError};
pub use ticket::{Claim, NAME, NAME_IDENTIFIER, ROLE, Ticket};

use crate::{
    Caller, Denied, KeyError, Via,
    cache::Cache,
    cookies::{self, Cookies},
};
use envelope::Envelope;
use protection::Protector;

/// What an operator says of the cookie. The default is Katana's own: `.AspNet.Cookies`, expiry required, no leeway, no keys.
#[derive(Debug)]
pub struct AspNetCookieSettings {
    /// The cookie's name: `.AspNet.` and the AuthenticationType, unless the application sets CookieName.
    pub name: String,
    /// The AuthenticationType, which the keys are derived from.
    pub auth_type: String,
    /// Tried in order, so that old sessions outlive a change of keys. The first one mints.
    pub keys: Vec<MachineKey>,
    /// The key ring for Data Protection payloads.
    pub protection: Option<Protection>,
    /// Whether a ticket without a readable `.expires` is refused. To Katana such a ticket never expires.
    pub require_expiry: bool,
    /// weir's own ceiling on the time since `.issued`; a ticket without it is then refused.
    pub max_age: Option<Duration>,
    /// How long after `.expires` a ticket still passes. Katana itself grants none.
    pub leeway: Duration,
    /// The claim type that names the user. By default what the application sees as `User.Identity.Name` (the identity's
    /// own name claim), which is also what IIS logs and `REMOTE_USER` say, and in its absence the name identifier.
    pub user_claim: Option<String>,
    /// The claim type that names the tenant.
    pub tenant_claim: Option<String>,
}

impl Default for AspNetCookieSettings {
    fn default() -> Self {
        Self {
            name: ".AspNet.Cookies".to_owned(),
            auth_type: "Cookies".to_owned(),
            keys: Vec::new(),
            protection: None,
            require_expiry: true,
            max_age: None,
            leeway: Duration::ZERO,
            user_claim: None,
            tenant_claim: None,
        }
    }
}

/// Verifies one application's session cookie.
#[derive(Debug)]
pub struct AspNetCookie {
    settings: AspNetCookieSettings,
    envelopes: Vec<Envelope>,
    protector: Option<Protector>,
    cache: Cache,
}

impl AspNetCookie {
    /// Derives the keys, once.
    pub fn new(settings: AspNetCookieSettings) -> Result<Self, KeyError> {
        if !cookies::is_name(&settings.name) {
            return Err(KeyError::CookieName);
        }
        if settings.name.eq_ignore_ascii_case(".ASPXAUTH") {
            return Err(KeyError::FormsAuthentication);
        }
        if settings.auth_type.is_empty() {
            return Err(KeyError::AuthenticationType);
        }
        if settings.keys.is_empty() && settings.protection.is_none() {
            return Err(KeyError::NoKey);
        }
        let envelopes = settings
            .keys
            .iter()
            .map(|key| Envelope::new(key, &settings.auth_type))
            .collect();
        let protector = settings
            .protection
            .as_ref()
            .map(|protection| Protector::new(protection, &settings.name, &settings.auth_type));
        Ok(Self {
            settings,
            envelopes,
            protector,
            cache: Cache::default(),
        })
    }

    /// The cookie's name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Who the session belongs to. [`Denied::Missing`] means that no such cookie came, in any spelling.
    pub fn identify(&self, headers: &HeaderMap, now: SystemTime) -> Result<Arc<Caller>, Denied> {
        let cookies = Cookies::read(headers, &self.settings.name)?;
        let text = chunks::join(&cookies)?;
        let generation = self.generation();
        let key = self.cache.key(Via::Cookie, text.as_bytes());
        if let Some(caller) = self.cache.find(&key, generation, now) {
            return Ok(caller);
        }
        let ticket = self.open(&text)?;
        let (caller, end) = self.decide(&ticket, now)?;
        let caller = Arc::new(caller);
        self.cache.keep(&key, generation, &caller, end, now);
        Ok(caller)
    }

    /// The key ring, where there is one, for the gateway to hand newer keys to.
    pub fn protection(&self) -> Option<&Protection> {
        self.settings.protection.as_ref()
    }

    fn generation(&self) -> u64 {
        self.protection()
            .map_or(0, |protection| protection.ring.generation())
    }

    /// The cookies that carry this ticket as `(name, value)`: one, or a count and its parts where one would be too long for a
    /// browser. With the first machine key, or without any, the key ring. The initialisation vector is random, so no two are
    /// alike. Empty where every key of the ring is revoked.
    pub fn mint(&self, ticket: &Ticket) -> Vec<(String, String)> {
        let name = &self.settings.name;
        if let Some(envelope) = self.envelopes.first() {
            return chunks::split(name, envelope.seal(&ticket.to_gzip()), ':');
        }
        let text = self
            .protector
            .as_ref()
            .and_then(|protector| protector.seal(ticket));
        text.map_or_else(Vec::new, |text| chunks::split(name, text, '-'))
    }

    fn open(&self, text: &str) -> Result<Ticket, Denied> {
        let blob = envelope::decode(text)?;
        if envelope::is_protected(text) {
            let protector = self.protector.as_ref().ok_or(Denied::DataProtection)?;
            return protector.open(&blob);
        }
        if self.envelopes.is_empty() {
            return Err(Denied::Malformed);
        }
        // Only the MAC chooses the key: after it has matched, whatever is wrong stays wrong.
        let sealed = self
            .envelopes
            .iter()
            .find_map(|one| one.open(&blob).transpose());
        Ticket::from_gzip(&sealed.ok_or(Denied::BadMac)??)
    }

    /// CookieAuthenticationHandler.AuthenticateCoreAsync, with the stricter rules that the settings ask for. Also says until when
    /// the answer stays the same.
    fn decide(
        &self,
        ticket: &Ticket,
        now: SystemTime,
    ) -> Result<(Caller, Option<SystemTime>), Denied> {
        let settings = &self.settings;
        if ticket.is_reference() {
            return Err(Denied::ReferenceTicket);
        }
        let expires = ticket.expires();
        match expires {
            // At the very second it still passes, as in Katana.
            Some(expires)
                if expires
                    .checked_add(settings.leeway)
                    .is_some_and(|end| end < now) =>
            {
                return Err(Denied::Expired);
            }
            None if settings.require_expiry => return Err(Denied::NoExpiry),
            _ => {}
        }
        let mut end = expires;
        if let Some(max_age) = settings.max_age {
            let issued = ticket.issued().ok_or(Denied::LivesTooLong)?;
            if now.duration_since(issued).is_ok_and(|age| age > max_age) {
                return Err(Denied::LivesTooLong);
            }
            end = end.into_iter().chain(issued.checked_add(max_age)).min();
        }
        let user = match &settings.user_claim {
            Some(kind) => ticket.claim(kind),
            None => ticket
                .claim(&ticket.name_type)
                .or_else(|| ticket.claim(NAME_IDENTIFIER)),
        };
        let tenant = settings
            .tenant_claim
            .as_deref()
            .and_then(|kind| ticket.claim(kind));
        let caller = Caller {
            user: user.map(str::to_owned),
            tenant: tenant.map(str::to_owned),
            roles: ticket
                .claims(&ticket.role_type)
                .map(str::to_owned)
                .collect(),
            scopes: Vec::new(),
            via: Via::Cookie,
            expires,
        };
        Ok((caller.checked()?, end))
    }
}
