//! The pair of algorithms that a Data Protection key names, and how it seals one payload: the keys are derived anew for each, so
//! that no two payloads share one. The MAC is compared before anything is decrypted.
//!
//! Source: dotnet/aspnetcore, CbcAuthenticatedEncryptor and AesGcmAuthenticatedEncryptor.

use aws_lc_rs::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{
        self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
        PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    hmac,
    iv::FixedLength,
};
use secrecy::{ExposeSecret, SecretSlice};

use super::kdf;
use crate::Denied;

const MODIFIER: usize = 16;
const IV: usize = 16;
const NONCE: usize = 12;
const GCM_TAG: usize = 16;

/// How a key of the ring seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    /// AES-CBC with so many key bytes, and this MAC.
    Cbc(usize, hmac::Algorithm),
    /// AES-GCM with so many key bytes.
    Gcm(usize),
}

impl Suite {
    /// Which algorithms these are: part of what every payload's keys are derived from.
    pub(super) fn context_header(self) -> Vec<u8> {
        let be = |number: usize| {
            u32::try_from(number)
                .expect("a size in bytes")
                .to_be_bytes()
        };
        let mut out = Vec::with_capacity(66);
        let keys = self.derive(&[], &[], &[]);
        match self {
            Self::Cbc(size, mac) => {
                let digest = mac.digest_algorithm().output_len();
                out.extend([0, 0]);
                out.extend([size, IV, digest, digest].map(be).concat());
                let (cipher, mac) = cbc_keys(size, mac, &keys);
                let mut empty = Vec::new();
                PaddedBlockEncryptingKey::cbc_pkcs7(cipher)
                    .and_then(|key| {
                        let zero = EncryptionContext::Iv128(FixedLength::from([0; IV]));
                        key.less_safe_encrypt(&mut empty, zero)
                    })
                    .expect("CBC takes every AES key, and a Vec grows");
                out.extend(empty);
                out.extend(hmac::sign(&mac, b"").as_ref());
            }
            Self::Gcm(size) => {
                out.extend([0, 1]);
                out.extend([size, NONCE, IV, GCM_TAG].map(be).concat());
                let nonce = Nonce::assume_unique_for_key([0; NONCE]);
                let tag = gcm_key(size, &keys)
                    .seal_in_place_separate_tag(nonce, Aad::empty(), &mut [])
                    .expect("an empty text can be sealed");
                out.extend(tag.as_ref());
            }
        }
        out
    }

    /// `None` where the MAC is not of these keys, so that other purposes may be tried.
    pub(super) fn open(
        self,
        master: &[u8],
        aad: &[u8],
        header: &[u8],
        inner: &[u8],
    ) -> Result<Option<Vec<u8>>, Denied> {
        let Some((modifier, sealed)) = inner.split_at_checked(MODIFIER) else {
            return Err(Denied::Malformed);
        };
        let keys = self.derive(master, aad, &[header, modifier]);
        match self {
            Self::Cbc(size, mac) => {
                let tag = mac.digest_algorithm().output_len();
                let signed = sealed.len().checked_sub(tag).filter(|signed| *signed > IV);
                let (signed, tag) = sealed.split_at(signed.ok_or(Denied::Malformed)?);
                let (cipher, mac) = cbc_keys(size, mac, &keys);
                if hmac::verify(&mac, signed, tag).is_err() {
                    return Ok(None);
                }
                let (iv, text) = signed.split_first_chunk::<IV>().ok_or(Denied::Malformed)?;
                let mut text = text.to_vec();
                let iv = DecryptionContext::Iv128(FixedLength::from(iv));
                let length = PaddedBlockDecryptingKey::cbc_pkcs7(cipher)
                    .and_then(|key| Ok(key.decrypt(&mut text, iv)?.len()))
                    .map_err(|_| Denied::Malformed)?;
                text.truncate(length);
                Ok(Some(text))
            }
            Self::Gcm(size) => {
                let (nonce, text) = sealed
                    .split_first_chunk::<NONCE>()
                    .filter(|(_, text)| text.len() >= GCM_TAG)
                    .ok_or(Denied::Malformed)?;
                let mut text = text.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let Ok(opened) = gcm_key(size, &keys).open_in_place(nonce, Aad::empty(), &mut text)
                else {
                    return Ok(None);
                };
                let length = opened.len();
                text.truncate(length);
                Ok(Some(text))
            }
        }
    }

