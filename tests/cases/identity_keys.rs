//! Keys that change while weir runs: the rings of ASP.NET Core in a folder, and the key sets that issuers publish.

use std::{fs, path::Path, sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};
use weir_testkit::{
    Upstream,
    client::ask,
    eventually, mint,
    tls::{Authority, Leaf, front},
};

use crate::stage::{route, upstream, weir};

/// An issuer with one key.
struct Issuer {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { id, pair }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "x": B64.encode(x), "y": B64.encode(y) })
    }

    fn bearer(&self, user: &str) -> String {
        let header = json!({ "alg": "ES256", "kid": self.id });
        let claims = json!({ "sub": user, "exp": mint::unix(60), "scope": "chat read" });
        let text = format!(
            "{}.{}",
            B64.encode(header.to_string()),
            B64.encode(claims.to_string())
        );
        let signature = self
            .pair
            .sign(&SystemRandom::new(), text.as_bytes())
            .expect("signed");
        format!(
            "Authorization: Bearer {text}.{}",
            B64.encode(signature.as_ref())
        )
    }
}

/// Serves the set that stands in the cell, answers nothing while that is null, and counts nothing: the upstream itself knows its requests.
async fn publisher(set: Arc<std::sync::Mutex<Value>>) -> Upstream {
    Upstream::scripted(move |exchange| {
        let body = set.lock().expect("no panic").to_string();
        async move {
            if body == "null" {
                return;
            }
            exchange
                .send(&format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                ))
                .await;
        }
    })
    .await
}

async fn status(weir: &weir_testkit::Weir, line: &str) -> u16 {
    ask(weir.address(), "GET", "/", &[line]).await.status()
}

#[tokio::test]
async fn an_issuers_new_key_is_fetched_when_it_is_first_seen() {
    let (old, new, strange) = (
        Issuer::new("old"),
        Issuer::new("new"),
        Issuer::new("strange"),
    );
    let set = Arc::new(std::sync::Mutex::new(json!({ "keys": [old.jwk()] })));
    let keys = publisher(Arc::clone(&set)).await;
    let up = Upstream::saying("hello").await;
    let config = format!(
        "[auth.issuer]\ntype = \"jwt\"\njwks_url = \"http://{}/keys\"\n\n[audit]\nto = \"audit.log\"\n\n{}{}",
        keys.address(),
        upstream("up", up.address(), ""),
        route(
            "all",
            "/*",
            "to = \"up\"\nauth = \"issuer\"\nrequire = { scope = [\"chat\", \"read\"] }"
        ),
    );
    let weir = weir().start(&config).await;
    // The first set may still be on its way: a request waits for it.
    assert_eq!(status(&weir, &old.bearer("ana")).await, 200);
    assert_eq!(status(&weir, &new.bearer("ana")).await, 401);
    let asked = keys.requests().len();
    // That was the one fetch of this minute; a flood of unknown keys brings no other.
    *set.lock().expect("no panic") = json!({ "keys": [new.jwk()] });
    for _ in 0..50 {
        assert_eq!(status(&weir, &strange.bearer("eve")).await, 401);
    }
    assert_eq!(keys.requests().len(), asked);
    assert_eq!(asked, 2, "at the start, and for the first unknown key");
    // The token that weir has verified goes no further.
    assert!(
        up.requests()
            .iter()
            .all(|head| head.header("authorization").is_none())
    );
    let audit = audit(weir.folder());
    assert!(
        audit.iter().any(|line| line["event"] == "keys_changed"),
        "{audit:?}"
    );
    assert!(
        audit
            .iter()
            .any(|line| line["reason"] == "unknown_key" && line["status"] == 401)
    );
    assert!(
        !fs::read_to_string(weir.folder().join("audit.log"))
            .expect("the log")
            .contains("eyJ")
    );
}

