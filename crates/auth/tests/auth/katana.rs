//! What the settings of the Katana cookie decide, chunks, changing keys, and everything that must not pass.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;
use weir_auth::{
    AspNetCookie, AspNetCookieSettings, Denied, KeyError,
    aspnet::{Decryption, MachineKey, NAME, NAME_IDENTIFIER, ROLE, Ticket, Validation},
};

/// A time of January 2026, the month of the vectors.
pub(crate) fn january(day: &str, time: &str) -> SystemTime {
    let [hours, minutes, seconds] =
        [0, 3, 6].map(|start| time[start..start + 2].parse::<u64>().unwrap());
    let days = day.parse::<u64>().unwrap() - 1;
    UNIX_EPOCH
        + Duration::from_secs(1_767_225_600 + days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

pub(crate) fn headers(cookie: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(cookie).unwrap())])
}

fn key(validation: Validation, byte: &str, decryption_bytes: usize) -> MachineKey {
    let hex = |count: usize| byte.repeat(count).into();
    MachineKey::new(
        validation,
        &hex(64),
        Decryption::Aes,
        &hex(decryption_bytes),
    )
    .unwrap()
}

pub(crate) fn any_key() -> MachineKey {
    key(Validation::HmacSha256, "5a", 32)
}

fn verifier(change: impl FnOnce(&mut AspNetCookieSettings)) -> AspNetCookie {
    let mut settings = AspNetCookieSettings {
        keys: vec![key(Validation::HmacSha256, "5a", 32)],
        ..Default::default()
    };
    change(&mut settings);
    AspNetCookie::new(settings).unwrap()
}

fn start() -> SystemTime {
    january("01", "00:00:00")
}

fn ticket() -> Ticket {
    let ticket = Ticket::new("Cookies", start(), start() + Duration::from_secs(3600));
    ticket
        .with(NAME_IDENTIFIER, "42")
        .with(NAME, "ana")
        .with("urn:tenant", "north")
        .with(ROLE, "user")
        .with(ROLE, "lead")
}

fn line(cookies: &[(String, String)]) -> String {
    cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("; ")
}

#[test]
fn a_minted_cookie_is_accepted_whatever_the_algorithms() {
    for validation in [
        Validation::Sha1,
        Validation::HmacSha256,
        Validation::HmacSha384,
        Validation::HmacSha512,
    ] {
        for decryption_bytes in [16, 24, 32] {
            let verifier =
                verifier(|settings| settings.keys = vec![key(validation, "5a", decryption_bytes)]);
            let minted = verifier.mint(&ticket());
            assert_ne!(minted, verifier.mint(&ticket()), "the vector is random");
            let caller = verifier
                .identify(&headers(&line(&minted)), start())
                .unwrap();
            assert_eq!(caller.user.as_deref(), Some("ana"));
            assert_eq!(caller.roles, ["user", "lead"]);
            assert_eq!(caller.tenant, None);
            assert_eq!(caller.expires, Some(start() + Duration::from_secs(3600)));
        }
    }
}

#[test]
fn a_long_ticket_travels_in_chunks() {
    let verifier = verifier(|_| {});
    // Barely compressible, so that it stays long.
    let mut state = 1u32;
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + (state >> 24) as u8 % 90)
    })
    .take(9000)
    .collect();
    let minted = verifier.mint(&ticket().with("noise", &noise));
    assert!(
        minted.len() > 3 && minted[0].1 == format!("chunks:{}", minted.len() - 1),
        "{:?}",
        minted[0]
    );
    assert!(minted.iter().all(|(_, value)| value.len() < 4000));
    assert_eq!(
        verifier
            .identify(&headers(&line(&minted)), start())
            .unwrap()
            .user
            .as_deref(),
        Some("ana")
    );

    // All through every chunk, and in the number of chunks; one byte of seven, for each costs a whole verification.
    for chunk in 0..minted.len() {
        for index in (0..minted[chunk].1.len()).step_by(7) {
            let mut changed = minted.clone();
            let mut bytes = changed[chunk].1.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            changed[chunk].1 = String::from_utf8(bytes).unwrap();
            let answer = verifier.identify(&headers(&line(&changed)), start());
            assert!(answer.is_err(), "byte {index} of chunk {chunk}");
        }
    }

    let mut swapped = minted.clone();
    let (first, second) = (swapped[1].1.clone(), swapped[2].1.clone());
    (swapped[1].1, swapped[2].1) = (second, first);
    assert_eq!(
        verifier.identify(&headers(&line(&swapped)), start()),
        Err(Denied::BadMac)
    );
    let twice = format!("{}; {}=x", line(&minted), minted[2].0);
    assert_eq!(
        verifier.identify(&headers(&twice), start()),
        Err(Denied::DuplicateCookie)
    );
    for count in [
        "0",
        "-1",
        "+3",
        "3.0",
        "",
        "99999999999999999999",
        "10000",
        "9999",
    ] {
        let mut wrong = minted.clone();
        wrong[0].1 = format!("chunks:{count}");
        assert_eq!(
            verifier.identify(&headers(&line(&wrong)), start()),
            Err(Denied::Malformed),
            "{count}"
        );
    }
}

#[test]
fn keys_rotate() {
    let [old, new] = ["11", "22"].map(|byte| key(Validation::HmacSha256, byte, 32));
    let before = verifier(|settings| settings.keys = vec![old.clone()]);
    let during = verifier(|settings| settings.keys = vec![new.clone(), old.clone()]);
    let after = verifier(|settings| settings.keys = vec![new]);
    let cookie = headers(&line(&before.mint(&ticket())));
    assert!(during.identify(&cookie, start()).is_ok());
    assert_eq!(after.identify(&cookie, start()), Err(Denied::BadMac));
    assert!(
        after
            .identify(&headers(&line(&during.mint(&ticket()))), start())
            .is_ok()
    );
}

