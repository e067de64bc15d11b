//! No token passes that was not signed with the secret, which nobody here has used.
#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use weir_auth::{
    Jwt, JwtSettings, Presented, Swapped, TokenSource, Verifier,
    jwt::{Algorithm, KeySet},
};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let secret = ["a secret of the fuzzing, of more than 32 bytes".into()];
    let keys = KeySet::secrets(&secret, Algorithm::Hs256).expect("a good secret");
    let settings = JwtSettings {
        from: vec![TokenSource::AuthorizationHeader],
        keys: Arc::new(Swapped::new(keys)),
        ..JwtSettings::default()
    };
    Verifier::Jwt(Jwt::new(settings).expect("good settings"))
});

fuzz_target!(|token: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", token].concat()) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value);
    assert!(
        VERIFIER
            .identify(&Presented::of(&headers), SystemTime::UNIX_EPOCH)
            .is_err()
    );
});
