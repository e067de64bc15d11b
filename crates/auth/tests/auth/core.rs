//! The cookie of ASP.NET Core against vectors in Microsoft's own format, its key rings, and everything that must not pass.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use serde::Deserialize;
use weir_auth::{
    AspNetCookie, AspNetCookieSettings, Caller, Denied, Swapped,
    aspnet::{KeyRing, NAME, Protection, RingError, Ticket},
};

use crate::katana::{headers, january};

#[derive(Deserialize)]
struct Vectors {
    aspnetcore: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    key_ring: Vec<String>,
    scheme: String,
    discriminator: Option<String>,
    cookies: BTreeMap<String, String>,
    now: String,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    accept: bool,
    name: Option<String>,
    properties: Option<BTreeMap<String, String>>,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str::<Vectors>(include_str!("../data/aspnetcore.json"))
        .unwrap()
        .aspnetcore
}

fn vector(id: &str) -> Vector {
    let mut vectors = vectors().into_iter();
    vectors.find(|vector| vector.id == id).unwrap()
}

fn ring(files: &[String]) -> Result<KeyRing, (String, RingError)> {
    KeyRing::read(files.iter().map(|file| ("key.xml", file.as_str())))
}

impl Vector {
    fn verifier(&self, change: impl FnOnce(&mut Protection)) -> AspNetCookie {
        let mut protection = Protection {
            ring: Arc::new(Swapped::new(ring(&self.key_ring).unwrap())),
            discriminators: self.discriminator.iter().cloned().collect(),
        };
        change(&mut protection);
        // The base name, without its chunks.
        let name = self.cookies.keys().min_by_key(|name| name.len()).unwrap();
        AspNetCookie::new(AspNetCookieSettings {
            name: name.clone(),
            auth_type: self.scheme.clone(),
            protection: Some(protection),
            ..Default::default()
        })
        .unwrap()
    }

    fn headers(&self) -> HeaderMap {
        let pairs = self.cookies.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        headers(&pairs.join("; "))
    }

    fn now(&self) -> SystemTime {
        let time = self.now.strip_prefix("2026-01-").unwrap();
        january(&time[..2], &time[3..11])
    }

    fn identify(&self) -> Result<Caller, Denied> {
        let caller = self.verifier(|_| {}).identify(&self.headers(), self.now());
        caller.map(Arc::unwrap_or_clone)
    }
}

#[test]
fn every_vector_gets_its_answer() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 18);
    for vector in vectors {
        let answer = vector.identify();
        assert_eq!(
            answer.is_ok(),
            vector.expect.accept,
            "{}: {answer:?}",
            vector.id
        );
        let Ok(caller) = answer else { continue };
        assert!(
            vector.expect.name.is_none() || caller.user == vector.expect.name,
            "{}",
            vector.id
        );
        let properties = vector.expect.properties.iter().flatten();
        for (_, expires) in properties.filter(|(key, _)| *key == ".expires") {
            assert_eq!(&httpdate::fmt_http_date(caller.expires.unwrap()), expires);
        }
    }
}

#[test]
fn every_refusal_has_its_reason() {
    for (id, reason) in [
        ("expired", Denied::Expired),
        ("key-revoked", Denied::RevokedKey),
        ("key-unknown", Denied::UnknownKey),
        ("discriminator-trailing-slash", Denied::BadMac),
        ("wrong-scheme", Denied::BadMac),
        ("bad-magic", Denied::Malformed),
        ("payload-version-1", Denied::Malformed),
        ("tamper-body", Denied::BadMac),
        ("too-short", Denied::Malformed),
        ("ticket-version-3", Denied::TicketVersion),
        ("reference-ticket", Denied::ReferenceTicket),
        ("chunk-missing", Denied::Malformed),
    ] {
        assert_eq!(vector(id).identify(), Err(reason), "{id}");
    }
}

