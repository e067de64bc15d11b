//! Who may do what, and what the upstream is told: API keys, roles and scopes, the signed identity, Authorization, and every way to
//! smuggle an identity past weir.

use serde_json::Value;
use weir_testkit::{
    Upstream,
    client::{ask, get},
    mint::{self, SECRET, bearer},
};

use crate::stage::{everything, route, upstream, weir};

/// A token table that reads `roles` and `scope`.
fn tokens() -> String {
    format!("[auth.tokens]\ntype = \"jwt\"\nsecret = \"{SECRET}\"\nroles_claim = \"roles\"\n\n")
}

fn with(user: &str, roles: &[&str], scope: &str) -> String {
    let claims =
        serde_json::json!({ "sub": user, "exp": mint::unix(60), "roles": roles, "scope": scope });
    format!("Authorization: Bearer {}", mint::token(&claims))
}

#[tokio::test]
async fn a_key_from_the_command_line_opens_its_route() {
    let run = weir();
    let made = run.command(&[
        "key",
        "new",
        "ci",
        "--user",
        "robot",
        "--scope",
        "chat",
        "--role",
        "deploy",
        "--expires",
        "2099-01-01",
    ]);
    let text = String::from_utf8(made.stdout).expect("text");
    let (key, entry) = text.trim().split_once('\n').expect("two lines");
    assert!(key.starts_with("weir_ci_"), "{text}");
    let up = Upstream::saying("hello").await;
    let config = format!(
        "[auth.machines]\ntype = \"api-key\"\nfrom = [\"authorization\", \"header:X-Api-Key\"]\nkeys = [{entry}]\n\n{}{}{}",
        upstream("up", up.address(), ""),
        route(
            "all",
            "/*",
            "to = \"up\"\nauth = \"machines\"\nrequire = { scope = \"chat\", role = \"deploy\" }"
        ),
        route(
            "admin",
            "/admin",
            "to = \"up\"\nauth = \"machines\"\nrequire = { scope = \"admin\" }"
        ),
    );
    let weir = run.start(&config).await;
    let status =
        async |path: &str, line: &str| ask(weir.address(), "GET", path, &[line]).await.status();
    assert_eq!(
        status("/", &format!("Authorization: Bearer {key}")).await,
        200
    );
    assert_eq!(status("/", &format!("X-Api-Key: {key}")).await, 200);
    assert_eq!(status("/admin", &format!("X-Api-Key: {key}")).await, 403);
    let last = key.chars().last().expect("a character");
    let changed = format!(
        "{}{}",
        &key[..key.len() - 1],
        if last == 'a' { 'b' } else { 'a' }
    );
    assert_eq!(status("/", &format!("X-Api-Key: {changed}")).await, 401);
    assert_eq!(status("/", "Accept: */*").await, 401);
    for head in up.requests() {
        assert_eq!(head.header("x-weir-user"), Some("robot"));
        assert_eq!(
            (head.header("x-api-key"), head.header("authorization")),
            (None, None)
        );
    }
    assert_eq!(weir.logged("/admin").await["reason"], "scope_missing");
}

#[tokio::test]
async fn roles_and_scopes_are_asked_for() {
    let up = Upstream::saying("hello").await;
    let config = format!(
        "{}{}{}",
        tokens(),
        upstream("up", up.address(), ""),
        route(
            "all",
            "/*",
            "to = \"up\"\nauth = \"tokens\"\nrequire = { role = [\"admin\", \"lead\"], scope = [\"chat\"] }"
        ),
    );
    let weir = weir().start(&config).await;
    for (roles, scope, expected) in [
        (&["lead"][..], "read chat", 200),
        (&["admin", "x"], "chat", 200),
        (&["Lead"], "chat", 403),
        (&[], "chat", 403),
        (&["lead"], "chatter", 403),
        (&["lead"], "", 403),
    ] {
        let line = with("ana", roles, scope);
        assert_eq!(
            ask(weir.address(), "GET", "/", &[&line]).await.status(),
            expected,
            "{roles:?} {scope}"
        );
    }
}

