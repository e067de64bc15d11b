//! Every file of `good/` makes the plan beside it, every file of `bad/` the mistakes beside it, and no secret stands in either.
//! `WEIR_WRITE_SNAPSHOTS=1` writes the snapshots anew; read what changed before keeping it.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use http::Method;
use toml::de::{DeTable, DeValue};
use weir_auth::Require;
use weir_config::{
    Map, Plan,
    plan::{Action, Route},
};
use weir_route::NormalPath;

/// What must never be shown, wherever it came from.
const SECRETS: [&str; 7] = [
    "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2",
    "0ddba110ddba110ddba110ddba110ddba110ddba110ddba110ddba110ddba110",
    "a-token-secret-that-nobody-may-ever-read-in-a-log",
    "a-second-token-secret-that-nobody-may-read",
    "s3cr3t-from-a-file",
    "fake-inline-secret",
    "a-password-of-the-store",
];

const RING: &str = r#"<key id="11111111-2233-4455-6677-8899aabbccdd" version="1"><creationDate>2025-12-01T00:00:00Z</creationDate><activationDate>2025-12-01T00:00:00Z</activationDate><expirationDate>2026-03-01T00:00:00Z</expirationDate><descriptor deserializerType="X.AuthenticatedEncryptorDescriptorDeserializer, X"><descriptor><encryption algorithm="AES_256_CBC"/><validation algorithm="HMACSHA256"/><masterKey><value>pvPS3/oIUjYMiA4khArd8HbHkYONqJweZVwEd+H2h5Cd8dHF6nPaDgpCdwwPUS9OQmBr/0v0PDdpZzojmd6W/w==</value></masterKey></descriptor></descriptor></key>"#;
const SEALED: &str = r#"<key id="11111111-2233-4455-6677-8899aabbccdd" version="1"><descriptor deserializerType="X.AuthenticatedEncryptorDescriptorDeserializer, X"><x:encryptedSecret xmlns:x="y" decryptorType="Microsoft.AspNetCore.DataProtection.XmlEncryption.DpapiXmlDecryptor, X"/></descriptor></key>"#;
/// RFC 7515, A.3.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"rfc","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},{"kty":"RSA","use":"enc"}]}"#;
/// RFC 8410, 10.1.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

fn env() -> Map {
    Map::new()
        .with("VALIDATION_KEY", SECRETS[0])
        .with("DECRYPTION_KEY", SECRETS[1])
        .with("JWT_SECRET", SECRETS[2])
        .with("SHORT_SECRET", "fake-inline-secret")
        .with("REDIS_PASSWORD", SECRETS[6])
        .with(
            "REDIS_URL",
            "redis://:a-password-of-the-store@redis.test:6380/2",
        )
        .with(
            "BAD_REDIS_URL",
            "http://:a-password-of-the-store@redis.test",
        )
        .with("RATE_LIMIT_WINDOW_MS", "60000")
        .with("PORT", "8080")
        .with("SERVER", "agents:8002")
        .with("RETRIES", "3")
        .with("YES", "true")
        .with("EMPTY", "")
        .with_file("good/ring/key-1.xml", RING)
        .with_file("good/keys.json", JWKS)
        .with_file("good/key.pem", PEM)
        .with_file("bad/sealed/key-1.xml", SEALED)
        .with_file("good/old-secret", format!("{}\n", SECRETS[3]))
        .with_file("good/upstream-ca.crt", include_str!("good/upstream-ca.crt"))
        .with_file("bad/cut.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n")
        .with_file("bad/empty.crt", "")
        .with_file("/run/secrets/header", format!("{}\n", SECRETS[4]))
}

