//! SP800-108 in counter mode with HMAC-SHA-512, which both generations of ASP.NET derive their keys with. Written out, so that it
//! can be read against SP800_108.cs; aws-lc-rs has the same as `kdf::kbkdf_ctr_hmac`, but refuses the empty key that a context
//! header is made with.

use aws_lc_rs::hmac;
use secrecy::SecretSlice;

/// `length` bytes from a key, a label and a context given in pieces.
pub(super) fn derive(
    key: &[u8],
    label: &[u8],
    context: &[&[u8]],
    length: usize,
) -> SecretSlice<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA512, key);
    let bits = u32::try_from(length * 8).expect("keys are short");
    let mut derived = Vec::with_capacity(length + 64);
    for counter in 1u32.. {
        if derived.len() >= length {
            break;
        }
        let mut block = hmac::Context::with_key(&key);
        block.update(&counter.to_be_bytes());
        block.update(label);
        block.update(&[0]);
        context.iter().for_each(|piece| block.update(piece));
        block.update(&bits.to_be_bytes());
        derived.extend_from_slice(block.sign().as_ref());
    }
    derived.truncate(length);
    derived.into()
}
