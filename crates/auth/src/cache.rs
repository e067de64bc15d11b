//! Credentials that were found good a moment ago, so that a page with forty files costs one decryption. Only good answers are kept,
//! by SHA-256 of the credential, for at most 30 s and never past the credential's own end; new keys forget them all. A flood of bad
//! credentials therefore leaves nothing here, and one of good ones a bounded amount: when a part is full it starts over, which costs
//! some of them one more verification.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{self, SHA256};

use crate::Caller;

const TIME: Duration = Duration::from_secs(30);
const SHARDS: usize = 8;
/// Entries per shard.
const ROOM: usize = 512;
/// Names and roles of one caller, in bytes; longer ones are verified each time. All in all at most some 16 MiB per verifier.
const LONGEST: usize = 4 * 1024;

/// The hash of a credential.
pub(crate) type Key = [u8; 32];

/// See the module.
#[derive(Default)]
pub(crate) struct Cache {
    shards: [Mutex<HashMap<Key, Entry>>; SHARDS],
}

struct Entry {
    generation: u64,
    since: SystemTime,
    until: SystemTime,
    caller: Caller,
}

impl Cache {
    /// `place` keeps apart what one text may mean in two places.
    pub(crate) fn key(place: &[u8], credential: &str) -> Key {
        let mut hash = digest::Context::new(&SHA256);
        hash.update(place);
        hash.update(&[0]);
        hash.update(credential.as_bytes());
        hash.finish()
            .as_ref()
            .try_into()
            .expect("SHA-256 has 32 bytes")
    }

    pub(crate) fn find(&self, key: &Key, generation: u64, now: SystemTime) -> Option<Caller> {
        let shard = self.shard(key);
        let entry = shard.get(key)?;
        // A clock that was set back proves nothing any more.
        let good = entry.generation == generation && entry.since <= now && now < entry.until;
        good.then(|| entry.caller.clone())
    }

    /// `generation` as it was before the credential was verified, `end` its own.
    pub(crate) fn keep(
        &self,
        key: Key,
        generation: u64,
        caller: &Caller,
        end: Option<SystemTime>,
        now: SystemTime,
    ) {
        let until = now.checked_add(TIME).into_iter().chain(end).min();
        let Some(until) = until.filter(|until| *until > now && size(caller) <= LONGEST) else {
            return;
        };
        let mut shard = self.shard(&key);
        if shard.len() >= ROOM && !shard.contains_key(&key) {
            shard.retain(|_, entry| entry.generation == generation && now < entry.until);
            if shard.len() >= ROOM {
                shard.clear();
            }
        }
        let entry = Entry {
            generation,
            since: now,
            until,
            caller: caller.clone(),
        };
        shard.insert(key, entry);
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.shards[usize::from(key[0]) % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(caller: &Caller) -> usize {
    let names = caller.user.iter().chain(&caller.tenant);
    let lists = caller.roles.iter().chain(&caller.scopes);
    names.chain(lists).map(|name| name.len() + 24).sum()
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(user: &str) -> Caller {
        Caller {
            user: Some(user.to_owned()),
            ..Caller::default()
        }
    }

    #[test]
    fn good_answers_last_a_while_and_no_longer_than_they_are_good() {
        let cache = Cache::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let at = |seconds| now + Duration::from_secs(seconds);
        let (long, short) = (Cache::key(b"a", "long"), Cache::key(b"a", "short"));
        assert_ne!(long, Cache::key(b"b", "long"));
        cache.keep(long, 1, &caller("ana"), Some(at(3600)), now);
        cache.keep(short, 1, &caller("bob"), Some(at(5)), now);
        assert_eq!(cache.find(&long, 1, at(29)), Some(caller("ana")));
        assert_eq!(cache.find(&long, 1, at(30)), None);
        assert_eq!(cache.find(&long, 2, at(1)), None, "newer keys");
        assert_eq!(cache.find(&long, 1, now - TIME), None, "set back");
        assert_eq!(cache.find(&short, 1, at(4)), Some(caller("bob")));
        assert_eq!(cache.find(&short, 1, at(5)), None);
        cache.keep(short, 1, &caller("bob"), Some(now), now);
        assert_eq!(
            cache.find(&short, 1, at(4)),
            Some(caller("bob")),
            "nothing new to keep"
        );
    }

    #[test]
    fn a_flood_is_bounded() {
        let cache = Cache::default();
        let now = SystemTime::UNIX_EPOCH + TIME;
        for number in 0..100_000 {
            cache.keep(
                Cache::key(b"", &number.to_string()),
                0,
                &caller("x"),
                None,
                now,
            );
        }
        let kept: usize = cache
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().len())
            .sum();
        assert!(kept <= SHARDS * ROOM, "{kept}");
        let huge = Cache::key(b"", "huge");
        cache.keep(huge, 0, &caller(&"x".repeat(LONGEST)), None, now);
        assert_eq!(cache.find(&huge, 0, now), None);
    }
}
