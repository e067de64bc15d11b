//! The Katana cookie against vectors in Microsoft's own format, each with the answer a strict verifier gives.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use http::HeaderMap;
use serde::Deserialize;
use weir_auth::{
    AspNetCookie, AspNetCookieSettings, Caller, Denied, Via,
    aspnet::{MachineKey, ROLE},
};

use crate::katana::{headers, january};

const NAME_OF_COOKIE: &str = ".AspNet.Cookies";

#[derive(Deserialize)]
struct Vectors {
    katana: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    id: String,
    validation: String,
    decryption: String,
    validation_key: String,
    decryption_key: String,
    #[serde(rename = "auth_type")]
    auth_type: String,
    cookies: BTreeMap<String, String>,
    now: String,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    accept: bool,
    why: Option<String>,
    name: Option<String>,
    claims: Option<Vec<[String; 5]>>,
    properties: Option<BTreeMap<String, String>>,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str::<Vectors>(include_str!("../data/katana.json"))
        .unwrap()
        .katana
}

fn vector(id: &str) -> Vector {
    vectors()
        .into_iter()
        .find(|vector| vector.id == id)
        .unwrap()
}

impl Vector {
    fn settings(&self) -> AspNetCookieSettings {
        let key = MachineKey::new(
            self.validation.parse().unwrap(),
            &self.validation_key.as_str().into(),
            self.decryption.parse().unwrap(),
            &self.decryption_key.as_str().into(),
        );
        AspNetCookieSettings {
            auth_type: self.auth_type.clone(),
            keys: vec![key.unwrap()],
            ..Default::default()
        }
    }

    fn headers(&self) -> HeaderMap {
        headers(
            &self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join("; "),
        )
    }

    fn identify(&self) -> Result<Caller, Denied> {
        AspNetCookie::new(self.settings())
            .unwrap()
            .identify(&self.headers(), self.now())
            .map(Arc::unwrap_or_clone)
    }

    /// The vectors write RFC 3339 in whole seconds UTC, all in January 2026.
    fn now(&self) -> SystemTime {
        let time = self
            .now
            .strip_prefix("2026-01-")
            .and_then(|time| time.strip_suffix('Z'))
            .unwrap();
        january(&time[..2], &time[3..])
    }
}

#[test]
fn every_vector_gets_its_answer() {
    for vector in vectors() {
        let expect = &vector.expect;
        let answer = vector.identify();
        assert_eq!(
            answer.is_ok(),
            expect.accept,
            "{}: {answer:?}, {:?}",
            vector.id,
            expect.why
        );
        let Ok(caller) = answer else { continue };
        assert_eq!(caller.via, Via::Cookie);
        if expect.name.is_some() {
            assert_eq!(caller.user, expect.name, "{}", vector.id);
        }
        for [kind, value, ..] in expect.claims.iter().flatten() {
            assert!(
                kind != ROLE || caller.roles.contains(value),
                "{}: {value}",
                vector.id
            );
        }
        if let Some(expires) = expect
            .properties
            .as_ref()
            .and_then(|properties| properties.get(".expires"))
        {
            assert_eq!(
                &httpdate::fmt_http_date(caller.expires.unwrap()),
                expires,
                "{}",
                vector.id
            );
        }
    }
}

#[test]
fn every_refusal_has_its_reason() {
    for (id, reason) in [
        ("expired", Denied::Expired),
        ("tamper-tag", Denied::BadMac),
        ("tamper-body", Denied::BadMac),
        ("truncated", Denied::BadMac),
        ("wrong-keys", Denied::BadMac),
        ("empty", Denied::Malformed),
        ("not-base64url", Denied::Malformed),
        ("no-expires", Denied::NoExpiry),
        ("expires-iso", Denied::NoExpiry),
        ("mac-ok-not-gzip", Denied::Malformed),
        ("ticket-version-2", Denied::TicketVersion),
        ("ticket-truncated", Denied::Malformed),
        ("string-length-huge", Denied::Malformed),
        ("gzip-bomb", Denied::TooLong),
        ("chunk-missing", Denied::Malformed),
        ("chunks-huge-count", Denied::Malformed),
    ] {
        assert_eq!(vector(id).identify(), Err(reason), "{id}");
    }
    assert!(
        vectors()
            .iter()
            .filter(|vector| !vector.expect.accept)
            .count()
            == 16
    );
}

#[test]
fn no_single_changed_byte_of_a_good_cookie_passes() {
    let good = vector("good-before-half");
    let verifier = AspNetCookie::new(good.settings()).unwrap();
    let text = &good.cookies[NAME_OF_COOKIE];
    assert!(
        verifier
            .identify(&headers(&format!("{NAME_OF_COOKIE}={text}")), good.now())
            .is_ok()
    );
    for index in 0..text.len() {
        for other in 0x21..=0x7e {
            let mut changed = text.clone().into_bytes();
            if changed[index] == other {
                continue;
            }
            changed[index] = other;
            let changed = String::from_utf8(changed).unwrap();
            let answer =
                verifier.identify(&headers(&format!("{NAME_OF_COOKIE}={changed}")), good.now());
            assert!(answer.is_err(), "byte {index} as {:?}", char::from(other));
        }
    }
    for end in 0..text.len() {
        assert!(
            verifier
                .identify(
                    &headers(&format!("{NAME_OF_COOKIE}={}", &text[..end])),
                    good.now()
                )
                .is_err(),
            "{end}"
        );
    }
}

#[test]
fn the_purpose_binds_a_cookie_to_its_application() {
    let good = vector("good-before-half");
    let other = AspNetCookieSettings {
        auth_type: "ApplicationCookie".to_owned(),
        ..good.settings()
    };
    let other = AspNetCookie::new(other).unwrap();
    assert_eq!(
        other.identify(&good.headers(), good.now()),
        Err(Denied::BadMac)
    );
}
