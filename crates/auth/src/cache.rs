//! Credentials that were found good a moment ago, so that a page with forty files costs one decryption. Only good answers are kept, beside
//! the credential itself, for at most 30 s and never past the credential's own end; new keys forget them all. A flood of bad
//! credentials therefore leaves nothing here, and one of good ones a bounded amount: when a part is full it starts over, which costs
//! some of them one more verification.
//!
//! They are found by a keyed hash of their end and then compared whole: no hash decides who somebody is. The end is of a signature or a MAC in
//! every credential that is kept here. Whoever has no key can choose nothing of it, so many credentials with one end are not to be had; and
//! if they were, they would take one place in turn and be verified each time, as without this cache. The time of the comparison tells
//! nothing to whoever does not have the end already, and with it the signature: without the seed, no other text is brought as far as that.
//! A hash of the whole text would say no more, and grow with it: a token of a kilobyte took a microsecond. A digest in place of the
//! text would keep it out of this memory, though not out of the connections' buffers, and cost a request more than all the rest of its
//! identity: eleven thousand instructions where the processor has none for SHA-256.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use crate::{Caller, Via};

const TIME: Duration = Duration::from_secs(30);
const SHARDS: usize = 8;
/// Entries per shard.
const ROOM: usize = 512;
/// Credentials and names per shard, in bytes: all in all at most 16 MiB per verifier.
const BYTES: usize = 2 * 1024 * 1024;
/// The end of a credential by which it is found, in bytes. In base64 these are 192 bits of its signature, which is more than can be guessed.
const END: usize = 32;
/// A credential with the names and roles of its caller, in bytes; longer ones are verified each time.
const LONGEST: usize = 32 * 1024;

/// See the module.
#[derive(Default)]
pub(crate) struct Cache {
    seed: Seed,
    shards: [Mutex<Shard>; SHARDS],
}

/// Drawn anew for each cache, so that nobody outside can search for two credentials with one number.
struct Seed([u64; END / 8]);

/// A credential, and under which number it is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Key<'c> {
    number: u64,
    /// Keeps apart what one text may mean in two places.
    via: Via,
    text: &'c [u8],
}

#[derive(Default)]
struct Shard {
    entries: HashMap<u64, Entry, BuildHasherDefault<Numbered>>,
    bytes: usize,
    /// When those that have ended were last let go.
    swept: Option<SystemTime>,
}

struct Entry {
    via: Via,
    text: Box<[u8]>,
    generation: u64,
    since: SystemTime,
    until: SystemTime,
    caller: Arc<Caller>,
}

/// The numbers are hashes already.
#[derive(Default)]
struct Numbered(u64);

