//! No token passes that was not signed with the secret, which nobody here has used.
#![no_main]

use std::{sync::LazyLock, time::SystemTime};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use weir_auth::{Jwt, JwtSettings, TokenSource, Verifier};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let settings = JwtSettings {
        from: vec![TokenSource::AuthorizationHeader],
        secrets: vec!["a secret of the fuzzing, of more than 32 bytes".into()],
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
    assert!(VERIFIER.identify(&headers, SystemTime::UNIX_EPOCH).is_err());
});