    /// Modifier and nonce or IV are random.
    pub(super) fn seal(self, master: &[u8], aad: &[u8], header: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut modifier = [0; MODIFIER];
        aws_lc_rs::rand::fill(&mut modifier).expect("random numbers never end");
        let keys = self.derive(master, aad, &[header, &modifier]);
        let mut out = modifier.to_vec();
        let mut text = plain.to_vec();
        match self {
            Self::Cbc(size, mac) => {
                let (cipher, mac) = cbc_keys(size, mac, &keys);
                let context = PaddedBlockEncryptingKey::cbc_pkcs7(cipher)
                    .and_then(|key| key.encrypt(&mut text))
                    .expect("the padding buffer grows");
                out.extend_from_slice((&context).try_into().expect("CBC has an IV"));
                out.extend(text);
                let tag = hmac::sign(&mac, &out[MODIFIER..]);
                out.extend(tag.as_ref());
            }
            Self::Gcm(size) => {
                let mut nonce = [0; NONCE];
                aws_lc_rs::rand::fill(&mut nonce).expect("random numbers never end");
                out.extend(nonce);
                gcm_key(size, &keys)
                    .seal_in_place_append_tag(
                        Nonce::assume_unique_for_key(nonce),
                        Aad::empty(),
                        &mut text,
                    )
                    .expect("a ticket is short");
                out.extend(text);
            }
        }
        out
    }

    fn derive(self, key: &[u8], label: &[u8], context: &[&[u8]]) -> SecretSlice<u8> {
        let length = match self {
            Self::Cbc(size, mac) => size + mac.digest_algorithm().output_len(),
            Self::Gcm(size) => size,
        };
        kdf::derive(key, label, context, length)
    }
}

fn cbc_keys(
    size: usize,
    mac: hmac::Algorithm,
    keys: &SecretSlice<u8>,
) -> (UnboundCipherKey, hmac::Key) {
    let algorithm = match size {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        _ => &cipher::AES_256,
    };
    let (encryption, validation) = keys.expose_secret().split_at(size);
    let cipher = UnboundCipherKey::new(algorithm, encryption).expect("as long as it must be");
    (cipher, hmac::Key::new(mac, validation))
}

fn gcm_key(size: usize, key: &SecretSlice<u8>) -> LessSafeKey {
    let algorithm = match size {
        16 => &aead::AES_128_GCM,
        24 => &aead::AES_192_GCM,
        _ => &aead::AES_256_GCM,
    };
    let key = UnboundKey::new(algorithm, key.expose_secret()).expect("as long as it must be");
    LessSafeKey::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of .NET's context headers ("the context header of AES-256-CBC + HMACSHA256").
    #[test]
    fn the_context_header_is_microsofts() {
        let header = Suite::Cbc(32, hmac::HMAC_SHA256).context_header();
        let hex: String = header.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(
            hex,
            "000000000020000000100000002000000020\
             EA10387AC9273B7FD5321177776F1530\
             F946D3C71D60DD7B287366D81CB03FE5E5A701FA16F1554F1581FDDD576CE844"
        );
    }

    #[test]
    fn what_every_suite_seals_it_opens_and_nothing_else() {
        for suite in [16, 24, 32].into_iter().flat_map(|size| {
            [
                Suite::Gcm(size),
                Suite::Cbc(size, hmac::HMAC_SHA256),
                Suite::Cbc(size, hmac::HMAC_SHA512),
            ]
        }) {
            let header = suite.context_header();
            let sealed = suite.seal(b"master", b"aad", &header, b"plain");
            assert_eq!(
                suite.open(b"master", b"aad", &header, &sealed),
                Ok(Some(b"plain".to_vec()))
            );
            assert_eq!(suite.open(b"master", b"aae", &header, &sealed), Ok(None));
            for index in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[index] ^= 1;
                assert!(!matches!(
                    suite.open(b"master", b"aad", &header, &changed),
                    Ok(Some(_))
                ));
                assert!(!matches!(
                    suite.open(b"master", b"aad", &header, &sealed[..index]),
                    Ok(Some(_))
                ));
            }
        }
    }
}