#[test]
fn no_single_changed_byte_of_a_good_cookie_passes() {
    for id in ["good", "gcm"] {
        let good = vector(id);
        let verifier = good.verifier(|_| {});
        let text = &good.cookies[".AspNetCore.Cookies"];
        let ask = |text: &str| {
            verifier.identify(&headers(&format!(".AspNetCore.Cookies={text}")), good.now())
        };
        assert!(ask(text).is_ok());
        for index in 0..text.len() {
            for other in [
                b'A',
                b'_',
                b'-',
                b'0',
                b'z',
                b'.',
                text.as_bytes()[index] ^ 1,
            ] {
                let mut changed = text.clone().into_bytes();
                // A control byte or separator is no cookie any more.
                if changed[index] == other || !other.is_ascii_alphanumeric() && other != b'_' {
                    continue;
                }
                changed[index] = other;
                let changed = String::from_utf8(changed).unwrap();
                assert!(ask(&changed).is_err(), "{id}: byte {index}");
            }
            assert!(ask(&text[..index]).is_err(), "{id}: cut at {index}");
        }
        // Found good before, and still only this one is.
        assert!(ask(text).is_ok());
    }
}

#[test]
fn several_discriminators_are_tried() {
    let slashed = vector("discriminator-trailing-slash");
    let names = || vec!["/srv/app/".to_owned(), "/srv/app".to_owned()];
    let verifier = slashed.verifier(|protection| protection.discriminators = names());
    assert!(verifier.identify(&slashed.headers(), slashed.now()).is_ok());
}

#[test]
fn a_new_ring_counts_at_once() {
    let good = vector("good");
    let revoked = vector("key-revoked");
    let verifier = good.verifier(|_| {});
    let ask = |headers: &HeaderMap| verifier.identify(headers, good.now());
    assert!(ask(&good.headers()).is_ok());
    let shared = &verifier.protection().unwrap().ring;
    shared.replace(ring(&revoked.key_ring).unwrap());
    assert_eq!(
        ask(&good.headers()),
        Err(Denied::RevokedKey),
        "though it was found good before"
    );
    shared.replace(ring(&good.key_ring).unwrap());
    assert!(ask(&good.headers()).is_ok());
}

#[test]
fn a_minted_cookie_is_accepted_whatever_its_name() {
    let good = vector("good");
    for name in [
        ".AspNetCore.Cookies",
        ".AspNet.ApplicationCookie",
        "session",
    ] {
        let verifier = AspNetCookie::new(AspNetCookieSettings {
            name: name.to_owned(),
            protection: Some(Protection {
                ring: Arc::new(Swapped::new(ring(&good.key_ring).unwrap())),
                discriminators: vec!["app".to_owned()],
            }),
            ..Default::default()
        })
        .unwrap();
        for length in [1, 9000] {
            let ticket = Ticket::new("Cookies", good.now(), good.now() + Duration::from_secs(60))
                .with(NAME, "ana")
                .with("long", &"x".repeat(length));
            let minted = verifier.mint(&ticket);
            assert_eq!(minted[0].1.starts_with("chunks-"), length > 1);
            let line: Vec<_> = minted
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let caller = verifier
                .identify(&headers(&line.join("; ")), good.now())
                .unwrap();
            assert_eq!(caller.user.as_deref(), Some("ana"));
            // All through every chunk, and in the number of chunks; one byte of seven, for each costs a whole verification.
            for (chunk, index) in (0..minted.len()).flat_map(|chunk| {
                (0..minted[chunk].1.len())
                    .step_by(7)
                    .map(move |index| (chunk, index))
            }) {
                let mut changed = minted.clone();
                let mut bytes = changed[chunk].1.clone().into_bytes();
                bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
                changed[chunk].1 = String::from_utf8(bytes).unwrap();
                let line: Vec<_> = changed
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                let answer = verifier.identify(&headers(&line.join("; ")), good.now());
                assert!(answer.is_err(), "{name}: byte {index} of chunk {chunk}");
            }
        }
    }
}