#[test]
fn the_settings_decide_how_long_and_who() {
    let end = start() + Duration::from_secs(3600);
    let ask = |verifier: &AspNetCookie, ticket: &Ticket, now| {
        verifier.identify(&headers(&line(&verifier.mint(ticket))), now)
    };

    let lenient = verifier(|settings| settings.leeway = Duration::from_secs(10));
    assert!(ask(&lenient, &ticket(), end + Duration::from_secs(10)).is_ok());
    assert_eq!(
        ask(&lenient, &ticket(), end + Duration::from_secs(11)),
        Err(Denied::Expired)
    );

    let short = verifier(|settings| settings.max_age = Some(Duration::from_secs(60)));
    assert!(ask(&short, &ticket(), start() + Duration::from_secs(60)).is_ok());
    assert_eq!(
        ask(&short, &ticket(), start() + Duration::from_secs(61)),
        Err(Denied::LivesTooLong)
    );

    let mut endless = ticket();
    endless.properties.clear();
    assert_eq!(ask(&short, &endless, start()), Err(Denied::NoExpiry));
    let trusting = verifier(|settings| settings.require_expiry = false);
    assert_eq!(ask(&trusting, &endless, start()).unwrap().expires, None);
    let trusting_for_a_while = verifier(|settings| {
        settings.require_expiry = false;
        settings.max_age = Some(Duration::from_secs(60));
    });
    assert_eq!(
        ask(&trusting_for_a_while, &endless, start()),
        Err(Denied::LivesTooLong)
    );

    let by_id = verifier(|settings| {
        settings.user_claim = Some(NAME_IDENTIFIER.to_owned());
        settings.tenant_claim = Some("urn:tenant".to_owned());
    });
    let caller = ask(&by_id, &ticket(), start()).unwrap();
    assert_eq!(
        (caller.user.as_deref(), caller.tenant.as_deref()),
        (Some("42"), Some("north"))
    );

    let plain = verifier(|_| {});
    let bare = Ticket::new("Cookies", start(), end);
    assert_eq!(ask(&plain, &bare, start()), Err(Denied::MissingClaim));
    assert_eq!(
        ask(&plain, &bare.clone().with(NAME, ""), start()),
        Err(Denied::MissingClaim)
    );
    assert_eq!(
        ask(&plain, &bare.clone().with(NAME, &"a".repeat(513)), start()),
        Err(Denied::TooLong)
    );
    assert_eq!(
        ask(&plain, &bare.clone().with(NAME_IDENTIFIER, "7"), start())
            .unwrap()
            .user
            .as_deref(),
        Some("7")
    );
    let stored = bare
        .with("Microsoft.Owin.Security.Cookies-SessionId", "abc")
        .with(NAME, "ana");
    assert_eq!(ask(&plain, &stored, start()), Err(Denied::ReferenceTicket));
}

#[test]
fn other_cookies_are_named_for_what_they_are() {
    let verifier = verifier(|_| {});
    let ask = |line: &str| verifier.identify(&headers(line), start());
    assert_eq!(
        verifier.identify(&HeaderMap::new(), start()),
        Err(Denied::Missing)
    );
    assert_eq!(ask("a=b"), Err(Denied::Missing));
    assert_eq!(
        ask(".AspNet.Cookies=CfDJ8BEREREzIlVEZneImaq7zN3a"),
        Err(Denied::DataProtection)
    );
    assert_eq!(
        ask(&format!(".AspNet.Cookies={}", "A".repeat(70_000))),
        Err(Denied::TooLong)
    );
    let good = line(&verifier.mint(&ticket()));
    assert_eq!(
        ask(&format!(".AspNet.Cookies=bad; {good}")),
        Err(Denied::DuplicateCookie)
    );
    assert_eq!(
        ask(&format!("{good}; .ASPNET.cookies=bad")),
        Err(Denied::DuplicateCookie)
    );
}

#[test]
fn settings_that_could_not_work_are_refused() {
    let new = |change: fn(&mut AspNetCookieSettings)| {
        let mut settings = AspNetCookieSettings {
            keys: vec![key(Validation::Sha1, "5a", 32)],
            ..Default::default()
        };
        change(&mut settings);
        AspNetCookie::new(settings).map(|_| ()).unwrap_err()
    };
    assert_eq!(new(|settings| settings.keys.clear()), KeyError::NoKey);
    assert_eq!(
        new(|settings| settings.name = "a b".to_owned()),
        KeyError::CookieName
    );
    assert_eq!(
        new(|settings| settings.auth_type.clear()),
        KeyError::AuthenticationType
    );
}

#[test]
fn nothing_secret_is_printed() {
    let shown = format!("{:?}", verifier(|_| {}));
    assert!(
        !shown.contains("5a5a") && !shown.contains("90, 90"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn any_cookie_can_be_tried(text in "[ -~]{0,120}", blob in "[A-Za-z0-9_-]{0,200}") {
        let verifier = verifier(|_| {});
        let cookie = format!(".AspNet.Cookies={blob}");
        prop_assert!(verifier.identify(&headers(&text), start()).is_err());
        prop_assert!(verifier.identify(&headers(&cookie), start()).is_err());
    }
}
