//! The sealed bytes of a cookie, as System.Web's MachineKey.Protect makes them: IV ‖ AES-CBC(gzip) ‖ HMAC. The MAC is
//! compared, in constant time, before anything is decrypted, so the padding answers no questions.

use aws_lc_rs::{
    cipher::{
        AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey,
        PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    hmac,
    iv::FixedLength,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretSlice};

use super::{kdf, machine_key::MachineKey};
use crate::Denied;

const IV: usize = 16;
const BLOCK: usize = 16;

/// The most text that a cookie, joined from its chunks, may have. Browsers stop at 4 KiB a cookie, servers at some 32 KiB
/// of headers.
pub(super) const MAX_TEXT: usize = 64 * 1024;

/// Both keys of one machine key, derived for one cookie.
pub(super) struct Envelope {
    mac: hmac::Key,
    encrypting: PaddedBlockEncryptingKey,
    decrypting: PaddedBlockDecryptingKey,
}

impl Envelope {
    pub(super) fn new(key: &MachineKey, auth_type: &str) -> Self {
        let purposes = [
            "Microsoft.Owin.Security.Cookies.CookieAuthenticationMiddleware",
            auth_type,
            "v1",
        ];
        let context: Vec<u8> = purposes
            .iter()
            .flat_map(|purpose| super::wire::prefixed(purpose))
            .collect();
        // As many bytes out as in.
        let derive = |master: &SecretSlice<u8>| {
            let master = master.expose_secret();
            kdf::derive(
                master,
                b"User.MachineKey.Protect",
                &[&context],
                master.len(),
            )
        };
        let encryption = derive(&key.decryption_key);
        let cipher = || {
            let algorithm = match encryption.expose_secret().len() {
                16 => &AES_128,
                24 => &AES_192,
                _ => &AES_256,
            };
            UnboundCipherKey::new(algorithm, encryption.expose_secret())
                .expect("MachineKey has checked the length")
        };
        Self {
            mac: hmac::Key::new(
                key.validation.hmac(),
                derive(&key.validation_key).expose_secret(),
            ),
            encrypting: PaddedBlockEncryptingKey::cbc_pkcs7(cipher())
                .expect("CBC takes every AES key"),
            decrypting: PaddedBlockDecryptingKey::cbc_pkcs7(cipher())
                .expect("CBC takes every AES key"),
        }
    }

    /// `None` where the MAC is not ours, so that another key may be tried.
    pub(super) fn open(&self, blob: &[u8]) -> Result<Option<Vec<u8>>, Denied> {
        let tag = self.mac.algorithm().digest_algorithm().output_len();
        let Some(signed) = blob.len().checked_sub(tag).filter(|signed| *signed > IV) else {
            return Ok(None);
        };
        let (signed, tag) = blob.split_at(signed);
        if hmac::verify(&self.mac, signed, tag).is_err() {
            return Ok(None);
        }
        let (iv, sealed) = signed.split_first_chunk::<IV>().ok_or(Denied::Malformed)?;
        let mut sealed = sealed.to_vec();
        let iv = DecryptionContext::Iv128(FixedLength::from(iv));
        let plain = self
            .decrypting
            .decrypt(&mut sealed, iv)
            .map_err(|_| Denied::Malformed)?
            .len();
        sealed.truncate(plain);
        Ok(Some(sealed))
    }

    /// The text of a cookie that holds `plain`.
    pub(super) fn seal(&self, plain: &[u8]) -> String {
        let mut sealed = plain.to_vec();
        let context = self
            .encrypting
            .encrypt(&mut sealed)
            .expect("the padding buffer grows, and random numbers never end");
        let iv: &[u8] = (&context).try_into().expect("CBC has an IV");
        let mut blob = Vec::with_capacity(
            IV + sealed.len() + BLOCK + self.mac.algorithm().digest_algorithm().output_len(),
        );
        blob.extend_from_slice(iv);
        blob.extend_from_slice(&sealed);
        let tag = hmac::sign(&self.mac, &blob);
        blob.extend_from_slice(tag.as_ref());
        BASE64_URL_SAFE_NO_PAD.encode(blob)
    }
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope").finish_non_exhaustive()
    }
}

/// Whether a text is a Data Protection payload (09 F0 C9 F0) rather than one of the machine key.
pub(super) fn is_protected(text: &str) -> bool {
    text.starts_with("CfDJ8")
}

/// The bytes of a cookie's text. .NET also takes `+`, `/` and `=`; nobody writes them, and one form less is one way less
/// to say the same session twice.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, Denied> {
    match text.len() {
        0 => return Err(Denied::Malformed),
        MAX_TEXT.. => return Err(Denied::TooLong),
        _ => {}
    }
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Denied::Malformed)
}
