//! The demo's machine keys and the sessions minted with them. Keys are made anew for every run and live as long as it does;
//! weir's `auth` opens what is minted here, and has the keys from the environment that the demo's configuration reads.

use std::{
    io,
    time::{Duration, SystemTime},
};

use aws_lc_rs::rand;
use weir_auth::{
    AspNetCookie, AspNetCookieSettings,
    aspnet::{Decryption, MachineKey, NAME, NAME_IDENTIFIER, ROLE, Ticket, Validation},
};

/// The claim that `tenant_claim` of the demo's configuration names.
const TENANT: &str = "tenant";

/// Mints session cookies.
pub(super) struct Mint {
    cookie: AspNetCookie,
    validation: String,
    decryption: String,
}

impl Mint {
    /// With new random keys: 64 bytes to authenticate, 32 to encrypt, as IIS generates them.
    pub(super) fn new() -> io::Result<Self> {
        let (validation, decryption) = (random_hex::<64>()?, random_hex::<32>()?);
        let key = MachineKey::new(
            Validation::default(),
            &validation.clone().into(),
            Decryption::default(),
            &decryption.clone().into(),
        );
        let cookie = key.and_then(|key| {
            AspNetCookie::new(AspNetCookieSettings {
                keys: vec![key],
                ..AspNetCookieSettings::default()
            })
        });
        Ok(Self {
            cookie: cookie.map_err(io::Error::other)?,
            validation,
            decryption,
        })
    }

    /// The cookie's name.
    pub(super) fn name(&self) -> &str {
        self.cookie.name()
    }

    /// The two keys in hexadecimal: validation, then decryption.
    pub(super) fn keys(&self) -> (&str, &str) {
        (&self.validation, &self.decryption)
    }

    /// A session's cookies, name and value. An empty tenant is none.
    pub(super) fn session(
        &self,
        user: &str,
        tenant: &str,
        now: SystemTime,
        lasts: Duration,
    ) -> Vec<(String, String)> {
        let mut ticket = Ticket::new("Cookies", now, now + lasts)
            .with(NAME_IDENTIFIER, user)
            .with(NAME, user)
            .with(ROLE, "reader");
        if !tenant.is_empty() {
            ticket = ticket.with(TENANT, tenant);
        }
        self.cookie.mint(&ticket)
    }
}

/// `BYTES` random bytes in hexadecimal.
pub(super) fn random_hex<const BYTES: usize>() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system has no randomness to give"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn what_is_minted_is_what_weir_opens() {
        let mint = Mint::new().expect("keys");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let [(name, value)] = &mint.session("Ada Ł", "Engines", now, Duration::from_secs(60))[..]
        else {
            panic!("a short ticket is one cookie");
        };
        let mut headers = HeaderMap::new();
        let header = HeaderValue::try_from(format!("{name}={value}")).expect("a header");
        headers.insert(http::header::COOKIE, header);
        let caller = mint.cookie.identify(&headers, now).expect("a session");
        assert_eq!(caller.user.as_deref(), Some("Ada Ł"));
        assert_eq!(caller.roles, ["reader"]);
        let later = now + Duration::from_secs(61);
        assert!(mint.cookie.identify(&headers, later).is_err());
        let other = Mint::new().expect("other keys");
        assert!(other.cookie.identify(&headers, now).is_err());
    }
}
