//! The key ring of ASP.NET Core Data Protection: every key that a folder holds, and which of them are revoked. An expired key still
//! opens what it sealed, as in .NET; only a revocation ends it. Reading the folder, and reading it again, is the gateway's work.
//!
//! Source: dotnet/aspnetcore, XmlKeyManager, KeyRingProvider and KeyRingBasedDataProtector.

mod date;
mod error;
mod xml;

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretSlice};

pub(crate) use date::ticks;
pub use error::RingError;

use super::suite::Suite;
use crate::Denied;

/// A key's id, as Guid.ToByteArray gives it.
type Guid = [u8; 16];

const MAGIC: [u8; 4] = [0x09, 0xF0, 0xC9, 0xF0];

/// Every key of a folder.
#[derive(Default)]
pub struct KeyRing {
    keys: HashMap<Guid, Key>,
    /// What new payloads are sealed with: the key that was activated last.
    newest: Option<Guid>,
}

struct Key {
    suite: Suite,
    header: Vec<u8>,
    master: SecretSlice<u8>,
    revoked: bool,
}

impl KeyRing {
    /// From the folder's XML files as `(name, text)`.
    ///
    /// # Errors
    /// The name of the first file that cannot be used (of the folder, `""`, where there is no key at all), and why.
    pub fn read<'f>(
        files: impl IntoIterator<Item = (&'f str, &'f str)>,
    ) -> Result<Self, (String, RingError)> {
        let mut found: HashMap<Guid, xml::Key> = HashMap::new();
        let mut revoked = Vec::new();
        let mut all_revoked = i64::MIN;
        for (name, text) in files {
            match xml::read(text).map_err(|why| (name.to_owned(), why))? {
                xml::File::Key(key) => {
                    if found.insert(key.id, key).is_some() {
                        return Err((name.to_owned(), RingError::Twice));
                    }
                }
                xml::File::Revoked(id) => revoked.push(id),
                xml::File::AllRevoked(before) => all_revoked = all_revoked.max(before),
            }
        }
        if found.is_empty() {
            return Err((String::new(), RingError::Empty));
        }
        // Strictly before: a key made in the answer to a theft is not revoked with the stolen ones.
        let is_revoked = |key: &xml::Key| key.created < all_revoked || revoked.contains(&key.id);
        let newest = found
            .values()
            .filter(|key| !is_revoked(key))
            .max_by_key(|key| (key.activates, key.id))
            .map(|key| key.id);
        let keys = found
            .into_iter()
            .map(|(id, key)| {
                let kept = Key {
                    revoked: is_revoked(&key),
                    header: key.suite.context_header(),
                    suite: key.suite,
                    master: key.master,
                };
                (id, kept)
            })
            .collect();
        Ok(Self { keys, newest })
    }

    /// How many keys there are, revoked ones included.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none: then nothing can be opened.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many of them are revoked.
    pub fn revoked(&self) -> usize {
        self.keys.values().filter(|key| key.revoked).count()
    }

    /// Opens a payload for the first of several purposes that its MAC is of, and says which.
    pub(super) fn open(
        &self,
        payload: &[u8],
        purposes: &[Purpose],
    ) -> Result<(usize, Vec<u8>), Denied> {
        let (magic, rest) = payload.split_first_chunk::<4>().ok_or(Denied::Malformed)?;
        let (id, inner) = rest.split_first_chunk::<16>().ok_or(Denied::Malformed)?;
        // The low nibble is the version, and 0 is the only one there ever was.
        if *magic != MAGIC {
            return Err(Denied::Malformed);
        }
        let key = self.keys.get(id).ok_or(Denied::UnknownKey)?;
        if key.revoked {
            return Err(Denied::RevokedKey);
        }
        let master = key.master.expose_secret();
        for (index, purpose) in purposes.iter().enumerate() {
            if let Some(plain) = key
                .suite
                .open(master, &purpose.aad(id), &key.header, inner)?
            {
                return Ok((index, plain));
            }
        }
        Err(Denied::BadMac)
    }

    /// `None` where every key is revoked.
    pub(super) fn seal(&self, plain: &[u8], purpose: &Purpose) -> Option<Vec<u8>> {
        let id = self.newest?;
        let key = self.keys.get(&id)?;
        let inner = key.suite.seal(
            key.master.expose_secret(),
            &purpose.aad(&id),
            &key.header,
            plain,
        );
        Some([&MAGIC[..], &id, &inner].concat())
    }
}

/// Never the keys.
impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing")
            .field("keys", &self.len())
            .field("revoked", &self.revoked())
            .finish()
    }
}

/// What a payload was sealed for, as .NET's chain of CreateProtector calls.
#[derive(Clone, Debug)]
pub(super) struct Purpose(Vec<u8>);

impl Purpose {
    pub(super) fn new(names: &[&str]) -> Self {
        let count = u32::try_from(names.len()).expect("a handful of purposes");
        let mut bytes = count.to_be_bytes().to_vec();
        for name in names {
            super::wire::write_text(&mut bytes, name);
        }
        Self(bytes)
    }

    fn aad(&self, id: &Guid) -> Vec<u8> {
        [&MAGIC[..], id, &self.0].concat()
    }
}
