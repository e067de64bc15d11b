//! The configurations that ship, loaded as they stand and driven end to end: what an operator copies must serve.

use std::path::{Path, PathBuf};

use weir_testkit::{
    Answer, Client, End, Exchange, Run, Upstream, Weir,
    client::{ask, get},
    eventually,
    mint::{self, cookie},
};

use crate::stage::{CONTENT, RUN_FINISHED, RUN_STARTED, pass, weir};

/// A file of `config/`.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../config")
        .join(name)
}

/// weir with free ports and a log in its folder, as the shipped files take them from the environment.
fn prepared() -> Run {
    let run = weir();
    let log = run.folder().join("access.log").display().to_string();
    run.env("WEIR_LISTEN", "127.0.0.1:0")
        .env("WEIR_ADMIN", "127.0.0.1:0")
        .env("WEIR_LOG", &log)
}

/// The next exchange that is no health check; those are answered.
async fn next(upstream: &mut Upstream) -> Exchange {
    loop {
        let exchange = upstream.exchange().await;
        if exchange.head.target() != "/health" {
            return exchange;
        }
        exchange.answer("200 OK", &[], "well").await;
        exchange.done();
    }
}

#[tokio::test]
async fn weirs_own_default_carries_a_stream() {
    let mut app = Upstream::start().await;
    let weir = prepared()
        .env("APP_ADDRESS", &app.address().to_string())
        .spawn(&shipped("weir.toml"))
        .await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/anything?x", &[]).await;
    let exchange = next(&mut app).await;
    assert_eq!(exchange.head.target(), "/anything?x");
    exchange.stream().await;
    client.head().await;
    pass(&exchange, &mut client, "data: 1\n\n").await;
    exchange.end().await;
    assert_eq!(client.rest().await.1, End::Clean);
    assert_eq!(get(weir.address(), "/health", &[]).await.status(), 200);
}

/// The assistant behind weir as Dr Migrate runs it.
struct DrMigrate {
    weir: Weir,
    copilotkit: Upstream,
    agents: Upstream,
    portal: Upstream,
}

impl DrMigrate {
    async fn start() -> Self {
        let (copilotkit, agents, portal) = (
            Upstream::start().await,
            Upstream::start().await,
            Upstream::start().await,
        );
        let run = prepared()
            .file("out/index.html", "the site")
            .file("out/runs.html", "the runs")
            .file("out/favicon.ico", "icon")
            .file("out/_next/static/a.js", "script")
            .env("COPILOTKIT_ADDRESS", &copilotkit.address().to_string())
            .env("AGENTS_ADDRESS", &agents.address().to_string())
            .env("PORTAL_ADDRESS", &portal.address().to_string())
            .env("VALIDATION_KEY", mint::VALIDATION)
            .env("DECRYPTION_KEY", mint::DECRYPTION);
        let site = run.folder().join("out").display().to_string();
        let weir = run
            .env("SITE_ROOT", &site)
            .spawn(&shipped("dr-migrate.toml"))
            .await;
        Self {
            weir,
            copilotkit,
            agents,
            portal,
        }
    }

    async fn get(&self, target: &str, headers: &[&str]) -> Answer {
        get(self.weir.address(), target, headers).await
    }
}

#[tokio::test]
async fn dr_migrates_assistant_streams_to_the_page() {
    let mut it = DrMigrate::start().await;
    let session = cookie("ana");
    for (target, headers, seen, user) in [
        (
            "/chat/copilotkit-api/agent/default/run",
            vec![],
            "/agent/default/run",
            None,
        ),
        ("/chat/copilotkit-api", vec![], "/", None),
        (
            "/chat/backend/api",
            vec![session.as_str(), "Sec-Fetch-Site: same-origin"],
            "/api",
            Some("ana"),
        ),
    ] {
        let mut client = Client::connect(it.weir.address()).await;
        client.post(target, &headers, b"{}").await;
        let behind = if user.is_some() {
            &mut it.agents
        } else {
            &mut it.copilotkit
        };
        let exchange = next(behind).await;
        assert_eq!(
            (exchange.head.target(), exchange.header("x-weir-user")),
            (seen, user)
        );
        exchange.stream().await;
        assert_eq!(client.head().await.header("x-accel-buffering"), Some("no"));
        for event in [RUN_STARTED, CONTENT, RUN_FINISHED] {
            pass(&exchange, &mut client, event).await;
        }
        exchange.end().await;
        assert_eq!(client.rest().await.1, End::Clean);
    }
    let mut client = Client::connect(it.weir.address()).await;
    client
        .request("GET", "/chat/data/items?x=1", &[&session])
        .await;
    let exchange = next(&mut it.agents).await;
    assert_eq!(exchange.head.target(), "/data/items?x=1");
    exchange.answer("200 OK", &[], "items").await;
    assert_eq!(client.answer().await.text(), "items");
    let line = it.weir.logged("/chat/backend/api").await;
    assert_eq!(
        (&line["service"], &line["user_id"], &line["conversation_id"]),
        (&"dr-migrate".into(), &"ana".into(), &"t-1".into())
    );
}

