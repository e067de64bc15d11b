//! A counter in the store: its name, and its question and answer in the words of the script.

use std::{fmt::Write, time::Duration};

use aws_lc_rs::digest;
use weir_limit::{Allowed, Identity, Pace, Quota, Wait};

/// Whom a counter counts: the cluster's hash tag, so that all counters of one identity live on one node and one script can decide over
/// them together. A digest, because identities may be secrets, and the store's other users can list its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(u128);

impl Tag {
    /// Of an identity: 128 bits of its SHA-256, the same in every process.
    pub fn of(identity: &Identity<'_>) -> Self {
        let digest = digest::digest(&digest::SHA256, &identity.bytes());
        let first = digest.as_ref().first_chunk::<16>();
        Self(u128::from_be_bytes(*first.expect("SHA-256 has 32 bytes")))
    }

    /// For the link's own trial.
    pub(crate) const TRIAL: Self = Self(0);
}

/// What is counted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// At most the quota's amount in each aligned window.
    Window(Quota),
    /// Evenly, with a burst; `delay` asks how long the request must wait for its time.
    Gcra {
        /// The two numbers of GCRA.
        pace: Pace,
        /// Whether a request within the burst waits.
        delay: bool,
    },
    /// A budget per period, which may fall below zero.
    Tokens(Quota),
}

/// One counter asked for some of what it counts.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The limit's name.
    pub limit: &'a str,
    /// What it counts.
    pub counter: Counter,
    /// How much. Window and GCRA count requests, so one.
    pub amount: u32,
    /// A limit on trial: its refusal is told, and keeps nothing from being taken.
    pub dry_run: bool,
}

impl Counter {
    /// `weir:{00ff…}:w:per_user`
    pub(crate) fn key(&self, prefix: &str, tag: Tag, limit: &str) -> String {
        let mut key = String::with_capacity(prefix.len() + limit.len() + 40);
        // Writing to a String cannot fail.
        let _ = write!(key, "{prefix}:{{{:032x}}}:{}:{limit}", tag.0, self.kind());
        key
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Window(_) => "w",
            Self::Gcra { .. } => "g",
            Self::Tokens(_) => "t",
        }
    }

    /// The two numbers that the script wants.
    pub(crate) fn numbers(&self) -> (u64, u64) {
        match self {
            Self::Window(quota) | Self::Tokens(quota) => {
                (quota.amount().get().into(), quota.per().as_secs())
            }
            Self::Gcra { pace, .. } => (nanos(pace.interval), pace.burst.get().into()),
        }
    }

    /// The script's four numbers.
    pub(crate) fn answer(
        &self,
        [enough, remaining, time, early]: [i64; 4],
    ) -> Result<Allowed, Wait> {
        let limit = match self {
            Self::Window(quota) | Self::Tokens(quota) => quota.amount().get(),
            Self::Gcra { pace, .. } => pace.burst.get(),
        };
        let time_of = |nanos: i64| Duration::from_nanos(u64::try_from(nanos).unwrap_or_default());
        if enough == 0 {
            return Err(Wait {
                limit,
                retry_after: time_of(time),
            });
        }
        Ok(Allowed {
            limit,
            remaining: u32::try_from(remaining).unwrap_or_default(),
            reset: time_of(time),
            delay: match self {
                Self::Gcra { delay: true, .. } => time_of(early),
                _ => Duration::ZERO,
            },
        })
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_everywhere() {
        let tag = Tag::of(&Identity::User("ada"));
        let counter = Counter::Window(Quota::parse("100/60s").unwrap());
        assert_eq!(
            counter.key("weir", tag, "per_user"),
            "weir:{9c574f6a5aa3824ec043d35f790a6fc2}:w:per_user"
        );
        assert_ne!(tag, Tag::of(&Identity::Tenant("ada")));
    }
}
