//! Credentials as the deployments' own applications make them: the session cookie of an ASP.NET portal, and JSON web tokens.
//! The cookie comes from weir-auth's own mint, which Microsoft's vectors stand behind; the tokens are put together here, so that
//! a test can sign what no library would.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde_json::Value;
use weir_auth::{
    AspNetCookie, AspNetCookieSettings,
    aspnet::{Decryption, MachineKey, NAME, ROLE, Ticket, Validation},
};

/// The machine key that `cookie` mints with: `validation`, in hexadecimal.
pub const VALIDATION: &str = "5a1d0c9e7b3f486281a7c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f70819";
/// The same: `decryption`, in hexadecimal.
pub const DECRYPTION: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// The secret that `token` signs with.
pub const SECRET: &str = "a-secret-for-tests-of-at-least-32-bytes!";

/// Now, in seconds since 1970, so many seconds later.
///
/// # Panics
/// Before 1970.
#[must_use]
pub fn unix(later: i64) -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    i64::try_from(now.as_secs()).expect("a clock before the year 292 billion") + later
}

/// A `Cookie` header with the session of `user`, good for an hour: `Cookie: .AspNet.Cookies=…`.
#[must_use]
pub fn cookie(user: &str) -> String {
    let now = SystemTime::now();
    session(
        Ticket::new("Cookies", now, now + Duration::from_secs(3600))
            .with(NAME, user)
            .with(ROLE, "staff"),
    )
}

/// The same, its time over.
#[must_use]
pub fn expired_cookie(user: &str) -> String {
    let then = SystemTime::now() - Duration::from_secs(7200);
    session(Ticket::new("Cookies", then, then + Duration::from_secs(3600)).with(NAME, user))
}

/// A `Cookie` header with the session of `user` and a ticket so long that the cookie comes in chunks.
#[must_use]
pub fn long_cookie(user: &str) -> String {
    let now = SystemTime::now();
    let mut ticket = Ticket::new("Cookies", now, now + Duration::from_secs(3600)).with(NAME, user);
    for number in 0..400_u64 {
        // Claims that do not compress: a hash of a number each.
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &number.to_be_bytes());
        ticket = ticket.with(
            &format!("urn:claim:{number}"),
            &URL_SAFE_NO_PAD.encode(digest),
        );
    }
    session(ticket)
}

fn session(ticket: Ticket) -> String {
    let secret = |hex: &str| SecretString::from(hex.to_owned());
    let key = MachineKey::new(
        Validation::default(),
        &secret(VALIDATION),
        Decryption::default(),
        &secret(DECRYPTION),
    )
    .expect("a good machine key");
    let settings = AspNetCookieSettings {
        keys: vec![key],
        ..AspNetCookieSettings::default()
    };
    let minted = AspNetCookie::new(settings)
        .expect("good settings")
        .mint(&ticket);
    let pairs: Vec<_> = minted
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("Cookie: {}", pairs.join("; "))
}

/// A token with these claims, signed by `SECRET` with HS256.
#[must_use]
pub fn token(claims: &Value) -> String {
    signed(
        r#"{"alg":"HS256","typ":"JWT"}"#,
        &claims.to_string(),
        SECRET,
    )
}

/// A token for `user`, good for an hour.
#[must_use]
pub fn token_of(user: &str) -> String {
    token(&serde_json::json!({ "sub": user, "exp": unix(3600) }))
}

/// An `Authorization` header with a token for `user`.
#[must_use]
pub fn bearer(user: &str) -> String {
    format!("Authorization: Bearer {}", token_of(user))
}

/// What a server answers to a WebSocket's key (RFC 6455 section 4.2.2).
#[must_use]
pub fn websocket_accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        text.as_bytes(),
    );
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// A token of exactly these two texts, signed by this secret.
#[must_use]
pub fn signed(header: &str, claims: &str, secret: &str) -> String {
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()))
    )
}
