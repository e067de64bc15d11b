//! The audit log, and a hunt for secrets: whatever a caller presents and whatever the file holds, nothing that weir writes or shows has a
//! credential in it.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use weir_testkit::{
    Client, H2, Upstream,
    client::ask,
    eventually,
    mint::{self, DECRYPTION, SECRET, VALIDATION},
};

use crate::stage::{route, upstream, weir};

/// All audit lines, of rolled files too.
fn audit(folder: &Path) -> String {
    let files = fs::read_dir(folder).expect("the folder");
    let named = files.map(|file| file.expect("a file").path());
    let mut audits: Vec<_> = named
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("audit"))
        })
        .collect();
    audits.sort();
    audits
        .iter()
        .map(|path| fs::read_to_string(path).expect("a log"))
        .collect()
}

fn events(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[tokio::test]
async fn what_happened_to_whom_is_written_down_and_no_credential() {
    let run = weir();
    let made = run.command(&["key", "new", "ci", "--role", "deploy"]);
    let text = String::from_utf8(made.stdout).expect("text");
    let (key, entry) = text.trim().split_once('\n').expect("two lines");
    let up = Upstream::saying("hello").await;
    let config = |more: &str| {
        format!(
            "[audit]\nto = \"audit.log\"\nroll_at = 4096\nkeep = 50\n\n[log]\nto = \"FOLDER/access.log\"\nlevel = \"trace\"\n\n\
             [identity]\nsecret = \"${{env:SIGNING}}\"\n\n[auth.machines]\ntype = \"api-key\"\nfrom = [\"authorization\", \"header:x-api-key\"]\nkeys = [{entry}]\n\n\
             [auth.portal]\ntype = \"aspnet-cookie\"\nmachine_key = {{ validation = \"{VALIDATION}\", decryption = \"{DECRYPTION}\" }}\nlogin = \"/login?to={{path}}\"\n\n\
             [auth.tokens]\ntype = \"jwt\"\nsecret = \"{SECRET}\"\nfrom = [\"authorization\", \"query\", \"websocket-protocol\", \"cookie:session\"]\n\n\
             [limit.each]\nby = \"header:x-api-key\"\nrate = \"1/366d\"\n\n{}{}{}{}{}{more}",
            upstream("up", up.address(), ""),
            route(
                "machines",
                "/machines",
                "to = \"up\"\nauth = \"machines\"\nrequire = { role = \"other\" }"
            ),
            route("portal", "/portal", "to = \"up\"\nauth = \"portal\""),
            route(
                "tokens",
                "/tokens",
                "to = \"up\"\nauth = \"tokens\"\nlimit = \"each\""
            ),
            route("login", "/login", "to = \"up\""),
        )
    };
    let mut weir = run
        .env("SIGNING", "another-signing-secret-of-32-bytes!!")
        .start(&config(""))
        .await;
    let good = mint::token_of("ana");
    let other = mint::signed(
        r#"{"alg":"HS256"}"#,
        &format!(r#"{{"sub":"ana","exp":{}}}"#, mint::unix(60)),
        "some-other-secret-of-32-bytes-or-so",
    );
    let session = mint::cookie("ana");
    let expired = mint::expired_cookie("eve");
    let middle = session.len() - 20;
    let other_letter = if &session[middle..=middle] == "A" {
        "B"
    } else {
        "A"
    };
    let changed = format!(
        "{}{other_letter}{}",
        &session[..middle],
        &session[middle + 1..]
    );
    let eve = mint::token_of("eve");
    let query = format!("/tokens?access_token={good}&password=hunter2");
    let lines: Vec<(&str, Vec<String>)> = vec![
        ("/machines", vec![format!("Authorization: Bearer {key}")]),
        ("/machines", vec![format!("X-Api-Key: {key}x")]),
        (
            "/machines",
            vec![format!("X-Api-Key: {key}"), format!("X-Api-Key: {key}")],
        ),
        (
            "/machines",
            vec![format!("Authorization: Bearer {key} {key}")],
        ),
        ("/portal", vec![expired.clone()]),
        ("/portal", vec![changed]),
        ("/portal", vec![format!("{session}; .AspNet.Cookies=x")]),
        ("/portal", vec![session.clone()]),
        ("/tokens", vec![format!("Authorization: Bearer {good}")]),
        ("/tokens", vec![format!("Authorization: Bearer {other}")]),
        ("/tokens", vec![format!("Cookie: session={other}")]),
        (
            "/tokens",
            vec![
                format!("Cookie: session={eve}"),
                format!("Authorization: Bearer {good}"),
            ],
        ),
        ("/tokens", vec![format!("Authorization: Basic {good}")]),
        (
            query.as_str(),
            vec![
                format!("X-Api-Key: {key}"),
                format!("Authorization: Bearer {good}"),
            ],
        ),
        (
            query.as_str(),
            vec![
                format!("X-Api-Key: {key}"),
                format!("Authorization: Bearer {good}"),
            ],
        ),
        (
            query.as_str(),
            vec!["Origin: http://hunter2.test".to_owned()],
        ),
    ];
    for round in 0..3 {
        for (target, headers) in &lines {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let method = if round == 1 { "POST" } else { "GET" };
            ask(weir.address(), method, target, &headers).await;
            let mut client = H2::connect(weir.address()).await;
            let lower: Vec<(String, &str)> = headers
                .iter()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect();
            let pairs: Vec<(&str, &str)> = lower
                .iter()
                .map(|(name, value)| (name.as_str(), *value))
                .collect();
            client.ask(1, "GET", target, &pairs, true).await;
            let _ = client.rest(1).await;
        }
    }
    // What is no HTTP, with a secret in it.
    for bytes in [
        format!("GET /tokens HTTP/1.1\r\nHost: a.test\r\nAuthorization : Bearer {good}\r\n\r\n"),
        format!("GET /tokens?{good}\x01 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    ] {
        let mut client = Client::connect(weir.address()).await;
        client.send(bytes).await;
        client.closed().await;
    }
    weir.rewrite(&config("unknown = \"{key}\""));
    assert!(
        !weir
            .command(&["reload", "--admin", &weir.admin().to_string()])
            .status
            .success()
    );
    weir.rewrite(&config(""));
    assert!(
        weir.command(&["reload", "--admin", &weir.admin().to_string()])
            .status
            .success()
    );
    let text = eventually("the reloads in the audit log", async || {
        let text = audit(weir.folder());
        (text.contains("\"reloaded\"") && text.contains("\"reload_failed\"")).then_some(text)
    })
    .await;
    let events = events(&text);
    for reason in [
        "bad_signature",
        "expired",
        "bad_mac",
        "missing",
        "malformed",
        "duplicate_cookie",
        "duplicate_authorization",
        "role_missing",
        "rate_limited",
        "conflict",
    ] {
        assert!(
            events.iter().any(|event| event["reason"] == reason),
            "{reason}"
        );
    }
    assert!(
        events
            .iter()
            .any(|event| event["reason"] == "role_missing" && event["user_id"] == "ci")
    );
    let rolled = fs::read_dir(weir.folder()).expect("the folder");
    let rolled = rolled.filter(|file| {
        file.as_ref()
            .is_ok_and(|file| file.file_name().to_string_lossy().starts_with("audit"))
    });
    assert!(rolled.count() > 1, "it rolls");

    let mut all = text;
    for page in ["/metrics", "/status", "/health"] {
        all += &ask(weir.admin(), "GET", page, &[]).await.text();
    }
    weir.signal("TERM");
    tokio::time::timeout(Duration::from_secs(15), weir.ended())
        .await
        .expect("an end");
    all += &weir.stderr();
    all += &weir.stdout().join("\n");
    all += &fs::read_to_string(weir.folder().join("access.log")).expect("the access log");
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let mut secrets = vec![
        SECRET.to_owned(),
        VALIDATION.to_owned(),
        DECRYPTION.to_owned(),
        "another-signing-secret".to_owned(),
        "hunter2".to_owned(),
        key.rsplit('_').next().expect("the secret part").to_owned(),
        session["Cookie: .AspNet.Cookies=".len()..][..60].to_owned(),
        expired["Cookie: .AspNet.Cookies=".len()..][..60].to_owned(),
    ];
    secrets.extend(parts(&good));
    secrets.extend(parts(&other));
    secrets.extend(parts(&eve));
    for secret in &secrets {
        let at = all.find(secret.as_str());
        let around = at.map(|at| {
            &all[all.floor_char_boundary(at.saturating_sub(200))..all.floor_char_boundary(at + 200)]
        });
        assert_eq!(around, None, "{secret}");
    }
}
