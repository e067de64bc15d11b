//! No session passes that was not minted with the keys, which nobody here has used.
#![no_main]

use std::{sync::LazyLock, time::SystemTime};

use http::{HeaderMap, HeaderValue, header::COOKIE};
use libfuzzer_sys::fuzz_target;
use weir_auth::{
    AspNetCookie, AspNetCookieSettings, Presented, Verifier,
    aspnet::{Decryption, MachineKey, Validation},
};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let key = MachineKey::new(
        Validation::HmacSha256,
        &"5a".repeat(32).into(),
        Decryption::Aes,
        &"0f".repeat(32).into(),
    );
    let settings = AspNetCookieSettings {
        keys: vec![key.expect("a key")],
        ..AspNetCookieSettings::default()
    };
    Verifier::AspNetCookie(AspNetCookie::new(settings).expect("good settings"))
});

fuzz_target!(|cookie: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(cookie) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, value);
    assert!(
        VERIFIER
            .identify(&Presented::of(&headers), SystemTime::UNIX_EPOCH)
            .is_err()
    );
});
