//! API keys: handed out by the operator, kept only as hashes. A key reads `weir_ID_SECRET`: the id finds the entry, SHA-256 of the whole
//! key is compared with the entry's. The secret has 256 random bits, so a slow hash would protect nothing; its last six characters are
//! a checksum, so that scanners and people see a broken key without asking anybody.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{constant_time, digest, rand};
use http::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Caller, Denied, KeyError, Via, Withheld, bearer,
    verifier::{Found, Place},
};

/// What every key begins with, for secret scanners.
const MARK: &str = "weir_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 256 bits in base 62.
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
const MAX_ID: usize = 32;

/// Where a key may stand. Never the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// `Authorization: Bearer KEY`
    Authorization,
    /// A header of this name, whole.
    Header(HeaderName),
}

/// One key as the operator keeps it.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The part of the key that is not secret.
    pub id: String,
    /// Of the whole key.
    pub hash: Hash,
    /// Whom it stands for.
    pub user: String,
    /// Whose it is.
    pub tenant: Option<String>,
    /// What its holder is.
    pub roles: Vec<String>,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// When it ends; `None`: never.
    pub expires: Option<SystemTime>,
}

/// SHA-256 of a key, written `sha256:HEX`. No secret, but nobody's business either.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    fn of(key: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, key.as_bytes());
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl FromStr for Hash {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let hex = text
            .strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64 && hex.is_ascii());
        let mut bytes = [0; 32];
        let (pairs, _) = hex.ok_or(KeyError::Hash)?.as_bytes().as_chunks::<2>();
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let digit = |c: u8| char::from(c).to_digit(16).ok_or(KeyError::Hash);
            *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

/// Verifies the keys of one list.
#[derive(Debug)]
pub struct ApiKeys {
    from: Vec<KeyPlace>,
    keys: HashMap<String, ApiKey>,
}

impl ApiKeys {
    /// Two live keys of one user are two entries: that is how a key is changed.
    ///
    /// # Errors
    /// For an empty list, no place, an id that cannot stand in a key, or one that stands twice.
    pub fn new(from: Vec<KeyPlace>, keys: Vec<ApiKey>) -> Result<Self, KeyError> {
        if from.is_empty() {
            return Err(KeyError::NoSource);
        }
        if keys.is_empty() {
            return Err(KeyError::NoKey);
        }
        let mut by_id = HashMap::new();
        for key in keys {
            check_id(&key.id)?;
            if by_id.insert(key.id.clone(), key).is_some() {
                return Err(KeyError::DuplicateId);
            }
        }
        Ok(Self { from, keys: by_id })
    }

    /// The ids, in no order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    pub(crate) fn examine<'v>(
        &'v self,
        headers: &HeaderMap,
        now: SystemTime,
        found: &mut Vec<Found<'v>>,
    ) {
        for place in &self.from {
            let (place, key) = match place {
                KeyPlace::Authorization => (Place::Authorization, bearer::token(headers)),
                KeyPlace::Header(name) => (Place::Header(name.as_str()), single(headers, name)),
            };
            let outcome = key.and_then(|key| self.verify(key.ok_or(Denied::Missing)?, now));
            found.push(Found {
                place,
                outcome: outcome.map(Arc::new),
            });
        }
    }

    pub(crate) fn withhold(
        &self,
        headers: &HeaderMap,
        authorization: bool,
        withheld: &mut Withheld,
    ) {
        for place in &self.from {
            match place {
                KeyPlace::Authorization if authorization => bearer::withhold(headers, withheld),
                KeyPlace::Authorization => {}
                KeyPlace::Header(name) => withheld.header(name.clone()),
            }
        }
    }

    /// Who holds this key.
    pub fn verify(&self, key: &str, now: SystemTime) -> Result<Caller, Denied> {
        let id = id(key).ok_or(Denied::Malformed)?;
        // Hashed and compared whether the id is known or not, so that time tells nobody which ids there are.
        let presented = Hash::of(key);
        let known = self.keys.get(id);
        let expected = known.map_or(Hash([0; 32]), |known| known.hash);
        let same = constant_time::verify_slices_are_equal(&presented.0, &expected.0).is_ok();
        let known = known.ok_or(Denied::UnknownKey)?;
        if !same {
            return Err(Denied::BadSignature);
        }
        if known.expires.is_some_and(|end| end <= now) {
            return Err(Denied::Expired);
        }
        Caller {
            user: Some(known.user.clone()),
            tenant: known.tenant.clone(),
            roles: known.roles.clone(),
            scopes: known.scopes.clone(),
            via: Via::ApiKey,
            expires: known.expires,
        }
        .checked()
    }
}

/// A new key with this id, and what the operator keeps of it.
///
/// # Errors
/// For an id that cannot stand in a key.
pub fn generate(id: &str) -> Result<(SecretString, Hash), KeyError> {
    check_id(id)?;
    let mut secret = String::with_capacity(SECRET);
    // 248 is the largest multiple of 62 in a byte: beyond it some characters would be likelier than others.
    while secret.len() < SECRET {
        let mut bytes = [0; 64];
        rand::fill(&mut bytes).expect("random numbers never end");
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let digits = fair.map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
        secret.extend(digits.take(SECRET - secret.len()));
    }
    let body = format!("{MARK}{id}_{secret}");
    let key = SecretString::from(format!("{body}{}", checksum(&body)));
    let hash = Hash::of(key.expose_secret());
    Ok((key, hash))
}