#[test]
fn good_files_make_their_plans() {
    each("good", "plan.snap", |file, text| {
        let plan =
            weir_config::parse(file, text, &env()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let debug = format!("{plan:?}");
        for secret in SECRETS {
            assert!(!debug.contains(secret), "{} shows a secret", file.display());
        }
        shown(&plan)
    });
}

#[test]
fn bad_files_make_their_mistakes() {
    each("bad", "errors.snap", |file, text| {
        let mistakes = weir_config::parse(file, text, &env()).expect_err("a mistake");
        assert_eq!(mistakes.iter().count(), mistakes.len());
        for secret in SECRETS {
            assert!(
                !format!("{mistakes} {mistakes:?}").contains(secret),
                "{} shows a secret",
                file.display()
            );
        }
        mistakes.to_string()
    });
}

/// Compares what each file of a folder makes with the snapshot beside it.
fn each(folder: &str, suffix: &str, made: impl Fn(&Path, &str) -> String) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let write = std::env::var_os("WEIR_WRITE_SNAPSHOTS").is_some();
    let mut files: Vec<PathBuf> = fs::read_dir(here.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut differing = String::new();
    for file in files {
        let name = file.strip_prefix(&here).unwrap();
        let made = made(name, &fs::read_to_string(&file).unwrap()) + "\n";
        let snapshot = file.with_extension(suffix);
        if write {
            fs::write(&snapshot, made).unwrap();
        } else if fs::read_to_string(&snapshot).unwrap_or_default() != made {
            writeln!(differing, "{} is now:\n{made}", snapshot.display()).unwrap();
        }
    }
    assert!(differing.is_empty(), "{differing}");
}

/// A plan as people read it. How verifiers and tables look inside is not this crate's business.
fn shown(plan: &Plan) -> String {
    let mut out = format!("service {:?}, workers {:?}\n", plan.service, plan.workers);
    writeln!(
        out,
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        plan.listeners, plan.admin, plan.log, plan.drain, plan.client
    )
    .unwrap();
    writeln!(out, "trusted {:?}, via {}", plan.trusted_proxies, plan.via).unwrap();
    writeln!(out, "hosts {:?}", plan.hosts).unwrap();
    writeln!(out, "audit {:?}, identity {:?}", plan.audit, plan.identity).unwrap();
    writeln!(out, "models {:?}", plan.models).unwrap();
    for upstream in &plan.upstreams {
        writeln!(out, "{upstream:#?}").unwrap();
    }
    for auth in &plan.auth {
        let cookies = auth.verifier.cookie_names();
        writeln!(
            out,
            "auth {:?}: cookies {cookies:?}, login {:?}, origins {:?}",
            auth.name, auth.login, auth.trusted_origins
        )
        .unwrap();
        for live in &auth.live {
            writeln!(out, "    {live:?}").unwrap();
        }
    }
    for store in &plan.stores {
        writeln!(out, "{store:?}").unwrap();
    }
    for limit in &plan.limits {
        writeln!(out, "{limit:?}").unwrap();
    }
    for index in plan.table.order() {
        let route = &plan.routes[index];
        writeln!(
            out,
            "route[{index}] {:?} {}: auth {:?}, limits {:?}, max_body {}, log {}",
            route.name, route.path, route.auth, route.limits, route.max_body, route.log
        )
        .unwrap();
        if route.require != Require::default() {
            writeln!(out, "    {:?}", route.require).unwrap();
        }
        writeln!(out, "    headers {:?}", route.headers).unwrap();
        writeln!(
            out,
            "    compress {:?}, cors {:?}",
            route.compress, route.cors
        )
        .unwrap();
        writeln!(out, "    {}", action(route)).unwrap();
    }
    for warning in &plan.warnings {
        writeln!(out, "warning {warning}").unwrap();
    }
    out.trim_end().to_owned()
}

/// With the rewriting shown on a path that the route takes.
fn action(route: &Route) -> String {
    let path = route.path.replace('*', "x");
    let sample = NormalPath::parse(&path).unwrap();
    match &route.action {
        Action::Proxy {
            upstream,
            rewrite,
            stream,
            timeout,
            authorization,
            cookies,
        } => {
            format!(
                "proxy to upstream {upstream}, {sample:?} -> {:?}, authorization {authorization:?}, cookies {cookies:?}\n    {stream:?}\n    {timeout:?}",
                rewrite.apply(&sample)
            )
        }
        Action::Files {
            root,
            links,
            fallback,
            cache_control,
            rewrite,
        } => {
            format!(
                "files of {root:?}, links {links:?}, {sample:?} -> {:?}, fallback {fallback:?}, cache {cache_control:?}",
                rewrite.apply(&sample)
            )
        }
        Action::Serve { page, allow } => format!("serve {page:?} to {allow:?}"),
    }
}

#[test]
fn what_the_file_says_of_a_verifier_reaches_it() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good/full.toml"))
            .unwrap();
    let plan = weir_config::parse(Path::new("good/full.toml"), &text, &env()).unwrap();
    let said = |name: &str, parts: &[&str]| {
        let auth = plan.auth.iter().find(|auth| auth.name == name).unwrap();
        let verifier = format!("{:?}", auth.verifier);
        for part in parts {
            assert!(verifier.contains(part), "{part} in {verifier}");
        }
    };
    said(
        "session",
        &[
            "name: \".AspNet.Portal\"",
            "auth_type: \"Portal\"",
            "require_expiry: false",
            "max_age: Some(86400s)",
            "leeway: 5s",
            "user_claim: Some(\"urn:user\")",
            "tenant_claim: Some(\"urn:tenant\")",
            "HmacSha512",
        ],
    );
    said(
        "token",
        &[
            "Cookie(\"token\")",
            "Hs256",
            "scopes_claim: Some(\"scope\")",
            "issuer: Some(\"https://issuer.test\")",
            "audience: Some(\"weir\")",
            "leeway: 10s",
            "max_lifetime: Some(3600s)",
            "required: [\"jti\"]",
            "user_claim: \"email\"",
            "roles_claim: Some(\"roles\")",
            "types: [\"at+jwt\"]",
        ],
    );
    assert_eq!(
        plan.table
            .find(
                Some("a.test"),
                &Method::GET,
                &NormalPath::parse("/agents/7/run").unwrap()
            )
            .map(|index| plan.routes[index].name.as_str()),
        Ok("run")
    );
}