#[test]
fn what_cannot_be_verified_is_named() {
    let key = vector("good").key_ring.remove(0);
    let ring = |files: &[&str]| {
        KeyRing::read(files.iter().map(|file| ("file.xml", *file)))
            .map(|ring| (ring.len(), ring.revoked()))
    };
    let why = |file: &str| ring(&[file]).map_err(|(_, why)| why);
    assert_eq!(ring(&[&key]), Ok((1, 0)));
    assert_eq!(
        ring(&[&key, &key]),
        Err(("file.xml".to_owned(), RingError::Twice))
    );
    assert_eq!(ring(&[]), Err((String::new(), RingError::Empty)));
    let sealed = |decryptor: &str| {
        let (start, end) = (
            key.find("<descriptor>").unwrap(),
            key.rfind("</descriptor>").unwrap(),
        );
        format!(
            "{}<e:encryptedSecret xmlns:e=\"http://schemas.asp.net/2015/03/dataProtection\" decryptorType=\"Microsoft.AspNetCore.DataProtection.{decryptor}, X\"/>{}",
            &key[..start],
            &key[end..]
        )
    };
    for (decryptor, named) in [
        ("XmlEncryption.DpapiXmlDecryptor", "DPAPI"),
        ("XmlEncryption.DpapiNGXmlDecryptor", "DPAPI-NG"),
        ("XmlEncryption.EncryptedXmlDecryptor", "certificate"),
        ("AzureKeyVault.AzureKeyVaultXmlDecryptor", "Key Vault"),
        ("Elsewhere.Decryptor", "another"),
    ] {
        let why = why(&sealed(decryptor)).unwrap_err();
        assert!(why.to_string().contains(named), "{why}");
    }
    for (from, to, expected) in [
        ("AES_256_CBC", "AES_257_CBC", RingError::Algorithm),
        ("AES_256_CBC", "AES_256_CTR", RingError::Algorithm),
        ("AES_256_CBC", "é", RingError::Algorithm),
        ("HMACSHA256", "MD5", RingError::Algorithm),
        (
            "AuthenticatedEncryptorDescriptorDeserializer",
            "CngCbc",
            RingError::Algorithm,
        ),
        ("11111111-2233", "1111111-2233", RingError::Element("key")),
        ("pvPS3", "!", RingError::Element("masterKey")),
        (
            "2025-12-01T00:00:00.1",
            "yesterday",
            RingError::Element("creationDate"),
        ),
        ("<key ", "<lock ", RingError::Xml),
        ("?>", "?><!DOCTYPE key [<!ENTITY a \"b\">]>", RingError::Xml),
    ] {
        assert_eq!(why(&key.replace(from, to)), Err(expected), "{to}");
    }
    assert_eq!(why("<revocation/>"), Err(RingError::Element("key")));
    assert_eq!(why("<other/>"), Err(RingError::Shape));
}

#[test]
fn a_revocation_of_all_ends_what_was_made_before() {
    let key = vector("good").key_ring.remove(0);
    let all = |date: &str| {
        let text = format!(
            "<revocation version=\"1\"><revocationDate>{date}</revocationDate><key id=\"*\"/></revocation>"
        );
        KeyRing::read([("a", key.as_str()), ("b", text.as_str())]).map(|ring| ring.revoked())
    };
    assert_eq!(
        all("2025-12-01T00:00:00.1234567Z"),
        Ok(0),
        "not strictly before"
    );
    assert_eq!(all("2025-12-01T00:00:00.1234568Z"), Ok(1));
    assert_eq!(
        all("never"),
        Err(("b".to_owned(), RingError::Element("revocationDate")))
    );
}

#[test]
fn without_a_ring_the_payload_is_named() {
    let good = vector("good");
    let katana = AspNetCookie::new(AspNetCookieSettings {
        name: ".AspNetCore.Cookies".to_owned(),
        keys: vec![crate::katana::any_key()],
        ..Default::default()
    })
    .unwrap();
    assert_eq!(
        katana.identify(&good.headers(), good.now()),
        Err(Denied::DataProtection)
    );
}