/// An end as operators write it: `2027-01-31` (the first moment of that day, UTC) or `2027-01-31T12:00:00Z`.
pub fn end(text: &str) -> Option<SystemTime> {
    let whole = if text.contains('T') {
        text.to_owned()
    } else {
        format!("{text}T00:00:00Z")
    };
    let ticks = u64::try_from(crate::aspnet::ticks(&whole)?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(ticks / 10))
}

/// The id of a key that is whole.
fn id(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix(MARK)?.split_once('_')?;
    let (body, sum) = key.split_at_checked(key.len().checked_sub(CHECKSUM)?)?;
    let whole = secret.len() == SECRET + CHECKSUM && checksum(body) == sum && check_id(id).is_ok();
    whole.then_some(id)
}

fn check_id(id: &str) -> Result<(), KeyError> {
    let plain = id
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if (1..=MAX_ID).contains(&id.len()) && plain {
        Ok(())
    } else {
        Err(KeyError::KeyId)
    }
}

/// The first 32 bits of SHA-256 in base 62.
fn checksum(body: &str) -> String {
    let first: [u8; 4] = Hash::of(body).0.first_chunk().copied().unwrap_or_default();
    let mut number = u32::from_be_bytes(first);
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Denied> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => line
            .to_str()
            .map(|line| Some(line.trim()))
            .map_err(|_| Denied::Malformed),
        (Some(_), Some(_)) => Err(Denied::DuplicateAuthorization),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn list(id: &str, expires: Option<SystemTime>) -> (ApiKeys, String) {
        let (key, hash) = generate(id).unwrap();
        let hash = hash.to_string().parse().unwrap();
        let entry = ApiKey {
            id: id.to_owned(),
            hash,
            user: "ci".to_owned(),
            tenant: None,
            roles: vec!["robot".to_owned()],
            scopes: vec!["chat".to_owned()],
            expires,
        };
        let from = vec![
            KeyPlace::Authorization,
            KeyPlace::Header(HeaderName::from_static("x-api-key")),
        ];
        (
            ApiKeys::new(from, vec![entry]).unwrap(),
            key.expose_secret().to_owned(),
        )
    }

    #[test]
    fn the_key_opens_and_no_changed_one_does() {
        let (keys, key) = list("ci-2026", Some(NOW + Duration::from_secs(1)));
        let caller = keys.verify(&key, NOW).unwrap();
        assert_eq!(
            (caller.user.as_deref(), caller.via),
            (Some("ci"), Via::ApiKey)
        );
        assert_eq!(
            (caller.roles, caller.scopes),
            (vec!["robot".to_owned()], vec!["chat".to_owned()])
        );
        assert_eq!(
            keys.verify(&key, NOW + Duration::from_secs(1)),
            Err(Denied::Expired)
        );
        for index in 0..key.len() {
            for other in 0x21..=0x7e_u8 {
                let mut changed = key.clone().into_bytes();
                if changed[index] != other {
                    changed[index] = other;
                    assert!(
                        keys.verify(&String::from_utf8(changed).unwrap(), NOW)
                            .is_err()
                    );
                }
            }
            assert!(keys.verify(&key[..index], NOW).is_err());
        }
        assert!(keys.verify(&format!("{key}0"), NOW).is_err());
        // Whole, but somebody else's.
        let (_, other) = list("ci-2026", None);
        assert_eq!(keys.verify(&other, NOW), Err(Denied::BadSignature));
        let (_, unknown) = list("other", None);
        assert_eq!(keys.verify(&unknown, NOW), Err(Denied::UnknownKey));
        assert!(!format!("{keys:?}").contains(&key));
    }

    #[test]
    fn ends_are_days_or_moments() {
        let day = NOW + Duration::from_secs(1_767_225_600);
        assert_eq!(end("2026-01-01"), Some(day));
        assert_eq!(
            end("2026-01-01T00:00:01Z"),
            Some(day + Duration::from_secs(1))
        );
        assert_eq!(end("tomorrow"), None);
        assert_eq!(end("1969-12-31"), None);
    }

    #[test]
    fn lists_that_could_not_work_are_refused() {
        for id in ["", "A", "a_b", "ä", &"a".repeat(33)] {
            assert_eq!(generate(id).map(drop), Err(KeyError::KeyId), "{id}");
        }
        for hash in [
            "",
            "sha256:",
            "md5:00",
            &format!("sha256:{}", "g".repeat(64)),
            &"0".repeat(64),
        ] {
            assert_eq!(hash.parse::<Hash>(), Err(KeyError::Hash), "{hash}");
        }
        assert_eq!(
            ApiKeys::new(Vec::new(), Vec::new()).map(drop),
            Err(KeyError::NoSource)
        );
        assert_eq!(
            ApiKeys::new(vec![KeyPlace::Authorization], Vec::new()).map(drop),
            Err(KeyError::NoKey)
        );
    }
}
