//! Credentials that came and did not pass, counted by address, for the `[auth]` tables whose `failures` bounds them: who guesses is told 429
//! before anybody looks at what it guessed. In this process, in a table of bounded size; limits of good callers are admission's.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};
use weir_auth::Denied;
use weir_config::plan::Auth;
use weir_limit::{Facts, Key, KeySource, TokenBudget};

use crate::refusal::Refusal;

/// Those of one `[auth]` table. A budget of failures: it can be looked at without being taken from, which a rate cannot.
#[derive(Clone, Debug)]
pub(crate) struct Guesses {
    auth: String,
    budget: Arc<TokenBudget>,
}

impl Guesses {
    /// With the counters of the table of the same name in the plan before, if it allows the same.
    pub(crate) fn of(auth: &Auth, before: &[Option<Self>]) -> Option<Self> {
        let quota = auth.failures?;
        let same = before
            .iter()
            .flatten()
            .find(|had| had.auth == auth.name && *had.budget.quota() == quota);
        Some(Self {
            auth: auth.name.clone(),
            budget: same.map_or_else(
                || Arc::new(TokenBudget::new(quota)),
                |had| Arc::clone(&had.budget),
            ),
        })
    }

    /// How long this address has to wait before it may try again; `None`: not at all.
    pub(crate) fn wait(&self, ip: IpAddr) -> Option<Duration> {
        let (key, now) = (key(ip), SystemTime::now());
        if self.budget.change(&key, 0, now) > 0 {
            return None;
        }
        // With nothing left this takes nothing, and tells when there is more.
        let refused = self.budget.reserve(&key, 1, now).err();
        refused.map(|wait| wait.retry_after)
    }

    /// What came did not pass. Nothing is no guess, and neither is what was good once: a browser with an old session is nobody's attack.
    pub(crate) fn failed(&self, ip: IpAddr, refusal: &Refusal) {
        let (Refusal::Denied(why) | Refusal::Login { why, .. }) = refusal else {
            return;
        };
        let guessed = why.status() == StatusCode::UNAUTHORIZED
            && !matches!(why, Denied::Missing | Denied::Expired);
        if guessed {
            // Of several at the same moment one may find nothing left; no debt is made of that.
            let _ = self.budget.reserve(&key(ip), 1, SystemTime::now());
        }
    }
}

fn key(ip: IpAddr) -> Key {
    KeySource::ClientIp.key(&Facts {
        user: None,
        tenant: None,
        route: "",
        ip,
        headers: &HeaderMap::new(),
    })
}