/// By TLS, with an authority of its own, as issuers inside a company have it; and what an operator sees of it.
#[tokio::test]
async fn an_issuer_behind_a_private_authority() {
    let authority = Authority::new("private");
    let issuer = Issuer::new("one");
    let set = Arc::new(std::sync::Mutex::new(json!({ "keys": [issuer.jwk()] })));
    let keys = publisher(Arc::clone(&set)).await;
    let address = front(
        &authority.sign(Leaf::server(&["127.0.0.1"])),
        keys.address(),
    )
    .await;
    let up = Upstream::saying("hello").await;
    let table = |name: &str, more: &str| {
        format!(
            "[auth.{name}]\ntype = \"jwt\"\njwks_url = \"https://{address}/keys?code=hidden\"\njwks_refresh = \"1s\"\n{more}\n\n"
        ) + &route(
            name,
            &format!("/{name}"),
            &format!("to = \"up\"\nauth = \"{name}\""),
        )
    };
    let config = format!(
        "[audit]\nto = \"audit.log\"\n\n[log]\nto = \"FOLDER/access.log\"\nlevel = \"debug\"\n\n{}{}{}",
        upstream("up", up.address(), ""),
        table("private", "jwks_ca = \"ca.crt\""),
        table("system", ""),
    );
    let weir = weir().file("ca.crt", authority.pem()).start(&config).await;
    let ask = async |path: &str| {
        let bearer = issuer.bearer("ana");
        ask(weir.address(), "GET", path, &[&bearer]).await.status()
    };
    assert_eq!(ask("/private").await, 200);
    assert_eq!(
        ask("/system").await,
        401,
        "nobody there knows this authority"
    );
    assert_eq!(
        keys.requests()[0].target(),
        "/keys?code=hidden",
        "as the file says"
    );
    let private = [("auth", "private")];
    let metrics = weir.wait_metric("weir_issuer_keys", &private, 1.0).await;
    let fetched = "weir_issuer_keys_fetched_timestamp_seconds";
    assert!(metrics.value(fetched, &private) > 1_700_000_000.0);
    assert_eq!(metrics.value(fetched, &[("auth", "system")]), 0.0);
    assert_eq!(
        metrics.value("weir_issuer_keys", &[("auth", "system")]),
        0.0
    );
    let failed = [("auth", "system"), ("result", "failed")];
    assert!(metrics.value("weir_key_fetches_total", &failed) >= 1.0);
    // An answer that is no set leaves the keys as they were.
    *set.lock().expect("no panic") = json!("nonsense");
    let failed = [("auth", "private"), ("result", "failed")];
    eventually("a fetch that failed", async || {
        let failed = weir
            .metrics()
            .await
            .value("weir_key_fetches_total", &failed);
        (failed >= 1.0).then_some(())
    })
    .await;
    assert_eq!(ask("/private").await, 200);
    let written = weir.stderr() + &fs::read_to_string(weir.folder().join("audit.log")).expect("it");
    assert!(
        written.contains("keys_failed") && !written.contains("hidden"),
        "{written}"
    );
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_refuses_its_tokens_and_nothing_else() {
    let issuer = Issuer::new("one");
    let nobody = weir_testkit::upstream::Nobody::here();
    let up = Upstream::saying("hello").await;
    let config = format!(
        "[auth.issuer]\ntype = \"jwt\"\njwks_url = \"http://{}/keys\"\n\n{}{}{}",
        nobody.address(),
        upstream("up", up.address(), ""),
        route("all", "/*", "to = \"up\"\nauth = \"issuer\""),
        route("public", "/public", "to = \"up\""),
    );
    let weir = weir().start(&config).await;
    assert_eq!(status(&weir, &issuer.bearer("ana")).await, 401);
    assert_eq!(
        ask(weir.address(), "GET", "/public", &[]).await.status(),
        200
    );
}

/// While an issuer does not answer its last keys are good, for `jwks_stale` and no longer; when it is back, so are they.
#[tokio::test]
async fn an_issuer_that_dies_is_believed_for_a_while() {
    let issuer = Issuer::new("one");
    let alive = json!({ "keys": [issuer.jwk()] });
    let set = Arc::new(std::sync::Mutex::new(alive.clone()));
    let keys = publisher(Arc::clone(&set)).await;
    let up = Upstream::saying("hello").await;
    let config = format!(
        "[auth.issuer]\ntype = \"jwt\"\njwks_url = \"http://{}/keys\"\njwks_refresh = \"1s\"\njwks_stale = \"4s\"\n\n\
         [audit]\nto = \"audit.log\"\n\n{}{}",
        keys.address(),
        upstream("up", up.address(), ""),
        route("all", "/*", "to = \"up\"\nauth = \"issuer\""),
    );
    let weir = weir().start(&config).await;
    assert_eq!(status(&weir, &issuer.bearer("ana")).await, 200);
    let auth = ("auth", "issuer");
    let now_has = async |count| weir.wait_metric("weir_issuer_keys", &[auth], count).await;
    now_has(1.0).await;
    *set.lock().expect("no panic") = Value::Null;
    let failed = [auth, ("result", "failed")];
    weir.wait_metric("weir_key_fetches_total", &failed, 1.0)
        .await;
    // A token that was never seen, so that no memory of it can answer.
    assert_eq!(status(&weir, &issuer.bearer("bob")).await, 200);
    now_has(0.0).await;
    for user in ["bob", "eve"] {
        assert_eq!(status(&weir, &issuer.bearer(user)).await, 401, "{user}");
    }
    let told = |event: &str| {
        let lines = audit(weir.folder());
        lines.iter().filter(|line| line["event"] == event).count()
    };
    assert_eq!((told("keys_failed"), told("keys_too_old")), (1, 1));
    let unknown = [("route", "all"), ("reason", "unknown_key")];
    weir.wait_metric("weir_refusals_total", &unknown, 2.0).await;
    *set.lock().expect("no panic") = alive;
    now_has(1.0).await;
    assert_eq!(status(&weir, &issuer.bearer("eve")).await, 200);
}

/// A key and a session of the vectors that Microsoft's format is tested with.
fn vector(id: &str) -> Value {
    let text = include_str!("../../crates/auth/tests/data/aspnetcore.json");
    let all: Value = serde_json::from_str(text).expect("JSON");
    let vectors = all["aspnetcore"].as_array().expect("vectors").iter();
    vectors
        .clone()
        .find(|one| one["id"] == id)
        .expect("the vector")
        .clone()
}

#[tokio::test]
async fn a_revocation_in_the_folder_counts_within_seconds() {
    let key = vector("good")["key_ring"][0]
        .as_str()
        .expect("XML")
        .to_owned();
    let (first, second) = (key.clone(), key.replace("11111111", "33333333"));
    let up = Upstream::saying("hello").await;
    let run = weir().file("ring/key-1.xml", &first);
    let cookie = session(&first);
    let later = session(&second);
    let config = format!(
        "[audit]\nto = \"audit.log\"\n\n[auth.core]\ntype = \"aspnet-cookie\"\nname = \".AspNetCore.Cookies\"\nkey_ring = \"ring\"\n\n{}{}",
        upstream("up", up.address(), ""),
        route("all", "/*", "to = \"up\"\nauth = \"core\""),
    );
    let weir = run.start(&config).await;
    assert_eq!(status(&weir, &cookie).await, 200);
    assert_eq!(status(&weir, &later).await, 401);
    let ring = weir.folder().join("ring");
    fs::write(ring.join("key-2.xml"), &second).expect("written");
    eventually("the new key", async || {
        (status(&weir, &later).await == 200).then_some(())
    })
    .await;
    // What is no key leaves the ring as it was.
    fs::write(ring.join("key-3.xml"), "half a f").expect("written");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(status(&weir, &cookie).await, 200);
    fs::remove_file(ring.join("key-3.xml")).expect("removed");
    let revoked = vector("key-revoked")["key_ring"][2]
        .as_str()
        .map(str::to_owned);
    let revoked = revoked.unwrap_or_else(|| {
        vector("key-revoked")["key_ring"][1]
            .as_str()
            .expect("XML")
            .to_owned()
    });
    fs::write(ring.join("revocation-1.xml"), revoked).expect("written");
    eventually("the revocation", async || {
        (status(&weir, &cookie).await == 401).then_some(())
    })
    .await;
    assert_eq!(status(&weir, &later).await, 200);
    let audit = audit(weir.folder());
    for event in ["keys_changed", "keys_failed"] {
        assert!(
            audit.iter().any(|line| line["event"] == event),
            "{event}: {audit:?}"
        );
    }
}

fn session(key: &str) -> String {
    use weir_auth::{
        AspNetCookie, AspNetCookieSettings, Swapped,
        aspnet::{KeyRing, NAME, Protection, Ticket},
    };
    let ring = KeyRing::read([("key", key)]).expect("a ring");
    let settings = AspNetCookieSettings {
        name: ".AspNetCore.Cookies".to_owned(),
        protection: Some(Protection {
            ring: Arc::new(Swapped::new(ring)),
            discriminators: Vec::new(),
        }),
        ..AspNetCookieSettings::default()
    };
    let now = std::time::SystemTime::now();
    let ticket = Ticket::new("Cookies", now, now + Duration::from_secs(3600)).with(NAME, "ana");
    let minted = AspNetCookie::new(settings)
        .expect("good settings")
        .mint(&ticket);
    format!("Cookie: {}={}", minted[0].0, minted[0].1)
}

/// What the audit log says so far; the last line may still be on its way, so the caller asks for what was long ago.
fn audit(folder: &Path) -> Vec<Value> {
    std::thread::sleep(Duration::from_millis(200));
    let text = fs::read_to_string(folder.join("audit.log")).expect("the audit log");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