#[tokio::test]
async fn the_upstream_gets_one_signed_word_and_the_route_says_what_of_authorization() {
    let up = Upstream::saying("hello").await;
    let of = |name: &str, keys: &str| {
        route(
            name,
            &format!("/{name}"),
            &format!("to = \"up\"\nauth = \"tokens\"\n{keys}"),
        )
    };
    let config = format!(
        "[identity]\nsecret = \"{SECRET}\"\nissuer = \"gateway\"\n\n{}{}{}{}{}{}{}",
        tokens(),
        upstream("up", up.address(), ""),
        of("default", ""),
        of("pass", "authorization = \"pass\""),
        of("strip", "authorization = \"strip\""),
        of("replace", "authorization = \"replace\""),
        route("public", "/public", "to = \"up\""),
    );
    let weir = weir().start(&config).await;
    let bearer = bearer("ana");
    for path in ["/default", "/pass", "/strip", "/replace", "/public"] {
        assert_eq!(
            ask(weir.address(), "GET", path, &[&bearer]).await.status(),
            200
        );
    }
    let requests = up.requests();
    let given = |index: usize, name: &str| requests[index].header(name).map(str::to_owned);
    let sent = bearer.strip_prefix("Authorization: ").map(str::to_owned);
    assert_eq!(given(0, "authorization"), None);
    assert_eq!(given(1, "authorization"), sent);
    assert_eq!(given(2, "authorization"), None);
    let signed = given(3, "x-weir-identity").expect("signed");
    assert_eq!(given(3, "authorization"), Some(format!("Bearer {signed}")));
    // A public route asks nobody, says nothing of anybody, and leaves the application its own.
    assert_eq!(
        (given(4, "authorization"), given(4, "x-weir-identity")),
        (sent, None)
    );
    let claims = {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let payload = signed.split('.').nth(1).expect("three parts");
        serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(payload).expect("base64"))
            .expect("JSON")
    };
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["sub"]),
        (&"gateway".into(), &"up".into(), &"ana".into())
    );
    assert_eq!(
        claims["exp"]
            .as_i64()
            .zip(claims["iat"].as_i64())
            .map(|(exp, iat)| exp - iat),
        Some(60)
    );
}