#[tokio::test]
async fn dr_migrates_site_is_for_those_who_have_signed_in() {
    let it = DrMigrate::start().await;
    let session = cookie("ana");
    for (target, text) in [
        ("/chat/", "the site"),
        ("/chat", "the site"),
        ("/chat/runs", "the runs"),
        ("/chat/any/page", "the site"),
    ] {
        let answer = it.get(target, &[&session]).await;
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (200, text),
            "{target}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{target}");
        let answer = it
            .get(target, &["Accept: text/html", "Sec-Fetch-Mode: navigate"])
            .await;
        assert_eq!(answer.status(), 302, "{target}");
        assert!(
            answer
                .header("location")
                .is_some_and(|to| to.starts_with("/login?returnUrl=%2Fchat")),
            "{:?}",
            answer.head
        );
    }
    assert_eq!(it.get("/chat/backend/api", &[]).await.status(), 401);
    // For everyone: what the sign-in page needs.
    let script = it.get("/chat/_next/static/a.js", &[]).await;
    assert_eq!(
        (script.text().as_str(), script.header("cache-control")),
        ("script", Some("public, max-age=31536000, immutable"))
    );
    assert_eq!(it.get("/chat/favicon.ico", &[]).await.text(), "icon");
    // And no way round by them.
    for target in [
        "/chat/_next/../backend/api",
        "/chat/_next/%2e%2e/backend/api",
        "/chat/_next/..%2fbackend/api",
        "/chat/_next/..;/backend/api",
    ] {
        let answer = it.get(target, &[]).await;
        assert!(
            matches!(answer.status(), 400 | 401),
            "{target}: {}",
            answer.status()
        );
    }
    assert!(
        it.agents
            .requests()
            .iter()
            .all(|request| request.target() == "/health")
    );
}

#[tokio::test]
async fn dr_migrates_conversations_are_not_for_everyone() {
    let it = DrMigrate::start().await;
    for target in [
        "/chat/copilotkit-api/threads",
        "/chat/copilotkit-api/x/threads",
        "/chat/copilotkit-api/threads/1/messages",
        "/chat/copilotkit-api/agent/threads",
        "/chat/copilotkit-api/agent/default/run/threads",
        "//chat//copilotkit-api/./threads",
    ] {
        for method in ["GET", "POST"] {
            let answer = ask(it.weir.address(), method, target, &[]).await;
            assert!(
                matches!(answer.status(), 401 | 404 | 405),
                "{method} {target}: {}",
                answer.status()
            );
        }
    }
    assert!(
        it.copilotkit
            .requests()
            .iter()
            .all(|request| request.target() == "/health"),
        "{:?}",
        it.copilotkit.requests()
    );
}

#[tokio::test]
async fn dr_migrates_portal_has_all_the_rest() {
    let mut it = DrMigrate::start().await;
    for target in [
        "/login?returnUrl=%2Fchat",
        "/",
        "/Content/site.css",
        "/chatter",
    ] {
        let mut client = Client::connect(it.weir.address()).await;
        client.request("GET", target, &[]).await;
        let exchange = it.portal.exchange().await;
        assert_eq!(exchange.head.target(), target);
        exchange
            .answer(
                "200 OK",
                &["Set-Cookie: .AspNet.Cookies=x; path=/; HttpOnly"],
                "portal",
            )
            .await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.text().as_str(), answer.header("set-cookie")),
            ("portal", Some(".AspNet.Cookies=x; path=/; HttpOnly"))
        );
    }
}

#[tokio::test]
async fn the_demo_does_what_it_prints() {
    let mut weir = weir().running(&["demo"]).await;
    let said = eventually("the demo to say what to try", async || {
        let said = weir.stdout().join("\n");
        said.contains("Ctrl-C").then_some(said)
    })
    .await;
    let url = format!("http://{}", weir.address());
    assert_eq!(said.matches("curl ").count(), 4, "{said}");
    assert!(
        said.contains(&format!("{url}/chat/backend/api"))
            && said.contains(&format!("{url}/chat/backend/ping")),
        "{said}"
    );
    let session = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("C='")?.strip_suffix('\''))
        .expect("a session to copy");
    let session = format!("Cookie: {session}");

    // The stream, word by word: each piece while the next is not there yet.
    let mut client = Client::connect(weir.address()).await;
    let question = br#"{"messages":[{"role":"user","content":"what is a weir?"}]}"#;
    client
        .post(
            "/chat/backend/api",
            &[&session, "Content-Type: application/json"],
            question,
        )
        .await;
    let head = client.head().await;
    assert_eq!(
        (head.status(), head.header("x-accel-buffering")),
        (200, Some("no"))
    );
    let mut times = Vec::new();
    loop {
        let event = client.event().await;
        if event.contains("TEXT_MESSAGE_CONTENT") {
            times.push(std::time::Instant::now());
        }
        if event.contains("RUN_FINISHED") {
            break;
        }
    }
    assert_eq!(client.rest().await, (Vec::new(), End::Clean));
    let gaps = times
        .windows(2)
        .filter(|pair| (pair[1] - pair[0]).as_millis() >= 10)
        .count();
    assert!(gaps >= 3, "{} words in {gaps} steps", times.len());

    let refused = get(weir.address(), "/chat/backend/ping", &[]).await;
    assert_eq!(refused.status(), 401);
    let limited = eventually("the limit to be met", async || {
        let answer = get(weir.address(), "/chat/backend/ping", &[&session]).await;
        (answer.status() == 429).then_some(answer)
    })
    .await;
    assert!(
        limited.header("retry-after").is_some() && limited.header("ratelimit").is_some(),
        "{:?}",
        limited.head
    );

    // The page, by way of the portal.
    let page = get(weir.address(), "/chat/", &["Accept: text/html"]).await;
    let login = page
        .header("location")
        .expect("the way to sign in")
        .to_owned();
    let form = get(weir.address(), &login, &["Accept: text/html"]).await;
    assert!(
        form.status() == 200 && form.text().contains("<form"),
        "{}",
        form.text()
    );
    let page = get(weir.address(), "/chat/", &[&session]).await;
    assert!(
        page.status() == 200 && page.text().contains("<html"),
        "{}",
        page.text()
    );

    // Stopped as a person would, it takes its page's folder with it.
    weir.signal("INT");
    assert_eq!(weir.ended().await.code(), Some(0));
}