#[test]
fn a_file_that_is_not_there_is_a_mistake() {
    let mistakes = weir_config::load(Path::new("nowhere/weir.toml"), &env()).unwrap_err();
    assert!(
        mistakes
            .to_string()
            .starts_with("nowhere/weir.toml: cannot be read: "),
        "{mistakes}"
    );
    assert_eq!(mistakes.iter().next().unwrap().place, None);
}

#[test]
fn no_text_makes_the_reader_panic() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good/full.toml"))
            .unwrap();
    for end in (0..text.len())
        .filter(|&end| text.is_char_boundary(end))
        .step_by(7)
    {
        let _ = weir_config::parse(Path::new("cut.toml"), &text[..end], &env());
        let without = format!(
            "{}{}",
            &text[..end],
            text.get(end + 5..).unwrap_or_default()
        );
        let _ = weir_config::parse(Path::new("hole.toml"), &without, &env());
    }
}

/// The reference would otherwise fall behind in silence.
#[test]
fn every_key_is_documented() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let reference = fs::read_to_string(here.join("../../docs/configuration.md")).unwrap();
    let full = fs::read_to_string(here.join("tests/good/full.toml")).unwrap();
    let mut keys = BTreeSet::new();
    let (root, _) = DeTable::parse_recoverable(&full);
    collect(&DeValue::Table(root.into_inner()), &mut keys);
    // Names and headers are the operator's own words.
    let named = [
        "either",
        "session",
        "token",
        "core",
        "issuer",
        "published",
        "machines",
        "zeta",
        "private",
        "machine",
        "alpha",
        "per_user",
        "smooth",
        "plain",
        "shared",
        "paced",
        "budget",
        "X-Frame-Options",
        "Cache-Control",
        "X-Key",
        "Strict-Transport-Security",
        "app",
    ];
    for key in keys.iter().filter(|key| !named.contains(&key.as_str())) {
        let written = [
            format!("`{key}`"),
            format!(".{key}`"),
            format!("[{key}]"),
            format!("[{key}.NAME]"),
        ];
        assert!(
            written.iter().any(|form| reference.contains(form)),
            "{key} is not in docs/configuration.md"
        );
    }
}

fn collect(value: &DeValue<'_>, keys: &mut BTreeSet<String>) {
    match value {
        DeValue::Table(table) => table.iter().for_each(|(key, value)| {
            keys.insert(key.get_ref().to_string());
            collect(value.get_ref(), keys);
        }),
        DeValue::Array(items) => items.iter().for_each(|item| collect(item.get_ref(), keys)),
        _ => {}
    }
}