impl Cache {
    pub(crate) fn key<'c>(&self, via: Via, text: &'c [u8]) -> Key<'c> {
        Key {
            number: self.seed.number(text) ^ via as u64,
            via,
            text,
        }
    }

    pub(crate) fn find(
        &self,
        key: &Key<'_>,
        generation: u64,
        now: SystemTime,
    ) -> Option<Arc<Caller>> {
        let shard = self.shard(key);
        let entry = shard.entries.get(&key.number)?;
        // A clock that was set back proves nothing any more.
        let good = *entry.text == *key.text
            && entry.via == key.via
            && entry.generation == generation
            && entry.since <= now
            && now < entry.until;
        good.then(|| Arc::clone(&entry.caller))
    }

    /// `generation` as it was before the credential was verified, `end` its own.
    pub(crate) fn keep(
        &self,
        key: &Key<'_>,
        generation: u64,
        caller: &Arc<Caller>,
        end: Option<SystemTime>,
        now: SystemTime,
    ) {
        let entry = Entry {
            via: key.via,
            text: key.text.into(),
            generation,
            since: now,
            until: now
                .checked_add(TIME)
                .into_iter()
                .chain(end)
                .min()
                .unwrap_or(now),
            caller: Arc::clone(caller),
        };
        if entry.until > now && entry.size() <= LONGEST {
            self.shard(key).keep(key.number, entry, now);
        }
    }

    fn shard(&self, key: &Key<'_>) -> MutexGuard<'_, Shard> {
        // The table itself looks at the lowest bits and at the highest.
        let shard = usize::try_from(key.number >> 32 & 0xff).expect("a byte") % SHARDS;
        self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Seed {
    fn default() -> Self {
        let keys = RandomState::new();
        Self(std::array::from_fn(|index| keys.hash_one(index)))
    }
}

impl Seed {
    /// The products of pairs of words, each under its part of the seed, as wyhash has them. A fifth of what SipHash takes, whose strength is
    /// for a table that keeps what strangers choose.
    fn number(&self, text: &[u8]) -> u64 {
        let mut end = [0; END];
        match text.last_chunk() {
            Some(last) => end = *last,
            None => end[..text.len()].copy_from_slice(text),
        }
        let mut words = end.as_chunks().0.iter().zip(&self.0);
        let mut word = || {
            words
                .next()
                .map_or(0, |(word, seed)| u64::from_ne_bytes(*word) ^ seed)
        };
        let mut product = || {
            let product = u128::from(word()) * u128::from(word());
            (product ^ product >> 64) as u64
        };
        product() ^ product().rotate_left(32)
    }
}

impl Shard {
    fn keep(&mut self, number: u64, entry: Entry, now: SystemTime) {
        self.forget(number);
        let size = entry.size();
        let rested = self.swept.and_then(|swept| now.duration_since(swept).ok());
        if self.is_full(size) || rested.is_none_or(|rested| rested >= TIME) {
            self.swept = Some(now);
            self.entries
                .retain(|_, had| had.generation == entry.generation && now < had.until);
            self.bytes = self.entries.values().map(Entry::size).sum();
        }
        if self.is_full(size) {
            (self.bytes, self.entries) = Default::default();
        }
        self.bytes += size;
        self.entries.insert(number, entry);
    }

    fn forget(&mut self, number: u64) {
        if let Some(had) = self.entries.remove(&number) {
            self.bytes -= had.size();
        }
    }

    fn is_full(&self, more: usize) -> bool {
        self.entries.len() >= ROOM || self.bytes + more > BYTES
    }
}

impl Entry {
    fn size(&self) -> usize {
        let caller = &*self.caller;
        let names = caller.user.iter().chain(&caller.tenant);
        let lists = caller.roles.iter().chain(&caller.scopes);
        let names = names.chain(lists).map(|name| name.len() + 24);
        self.text.len() + names.sum::<usize>()
    }
}

impl Hasher for Numbered {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(user: &str) -> Arc<Caller> {
        Arc::new(Caller {
            user: Some(user.to_owned()),
            ..Caller::default()
        })
    }

    #[test]
    fn good_answers_last_a_while_and_no_longer_than_they_are_good() {
        let cache = Cache::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let at = |seconds| now + Duration::from_secs(seconds);
        let long = cache.key(Via::Bearer, b"long");
        let short = cache.key(Via::Bearer, b"short");
        cache.keep(&long, 1, &caller("ana"), Some(at(3600)), now);
        cache.keep(&short, 1, &caller("bob"), Some(at(5)), now);
        assert_eq!(cache.find(&long, 1, at(29)), Some(caller("ana")));
        assert_eq!(cache.find(&long, 1, at(30)), None);
        assert_eq!(cache.find(&long, 2, at(1)), None, "newer keys");
        assert_eq!(cache.find(&long, 1, now - TIME), None, "set back");
        assert_eq!(cache.find(&short, 1, at(4)), Some(caller("bob")));
        assert_eq!(cache.find(&short, 1, at(5)), None);
        cache.keep(&short, 1, &caller("bob"), Some(now), now);
        assert_eq!(
            cache.find(&short, 1, at(4)),
            Some(caller("bob")),
            "nothing new to keep"
        );
    }

    #[test]
    fn only_the_same_text_in_the_same_place_is_found() {
        let cache = Cache::default();
        let now = SystemTime::UNIX_EPOCH + TIME;
        let good = cache.key(Via::Bearer, b"a.b.c");
        cache.keep(&good, 0, &caller("ana"), None, now);
        let elsewhere = cache.key(Via::Cookie, b"a.b.c");
        assert_eq!(cache.find(&elsewhere, 0, now), None);
        // Nor another with the same end: not the hash says who it is.
        let long = |first: char| format!("{first}{}", "x".repeat(2 * END));
        let (kept, other) = (long('a'), long('b'));
        let kept = cache.key(Via::Bearer, kept.as_bytes());
        cache.keep(&kept, 0, &caller("bob"), None, now);
        assert_eq!(kept.number, cache.key(Via::Bearer, other.as_bytes()).number);
        assert_eq!(
            cache.find(&cache.key(Via::Bearer, other.as_bytes()), 0, now),
            None
        );
        assert_eq!(cache.find(&kept, 0, now), Some(caller("bob")));
        for (via, text) in [(Via::Bearer, b"a.b.d"), (Via::Cookie, b"a.b.c")] {
            let colliding = Key { via, text, ..good };
            assert_eq!(cache.find(&colliding, 0, now), None, "{text:?}");
        }
        assert_eq!(cache.find(&good, 0, now), Some(caller("ana")));
    }

    #[test]
    fn a_flood_is_bounded() {
        let cache = Cache::default();
        let now = SystemTime::UNIX_EPOCH + TIME;
        let kept = |most: &dyn Fn(&Shard) -> usize| -> usize {
            let shards = cache.shards.iter();
            shards.map(|shard| most(&shard.lock().unwrap())).sum()
        };
        for number in 0..100_000 {
            let text = number.to_string();
            cache.keep(
                &cache.key(Via::Bearer, text.as_bytes()),
                0,
                &caller("x"),
                None,
                now,
            );
        }
        let entries = kept(&|shard| shard.entries.len());
        assert!(entries <= SHARDS * ROOM, "{entries}");
        let long = "x".repeat(LONGEST - 100);
        for number in 0..2_000 {
            let text = format!("{number}{long}");
            cache.keep(
                &cache.key(Via::Bearer, text.as_bytes()),
                0,
                &caller("x"),
                None,
                now,
            );
        }
        let bytes = kept(&|shard| shard.entries.values().map(Entry::size).sum());
        assert!((1..=SHARDS * BYTES).contains(&bytes), "{bytes}");
        assert_eq!(bytes, kept(&|shard| shard.bytes));
        let huge = cache.key(Via::Bearer, b"huge");
        cache.keep(&huge, 0, &caller(&"x".repeat(LONGEST)), None, now);
        assert_eq!(cache.find(&huge, 0, now), None);
    }

    #[test]
    fn what_has_ended_does_not_stay() {
        let cache = Cache::default();
        let now = SystemTime::UNIX_EPOCH + TIME;
        for number in 0..1_000 {
            let text = number.to_string();
            cache.keep(
                &cache.key(Via::Bearer, text.as_bytes()),
                0,
                &caller("x"),
                None,
                now,
            );
        }
        for number in 1_000..1_100 {
            let text = number.to_string();
            cache.keep(
                &cache.key(Via::Bearer, text.as_bytes()),
                0,
                &caller("x"),
                None,
                now + TIME,
            );
        }
        let shards = cache.shards.iter();
        let kept: usize = shards.map(|one| one.lock().unwrap().entries.len()).sum();
        assert_eq!(kept, 100);
    }
}