/// Two issuers, one subject: two people to limits and upstream.
#[tokio::test]
async fn one_name_of_two_issuers_is_two_people() {
    const OTHER: &str = "another-secret-for-tests-of-32-bytes!!!!";
    let up = Upstream::saying("hello").await;
    let table = |name: &str, secret: &str, prefix: &str| {
        format!(
            "[auth.{name}]\ntype = \"jwt\"\nsecret = \"{secret}\"\nissuer = \"{name}\"\nuser_prefix = \"{prefix}\"\n\n"
        )
    };
    let config = format!(
        "{}{}[auth.both]\nany = [\"one\", \"two\"]\n\n[limit.each]\nby = \"user\"\nrate = \"1/366d\"\n\n{}{}",
        table("one", SECRET, ""),
        table("two", OTHER, "two:"),
        upstream("up", up.address(), ""),
        route(
            "all",
            "/*",
            "to = \"up\"\nauth = \"both\"\nlimit = \"each\""
        ),
    );
    let weir = weir().start(&config).await;
    let status = async |issuer: &str, secret: &str| {
        let claims = serde_json::json!({ "iss": issuer, "sub": "7", "exp": mint::unix(60) });
        let token = mint::signed(r#"{"alg":"HS256"}"#, &claims.to_string(), secret);
        let line = format!("Authorization: Bearer {token}");
        ask(weir.address(), "GET", "/", &[&line]).await.status()
    };
    assert_eq!(status("one", SECRET).await, 200);
    assert_eq!(status("one", SECRET).await, 429);
    assert_eq!(status("two", OTHER).await, 200);
    assert_eq!(status("two", OTHER).await, 429);
    assert_eq!(
        status("two", SECRET).await,
        401,
        "each issuer has its own keys"
    );
    let told: Vec<_> = up
        .requests()
        .iter()
        .map(|head| head.header("x-weir-user").map(str::to_owned))
        .collect();
    assert_eq!(told, [Some("7".to_owned()), Some("two:7".to_owned())]);
}

#[tokio::test]
async fn no_header_smuggles_an_identity() {
    let up = Upstream::saying("hello").await;
    let config = format!(
        "[identity]\nsecret = \"{SECRET}\"\n\n{}{}{}{}",
        tokens(),
        upstream("up", up.address(), ""),
        route("all", "/*", "to = \"up\"\nauth = \"tokens\""),
        route("public", "/public", "to = \"up\""),
    );
    let weir = weir().start(&config).await;
    let bearer = bearer("ana");
    let forged = [
        "X-Weir-User: admin",
        "x_weir_user: admin",
        "X-Weir_Roles: admin",
        "X-Weir-Identity: eyJ.eyJ.x",
        "X-WEIR-TENANT: admin",
        "Remote-User: admin",
        "X-Forwarded-User: admin",
        "MS-ASPNETCORE-WINAUTHTOKEN: 1",
        "Connection: X-Weir-User, X-Weir-Identity",
    ];
    for path in ["/", "/public"] {
        let mut lines = forged.to_vec();
        lines.push(&bearer);
        assert_eq!(ask(weir.address(), "GET", path, &lines).await.status(), 200);
    }
    let requests = up.requests();
    assert_eq!(requests[0].header("x-weir-user"), Some("ana"));
    assert!(
        requests[0]
            .header("x-weir-identity")
            .is_some_and(|token| token != "eyJ.eyJ.x")
    );
    assert_eq!(
        (
            requests[1].header("x-weir-user"),
            requests[1].header("x-weir-identity")
        ),
        (None, None)
    );
    for head in &requests {
        for gone in [
            "x_weir_user",
            "x-weir_roles",
            "x-weir-tenant",
            "x-weir-roles",
            "remote-user",
            "x-forwarded-user",
            "ms-aspnetcore-winauthtoken",
        ] {
            assert_eq!(head.header(gone), None, "{gone}");
        }
    }
}

/// Who guesses is sent away before anybody looks at the guess; who comes without a credential, or with an old one, has not guessed.
#[tokio::test]
async fn an_address_that_guesses_too_often_has_to_wait() {
    let auth =
        format!("[auth.tokens]\ntype = \"jwt\"\nsecret = \"{SECRET}\"\nfailures = \"3/366d\"\n\n");
    let upstream = Upstream::saying("in").await;
    let config = auth + &everything(upstream.address(), "auth = \"tokens\"");
    let weir = weir()
        .top("trusted_proxies = [\"127.0.0.1\"]\n")
        .start(&config)
        .await;
    let from = |address: &str| format!("X-Forwarded-For: {address}");
    let (guesser, other) = (from("192.0.2.1"), from("192.0.2.2"));
    let good = bearer("ana");
    let old = serde_json::json!({ "sub": "ana", "exp": mint::unix(-100) });
    let old = format!("Authorization: Bearer {}", mint::token(&old));
    let ask = async |lines: &[&str]| get(weir.address(), "/", lines).await;
    for harmless in [&[&*guesser][..], &[&guesser, &old]] {
        for _ in 0..4 {
            assert_eq!(ask(harmless).await.status(), 401);
        }
    }
    assert_eq!(ask(&[&guesser, &good]).await.status(), 200);
    for bad in [
        "Authorization: Bearer x",
        "Authorization: Bearer a.b.c",
        "Authorization: Bearer",
    ] {
        assert_eq!(ask(&[&guesser, bad]).await.status(), 401, "{bad}");
    }
    // The right one too, or the answer would tell which it was.
    for lines in [
        &[&*guesser, "Authorization: Bearer x"][..],
        &[&guesser, &good],
        &[&guesser],
    ] {
        let answer = ask(lines).await;
        assert_eq!(answer.status(), 429, "{lines:?}");
        let wait = answer
            .header("retry-after")
            .and_then(|wait| wait.parse().ok());
        assert!(wait.is_some_and(|wait: u64| wait > 0 && wait <= 366 * 86_400));
    }
    assert_eq!(ask(&[&other, &good]).await.status(), 200);
    let labels = [("route", "all"), ("reason", "too_many_failures")];
    weir.wait_metric("weir_refusals_total", &labels, 3.0).await;
    // A reload that changes nothing of it forgets nothing.
    weir.signal("HUP");
    weir.wait_metric("weir_config_reloads_total", &[("result", "ok")], 1.0)
        .await;
    assert_eq!(ask(&[&guesser, &good]).await.status(), 429);
}
